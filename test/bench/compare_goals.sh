#!/usr/bin/env bash
# What watches and leases are to cost beside Debian's etcd: one member of each on loopback in turn, one table with goals. Fails where one is missed.
#
#   test/bench/compare_goals.sh [--rounds 1] [--seconds 2] [--watchers 100000] [--streams 5000] [--leases 100000] [--grant-seconds 60]
#                               [--expiring 100000] [--ttl 60] [--dir DIR]
#
# Events per second of server CPU with up to eight puts told to nobody yet ("8 ahead") and with one. That CPU holds the puts: so with one ahead
# the same puts go on before anybody watches, and what a put costs then, and what an event adds to it, are rows of their own, without a goal.
# How long after its acknowledgement (0 where the event came first; "before_ack" is the share of those) and after its start a put is delivered;
# memory of watchers with a 16-byte key of their own and of streams with one watcher each; leases granted and renewed; leases that
# expire together, and the p99 of ten clients' puts before and meanwhile (etcd expires a thousand per second: it is looked at for 15 s). etcd
# grants 1,500 to 3,000 per second, however many are asked for at once, over however many connections: what a server has not granted after
# --grant-seconds, or where they expire after two thirds of the ttl, is not waited for, and "leases" says how many there were.
# shellcheck disable=SC2154 # compare_options sets them
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=compare_lib.sh
. test/bench/compare_lib.sh

compare_options rounds=1 seconds=2 watchers=100000 streams=5000 leases=100000 grant-seconds=60 expiring=100000 ttl=60 -- "$@"
compare_begin build/release/test/bench_watch 1 "$directory"
rates=("1 1 1" "1000 10 10" "1000 1000 10" "10000 100 10")

# one LOAD PROGRAM FLAG... -- FIGURE...
one() {
    local load=$1 program=build/release/test/$2 flags=()
    shift 2
    while [[ $1 != -- ]]; do
        flags+=("$1")
        shift
    done
    shift
    "$program" --endpoint "$endpoints" --server-pids "$(compare_pids)" -w json "${flags[@]}" >"$work/report"
    compare_note "$load" "$work/report" "$@"
}

# rates_of WATCHERS STREAMS CONNS
rates_of() {
    local flags=(--watchers "$1" --streams "$2" --conns "$3" --seconds "$seconds")
    local latencies=(ack_p50_us ack_p99_us before_ack start_p50_us start_p99_us)
    one "$1 watchers, $2 streams, 8 ahead" bench_watch "${flags[@]}" --ahead 8 -- events_per_s events_per_server_s "${latencies[@]}"
    one "$1 watchers, $2 streams, 1 ahead" bench_watch "${flags[@]}" --ahead 1 --apart -- events_per_s events_per_server_s alone_server_us \
        added_server_us "${latencies[@]}"
}

memory_of_watchers() {
    one "$watchers own keys, 1 stream" bench_watch --watchers "$watchers" --streams 1 --conns 1 --own-keys -- rss_per_watcher
}

memory_of_streams() {
    one "$streams own keys and streams" bench_watch --watchers "$streams" --streams "$streams" --conns 10 --own-keys -- rss_per_stream
}

leases_granted() {
    one "$leases leases" bench_lease --leases "$leases" --grant-seconds "$grant_seconds" --seconds "$seconds" -- leases grants_per_s \
        grant_server_us renewals_per_s renewals_per_server_s rss_per_lease
}

leases_expire() {
    one "$expiring leases expire together" bench_lease --leases "$expiring" --ttl "$ttl" --grant-seconds $((ttl * 2 / 3)) --expire \
        --seconds-max 15 -- leases expired_per_s put_p99_before_ms put_p99_ms
}

# A machine that others use, too, is another one a minute later: so both have their turn at each.
for ((round = 1; round <= rounds; round++)); do
    for part in memory_of_watchers memory_of_streams "${rates[@]/#/rates_of }" leases_granted leases_expire; do
        for server in kvd etcd; do
            echo "round $round of $rounds: $part: $server" >&2
            compare_start "$server"
            $part # words
            compare_end
        done
    done
done

for rate in "${rates[@]}"; do
    read -r count over _ <<<"$rate"
    for ahead in 8 1; do
        load="$count watchers, $over streams, $ahead ahead"
        compare_goal "$load" events_per_server_s ratio '>=' 3
        [[ $ahead == 8 ]] || for figure in alone_server_us added_server_us; do compare_goal "$load" "$figure"; done
        for figure in events_per_s ack_p50_us ack_p99_us before_ack start_p50_us start_p99_us; do compare_goal "$load" "$figure"; done
    done
done
compare_goal "$watchers own keys, 1 stream" rss_per_watcher kvd '<=' 216 # 200 and the key
compare_goal "$watchers own keys, 1 stream" rss_per_watcher ratio '<=' 0.333
compare_goal "$streams own keys and streams" rss_per_stream ratio '<=' 1
for figure in leases grants_per_s grant_server_us renewals_per_s renewals_per_server_s rss_per_lease; do compare_goal "$leases leases" "$figure"; done
for figure in leases expired_per_s put_p99_before_ms put_p99_ms; do compare_goal "$expiring leases expire together" "$figure"; done
compare_goals
