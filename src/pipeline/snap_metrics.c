/* snap_metrics: see snap_metrics.h. */
#include "pipeline/snap_metrics.h"

/* --- sending --- */

static void end_sending(struct snap_metrics *note, size_t at, bool is_whole)
{
    struct metrics_peer *peer = &note->metrics->peers[at];
    struct snap_metrics_sending *sending = &note->sending[at];
    ASSERT(sending->index != 0);
    METRIC_SET(peer, snapshots_sending, 0);
    if (is_whole) {
        METRIC_ADD(peer, snapshots_sent, 1);
        metrics_observe(&peer->snapshot_sent, METRICS_FROM_100MS, sending->asked_ns - sending->began_ns);
    } else {
        METRIC_ADD(peer, snapshots_not_sent, 1);
    }
    sending->index = 0;
}

void snap_metrics_sent(struct snap_metrics *note, const struct snap_metrics_piece *piece, uint64_t now_ns)
{
    struct metrics_peer *peer = metrics_find_peer(note->metrics, piece->peer);
    if (peer == NULL) return;
    size_t at = (size_t)(peer - note->metrics->peers);
    struct snap_metrics_sending *sending = &note->sending[at];
    bool is_other = sending->index != piece->index, is_gone = piece->file_bytes == 0;
    if (sending->index != 0 && (is_other || is_gone)) end_sending(note, at, false);
    if (is_gone || (is_other && piece->offset != 0)) return; /* pieces that are asked for again begin nothing */
    if (is_other) *sending = (struct snap_metrics_sending){.index = piece->index, .began_ns = now_ns};
    METRIC_SET(peer, snapshots_sending, 1);
    sending->asked_ns = now_ns;
    if (piece->offset + piece->size == piece->file_bytes) end_sending(note, at, true);
}

/* --- getting --- */

void snap_metrics_got(struct snap_metrics *note, uint64_t now_ns)
{
    struct metrics_peer *from = note->from;
    note->from = NULL;
    if (from == NULL) return;
    METRIC_SET(from, snapshots_receiving, 0);
    METRIC_ADD(from, snapshots_received, 1);
    metrics_observe(&from->snapshot_received, METRICS_FROM_100MS, now_ns - note->got_ns);
    metrics_observe(&note->metrics->snapshot_got, METRICS_FROM_100MS, now_ns - note->got_ns);
}

static void look_at_pull(struct snap_metrics *note, const struct snap_pull *pull, uint64_t now_ns)
{
    bool is_getting = pull->phase >= SNAP_PULL_OPEN && pull->phase <= SNAP_PULL_READY;
    if (pull->syncs > note->syncs) metrics_observe(&note->metrics->got_sync, METRICS_FROM_1MS, pull->sync_ns_last);
    note->syncs = pull->syncs;
    METRIC_SET(note->metrics, snapshot_loading, pull->phase >= SNAP_PULL_LOAD && pull->phase <= SNAP_PULL_READY);
    if (is_getting == (note->from != NULL)) return;
    if (is_getting) {
        note->from = metrics_find_peer(note->metrics, pull->from);
        note->got_ns = now_ns;
        if (note->from != NULL) METRIC_SET(note->from, snapshots_receiving, 1);
    } else {
        METRIC_SET(note->from, snapshots_receiving, 0);
        METRIC_ADD(note->from, snapshots_not_received, 1);
        note->from = NULL;
    }
}

void snap_metrics_look(struct snap_metrics *note, const struct snap_pull *pull, uint64_t now_ns)
{
    look_at_pull(note, pull, now_ns);
    for (size_t i = 0; i < METRICS_PEERS_MAX; i++)
        if (note->sending[i].index != 0 && now_ns - note->sending[i].asked_ns >= SNAP_METRICS_GIVEN_UP_NS) end_sending(note, i, false);
}
