#!/usr/bin/env bash
# Unit and trace programs under ASan and UBSan; the stress programs (rings, mailboxes, readers beside a writer) under TSan.
#   KVD_BUILD=build/release test/unit_test.sh [NAME...]     another build; only programs whose names contain a word
set -euo pipefail
# shellcheck source=suite_lib.sh
. "$(dirname "$0")/suite_lib.sh"
suite_begin "unit tests" 240

build=${KVD_BUILD:-build/asan}
words=$(IFS='|'; echo "${*:-.}")
mapfile -t programs < <({ suite_programs "$build" unit; suite_programs "$build" trace; } | grep -E "$words" || true)
((${#programs[@]})) && suite_run_all 150 "${programs[@]}"

if [[ -z ${KVD_BUILD:-} ]]; then
    mapfile -t programs < <(suite_programs build/tsan stress | grep -E "$words" || true)
    ((${#programs[@]})) && suite_run_all 150 "${programs[@]}"
fi
suite_end
