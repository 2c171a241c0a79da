/* node: the map. Makes the roles, wires the lanes, recovers the state, starts back to front and stops front to back.
 *
 * Owner: node_open/node_close. Thread: the app's main thread drives it (node_main_*); three nodes fit in one process.
 * Stop, in three phases: refuse new calls, hand leadership over and drain; join the threads, net last; only then destroy doorbells, queues.
 */
#ifndef PIPELINE_NODE_H
#define PIPELINE_NODE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pipeline/config.h"
#include "pipeline/shared.h"

struct node;

/* Opens the data directory, recovers, builds everything; no thread runs yet. NULL: out_message says what and why (and what to do). */
struct node *node_open(const struct config *config, char *out_message, size_t message_size);
void node_close(struct node *node); /* stopped or never started; accepts NULL */

/* Binds the listeners (false: message) and starts the threads. */
bool node_start(struct node *node, char *out_message, size_t message_size);
/* The addresses that were bound, as "host:port,…" (port 0 is resolved). */
const char *node_client_addresses(const struct node *node);
const char *node_peer_addresses(const struct node *node);
const char *node_metrics_addresses(const struct node *node); /* "" = none */

/* What main waits for: an eventfd that becomes readable when roles posted to main; and its step: writes the log lines of the roles to
 * stderr, takes answers to pings. */
int node_main_descriptor(const struct node *node);
void node_main_step(struct node *node);
/* A socket that took not all of a write: door sends the rest when it can, so that net need not look again. For the coalescer
 * (coalescer_stuck_fn), which is the process's: installed by the app between node_open and node_start. Any thread. */
void node_finish_write(void *node, int descriptor);
bool node_is_ready(const struct node *node);         /* a linearizable read went through: the member serves */
/* Sends a PING to every role, which each answers in its next step, also one with nothing else to do; the number of roles that have not
 * answered the one before, and their names, with commas. */
uint32_t node_ping(struct node *node, char *out_names, size_t size);

/* Phase 1 and 2: refuse new calls, hand leadership over, drain for at most timeout_ns; then join. Main's lanes are drained inside. */
void node_stop(struct node *node, uint64_t timeout_ns);

/* Reads certificate, key and CA again, for connections from now on, and logs what they are. False: out_message, and those before stay in
 * force. True without TLS. Main's thread, blocking on the files. */
bool node_reload_tls(struct node *node, char *out_message, size_t message_size);

const struct shared *node_shared(const struct node *node);
uint64_t node_member_id(const struct node *node);
uint64_t node_cluster_id(const struct node *node);

#endif
