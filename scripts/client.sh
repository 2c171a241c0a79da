#!/usr/bin/env bash
# kvctl with the endpoints of the local cluster: scripts/client.sh get greeting
set -euo pipefail
. "$(dirname -- "$0")/server_env.sh"
if [[ ! -x $root/bin/kvctl ]]; then
    echo "there is no client program at $root/bin/kvctl; \`make build\` makes it" >&2
    exit 1
fi
[[ $CLIENT_HISTORY_DIR == /* ]] || CLIENT_HISTORY_DIR=$root/$CLIENT_HISTORY_DIR
export CLIENT_HISTORY_DIR CLIENT_HISTORY_FILE
exec "$root/bin/kvctl" --endpoints "$(endpoints)" "$@"
