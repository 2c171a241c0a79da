/* batch_atomic: the lines of one transaction of batch --atomic, and what came of each.
 * Owner: batch_atomic_new/batch_atomic_free. Thread: main. Limits: BATCH_GROUP_MAX lines. */
#ifndef KVCTL_BATCH_ATOMIC_H
#define KVCTL_BATCH_ATOMIC_H
#include "ctl.h"

struct batch_atomic;
struct batch_atomic *batch_atomic_new(void);
void batch_atomic_free(struct batch_atomic *group); /* accepts NULL */
/* One more line. `wrong`: why it cannot be read; NULL = it can. */
void batch_atomic_add(struct batch_atomic *group, uint64_t line, int count, char **words, const char *wrong);
/* Sends the transaction, unless a line is wrong: then none is done; prints each line's outcome, and empties the group. */
enum ctl_exit batch_atomic_send(struct batch_atomic *group, struct ctl *ctl, bool is_quiet, uint64_t *out_done, uint64_t *out_failed);

#endif
