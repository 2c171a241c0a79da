/* history_command: see the header. Pages are printed as they come, but for JSON and tables, which need them all. */
#include "history_command.h"

#include <string.h>
#include <strings.h>

#include "base/assert.h"
#include "extra.h"
#include "kv_request.h"
#include "print_extra.h"

int history_command_flags(struct ctl_options *o, struct flag *out_flags)
{
    o->consistency = "l";
    o->order = "DESCEND";
    const struct flag flags[] = {
        {"consistency", 0, FLAG_STRING, &o->consistency, "<l|s>", "linearizable (l) or serializable (s)", "Options", false},
        {"prefix", 0, FLAG_BOOL, &o->prefix, NULL, "all keys that begin with <key>", "Options", false},
        {"from-key", 0, FLAG_BOOL, &o->from_key, NULL, "all keys from <key> on, in byte order", "Options", false},
        {"from-rev", 0, FLAG_I64, &o->from_rev, "<revision>", "changed at or after; 0 = from what is retained", "Options", false},
        {"to-rev", 0, FLAG_I64, &o->to_rev, "<revision>", "changed at or before; 0 = to now", "Options", false},
        {"order", 0, FLAG_STRING, &o->order, "<order>", "DESCEND (newest first) or ASCEND", "Options", false},
        {"limit", 0, FLAG_I64, &o->limit, "<n>", "at most so many versions; 0 = all", "Options", false},
        {"keys-only", 0, FLAG_BOOL, &o->keys_only, NULL, "without values", "Options", false},
    };
    memcpy(out_flags, flags, sizeof flags);
    return (int)(sizeof flags / sizeof flags[0]);
}

/* All of it but the limit and the token, which go from page to page. */
static enum ctl_exit make_request(const struct ctl_options *options, int count, const char **words, struct buf *out)
{
    enum ctl_exit code = kv_request_interval(options, "history", count, words, out);
    if (code != CTL_OK) return code;
    bool is_serializable = strcmp(options->consistency, "s") == 0, is_ascending = strcasecmp(options->order, "ASCEND") == 0;
    if (!is_serializable && strcmp(options->consistency, "l") != 0)
        return ctl_fail(CTL_BAD_FEATURE, "unknown consistency flag \"%s\"", options->consistency);
    if (!is_ascending && strcasecmp(options->order, "DESCEND") != 0) return ctl_fail(CTL_BAD_FEATURE, "bad sort order %s", options->order);
    ASSERT(out->size > 0);
    buf_put_pb_varint(out, 3, (uint64_t)options->from_rev);
    buf_put_pb_varint(out, 4, (uint64_t)options->to_rev);
    buf_put_pb_varint(out, 5, is_ascending);
    buf_put_pb_varint(out, 7, options->keys_only);
    buf_put_pb_varint(out, 8, is_serializable);
    return CTL_OK;
}

enum ctl_exit history_command_run(struct ctl *ctl, int count, const char **words)
{
    struct buf request;
    struct print_history print;
    int64_t left = ctl->options.limit;
    bool has_next = true;
    buf_init(&request);
    enum ctl_exit code = make_request(&ctl->options, count, words, &request);
    size_t size = request.size;
    print_history_begin(&print, ctl);
    while (code == CTL_OK && has_next) {
        ProtobufCMessage *message = NULL;
        if (ctl->options.limit > 0) buf_put_pb_varint(&request, 6, (uint64_t)left);
        code = extra_call(ctl, "/kvd.v1.Extra/History", buf_slice(&request), KVD_POLICY_READ, CALLS_ANY,
                          &kvd__v1__history_response__descriptor, &message);
        if (code != CTL_OK) break;
        const Kvd__V1__HistoryResponse *page = (const Kvd__V1__HistoryResponse *)message;
        print_history_page(&print, page);
        left -= (int64_t)page->n_events;
        has_next = page->next.len > 0 && (ctl->options.limit <= 0 || left > 0);
        request.size = size;
        buf_put_pb_bytes(&request, 9, slice_make(page->next.data, page->next.len));
        protobuf_c_message_free_unpacked(message, NULL);
    }
    print_history_end(&print, code == CTL_OK);
    buf_deinit(&request);
    return code;
}
