#!/usr/bin/env bash
# Every suite, one after the other: `make test`. The last line is the sum; the exit code says whether all passed.
# KVD_TEST_LONG=1 runs full sizes (hours); the gate runs about 1/20 of them and stays under 25 minutes on two cores.
set -euo pipefail
# shellcheck source=suite_lib.sh
. "$(dirname "$0")/suite_lib.sh"
suite_begin "all tests" 1420
jobs=${JOBS:-2}

# build PRESET [TARGET...]
build() {
    local preset=$1 start=$SECONDS
    shift
    if ! { cmake --preset "$preset" && cmake --build --preset "$preset" -j "$jobs" ${1:+--target "$@"}; } \
        >"$suite_dir/build.log" 2>&1; then
        tail -n 60 "$suite_dir/build.log"
        echo "FAILED build of $preset"
        echo "0 passed, 1 failed"
        exit 1
    fi
    echo "built $preset in $((SECONDS - start)) s"
}

# suite NAME COMMAND...: its lines are shown, its sum is added
suite() {
    local name=$1 status=0 log=$suite_dir/suite.log passed failed skipped
    shift
    "$@" 2>&1 </dev/null | tee "$log" || status=$?
    read -r passed failed skipped < <(count_of "$log" "$status")
    suite_passed=$((suite_passed + passed))
    suite_failed=$((suite_failed + failed))
    suite_skipped=$((suite_skipped + skipped))
    ((status == 0)) || echo "FAILED $name"
}

build release
build clang # both compilers must be content; what gcc built is what runs
build asan
mapfile -t stress < <(suite_programs build/tsan stress | xargs -r -n 1 basename)
build tsan ${stress[@]+"${stress[@]}"}
build sim

suite_run "house rules (scripts/check)" 120 scripts/check build/release
suite "unit tests" test/unit_test.sh
suite "integration tests" test/integration_test.sh
suite "integration tests, sanitized" env KVD_BINARY=build/asan/bin/kvd KVTEST_SHORT=1 test/integration_test.sh
suite "end-to-end tests" test/e2e_test.sh
suite "simulation" test/simulation_test.sh
suite "planted bugs" test/mutant_test.sh
suite "benchmarks" test/benchmark_test.sh
if [[ ${KVD_TEST_LONG:-} == 1 ]]; then
    suite "fuzz targets" test/fuzz_test.sh 600
else # what a disk may hold, and what the tools read; the others' corpora are replayed by test_fuzz_corpus
    suite "fuzz targets" test/fuzz_test.sh 20 '^wal' '^snapshot$' '^read'
fi
suite_end
