#!/usr/bin/env bash
# Builds the fuzz targets (preset fuzz: clang, libFuzzer, ASan, UBSan) and runs each for so many seconds, from the corpus and from what
# earlier runs found (build/fuzz/corpus). An input that does harm stays in build/fuzz/findings and is named in the output:
# build/asan/test/test_fuzz_corpus NAME FILE runs it again, test/fuzz/corpus/NAME/regress-… keeps it.
#   test/fuzz_test.sh [SECONDS [NAME...]]     20 seconds by default; only targets whose names contain a word
set -euo pipefail
# shellcheck source=suite_lib.sh
. "$(dirname "$0")/suite_lib.sh"
seconds=${1:-20}
shift || true
words=$(IFS='|'; echo "${*:-.}")
suite_begin "fuzz targets, $seconds s each" $((seconds * 10 + 600))

if ! { cmake --preset fuzz && cmake --build --preset fuzz -j "${JOBS:-2}" --target fuzz; } >"$suite_dir/build.log" 2>&1; then
    tail -n 60 "$suite_dir/build.log"
    echo "0 passed, 1 failed"
    exit 1
fi

# run NAME: one target; libFuzzer's own words go to the log of what failed
run() {
    local name=$1 found=build/fuzz/corpus/$1
    mkdir -p "$found" build/fuzz/findings
    suite_run "$name" $((seconds + 120)) "build/fuzz/test/fuzz_$name" -max_total_time="$seconds" -timeout=30 \
        -rss_limit_mb=2048 -max_len=4096 -use_value_profile=1 -artifact_prefix="build/fuzz/findings/$name-" \
        "$found" "test/fuzz/corpus/$name"
}

for source in test/fuzz/fuzz_*.c; do
    name=$(basename "$source" .c)
    name=${name#fuzz_}
    if grep -qE "$words" <<<"$name"; then run "$name"; fi
done
suite_end
