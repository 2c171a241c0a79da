/* work_actor: slow file chores on a thread of their own: zeros for the log's next segment and their syncs, what a full segment gives
 * back. An append waits for none of it.
 *
 * work_files is the other end: a `struct fs` that another role submits to; an operation travels as JOB and comes back as DONE, its
 * owner unchanged. So a chore is the same state machine, whoever carries it out.
 * Owner: the node. Thread: work has the actor and an fs of its own; work_files belongs to the submitting role.
 * Limits: WORK_JOBS_MAX operations under way, asserted.
 */
#ifndef PIPELINE_WORK_ACTOR_H
#define PIPELINE_WORK_ACTOR_H
#include "base/fs.h"
#include "pipeline/actor.h"

#define WORK_JOBS_MAX 16
#define WORK_LANE (2 * WORK_JOBS_MAX)

struct work_actor {
    struct actor actor; /* first */
    struct fs *fs;      /* borrowed: work's own */
    struct lane *from_wal, *to_wal, *from_main, *to_main;
};
void work_actor_init(struct work_actor *role, struct fs *fs);
void work_actor_deinit(struct work_actor *role);

struct work_files {
    struct fs fs;         /* first */
    struct fs *direct;    /* the submitting role's own: what is to be done at once */
    struct lane *to_work, *from_work;
    struct list done;
    uint32_t under_way;
};
void work_files_init(struct work_files *files, struct fs *direct, struct lane *to_work, struct lane *from_work);
/* What came back, for fs_take_done. True if anything did. */
bool work_files_take(struct work_files *files);
/* At stop, when no role runs any more: carries out what is still on its way. */
void work_files_settle(struct work_files *files);

#endif
