/* mvcc_import: a store's content from its versions in the order of keys, in linear time.
 *
 * Each key's versions come oldest first. The index is built from the bottom (nodes are filled up to MVCC_IMPORT_LEAF and _INNER, so that the
 * first puts afterwards do not split every one of them); the history by the ordinals: an entry goes straight to its place.
 * Nothing that comes in is trusted: keys that do not ascend, places that are taken, gaps, sums that do not fit: refused with a text.
 * Owner: mvcc_import_new/_free. Thread: one. Limits: memory as the content; history_count is bounded by the caller.
 */
#ifndef STORAGE_MVCC_IMPORT_H
#define STORAGE_MVCC_IMPORT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/mvcc_content.h"
#include "storage/mvcc_export.h"

#define MVCC_IMPORT_LEAF 52
#define MVCC_IMPORT_INNER 54

struct mvcc_import;
struct mvcc_import *mvcc_import_new(const struct mvcc_export_image *image); /* its numbers; no pin, no pointer is looked at */
void mvcc_import_free(struct mvcc_import *import); /* accepts NULL; not bounded: a refused import is rare */
/* False: it does not fit; see mvcc_import_complaint. Copies key and value. version->kv.key may be empty if !is_first. */
bool mvcc_import_put(struct mvcc_import *import, const struct mvcc_export_version *version);
/* After the last version: links and checks about `budget` entries of the history. True while there is more to do. */
bool mvcc_import_finish_step(struct mvcc_import *import, size_t budget);
/* When the steps are over: the content, or NULL if it is not what the image promises. */
struct mvcc_content *mvcc_import_take(struct mvcc_import *import);
const char *mvcc_import_complaint(const struct mvcc_import *import); /* NULL = none */

#endif
