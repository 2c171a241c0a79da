/* range_memo: how many keys there are in the rest of an interval at a revision, for a client that reads it page after page.
 *
 * A page with a limit knows the count of what it was asked and how many rows it wrote; the difference is the count of the interval that the
 * client asks next, from behind the last row on at the same revision. What was counted at a revision stays true for ever, so nothing is
 * ever taken back: an entry that is overwritten costs its client a new count and no more.
 * Owner: range_memo_new/range_memo_free. Thread: its owner's.
 * Limits: RANGE_MEMO_PLACES entries, chosen by hash; RANGE_MEMO_BYTES_MAX bytes of key and end each.
 */
#ifndef STORAGE_RANGE_MEMO_H
#define STORAGE_RANGE_MEMO_H
#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

#define RANGE_MEMO_PLACES 512
#define RANGE_MEMO_BYTES_MAX 1024

struct range_memo;
struct range_memo *range_memo_new(void);
void range_memo_free(struct range_memo *memo); /* accepts NULL */

struct range_memo_key { /* slices borrowed */
    struct slice key, range_end;
    int64_t revision;
};
void range_memo_put(struct range_memo *memo, const struct range_memo_key *key, int64_t count);
bool range_memo_get(const struct range_memo *memo, const struct range_memo_key *key, int64_t *out_count);

#endif
