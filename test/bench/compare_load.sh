#!/usr/bin/env bash
# Three members of kvd and three of Debian's etcd on loopback, the same load on both in turn, several rounds; a table of medians.
#
#   test/bench/compare_load.sh [--rounds 3] [--seconds 4] [--dir DIR] [--json]
#
# Both sync every write. Only one cluster runs at a time. The load is bench_load's (one thread, asynchronous); the servers' CPU is the
# run time of all their threads, members summed (schedstat).
set -euo pipefail
cd "$(dirname "$0")/../.."

rounds=3 seconds=4 directory="" json=no
while (($# > 0)); do
    case $1 in
        --rounds) rounds=$2; shift ;;
        --seconds) seconds=$2; shift ;;
        --dir) directory=$2; shift ;;
        --json) json=yes ;;
        *) sed -n '2,8p' "$0" >&2; exit 2 ;;
    esac
    shift
done
load=build/release/test/bench_load
for program in bin/kvd "$load" /usr/bin/etcd; do
    [[ -x $program ]] || { echo "there is no $program: make deps build" >&2; exit 1; }
done
work=$(mktemp -d "${directory:-${TMPDIR:-/var/tmp}}/kvd-compare-XXXXXX")
pids=()
end_members() {
    ((${#pids[@]})) || return 0
    kill "${pids[@]}" 2>/dev/null || true
    for _ in {1..50}; do
        kill -0 "${pids[@]}" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL "${pids[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    pids=()
}
finish() {
    end_members
    rm -rf "$work"
}
trap finish EXIT

base=$((24000 + RANDOM % 400 * 20))
client_url() { echo "http://127.0.0.1:$((base + $1))"; }
peer_url() { echo "http://127.0.0.1:$((base + 10 + $1))"; }
endpoints=127.0.0.1:$base,127.0.0.1:$((base + 1)),127.0.0.1:$((base + 2))

start_members() {
    local program=$1 i cluster=
    rm -rf "$work"/m?
    for i in 0 1 2; do
        cluster+=${cluster:+,}m$i=$(peer_url $i)
    done
    for i in 0 1 2; do
        "$program" --name m$i --data-dir "$work/m$i" --initial-cluster "$cluster" \
            --listen-client-urls "$(client_url $i)" --advertise-client-urls "$(client_url $i)" \
            --listen-peer-urls "$(peer_url $i)" --initial-advertise-peer-urls "$(peer_url $i)" \
            >"$work/log$i" 2>&1 </dev/null &
        pids+=($!)
    done
    for _ in {1..100}; do
        if ETCDCTL_API=3 etcdctl --endpoints "$endpoints" --command-timeout 1s endpoint health >/dev/null 2>&1; then
            return
        fi
        sleep 0.1
    done
    echo "the members of $program do not serve; the last line of the first one's log:" >&2
    tail -n 1 "$work/log0" >&2
    exit 1
}

# one SERVER WORKLOAD CLIENTS CONNS: a line "server workload clients ops/s p50 p99 server-us client-us errors"
one() {
    local server=$1 workload=$2 clients=$3 conns=$4
    "$load" --endpoints "$endpoints" --server-pids "$(IFS=,; echo "${pids[*]}")" --workload "$workload" \
        --clients "$clients" --conns "$conns" --seconds "$seconds" -w json >"$work/report"
    /usr/bin/python3 - "$server" "$workload" "$clients" "$work/report" >>"$work/lines" <<'END'
import json, sys
server, workload, clients, path = sys.argv[1:]
r = json.load(open(path))
print(server, workload, clients, r["ops_per_s"], r["p50_us"], r["p99_us"], r["server_cpu_us"], r["client_cpu_us"], r["errors"])
END
}

for ((round = 1; round <= rounds; round++)); do
    for server in kvd etcd; do
        echo "round $round of $rounds: $server" >&2
        start_members "$([[ $server == kvd ]] && echo bin/kvd || echo /usr/bin/etcd)"
        for workload in put get get-serializable; do
            one "$server" "$workload" 1000 100
            one "$server" "$workload" 1 1
        done
        end_members
    done
done

/usr/bin/python3 - "$work/lines" "$json" <<'END'
import json, statistics, sys
runs = {}
for line in open(sys.argv[1]):
    server, workload, clients, *figures = line.split()
    runs.setdefault((workload, int(clients)), {}).setdefault(server, []).append([float(f) for f in figures])
NAMES = ("ops/s", "p50 us", "p99 us", "server CPU us/op", "client CPU us/op", "errors")
if sys.argv[2] == "no":
    print(f"{'load':28} {'figure':18} {'kvd':>10} {'etcd':>10} {'kvd/etcd':>9}   per round")
for (workload, clients), servers in runs.items():
    for i, name in enumerate(NAMES):
        kvd, etcd = ([run[i] for run in servers[s]] for s in ("kvd", "etcd"))
        ratios = [a / b for a, b in zip(kvd, etcd) if b > 0]
        row = {"load": f"{workload}, {clients} clients", "figure": name, "kvd": statistics.median(kvd),
               "etcd": statistics.median(etcd), "ratios": [round(r, 3) for r in ratios]}
        if sys.argv[2] == "yes":
            print(json.dumps(row))
        elif name != "errors" or row["kvd"] or row["etcd"]:
            ratio = f"{statistics.median(ratios):9.2f}" if ratios else f"{'-':>9}"
            print(f"{row['load']:28} {name:18} {row['kvd']:10.1f} {row['etcd']:10.1f} {ratio}   "
                  + " ".join(f"{r:.2f}" for r in ratios))
END
