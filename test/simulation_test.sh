#!/usr/bin/env bash
# Do whole clusters under faults keep every promise? Fresh seeds for two minutes on two cores, or for as many seconds as are given
# (20 minutes with KVD_TEST_LONG=1); then every state of small clusters, for half a minute. What breaks is printed with its seed; regressions
# run in test_world, in every build.
set -euo pipefail
# shellcheck source=suite_lib.sh
. "$(dirname "$0")/suite_lib.sh"
suite_begin "simulation" 180
what=(--seconds 120)
[[ ${KVD_TEST_LONG:-} == 1 ]] && what=(--seconds 1200)
[[ -n ${1:-} ]] && what=(--seconds "$1")

# run LABEL LINES COMMAND...: the last lines are shown
run() {
    local label=$1 lines=$2 log=$suite_dir/$1.log status=0 start=$SECONDS
    shift 2
    "$@" >"$log" 2>&1 </dev/null || status=$?
    tail -n "$lines" "$log"
    suite_take "$label" "$log" "$status" $((SECONDS - start))
}

run simulate 7 bin/simulate "${what[@]}" --jobs 2
run explore 3 build/release/test/explore --seconds 30
suite_end
