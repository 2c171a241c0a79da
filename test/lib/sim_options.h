/* sim_options: what one seed runs with: limits, workload, faults and their rates. Drawn from the seed, printed as `name=value`, and read
 * back from a regression file, one `name value` per line: `seed` first, the rest overrides what the seed would draw; lines `tape …` are a
 * reel (tape.h) that plays in place of the seed's choices.
 * Owner: plain data; the reel of a file that has one is the reader's (tape_reel_free of world.reel). Thread: any. */
#ifndef TEST_LIB_SIM_OPTIONS_H
#define TEST_LIB_SIM_OPTIONS_H
#include <stdio.h>

#include "lib/sim_clients.h"
#include "lib/world.h"

enum sim_fault {
    SIM_KILL,
    SIM_POWER_LOSS,
    SIM_POWER_LOSS_OF_ALL,
    SIM_STOP,
    SIM_PAUSE,
    SIM_CUT,        /* one direction */
    SIM_PARTITION,  /* one member, or two sides */
    SIM_SHAPE,      /* a bridge, a ring, one-way: the graph is connected and not whole */
    SIM_SLOW_DISK,
    SIM_STUCK_DISK,
    SIM_FULL_DISK,
    SIM_FAILED_DISK, /* a write or a sync fails: the member has to stop */
    SIM_FLIP,        /* bits of a log file of a member that is down */
    SIM_TRANSFER,
    SIM_STUCK_CHORES, /* segments are not prepared for a while */
    SIM_LOSE_SNAPSHOTS, /* bits of all snapshots of a member that is down */
    SIM_LOSE_LOG,    /* all files of the log of a member that is down */
    SIM_FAULTS,
};
const char *sim_fault_name(enum sim_fault fault);

struct sim_options {
    struct world_options world;
    struct sim_clients_options clients;
    uint64_t run_ns;                 /* with faults */
    uint64_t lag_ns;                 /* between two looks of the clients and the faults, at most */
    uint32_t per_minute[SIM_FAULTS]; /* 0 = not in this run */
    bool buggify;                    /* rare behaviour of the product, in a build that has it */
    uint32_t heals_per_minute, starts_per_minute;
    uint32_t saves_per_minute;       /* snapshots for a client (sim_saves.h) */
    uint32_t histories_per_minute;   /* questions about the history of keys (sim_history.h); in worlds with watches */
    uint32_t hashes_per_minute;      /* questions for HashKV (sim_hashes.h) */
    uint32_t lists_per_minute;       /* questions about who is watching (sim_who.h); likewise */
    uint32_t alarms_per_minute;      /* an operator's questions about alarms (sim_quota.h) */
    bool core_first;                 /* at the end a majority is healed, and serves, before all are (sim_core.h) */
    /* Of world.watch_streams (sim_watch.h): how many are read slowly, and how slowly; how often their clients do something. */
    uint32_t watch_slow_percent;
    uint64_t watch_slow_ns, watch_think_ns;
    uint64_t renew_think_ns;         /* of clients that renew leases (sim_renew.h) */
};
void sim_options_draw(uint64_t seed, struct sim_options *out_options);
#define SIM_OPTIONS_TEXT_MAX 4096
void sim_options_text(const struct sim_options *options, char *out_text, size_t size);
/* False: no option has this name. `seed` draws all anew. */
bool sim_options_set(struct sim_options *options, const char *name, uint64_t value);
uint64_t sim_options_get(const struct sim_options *options, const char *name); /* one that there is */
/* False: no such file, or it says nothing that is understood; the reason is printed. */
bool sim_options_read(const char *path, struct sim_options *out_options);
/* As a regression file, the tape included. */
void sim_options_print(const struct sim_options *options, FILE *out);

#endif
