# shellcheck shell=bash
# Sourced by the tests of kvctl: e2e_lib.sh, and words to hold kvctl beside Debian's etcdctl. KVCTL_BINARY: another kvctl, as one with sanitizers.

# shellcheck source=e2e_lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/e2e_lib.sh"
export ETCDCTL_API=3
unset ETCDCTL_ENDPOINTS KVCTL_ENDPOINTS
kvctl=${KVCTL_BINARY:-$e2e_root/bin/kvctl}
reset=

# A cluster; the variable endpoint is one member's, all has the three.
kvctl_start() {
    e2e_start
    endpoint=${e2e_endpoints[0]#http://}
    # shellcheck disable=SC2034 # for the tests
    all=$(IFS=,; echo "${e2e_endpoints[*]}")
}

# run_tool TOOL INPUT WORDS...: output in tool.out and tool.err, exit code in the variable code
run_tool() {
    local tool=$1 input=$2
    shift 2
    code=0
    printf '%b' "$input" | "$tool" --endpoints "$endpoint" "$@" >"$e2e_dir/tool.out" 2>"$e2e_dir/tool.err" || code=$?
    sed -i '/^{"level":"warn"/d' "$e2e_dir/tool.err" # of etcdctl's own library
}

# What differs between two runs of one write: revisions and versions.
without_revisions() { sed -E 's/((revision|version|Revision|Version)" ?: ?)[0-9]+/\1N/g' "$1"; }

# compare NAME INPUT WORDS...: both tools after $reset; all the same, revisions aside when there is a reset
compare() {
    local name=$1 input=$2 expected_code
    shift 2
    [[ -n $reset ]] && "$reset"
    run_tool etcdctl "$input" "$@"
    expected_code=$code
    mv "$e2e_dir/tool.out" "$e2e_dir/expected.out"
    mv "$e2e_dir/tool.err" "$e2e_dir/expected.err"
    [[ -n $reset ]] && "$reset"
    run_tool "$kvctl" "$input" "$@"
    if [[ -n $reset ]]; then
        for file in expected.out tool.out; do
            without_revisions "$e2e_dir/$file" >"$e2e_dir/normal"
            mv "$e2e_dir/normal" "$e2e_dir/$file"
        done
    fi
    if [[ $code == "$expected_code" ]] && difference=$(diff "$e2e_dir/expected.out" "$e2e_dir/tool.out") &&
        difference=$(diff "$e2e_dir/expected.err" "$e2e_dir/tool.err"); then
        e2e_pass
    else
        e2e_fail "$name" "kvctl $* ended with $code, etcdctl with $expected_code
$difference"
    fi
}

same() { compare "$*" "" "$@"; }
same_in_all_formats() { for format in simple json fields; do same "$@" -w "$format"; done; }

# ends_with CODE PATTERN WORDS...: kvctl alone: exit code, and an extended regular expression in its errors
ends_with() {
    local expected=$1 pattern=$2
    shift 2
    code=0
    "$kvctl" "$@" >"$e2e_dir/tool.out" 2>"$e2e_dir/tool.err" </dev/null || code=$?
    if [[ $code == "$expected" ]] && grep -Eq -- "$pattern" "$e2e_dir/tool.err"; then
        e2e_pass
    else
        e2e_fail "kvctl $*" "exit $code (not $expected), or no /$pattern/ in: $(cat "$e2e_dir/tool.err")"
    fi
}

put() { etcdctl --endpoints "$endpoint" put -- "$@" >/dev/null; }
ctl() { "$kvctl" --endpoints "$endpoint" "$@"; }

# until_true SECONDS COMMAND...: false if it is not true in time
until_true() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < end)) || return 1
        sleep 0.05
    done
}
