/* txn_block: a transaction over several lines, in the interactive mode and in a batch: TXN, then IF, THEN and ELSE, each followed by lines, and
 * END, or ABORT; words in any case. A keyword may have its first line behind it. Compares are etcdctl's, the rest are commands.
 * Owner: txn_block_init/_deinit. Thread: main. Limits: txn_build.h. */
#ifndef KVCTL_TXN_BLOCK_H
#define KVCTL_TXN_BLOCK_H
#include "txn_build.h"

enum txn_block_state {
    TXN_BLOCK_MORE,  /* it goes on */
    TXN_BLOCK_END,   /* block->build is whole */
    TXN_BLOCK_ABORT,
    TXN_BLOCK_WRONG, /* the line adds nothing, and why was said (ctl_fail); it goes on */
};

struct txn_block {
    struct txn_build build;
    enum txn_part part;  /* that the next line belongs to */
    struct arena arena;  /* the words of a line */
};

void txn_block_init(struct txn_block *block);
void txn_block_deinit(struct txn_block *block);
void txn_block_begin(struct txn_block *block); /* behind TXN */
enum txn_block_state txn_block_line(struct txn_block *block, const char *line);

#endif
