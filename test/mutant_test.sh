#!/usr/bin/env bash
# Do the checkers bite? Bugs are planted one at a time in the simulator's build, and each must be seen (simulate --mutants).
# The gate: the must-list, most of it by the simulator itself. KVD_TEST_LONG=1: all of them, 2,000 seeds of the simulator for each.
set -euo pipefail
# shellcheck source=suite_lib.sh
. "$(dirname "$0")/suite_lib.sh"
by_simulator=(P1 P8 P11 P13 P14 P21 P24 P28 P29 P30 P31A P31C P32A P32B P32C D82 D85 D94 D95 D118)
by_program=(P2 P3 P4 P12 P18 P20)

# plant LABEL ARGUMENT...
plant() {
    local label=$1 log=$suite_dir/$1.log status=0 start=$SECONDS
    shift
    timeout --kill-after=10 "$((suite_budget_s * 4))" "${KVD_BUILD:-build/sim}/bin/simulate" --mutants --quiet "$@" >"$log" 2>&1 </dev/null || status=$?
    cat "$log"
    suite_take "$label" "$log" "$status" $((SECONDS - start))
}

suite_begin "planted bugs" 90
if [[ ${KVD_TEST_LONG:-} == 1 ]]; then
    plant "all"
else
    plant "by_simulator" --seeds-max 200 "${by_simulator[@]}"
    plant "by_program" --seeds-max 0 "${by_program[@]}"
fi
suite_end
