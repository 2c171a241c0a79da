/* mutant: bugs planted on purpose, one of which a test may choose, to prove that the checkers bite. `if (full && !MUTANT(P9))` reads: what
 * the code does, and what it would forget.
 *
 * Only in the build KVD_SIM; in every other MUTANT() is the constant false and leaves no symbol (scripts/check_house.sh looks).
 * Owner: nobody; the one state of the process. Thread: chosen before the first thread starts, only read after that.
 * Limits: one mutant at a time.
 * Source: P…: errors that published systems have had (Raft's and etcd's issue trackers, Jepsen's reports, studies of crash recovery);
 * D…: each undoes one rule of this design.
 */
#ifndef BASE_MUTANT_H
#define BASE_MUTANT_H
#include <stdbool.h>
#include <stddef.h>

/* X(id, what goes wrong, source) */
#define MUTANT_LIST(X)                                                                                                                   \
    X(P1, "entries of older terms are committed by counting", "thesis 3.6.2")                                                            \
    X(P2, "a configuration is changed before an entry of the own term is committed", "Ongaro's note of 2015")                            \
    X(P3, "a follower goes on with the old configuration", "etcd 2397, 7280, 7625")                                                      \
    X(P4, "a removed leader counts itself", "thesis 4.2.2")                                                                              \
    X(P5, "a member that does not know yet that it may vote refuses to", "etcd-io/raft: campaign_learner_must_vote")                     \
    X(P6, "who is ahead in term is not answered, and stays alone", "etcd-io/raft: prevote_checkquorum")                                  \
    X(P7, "a vote is given while a leader is heard", "thesis 4.2.3; Cloudflare 2020")                                                    \
    X(P8, "reads are confirmed before the own term has a commit", "etcd 7331, 12680")                                                    \
    X(P9, "an answer to the round of reads before confirms this one", "etcd 20418")                                                      \
    X(P10, "a leader confirms reads by itself", "leader leases under pause; TiKV 964")                                                   \
    X(P11, "an append cuts the log off even where it agrees", "thesis 3.5")                                                              \
    X(P12, "a finished write of what was cut off counts for what came in its place", "etcd-io/raft: append_aba_race")                    \
    X(P13, "the own log counts before it is durable", "etcd 14370")                                                                      \
    X(P14, "a vote leaves before it is durable", "thesis 3.8")                                                                           \
    X(P18, "a failed sync is tried again", "fsyncgate 2018; ATC 2020")                                                                   \
    X(P19A, "a torn tail is taken for corruption", "etcd 6378, 14098")                                                                   \
    X(P19B, "corruption is taken for a torn tail", "FAST 2018: protocol-aware recovery")                                                 \
    X(P20, "a batch whose first and last block are there is taken for whole", "OSDI 2016: correlated crashes")                           \
    X(P21, "the name of a new segment is not synced", "OSDI 2014: all file systems are not created equal")                               \
    X(P22, "blocks of another segment are taken for this one's", "recycled log files")                                                   \
    X(P23, "a segment whose name found no room is taken for named", "full disk in the middle of a batch")                                \
    X(P24, "a new leader gives leases no time beyond what it counted itself", "leases: L1, L2; clock steps and new leaders")             \
    X(P25, "who leads no more calls leases over all the same", "etcd 15247")                                                             \
    X(P26, "a leader that hears nobody goes on", "Cloudflare 2020")                                                                      \
    X(P27, "a leader whose disk hangs goes on", "gray failure")                                                                          \
    X(P28, "replay counts every eighth entry without its changes", "etcd 13766")                                                         \
    X(P29, "whether a revision is compacted depends on how far the freeing has come", "etcd 18667")                                      \
    X(P30, "compaction takes the change at the mark with it", "etcd 18089, 19179")                                                       \
    X(P31A, "progress is told while events wait", "etcd 15220")                                                                          \
    X(P31B, "who took a frame slowly goes on behind what was written meanwhile", "etcd 17529")                                           \
    X(P31C, "a watch of the future is told what comes before its start", "etcd 20221")                                                   \
    X(P32A, "memory is freed while readers may look at it", "RCU: no grace period")                                                      \
    X(P32B, "each chunk of a range shows another revision", "RCU: the root read twice in one request")                                   \
    X(P32C, "a node that readers see is changed in place", "RCU: copy on write forgotten")                                               \
    X(P33, "a forward is sent twice", "transfer and forwarding")                                                                         \
    X(P34A, "the client repeats a write whose outcome is unknown", "retries of what is not idempotent")                                  \
    X(P34B, "the leader refuses a forward that it has proposed, so that it comes again", "retries of what is not idempotent")            \
    X(P36, "a member without its log starts anew under the old identity", "lost votes")                                                  \
    X(P37, "a member that comes with an old copy of its directory is let in", "lost votes and entries")                                  \
    X(P37B, "what is restored from a backup goes back in revisions", "caches and watches that never notice")                             \
    X(P38, "election timers are all alike", "thesis 3.4")                                                                                \
    X(D1, "an acknowledgement leaves before its entries are durable", "a message waits for the disk")                                    \
    X(D2, "entries are applied that are not durable here", "applied: min(commit, own durable)")                                          \
    X(D3, "an append is taken whatever stands before it", "thesis 3.5")                                                                  \
    X(D4, "votes go to logs that lack entries", "thesis 3.6.1")                                                                          \
    X(D5, "a member votes twice in a term", "thesis 3.4")                                                                                \
    X(D6, "a heartbeat tells a commit index beyond what is known to match", "commit bounded by match")                                   \
    X(D7, "a follower commits what this append did not confirm", "thesis 3.5, figure 3.1")                                               \
    X(D8, "while two configurations hold, the new one decides alone", "thesis 4.3")                                                      \
    X(D9, "a configuration that was cut off stays in force", "roll back (index, configuration)")                                         \
    X(D10, "half of an even number of voters is a majority", "quorum")                                                                   \
    X(D11, "a second change begins before the first is committed", "thesis 4.1")                                                         \
    X(D12, "who lost its tail votes as if it had lost nothing", "suspect: votes only for logs that reach")                               \
    X(D13, "an older snapshot is installed over a newer state", "install: only what brings further")                                     \
    X(D14, "what stood behind an installed snapshot stays in the log", "thesis 5.3")                                                     \
    X(D15, "a snapshot is acknowledged before the log begins behind it on disk", "a message waits for the disk")                         \
    X(D16, "an old answer ends the offers of a snapshot", "SNAPSHOT until the log's start is reached")                                   \
    X(D17, "the configuration of an installed snapshot is forgotten", "thesis 5.1; etcd 7280")                                           \
    X(D18, "the log behind a snapshot begins with the term of the entry after it", "thesis 5.1")                                         \
    X(D20, "a damaged last batch is forgotten", "suspect until the commit has passed")                                                   \
    X(D21, "a batch counts as durable once it is written", "durable: behind the sync")                                                   \
    X(D22, "a hard state without entries is not synced", "term and vote durable before they are told")                                   \
    X(D23, "recovery keeps entries that were overwritten", "later records win")                                                          \
    X(D24, "what a reset has voided is read all the same", "the old log or the new, never a mix")                                        \
    X(D25, "one segment too many is dropped", "every entry behind the snapshot stays")                                                   \
    X(D26, "a log that begins anew behind a snapshot forgets the vote", "one truth for term and vote: the newest batch")                 \
    X(D27, "an old segment is removed before the removal of the one before it is durable", "never a hole in the middle")                 \
    X(D28, "what a short read does not bring is taken for damage", "only the size of a file says where it ends")                         \
    X(D30, "a read goes to apply before the commits that it needs", "position in the one lane")                                          \
    X(D31, "a reply is posted before the view is published", "publish, then post")                                                       \
    X(D32, "reads are let go before the view is published", "publish, then post")                                                        \
    X(D33, "a call is answered twice", "each call leaves exactly once")                                                                  \
    X(D34, "a call that was forwarded is forgotten at its deadline", "each call leaves exactly once")                                    \
    X(D35, "mail overtakes the backlog of its lane", "position in the one lane")                                                         \
    X(D36, "ids of forwards and reads begin anew with each boot", "no id comes twice in a member's life")                                \
    X(D37, "a follower serves a read at its own commit index", "read index: ask the leader")                                             \
    X(D38, "what is held back for apply is forgotten at stop", "each call leaves exactly once")                                          \
    X(D40, "the count of a subtree stays as it was at a delete", "subtree counts of live keys")                                          \
    X(D41, "the hash of the past is that of the present", "prefix sums per chunk")                                                       \
    X(D42, "the hash forgets a delete at the compacted revision", "G(c)")                                                                \
    X(D43, "freeing does not look at readers' pins", "pins of the compact mark")                                                         \
    X(D44, "a command that changes nothing makes a revision", "K2")                                                                      \
    X(D45, "a key that comes back goes on with its old version", "K5")                                                                   \
    X(D46, "the compacted revision itself cannot be read", "K6")                                                                         \
    X(D47, "a range in a transaction does not see the writes before it", "T2")                                                           \
    X(D48, "a transaction whose compares fail does what it does when they hold", "T5")                                                   \
    X(D60, "a range of many steps pins nothing", "pins of the compact mark")                                                             \
    X(D61, "a range that is over keeps its pin", "pins of the compact mark")                                                             \
    X(D62, "a read that begins anew keeps what it wrote", "one request, one revision")                                                   \
    X(D63, "a page counts its last row for the next one, too", "K9")                                                                     \
    X(D64, "a filter decides what is counted", "K9")                                                                                     \
    X(D65, "a limit cuts before the sort", "K9")                                                                                         \
    X(D66, "the bound of a filter leaves out its own revision", "K9")                                                                    \
    X(D67, "the count of the past forgets what was deleted since", "K9")                                                                 \
    X(D68, "who waits is not answered at stop", "each call leaves exactly once")                                                         \
    X(D69, "a reply that is gone still counts in the budget", "limits")                                                                  \
    X(D70, "a compaction that waits for a reader is forgotten at stop", "each call leaves exactly once")                                 \
    X(D71, "a call whose entry is in an installed snapshot is said to be lost", "unknown outcomes are said to be so")                    \
    X(D72, "the log is cut at the newest snapshot", "two snapshots, and the log back to the older one")                                  \
    X(D73, "the log is cut behind a snapshot that was not synced", "nothing is dropped before its replacement stands")                   \
    X(D74, "a client is told a snapshot that was begun before it asked", "as new as the request")                                        \
    X(D75, "a snapshot that a start finds is built upon before its name is on the disk", "D5 for names")                                 \
    X(D80, "a watch begins one revision late", "W5")                                                                                     \
    X(D81, "the events of one transaction come in two responses", "W4: atomic")                                                          \
    X(D82, "a compacted watch is told another revision than the mark", "W11")                                                            \
    X(D83, "a watch from below the mark begins at the mark and does not say so", "W11")                                                  \
    X(D84, "prev_kv is what the event itself wrote", "W8")                                                                               \
    X(D85, "a published view wakes no watch", "W14: nobody is left behind")                                                              \
    X(D86, "who needs what is gone is told the rest", "W5: installed snapshots, freed history")                                          \
    X(D87, "a fragment does not say that it is one", "W4")                                                                               \
    X(D88, "the sweep through the past begins with whom it took up last", "W5: the common sweep")                                        \
    X(D89, "filters decide who is woken, not what is told", "W1")                                                                        \
    X(D90, "a watch from the mark itself is refused as compacted", "W11, K6")                                                            \
    X(D91, "a request for progress is dropped while a frame is on its way", "W7: answered once in sync")                                 \
    X(D92, "a late expiry ends the lease that has the id now", "expiry: id and index of the grant")                                      \
    X(D93, "a put without a lease leaves its key with the lease before", "L7")                                                           \
    X(D94, "the keys of a lease go one revision after the other", "L4")                                                                  \
    X(D95, "a new leader gives time to those alone that it grants itself", "L6: armed when its first entry is met")                      \
    X(D96, "an expiry whose word was lost is not said again", "L6")                                                                      \
    X(D97, "a watch of the past waits for somebody else's news", "W14")                                                                  \
    X(D98, "the leader's answers are told before its member shows what they saw", "K4: in position")                                     \
    X(D101, "a lease is renewed before the round has shown that nobody else leads", "renewals are reads of class leader")                \
    X(D102, "a renewal counts from the time of its answer", "a renewal counts from the start of its round")                              \
    X(D103, "a renewal leaves the checkpoint before it in force", "L2: never less than what was promised")                               \
    X(D110, "a lock call that is given up leaves its key behind", "a cancelled call deletes its key")                                    \
    X(D111, "whoever enters the queue owns the lock", "the oldest key owns")                                                             \
    X(D112, "a place that is gone gets its turn all the same", "etcd 3.4: a lock whose lease is over")                                   \
    X(D113, "a lock call's next step is sent to a raft that has stopped", "every call is answered at stop")                              \
    X(D114, "a snapshot that came damaged is asked for again, its sender is not told", "whoever lags gets a good one")                   \
    X(D115, "a first batch that takes its name anew leaves the damage behind it out", "a suspect tail is remembered")                    \
    X(D116, "who lost its snapshots begins anew as if it had promised nothing", "what the log held counts as lost")                      \
    X(D117, "who may have lost entries tells the end of its log without them", "suspect: a position is told with what was lost")         \
    X(D118, "what is applied wakes nobody who waits for it", "a wake-up that is lost")                                                   \
    X(D119, "who waits until something is applied does not ask to be woken", "a wake-up that is lost")                                   \
    X(D120, "the hash of the past takes in what was written since", "HashKV at a revision is compared between members")                  \
    X(D121, "a snapshot that is to go and cannot be removed is forgotten", "everything that can grow has a limit")                       \
    X(D130, "the file of an old segment is written before it has lost its name durably", "recycled log files")                           \
    X(D131, "every segment has the same seal", "recycled log files: torn or damaged")                                                    \
    X(D132, "a write torn over what the file held before is taken for damage", "recycled log files: torn or damaged")                    \
    X(D133, "a file that was recycled while it was read is read to its end", "recycled log files")                                       \
    X(D134, "under load a leader's own disk waits for ever", "own_wait_entries_min: until another has more")                               \
    X(D135, "a sync of a directory makes up for one that failed before", "fsync: what failed is not tried again")                          \
    X(A1, "whether there is room is asked at apply, of what this member has allocated", "quota: A1 of the state machine")                \
    X(A2, "an alarm is set only on the member that was asked", "alarms: replicated, there after a restart")                              \
    X(A3, "NOSPACE keeps out compaction, too", "API: compaction makes room")                                                             \
    X(A4, "one member's state gets a byte wrong", "etcd 13766, 14370: members that differ in silence")

enum mutant {
    MUTANT_NONE,
#define MUTANT_ENUM(id, text, source) MUTANT_##id,
    MUTANT_LIST(MUTANT_ENUM)
#undef MUTANT_ENUM
    MUTANT_COUNT
};

#ifdef KVD_SIM
struct mutant_line {
    const char *name;
    const char *text;
    const char *source;
};
extern enum mutant mutant_chosen; /* written by mutant_choose only */
#define MUTANT(id) (__builtin_expect(mutant_chosen == MUTANT_##id, 0))
/* False if there is no such mutant; NULL or "" chooses none. */
bool mutant_choose(const char *name);
/* All of them, in the order of the list; static. */
const struct mutant_line *mutant_list(size_t *out_count);
#else
#define MUTANT(id) ((void)MUTANT_##id, false)
#endif

#endif
