#!/usr/bin/env bash
# Plants the bugs of src/base/mutant.h, one at a time, and tells which test sees each: the table that proves the checkers. It wants the
# simulator's build: cmake --preset sim && cmake --build --preset sim -j 2.
#
#   test/sim/run_mutants.sh               the must-list (the gate): by one of the programs, else by the simulator
#   test/sim/run_mutants.sh --all         every mutant: the first program that sees it, and the simulator's first seed that does
#   test/sim/run_mutants.sh --all ID...   these only
#   test/sim/run_mutants.sh --list        what there is
#
# KVD_SEEDS=N: seeds of the simulator (60; with --all 200). JOBS=2. KVD_BUILD=DIR. Exit: 0 if every mutant asked for was killed and the
# programs pass without one.
set -euo pipefail
cd "$(dirname "$0")/../.."

build=${KVD_BUILD:-build/sim}
jobs=${JOBS:-2}
programs=(test_raft_quorum test_raft_trace test_raft_paper test_raft_paper_log test_raft_thesis test_raft_edges test_raft_members
    test_txn test_state_machine test_wal_damage test_range test_mvcc_tree test_mvcc_paging test_wal_line test_wal_fault test_wal
    test_raft_random test_mvcc_stress test_line test_mvcc_model test_wal_crash test_rpc_client)
must=(P1 P2 P3 P4 P8 P11 P12 P13 P14 P18 P20 P21 P28 P29 P30 P32A P32B P32C)

list() { sed -n 's/^    X(\([A-Z0-9]*\), "\(.*\)", ".*).*/\1\t\2/p' src/base/mutant.h; }

# one_program PROGRAM LOG: the status; what it saw stands in the log
one_program() {
    local status=0
    timeout --kill-after=2 60 "$build/test/$1" >"$2" 2>&1 </dev/null || status=$?
    return "$status"
}

# what_it_saw LOG STATUS: the check's name, in a few words
what_it_saw() {
    local text
    text=$(grep -aoE ':[FE]:[^:]*:[a-z_0-9]+:[0-9]+: ' "$1" | head -n 1 | cut -d: -f4) || true
    [[ -n $text ]] || text=$(grep -aoE 'assertion failed: .* at |fatal: .*|broken: .*' "$1" | head -n 1 | sed 's/ at $//') || true
    [[ -n $text ]] || text=$(grep -aoE '[a-z_]+\.txt' "$1" | head -n 1) || true
    [[ $2 == 124 || $2 == 137 ]] && text="hangs"
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
    timeout --kill-after=2 300 "$build/bin/simulate" --seeds "1..$2" --failures 1 --jobs 1 --twice 0 --quiet >"$1" 2>&1 </dev/null || status=$?
    ((status == 0)) && return
    grep -aE '^seed [0-9]+: ' "$1" | head -n 1 | cut -c 1-100 || true
}

# one MUTANT: a line of the table. Run by xargs.
one() {
    local log seen="" seed=""
    log=$(mktemp "${TMPDIR:-/tmp}/kvd-mutant-XXXXXX")
    export KVD_MUTANT=$1
    seen=$(by_programs "$log")
    [[ $KVD_MODE == gate && -n $seen ]] || seed=$(by_simulator "$log" "$KVD_SEEDS")
    rm -f "$log"
    printf '%-5s %-70s | %-60s | %s\n' "$1" "$(list | awk -F'\t' -v id="$1" '$1 == id { print $2 }')" "${seen:--}" "${seed:--}"
}

main() {
    local mode=gate wanted=("${must[@]}")
    case ${1:-} in
    --list) list; return ;;
    --all) mode=all; shift; if (($#)); then wanted=("$@"); else mapfile -t wanted < <(list | cut -f1); fi ;;
    esac
    [[ -x $build/bin/simulate ]] || { echo "no simulator's build in $build" >&2; return 1; }
    local table start=$SECONDS killed
    table=$(mktemp "${TMPDIR:-/tmp}/kvd-mutants-XXXXXX")
    export KVD_MODE=$mode KVD_SEEDS=${KVD_SEEDS:-$([[ $mode == all ]] && echo 200 || echo 60)}
    printf '%s\n' "${wanted[@]}" | xargs -P "$jobs" -I '{}' "$0" --one '{}' | tee "$table"
    killed=$(grep -cvE '\| - +\| -$' "$table" || true)
    echo "$killed of ${#wanted[@]} mutants killed in $((SECONDS - start)) s"
    rm -f "$table"
    echo "$killed passed, $((${#wanted[@]} - killed)) failed"
    ((killed == ${#wanted[@]}))
}

if [[ ${1:-} == --one ]]; then
    one "$2"
else
    main "$@"
fi
