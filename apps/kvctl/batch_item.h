/* batch_item: one line of a batch: its request, which keys it is about, and what came of it.
 *
 * Owner: embedded, batch_item_init/_deinit; used again for other lines. Thread: main.
 * Limits: what WORDS_MAX and BATCH_LINE_BYTES_MAX let through.
 */
#ifndef KVCTL_BATCH_ITEM_H
#define KVCTL_BATCH_ITEM_H
#include "base/buf.h"
#include "ctl.h"
#include "txn_build.h"

struct batch_op;
struct batch_item {
    uint64_t line;
    const struct batch_op *op;  /* NULL: the line is wrong */
    struct buf request;
    uint64_t call;              /* for calls_cancel */
    bool is_done;
    bool print_value_only, has_ttl;
    int64_t lease;              /* of lease revoke */
    /* The keys: [start, end), or one; for what needs to be alone: all. */
    struct slice start, end;    /* into request; end "" = one key, "\0" = no end */
    uint64_t hash;              /* of one key */
    /* What came of it. */
    const char *error_kind;     /* NULL = it was done; a gRPC code's name, or "INVALID" */
    bool is_unknown;
    struct buf error, response;
};

void batch_item_init(struct batch_item *item);
void batch_item_deinit(struct batch_item *item);
/* The words of line number `line` into the item, which was free. What is wrong is its outcome. */
void batch_item_parse(struct batch_item *item, uint64_t line, int count, char **words);
/* A transaction that begins at `line`. */
void batch_item_txn(struct batch_item *item, uint64_t line, const struct txn_build *build);
void batch_item_fail(struct batch_item *item, uint64_t line, const char *why);
const char *batch_item_path(const struct batch_item *item);
enum kvd_policy batch_item_policy(const struct batch_item *item);
size_t batch_item_bytes(const struct batch_item *item);
/* True: the second may be started only when the first is done. */
bool batch_item_blocks(const struct batch_item *first, const struct batch_item *second);
void batch_item_take(struct batch_item *item, const struct calls_result *result); /* the answer */
/* Prints the outcome in the format of ctl; what failed to stderr, or, with -w json, as an object like all. */
void batch_item_print(const struct batch_item *item, struct ctl *ctl, bool is_quiet);

#endif
