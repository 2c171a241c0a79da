/* ctl: connection, calls and failures. */
#include "ctl.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/fs.h"
#include "ear.h"

#define PEM_BYTES_MAX (1u << 20)
#define CALLS_MAX 2048 /* a call to each endpoint, or the streams of watch -i, old and new */

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

const char *ctl_error_text(const struct rpc_client_answer *answer)
{
    ASSERT(answer->code != ERR_CODE_OK);
    if (answer->code == ERR_CODE_DEADLINE_EXCEEDED) return "context deadline exceeded";
    return answer->text[0] == '\0' ? "the server gave no reason" : answer->text;
}

/* A PEM file's bytes into *out_bytes; no path, no bytes. */
static enum ctl_exit read_pem(struct fs *fs, const char *path, struct blob **out_bytes)
{
    ASSERT(out_bytes != NULL);
    if (path[0] == '\0') return CTL_OK;
    int error = fs_read_file(fs, path, PEM_BYTES_MAX, out_bytes);
    return error == 0 ? CTL_OK : ctl_fail(CTL_BAD_ARGS, "open %s: %s", path, strerror(error));
}

static enum ctl_exit open_client(struct ctl *ctl)
{
    const struct ctl_globals *globals = &ctl->globals;
    struct fs *fs = fs_real_new();
    struct blob *ca = NULL, *certificate = NULL, *key = NULL;
    char message[256];
    enum ctl_exit code = read_pem(fs, globals->cacert, &ca);
    if (code == CTL_OK) code = read_pem(fs, globals->cert, &certificate);
    if (code == CTL_OK) code = read_pem(fs, globals->key, &key);
    if (code != CTL_OK) goto out;
    struct rpc_client_options options = {.endpoints = ctl->endpoints,
                                         .endpoint_count = ctl->endpoint_count,
                                         .calls_max = CALLS_MAX,
                                         .dial_timeout_ns = globals->dial_timeout_ns,
                                         .keepalive_time_ns = globals->keepalive_time_ns,
                                         .keepalive_timeout_ns = globals->keepalive_timeout_ns,
                                         .tls = {.ca = blob_slice(ca),
                                                 .certificate = blob_slice(certificate),
                                                 .key = blob_slice(key),
                                                 .is_default = !globals->insecure_transport || ca != NULL || certificate != NULL,
                                                 .skip_verify = globals->insecure_skip_verify}};
    ctl->client = rpc_client_new(&options, message, sizeof message);
    if (ctl->client == NULL) code = ctl_fail(CTL_BAD_ARGS, "%s", message);
out:
    blob_unref(key);
    blob_unref(certificate);
    blob_unref(ca);
    fs_free(fs);
    return code;
}

enum ctl_exit ctl_connect(struct ctl *ctl, const char *endpoints)
{
    ctl_disconnect(ctl);
    ctl->endpoint_text = alloc_string(endpoints);
    ctl->endpoint_count = 0;
    ctl->pinned = 0;
    char *rest = ctl->endpoint_text;
    for (char *one; (one = strsep(&rest, ",")) != NULL;) {
        if (one[0] == '\0') continue;
        if (ctl->endpoint_count == RPC_CLIENT_ENDPOINTS_MAX)
            return ctl_fail(CTL_BAD_ARGS, "more than %d endpoints", RPC_CLIENT_ENDPOINTS_MAX);
        ctl->endpoints[ctl->endpoint_count++] = one;
    }
    if (ctl->endpoint_count == 0) return ctl_fail(CTL_BAD_CONNECTION, "no endpoints given: --endpoints is empty");
    ASSERT(ctl->client == NULL);
    enum ctl_exit code = open_client(ctl);
    if (code == CTL_OK && ctl->hears) ctl->ear = ear_new(ctl->client, false);
    return code;
}

void ctl_disconnect(struct ctl *ctl)
{
    ASSERT(ctl != NULL);
    if (ctl->ear != NULL && ctl->signal == 0) ctl->signal = ear_signal(ctl->ear);
    ear_free(ctl->ear);
    ctl->ear = NULL;
    rpc_client_free(ctl->client);
    alloc_free(ctl->endpoint_text);
    ctl->client = NULL;
    ctl->endpoint_text = NULL;
}

bool ctl_pump(struct ctl *ctl, uint64_t deadline_ns)
{
    rpc_client_pump(ctl->client, deadline_ns);
    return ctl->ear == NULL || ear_signal(ctl->ear) == 0;
}

static void finish(struct ctl *ctl, const struct rpc_client_request *request, struct rpc_client_answer *out_answer)
{
    uint64_t call = rpc_client_begin(ctl->client, request, out_answer);
    while (out_answer->text == NULL)
        if (!ctl_pump(ctl, CLOCK_NEVER)) rpc_client_cancel(ctl->client, call);
}

void ctl_call(struct ctl *ctl, const char *path, struct slice request, enum rpc_client_policy policy, size_t endpoint,
              struct rpc_client_answer *out_answer)
{
    ASSERT(ctl->client != NULL);
    struct rpc_client_request call = {.path = path,
                                      .body = request,
                                      .policy = policy,
                                      .timeout_ns = ctl->globals.command_timeout_ns,
                                      .endpoint = endpoint};
    finish(ctl, &call, out_answer);
}

uint64_t ctl_begin(struct ctl *ctl, const char *path, struct slice request, enum rpc_client_policy policy, rpc_client_done_fn *done_fn,
                   void *context)
{
    ASSERT(ctl->client != NULL && done_fn != NULL);
    struct rpc_client_request call = {.path = path,
                                      .body = request,
                                      .policy = policy,
                                      .timeout_ns = ctl->globals.command_timeout_ns,
                                      .endpoint = ctl->pinned == 0 ? RPC_CLIENT_ANY : ctl->pinned - 1};
    return rpc_client_start(ctl->client, &call, done_fn, context);
}

void ctl_stream(struct ctl *ctl, const char *path, struct slice request, rpc_client_message_fn *message_fn, void *context,
                struct rpc_client_answer *out_answer)
{
    ASSERT(ctl->client != NULL && message_fn != NULL);
    struct rpc_client_request call = {.path = path,
                                      .body = request,
                                      .policy = RPC_CLIENT_ONCE,
                                      .timeout_ns = ctl->has_timeout ? ctl->globals.command_timeout_ns : 0,
                                      .endpoint = RPC_CLIENT_ANY,
                                      .message_fn = message_fn,
                                      .message_context = context};
    finish(ctl, &call, out_answer);
}

enum ctl_exit ctl_fail_answer(const struct ctl *ctl, const struct rpc_client_answer *answer)
{
    ASSERT(answer->code != ERR_CODE_OK);
    if (answer->is_unreachable)
        return ctl_fail(CTL_BAD_CONNECTION,
                        "no endpoint could be reached in %.3g s: %s\n"
                        "Does a member listen there, and is it http or https? --endpoints, or KVCTL_ENDPOINTS, says where members are.",
                        (double)answer->took_ns / (double)NS_PER_S, ctl->globals.endpoints);
    if (answer->code == ERR_CODE_UNIMPLEMENTED)
        return ctl_fail(CTL_BAD_FEATURE, "the server at %s has no such call: %s", ctl->endpoints[answer->endpoint], ctl_error_text(answer));
    bool is_told = ctl->ear != NULL && ear_signal(ctl->ear) != 0 && answer->code == ERR_CODE_CANCELLED;
    const char *fate = answer->is_unknown ? " (the request may have been carried out, or may still be)" : "";
    return ctl_fail(is_told ? CTL_INTERRUPTED : CTL_ERROR, "%s%s", is_told ? "interrupted" : ctl_error_text(answer), fate);
}

enum ctl_exit ctl_call_unpack(struct ctl *ctl, const char *path, struct slice request, enum rpc_client_policy policy,
                              const ProtobufCMessageDescriptor *type, ProtobufCMessage **out_message)
{
    struct rpc_client_answer answer;
    enum ctl_exit code = CTL_OK;
    ctl_call(ctl, path, request, policy, ctl->pinned == 0 ? RPC_CLIENT_ANY : ctl->pinned - 1, &answer);
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
    rpc_client_answer_deinit(&answer);
    return code;
}

ProtobufCMessage *ctl_unpack(const ProtobufCMessageDescriptor *type, struct slice bytes)
{
    ASSERT(type != NULL);
    static const uint8_t nothing[1] = {0};
    return protobuf_c_message_unpack(type, NULL, bytes.size, bytes.data == NULL ? nothing : bytes.data);
}
