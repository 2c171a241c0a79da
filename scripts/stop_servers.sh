#!/usr/bin/env bash
# Ends the members that start_servers.sh started: SIGTERM to all, a bounded wait, then SIGKILL. Only processes whose pid
# and start time stand in a pid file are touched.
set -euo pipefail
. "$(dirname -- "$0")/server_env.sh"

stopping=()
for file in "$data_dir"/kvd*.pid; do
    [[ -e $file ]] || continue
    if pid=$(running_pid "$file"); then
        kill -TERM "$pid" 2>/dev/null || true
        stopping+=("$file")
    else
        rm -f "$file"
    fi
done

deadline=$((SECONDS + SERVER_STOP_TIMEOUT))
for file in ${stopping[@]+"${stopping[@]}"}; do
    name=$(basename "$file" .pid)
    while pid=$(running_pid "$file"); do
        if ((SECONDS >= deadline)); then
            echo "$name did not end within $SERVER_STOP_TIMEOUT s and is killed (process $pid)" >&2
            kill -KILL "$pid" 2>/dev/null || true
            deadline=$((SECONDS + SERVER_STOP_TIMEOUT))
        fi
        sleep 0.05
    done
    rm -f "$file"
    echo "$name has ended"
done
if ((${#stopping[@]} == 0)); then
    echo "no member was running"
fi
