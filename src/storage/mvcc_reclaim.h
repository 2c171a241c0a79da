/* mvcc_reclaim: memory of the store that readers may still be looking at: counted, retired in bags, freed in bounded steps.
 *
 * What the running batch takes out of the structure goes into the open bag. Publishing closes it: one rcu_retire per bag, whose call-back only
 * pushes the bag on a lock-free stack. The writer takes the stack whole and frees item by item.
 * At most MVCC_RECLAIM_BAGS_MAX bags wait for readers; beyond that the open bag stays open and grows over the next batches. Closing a bag frees
 * twice as many items as it holds, if so many wait: a busy writer keeps pace, and mvcc_reclaim_run is for the rest.
 * Nodes are what a batch replaces most, so those that come free are kept for the copies to come, up to MVCC_RECLAIM_NODES_MAX of each kind.
 * A whole content that another one replaced (mvcc_adopt) is one item of its bag; it is taken apart behind all others, by the same budget.
 * With MVCC_POISON hardly any are kept and memory is overwritten before it is freed. Owner: embedded in struct mvcc. Thread: the writer; the call-back any.
 */
#ifndef STORAGE_MVCC_RECLAIM_H
#define STORAGE_MVCC_RECLAIM_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/mvcc_history_log.h"
#include "storage/mvcc_node.h"
#include "storage/mvcc_record.h"
#include "storage/rcu.h"

#define MVCC_RECLAIM_BAGS_MAX 8192
#ifdef MVCC_POISON
#define MVCC_RECLAIM_NODES_MAX 4
#else
#define MVCC_RECLAIM_NODES_MAX 1024 /* 3 MiB together */
#endif

struct mvcc_content;
struct mvcc_view;
struct mvcc_reclaim_bag;
struct mvcc_reclaim_crate;

struct mvcc_reclaim_nodes { /* free ones of one size, each with the next one's address in its first word */
    void **first;
    uint32_t count;
};
struct mvcc_reclaim {
    struct rcu *rcu;
    uint64_t bytes;                       /* allocated and not freed yet, spares, bags and crates not counted */
    struct mvcc_reclaim_bag *open;        /* NULL = nothing retired yet */
    struct mvcc_reclaim_bag *returned;    /* stack; atomic: pushed by the call-back, taken whole by the writer */
    struct mvcc_reclaim_bag *emptying;    /* taken, not empty yet */
    struct mvcc_content *contents;        /* nobody reads them any more: being taken apart */
    struct mvcc_reclaim_bag *spare_bags;
    struct mvcc_reclaim_crate *spare_crates;
    struct mvcc_reclaim_nodes spare_leaves;
    struct mvcc_reclaim_nodes spare_inners;
    uint32_t spare_bag_count;
    uint32_t spare_crate_count;
    uint64_t bags_outstanding;
};

void mvcc_reclaim_init(struct mvcc_reclaim *reclaim, struct rcu *rcu);
void mvcc_reclaim_deinit(struct mvcc_reclaim *reclaim); /* frees all that waits; no bag may be outstanding */

/* Retire: readers may hold it. Free: nobody can. */
void mvcc_reclaim_record(struct mvcc_reclaim *reclaim, struct mvcc_record *record);
void mvcc_reclaim_node(struct mvcc_reclaim *reclaim, struct mvcc_node *node);
void mvcc_reclaim_text(struct mvcc_reclaim *reclaim, struct mvcc_node_text *text);
void mvcc_reclaim_chunk(struct mvcc_reclaim *reclaim, struct mvcc_history_log_chunk *chunk);
void mvcc_reclaim_view(struct mvcc_reclaim *reclaim, struct mvcc_view *view);
void mvcc_reclaim_content(struct mvcc_reclaim *reclaim, struct mvcc_content *content); /* taken over; its bytes are counted here already */
void mvcc_reclaim_free_record(struct mvcc_reclaim *reclaim, struct mvcc_record *record);
void mvcc_reclaim_free_node(struct mvcc_reclaim *reclaim, struct mvcc_node *node);
void mvcc_reclaim_free_text(struct mvcc_reclaim *reclaim, struct mvcc_node_text *text);
void mvcc_reclaim_free_chunk(struct mvcc_reclaim *reclaim, struct mvcc_history_log_chunk *chunk);
void mvcc_reclaim_free_view(struct mvcc_reclaim *reclaim, struct mvcc_view *view);

/* Memory for a node as big as this one, not counted yet. */
void *mvcc_reclaim_room(struct mvcc_reclaim *reclaim, const struct mvcc_node *node);

/* After the new view is visible: hands the open bag to the readers. */
void mvcc_reclaim_close(struct mvcc_reclaim *reclaim);
/* Frees about `budget` items; true while more wait that could be freed. */
bool mvcc_reclaim_run(struct mvcc_reclaim *reclaim, size_t budget);

#endif
