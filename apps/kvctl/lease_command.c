/* lease_command: see the header. */
#include "lease_command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/buf.h"
#include "print_lease.h"

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
    enum ctl_exit code = ctl_call_unpack(ctl, PATH("LeaseGrant"), buf_slice(&request), RPC_CLIENT_WRITE,
                                         &etcdserverpb__lease_grant_response__descriptor, &response);
    buf_deinit(&request);
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
    code = ctl_call_unpack(ctl, PATH("LeaseRevoke"), buf_slice(&request), RPC_CLIENT_WRITE, &etcdserverpb__lease_revoke_response__descriptor,
                           &response);
    buf_deinit(&request);
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
    code = ctl_call_unpack(ctl, PATH("LeaseTimeToLive"), buf_slice(&request), RPC_CLIENT_READ,
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
    enum ctl_exit code = ctl_call_unpack(ctl, PATH("LeaseLeases"), slice_empty(), RPC_CLIENT_READ,
                                         &etcdserverpb__lease_leases_response__descriptor, &response);
    ASSERT((code == CTL_OK) == (response != NULL));
    if (code == CTL_OK) code = print_lease_list(ctl, (const Etcdserverpb__LeaseLeasesResponse *)response);
    if (response != NULL) protobuf_c_message_free_unpacked(response, NULL);
    return code;
}
