/* batch_atomic: see the header. */
#include "batch_atomic.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "batch_command.h"
#include "etcdserverpb/rpc.pb-c.h"
#include "print.h"
#include "print_message.h"
#include "txn_build.h"

struct batch_atomic {
    struct txn_build build;
    uint64_t lines[BATCH_GROUP_MAX];
    size_t count;
    uint64_t wrong_line; /* the first; 0 = none */
    struct buf wrong;    /* why */
};

struct batch_atomic *batch_atomic_new(void)
{
    struct batch_atomic *group = ALLOC(struct batch_atomic);
    txn_build_init(&group->build);
    buf_init(&group->wrong);
    return group;
}

void batch_atomic_free(struct batch_atomic *group)
{
    if (group == NULL) return;
    buf_deinit(&group->wrong);
    txn_build_deinit(&group->build);
    alloc_free(group);
}

void batch_atomic_add(struct batch_atomic *group, uint64_t line, int count, char **words, const char *wrong)
{
    if (group->wrong_line != 0 && group->count == BATCH_GROUP_MAX) return;
    struct buf text;
    buf_init(&text);
    enum ctl_exit code = wrong == NULL ? CTL_OK : CTL_INVALID_INPUT;
    ctl_fail_into(&text);
    if (group->count == BATCH_GROUP_MAX) code = ctl_fail(CTL_INVALID_INPUT, "more than %d lines of one transaction", BATCH_GROUP_MAX);
    else if (wrong != NULL) code = ctl_fail(CTL_INVALID_INPUT, "%s", wrong);
    else code = txn_build_operation(&group->build, TXN_THEN, count, words, words[0]);
    ctl_fail_into(NULL);
    if (group->count < BATCH_GROUP_MAX) group->lines[group->count++] = line;
    if (code != CTL_OK && group->wrong_line == 0) {
        group->wrong_line = line;
        buf_put_slice(&group->wrong, buf_slice(&text));
    }
    buf_deinit(&text);
}

/* A line's part of the response; NULL: there is none. */
static const ProtobufCMessage *part_of(const Etcdserverpb__TxnResponse *response, size_t place)
{
    if (place >= response->n_responses) return NULL;
    const Etcdserverpb__ResponseOp *op = response->responses[place];
    switch (op->response_case) {
    case ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE: return &op->response_range->base;
    case ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_PUT: return &op->response_put->base;
    case ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_DELETE_RANGE: return &op->response_delete_range->base;
    default: return NULL;
    }
}

static void print_object(uint64_t line, const ProtobufCMessage *message, const char *error)
{
    struct json json;
    json_init(&json);
    json_open(&json, NULL, '{');
    json_number(&json, "line", line);
    json_bool(&json, "ok", error == NULL);
    if (message != NULL) print_message_json(&json, "result", message);
    if (error != NULL) json_string(&json, "error", error);
    json_close(&json, '}');
    json_print(&json);
    json_deinit(&json);
}

static void print_good(const struct batch_atomic *group, struct ctl *ctl, const Etcdserverpb__TxnResponse *response)
{
    if (ctl->format != CTL_JSON) {
        print_txn(ctl, response);
        return;
    }
    for (size_t i = 0; i < group->count; i++) print_object(group->lines[i], part_of(response, i), NULL);
}

/* `error` ends with a NUL. */
static void print_bad(const struct batch_atomic *group, const struct ctl *ctl, const char *error)
{
    uint64_t first = group->lines[0], last = group->lines[group->count - 1];
    if (ctl->format == CTL_JSON) {
        struct buf others;
        buf_init(&others);
        buf_printf(&others, "not sent, because of line %" PRIu64 ": %s", group->wrong_line, error);
        buf_put_u8(&others, '\0');
        for (size_t i = 0; i < group->count; i++) {
            bool is_other = group->wrong_line != 0 && group->lines[i] != group->wrong_line;
            print_object(group->lines[i], NULL, is_other ? (const char *)others.blob->data : error);
        }
        buf_deinit(&others);
        return;
    }
    if (group->wrong_line != 0) ctl_fail(CTL_INVALID_INPUT, "line %" PRIu64 ": %s (lines %" PRIu64 " to %" PRIu64 " are not sent)", group->wrong_line, error, first, last);
    else ctl_fail(CTL_ERROR, "lines %" PRIu64 " to %" PRIu64 ": %s", first, last, error);
}

enum ctl_exit batch_atomic_send(struct batch_atomic *group, struct ctl *ctl, bool is_quiet, uint64_t *out_done, uint64_t *out_failed)
{
    ProtobufCMessage *response = NULL;
    enum ctl_exit code = group->wrong_line == 0 ? CTL_OK : CTL_INVALID_INPUT;
    if (group->count == 0) return CTL_OK;
    if (code == CTL_OK) {
        ctl_fail_into(&group->wrong);
        code = txn_build_send(ctl, &group->build, &response);
        ctl_fail_into(NULL);
    }
    ASSERT((code == CTL_OK) == (response != NULL));
    buf_put_u8(&group->wrong, '\0');
    if (code != CTL_OK) print_bad(group, ctl, (const char *)group->wrong.blob->data);
    else if (!is_quiet) print_good(group, ctl, (const Etcdserverpb__TxnResponse *)response);
    if (response != NULL) protobuf_c_message_free_unpacked(response, NULL);
    *(code == CTL_OK ? out_done : out_failed) += group->count;
    txn_build_clear(&group->build);
    buf_clear(&group->wrong);
    group->count = 0;
    group->wrong_line = 0;
    return code;
}
