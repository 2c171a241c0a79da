#!/usr/bin/env bash
# Does kvctl watch print what Debian's etcdctl prints, run its commands and take its lines, end cleanly, and go on without gap or duplicate when
# the member that serves it is killed?
set -euo pipefail
# shellcheck source=kvctl_lib.sh
. "$(dirname "$0")/kvctl_lib.sh"

watchers=()
end_watchers() {
    ((${#watchers[@]} == 0)) && return
    kill "${watchers[@]}" 2>/dev/null || true
    wait "${watchers[@]}" 2>/dev/null || true
    watchers=()
}

both_have() { grep -qa -- "$1" "$e2e_dir/etcdctl.out" && grep -qa -- "$1" "$e2e_dir/kvctl.out"; }

# both_watch WORDS...: both tools in the background, output in etcdctl.out and kvctl.out
both_watch() {
    : >"$e2e_dir/etcdctl.out" # the background may come to it later
    : >"$e2e_dir/kvctl.out"
    etcdctl --endpoints "$endpoint" watch "$@" >"$e2e_dir/etcdctl.out" 2>"$e2e_dir/etcdctl.err" </dev/null &
    watchers+=($!)
    "$kvctl" --endpoints "$endpoint" watch "$@" >"$e2e_dir/kvctl.out" 2>"$e2e_dir/kvctl.err" </dev/null &
    watchers+=($!)
}

# both_said NAME MARK: both print MARK, which is the last of it, and nothing else differs
both_said() {
    local difference=
    if ! until_true 10 both_have "$2"; then
        e2e_fail "$1" "no /$2/ in: $(tail -n 5 "$e2e_dir/etcdctl.out" "$e2e_dir/kvctl.out" "$e2e_dir/kvctl.err")"
    elif ! difference=$(diff -a "$e2e_dir/etcdctl.out" "$e2e_dir/kvctl.out"); then
        e2e_fail "$1" "$difference"
    else
        e2e_pass
    fi
    end_watchers
}

history() {
    put w/1 one && put w/2 two && put w/1 uno && etcdctl --endpoints "$endpoint" del w/2 >/dev/null && put w/3 $'two\nlines'
    printf '\000\001\377"quoted"\\\302\205' | etcdctl --endpoints "$endpoint" put w/bin >/dev/null
    put w/9 last
}

compared_history() {
    local format mark
    for format in simple json fields; do
        mark=last
        [[ $format == json ]] && mark=bGFzdA==
        both_watch w/ --prefix --rev 2 --prev-kv -w "$format"
        both_said "watch --prefix --prev-kv -w $format" "$mark"
        both_watch w/3 w/a --rev=2 -w "$format"
        both_said "watch of a range -w $format" "$mark"
    done
    both_watch "" --prefix --rev 2 --hex
    both_said "watch of all --hex" '\\x6c\\x61\\x73\\x74'
    both_watch w/1 --rev 2
    both_said "watch of a key" uno
}

compared_live() {
    local tries
    both_watch live/ --prefix -w json
    for ((tries = 0; tries < 100; tries++)); do
        put live/ready "" # a watch without a revision begins when its server has seen it
        both_have bGl2ZS9yZWFkeQ && break
        sleep 0.05
    done
    put live/1 a && etcdctl --endpoints "$endpoint" del live/1 >/dev/null && put live/end end
    until_true 10 both_have bGl2ZS9lbmQ || true
    sed -i /bGl2ZS9yZWFkeQ/d "$e2e_dir/etcdctl.out" "$e2e_dir/kvctl.out"
    both_said "live events" bGl2ZS9lbmQ
}

commands() {
    # shellcheck disable=SC2016 # for the command
    both_watch w/ --prefix --rev 2 -- sh -c 'echo "$ETCD_WATCH_REVISION $ETCD_WATCH_EVENT_TYPE $ETCD_WATCH_KEY=$ETCD_WATCH_VALUE"; cat'
    both_said "a command for each event" '^[0-9]* "PUT" "w/9"="last"$'
    ETCDCTL_WATCH_KEY=w/1 ETCDCTL_WATCH_RANGE_END=w/4 both_watch --rev 2 -- echo seen
    until_true 10 both_have seen || true
    sleep 0.2
    both_said "the key in the environment, and a command" seen
    same watch w/1 --rev 2 -- sh -c "exit 3"
    same watch w/1 --rev 2 -- sh -c "kill -9 \$\$"
    same watch w/1 --rev 2 -- no-such-program x
    same watch w/1 --rev 2 -- /no/such/program
    : >"$e2e_dir/kvctl.out"
    KVCTL_WATCH_KEY=w/1 ETCDCTL_WATCH_KEY=w/9 "$kvctl" --endpoints "$endpoint" watch --rev 2 >"$e2e_dir/kvctl.out" </dev/null &
    watchers+=($!)
    until_true 10 grep -q uno "$e2e_dir/kvctl.out" || true
    end_watchers
    expect "KVCTL_WATCH_KEY" $'PUT\nw/1\none\nPUT\nw/1\nuno' cat "$e2e_dir/kvctl.out"
}

mistakes() {
    same watch
    same watch a --
    same watch a b --prefix
    ends_with 4 "table not supported" --endpoints "$endpoint" watch a -w table
    ETCDCTL_WATCH_KEY=a same watch b
    ETCDCTL_WATCH_KEY=a same watch b -- echo 1
    ETCDCTL_WATCH_RANGE_END=a same watch
    same watch b a
    ends_with 128 "bad number of arguments" --endpoints "$endpoint" watch a b c
    ends_with 2 "no endpoint could be reached" --endpoints 127.0.0.1:1 --dial-timeout 300ms watch a
}

# lines_to TOOL: a dialogue of watch -i, the lines in turns with what is to be seen of the one before
lines_to() {
    local out=$e2e_dir/$1.out err=$e2e_dir/$1.err tool=$1 code=0
    [[ $tool == kvctl ]] && tool=$kvctl
    # shellcheck disable=SC2094 # what is read is what it said to the lines before
    {
        echo "watch w/1 w/2 --rev 2 --prev-kv"
        until_true 10 grep -q uno "$out" || true
        echo 'watch "w/9" --rev=2 -- echo "it is" seen'
        until_true 10 grep -q "it is seen" "$out" || true
        printf 'progress\n'
        until_true 10 grep -q "progress notify" "$out" || true
        sleep 0.2
        printf 'nonsense\n\nwatch\nwatch a b --prefix\n'
    } | "$tool" --endpoints "$endpoint" watch -i >"$out" 2>"$err" || code=$?
    echo "exit $code" >>"$out"
}

interactive() {
    : >"$e2e_dir/etcdctl.out"
    : >"$e2e_dir/kvctl.out"
    lines_to etcdctl &
    lines_to kvctl
    wait $!
    sed -i '/^{"level":"warn"/d' "$e2e_dir/etcdctl.err"
    expect "watch -i" "$(cat "$e2e_dir/etcdctl.out" "$e2e_dir/etcdctl.err")" cat "$e2e_dir/kvctl.out" "$e2e_dir/kvctl.err"
    expect_match "watch -i asks for progress" "progress notify: [0-9]" cat "$e2e_dir/kvctl.out"
    for line in 'watch a --' 'watch a --nope' 'watch --rev=x a'; do
        code=0
        printf '%s\n' "$line" | "$kvctl" --endpoints "$endpoint" watch -i >/dev/null 2>&1 || code=$?
        expect "watch -i ends at: $line" 128 echo "$code"
    done
}

signals_are=--default-signal=INT # env's word

# ended_by SIGNAL NAME WORDS...: a watch that has printed its first line is told to end; its exit code
ended_by() {
    local signal=$1 code=0
    shift
    : >"$e2e_dir/tool.out"
    env "$signals_are" "$kvctl" --endpoints "$endpoint" watch "$@" >"$e2e_dir/tool.out" 2>"$e2e_dir/tool.err" &
    local pid=$!
    until_true 10 grep -q PUT "$e2e_dir/tool.out" || true
    sleep 0.1
    kill "-$signal" "$pid"
    wait "$pid" || code=$?
    echo "$code"
    cat "$e2e_dir/tool.err"
}

# outlives NAME...: a watch that was started with the signals ignored goes on after each of them; its exit code behind SIGTERM
outlives() {
    local code=0
    : >"$e2e_dir/tool.out"
    env --ignore-signal=HUP,INT "$kvctl" --endpoints "$endpoint" watch "$@" >"$e2e_dir/tool.out" 2>"$e2e_dir/tool.err" &
    local pid=$!
    until_true 10 grep -q PUT "$e2e_dir/tool.out" || true
    kill -HUP "$pid"
    kill -INT "$pid"
    sleep 0.1
    put w/1 "after the signals"
    until_true 10 grep -q "after the signals" "$e2e_dir/tool.out" || echo "it heard nothing more"
    kill -TERM "$pid" || true
    wait "$pid" || code=$?
    echo "$code"
    cat "$e2e_dir/tool.err"
}

signals() {
    expect "what was ignored at the start stays so" 143 outlives w/1 --rev 2
    expect "also for who has a command" 143 outlives w/1 --rev 2 -- echo PUT
    expect "SIGINT ends a watch" 130 ended_by INT w/1 --rev 2
    expect "SIGTERM ends a watch" 143 ended_by TERM w/1 --rev 2
    expect "and its command" 143 ended_by TERM w/1 --rev 2 -- sleep 100
    signals_are=--ignore-signal=TERM
    expect "an ignored one as well, with its code" 143 ended_by TERM w/1 --rev 2
}

# The member (0, 1 or 2) that the process is connected to.
member_of() {
    local port
    port=$(ss -Htnp state established | awk -v pid="pid=$1," 'index($0, pid) { sub(/.*:/, "", $4); print $4; exit }')
    [[ -n $port ]] && echo $(((port - e2e_port) / 10))
}

is_served() { member_of "$1" >/dev/null; }

# Members die under a watch: it must have all keys once, in order.
resume() {
    local pid victim number=0 round revision
    revision=$(revision_now)
    # shellcheck disable=SC2154 # of kvctl_lib.sh
    "$kvctl" --endpoints "$all" watch r/ --prefix --rev $((revision + 1)) >"$e2e_dir/kvctl.out" 2>"$e2e_dir/kvctl.err" </dev/null &
    pid=$!
    watchers+=("$pid")
    for round in 1 2 3; do
        until_true 20 is_served "$pid" || e2e_fail "resume" "round $round: no connection"
        for _ in 1 2 3 4 5; do put_surely "r/$((number += 1))"; done
        victim=$(member_of "$pid")
        kill -9 "$(cut -d' ' -f1 "$e2e_dir/data/kvd$((victim + 1)).pid")"
        for _ in 1 2 3 4 5; do put_surely "r/$((number += 1))"; done
        "$e2e_root/scripts/start_servers.sh" >>"$e2e_dir/start.out" 2>&1
    done
    until_true 20 grep -q "^r/$number$" "$e2e_dir/kvctl.out" || true
    expect "a watch over killed members" "$(seq -f r/%g 1 "$number")" sed -n '2~3p' "$e2e_dir/kvctl.out"
    expect "says nothing about it" "" cat "$e2e_dir/kvctl.err"
    end_watchers
}

# With the same value again and again, until it is there; what a doubtful put did twice would be seen as a key twice.
put_surely() {
    local tries
    for ((tries = 0; tries < 100; tries++)); do
        printf 'create("%s") = "0"\n\nput %s x\n\n\n' "$1" "$1" | "$kvctl" --endpoints "$all" txn >/dev/null 2>&1 && return
        sleep 0.1
    done
    e2e_fail "put $1" "it was never acknowledged"
}

revision_now() { ctl get w/1 -w json | sed -E 's/.*"revision":([0-9]+).*/\1/'; }

compacted() {
    ctl compaction "$(revision_now)" >/dev/null
    for format in simple json fields; do same watch w/1 --rev 2 -w "$format"; done
    same watch w/1 --rev 2 -- echo never
}

kvctl_start
history
compared_history
compared_live
commands
mistakes
interactive
signals
compacted
resume
expect_match "help of watch" "ETCD_WATCH_EVENT_TYPE" "$kvctl" help watch
