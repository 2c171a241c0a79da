#!/usr/bin/env bash
# Are kvctl's lease keep-alive, lock and elect what Debian's etcdctl's are: the same words, the same keys, in one line with it; released by
# signals, kept over a change of leader, lost when the holder dies?
set -euo pipefail
# shellcheck source=kvctl_lib.sh
. "$(dirname "$0")/kvctl_lib.sh"

own() { "$kvctl" --endpoints "$all" "$@"; }
# in_background OUT WORDS...: kvctl, which is told to end by signals; its pid is in the variable pid
in_background() {
    local out=$1
    shift
    : >"$e2e_dir/$out" # the background may come to it later
    env --default-signal=INT "$kvctl" --endpoints "$all" "$@" >"$e2e_dir/$out" 2>"$e2e_dir/$out.err" </dev/null &
    pid=$!
}
# ended NAME CODE PID: the process ends, with that code
ended() {
    local code=0
    until_true 15 has_ended "$3" || kill -9 "$3"
    wait "$3" || code=$?
    expect "$1" "$2" echo "$code"
}
has_ended() { [[ $(ps -o stat= -p "$1") != [^Z]* ]]; }
keys() { own get "$1" --prefix --keys-only | sed '/^$/d'; }
has_keys() { [[ $(keys "$1" | wc -l) == "$2" ]]; }
has_line() { grep -qs "$2" "$e2e_dir/$1"; }
# await PATTERN OUT...: all of these have such a line soon, or a check that follows says what is missing
await() {
    local pattern=$1 out
    shift
    for out; do until_true 10 has_line "$out" "$pattern" || true; done
}
grant() { own lease grant "$1" -w json | sed -E 's/.*"ID":([0-9]+).*/\1/' | xargs printf '%016x\n'; }

keep_alive() {
    local lease
    same lease keep-alive
    same lease keep-alive --once 1234
    same_in_all_formats lease keep-alive 1234
    lease=$(grant 100)
    same_in_all_formats lease keep-alive --once "$lease"
    ends_with 128 "bad lease ID" --endpoints "$endpoint" lease keep-alive xyz
    in_background alive.out lease keep-alive "$lease"
    await "lease $lease keepalived with TTL(100)" alive.out
    own lease revoke "$lease" >/dev/null
    kill "$pid"
    ended "a signal ends a keep-alive" 143 "$pid"
    lease=$(grant 2)
    in_background alive.out lease keep-alive "$lease"
    await keepalived alive.out
    own lease revoke "$lease" >/dev/null
    ended "a revoked lease ends a keep-alive" 0 "$pid"
    expect "which says so" "lease $lease expired or revoked." tail -n 1 "$e2e_dir/alive.out"
}

lock_words() {
    same lock
    ends_with 7 "^Error: exit status 7$" --endpoints "$endpoint" lock L -- sh -c "exit 7"
    ends_with 255 "^Error: signal: killed$" --endpoints "$endpoint" lock L -- sh -c "kill -9 \$\$"
    ends_with 4 "table not supported" --endpoints "$endpoint" lock L -w table
    same lock L -- no-such-program
    same lock L -- true
    # shellcheck disable=SC2016 # for the command
    expect "the command's environment" "true true" own lock L -- sh -c \
        'etcdctl --endpoints "$0" get "$ETCD_LOCK_KEY" -w json | grep -q "\"create_revision\":$ETCD_LOCK_REV," && echo "true $(test "${ETCD_LOCK_KEY%/*}" = L && echo true)"' "$endpoint"
    expect "a lock leaves nothing" "" keys L/
    ends_with 2 "no endpoint could be reached" --endpoints 127.0.0.1:1 --dial-timeout 300ms lock L
}

# Prints its key, which is the name and its lease; goes at a signal, and the lease with it.
lock_held() {
    local key lease
    for signal in INT TERM; do
        in_background lock.out lock --ttl 5 L
        await "^L/" lock.out
        key=$(head -n 1 "$e2e_dir/lock.out")
        lease=$(own get "$key" -w json | sed -E 's/.*"lease":([0-9]+).*/\1/')
        expect "the key is the lease's" "L/$(printf %x "$lease")" echo "$key"
        expect "and alone" "$key" keys L/
        kill "-$signal" "$pid"
        ended "SIG$signal releases a lock" 0 "$pid"
        expect "its key is gone" "" keys L/
        expect_match "its lease, too" "already expired" own lease timetolive "$(printf %x "$lease")"
    done
    in_background lock.out lock L -- sh -c 'echo in; exec sleep 100'
    await in lock.out
    kill -TERM "$pid"
    ended "a signal ends the command of a lock" 255 "$pid"
    expect "and releases it" "" keys L/
}

# Both tools stand in one line.
one_line() {
    : >"$e2e_dir/theirs.out"
    env --default-signal=INT etcdctl --endpoints "$endpoint" lock --ttl 5 L >"$e2e_dir/theirs.out" 2>/dev/null </dev/null &
    local theirs=$! first
    await "^L/" theirs.out
    in_background ours.out lock L
    first=$pid
    until_true 10 has_keys L/ 2 || true
    in_background second.out lock L
    until_true 10 has_keys L/ 3 || true
    kill -TERM "$pid"
    ended "a signal ends waiting" 1 "$pid"
    until_true 10 has_keys L/ 2 || true
    expect "who waits has printed nothing" "" cat "$e2e_dir/ours.out" "$e2e_dir/second.out"
    kill -INT "$theirs"
    wait "$theirs" || true
    await "^L/" ours.out
    expect "etcdctl's lock is handed on" "$(keys L/)" head -n 1 "$e2e_dir/ours.out"
    : >"$e2e_dir/theirs.out"
    etcdctl --endpoints "$endpoint" lock L -- echo mine >"$e2e_dir/theirs.out" 2>/dev/null </dev/null &
    theirs=$!
    until_true 10 has_keys L/ 2 || true
    expect "etcdctl waits for ours" "" cat "$e2e_dir/theirs.out"
    kill -INT "$first"
    ended "and gets it" 0 "$theirs"
    expect "with its command" mine cat "$e2e_dir/theirs.out"
    wait "$first" || true
}

exclusion() {
    local number pids=()
    : >"$e2e_dir/log"
    for number in 1 2 3 4 5 6; do
        # shellcheck disable=SC2016 # for the command
        own lock X -- sh -c 'echo "in $1" >>"$0"; sleep 0.05; echo "out $1" >>"$0"' "$e2e_dir/log" "$number" &
        pids+=($!)
    done
    wait "${pids[@]}"
    expect "six commands under a lock, one at a time" 6 one_at_a_time
}

one_at_a_time() { awk '$1 == "in" { if (inside) exit; inside = $2 } $1 == "out" && $2 == inside { inside = ""; count++ } END { print count }' "$e2e_dir/log"; }

elections() {
    local leader next
    same elect
    same elect e
    same elect -l e v
    : >"$e2e_dir/theirs.out"
    : >"$e2e_dir/ours.out"
    etcdctl --endpoints "$endpoint" elect -l e -w json >"$e2e_dir/theirs.out" 2>/dev/null </dev/null &
    local theirs=$!
    env --default-signal=INT "$kvctl" --endpoints "$endpoint" elect -l e -w json >"$e2e_dir/ours.out" 2>/dev/null </dev/null &
    local ours=$!
    sleep 0.5 # etcdctl says nothing before it listens
    in_background first.out elect e one
    leader=$pid
    await one first.out
    expect_match "the elected one prints its key" "^e/[0-9a-f]+$" cat "$e2e_dir/first.out"
    expect "and its value" one sed -n 2p "$e2e_dir/first.out"
    await b25l ours.out theirs.out
    in_background second.out elect e two
    next=$pid
    until_true 10 has_keys e/ 2 || true
    put "$(head -n 1 "$e2e_dir/first.out")" uno
    await dW5v ours.out theirs.out
    kill -TERM "$leader"
    ended "a leader resigns at a signal" 0 "$leader"
    await two second.out
    await dHdv ours.out theirs.out
    expect "observers see the same" "$(observed theirs.out)" observed ours.out
    kill -INT "$next"
    kill -TERM "$ours" "$theirs"
    ended "an observer ends at a signal" 0 "$ours"
    wait "$next" "$theirs" || true
    expect "nobody stands for election" "" keys e/
}

# What is said of a leader whether it was there at the first look or came later.
observed() { without_revisions "$e2e_dir/$1" | sed 's/,"count":1//'; }

# Three who hold for longer than their TTL while the leader dies. All else is looked at meanwhile.
over_leaders() {
    local lease victim
    lease=$(grant 2)
    own put --lease "$lease" kept x >/dev/null
    in_background kept.out lease keep-alive "$lease"
    alive=$pid
    in_background holder.out lock --ttl 2 H
    holder=$pid
    in_background candidate.out elect E v
    candidate=$pid
    await "^[HE]/" holder.out candidate.out
    in_background waiter.out lock --ttl 2 H
    waiter=$pid
    victim=$(e2e_leader)
    kill -9 "$(cut -d' ' -f1 "$e2e_dir/data/kvd$victim.pid")"
    killed_s=$SECONDS
    "$e2e_root/scripts/start_servers.sh" >>"$e2e_dir/start.out" 2>&1
}

# A new leader gives every lease its TTL and an election's time from its start on; so long they live by themselves.
still_held() {
    until_true 20 is_long_ago
    expect "a lease is kept alive over a change of leader" $'kept\nx' own get kept
    expect "a lock is held, and waited for" 2 count_keys H/
    expect "by who held it" "$(head -n 1 "$e2e_dir/holder.out")" own get H/ --prefix --keys-only --sort-by=CREATE --limit 1
    expect "a leader is one still" "$(cat "$e2e_dir/candidate.out")" own get E/ --prefix
    expect "who waits has nothing" "" cat "$e2e_dir/waiter.out"
    kill -9 "$holder" "$alive"
    wait "$holder" "$alive" 2>/dev/null || true
    await "^H/" waiter.out
    expect "a dead holder's lock is handed on" "$(keys H/)" head -n 1 "$e2e_dir/waiter.out"
    until_true 15 has_keys kept 0 || true
    expect "what nobody keeps alive goes" "" keys kept
    kill -INT "$waiter" "$candidate"
    wait "$waiter" "$candidate" || true
}
is_long_ago() { ((SECONDS - killed_s >= 7)); }

count_keys() { keys "$1" | wc -l; }

kvctl_start
over_leaders
keep_alive
lock_words
lock_held
one_line
exclusion
elections
still_held
for command in "lease keep-alive" lock elect; do
    # shellcheck disable=SC2086 # a name of two words
    expect_match "help of $command" "Examples:" "$kvctl" help $command
done
