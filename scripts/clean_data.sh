#!/usr/bin/env bash
# Removes what the members of the local cluster have stored, and their logs. Asks before; with -y it does not. Refuses while one of them runs.
set -euo pipefail
. "$(dirname -- "$0")/server_env.sh"

is_agreed=no
case ${1:-} in
    '') ;;
    -y | --yes) is_agreed=yes ;;
    *) echo "usage: scripts/clean_data.sh [-y]" >&2 && exit 2 ;;
esac
for file in "$data_dir"/kvd*.pid; do
    if [[ -e $file ]] && pid=$(running_pid "$file"); then
        echo "$(basename "$file" .pid) still runs (process $pid); \`make stop\` ends it" >&2
        exit 1
    fi
done
doomed=()
for number in 1 2 3 4 5; do
    for path in "$data_dir/kvd$number" "$data_dir/kvd$number.log" "$data_dir/kvd$number.pid"; do
        [[ ! -e $path ]] || doomed+=("$path")
    done
done
if ((${#doomed[@]} == 0)); then
    echo "there is no data of the local cluster in $data_dir"
    exit 0
fi
if [[ $is_agreed == no ]]; then
    size=$(du -shc "${doomed[@]}" | tail -n 1 | cut -f 1)
    printf 'Remove all that the local cluster has stored in %s (%s)? [y/N] ' "$data_dir" "$size"
    read -r answer || answer=
    if [[ $answer != [yY] && $answer != [yY][eE][sS] ]]; then
        echo "nothing was removed; scripts/clean_data.sh -y does not ask" >&2
        exit 1
    fi
fi
rm -rf "${doomed[@]}" "$data_dir/cluster"
rmdir "$data_dir" 2>/dev/null || true
echo "the data of the local cluster is gone"
