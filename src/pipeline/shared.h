/* shared: the few numbers of a node that roles show one another without mail: relaxed counters for Status, headers and logs. Nothing
 * decides on them what must be exact. Owner: the node. Thread: each field has one writer, named here; readers any. */
#ifndef PIPELINE_SHARED_H
#define PIPELINE_SHARED_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/metrics.h"
#include "pipeline/op_metrics.h"
#include "rpc/rpc_metrics.h"

struct shared {
    atomic_uint_fast64_t term;          /* raft */
    atomic_uint_fast64_t leader;        /* raft; 0 = none */
    atomic_uint_fast64_t commit_index;  /* raft */
    atomic_uint_fast64_t applied_index; /* apply */
    atomic_bool is_leader;              /* raft */
    atomic_bool is_learner;             /* raft */
    atomic_bool no_space;               /* raft */
    atomic_bool raft_is_gone;           /* main, at stop: nobody proposes or confirms any more */
    atomic_uint is_watched;             /* watch: there are streams, each publish is to wake it. Exact: read by adding 0 */
    atomic_uint wants_applied;          /* raft: it holds something back until apply has gone on, or made room, which is to wake it. Exact, likewise */
    atomic_uint gathers_reads;          /* raft: reads that come wait for a question under way: net need not wake it. Exact, likewise */
    struct metrics metrics;
    struct op_metrics ops;              /* apply, net */
    struct rpc_metrics rpc;             /* net, watch: each its methods' */
};

#define SHARED_SET(shared, field, value) atomic_store_explicit(&(shared)->field, (value), memory_order_relaxed)
#define SHARED_GET(shared, field) atomic_load_explicit(&(shared)->field, memory_order_relaxed)

#endif
