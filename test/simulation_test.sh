#!/usr/bin/env bash
# Do whole clusters under faults keep every promise? Fresh seeds of bin/simulate on two cores; what breaks is printed with its seed.
# simulation_test.sh [SECONDS]   how long; regressions run in test_world, in every build
set -euo pipefail
# shellcheck source=suite_lib.sh
. "$(dirname "$0")/suite_lib.sh"
suite_begin "simulation" 75
seconds=${1:-60}
[[ ${KVD_TEST_LONG:-} == 1 ]] && seconds=$((seconds * 20))
log=$suite_dir/simulate.log
status=0
bin/simulate --seconds "$seconds" --jobs 2 >"$log" 2>&1 </dev/null || status=$?
tail -n 6 "$log"
suite_take simulate "$log" "$status" "$seconds"
suite_end
