/* work_actor: see work_actor.h. */
#include "pipeline/work_actor.h"

/* --- the role --- */

static void post_done(struct work_actor *role)
{
    struct fs_op *op;
    while ((op = fs_take_done(role->fs)) != NULL) {
        struct mail mail = {.kind = MAIL_DONE, .job.op = op};
        lane_must_post(role->to_wal, &mail);
    }
}

static bool step(struct actor *actor, uint64_t now_ns)
{
    struct work_actor *role = (struct work_actor *)actor;
    struct mail mail;
    (void)now_ns;
    actor_answer_pings(role->from_main, role->to_main);
    bool has_job = lane_take(role->from_wal, &mail);
    if (has_job) {
        ASSERT(mail.kind == MAIL_JOB);
        fs_submit(role->fs, mail.job.op);
    }
    post_done(role);
    return has_job;
}

static const struct actor_table table = {.name = "kvd-work", .step = step};

void work_actor_init(struct work_actor *role, struct fs *fs)
{
    ASSERT(fs != NULL);
    memset(role, 0, sizeof(*role));
    actor_init(&role->actor, &table);
    role->fs = fs;
}

void work_actor_deinit(struct work_actor *role)
{
    if (role->fs == NULL) return;
    actor_deinit(&role->actor);
    role->fs = NULL;
}

/* --- the submitter's end --- */

static void files_run(struct fs *fs, struct fs_op *op) { (void)fs_run(((struct work_files *)fs)->direct, op); }

static void files_submit(struct fs *fs, struct fs_op *op)
{
    struct work_files *files = (struct work_files *)fs;
    struct mail mail = {.kind = MAIL_JOB, .job.op = op};
    ASSERT(files->under_way < WORK_JOBS_MAX);
    files->under_way++;
    lane_must_post(files->to_work, &mail);
}

static struct fs_op *files_take_done(struct fs *fs)
{
    struct work_files *files = (struct work_files *)fs;
    struct list *node = list_pop_front(&files->done);
    return node == NULL ? NULL : LIST_ENTRY(node, struct fs_op, node);
}

static void files_free(struct fs *fs) { ASSERT(((struct work_files *)fs)->under_way == 0); }

void work_files_init(struct work_files *files, struct fs *direct, struct lane *to_work, struct lane *from_work)
{
    static const struct fs_table files_table = {
        .run = files_run, .submit = files_submit, .take_done = files_take_done, .free = files_free};
    ASSERT(direct != NULL && to_work != NULL && from_work != NULL);
    *files = (struct work_files){.fs.table = &files_table, .direct = direct, .to_work = to_work, .from_work = from_work};
    list_init(&files->done);
}

static void came_back(struct work_files *files, struct fs_op *op)
{
    ASSERT(files->under_way > 0);
    files->under_way--;
    list_push_back(&files->done, &op->node);
}

bool work_files_take(struct work_files *files)
{
    struct mail mail;
    bool any = false;
    while (lane_take(files->from_work, &mail)) {
        ASSERT(mail.kind == MAIL_DONE);
        came_back(files, mail.job.op);
        any = true;
    }
    return any;
}

void work_files_settle(struct work_files *files)
{
    struct mail mail;
    (void)work_files_take(files);
    while (lane_take(files->to_work, &mail)) {
        (void)fs_run(files->direct, mail.job.op);
        came_back(files, mail.job.op);
    }
    ASSERT(files->under_way == 0);
}
