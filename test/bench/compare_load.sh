#!/usr/bin/env bash
# Three members of kvd and three of Debian's etcd on loopback, the same load on both in turn, several rounds; a table of medians.
#
#   test/bench/compare_load.sh [--rounds 3] [--seconds 4] [--dir DIR] [--json]
#
# Both sync every write. Only one cluster runs at a time. The load is kvbench's (one thread); the servers' CPU is the
# run time of all their threads, members summed (schedstat).
# shellcheck disable=SC2154 # compare_options sets them
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=compare_lib.sh
. test/bench/compare_lib.sh

compare_options rounds=3 seconds=4 -- "$@"
load=bin/kvbench
compare_begin "$load" 3 "$directory"

# one WORKLOAD CLIENTS CONNS
one() {
    local name=$1 clients=$2 conns=$3
    local -a words=("$name")
    case $name in
    get) words=(get --fill) ;;
    get-serializable) words=(get --fill --serializable) ;;
    esac
    "$load" "${words[@]}" --endpoints "$endpoints" --server-pids "$(compare_pids)" --clients "$clients" --conns "$conns" --duration "$seconds" \
        --warm-up 300ms -w json >"$work/report"
    compare_note "$name, $clients clients" "$work/report" ops_per_s p50_us p99_us server_cpu_us client_cpu_us errors
}

for ((round = 1; round <= rounds; round++)); do
    for server in kvd etcd; do
        echo "round $round of $rounds: $server" >&2
        compare_start "$server"
        for workload in put get get-serializable; do
            one "$workload" 1000 100
            one "$workload" 1 1
        done
        compare_end
    done
done
compare_table "$json"
