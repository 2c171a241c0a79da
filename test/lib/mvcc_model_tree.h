/* mvcc_model_tree: keys of many shapes for the store's tests, and a look at the whole of its tree.
 * Owner: nothing is kept. Thread: one. */
#ifndef TEST_LIB_MVCC_MODEL_TREE_H
#define TEST_LIB_MVCC_MODEL_TREE_H
#include <check.h>
#include <stdint.h>

#include "storage/mvcc.h"

#define MVCC_MODEL_KEY_MAX 4400
#define MVCC_MODEL_KEY_STYLES 5

/* As ck_assert, which writes to a pipe each time, where millions are asked. */
#define EXPECT(condition) \
    do { \
        if (!(condition)) ck_abort_msg("%s", #condition); \
    } while (0)

/* --- comparing ------------------------------------------------------------------------------------------------------------- */

/* The key with that number; in styles 0 to 2 different numbers make different keys. `room` has MVCC_MODEL_KEY_MAX bytes.
 * Styles: 0 folders with long names; 1 binary; 2 decimal numbers; 3 long; 4 everything mixed. */
struct slice mvcc_model_key(uint32_t style, uint32_t number, char *room);
/* Counts in inner nodes, bounds of separators, order and heads of the whole tree; the number of live keys. */
uint64_t mvcc_model_check_tree(const struct mvcc_view *view);

#endif
