/* sim_quota: see sim_quota.h. */
#include "lib/sim_quota.h"

#include "base/assert.h"
#include "base/clock.h"
#include "etcdserverpb/rpc.pb-c.h"
#include "lib/world_alarms.h"
#include "lib/world_watch.h"

#define LIST_MAX 64

void sim_quota_init(struct sim_quota *quota, struct world *world, uint64_t seed, uint32_t members, uint32_t per_minute)
{
    *quota = (struct sim_quota){.world = world, .members = members, .per_minute = per_minute};
    tape_init(&quota->tape, seed ^ UINT64_C(0xe7037ed1a0b428db), world_reel(world), TAPE_QUOTA);
}

/* Mostly one that was raised, though it may be gone. */
static uint64_t draw_alarm(struct sim_quota *quota)
{
    size_t count = 0, near = 4;
    const struct world_alarm_entry *entries = world_alarm_entries(quota->world, &count);
    if (count == 0) return 1 + tape_below(&quota->tape, 3);
    return entries[count - 1 - tape_below(&quota->tape, count < near ? count : near)].member;
}

static void ask(struct sim_quota *quota)
{
    uint32_t member = (uint32_t)tape_below(&quota->tape, quota->members);
    struct alarm_request request = {.action = ALARM_GET, .alarm = {.type = ALARM_NOSPACE}};
    struct buf bytes;
    uint64_t dice = tape_below(&quota->tape, 20);
    if (!world_is_up(quota->world, member) || !world_is_ready(quota->world, member)) return;
    if (dice >= 8) request = (struct alarm_request){.action = dice == 19 ? ALARM_ACTIVATE : ALARM_DEACTIVATE, .alarm = {.type = ALARM_NOSPACE, .member = draw_alarm(quota)}};
    quota->is_list = request.action == ALARM_GET;
    buf_init(&bytes);
    alarm_put_request(&request, &bytes);
    quota->call = world_call(quota->world, member, "/etcdserverpb.Maintenance/Alarm", buf_slice(&bytes));
    quota->is_waiting = true;
    buf_deinit(&bytes);
}

static void demand(struct sim_quota *quota, bool holds, const char *invariant, uint64_t a)
{
    if (!holds) world_watch_broken(quota->world, invariant, 0, quota->call, a);
}

static void take_answer(struct sim_quota *quota, struct slice bytes)
{
    uint64_t members[LIST_MAX];
    Etcdserverpb__AlarmResponse *response = etcdserverpb__alarm_response__unpack(NULL, bytes.size, bytes.data);
    demand(quota, response != NULL && response->header != NULL && response->n_alarms <= LIST_MAX, "an answer about alarms is none", bytes.size);
    for (size_t i = 0; i < response->n_alarms; i++) {
        demand(quota, response->alarms[i]->alarm == ETCDSERVERPB__ALARM_TYPE__NOSPACE, "Q6 nobody is called corrupt who is not", i);
        members[i] = response->alarms[i]->memberid;
    }
    bool is_list = !quota->is_list || world_alarms_was_list(quota->world, quota->call, members, response->n_alarms);
    demand(quota, is_list, "Q5 a list of alarms is that of one moment", response->n_alarms);
    quota->counts.lists += quota->is_list;
    quota->counts.disarms += !quota->is_list;
    etcdserverpb__alarm_response__free_unpacked(response, NULL);
}

void sim_quota_step(struct sim_quota *quota, uint64_t ns, bool is_over)
{
    enum err err = ERR_OK;
    struct slice bytes = slice_empty();
    bool died = false;
    if (quota->per_minute == 0) return;
    if (!quota->is_waiting) {
        if (!is_over && tape_chance(&quota->tape, quota->per_minute * ns, 60 * NS_PER_S)) ask(quota);
        return;
    }
    if (!world_answer(quota->world, quota->call, &err, &bytes, &died)) return;
    quota->is_waiting = false;
    if (err == ERR_OK && !died) take_answer(quota, bytes);
}
