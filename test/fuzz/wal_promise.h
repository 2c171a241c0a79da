/* wal_promise: what holds of a log whose bytes were edited before a member starts on it. An input is edits as wal_edit_apply reads them; a byte
 * behind the last whole one says up to where the member has a snapshot: half of the values as the script left it, the others none, an entry,
 * or one beyond the log.
 *
 * A disk may do anything to bytes but make checksums fit: after such edits the log is either refused with a message, or it opens as it was
 * after one of its batches, none older than the newest batch that an untouched durable mark covers; and it goes on from there. After an
 * edit that forges checksums nothing is promised about the content, but recovery must end all the same.
 * Thread: one.
 */
#ifndef TEST_FUZZ_WAL_PROMISE_H
#define TEST_FUZZ_WAL_PROMISE_H
#include "fuzz/wal_edit.h"

/* ASSERTs it. */
void wal_promise_check(struct wal_edit *edit, struct slice input);

#endif
