/* lock_command: see the header. */
#include "lock_command.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "child.h"
#include "place.h"
#include "print_message.h"

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
static int wait_child(struct live *live, struct place *place)
{
    int status = 0;
    bool was_held = true;
    while (!ear_child_ended(live->ear, false, &status)) {
        live_step(live);
        if (was_held && !place_is_held(place)) fprintf(stderr, "kvctl: the lease expired: the lock is lost while the command still runs\n");
        was_held = place_is_held(place);
    }
    return status;
}

static enum ctl_exit run_program(struct live *live, struct place *place, int count, const char **words)
{
    struct buf variable, why;
    char revision[64];
    enum ctl_exit code = CTL_OK;
    struct kvd_bytes key = kvd_lock_key(place_lock(place));
    buf_init(&variable);
    buf_init(&why);
    buf_printf(&variable, "ETCD_LOCK_KEY=%.*s", (int)key.size, (const char *)key.data);
    buf_put_u8(&variable, '\0');
    (void)snprintf(revision, sizeof revision, "ETCD_LOCK_REV=%" PRId64, kvd_lock_header(place_lock(place)).revision);
    const char *const variables[] = {(const char *)variable.blob->data, revision};
    pid_t child = child_start(words, count, variables, 2, &why);
    if (child > 0) {
        ear_adopt(live->ear, child);
        int status = wait_child(live, place);
        if (status != 0) child_put_status(&why, status);
        code = (enum ctl_exit)child_exit_code(status);
    } else {
        code = CTL_ERROR;
    }
    if (code != CTL_OK) code = ctl_fail(code, "%.*s", (int)why.size, (const char *)why.blob->data);
    buf_deinit(&why);
    buf_deinit(&variable);
    return code;
}

enum ctl_exit lock_command_run(struct ctl *ctl, int count, const char **words)
{
    struct live live;
    if (count == 0) return ctl_fail(CTL_BAD_ARGS, "lock takes a lock name argument and an optional command to execute");
    if (ctl->format == CTL_TABLE && count == 1) return print_message_no_format(ctl);
    live_init(&live, ctl, false);
    struct place *place = place_take(&live, words[0], ctl->options.lock_ttl, "");
    enum ctl_exit code = place_wait(place, "interrupted before the lock was ours");
    if (code == CTL_OK) code = count > 1 ? run_program(&live, place, count - 1, words + 1) : place_hold(place);
    enum ctl_exit left = place_leave(place);
    live_deinit(&live);
    return code == CTL_OK ? left : code;
}
