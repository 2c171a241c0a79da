/* raft_script: a small language for stories about a raft_cluster; the expected text stands in the story itself (golden traces).
 *
 *   # what the story shows            a comment
 *   >> add-nodes 3                    a command whose output is of no interest
 *   > propose 1 hello                 a command; the lines behind it are its output, up to the next command or comment
 *   send 1->2 APPEND term 1 ...
 *
 * raft_script_play runs a story and writes it again with the output that it really had: a story is right when it comes back
 * unchanged. The output is the cluster's trace; "ok" stands for nothing.
 *
 * Commands; ID is a node's number, FROM->TO a link whose ends may be left out ("->2": all that goes to 2):
 *
 *   options NAME=VALUE ...            for the nodes added from here on: pre-vote, check-quorum = on/off; inflight-messages,
 *                                     inflight-partial, inflight-bytes, message-bytes, tail-bytes, uncommitted-bytes, apply-bytes, seed
 *   add-nodes COUNT [learners=IDS] [joining]   all of them know each other, or (joining) nobody
 *   set-disk ID TERMS [term=N] [vote=ID] [commit=N]   a log of empty entries with these terms ("1,1,2" or "-"); restarts it
 *   campaign ID                       its election timer elapses
 *   tick ID MS                        its clock moves, then a tick
 *   elapse MS                         all clocks move at once, ticks that are due happen
 *   run MS                            time passes in small steps, everything moves
 *   propose ID TEXT [times=N]
 *   propose-conf ID voters=IDS [outgoing=IDS] [learners=IDS]
 *   read-index ID CONTEXT             each context once
 *   transfer ID TO                    TO 0: to the best one
 *   unreachable ID PEER    peer-died ID PEER    no-space ID on|off    compact ID INDEX
 *   take ID                           process its output: sends, appends to the disk, commits
 *   persist ID [COUNT]                that many appends reach the disk (default: all on their way)
 *   apply ID                          its state machine catches up
 *   fetch ID [fails]                  one read from disk completes
 *   snapshot ID                       takes one of what it has applied
 *   receive ID [fails]                the snapshot that it was offered last is durable at it, or lost on the way
 *   install ID [number=N]             gives its core what it received; or the N-th snapshot that was ever taken
 *   settle ID...                      take, persist, apply, fetch, receive, install until nothing moves
 *   deliver LINK [KIND] [at=N] [copy] messages of the network now, all that match, or the N-th; copy: the network keeps it
 *   drop LINK [KIND] [at=N]
 *   stabilize                         settle and deliver for all until nothing moves
 *   crash ID [kept=N]                 N appends on their way still reach the disk
 *   restart ID [applied=N]
 *   damage ID KEPT                    a crashed node's disk loses all entries behind KEPT; restarts as suspect
 *   isolate ID    cut FROM->TO    heal
 *   status [ID...]    raft-log [ID...]    disk [ID...]    network
 *
 * Owner: raft_script_new/raft_script_free. Thread: one. Limits: one line has WORDS_MAX words.
 */
#ifndef TEST_LIB_RAFT_SCRIPT_H
#define TEST_LIB_RAFT_SCRIPT_H
#include "lib/raft_cluster.h"

struct raft_script {
    struct raft_cluster *cluster;
    struct raft_options options;
    struct buf output; /* of the command under way */
    bool has_failed;   /* a command could not be understood: the output says so */
};

struct raft_script *raft_script_new(void);
void raft_script_free(struct raft_script *script);
/* One command; what happened is in script->output. */
void raft_script_run(struct raft_script *script, struct slice command);
/* A whole story, written again as it should read. False if a command could not be understood. */
bool raft_script_play(struct slice story, struct buf *out_story);

#endif
