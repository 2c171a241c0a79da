/* lock_command: see the header. */
#include "lock_command.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "child.h"
#include "print_message.h"
#include "queue.h"

#define TTL_S 10 /* etcdctl's */

int lock_command_flags(struct ctl_options *options, struct flag *out_flags)
{
    options->lock_ttl = TTL_S;
    out_flags[0] = (struct flag){"ttl", 0, FLAG_I64, &options->lock_ttl, "<seconds>", "how long the lock outlives a holder that is not heard of",
                                 "Options", false};
    ASSERT(options->lock_ttl > 0);
    return 1;
}

/* The program goes on when the lock is lost, as under etcdctl: it is told nothing, so we say it. */
static int wait_child(struct queue *queue)
{
    int status = 0;
    bool was_held = true;
    while (!ear_child_ended(queue->live->ear, false, &status)) {
        live_step(queue->live);
        if (was_held && !queue_is_held(queue)) fprintf(stderr, "kvctl: the lease expired: the lock is lost while the command still runs\n");
        was_held = queue_is_held(queue);
    }
    return status;
}

static enum ctl_exit run_program(struct queue *queue, int count, const char **words)
{
    struct buf key, why;
    char revision[64];
    enum ctl_exit code = CTL_OK;
    buf_init(&key);
    buf_init(&why);
    buf_printf(&key, "ETCD_LOCK_KEY=%.*s", (int)queue->key.size, (const char *)queue->key.blob->data);
    buf_put_u8(&key, '\0');
    (void)snprintf(revision, sizeof revision, "ETCD_LOCK_REV=%" PRId64, queue->first_revision);
    const char *const variables[] = {(const char *)key.blob->data, revision};
    pid_t child = child_start(words, count, variables, 2, &why);
    if (child > 0) {
        ear_adopt(queue->live->ear, child);
        int status = wait_child(queue);
        if (status != 0) child_put_status(&why, status);
        code = (enum ctl_exit)child_exit_code(status);
    } else {
        code = CTL_ERROR;
    }
    if (code != CTL_OK) code = ctl_fail(code, "%.*s", (int)why.size, (const char *)why.blob->data);
    buf_deinit(&why);
    buf_deinit(&key);
    return code;
}

enum ctl_exit lock_command_run(struct ctl *ctl, int count, const char **words)
{
    struct live live;
    struct queue queue;
    if (count == 0) return ctl_fail(CTL_BAD_ARGS, "lock takes a lock name argument and an optional command to execute");
    if (ctl->format == CTL_TABLE && count == 1) return print_message_no_format(ctl);
    live_init(&live, ctl, false);
    enum ctl_exit code = queue_join(&queue, &live, words[0], ctl->options.lock_ttl, "");
    if (code == CTL_OK) code = queue_wait(&queue);
    if (code == CTL_OK && ear_signal(live.ear) != 0)
        code = ctl_fail(CTL_ERROR, "interrupted before the lock was ours");
    else if (code == CTL_OK && count > 1)
        code = run_program(&queue, count - 1, words + 1);
    else if (code == CTL_OK)
        code = queue_hold(&queue);
    enum ctl_exit left = queue_leave(&queue);
    live_deinit(&live);
    return code == CTL_OK ? left : code;
}
