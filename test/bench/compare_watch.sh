#!/usr/bin/env bash
# One member of kvd and one of Debian's etcd on loopback, the same watchers on both in turn, several rounds; a table of medians.
#
#   test/bench/compare_watch.sh [--rounds 3] [--seconds 3] [--dir DIR] [--json]
#
# All watchers watch one key (bench_watch). "8 ahead": puts go on while the events of up to eight are still to be delivered; "1 ahead": a
# put comes when everybody has heard of the one before. Server CPU holds the puts, too. Memory: a key of its own for each watcher.
# shellcheck disable=SC2154 # compare_options sets them
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=compare_lib.sh
. test/bench/compare_lib.sh

compare_options rounds=3 seconds=3 -- "$@"
load=build/release/test/bench_watch
compare_begin "$load" 1 "$directory"

# rate WATCHERS STREAMS CONNS AHEAD
rate() {
    "$load" --endpoint "$endpoints" --server-pids "$(compare_pids)" --watchers "$1" --streams "$2" --conns "$3" --ahead "$4" \
        --seconds "$seconds" -w json >"$work/report"
    compare_note "$1 watchers, $2 streams, $4 ahead" "$work/report" events_per_s events_per_server_s server_us events_per_frame \
        ack_p50_us ack_p99_us start_p50_us start_p99_us
}

# memory WATCHERS STREAMS CONNS FIGURE
memory() {
    "$load" --endpoint "$endpoints" --server-pids "$(compare_pids)" --watchers "$1" --streams "$2" --conns "$3" --own-keys -w json >"$work/report"
    compare_note "$1 own keys, $2 streams" "$work/report" "$4" create_server_us
}

for ((round = 1; round <= rounds; round++)); do
    for server in kvd etcd; do
        echo "round $round of $rounds: $server" >&2
        compare_start "$server"
        memory 100000 1 1 rss_per_watcher
        compare_end
        compare_start "$server"
        memory 5000 5000 10 rss_per_stream
        compare_end
        compare_start "$server"
        rate 1 1 1 8
        rate 1000 10 10 8
        rate 1000 1000 10 8
        rate 10000 100 10 8
        rate 1 1 1 1
        rate 1000 10 10 1
        rate 1000 1000 10 1
        rate 10000 100 10 1
        compare_end
    done
done
compare_table "$json"
