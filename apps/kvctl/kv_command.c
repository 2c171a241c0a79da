/* kv_command: the four commands of KV. */
#include "kv_command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "etcdserverpb/rpc.pb-c.h"
#include "kv_request.h"
#include "print.h"
#include "put_ttl.h"

#define VALUE_BYTES_MAX (256u << 20) /* of standard input */

int kv_command_compaction_flags(struct ctl_options *options, struct flag *out_flags)
{
    ASSERT(options != NULL && out_flags != NULL);
    out_flags[0] = (struct flag){"physical", 0, FLAG_BOOL, &options->physical, NULL,
                                 "answer only when the space is free", "Options", false};
    return 1;
}

struct pieces {
    const struct ctl *ctl;
    enum ctl_exit code;
};

/* Each is printed like an answer of its own, and -w json so has an object for each. */
static bool on_piece(void *context, struct slice body)
{
    struct pieces *pieces = context;
    ProtobufCMessage *message = ctl_unpack(&etcdserverpb__range_stream_response__descriptor, body);
    const Etcdserverpb__RangeStreamResponse *piece = (const Etcdserverpb__RangeStreamResponse *)message;
    if (piece == NULL) pieces->code = ctl_fail(CTL_ERROR, "a piece of the answer cannot be read");
    else if (piece->range_response != NULL) pieces->code = print_range(pieces->ctl, piece->range_response);
    if (message != NULL) protobuf_c_message_free_unpacked(message, NULL);
    return pieces->code == CTL_OK;
}

static enum ctl_exit get_stream(struct ctl *ctl, struct slice request)
{
    struct pieces pieces = {.ctl = ctl, .code = CTL_OK};
    struct calls_answer answer;
    ctl_stream(ctl, "/etcdserverpb.KV/RangeStream", request, on_piece, &pieces, &answer);
    if (pieces.code == CTL_OK && answer.code != ERR_CODE_OK) pieces.code = ctl_fail_answer(ctl, &answer);
    calls_answer_deinit(&answer);
    return pieces.code;
}

enum ctl_exit kv_command_get(struct ctl *ctl, int count, const char **words)
{
    struct buf request;
    ProtobufCMessage *response = NULL;
    buf_init(&request);
    enum ctl_exit code = kv_request_get(&ctl->options, count, words, &request);
    if (code != CTL_OK) goto out;
    if (ctl->options.print_value_only && ctl->format != CTL_SIMPLE) {
        code = ctl_fail(CTL_BAD_ARGS, "print-value-only is only for `--write-out=simple`");
        goto out;
    }
    if (ctl->options.count_only && ctl->format != CTL_FIELDS && ctl->format != CTL_JSON) {
        code = ctl_fail(CTL_BAD_ARGS, "--count-only is only for `--write-out=fields` or `--write-out=json`");
        goto out;
    }
    if (ctl->options.stream) {
        code = get_stream(ctl, buf_slice(&request));
        goto out;
    }
    code = ctl_call_unpack(ctl, "/etcdserverpb.KV/Range", buf_slice(&request), KVD_POLICY_READ,
                           &etcdserverpb__range_response__descriptor, &response);
    if (code != CTL_OK) goto out;
    ASSERT(response != NULL);
    code = print_range(ctl, (const Etcdserverpb__RangeResponse *)response);
    protobuf_c_message_free_unpacked(response, NULL);
out:
    buf_deinit(&request);
    return code;
}

static enum ctl_exit read_stdin(struct buf *value)
{
    for (;;) {
        buf_reserve(value, 65536);
        size_t got = fread(value->blob->data + value->size, 1, 65536, stdin);
        value->size += got;
        ASSERT(value->size <= value->capacity);
        if (got == 0) break;
        if (value->size > VALUE_BYTES_MAX) return ctl_fail(CTL_INVALID_INPUT, "the value on standard input is too large");
    }
    return ferror(stdin) ? ctl_fail(CTL_INVALID_INPUT, "standard input: %s", strerror(errno)) : CTL_OK;
}

/* One that was granted beforehand is printed like one that the put made. */
static const Etcdserverpb__PutResponse *with_lease(Etcdserverpb__PutResponse *response, const struct put_ttl *granted)
{
    ASSERT(granted->id == 0 || response->lease == 0);
    if (granted->id == 0) return response;
    response->lease = granted->id;
    response->ttl = granted->ttl;
    return response;
}

enum ctl_exit kv_command_put(struct ctl *ctl, int count, const char **words)
{
    struct buf request, value;
    struct put_ttl granted = {.id = 0};
    ProtobufCMessage *response = NULL;
    buf_init(&request);
    buf_init(&value);
    enum ctl_exit code = CTL_OK;
    if (count == 1 && !ctl->options.ignore_value) code = read_stdin(&value);
    struct slice bytes = buf_slice(&value);
    const struct slice *from_input = bytes.size == 0 ? NULL : &bytes; /* an empty value must be meant: it stands on the line */
    if (code == CTL_OK) code = kv_request_put(&ctl->options, count, words, from_input, &request);
    if (code == CTL_OK && ctl->options.ttl != NULL) {
        buf_clear(&request);
        code = put_ttl_prepare(ctl, &granted);
        if (code == CTL_OK) code = kv_request_put(&ctl->options, count, words, from_input, &request);
    }
    if (code == CTL_OK)
        code = ctl_call_unpack(ctl, "/etcdserverpb.KV/Put", buf_slice(&request), KVD_POLICY_WRITE,
                               &etcdserverpb__put_response__descriptor, &response);
    if (code != CTL_OK) goto out;
    ASSERT(response != NULL);
    code = print_put(ctl, with_lease((Etcdserverpb__PutResponse *)response, &granted));
    protobuf_c_message_free_unpacked(response, NULL);
out:
    buf_deinit(&value);
    buf_deinit(&request);
    return code;
}

enum ctl_exit kv_command_del(struct ctl *ctl, int count, const char **words)
{
    struct buf request;
    ProtobufCMessage *response = NULL;
    buf_init(&request);
    enum ctl_exit code = kv_request_del(&ctl->options, count, words, &request);
    if (code == CTL_OK)
        code = ctl_call_unpack(ctl, "/etcdserverpb.KV/DeleteRange", buf_slice(&request), KVD_POLICY_WRITE,
                               &etcdserverpb__delete_range_response__descriptor, &response);
    if (code != CTL_OK) goto out;
    ASSERT(response != NULL);
    code = print_del(ctl, (const Etcdserverpb__DeleteRangeResponse *)response);
    protobuf_c_message_free_unpacked(response, NULL);
out:
    buf_deinit(&request);
    return code;
}

enum ctl_exit kv_command_compaction(struct ctl *ctl, int count, const char **words)
{
    if (count != 1) return ctl_fail(CTL_BAD_ARGS, "compaction command needs 1 argument");
    char *end = NULL;
    errno = 0;
    int64_t revision = strtoll(words[0], &end, 10);
    if (end == words[0] || *end != '\0' || errno != 0)
        return ctl_fail(CTL_ERROR, "\"%s\" is not a revision", words[0]);
    struct buf request;
    ProtobufCMessage *response = NULL;
    buf_init(&request);
    if (revision != 0) buf_put_pb_varint(&request, 1, (uint64_t)revision);
    if (ctl->options.physical) buf_put_pb_varint(&request, 2, 1);
    enum ctl_exit code = ctl_call_unpack(ctl, "/etcdserverpb.KV/Compact", buf_slice(&request), KVD_POLICY_WRITE,
                                         &etcdserverpb__compaction_response__descriptor, &response);
    if (code == CTL_OK) {
        ASSERT(response != NULL);
        printf("compacted revision %" PRId64 "\n", revision);
        protobuf_c_message_free_unpacked(response, NULL);
    }
    buf_deinit(&request);
    return code;
}
