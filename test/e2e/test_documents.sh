#!/usr/bin/env bash
# Is what the documents say true? Every shell block of README.md and docs/ runs, each page on a machine of its own made of namespaces
# (documents/in_namespaces); so do the programs in Python, Node and C. documents/page.py says what a fence may say. PAGE...: only those.
set -euo pipefail
# shellcheck source=e2e_lib.sh
. "$(dirname "$0")/e2e_lib.sh"
pages=("$@")

run_page() {
    local page=$1 log=$2 status=0
    mkdir "$log.dir"
    timeout --kill-after=5 280 unshare --net --mount --pid --fork --kill-child --mount-proc \
        "$e2e_root/test/e2e/documents/in_namespaces" "$e2e_root" "$log.dir" "$page" >"$log" 2>&1 </dev/null || status=$?
    echo "$status" >"$log.status"
}

# Where namespaces or overlays are not to be had, there is no such test.
can_run() {
    ((EUID == 0)) && unshare --net --mount --pid --fork --mount-proc sh -c "mkdir '$e2e_dir/probe' && mount -t tmpfs none '$e2e_dir/probe' &&
        mkdir '$e2e_dir/probe/upper' '$e2e_dir/probe/work' &&
        mount -t overlay overlay -o 'lowerdir=/etc,upperdir=$e2e_dir/probe/upper,workdir=$e2e_dir/probe/work' /etc" 2>/dev/null
}

judge() {
    local page=$1 log=$2 passed failed skipped
    if read -r passed failed skipped < <(sed -nE 's/^([0-9]+) passed, ([0-9]+) failed, ([0-9]+) skipped$/\1 \2 \3/p' "$log") &&
        [[ $(<"$log.status") -le 1 ]]; then
        e2e_passed=$((e2e_passed + passed))
        e2e_failed=$((e2e_failed + failed))
        e2e_skipped=$((e2e_skipped + skipped))
        grep -vE '^[0-9]+ passed' "$log" || true
        echo "$page: $passed blocks and looks are right, $failed are not"
    else
        e2e_fail "$page" "exit $(<"$log.status"): $(tail -n 30 "$log")"
    fi
}

if ! can_run; then
    e2e_skip "the documents" "there are no namespaces or overlays for us here"
    e2e_pass
    exit 0
fi
e2e_node_modules
cd "$e2e_root"
if ((${#pages[@]} == 0)); then
    mapfile -t pages < <(ls -S README.md docs/*.md) # the longest first
fi
# The pages' `make package` finds the packages made, and installs them.
if grep -q '^make package' "${pages[@]}" && ! make package >"$e2e_dir/package" 2>&1; then
    e2e_fail "make package" "$(tail -n 30 "$e2e_dir/package")"
fi
running=0
for page in "${pages[@]}" test/e2e/documents/wrong.md; do
    run_page "$page" "$e2e_dir/${page//\//_}" &
    if ((++running >= 3)); then # much of it waits
        wait -n
        running=$((running - 1))
    fi
done
wait
expect "every mistake is seen" "0 passed, 12 failed, 1 skipped" grep -E '^[0-9]+ passed' "$e2e_dir/test_e2e_documents_wrong.md"
for page in "${pages[@]}"; do
    judge "$page" "$e2e_dir/${page//\//_}"
done
