#!/usr/bin/env bash
# What the members of config.env are doing: process, memory, whether each serves, and what they say of themselves. Exits with 0 if all serve, 1 if
# some do not, 3 if none runs.
set -euo pipefail
. "$(dirname -- "$0")/server_env.sh"

# serves MEMBER: a read went through the cluster
serves() { [[ $(curl --silent --max-time 3 --output /dev/null --write-out '%{http_code}' "$(client_url "$1")/readyz") == 200 ]]; }

serving=()
running=0
for ((i = 0; i < SERVER_NODE_COUNT; i++)); do
    if ! pid=$(running_pid "$(pid_file "$i")"); then
        echo "$(member_name "$i")   does not run"
        continue
    fi
    running=$((running + 1))
    memory=$(awk '/^VmRSS:/ { printf "%d MB", $2 / 1024 }' "/proc/$pid/status" 2>/dev/null || true)
    if serves "$i"; then
        serving+=("$(client_url "$i")")
        echo "$(member_name "$i")   serves   process $pid   ${memory:-?}   clients $(client_url "$i")"
    else
        echo "$(member_name "$i")   runs, but does not serve   process $pid   ${memory:-?}   log $(log_file "$i")"
    fi
done
if ((${#serving[@]} > 0)) && [[ -x $root/bin/kvctl ]]; then
    (IFS=, && exec "$root/bin/kvctl" --endpoints "${serving[*]}" endpoint status -w table) || true
fi
((running > 0)) || exit 3
((${#serving[@]} == SERVER_NODE_COUNT))
