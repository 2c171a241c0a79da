#!/usr/bin/env bash
# Do whole clusters under faults keep every promise? The gate: always the same seeds, on two cores. simulation_test.sh SECONDS, and
# KVD_TEST_LONG=1 (20 minutes): fresh seeds. What breaks is printed with its seed; regressions run in test_world, in every build.
set -euo pipefail
# shellcheck source=suite_lib.sh
. "$(dirname "$0")/suite_lib.sh"
suite_begin "simulation" 75
what=(--seeds 1..600)
[[ ${KVD_TEST_LONG:-} == 1 ]] && what=(--seconds 1200)
[[ -n ${1:-} ]] && what=(--seconds "$1")
log=$suite_dir/simulate.log
status=0
bin/simulate "${what[@]}" --jobs 2 >"$log" 2>&1 </dev/null || status=$?
tail -n 6 "$log"
suite_take simulate "$log" "$status" $((SECONDS - suite_start))
suite_end
