/* net_check: what the HTTP front asks: how this member is, and whether it can be read. */
#include <stdio.h>

#include "pipeline/net_actor.h"

/* Names of generation 0, which no call has, stand for checks in batches of reads. */
enum { CHECK_SERIALIZABLE = 1, CHECK_LINEARIZABLE = 2 };
static uint64_t name_of(bool is_linearizable) { return is_linearizable ? CHECK_LINEARIZABLE : CHECK_SERIALIZABLE; }

bool net_check_is_name(uint64_t name) { return name >> 32 == 0; }

static void answer(struct net_actor *role, bool is_linearizable, enum err err)
{
    const struct alarm_list *alarms = state_machine_alarms(role->env.machine);
    const struct cluster *cluster = state_machine_cluster(role->env.machine);
    enum err admitted = alarm_admit_read(alarms, role->self);
    struct mail mail = {.kind = MAIL_CHECKED,
                        .checked = {.err = err != ERR_OK ? err : admitted, .is_linearizable = is_linearizable, .has_no_space = alarms->has_no_space,
                                    .has_corrupt = alarms->has_corrupt, .has_leader = SHARED_GET(role->shared, leader) != 0,
                                    .is_learner = role->env.is_learner}};
    snprintf(mail.checked.version, sizeof(mail.checked.version), "%s", cluster->version);
    lane_must_post(role->lanes.to_door, &mail);
}

void net_check_take(struct net_actor *role, const struct mail *mail)
{
    bool is_linearizable = mail->check.is_linearizable;
    ASSERT(mail->kind == MAIL_CHECK);
    if (role->is_draining) {
        answer(role, is_linearizable, ERR_STOPPED);
    } else if (!is_linearizable && role->is_caught_up) {
        answer(role, false, ERR_OK);
    } else if (SHARED_GET(role->shared, leader) == 0) {
        answer(role, is_linearizable, ERR_NO_LEADER); /* at once: a probe does not wait for an election */
    } else {
        role->reads[role->read_count++] = name_of(is_linearizable);
        ASSERT(role->read_count <= CONFIG_NET_EVENTS_MAX + NET_CHECKS_MAX);
    }
}

void net_check_done(struct net_actor *role, uint64_t name, enum err err) { answer(role, name == name_of(true), err); }
