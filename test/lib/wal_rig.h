/* wal_rig: a log on a simulated disk beside a model of it: the model knows the log and the hard state after every append, so that
 * what recovery finds must equal the state after one append, and after none older than the newest acknowledged.
 *
 * Owner: embedded by the test. Thread: one. Every function fails the running check test by itself.
 */
#ifndef TEST_LIB_WAL_RIG_H
#define TEST_LIB_WAL_RIG_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/fs_sim.h"
#include "storage/wal.h"

#define WAL_RIG_DIRECTORY "w"
#define WAL_RIG_APPENDS_MAX 512
#define WAL_RIG_INDEX_MAX 2048

struct wal_rig_state {
    struct raft_hard_state hard;
    uint64_t last_index;
    struct {
        uint64_t term;
        uint64_t value; /* tells one version of an entry from another; also its size */
        enum raft_entry_kind kind;
    } log[WAL_RIG_INDEX_MAX + 1];
};

struct wal_rig {
    struct wal_options options;
    bool is_alone; /* what the log is told when it asks at a suspect tail */
    size_t asked;  /* how often it did */
    struct fs_sim_disk *disk;
    struct fs *fs;
    struct wal *wal;
    uint64_t now_ns;
    struct wal_rig_state *states[WAL_RIG_APPENDS_MAX + 1]; /* after append i; [0] = at the beginning */
    uint64_t appended; /* the newest append of the model */
    uint64_t sequence_base; /* the model's number of a log's sequence 0 (a log counts anew after each open) */

    struct wal_recovered found; /* of the last open */
    struct wal_rig_state *handed; /* what the last open handed out, pending included */
    size_t handed_final;
};

void wal_rig_init(struct wal_rig *rig);
void wal_rig_deinit(struct wal_rig *rig);
/* Opens on rig->disk. */
enum err wal_rig_open(struct wal_rig *rig);
void wal_rig_close(struct wal_rig *rig);
/* The log closes, and opens on another disk, which the rig takes over (the old one is freed). */
void wal_rig_move(struct wal_rig *rig, struct fs_sim_disk *disk);
/* Appends entries first … first + count - 1 of that term (an overwrite if first is not the next), and the hard state. */
uint64_t wal_rig_append(struct wal_rig *rig, uint64_t first_index, size_t count, uint64_t term, uint64_t commit, size_t size);
void wal_rig_append_conf(struct wal_rig *rig, uint64_t index, uint64_t term, uint64_t commit);
void wal_rig_hard(struct wal_rig *rig, uint64_t term, uint64_t vote, uint64_t commit);
/* A snapshot that reaches to (index, term) came from another member, in that member's term: the log begins anew behind it. */
void wal_rig_reset(struct wal_rig *rig, uint64_t index, uint64_t term, uint64_t hard_term);
/* What later opens are told of the newest snapshot on disk. */
void wal_rig_snapshot(struct wal_rig *rig, uint64_t index, uint64_t term);
/* Steps until nothing moves. */
void wal_rig_run(struct wal_rig *rig);
/* Which append's state the last open found; -1 = none of those between `oldest` and `newest`. Term and vote may be a later one's
 * if the tail was suspect. With a snapshot: which append's state with the snapshot put in its place. */
int wal_rig_match(const struct wal_rig *rig, uint64_t oldest, uint64_t newest);
uint64_t wal_rig_value(const struct raft_entry *entry); /* the model's, as its bytes say it */
/* After recovery the model goes on from append `number`. */
void wal_rig_continue_from(struct wal_rig *rig, uint64_t number);
uint64_t wal_rig_durable(const struct wal_rig *rig); /* the newest acknowledged append, by the model's number */
/* The segment files, by place; false beyond the last. */
bool wal_rig_segment(const struct wal_rig *rig, size_t place, char *out_path, size_t path_size);

#endif
