/* world_alarms: what the log says of alarms, seen from outside: each one that is raised or taken back by an entry, and when that commits.
 *
 *   Q1  who is refused for want of room by the quota has found it reached, and become an alarm, or one stood in the log meanwhile
 *       (world_alarms_excuses)
 *   Q2  deletes and compactions are never refused by it
 *   Q4  with room again the leader takes NOSPACE back, if members are started to do so (world_alarms_is_settled, asked at the end)
 *   Q5  a list of alarms is that of one moment while its call was open (world_alarms_was_list)
 *   Q6  no member is called corrupt: nobody is
 *
 * That an alarm lets nothing pass behind it (Q3) is the history's matter (kv_history). Owner: embedded in the world. Thread: one. */
#ifndef TEST_LIB_WORLD_ALARMS_H
#define TEST_LIB_WORLD_ALARMS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/raft_entry.h"
#include "storage/alarm.h"

struct world;
struct world_member;

struct world_alarm_entry {
    uint64_t index, term;
    bool is_raised;          /* else taken back */
    uint64_t member;
};
struct world_alarms_list {
    struct world_alarm_entry *entries;
    size_t count, capacity;
};
struct world_alarms {
    struct world_alarms_list issued;    /* in the order of their issue */
    struct world_alarms_list committed; /* in the order of the log */
    uint32_t no_space;       /* alarms in force, as committed */
    bool was_full;           /* a disk had no room, at some time: that refuses writes, too */
};
void world_alarms_deinit(struct world *world);
void world_alarms_issued(struct world *world, const struct raft_entry *entry); /* for the first time anywhere */
void world_alarms_committed(struct world *world, uint64_t index, uint64_t term); /* in order */
void world_alarms_look(struct world_member *member); /* Q6, behind a step of a role */

/* --- for whoever has the world --- */
const struct world_alarm_entry *world_alarm_entries(const struct world *world, size_t *out_count); /* committed */
/* The entry there raises or takes back an alarm, as committed:
 * whatever its call asked for has become that. */
bool world_alarms_has(const struct world *world, uint64_t index);
bool world_alarms_excuses(const struct world *world, uint64_t call, bool needs_room);
/* Members in any order, each once. */
bool world_alarms_was_list(const struct world *world, uint64_t call, const uint64_t *members, size_t count);
bool world_alarms_is_settled(const struct world *world);
uint32_t world_alarms_no_space(const struct world *world);

#endif
