# shellcheck shell=bash
# Sourced by the suites: runs programs, adds up what they counted, and judges the time.
#
# A program's count is its last line of one of these forms; without one it counts as one test, by its exit code:
#   100%: Checks: 12, Failures: 0, Errors: 0        libcheck (one such line for each of its runners)
#   12 passed, 0 failed[, 1 skipped]                ours
# The last line of a suite has the second form, so that run_all_tests.sh adds suites up in the same way.

suite_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$suite_root" || exit 1
suite_passed=0
suite_failed=0
suite_skipped=0
suite_dir=$(mktemp -d "${TMPDIR:-/tmp}/kvd-suite-XXXXXX")
export PYTHONDONTWRITEBYTECODE=1
export CK_DEFAULT_TIMEOUT=${CK_DEFAULT_TIMEOUT:-120} # libcheck's 4 s are too few for a sanitizer beside another program
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1:halt_on_error=1}
export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1}
for kind in tsan lsan; do
    if [[ -e test/$kind.supp ]]; then
        export "${kind^^}_OPTIONS=$(printenv "${kind^^}_OPTIONS" || true):suppressions=$suite_root/test/$kind.supp"
    fi
done

suite_begin() {
    suite_name=$1
    suite_budget_s=$2
    [[ ${KVD_TEST_LONG:-} == 1 ]] && suite_budget_s=$((suite_budget_s * 20))
    suite_start=$SECONDS
    echo "== $suite_name (budget $suite_budget_s s)"
}

# count_of LOG STATUS: prints "passed failed skipped" of one program's output
count_of() {
    awk -v status="$2" '
        /^[0-9]+%: Checks: [0-9]+, Failures: [0-9]+, Errors: [0-9]+/ {
            gsub(/[^0-9 ]/, ""); passed += $2 - $3 - $4; failed += $3 + $4; is_counted = 1
        }
        /^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$/ {
            gsub(/[^0-9 ]/, ""); own_passed = $1; own_failed = $2; own_skipped = $3; is_own = 1
        }
        END {
            if (is_own) { passed += own_passed; failed += own_failed; skipped = own_skipped; is_counted = 1 }
            if (!is_counted) { passed = (status == 0); failed = (status != 0) }
            if (status != 0 && failed == 0) failed = 1
            printf "%d %d %d\n", passed, failed, skipped
        }' "$1"
}

# suite_take LABEL LOG STATUS SECONDS: adds one program's result and prints a line; the output only of what failed
suite_take() {
    local label=$1 log=$2 status=$3 spent=$4 passed failed skipped
    read -r passed failed skipped < <(count_of "$log" "$status")
    suite_passed=$((suite_passed + passed))
    suite_failed=$((suite_failed + failed))
    suite_skipped=$((suite_skipped + skipped))
    if ((failed > 0)); then
        tail -n 200 "$log"
        echo "FAILED $label: $passed passed, $failed failed, exit $status (${spent} s)"
    else
        grep -E 'SKIPPED' "$log" || true
        echo "ok     $label: $passed passed (${spent} s)"
    fi
}

# suite_run LABEL TIMEOUT_S COMMAND...: one program; its output goes to a file
suite_run() {
    local label=$1 timeout_s=$2 log=$suite_dir/one.log start=$SECONDS status=0
    shift 2
    [[ ${KVD_TEST_LONG:-} == 1 ]] && timeout_s=$((timeout_s * 20))
    timeout --kill-after=10 "$timeout_s" "$@" >"$log" 2>&1 </dev/null || status=$?
    ((status == 124 || status == 137)) && echo "$label was ended after $timeout_s s" >>"$log"
    suite_take "$label" "$log" "$status" $((SECONDS - start))
}

# suite_run_all TIMEOUT_S PROGRAM...: many programs, two at a time; suite_runner, if it is set, runs them
suite_run_all() {
    local timeout_s=$1 program name status spent
    shift
    [[ ${KVD_TEST_LONG:-} == 1 ]] && timeout_s=$((timeout_s * 20))
    # shellcheck disable=SC2016  # expanded by the inner shell
    printf '%s\0' "$@" | xargs -0 -P 2 -I '{}' bash -c '
        name=$(basename "$1") start=$SECONDS status=0
        timeout --kill-after=10 "$2" ${4:+"$4"} "$1" >"$3/$name.log" 2>&1 </dev/null || status=$?
        echo "$status $((SECONDS - start))" >"$3/$name.status"' one '{}' "$timeout_s" "$suite_dir" "${suite_runner:-}"
    for program in "$@"; do
        name=$(basename "$program")
        read -r status spent <"$suite_dir/$name.status"
        suite_take "$name" "$suite_dir/$name.log" "$status" "$spent"
    done
}

# suite_programs BUILD FOLDER: the test programs of test/FOLDER in that build
suite_programs() {
    local source
    for source in test/"$2"/*.c; do
        [[ -e $source ]] && echo "$1/test/$(basename "$source" .c)"
    done
}

# suite_end: time, sum, exit code
suite_end() {
    local spent=$((SECONDS - suite_start))
    rm -rf "$suite_dir"
    echo "== $suite_name: $spent s of $suite_budget_s s"
    if ((spent > 2 * suite_budget_s)); then
        suite_failed=$((suite_failed + 1))
        echo "$suite_name took more than twice its budget"
    fi
    if ((suite_passed + suite_failed == 0)); then
        suite_failed=1
        echo "$suite_name ran no test"
    fi
    echo "$suite_passed passed, $suite_failed failed, $suite_skipped skipped"
    ((suite_failed == 0))
}
