/* member_command: the Cluster service's MemberList. */
#include "member_command.h"

#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "print.h"

int member_command_list_flags(struct ctl_options *options, struct flag *out_flags)
{
    ASSERT(options != NULL && out_flags != NULL);
    options->consistency = "l";
    out_flags[0] = (struct flag){"consistency", 0, FLAG_STRING, &options->consistency, "<l|s>",
                                 "linearizable (l) or what one member knows (s)", "Options", false};
    return 1;
}

static enum ctl_exit fetch(struct ctl *ctl, bool is_linearizable, ProtobufCMessage **out_response)
{
    struct buf request;
    buf_init(&request);
    if (is_linearizable) buf_put_pb_varint(&request, 1, 1);
    enum ctl_exit code = ctl_call_unpack(ctl, "/etcdserverpb.Cluster/MemberList", buf_slice(&request), KVD_POLICY_READ,
                                         &etcdserverpb__member_list_response__descriptor, out_response);
    ASSERT(code != CTL_OK || *out_response != NULL);
    buf_deinit(&request);
    return code;
}

enum ctl_exit member_command_list(struct ctl *ctl, int count, const char **words)
{
    ASSERT(words != NULL);
    if (count != 0) return ctl_fail(CTL_BAD_ARGS, "member list command takes no arguments");
    bool is_serializable = strcmp(ctl->options.consistency, "s") == 0;
    if (!is_serializable && strcmp(ctl->options.consistency, "l") != 0)
        return ctl_fail(CTL_BAD_FEATURE, "unknown consistency flag \"%s\"", ctl->options.consistency);
    ProtobufCMessage *response = NULL;
    enum ctl_exit code = fetch(ctl, !is_serializable, &response);
    if (code != CTL_OK) return code;
    code = print_members(ctl, (const Etcdserverpb__MemberListResponse *)response);
    protobuf_c_message_free_unpacked(response, NULL);
    return code;
}

enum ctl_exit member_command_use_cluster(struct ctl *ctl)
{
    ProtobufCMessage *response = NULL;
    enum ctl_exit code = fetch(ctl, false, &response);
    if (code != CTL_OK) return code;
    const Etcdserverpb__MemberListResponse *list = (const Etcdserverpb__MemberListResponse *)response;
    struct buf urls;
    buf_init(&urls);
    for (size_t i = 0; i < list->n_members; i++)
        for (size_t k = 0; k < list->members[i]->n_clienturls; k++)
            buf_printf(&urls, "%s%s", urls.size == 0 ? "" : ",", list->members[i]->clienturls[k]);
    buf_put_u8(&urls, '\0');
    ASSERT(urls.size >= 1);
    const struct flags_list all = {.words = {(const char *)urls.blob->data}, .count = 1};
    code = ctl_connect(ctl, &all);
    buf_deinit(&urls);
    protobuf_c_message_free_unpacked(response, NULL);
    return code;
}
