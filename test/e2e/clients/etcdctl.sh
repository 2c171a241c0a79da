#!/usr/bin/env bash
# Debian's etcdctl against a cluster whose members are killed one after the other; see ../test_clients.sh.
#
#     etcdctl.sh PREFIX DIRECTORY HOST:PORT...
#
# It knows all endpoints: keep-alive and lock go on by themselves. So does watch, but for one case: a stream that meets a member without a
# leader ends it, on etcd as well; then it is started again behind the last event. It says `ready` as a file of the directory, works until the file
# `go` is there, and then judges.
set -euo pipefail
prefix=$1
directory=$2
shift 2
export ETCDCTL_API=3 ETCDCTL_ENDPOINTS
ETCDCTL_ENDPOINTS=$(IFS=,; echo "$*")
mine=$directory/${prefix%/}
background=()
trap 'kill "${background[@]}" 2>/dev/null || true' EXIT

ctl() { etcdctl "$@" 2>>"$mine.err"; }
# is NAME EXPECTED COMMAND...
is() {
    local name=$1 expected=$2 seen
    shift 2
    seen=$("$@") || seen+=" (exit $?)"
    [[ $seen == "$expected" ]] || {
        printf '%s: expected %s, got %s\n' "$name" "$expected" "$seen" >&2
        exit 1
    }
}
# soon NAME COMMAND...: true within 30 s
soon() {
    local name=$1 end=$((SECONDS + 30))
    shift
    until "$@"; do
        ((SECONDS < end)) || {
            echo "not in time: $name" >&2
            exit 1
        }
        sleep 0.1
    done
}
is_gone() { [[ -z $(ctl get "$1") ]]; }
txn() { printf '%b' "$1" | ctl txn; }

requests() {
    local key=${prefix}kv/a
    is "a key that is not there" "" ctl get "$key"
    is put OK ctl put "$key" one
    is "put --prev-kv" "OK"$'\n'"$key"$'\none' ctl put --prev-kv "$key" two
    is put OK ctl put "${prefix}kv/b" other
    is "get --prefix" "$key"$'\ntwo\n'"${prefix}kv/b"$'\nother' ctl get --prefix "${prefix}kv/"
    is "a transaction" $'SUCCESS\n\nOK\n\n'"${prefix}kv/b"$'\nother' \
        txn "value(\"$key\") = \"two\"\nver(\"$key\") = \"2\"\n\nput $key three\nget ${prefix}kv/b\n\ndel $key\n\n"
    is "a transaction that fails" $'FAILURE\n\nOK' txn "value(\"$key\") = \"two\"\n\ndel $key\n\nput $key four\n\n"
    is get "$key"$'\nfour' ctl get "$key"
    is del 1 ctl del "$key"
    is del 0 ctl del "$key"
}

# watch_on REVISION: all that is put below watched/ from there on, as lines in $mine.watch
watch_on() {
    local next=$1 watcher=
    trap 'kill "$watcher" 2>/dev/null; exit' TERM
    while :; do
        etcdctl watch --prefix "${prefix}watched/" --rev "$next" -w fields >>"$mine.watch" 2>>"$mine.err" &
        watcher=$!
        wait "$watcher" || true
        next=$(sed -n 's/^"ModRevision" : //p' "$mine.watch" | tail -n 1 | awk -v begin="$next" '{ last = $1 } END { print last ? last + 1 : begin }')
        sleep 0.2
    done
}

# Does nothing the second time; so it may be asked again.
put_once() { txn "create(\"$1\") = \"0\"\n\nput $1 x\n\n\n" >/dev/null; }

requests
kept=$(ctl lease grant 2 | cut -d' ' -f2)
ctl put --lease "$kept" "${prefix}kept" x >/dev/null
etcdctl lease keep-alive "$kept" >"$mine.alive" 2>&1 &
alive=$!
left=$(ctl lease grant 2 | cut -d' ' -f2)
ctl put --lease "$left" "${prefix}left" x >/dev/null
env --default-signal=INT etcdctl lock --ttl 2 "${prefix}lock" >"$mine.lock" 2>&1 &
lock=$!
revision=$(ctl get "${prefix}kept" -w fields | sed -n 's/^"Revision" : //p')
watch_on "$((revision + 1))" &
background+=("$alive" "$lock" $!)
soon "a lock" grep -q "^${prefix}lock/" "$mine.lock"
touch "$mine.ready"

number=0
while [[ ! -e $directory/go ]]; do
    soon "a put" put_once "${prefix}watched/$((number += 1))"
done
soon "the last event" grep -q "^\"Key\" : \"${prefix}watched/$number\"$" "$mine.watch"
sleep 0.2
is "events" "$(seq -f "${prefix}watched/%g" 1 "$number")" sed -n 's/^"Key" : "\(.*\)"$/\1/p' "$mine.watch"
is "what is kept alive" "${prefix}kept"$'\nx' ctl get "${prefix}kept"
soon "what is not kept alive expires" is_gone "${prefix}left"
is "a lock that is held" "$(grep lock/ "$mine.lock")" ctl get --prefix "${prefix}lock/" --keys-only --limit=1
kill -INT "$lock"
wait "$lock" || true
is "a lock that was released is free" mine ctl lock "${prefix}lock" echo mine
kill "$alive"
soon "a lease that nobody renews expires" is_gone "${prefix}kept"
echo "$number events"
