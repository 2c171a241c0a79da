#!/usr/bin/env bash
# Do whole clusters under faults keep every promise? Two minutes of seeds that nobody ran before on two cores (20 minutes with
# KVD_TEST_LONG=1), or as many seconds as are given: half of them as the program is shipped, half in the simulator's build, where rare behaviour is
# forced at places of its own (base/buggify.h). Each commit has seeds of its own, so that its verdict is the same wherever it runs.
# Then every state of small clusters, for half a minute. What breaks is printed with its seed; regressions run in test_world, in every build.
set -euo pipefail
# shellcheck source=suite_lib.sh
. "$(dirname "$0")/suite_lib.sh"
suite_begin "simulation" 180
first=$((16#$(git rev-parse --short=12 HEAD 2>/dev/null || date +%s | md5sum | cut -c 1-12)))
seconds=120
[[ ${KVD_TEST_LONG:-} == 1 ]] && seconds=1200
seconds=${1:-$seconds}
what=(--seeds "$first..$((first + 1000000))" --seconds "$((seconds / 2))" --jobs 2)

# run LABEL LINES COMMAND...: the last lines are shown
run() {
    local label=$1 lines=$2 log=$suite_dir/$1.log status=0 start=$SECONDS
    shift 2
    "$@" >"$log" 2>&1 </dev/null || status=$?
    tail -n "$lines" "$log"
    suite_take "$label" "$log" "$status" $((SECONDS - start))
}

run simulate 7 bin/simulate "${what[@]}"
run simulate_rare 7 "${KVD_BUILD:-build/sim}/bin/simulate" "${what[@]}"
run explore 3 build/release/test/explore --seconds 30
suite_end
