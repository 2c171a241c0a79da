/* fuzz_wal_reuse: edits of a log behind a snapshot, whose files have been segments before and still hold what those wrote. See
 * wal_promise.h. */
#include "fuzz/fuzz.h"
#include "fuzz/wal_promise.h"

static struct wal_edit *edit; /* the same for every input */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (edit == NULL) edit = wal_edit_learn(wal_rig_script_reuse);
    wal_promise_check(edit, slice_make(data, size));
    return 0;
}
