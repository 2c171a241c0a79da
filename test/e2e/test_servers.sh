#!/usr/bin/env bash
# Do the scripts behind `make server`, `make client`, `make stop` and `make clean-data` do what a person expects, also the second time,
# after a crash, with a port in use, a mistake in config.env, blanks in paths?
set -euo pipefail
# shellcheck source=e2e_lib.sh
. "$(dirname "$0")/e2e_lib.sh"
scripts=$e2e_root/scripts
place="$e2e_dir/with a [blank]"
data="$place/data"
port=$(e2e_free_ports)
mkdir "$place"
export KVD_CONFIG="$place/config.env"

# configure LINE...: config.env anew
configure() {
    printf '%s\n' "SERVER_DATA_BASE_PATH=\"$data\"" "SERVER_CLIENT_PORT_BASE=$port" "SERVER_PEER_PORT_BASE=$((port + 1))" "$@" >"$KVD_CONFIG"
}

# all_of FILE PATTERN...: every pattern is in it
all_of() {
    local file=$1 pattern
    shift
    for pattern in "$@"; do
        grep -Eq -- "$pattern" "$file" || { echo "no /$pattern/ in:" && cat "$file" && return 1; }
    done
}

pid_of() { local pid _ && read -r pid _ <"$data/kvd$1.pid" && echo "$pid"; }
pids() { echo "$(pid_of 1) $(pid_of 2) $(pid_of 3)"; }
is_running() { [[ -e /proc/$1 ]] && ! grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null; }

starts_and_is_left_alone() {
    local before victim
    configure
    "$scripts/start_servers.sh" >"$e2e_dir/out" 2>&1
    expect "says where members listen and what to type" "" all_of "$e2e_dir/out" "kvd1 .*http://127.0.0.1:$port " \
        "kvd3 .*http://127.0.0.1:$((port + 20)) .*peers http://127.0.0.1:$((port + 21)) .*log" "etcdctl put" "make client" "make stop"
    expect "make client" OK make -s -C "$e2e_root" client ARGS="put greeting 'hello world'"
    expect "and what it wrote" $'greeting\nhello world' "$scripts/client.sh" get greeting
    before=$(pids)
    "$scripts/start_servers.sh" >"$e2e_dir/out" 2>&1
    expect "running members are left alone and said so" "" all_of "$e2e_dir/out" "kvd1 runs already" "kvd2 runs already" \
        "kvd3 runs already" "The cluster serves"
    expect "the same processes" "$before" pids
    victim=$(pid_of 2)
    kill -KILL "$victim"
    while is_running "$victim"; do sleep 0.05; done
    "$scripts/start_servers.sh" >"$e2e_dir/out" 2>&1
    expect "a member that was killed comes back alone" "" all_of "$e2e_dir/out" "kvd1 runs already" "kvd3 runs already"
    expect_error "clean_data refuses while members run" "kvd1 still runs" "$scripts/clean_data.sh"
}

# A pid file that names a process of somebody else is not believed.
stop_spares_strangers() {
    local stranger
    sleep 60 &
    stranger=$!
    echo "$stranger 1" >"$data/kvd4.pid"
    expect_match "stop ends the members" "kvd3 has ended" "$scripts/stop_servers.sh"
    if is_running "$stranger"; then e2e_pass; else e2e_fail "a stranger's process was ended" "$stranger"; fi
    kill "$stranger"
    wait "$stranger" 2>/dev/null || true
    expect "stop with nothing to stop" "no member was running" "$scripts/stop_servers.sh"
}

port_in_use() {
    local listener
    python3 -m http.server --bind 127.0.0.1 $((port + 11)) >/dev/null 2>&1 &
    listener=$!
    until (exec 3<>"/dev/tcp/127.0.0.1/$((port + 11))") 2>/dev/null; do sleep 0.05; done
    expect_error "a port in use" "port $((port + 11)) of 127.0.0.1 is in use.*config.env" "$scripts/start_servers.sh"
    expect "nothing was started" "no member was running" "$scripts/stop_servers.sh"
    kill "$listener"
    wait "$listener" 2>/dev/null || true
}

mistakes_are_told() {
    configure SERVER_NODE_COUNT=5
    expect_error "data of another cluster" "belongs to another cluster" "$scripts/start_servers.sh"
    configure SERVER_NODE_COUNT=2
    expect_error "two members" "must be 1, 3 or 5" "$scripts/start_servers.sh"
    configure SERVER_STOP_TIMEOUT=soon SERVER_MAX_TXN_OPS=0
    expect_error "a number that is none, with its line" "config.env:4: invalid value \"soon\"" "$scripts/start_servers.sh"
    expect_error "and all others" "config.env:5: SERVER_MAX_TXN_OPS: --max-txn-ops must be" "$scripts/stop_servers.sh"
    configure SERVER_WAL_SUBDIR=log
    expect_error "what the member refuses: its last line" "kvd1 did not start.*was made with the names wal" flat "$scripts/start_servers.sh"
    KVD_CONFIG=$place/absent expect_error "a configuration that is not there" "cannot read .*absent" "$scripts/start_servers.sh"
    KVD_BINARY=$place/absent expect_error "a program that is not there" "make build" "$scripts/start_servers.sh"
}

# answer TEXT COMMAND...: a person who is asked
answer() { printf '%s\n' "$1" | "${@:2}"; }

ends_with() { local status=0 expected=$1 && shift && { "$@" >"$e2e_dir/out" 2>&1 || status=$?; } && [[ $status == "$expected" ]]; }

status_is_told() {
    local victim
    expect_match "all serve" "kvd3   serves   process $(pid_of 3) .*http://127.0.0.1:$((port + 20))" "$scripts/status.sh"
    expect_match "and what they say of themselves" 'IS LEADER' "$scripts/status.sh"
    victim=$(pid_of 1)
    kill -KILL "$victim"
    while is_running "$victim"; do sleep 0.05; done
    expect "one does not run" "" ends_with 1 "$scripts/status.sh"
    expect_match "and which" "kvd1   does not run" cat "$e2e_dir/out"
    "$scripts/stop_servers.sh" >/dev/null
    expect "none runs" "" ends_with 3 "$scripts/status.sh"
}

flat() { "$@" 2>&1 | tr '\n' ' ' && return 1; }

starts_and_is_left_alone
status_is_told
"$scripts/start_servers.sh" >"$e2e_dir/out"
expect "says which processes they are" "" all_of "$e2e_dir/out" "kvd1   process $(pid_of 1) " "kvd3   process $(pid_of 3) "
stop_spares_strangers
port_in_use
mistakes_are_told
configure
(cd "$e2e_root/bin" && KVD_BINARY=./kvd "$scripts/start_servers.sh" >/dev/null)
expect "the data is still there" $'greeting\nhello world' "$scripts/client.sh" get greeting
"$scripts/stop_servers.sh" >/dev/null
expect_error "clean_data asks" "Remove all that .* nothing was removed" flat "$scripts/clean_data.sh"
expect_error "and takes no for an answer" "nothing was removed" answer n "$scripts/clean_data.sh"
expect_match "the data is still there" kvd1 ls "$data"
expect_match "clean_data, agreed to" "is gone" answer y "$scripts/clean_data.sh"
expect_error "and leaves nothing" "No such file" ls "$data"
expect_match "with nothing to remove" "there is no data" make -s -C "$e2e_root" clean-data YES=-y
expect_error "what it does not know" "usage: " "$scripts/clean_data.sh" --force
configure SERVER_NODE_COUNT=1 SERVER_MAX_TXN_OPS=7 SERVER_PRE_VOTE=false
expect_match "one member, with settings of every kind" "kvd1 .*clients" "$scripts/start_servers.sh"
