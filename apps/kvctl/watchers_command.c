/* watchers_command: see the header. A watcher's name on the command line is MEMBER/STREAM/ID, as the list prints it. */
#include "watchers_command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "endpoint_command.h"
#include "extra.h"
#include "kv_request.h"
#include "member_command.h"
#include "print_extra.h"
#include "print_message.h"

int watchers_command_list_flags(struct ctl_options *o, struct flag *out_flags)
{
    int count = endpoint_command_flags(o, out_flags);
    const struct flag flags[] = {
        {"prefix", 0, FLAG_BOOL, &o->prefix, NULL, "who watches some key that begins with <key>", "Options", false},
        {"from-key", 0, FLAG_BOOL, &o->from_key, NULL, "who watches some key from <key> on", "Options", false},
    };
    memcpy(out_flags + count, flags, sizeof flags);
    return count + (int)(sizeof flags / sizeof flags[0]);
}

/* All pages of one endpoint. A member that was told already, by another of its URLs, is passed over. */
static enum ctl_exit list_endpoint(struct ctl *ctl, size_t endpoint, const struct buf *interval, struct print_watchers *print)
{
    struct buf request;
    enum ctl_exit code = CTL_OK;
    bool has_next = true;
    buf_init(&request);
    buf_put_slice(&request, buf_slice(interval));
    for (bool is_first = true; code == CTL_OK && has_next; is_first = false) {
        ProtobufCMessage *message = NULL;
        code = extra_call(ctl, "/kvd.v1.Extra/Watchers", buf_slice(&request), KVD_POLICY_READ, endpoint, &kvd__v1__watchers_response__descriptor,
                          &message);
        if (code != CTL_OK) break;
        const Kvd__V1__WatchersResponse *page = (const Kvd__V1__WatchersResponse *)message;
        has_next = print_watchers_page(print, ctl->endpoints[endpoint], page, is_first) && page->next != 0;
        request.size = interval->size;
        buf_put_pb_varint(&request, 4, page->next);
        protobuf_c_message_free_unpacked(message, NULL);
    }
    buf_deinit(&request);
    return code;
}

enum ctl_exit watchers_command_list(struct ctl *ctl, int count, const char **words)
{
    struct buf interval;
    struct print_watchers print;
    enum ctl_exit code = CTL_OK;
    if (ctl->format == CTL_PROTOBUF) return print_message_no_format(ctl); /* it would be a response of each member */
    bool is_all = count == 0 && !ctl->options.prefix && !ctl->options.from_key;
    buf_init(&interval);
    if (!is_all) code = kv_request_interval(&ctl->options, "watchers list", count, words, &interval);
    if (code == CTL_OK && ctl->options.cluster) code = member_command_use_cluster(ctl);
    if (code == CTL_OK) {
        print_watchers_begin(&print, ctl);
        for (size_t i = 0; i < ctl->endpoint_count; i++) {
            enum ctl_exit one = list_endpoint(ctl, i, &interval, &print);
            if (one != CTL_OK) code = one;
        }
        ASSERT(ctl->endpoint_count > 0);
        print_watchers_end(&print);
    }
    buf_deinit(&interval);
    return code;
}

/* --- cancel ------------------------------------------------------------------------------------------------------------------ */

static bool parse_name(const char *word, uint64_t *out_member, uint64_t *out_stream, int64_t *out_id)
{
    char *end = NULL;
    errno = 0;
    *out_member = strtoull(word, &end, 16);
    if (end == word || *end != '/') return false;
    const char *stream = end + 1;
    *out_stream = strtoull(stream, &end, 16);
    if (end == stream || *end != '/') return false;
    const char *id = end + 1;
    *out_id = strtoll(id, &end, 10);
    return end != id && *end == '\0' && errno == 0;
}

/* Each endpoint in turn, until one is the member that the watcher's name begins with. */
static enum ctl_exit cancel_one(struct ctl *ctl, const char *word)
{
    uint64_t member, stream;
    int64_t id;
    if (!parse_name(word, &member, &stream, &id))
        return ctl_fail(CTL_BAD_ARGS, "bad watcher \"%s\", expecting MEMBER/STREAM/ID as `watchers list` prints it", word);
    struct buf request;
    bool is_asked = false;
    enum ctl_exit code = CTL_OK;
    buf_init(&request);
    buf_put_pb_varint(&request, 1, member);
    buf_put_pb_varint(&request, 2, stream);
    buf_put_pb_varint(&request, 3, (uint64_t)id);
    for (size_t i = 0; i < ctl->endpoint_count && !is_asked && code == CTL_OK; i++) {
        struct calls_answer answer;
        ctl_call(ctl, "/kvd.v1.Extra/CancelWatcher", buf_slice(&request), KVD_POLICY_WRITE, i, &answer);
        bool is_other = answer.code == err_grpc_code(ERR_OTHER_MEMBER) && strcmp(answer.text, err_text(ERR_OTHER_MEMBER)) == 0;
        is_asked = answer.code == ERR_CODE_OK;
        if (!is_asked && !is_other && !answer.is_unreachable) code = extra_fail_answer(ctl, &answer);
        calls_answer_deinit(&answer);
    }
    if (code == CTL_OK && !is_asked)
        code = ctl_fail(CTL_ERROR, "no endpoint that could be reached is member %" PRIx64 "; --cluster asks all members", member);
    if (code == CTL_OK) printf("watcher %s canceled\n", word);
    buf_deinit(&request);
    return code;
}

enum ctl_exit watchers_command_cancel(struct ctl *ctl, int count, const char **words)
{
    if (count < 1) return ctl_fail(CTL_BAD_ARGS, "watchers cancel command needs at least one watcher, MEMBER/STREAM/ID");
    enum ctl_exit code = ctl->options.cluster ? member_command_use_cluster(ctl) : CTL_OK;
    for (int i = 0; i < count && code == CTL_OK; i++) {
        ASSERT(words[i] != NULL);
        code = cancel_one(ctl, words[i]);
    }
    return code;
}
