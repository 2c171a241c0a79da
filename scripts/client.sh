#!/usr/bin/env bash
# kvctl with the endpoints of the local cluster: scripts/client.sh get greeting
set -euo pipefail
. "$(dirname "$0")/server_env.sh"
exec "$root/bin/kvctl" --endpoints "$(endpoints)" "$@"
