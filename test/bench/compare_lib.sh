# shellcheck shell=bash
# Sourced by the comparisons: clusters of kvd and of Debian's etcd on loopback, one at a time, and the table of what was measured.
#
#   compare_options NAME=DEFAULT... -- "$@"   --NAME VALUE sets $NAME (_ for -), --dir $directory, --json makes $json yes; else the head of the script
#   compare_begin PROGRAM MEMBERS DIR     the load generator, how many members a cluster has, where their directories go ("" = TMPDIR)
#   compare_start kvd|etcd                then $endpoints and $pids are the cluster's
#   compare_end
#   compare_note LOAD REPORT FIGURE...    of a load generator's JSON report, these members, for the server that runs
#   compare_table JSON                    of all lines: medians and the ratios of each round; yes = a JSON line per row
#   compare_goal LOAD FIGURE [ratio|kvd >=|<= BOUND]   a row of the next; without a bound it is only shown
#   compare_goals                         the rows, with goal and whether it is reached; fails where one is not

# shellcheck disable=SC2034 # what it sets is the script's
compare_options() {
    directory="" json=no
    local names=" " name
    while [[ $1 != -- ]]; do
        name=${1%%=*}
        declare -g "${name//-/_}=${1#*=}"
        names+="$name "
        shift
    done
    shift
    while (($# > 0)); do
        if [[ $1 == --json ]]; then
            json=yes
        elif [[ $1 == --dir && $# -gt 1 ]]; then
            directory=$2
            shift
        elif [[ $1 == --* && $names == *" ${1#--} "* && $# -gt 1 ]]; then
            name=${1#--}
            declare -g "${name//-/_}=$2"
            shift
        else
            sed -n '2,/^set /{/^set /d;/^# shellcheck/d;p}' "$0" >&2
            exit 2
        fi
        shift
    done
}

compare_begin() {
    compare_members=$2 pids=() endpoints=""
    local program
    for program in bin/kvd "$1" /usr/bin/etcd; do
        [[ -x $program ]] || { echo "there is no $program: make deps build" >&2; exit 1; }
    done
    work=$(mktemp -d "${3:-${TMPDIR:-/var/tmp}}/kvd-compare-XXXXXX")
    compare_base=$((24000 + RANDOM % 400 * 20))
    trap 'compare_end; rm -rf "$work"' EXIT
}

compare_end() {
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

compare_start() {
    local program=bin/kvd i cluster=
    compare_server=$1 endpoints=
    [[ $1 == etcd ]] && program=/usr/bin/etcd
    rm -rf "$work"/m?
    for ((i = 0; i < compare_members; i++)); do
        cluster+=${cluster:+,}m$i=http://127.0.0.1:$((compare_base + 10 + i))
        endpoints+=${endpoints:+,}127.0.0.1:$((compare_base + i))
    done
    for ((i = 0; i < compare_members; i++)); do
        "$program" --name m$i --data-dir "$work/m$i" --initial-cluster "$cluster" \
            --listen-client-urls "http://127.0.0.1:$((compare_base + i))" --advertise-client-urls "http://127.0.0.1:$((compare_base + i))" \
            --listen-peer-urls "http://127.0.0.1:$((compare_base + 10 + i))" \
            --initial-advertise-peer-urls "http://127.0.0.1:$((compare_base + 10 + i))" >"$work/log$i" 2>&1 </dev/null &
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

compare_pids() { (IFS=,; echo "${pids[*]}"); }

# compare_note LOAD REPORT FIGURE...: the load generator's JSON report; of it these members
compare_note() {
    /usr/bin/python3 - "$compare_server" "$@" >>"$work/lines" <<'END'
import json, sys
server, load, path, *names = sys.argv[1:]
report = json.load(open(path))
print(json.dumps([load, server, [[name, report[name]] for name in names]]))
END
}

compare_table() {
    /usr/bin/python3 - "$work/lines" "$1" <<'END'
import json, statistics, sys
runs = {}
for line in open(sys.argv[1]):
    load, server, figures = json.loads(line)
    for name, value in figures:
        runs.setdefault((load, name), {}).setdefault(server, []).append(value)
if sys.argv[2] == "no":
    print(f"{'load':44} {'figure':20} {'kvd':>12} {'etcd':>12} {'kvd/etcd':>9}   per round")
for (load, name), servers in runs.items():
    kvd, etcd = servers["kvd"], servers["etcd"]
    ratios = [a / b for a, b in zip(kvd, etcd) if b > 0]
    row = {"load": load, "figure": name, "kvd": statistics.median(kvd), "etcd": statistics.median(etcd), "ratios": [round(r, 3) for r in ratios]}
    if sys.argv[2] == "yes":
        print(json.dumps(row))
    elif name != "errors" or row["kvd"] or row["etcd"]:
        ratio = f"{statistics.median(ratios):9.2f}" if ratios else f"{'-':>9}"
        print(f"{load:44} {name:20} {row['kvd']:12.1f} {row['etcd']:12.1f} {ratio}   " + " ".join(f"{r:.2f}" for r in ratios))
END
}

compare_goal() { printf '%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "${3:-}" "${4:-}" "${5:-}" >>"$work/goals"; }

compare_goals() {
    /usr/bin/python3 - "$work/lines" "$work/goals" <<'END'
import json, statistics, sys
runs, missed = {}, 0
for line in open(sys.argv[1]):
    load, server, figures = json.loads(line)
    for name, value in figures:
        runs.setdefault((load, name), {}).setdefault(server, []).append(value)
print(f"{'load':36} {'figure':22} {'kvd':>12} {'etcd':>12} {'kvd/etcd':>9}  {'goal':14} reached")
for line in open(sys.argv[2]):
    load, name, what, order, bound = line.rstrip("\n").split("\t")
    kvd, etcd = (statistics.median(runs[(load, name)][server]) for server in ("kvd", "etcd"))
    ratio = kvd / etcd if etcd > 0 else float("nan")
    value = {"ratio": ratio, "kvd": kvd}.get(what)
    is_reached = value is None or (value >= float(bound) if order == ">=" else value <= float(bound))
    missed += not is_reached
    goal = f"{what} {order} {bound}" if what else ""
    print(f"{load:36} {name:22} {kvd:12.2f} {etcd:12.2f} {ratio:9.2f}  {goal:14} {('yes' if is_reached else 'NO') if what else ''}")
sys.exit(1 if missed else 0)
END
}
