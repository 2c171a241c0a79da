/* mvcc_export: everything that a store retains at an image, key by key, in bounded steps beside the writer.
 *
 * An image is a handful of numbers, taken by the writer between two transactions, with a pin: it names the state at its revision, with all
 * that compaction at its mark leaves. The walk goes in the order of keys over a fresh view each step and leaves out what is newer than the
 * image; each key's versions come oldest first. Which they are: those from the mark on, and the one in force at the mark. Deletes below the
 * mark are told by nobody and stay out; so the hashes of what comes sum up to mvcc_hash(revision) of the image.
 *
 * The place of a version in the history: one walk along the history first notes where each revision begins (4 bytes per revision, held until
 * the end); inside a revision the record is found among its neighbours.
 * Records and chunks that a pin keeps do not move, so that pointers to them stay good from step to step, until another content takes the
 * store over (mvcc_adopt): then the views have another epoch, and the walk ends.
 * Owner: mvcc_export_new/_free. Thread: any registered RCU reader, inside its read sections; _freeze the writer. Limits: < 2^32 changes.
 */
#ifndef STORAGE_MVCC_EXPORT_H
#define STORAGE_MVCC_EXPORT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/mvcc.h"

struct mvcc_export_image {
    int64_t revision;
    int64_t compact_revision;
    uint64_t hash;          /* sums at the end of `revision`, see mvcc_history_log_sums */
    uint64_t superseded;
    uint64_t vanished;
    uint64_t garbage_hash;
    uint64_t live_keys;
    uint64_t live_bytes;
    uint64_t history_count; /* changes from the compact revision on */
    /* Of the running store only: */
    uint64_t history_first; /* ordinal of the first of them */
    uint64_t epoch;
    int pin;                /* -1 = none */
};
/* The writer, not inside a transaction. False: all pins are taken. What it froze must be published before others walk it. */
bool mvcc_export_freeze(struct mvcc *mvcc, struct mvcc_export_image *out_image);
void mvcc_export_thaw(struct mvcc *mvcc, struct mvcc_export_image *image); /* any thread; twice is harmless */

struct mvcc_export_version {
    bool is_first;    /* of its key */
    bool is_delete;   /* then of kv: key and mod_revision only */
    bool is_told;     /* by the history; else it is the one in force at the mark */
    uint32_t ordinal; /* its place there, from 0 */
    struct mvcc_kv kv;
};
enum mvcc_export_progress {
    MVCC_EXPORT_VERSION, /* *out_version; borrowed until the read section ends */
    MVCC_EXPORT_PAUSE,   /* the budget is used up */
    MVCC_EXPORT_END,
    MVCC_EXPORT_LOST,    /* the store holds another content now */
};
struct mvcc_export;
struct mvcc_export *mvcc_export_new(const struct mvcc_export_image *image);
void mvcc_export_free(struct mvcc_export *export); /* accepts NULL */
/* At the start of each read section. False: lost. */
bool mvcc_export_enter(struct mvcc_export *export, const struct mvcc_view *view);
/* Counts *budget down by what it looks at. */
enum mvcc_export_progress mvcc_export_next(struct mvcc_export *export, size_t *budget, struct mvcc_export_version *out_version);

#endif
