#!/usr/bin/env bash
# Real processes, black box. KVD_BINARY chooses the server: bin/kvd (the default), a sanitizer's build, or Debian's etcd,
# by which the tests themselves are proved.   test/integration_test.sh [NAME...]    only files whose names contain a word
set -euo pipefail
# shellcheck source=suite_lib.sh
. "$(dirname "$0")/suite_lib.sh"
suite_begin "integration tests of ${KVD_BINARY:-bin/kvd}" 300

words=$(IFS='|'; echo "${*:-.}")
suite_runner=/usr/bin/python3
together=()
for file in test/integration/test_*.py; do
    grep -qE "$words" <<<"$(basename "$file")" || continue
    case ${KVTEST_SHORT:-}$file in
    1*/test_kvctl*.py | 1*/test_kvbench.py | 1*/test_client.py | 1*/test_tools.py) ;; # of programs that are the same, whatever the server
    test*/test_snapshot.py) suite_run "$(basename "$file")" 330 "$suite_runner" "$file" ;; # looks at how long puts take
    *) together+=("$file") ;;
    esac
done
((${#together[@]} == 0)) || suite_run_all 330 "${together[@]}" # they mostly wait
suite_end
