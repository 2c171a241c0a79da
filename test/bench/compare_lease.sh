#!/usr/bin/env bash
# One member of kvd and one of Debian's etcd on loopback, the same leases on both in turn, several rounds; a table of medians.
#
#   test/bench/compare_lease.sh [--rounds 3] [--leases 100000] [--seconds 3] [--ttl 40] [--dir DIR] [--json]
#
# Leases are granted and renewed over ten streams (bench_lease); then, on a fresh member, as many with a key each expire together while
# ten clients put: etcd expires a thousand per second, so it is looked at for 15 s. Both sync every write. The ttl must be longer than
# etcd takes to grant all.
# shellcheck disable=SC2154 # compare_options sets them
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=compare_lib.sh
. test/bench/compare_lib.sh

compare_options rounds=3 leases=100000 seconds=3 ttl=40 -- "$@"
load=build/release/test/bench_lease
compare_begin "$load" 1 "$directory"

# one FIGURE... -- FLAG...
one() {
    local figures=()
    while [[ $1 != -- ]]; do
        figures+=("$1")
        shift
    done
    shift
    "$load" --endpoint "$endpoints" --server-pids "$(compare_pids)" --leases "$leases" -w json "$@" >"$work/report"
    compare_note "$leases leases" "$work/report" "${figures[@]}"
}

for ((round = 1; round <= rounds; round++)); do
    for server in kvd etcd; do
        echo "round $round of $rounds: $server" >&2
        compare_start "$server"
        one grants_per_s grant_server_us rss_per_lease renewals_per_s renewals_per_server_s -- --seconds "$seconds"
        compare_end
        compare_start "$server"
        one expired_per_s first_late_s server_us put_p99_before_ms put_p99_ms -- --ttl "$ttl" --expire --seconds-max 15
        compare_end
    done
done
compare_table "$json"
