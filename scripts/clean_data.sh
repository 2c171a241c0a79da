#!/usr/bin/env bash
# Removes what the members of the local cluster have stored, and their logs. Refuses while one of them runs.
set -euo pipefail
. "$(dirname -- "$0")/server_env.sh"

for file in "$data_dir"/kvd*.pid; do
    if [[ -e $file ]] && pid=$(running_pid "$file"); then
        echo "$(basename "$file" .pid) still runs (process $pid); \`make stop\` ends it" >&2
        exit 1
    fi
done
for number in 1 2 3 4 5; do
    rm -rf "$data_dir/kvd$number" "$data_dir/kvd$number.log" "$data_dir/kvd$number.pid"
done
rm -f "$data_dir/cluster"
rmdir "$data_dir" 2>/dev/null || true
echo "the data of the local cluster is gone"
