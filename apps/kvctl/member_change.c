/* member_change: see the header. */
#include "member_change.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/buf.h"
#include "etcdserverpb/rpc.pb-c.h"
#include "print_message.h"

#define PATH(method) "/etcdserverpb.Cluster/" method

int member_change_update_flags(struct ctl_options *options, struct flag *out_flags)
{
    options->peer_urls = "";
    out_flags[0] = (struct flag){"peer-urls", 0, FLAG_STRING, &options->peer_urls, "<list>", "where the others reach it, with commas",
                                 "Options", false};
    return 1;
}

int member_change_add_flags(struct ctl_options *options, struct flag *out_flags)
{
    int count = member_change_update_flags(options, out_flags);
    out_flags[count] = (struct flag){"learner", 0, FLAG_BOOL, &options->learner, NULL, "a member without a vote, for now", "Options", false};
    return count + 1;
}

static enum ctl_exit parse_id(const char *word, uint64_t *out_id)
{
    char *end = NULL;
    errno = 0;
    *out_id = strtoull(word, &end, 16);
    if (end != word && *end == '\0' && errno == 0 && word[0] != '-') return CTL_OK;
    return ctl_fail(CTL_BAD_ARGS, "bad member ID arg (%s), expecting ID in Hex", word);
}

/* Each URL as field `field`. */
static enum ctl_exit put_urls(const char *urls, uint32_t field, struct buf *out)
{
    if (urls[0] == '\0') return ctl_fail(CTL_BAD_ARGS, "member peer urls not provided");
    for (const char *at = urls; *at != '\0';) {
        size_t size = strcspn(at, ",");
        buf_put_pb_bytes(out, field, slice_make(at, size));
        at += size + (at[size] == ',');
    }
    return CTL_OK;
}

static uint64_t cluster_id(const Etcdserverpb__ResponseHeader *header) { return header == NULL ? 0 : header->cluster_id; }

/* What the new member is to be started with. */
static void print_settings(const char *name, const char *urls, const Etcdserverpb__MemberAddResponse *response)
{
    bool is_first = true;
    printf("\nETCD_NAME=\"%s\"\nETCD_INITIAL_CLUSTER=\"", name);
    for (size_t i = 0; i < response->n_members; i++) {
        const Etcdserverpb__Member *member = response->members[i];
        for (size_t k = 0; k < member->n_peerurls; k++, is_first = false)
            printf("%s%s=%s", is_first ? "" : ",", member->id == response->member->id ? name : member->name, member->peerurls[k]);
    }
    printf("\"\nETCD_INITIAL_ADVERTISE_PEER_URLS=\"%s\"\nETCD_INITIAL_CLUSTER_STATE=\"existing\"\n", urls);
}

enum ctl_exit member_change_add(struct ctl *ctl, int count, const char **words)
{
    struct buf request;
    ProtobufCMessage *message = NULL;
    if (count < 1) return ctl_fail(CTL_BAD_ARGS, "member name not provided");
    if (count > 1) return ctl_fail(CTL_BAD_ARGS, "too many arguments");
    buf_init(&request);
    enum ctl_exit code = put_urls(ctl->options.peer_urls, 1, &request);
    if (ctl->options.learner) buf_put_pb_varint(&request, 2, 1);
    if (code == CTL_OK)
        code = ctl_call_unpack(ctl, PATH("MemberAdd"), buf_slice(&request), KVD_POLICY_WRITE, &etcdserverpb__member_add_response__descriptor,
                               &message);
    buf_deinit(&request);
    if (code != CTL_OK) return code;
    const Etcdserverpb__MemberAddResponse *response = (const Etcdserverpb__MemberAddResponse *)message;
    if (ctl->format == CTL_JSON || ctl->format == CTL_PROTOBUF) {
        code = print_message(ctl, message);
    } else if (ctl->format != CTL_SIMPLE) {
        code = print_message_no_format(ctl);
    } else if (response->member == NULL) {
        code = ctl_fail(CTL_ERROR, "the answer names no member");
    } else {
        printf("Member %16" PRIx64 " added to cluster %16" PRIx64 "\n", response->member->id, cluster_id(response->header));
        print_settings(words[0], ctl->options.peer_urls, response);
    }
    protobuf_c_message_free_unpacked(message, NULL);
    return code;
}

/* A call about one member. Every response has its header first. `done`: "removed from". */
static enum ctl_exit change(struct ctl *ctl, const char *path, uint64_t id, struct buf *request, const ProtobufCMessageDescriptor *type,
                            const char *done)
{
    ProtobufCMessage *message = NULL;
    enum ctl_exit code = ctl_call_unpack(ctl, path, buf_slice(request), KVD_POLICY_WRITE, type, &message);
    if (code != CTL_OK) return code;
    const Etcdserverpb__MemberRemoveResponse *response = (const Etcdserverpb__MemberRemoveResponse *)message; /* all three are alike */
    if (ctl->format == CTL_JSON || ctl->format == CTL_PROTOBUF) code = print_message(ctl, message);
    else if (ctl->format != CTL_SIMPLE) code = print_message_no_format(ctl);
    else printf("Member %16" PRIx64 " %s cluster %16" PRIx64 "\n", id, done, cluster_id(response->header));
    protobuf_c_message_free_unpacked(message, NULL);
    return code;
}

static enum ctl_exit change_by_id(struct ctl *ctl, int count, const char **words, const char *path, const ProtobufCMessageDescriptor *type,
                                  bool has_urls, const char *done)
{
    uint64_t id = 0;
    struct buf request;
    if (count != 1) return ctl_fail(CTL_BAD_ARGS, "member ID is not provided");
    enum ctl_exit code = parse_id(words[0], &id);
    if (code != CTL_OK) return code;
    buf_init(&request);
    buf_put_pb_varint(&request, 1, id);
    if (has_urls) code = put_urls(ctl->options.peer_urls, 2, &request);
    if (code == CTL_OK) code = change(ctl, path, id, &request, type, done);
    buf_deinit(&request);
    return code;
}

enum ctl_exit member_change_remove(struct ctl *ctl, int count, const char **words)
{
    return change_by_id(ctl, count, words, PATH("MemberRemove"), &etcdserverpb__member_remove_response__descriptor, false, "removed from");
}

enum ctl_exit member_change_update(struct ctl *ctl, int count, const char **words)
{
    return change_by_id(ctl, count, words, PATH("MemberUpdate"), &etcdserverpb__member_update_response__descriptor, true, "updated in");
}

enum ctl_exit member_change_promote(struct ctl *ctl, int count, const char **words)
{
    return change_by_id(ctl, count, words, PATH("MemberPromote"), &etcdserverpb__member_promote_response__descriptor, false, "promoted in");
}
