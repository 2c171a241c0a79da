/* lease_command: see the header. */
#include "lease_command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "keepalive.h"
#include "print_lease.h"
#include "print_message.h"

#define PATH(method) "/etcdserverpb.Lease/" method

static enum ctl_exit parse_id(const char *word, int64_t *out_id)
{
    char *end = NULL;
    errno = 0;
    int64_t id = strtoll(word, &end, 16);
    if (end == word || *end != '\0' || errno != 0) return ctl_fail(CTL_BAD_ARGS, "bad lease ID (\"%s\"), expecting ID in Hex", word);
    *out_id = id;
    return CTL_OK;
}

/* As ctl_call_unpack, but for what is said when the server refuses. */
static enum ctl_exit write_lease(struct ctl *ctl, const char *path, struct buf *request, const ProtobufCMessageDescriptor *type, const char *what,
                                 ProtobufCMessage **out_message)
{
    struct calls_answer answer;
    enum ctl_exit code = CTL_OK;
    ctl_call(ctl, path, buf_slice(request), KVD_POLICY_WRITE, CALLS_ANY, &answer);
    buf_deinit(request);
    bool is_refused = answer.code != ERR_CODE_OK && !answer.is_unreachable && !answer.is_unknown && answer.code != ERR_CODE_UNIMPLEMENTED;
    if (is_refused) code = ctl_fail(CTL_ERROR, "failed to %s lease (%s)", what, ctl_error_text(&answer));
    else if (answer.code != ERR_CODE_OK) code = ctl_fail_answer(ctl, &answer);
    else *out_message = ctl_unpack(type, buf_slice(&answer.body));
    if (code == CTL_OK && *out_message == NULL) code = ctl_fail(CTL_ERROR, "the answer is not a %s", type->short_name);
    calls_answer_deinit(&answer);
    return code;
}

enum ctl_exit lease_command_grant(struct ctl *ctl, int count, const char **words)
{
    if (count != 1) return ctl_fail(CTL_BAD_ARGS, "lease grant command needs TTL argument");
    char *end = NULL;
    errno = 0;
    int64_t ttl = strtoll(words[0], &end, 10);
    if (end == words[0] || *end != '\0' || errno != 0) return ctl_fail(CTL_BAD_ARGS, "bad TTL (\"%s\")", words[0]);
    struct buf request;
    ProtobufCMessage *response = NULL;
    buf_init(&request);
    buf_put_pb_varint(&request, 1, (uint64_t)ttl);
    enum ctl_exit code =
        write_lease(ctl, PATH("LeaseGrant"), &request, &etcdserverpb__lease_grant_response__descriptor, "grant", &response);
    ASSERT((code == CTL_OK) == (response != NULL));
    if (code == CTL_OK) code = print_lease_grant(ctl, (const Etcdserverpb__LeaseGrantResponse *)response);
    if (response != NULL) protobuf_c_message_free_unpacked(response, NULL);
    return code;
}

enum ctl_exit lease_command_revoke(struct ctl *ctl, int count, const char **words)
{
    int64_t id = 0;
    if (count != 1) return ctl_fail(CTL_BAD_ARGS, "lease revoke command needs 1 argument");
    enum ctl_exit code = parse_id(words[0], &id);
    if (code != CTL_OK) return code;
    struct buf request;
    ProtobufCMessage *response = NULL;
    buf_init(&request);
    buf_put_pb_varint(&request, 1, (uint64_t)id);
    code = write_lease(ctl, PATH("LeaseRevoke"), &request, &etcdserverpb__lease_revoke_response__descriptor, "revoke", &response);
    ASSERT((code == CTL_OK) == (response != NULL));
    if (code == CTL_OK) code = print_lease_revoke(ctl, id, (const Etcdserverpb__LeaseRevokeResponse *)response);
    if (response != NULL) protobuf_c_message_free_unpacked(response, NULL);
    return code;
}

int lease_command_time_to_live_flags(struct ctl_options *options, struct flag *out_flags)
{
    ASSERT(options != NULL && out_flags != NULL);
    out_flags[0] = (struct flag){"keys", 0, FLAG_BOOL, &options->keys, NULL, "also the keys that belong to it", "Options", false};
    return 1;
}

enum ctl_exit lease_command_time_to_live(struct ctl *ctl, int count, const char **words)
{
    int64_t id = 0;
    if (count != 1) return ctl_fail(CTL_BAD_ARGS, "lease timetolive command needs lease ID as argument");
    enum ctl_exit code = parse_id(words[0], &id);
    if (code != CTL_OK) return code;
    struct buf request;
    ProtobufCMessage *response = NULL;
    buf_init(&request);
    buf_put_pb_varint(&request, 1, (uint64_t)id);
    if (ctl->options.keys) buf_put_pb_varint(&request, 2, 1);
    code = ctl_call_unpack(ctl, PATH("LeaseTimeToLive"), buf_slice(&request), KVD_POLICY_READ,
                           &etcdserverpb__lease_time_to_live_response__descriptor, &response);
    buf_deinit(&request);
    ASSERT((code == CTL_OK) == (response != NULL));
    if (code == CTL_OK) code = print_lease_time_to_live(ctl, (const Etcdserverpb__LeaseTimeToLiveResponse *)response, ctl->options.keys);
    if (response != NULL) protobuf_c_message_free_unpacked(response, NULL);
    return code;
}

enum ctl_exit lease_command_list(struct ctl *ctl, int count, const char **words)
{
    ProtobufCMessage *response = NULL;
    ASSERT(words != NULL);
    if (count != 0) return ctl_fail(CTL_BAD_ARGS, "lease list command takes no arguments");
    enum ctl_exit code = ctl_call_unpack(ctl, PATH("LeaseLeases"), slice_empty(), KVD_POLICY_READ,
                                         &etcdserverpb__lease_leases_response__descriptor, &response);
    ASSERT((code == CTL_OK) == (response != NULL));
    if (code == CTL_OK) code = print_lease_list(ctl, (const Etcdserverpb__LeaseLeasesResponse *)response);
    if (response != NULL) protobuf_c_message_free_unpacked(response, NULL);
    return code;
}

/* --- keep-alive -------------------------------------------------------------------------------------------------------------- */

int lease_command_keep_alive_flags(struct ctl_options *options, struct flag *out_flags)
{
    ASSERT(options != NULL && out_flags != NULL);
    out_flags[0] = (struct flag){"once", 0, FLAG_BOOL, &options->once, NULL, "renew it once, and end", "Options", false};
    return 1;
}

struct renewal {
    struct live live;
    uint32_t count;
    enum ctl_exit code;
};

static bool on_renewed(void *context, const Etcdserverpb__LeaseKeepAliveResponse *response)
{
    struct renewal *renewal = context;
    struct ctl *ctl = renewal->live.ctl;
    renewal->count++;
    renewal->code = print_lease_keep_alive(ctl, response);
    if (fflush(stdout) != 0) renewal->code = ctl_fail(CTL_ERROR, "standard output cannot be written");
    return renewal->code == CTL_OK && !ctl->options.once;
}

static bool goes_on(const struct renewal *renewal, const struct keepalive *keepalive)
{
    bool has_enough = renewal->code != CTL_OK || (renewal->count > 0 && renewal->live.ctl->options.once);
    return !has_enough && keepalive_state(keepalive) == KEEPALIVE_RUNS && ear_signal(renewal->live.ear) == 0;
}

/* A lease that is gone is an error to --once only, as with etcdctl. */
static enum ctl_exit judge(const struct renewal *renewal, const struct keepalive *keepalive, int64_t id)
{
    struct ctl *ctl = renewal->live.ctl;
    const struct calls_answer *refusal = keepalive_refusal(keepalive);
    switch (keepalive_state(keepalive)) {
    case KEEPALIVE_RUNS: return CTL_OK;
    case KEEPALIVE_REFUSED: return ctl_fail_answer(ctl, refusal);
    case KEEPALIVE_EXPIRED:
        if (renewal->count == 0 && refusal->text != NULL) return ctl_fail_answer(ctl, refusal);
        if (renewal->count == 0) return ctl_fail(CTL_BAD_CONNECTION, "context deadline exceeded");
        break;
    case KEEPALIVE_GONE:
        if (ctl->options.once) return ctl_fail(CTL_BAD_CONNECTION, "etcdserver: requested lease not found");
        break;
    }
    if (ctl->format == CTL_SIMPLE) printf("lease %016" PRIx64 " expired or revoked.\n", (uint64_t)id);
    return CTL_OK;
}

enum ctl_exit lease_command_keep_alive(struct ctl *ctl, int count, const char **words)
{
    int64_t id = 0;
    struct renewal renewal = {.code = CTL_OK};
    if (count != 1) return ctl_fail(CTL_BAD_ARGS, "lease keep-alive command needs lease ID as argument");
    if (ctl->format == CTL_TABLE) return print_message_no_format(ctl);
    enum ctl_exit code = parse_id(words[0], &id);
    if (code != CTL_OK) return code;
    live_init(&renewal.live, ctl, false);
    uint64_t until_ns = clock_mono_ns() + ctl->globals.command_timeout_ns; /* how long it lives is known from the first answer on */
    struct keepalive *keepalive = keepalive_new(&renewal.live, id, until_ns, on_renewed, &renewal);
    while (goes_on(&renewal, keepalive)) live_step(&renewal.live);
    ctl->signal = ear_signal(renewal.live.ear);
    code = renewal.code;
    if (code == CTL_OK && ctl->signal == 0) code = judge(&renewal, keepalive, id);
    keepalive_free(keepalive);
    live_deinit(&renewal.live);
    return code;
}
