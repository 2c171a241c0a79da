# shellcheck shell=bash
# Sourced by the end-to-end tests: a three-member cluster as scripts/start_servers.sh makes it, in a directory of its own
# and on ports of its own, and a few words to test with. The cluster is ended when the test ends, however that happens.

e2e_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
e2e_dir=$(mktemp -d "${TMPDIR:-/tmp}/kvd-e2e-XXXXXX")
e2e_modules=$e2e_root/build/clients
e2e_passed=0
e2e_failed=0
e2e_skipped=0
e2e_started=() # processes that the test began itself, beside the cluster: ended with it
export KVD_CONFIG=$e2e_dir/config.env

e2e_free_ports() {
    local base taken i
    for ((i = 0; i < 100; i++)); do
        base=$((20000 + RANDOM % 1100 * 10))
        taken=$(ss -Hltn | awk '{sub(/.*:/, "", $4); print $4}' | awk -v base="$base" '$1 >= base && $1 < base + 50')
        if [[ -z $taken ]]; then
            echo "$base"
            return
        fi
    done
    echo "no free ports" >&2
    return 1
}

# npm's packages, as the lock file of clients/ names them, once per checkout: in $e2e_modules/node_modules, when $e2e_modules/installed is there.
e2e_node_modules() {
    local clients=$e2e_root/test/e2e/clients
    cmp -s "$clients/package-lock.json" "$e2e_modules/installed" && return
    mkdir -p "$e2e_modules"
    rm -f "$e2e_modules/installed"
    cp "$clients/package.json" "$clients/package-lock.json" "$e2e_modules"
    if npm ci --prefix "$e2e_modules" --ignore-scripts --no-audit --no-fund >"$e2e_dir/npm.out" 2>&1; then
        cp "$clients/package-lock.json" "$e2e_modules/installed"
    elif grep -Eq 'ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|E(40[137]|50[0-9])' "$e2e_dir/npm.out"; then
        e2e_skip "npm's etcd3" "the registry cannot be reached: $(tail -n 3 "$e2e_dir/npm.out")"
    else
        e2e_fail "npm ci" "$(tail -n 20 "$e2e_dir/npm.out")"
    fi
}

e2e_start() {
    e2e_port=$(e2e_free_ports)
    cat >"$KVD_CONFIG" <<END
SERVER_DATA_BASE_PATH=$e2e_dir/data
SERVER_CLIENT_PORT_BASE=$e2e_port
SERVER_PEER_PORT_BASE=$((e2e_port + 1))
END
    "$e2e_root/scripts/start_servers.sh" >"$e2e_dir/start.out" 2>&1 || {
        cat "$e2e_dir/start.out"
        return 1
    }
    e2e_endpoints=()
    for i in 0 1 2; do
        e2e_endpoints+=("http://127.0.0.1:$((e2e_port + 10 * i))")
    done
}

e2e_finish() {
    local status=$?
    trap - EXIT
    set +e
    for pid in ${e2e_started[@]+"${e2e_started[@]}"}; do
        kill -KILL "$pid"
        wait "$pid"
    done 2>/dev/null
    set -e
    "$e2e_root/scripts/stop_servers.sh" >>"$e2e_dir/stop.out" 2>&1 || true
    if ((status != 0)); then
        e2e_failed=$((e2e_failed + 1))
        echo "ended early with $status"
    fi
    if ((e2e_failed == 0)); then
        rm -rf "$e2e_dir"
    else
        echo "kept for a look: $e2e_dir"
    fi
    local skipped=
    ((e2e_skipped == 0)) || skipped=", $e2e_skipped skipped"
    echo "$e2e_passed passed, $e2e_failed failed$skipped"
    ((e2e_failed == 0 && e2e_passed > 0))
    exit
}
trap e2e_finish EXIT

# The leader's place among the members. On a busy machine it may be that they have none at the moment, or two that think so.
e2e_leader() {
    local leader='' end=$((SECONDS + 20))
    until [[ $leader =~ ^[0-9]$ ]] || ((SECONDS >= end)); do
        leader=$("$e2e_root/bin/kvctl" --endpoints "$(IFS=,; echo "${e2e_endpoints[*]}")" endpoint status | awk -F', ' '$5 == "true" { print NR }') || true
    done
    echo "$leader"
}

e2e_pass() { e2e_passed=$((e2e_passed + 1)); }

e2e_fail() {
    e2e_failed=$((e2e_failed + 1))
    echo "FAILED: $1"
    echo "    ${2//$'\n'/$'\n'    }"
}

# e2e_skip NAME WHY: it cannot run here
e2e_skip() {
    e2e_skipped=$((e2e_skipped + 1))
    echo "SKIPPED: $1: $2"
}

# expect NAME EXPECTED COMMAND...: standard output is exactly that
expect() {
    local name=$1 expected=$2 actual
    shift 2
    actual=$("$@" 2>&1 </dev/null) || actual+=" (exit $?)"
    if [[ $actual == "$expected" ]]; then
        e2e_pass
    else
        e2e_fail "$name" "expected: $expected
got:      $actual"
    fi
}

# expect_match NAME PATTERN COMMAND...: the command succeeds and an extended regular expression is in its output
expect_match() {
    local name=$1 pattern=$2 actual
    shift 2
    if actual=$("$@" 2>&1 </dev/null) && grep -Eq -- "$pattern" <<<"$actual"; then
        e2e_pass
    else
        e2e_fail "$name" "no /$pattern/ in: $actual"
    fi
}

# expect_error NAME PATTERN COMMAND...: the command fails and says why
expect_error() {
    local name=$1 pattern=$2 actual
    shift 2
    if actual=$("$@" 2>&1 </dev/null); then
        e2e_fail "$name" "no error: $actual"
    elif grep -Eq -- "$pattern" <<<"$actual"; then
        e2e_pass
    else
        e2e_fail "$name" "no /$pattern/ in: $actual"
    fi
}
