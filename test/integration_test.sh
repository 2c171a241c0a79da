#!/usr/bin/env bash
# Real processes, black box. KVD_BINARY chooses the server: bin/kvd (the default), a sanitizer's build, or Debian's etcd,
# by which the tests themselves are proved.   test/integration_test.sh [NAME...]    only files whose names contain a word
set -euo pipefail
# shellcheck source=suite_lib.sh
. "$(dirname "$0")/suite_lib.sh"
suite_begin "integration tests of ${KVD_BINARY:-bin/kvd}" 300

words=$(IFS='|'; echo "${*:-.}")
for file in test/integration/test_*.py; do
    if grep -qE "$words" <<<"$(basename "$file")"; then
        suite_run "$(basename "$file")" 330 /usr/bin/python3 "$file"
    fi
done
suite_end
