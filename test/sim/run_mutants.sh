#!/usr/bin/env bash
# Plants the bugs of src/base/mutant.h, one at a time, and tells which test sees each: the table that proves the checkers. It wants the
# simulator's build: cmake --preset sim && cmake --build --preset sim -j 2.
#
#   test/sim/run_mutants.sh               the must-list (the gate): by one of the programs, or by the simulator; some by both
#   test/sim/run_mutants.sh --all         every mutant: the first program that sees it, and the simulator's first seed that does
#   test/sim/run_mutants.sh --all ID...   these only
#   test/sim/run_mutants.sh --list        what there is
#
# KVD_SEEDS=N: seeds of the simulator (200). JOBS=2. KVD_BUILD=DIR. Exit: 0 if every mutant asked for was killed and the programs pass
# without one.
set -euo pipefail
cd "$(dirname "$0")/../.."

build=${KVD_BUILD:-build/sim}
jobs=${JOBS:-2}
# Those that watch invariants come before those that compare with what was written down.
programs=(test_raft_random test_raft_quorum test_raft_paper test_raft_paper_log test_raft_thesis test_raft_members test_txn
    test_state_machine test_wal_damage test_range test_mvcc_tree test_mvcc_paging test_wal_line test_wal_fault test_wal test_mvcc_stress
    test_mvcc_model test_line test_wal_crash test_raft_edges test_raft_trace test_rpc_client)
must=(P1 P2 P3 P4 P8 P11 P12 P13 P14 P18 P20 P21 P28 P29 P30 P32A P32B P32C)
must_simulator=" P1 P8 P11 P13 P14 P21 P28 " # these must be seen by the simulator as well

list() { sed -n 's/^    X(\([A-Z0-9]*\), "\(.*\)", ".*).*/\1\t\2/p' src/base/mutant.h; }

# one_program PROGRAM LOG: the status; what it saw stands in the log
one_program() {
    local status=0
    timeout --kill-after=2 60 "$build/test/$1" >"$2" 2>&1 </dev/null || status=$?
    return "$status"
}

# what_it_saw LOG STATUS: the invariant, else the test, else what the product itself said
what_it_saw() {
    local text
    [[ $2 == 124 || $2 == 137 ]] && { echo "hangs"; return; }
    text=$(grep -aoE 'broken: .*' "$1" | head -n 1 | cut -d' ' -f2- | sed 's/ ([^()]*)$//') || true
    [[ -n $text ]] || text=$(grep -aoE ':[FE]:[^:]*:[a-z_0-9]+:[0-9]+: ' "$1" | head -n 1 | cut -d: -f4) || true
    [[ -n $text ]] || text=$(grep -aoE 'assertion failed: .* at |fatal: .*' "$1" | head -n 1 | sed 's/ at $//') || true
    echo "${text:-status $2}"
}

# by_programs: prints "PROGRAM: what it saw" of the first that fails, or nothing
by_programs() {
    local program status log=$1
    for program in "${programs[@]}"; do
        status=0
        one_program "$program" "$log" || status=$?
        ((status == 0)) && continue
        echo "$program: $(what_it_saw "$log" "$status")"
        return
    done
}

# by_simulator LOG SEEDS: prints "seed N: invariant" of the first seed that fails, or nothing
by_simulator() {
    local status=0
    timeout --kill-after=2 300 "$build/bin/simulate" --mutant "$KVD_MUTANT" --seeds "1..$2" --failures 1 --jobs 1 --twice 0 --quiet >"$1" 2>&1 </dev/null || status=$?
    ((status == 0)) && return
    grep -aE '^seed [0-9]+: ' "$1" | head -n 1 | cut -c 1-100 || true
}

# one MUTANT: a line of the table. Run by xargs.
one() {
    local log seen="" seed=""
    log=$(mktemp "${TMPDIR:-/tmp}/kvd-mutant-XXXXXX")
    export KVD_MUTANT=$1
    seen=$(by_programs "$log")
    [[ $KVD_MODE == gate && -n $seen && $must_simulator != *" $1 "* ]] || seed=$(by_simulator "$log" "$KVD_SEEDS")
    rm -f "$log"
    [[ $must_simulator == *" $1 "* && -z $seed ]] && seen=
    printf '%-5s %-70s | %-60s | %s\n' "$1" "$(list | awk -F'\t' -v id="$1" '$1 == id { print $2 }')" "${seen:--}" "${seed:--}"
}

# without_any: the programs and the simulator see nothing where there is nothing
without_any() {
    local log status=0 program
    log=$(mktemp "${TMPDIR:-/tmp}/kvd-mutant-XXXXXX")
    printf '%s\n' "${programs[@]}" | xargs -P "$jobs" -I '{}' timeout 60 "$build/test/{}" >"$log" 2>&1 || status=$?
    ((status == 0)) && "$build/bin/simulate" --seeds 1..60 --jobs "$jobs" --quiet >"$log" 2>&1 || status=1
    ((status == 0)) || tail -n 40 "$log"
    rm -f "$log"
    return "$status"
}

main() {
    local wanted=("${must[@]}") table start=$SECONDS killed
    export KVD_MODE=gate KVD_SEEDS=${KVD_SEEDS:-200}
    if [[ ${1:-} == --list ]]; then
        list
        return
    elif [[ ${1:-} == --all ]]; then
        KVD_MODE=all
        shift
        mapfile -t wanted < <(if (($#)); then printf '%s\n' "$@"; else list | cut -f1; fi)
    fi
    [[ -x $build/bin/simulate ]] || { echo "no simulator's build in $build" >&2; return 1; }
    without_any || { echo "something fails without any planted bug"; echo "0 passed, 1 failed"; return 1; }
    table=$(mktemp "${TMPDIR:-/tmp}/kvd-mutants-XXXXXX")
    printf '%s\n' "${wanted[@]}" | xargs -P "$jobs" -I '{}' "$0" --one '{}' | tee "$table"
    killed=$(grep -cvE '\| - +\| -$' "$table" || true)
    rm -f "$table"
    echo "$killed of ${#wanted[@]} mutants killed in $((SECONDS - start)) s"
    echo "$killed passed, $((${#wanted[@]} - killed)) failed"
    ((killed == ${#wanted[@]}))
}

if [[ ${1:-} == --one ]]; then
    one "$2"
else
    main "$@"
fi
