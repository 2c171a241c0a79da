#!/usr/bin/env bash
# Do the checkers bite? Bugs are planted one at a time in the simulator's build, and each must be seen (test/sim/run_mutants.sh).
# The gate: the must-list. KVD_TEST_LONG=1: all of them, and 2,000 seeds of the simulator for each.
set -euo pipefail
# shellcheck source=suite_lib.sh
. "$(dirname "$0")/suite_lib.sh"
suite_begin "planted bugs" 90
log=$suite_dir/mutants.log
status=0
if [[ ${KVD_TEST_LONG:-} == 1 ]]; then
    KVD_SEEDS=2000 test/sim/run_mutants.sh --all >"$log" 2>&1 </dev/null || status=$?
else
    timeout --kill-after=10 300 test/sim/run_mutants.sh >"$log" 2>&1 </dev/null || status=$?
fi
cat "$log"
suite_take mutants "$log" "$status" $((SECONDS - suite_start))
suite_end
