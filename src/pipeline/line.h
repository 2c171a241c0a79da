/* line: the roles of one member and the lanes between them, recovered and wired, without threads, sockets or gRPC.
 *
 * The node gives it ports on gRPC and a thread per role; a test or the simulator gives it ports and files of its own and steps the roles by
 * hand (actor_step), with a switch point at every post and publish.
 * Owner: line_init/line_deinit; the struct is embedded. Thread: start-up and stop; in between each role belongs to its thread.
 */
#ifndef PIPELINE_LINE_H
#define PIPELINE_LINE_H
#include "pipeline/apply_actor.h"
#include "pipeline/net_actor.h"
#include "pipeline/peer_actor.h"
#include "pipeline/raft_actor.h"
#include "pipeline/snap_actor.h"
#include "pipeline/wal_actor.h"
#include "pipeline/watch_actor.h"
#include "pipeline/work_actor.h"
#include "storage/data_dir.h"
#include "storage/snapshot_dir.h"

#define LINE_LANES_MAX 64
#define LINE_ROLES 7     /* where there are no watch streams */
#define LINE_ROLES_MAX 8

/* What the log said when this run began. */
struct line_start {
    uint64_t term, vote;
    uint64_t index; /* the last one that may have been acknowledged */
};
struct line {
    struct config config;
    struct shared shared;
    struct data_dir_identity identity;
    uint64_t secret;  /* as it was given */
    uint64_t run_id;  /* drawn, the start's number below; in all request ids: none comes twice, though a copy of a directory is started */
    struct line_start start;
    struct cluster *cluster; /* at start; a reference */
    struct snapshot_dir snapshots;
    const struct switchboard *board;
    struct net_actor net;
    struct peer_actor peer;
    struct raft_actor raft;
    struct wal_actor wal;
    struct apply_actor apply;
    struct snap_actor snap;
    struct work_actor work;
    struct watch_actor watch; /* where there is a port for it */
    struct actor *roles[LINE_ROLES_MAX]; /* back to front: the order of starting; net is the last */
    uint32_t role_count;
    struct lane lanes[LINE_LANES_MAX];
    uint32_t lane_count;
};

/* Tells others who this is, and where its log ended when it began. The target is the stream's. */
void line_hello(const struct line *line, struct peer_hello *out_hello);

struct line_recover_options {
    const struct config *config; /* copied; checked */
    struct data_dir *dir;
    struct fs *wal_fs;           /* the wal role's own; outlives the line */
    struct rcu *rcu;
    const struct switchboard *board; /* NULL in production */
    uint64_t now_ns;
    uint64_t seed;
    uint64_t secret;             /* a seed apart, for what clients must not be able to know: run_id stands in ids that they see */
};
/* Recovers state and log: afterwards line->identity says who this is, so that ports can be made. False: message. */
bool line_recover(struct line *line, const struct line_recover_options *options, char *out_message, size_t message_size);
/* Makes the roles that need ports and wires everything. `main` is the actor that roles report to. */
struct line_ports {
    struct call_port *calls;
    struct peer_port *peers;
    struct watch_port *watches;  /* NULL: without watch streams */
    struct fs *snap_fs;          /* the snap role's own */
    struct fs *wal_fs;           /* as given to line_recover */
    struct fs *work_fs;          /* the work role's own */
    const char *wal_path;
    struct actor *main;
    void (*process)(struct process_stats *out_stats); /* for Status; NULL where the process is not one member's */
};
void line_connect(struct line *line, const struct line_ports *ports);
/* A lane pair between main and a role that is not part of the line (door). */
struct lane *line_connect_main(struct line *line, struct actor *role, struct actor *main, struct lane **out_from_main);
/* The lanes between door, whose HTTP front asks, and net. */
void line_connect_door(struct line *line, struct actor *door, struct lane **out_to_net, struct lane **out_from_net);
void line_deinit(struct line *line); /* accepts a zeroed or half-made one; no role may run */

#endif
