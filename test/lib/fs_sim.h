/* fs_sim: a disk in memory that behaves as badly as a real one may: what was not synced may be lost, torn, or kept in any order;
 * names are lost until their directory is synced; a failed sync leaves the page cache lying; room runs out; bits flip.
 *
 * A `struct fs_sim_disk` is the disk. `fs_sim_new` gives a `struct fs` on it (one per role, as with the real one); freed by fs_free.
 * Every inode has the volatile bytes (what reads see), the durable bytes, and the journal of sector writes in between.
 *
 * Power loss: fs_sim_freeze_at(disk, n) keeps a copy of the whole disk as it is when operation n was issued and did not complete;
 * the running program goes on with the original. fs_sim_crash() makes from such a copy a disk as it is found when power is back;
 * one copy serves for many of them. fs_sim_crash() may be used on a live disk as well.
 *
 * Owner: whoever made it. Thread: one. The disk must outlive its views.
 */
#ifndef TEST_LIB_FS_SIM_H
#define TEST_LIB_FS_SIM_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/fs.h"
#include "base/rng.h"

#define FS_SIM_SECTOR 512u
#define FS_SIM_WORD 4u /* what moves as one: a sector is torn between two of them */

struct fs_sim_disk;
struct fs_sim_disk *fs_sim_disk_new(void);
void fs_sim_disk_free(struct fs_sim_disk *disk); /* accepts NULL */

/* `immediate`: a submitted operation completes at once, as with the real file system. Otherwise when fs_sim_complete says so. */
struct fs *fs_sim_new(struct fs_sim_disk *disk, bool immediate);
size_t fs_sim_pending(const struct fs *fs);             /* submitted, not completed */
bool fs_sim_complete(struct fs *fs, size_t place);      /* the place'th oldest; false if there is none */
uint64_t fs_sim_op_count(const struct fs_sim_disk *disk); /* operations issued so far that change something, over all views */

/* ---- power loss ---- */
void fs_sim_freeze_at(struct fs_sim_disk *disk, uint64_t op_number);
const struct fs_sim_disk *fs_sim_frozen(const struct fs_sim_disk *disk); /* NULL until then; belongs to the disk */

enum fs_sim_loss {
    FS_SIM_KEEP_ALL,    /* only the process died, or the disk was lucky */
    FS_SIM_LOSE_ALL,    /* nothing that was not synced */
    FS_SIM_KEEP_FIRST,  /* the first `sector` unsynced sector writes */
    FS_SIM_LOSE_ONE,    /* all but unsynced write number `sector` */
    FS_SIM_KEEP_ONE,    /* only unsynced write number `sector` */
    FS_SIM_TEAR_ONE,    /* as KEEP_ALL, but of write number `sector` only some first bytes came through */
    FS_SIM_GARBLE_ONE,  /* as KEEP_ALL, but the sector of write number `sector` holds noise */
    FS_SIM_RANDOM,      /* each on its own by chance, some torn */
};
enum fs_sim_names {
    FS_SIM_NAMES_ALL,
    FS_SIM_NAMES_NONE,
    FS_SIM_NAMES_SOME,   /* a prefix, as a journal keeps them */
    FS_SIM_NAMES_RANDOM, /* each on its own, as without a journal; a rename is one change */
    FS_SIM_NAMES_KINDS,
};
struct fs_sim_crash {
    enum fs_sim_loss loss;
    size_t sector;
    uint64_t seed;
    enum fs_sim_names names; /* the same question for changes of names */
};
struct fs_sim_disk *fs_sim_crash(const struct fs_sim_disk *disk, const struct fs_sim_crash *crash);
/* Only the process died: the page cache is as it was, and what was not synced may still be lost later. */
struct fs_sim_disk *fs_sim_copy(const struct fs_sim_disk *disk);
/* Syncs have failed unseen: reads and listings show everything, but what was not synced, names included, never reaches the disk
 * unless it is written, or named, again. */
void fs_sim_forget(struct fs_sim_disk *disk);
size_t fs_sim_unsynced(const struct fs_sim_disk *disk); /* sector writes that a power loss may take */

/* ---- faults ---- */
/* The nth call of that kind from now on (1 = the next) fails. A failing write may write a part; a failing sync loses what it
 * should have made durable, while reads go on showing it. */
#define FS_SIM_SHORT (-1) /* as the error of a read: it and all behind it succeed, with a sector at most */
void fs_sim_fail(struct fs_sim_disk *disk, enum fs_kind kind, uint64_t nth, int error);
void fs_sim_fail_now(struct fs_sim_disk *disk, int error); /* the next call of any kind, not counted as failed; 0 = takes that back */
uint64_t fs_sim_failed(const struct fs_sim_disk *disk); /* how many calls have failed that way */
void fs_sim_set_room(struct fs_sim_disk *disk, uint64_t bytes_max); /* ENOSPC beyond; UINT64_MAX = plenty */
uint64_t fs_sim_used(const struct fs_sim_disk *disk);

/* ---- damage at rest, and looking ---- */
bool fs_sim_exists(const struct fs_sim_disk *disk, const char *path);
bool fs_sim_is_named(const struct fs_sim_disk *disk, const char *path); /* and a power loss cannot take the name */
uint64_t fs_sim_size(const struct fs_sim_disk *disk, const char *path);
void fs_sim_flip(struct fs_sim_disk *disk, const char *path, uint64_t offset, uint8_t mask);
void fs_sim_poke(struct fs_sim_disk *disk, const char *path, uint64_t offset, const void *bytes, size_t size);
void fs_sim_peek(const struct fs_sim_disk *disk, const char *path, uint64_t offset, void *out_bytes, size_t size);
void fs_sim_cut(struct fs_sim_disk *disk, const char *path, uint64_t size);
void fs_sim_remove(struct fs_sim_disk *disk, const char *path);
/* The place'th file (by name) directly in a directory; false beyond the last. */
bool fs_sim_name(const struct fs_sim_disk *disk, const char *directory, size_t place, char *out_name, size_t name_size);

#endif
