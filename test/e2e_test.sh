#!/usr/bin/env bash
# What a person types: the scripts behind `make server`, stock etcdctl, kvctl; and clients that others wrote.
set -euo pipefail
# shellcheck source=suite_lib.sh
. "$(dirname "$0")/suite_lib.sh"
suite_begin "end-to-end tests" 170

for file in test/e2e/test_*.sh; do
    suite_run "$(basename "$file")" 300 "$file"
done
suite_end
