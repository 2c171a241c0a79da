#!/usr/bin/env bash
# Do clients that others wrote work on kvd: Debian's etcdctl and python3-etcd3, npm's etcd3? Each puts, gets, runs transactions, watches, keeps
# a lease alive and lets one expire, holds a lock; in the middle all three members are killed, one after the other, and come back. So
# every client loses the member that serves it, and the leader changes. The programs are in clients/.
set -euo pipefail
# shellcheck source=e2e_lib.sh
. "$(dirname "$0")/e2e_lib.sh"
clients=$e2e_root/test/e2e/clients
modules=$e2e_modules
names=()
pids=()

# client NAME COMMAND...: it works below its own prefix
client() {
    local name=$1
    shift
    "$@" "$name/" "$e2e_dir" "${e2e_endpoints[@]#http://}" >"$e2e_dir/$name.out" 2>&1 &
    names+=("$name")
    pids+=($!)
}

end_clients() { kill "${pids[@]}" 2>/dev/null || true; }

# Until all have said so, or one has ended.
wait_ready() {
    local place end=$((SECONDS + 40))
    for place in "${!names[@]}"; do
        until [[ -e $e2e_dir/${names[place]}.ready ]]; do
            if ! kill -0 "${pids[place]}" 2>/dev/null || ((SECONDS >= end)); then
                return
            fi
            sleep 0.05
        done
    done
}

kill_all_in_turn() {
    local member leader
    leader=$(e2e_leader)
    for member in "$leader" $((leader % 3 + 1)) $(((leader + 1) % 3 + 1)); do
        kill -9 "$(cut -d' ' -f1 "$e2e_dir/data/kvd$member.pid")"
        sleep 0.2
        "$e2e_root/scripts/start_servers.sh" >>"$e2e_dir/start.out" 2>&1
        sleep 0.4 # clients look for another member meanwhile
    done
}

judge() {
    local place code
    for place in "${!names[@]}"; do
        code=0
        wait "${pids[place]}" || code=$?
        if ((code == 0)) && [[ -e $e2e_dir/${names[place]}.ready ]]; then
            e2e_pass
            echo "${names[place]}: $(tail -n 1 "$e2e_dir/${names[place]}.out")"
        else
            e2e_fail "${names[place]}" "exit $code: $(tail -n 30 "$e2e_dir/${names[place]}.out")"
        fi
    done
}

e2e_node_modules
e2e_start
trap 'end_clients; e2e_finish' EXIT
client etcdctl "$clients/etcdctl.sh"
client python "$clients/python_etcd3.py"
if [[ -e $modules/installed ]]; then
    client node env NODE_PATH="$modules/node_modules" node "$clients/node_etcd3.js"
fi
wait_ready
kill_all_in_turn
touch "$e2e_dir/go"
judge
