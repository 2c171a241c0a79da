/* ctl: connection, calls and failures. */
#include "ctl.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "credentials.h"
#include "ear.h"

static struct buf *fail_out; /* NULL = stderr */

void ctl_fail_into(struct buf *out) { fail_out = out; }

static void put_arguments(struct buf *out, const char *format, va_list arguments)
{
    va_list again;
    va_copy(again, arguments);
    int size = vsnprintf(NULL, 0, format, again);
    va_end(again);
    ASSERT(size >= 0);
    buf_reserve(out, (size_t)size + 1);
    (void)vsnprintf((char *)out->blob->data + out->size, (size_t)size + 1, format, arguments);
    out->size += (size_t)size;
}

enum ctl_exit ctl_fail(enum ctl_exit code, const char *format, ...)
{
    ASSERT(code != CTL_OK && format != NULL);
    va_list arguments;
    va_start(arguments, format);
    if (fail_out != NULL) {
        put_arguments(fail_out, format, arguments);
    } else {
        fflush(stdout);
        fputs("Error: ", stderr);
        vfprintf(stderr, format, arguments);
        fputc('\n', stderr);
    }
    va_end(arguments);
    return code;
}

const char *ctl_error_text(const struct calls_answer *answer)
{
    ASSERT(answer->code != ERR_CODE_OK);
    if (answer->code == ERR_CODE_DEADLINE_EXCEEDED) return "context deadline exceeded";
    return answer->text[0] == '\0' ? "the server gave no reason" : answer->text;
}

static uint64_t milliseconds(uint64_t ns) { return ns / NS_PER_MS + (ns % NS_PER_MS != 0); }

static enum ctl_exit open_client(struct ctl *ctl)
{
    const struct ctl_globals *globals = &ctl->globals;
    const struct kvd_client_options options = {
        .endpoints = ctl->endpoints,
        .endpoint_count = ctl->endpoint_count,
        .ca_file = globals->cacert,
        .certificate_file = globals->cert,
        .key_file = globals->key,
        .tls_by_default = !globals->insecure_transport || globals->cacert[0] != '\0' || globals->cert[0] != '\0',
        .skip_verify = globals->insecure_skip_verify,
        .dial_timeout_ms = globals->dial_timeout_ns == 0 ? KVD_FOREVER : milliseconds(globals->dial_timeout_ns),
        .keepalive_time_ms = milliseconds(globals->keepalive_time_ns),
        .keepalive_timeout_ms = milliseconds(globals->keepalive_timeout_ns),
        .timeout_ms = globals->command_timeout_ns == 0 ? KVD_FOREVER : milliseconds(globals->command_timeout_ns),
        .user = globals->user,
        .password = globals->user[0] == '\0' ? NULL : globals->password, /* one without a user is passed over, as by etcdctl */
        .token = globals->auth_jwt_token,
    };
    char message[256];
    ctl->client = calls_new(&options, message, sizeof message);
    return ctl->client != NULL ? CTL_OK : ctl_fail(CTL_BAD_ARGS, "%s", message);
}

enum ctl_exit ctl_connect(struct ctl *ctl, const struct flags_list *endpoints)
{
    ctl_disconnect(ctl);
    ctl->endpoint_list = flags_list_string(endpoints);
    ctl->endpoint_text = alloc_string(ctl->endpoint_list);
    ctl->endpoint_count = 0;
    ctl->pinned = 0;
    char *rest = ctl->endpoint_text;
    for (char *one; (one = strsep(&rest, ",")) != NULL;) {
        if (one[0] == '\0') continue;
        if (ctl->endpoint_count == KVD_ENDPOINTS_MAX)
            return ctl_fail(CTL_BAD_ARGS, "more than %d endpoints", KVD_ENDPOINTS_MAX);
        ctl->endpoints[ctl->endpoint_count++] = one;
    }
    if (ctl->endpoint_count == 0) return ctl_fail(CTL_BAD_CONNECTION, "no endpoints given: --endpoints is empty");
    ASSERT(ctl->client == NULL);
    enum ctl_exit code = credentials_prepare(ctl);
    if (code == CTL_OK) code = open_client(ctl);
    if (code == CTL_OK && ctl->hears) ctl->ear = ear_new(ctl->client, false);
    return code;
}

void ctl_disconnect(struct ctl *ctl)
{
    ASSERT(ctl != NULL);
    if (ctl->ear != NULL && ctl->signal == 0) ctl->signal = ear_signal(ctl->ear);
    ear_free(ctl->ear);
    ctl->ear = NULL;
    calls_free(ctl->client);
    alloc_free(ctl->endpoint_text);
    alloc_free(ctl->endpoint_list);
    ctl->client = NULL;
    ctl->endpoint_text = ctl->endpoint_list = NULL;
}

bool ctl_pump(struct ctl *ctl, uint64_t deadline_ns)
{
    calls_pump(ctl->client, deadline_ns);
    return ctl->ear == NULL || ear_signal(ctl->ear) == 0;
}

static void finish(struct ctl *ctl, const struct calls_request *request, struct calls_answer *out_answer)
{
    uint64_t call = calls_begin(ctl->client, request, out_answer);
    while (out_answer->text == NULL)
        if (!ctl_pump(ctl, CLOCK_NEVER)) calls_cancel(ctl->client, call);
}

void ctl_call(struct ctl *ctl, const char *path, struct slice request, enum kvd_policy policy, size_t endpoint,
              struct calls_answer *out_answer)
{
    ASSERT(ctl->client != NULL);
    struct calls_request call = {.path = path,
                                      .body = request,
                                      .policy = policy,
                                      .timeout_ns = ctl->globals.command_timeout_ns,
                                      .endpoint = endpoint};
    finish(ctl, &call, out_answer);
}

uint64_t ctl_begin(struct ctl *ctl, const char *path, struct slice request, enum kvd_policy policy, calls_done_fn *done_fn,
                   void *context)
{
    ASSERT(ctl->client != NULL && done_fn != NULL);
    struct calls_request call = {.path = path,
                                      .body = request,
                                      .policy = policy,
                                      .timeout_ns = ctl->globals.command_timeout_ns,
                                      .endpoint = ctl->pinned == 0 ? CALLS_ANY : ctl->pinned - 1};
    return calls_start(ctl->client, &call, done_fn, context);
}

void ctl_stream(struct ctl *ctl, const char *path, struct slice request, calls_message_fn *message_fn, void *context,
                struct calls_answer *out_answer)
{
    ASSERT(ctl->client != NULL && message_fn != NULL);
    struct calls_request call = {.path = path,
                                      .body = request,
                                      .policy = KVD_POLICY_ONCE,
                                      .timeout_ns = ctl->has_timeout ? ctl->globals.command_timeout_ns : 0,
                                      .endpoint = CALLS_ANY,
                                      .message_fn = message_fn,
                                      .message_context = context};
    finish(ctl, &call, out_answer);
}

enum ctl_exit ctl_fail_answer(const struct ctl *ctl, const struct calls_answer *answer)
{
    ASSERT(answer->code != ERR_CODE_OK);
    if (answer->is_unreachable)
        return ctl_fail(CTL_BAD_CONNECTION,
                        "no endpoint could be reached in %.3g s: %s\n"
                        "Does a member listen there, and is it http or https? --endpoints, or KVCTL_ENDPOINTS, says where members are.",
                        (double)answer->took_ns / (double)NS_PER_S, ctl->endpoint_list);
    if (answer->code == ERR_CODE_UNIMPLEMENTED)
        return ctl_fail(CTL_BAD_FEATURE, "the server at %s has no such call: %s", ctl->endpoints[answer->endpoint], ctl_error_text(answer));
    if (strcmp(answer->text, "etcdserver: authentication failed, invalid user ID or password") == 0)
        return ctl_fail(CTL_BAD_CONNECTION, "%s", answer->text); /* etcdctl finds out while it connects */
    bool is_told = ctl->ear != NULL && ear_signal(ctl->ear) != 0 && answer->code == ERR_CODE_CANCELLED;
    const char *fate = answer->is_unknown ? " (the request may have been carried out, or may still be)" : "";
    return ctl_fail(is_told ? CTL_INTERRUPTED : CTL_ERROR, "%s%s", is_told ? "interrupted" : ctl_error_text(answer), fate);
}

enum ctl_exit ctl_call_unpack(struct ctl *ctl, const char *path, struct slice request, enum kvd_policy policy,
                              const ProtobufCMessageDescriptor *type, ProtobufCMessage **out_message)
{
    struct calls_answer answer;
    enum ctl_exit code = CTL_OK;
    ctl_call(ctl, path, request, policy, ctl->pinned == 0 ? CALLS_ANY : ctl->pinned - 1, &answer);
    if (answer.code != ERR_CODE_OK) {
        code = ctl_fail_answer(ctl, &answer);
        goto out;
    }
    ProtobufCMessage *message = ctl_unpack(type, buf_slice(&answer.body));
    if (message == NULL)
        code = ctl_fail(CTL_ERROR, "%s answered with bytes that are not a %s", ctl->endpoints[answer.endpoint], type->short_name);
    else
        *out_message = message;
    ASSERT((message == NULL) == (code != CTL_OK));
out:
    calls_answer_deinit(&answer);
    return code;
}

ProtobufCMessage *ctl_unpack(const ProtobufCMessageDescriptor *type, struct slice bytes)
{
    ASSERT(type != NULL);
    static const uint8_t nothing[1] = {0};
    return protobuf_c_message_unpack(type, NULL, bytes.size, bytes.data == NULL ? nothing : bytes.data);
}
