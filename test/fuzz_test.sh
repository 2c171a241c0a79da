#!/usr/bin/env bash
# Builds the fuzz targets (preset fuzz: clang, libFuzzer, ASan, UBSan) and runs each for so many seconds, two at a time, from the corpus and from what
# earlier runs found (build/fuzz/corpus). An input that does harm stays in build/fuzz/findings and is named in the output:
# build/asan/test/test_fuzz_corpus NAME FILE runs it again, test/fuzz/corpus/NAME/regress-… keeps it.
#   test/fuzz_test.sh [SECONDS [NAME...]]     20 seconds by default; only targets whose names contain a word
set -euo pipefail
# shellcheck source=suite_lib.sh
. "$(dirname "$0")/suite_lib.sh"
seconds=${1:-20}
shift || true
words=$(IFS='|'; echo "${*:-.}")
suite_begin "fuzz targets, $seconds s each" $((seconds * 5 + 100))

if ! { cmake --preset fuzz && cmake --build --preset fuzz -j "${JOBS:-2}" --target fuzz; } >"$suite_dir/build.log" 2>&1; then
    tail -n 60 "$suite_dir/build.log"
    echo "0 passed, 1 failed"
    exit 1
fi

# script NAME: what runs one target; libFuzzer's own words go to the log of what failed
script() {
    local name=$1 found=build/fuzz/corpus/$1 file=$suite_dir/fuzz_$1
    mkdir -p "$found" build/fuzz/findings
    printf '#!/bin/sh\nexec build/fuzz/test/fuzz_%s -max_total_time=%d -timeout=30 -rss_limit_mb=2048 -max_len=4096 -use_value_profile=1 \\\n' \
        "$name" "$seconds" >"$file"
    printf '    -artifact_prefix=build/fuzz/findings/%s- %s test/fuzz/corpus/%s\n' "$name" "$found" "$name" >>"$file"
    chmod +x "$file"
    scripts+=("$file")
}

scripts=()
for source in test/fuzz/fuzz_*.c; do
    name=$(basename "$source" .c)
    name=${name#fuzz_}
    if grep -qE "$words" <<<"$name"; then script "$name"; fi
done
suite_run_all $((seconds + 120)) "${scripts[@]}"
suite_end
