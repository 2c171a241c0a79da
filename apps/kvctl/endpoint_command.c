/* endpoint_command: all endpoints are asked at the same time; rows come out in the order in which they were given. */
#include "endpoint_command.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/clock.h"
#include "member_command.h"
#include "print.h"

int endpoint_command_flags(struct ctl_options *options, struct flag *out_flags)
{
    ASSERT(options != NULL && out_flags != NULL);
    out_flags[0] = (struct flag){"cluster", 0, FLAG_BOOL, &options->cluster, NULL,
                                 "ask all endpoints of the cluster's member list", "Options", false};
    return 1;
}

int endpoint_command_hashkv_flags(struct ctl_options *options, struct flag *out_flags)
{
    int count = endpoint_command_flags(options, out_flags);
    out_flags[count] = (struct flag){"rev", 0, FLAG_I64, &options->rev, "<revision>",
                                     "hash up to this revision; 0 = all", "Options", false};
    ASSERT(count == 1);
    return count + 1;
}

/* One endpoint's question and what came of it. */
struct question {
    uint64_t call;
    const ProtobufCMessageDescriptor *type; /* NULL: the response's bytes do not matter, nor that the user may not have them */
    uint64_t start_ns, took_ns;
    ProtobufCMessage *response;
    char *error; /* NULL = none */
};

static void on_answer(void *context, const struct calls_result *result)
{
    struct question *question = context;
    question->took_ns = clock_mono_ns() - question->start_ns;
    const char *error = result->text;
    if (result->is_unreachable || result->code == ERR_CODE_DEADLINE_EXCEEDED) error = "context deadline exceeded";
    ASSERT(question->response == NULL && question->error == NULL);
    bool is_denied = question->type == NULL && result->code == ERR_CODE_PERMISSION_DENIED; /* it was asked for by consensus, as by etcdctl */
    if (is_denied) return;
    if (result->code == ERR_CODE_OK && question->type != NULL) {
        question->response = ctl_unpack(question->type, result->body);
        if (question->response == NULL) question->error = alloc_string("the answer cannot be read");
    } else if (result->code != ERR_CODE_OK) {
        question->error = alloc_string(error);
    }
}

/* The same request to every endpoint; waits until all have answered or failed. */
static void ask_all(struct ctl *ctl, const char *path, struct slice body, const ProtobufCMessageDescriptor *type,
                    struct question *questions)
{
    for (size_t i = 0; i < ctl->endpoint_count; i++) {
        questions[i] = (struct question){.type = type, .start_ns = clock_mono_ns()};
        struct calls_request request = {.path = path,
                                             .body = body,
                                             .policy = KVD_POLICY_READ,
                                             .timeout_ns = ctl->globals.command_timeout_ns,
                                             .endpoint = i};
        questions[i].call = calls_start(ctl->client, &request, on_answer, &questions[i]);
    }
    while (calls_in_flight(ctl->client) > 0) {
        if (ctl_pump(ctl, CLOCK_NEVER)) continue;
        for (size_t i = 0; i < ctl->endpoint_count; i++) calls_cancel(ctl->client, questions[i].call);
    }
}

typedef enum ctl_exit print_fn(const struct ctl *ctl, const struct print_endpoint *endpoints, size_t count);

/* Prints what came, says how many endpoints failed, and frees the questions. `what` could not be got of those; NULL: the rows say so. */
static enum ctl_exit print_answers(struct ctl *ctl, struct question *questions, const char *what, print_fn *print, size_t *out_failed)
{
    struct print_endpoint *rows = alloc_zero(ctl->endpoint_count, sizeof *rows);
    size_t failed = 0;
    for (size_t i = 0; i < ctl->endpoint_count; i++) {
        rows[i] = (struct print_endpoint){.endpoint = ctl->endpoints[i],
                                          .response = questions[i].response,
                                          .took_ns = questions[i].took_ns,
                                          .error = questions[i].error == NULL ? "" : questions[i].error};
        if (questions[i].error == NULL) continue;
        failed++;
        if (what != NULL) fprintf(stderr, "Failed to get the %s of endpoint %s (%s)\n", what, ctl->endpoints[i], rows[i].error);
    }
    enum ctl_exit code = print(ctl, rows, ctl->endpoint_count);
    for (size_t i = 0; i < ctl->endpoint_count; i++) {
        ASSERT(questions[i].response == NULL || questions[i].error == NULL);
        if (questions[i].response != NULL) protobuf_c_message_free_unpacked(questions[i].response, NULL);
        alloc_free(questions[i].error);
    }
    alloc_free(rows);
    alloc_free(questions);
    *out_failed = failed;
    return code;
}

static enum ctl_exit ask_and_print(struct ctl *ctl, const char *path, struct slice body,
                                   const ProtobufCMessageDescriptor *type, const char *what, print_fn *print, size_t *out_failed)
{
    struct question *questions = alloc_zero(ctl->endpoint_count, sizeof *questions);
    ask_all(ctl, path, body, type, questions);
    return print_answers(ctl, questions, what, print, out_failed);
}

static enum ctl_exit prepare(struct ctl *ctl, int count)
{
    ASSERT(count >= 0);
    if (count != 0) return ctl_fail(CTL_BAD_ARGS, "endpoint commands take no arguments; endpoints are named by --endpoints");
    return ctl->options.cluster ? member_command_use_cluster(ctl) : CTL_OK;
}

enum ctl_exit endpoint_command_status(struct ctl *ctl, int count, const char **words)
{
    size_t failed = 0;
    enum ctl_exit code = prepare(ctl, count);
    ASSERT(words != NULL);
    if (code == CTL_OK)
        code = ask_and_print(ctl, "/etcdserverpb.Maintenance/Status", slice_empty(),
                             &etcdserverpb__status_response__descriptor, "status", print_statuses, &failed);
    return code == CTL_OK && failed > 0 ? CTL_ERROR : code;
}

/* What alarms say of an endpoint's health; NULL = nothing. */
static char *alarm_error(const struct question *alarms)
{
    const Etcdserverpb__AlarmResponse *response = (const Etcdserverpb__AlarmResponse *)alarms->response;
    if (response == NULL) return alloc_string("Unable to fetch the alarm list");
    if (response->n_alarms == 0) return NULL;
    struct buf text;
    buf_init(&text);
    buf_printf(&text, "Active Alarm(s): ");
    for (size_t i = 0; i < response->n_alarms; i++) buf_printf(&text, "%s ", print_alarm_name((int32_t)response->alarms[i]->alarm));
    buf_put_u8(&text, '\0');
    char *error = alloc_string((const char *)text.blob->data);
    buf_deinit(&text);
    return error;
}

/* Two rounds: the read, whose time is shown, and the alarms. */
static void ask_healths(struct ctl *ctl, struct question *questions)
{
    struct question *alarms = alloc_zero(ctl->endpoint_count, sizeof *alarms);
    struct buf request;
    buf_init(&request);
    buf_put_pb_bytes(&request, 1, slice_from_string("health"));
    ask_all(ctl, "/etcdserverpb.KV/Range", buf_slice(&request), NULL, questions);
    ask_all(ctl, "/etcdserverpb.Maintenance/Alarm", slice_empty(), &etcdserverpb__alarm_response__descriptor, alarms);
    buf_deinit(&request);
    for (size_t i = 0; i < ctl->endpoint_count; i++) {
        if (questions[i].error == NULL) questions[i].error = alarm_error(&alarms[i]);
        if (alarms[i].response != NULL) protobuf_c_message_free_unpacked(alarms[i].response, NULL);
        alloc_free(alarms[i].error);
    }
    alloc_free(alarms);
}

/* Healthy = a linearizable read is answered, if only with a refusal of this user, and no alarm is active. */
enum ctl_exit endpoint_command_health(struct ctl *ctl, int count, const char **words)
{
    size_t failed = 0;
    enum ctl_exit code = prepare(ctl, count);
    ASSERT(words != NULL);
    if (code != CTL_OK) return code;
    struct question *questions = alloc_zero(ctl->endpoint_count, sizeof *questions);
    ask_healths(ctl, questions);
    code = print_answers(ctl, questions, NULL, print_healths, &failed);
    return code == CTL_OK && failed > 0 ? ctl_fail(CTL_ERROR, "unhealthy cluster") : code;
}

enum ctl_exit endpoint_command_hashkv(struct ctl *ctl, int count, const char **words)
{
    size_t failed = 0;
    enum ctl_exit code = prepare(ctl, count);
    ASSERT(words != NULL);
    if (code != CTL_OK) return code;
    struct buf request;
    buf_init(&request);
    if (ctl->options.rev != 0) buf_put_pb_varint(&request, 1, (uint64_t)ctl->options.rev);
    code = ask_and_print(ctl, "/etcdserverpb.Maintenance/HashKV", buf_slice(&request),
                         &etcdserverpb__hash_kvresponse__descriptor, "hash", print_hashes, &failed);
    buf_deinit(&request);
    return code == CTL_OK && failed > 0 ? CTL_ERROR : code;
}
