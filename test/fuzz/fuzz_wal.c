/* fuzz_wal: edits of a log that begins at its first entry. See wal_promise.h. */
#include "fuzz/fuzz.h"
#include "fuzz/wal_promise.h"

static struct wal_edit *edit; /* the same for every input */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (edit == NULL) edit = wal_edit_learn(wal_rig_script);
    wal_promise_check(edit, slice_make(data, size));
    return 0;
}
