#!/usr/bin/env bash
# The benchmarks. In the gate each runs in a small size, ends well and prints every figure that it owes: no speed is judged, for the gate
# runs on machines of all kinds and beside others. With --full the sizes for which targets are written, and their tables.
#   test/benchmark_test.sh [--full]        KVD_BUILD=build/other: another build than build/release
set -euo pipefail
# shellcheck source=suite_lib.sh
. "$(dirname "$0")/suite_lib.sh"
build=${KVD_BUILD:-build/release}

if [[ ${1:-} == --full ]]; then
    "$build/test/bench_mvcc" --full
    "$build/test/bench_snapshot" --full
    exec "$build/test/bench_wal" --full
fi
suite_begin "benchmarks" 75

# has_figures LOG FIGURE...: every line of the log is a figure with a number, and each of these beginnings is among them
has_figures() {
    local log=$1 figure
    shift
    if grep -vE '^\{"figure":"[^"]+","measured":[0-9]+(\.[0-9]+)?,.*"verdict":"(ok|below|-)"\}$' "$log"; then
        echo "not a figure"
        return 1
    fi
    for figure in "$@"; do
        grep -qF "{\"figure\":\"$figure" "$log" || { echo "no figure \"$figure\""; return 1; }
    done
}

mvcc_prints_every_figure_as_json() {
    "$build/test/bench_mvcc" --json >"$suite_dir/figures" || return 1
    has_figures "$suite_dir/figures" "bytes per key beyond key and value, as counted" "put new keys, random order, batches of 64" \
        "put over old keys, random order, batches of 64" "put new keys, random order, batches of 1" \
        "put over old keys, random order, batches of 1" "point reads per reader, 1 reader, a writer running" \
        "keys scanned now" "keys scanned at the old revision" "count of a random interval" "range with limit 10" \
        "count: cost" "limit 10: cost" "hot key: puts" "hot key: reads now" "hot key: reads at a random old revision" \
        "hot key: versions compacted" "queue: rounds" "queue: time of the second half" "paging at an old revision: first page" \
        "paging at an old revision: each page" \
        "old versions compacted" "old versions: longest step"
}

mvcc_prints_a_table() {
    "$build/test/bench_mvcc" range | awk -F'|' '
        NR == 2 { is_table = /figure/ && /measured/ && /target/ && /ok\/below/ }
        NR > 2 { rows += NF == 4 }
        END { print rows " rows"; exit !(is_table && rows == NR - 2 && rows > 0) }'
}

mvcc_refuses_what_it_does_not_know() {
    ! "$build/test/bench_mvcc" --fast && ! "$build/test/bench_mvcc" no-such-part
}

snapshot_prints_every_figure_as_json() {
    "$build/test/bench_snapshot" --json --dir "$suite_dir" >"$suite_dir/figures" || return 1
    has_figures "$suite_dir/figures" "put once: taking the image" "put once: written" "put once: loaded" "put once: versions loaded" \
        "put three times: written" "put three times: longest step of writing" "put three times: loaded" \
        "put three times: longest step of loading" "put three times: longest step of taking it apart" || return 1
    ! "$build/test/bench_snapshot" --fast && [[ -z $(find "$suite_dir" -name 'bench_snapshot_*') ]]
}

wal_prints_every_figure_as_json() {
    "$build/test/bench_wal" --json --dir "$suite_dir" >"$suite_dir/figures" || return 1
    has_figures "$suite_dir/figures" "one after the other, floor: appends per second" "one after the other, log: latency worst" \
        "groups of 64, log: appends per second" "steady, floor: latency p99" "steady, log with its chores: latency worst" \
        "steady, log, chores on a thread: latency worst" "for batches: fdatasync, mean" "for the next segment: write zeros, worst" || return 1
    ! "$build/test/bench_wal" --fast && [[ -z $(find "$suite_dir" -name 'bench_wal_*') ]]
}

# serve COMMAND...: the command beside a member, with $endpoint and $pid
serve() {
    local port=$((20000 + RANDOM % 12000)) status=0 pid
    local client=http://127.0.0.1:$port peer=http://127.0.0.1:$((port + 1))
    "${KVD_BINARY:-bin/kvd}" --name m0 --data-dir "$suite_dir/served" --initial-cluster "m0=$peer" --listen-client-urls "$client" \
        --advertise-client-urls "$client" --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" >"$suite_dir/served.log" 2>&1 &
    pid=$!
    for _ in {1..100}; do
        grep -qF 'ready to serve client requests' "$suite_dir/served.log" && break
        sleep 0.1
    done
    "$@" --endpoint "127.0.0.1:$port" --server-pids $pid -w json || status=1
    kill $pid
    wait $pid || status=1
    rm -rf "$suite_dir/served" "$suite_dir/served.log"
    return $status
}

# has_members FILE NAME...: each line is a JSON object that has a number above zero under each of these names
has_members() {
    /usr/bin/python3 -c '
import json, sys
for line in open(sys.argv[1]):
    report = json.loads(line)
    for name in sys.argv[2:]:
        assert report[name] > 0, f"{name} in {line}"' "$@"
}

watch_prints_its_figures() {
    serve "$build/test/bench_watch" --watchers 200 --streams 20 --conns 2 --seconds 1 --warmup 50ms >"$suite_dir/figures" || return 1
    has_members "$suite_dir/figures" events_per_s events_per_server_s server_us client_us ack_p99_us start_p50_us start_p99_us || return 1
    serve "$build/test/bench_watch" --watchers 20 --streams 2 --conns 1 --ahead 1 --seconds 1 --warmup 50ms --apart >"$suite_dir/figures" || return 1
    has_members "$suite_dir/figures" events_per_server_s put_server_us alone_server_us || return 1
    serve "$build/test/bench_watch" --watchers 2000 --streams 20 --conns 2 --own-keys --settle 100ms >"$suite_dir/figures" || return 1
    has_members "$suite_dir/figures" rss_per_watcher rss_per_stream create_server_us || return 1
    ! "$build/test/bench_watch" --fast && ! "$build/test/bench_watch" --watchers 1 --streams 2
}

lease_prints_its_figures() {
    serve "$build/test/bench_lease" --leases 2000 --seconds 1 --settle 100ms >"$suite_dir/figures" || return 1
    has_members "$suite_dir/figures" grants_per_s grant_server_us renewals_per_s renewals_per_server_s renewal_server_us || return 1
    serve "$build/test/bench_lease" --leases 100000000 --grant-seconds 1 --in-flight 100 --seconds 1 --settle 100ms >"$suite_dir/figures" || return 1
    has_members "$suite_dir/figures" leases grants_per_s renewals_per_s || return 1
    serve "$build/test/bench_lease" --leases 2000 --ttl 5 --expire >"$suite_dir/figures" || return 1
    has_members "$suite_dir/figures" expired_per_s put_p99_before_ms put_p99_ms puts || return 1
    ! "$build/test/bench_lease" --fast
}

# Every row of the comparison with etcd, small: whether it yields figures, not which.
comparison_yields_every_figure() {
    test/bench/figures/run.py --quick --dir "$suite_dir" --out "$suite_dir/out" || return 1
    test/bench/figures/test_report.py "$suite_dir/out" || return 1
    ! test/bench/figures/run.py --rows no-such-row
}

# 1,000,000 leases beside etcd, which grants as many as it can in eight minutes; goals that a busy machine misses are shown, not judged.
watches_and_leases_in_full_size() {
    test/bench/compare_goals.sh --seconds 5 --leases 1000000 --grant-seconds 480 --ttl 300 --dir "$suite_dir" | tee "$suite_dir/goals"
    grep -q '^1000000 leases  *renewals_per_s ' "$suite_dir/goals" && grep -q '^100000 leases expire together  *put_p99_ms ' "$suite_dir/goals"
}

# run NAME: a check of this file in a shell of its own
run() {
    # shellcheck disable=SC2016 # expanded by the inner shell
    suite_run "$1" 100 bash -c 'set -uo pipefail; build=$1 suite_dir=$2; eval "$3"; "$4"' one "$build" "$suite_dir" \
        "$(declare -f has_figures has_members serve "$1")" "$1"
}

run mvcc_prints_every_figure_as_json
run mvcc_prints_a_table
run mvcc_refuses_what_it_does_not_know
run snapshot_prints_every_figure_as_json
run wal_prints_every_figure_as_json
run watch_prints_its_figures
run lease_prints_its_figures
run comparison_yields_every_figure
[[ ${KVD_TEST_LONG:-} != 1 ]] || run watches_and_leases_in_full_size
suite_end
