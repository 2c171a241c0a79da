#!/usr/bin/env bash
# Does a backup come back? A snapshot saved of a cluster is the base of another one: same keys, one hash on all members, revisions that clients
# notice; and what is damaged, foreign, cut or half saved is refused with its name. Debian's etcdctl and etcd stand beside it where they can.
set -euo pipefail
# shellcheck source=e2e_lib.sh
. "$(dirname "$0")/e2e_lib.sh"
export ETCDCTL_API=3
unset ETCDCTL_ENDPOINTS KVCTL_ENDPOINTS
kvctl=${KVCTL_BINARY:-$e2e_root/bin/kvctl}
kvd=$e2e_root/bin/kvd
saved=$e2e_dir/backup.db

client_of() { echo "http://127.0.0.1:$((e2e_port + 10 * $1 + $2))"; }
old() { "$kvctl" --endpoints "$endpoint" "$@"; }
new() { "$kvctl" --endpoints "$(client_of "$member" 2)" "$@"; }
status_of() { "$kvctl" snapshot status "$1" -w "${2:-simple}"; }
number_of() { sed -E "s/.*\"$1\":([0-9]+).*/\1/"; }
status_number() { status_of "$saved" json | number_of "$1"; }
new_number() { new get "$1" -w json | number_of "$2"; }
all_keys_of() { "$1" get "" --prefix | sha256sum; }

# ends_with CODE PATTERN WORDS...: kvctl's exit code, and an extended regular expression in its errors
ends_with() {
    local expected=$1 pattern=$2 code=0
    shift 2
    "$kvctl" "$@" >"$e2e_dir/tool.out" 2>"$e2e_dir/tool.err" </dev/null || code=$?
    if [[ $code == "$expected" ]] && grep -Eq -- "$pattern" "$e2e_dir/tool.err"; then
        e2e_pass
    else
        e2e_fail "kvctl $*" "exit $code (not $expected), or no /$pattern/ in: $(cat "$e2e_dir/tool.err")"
    fi
}

# serve LOG PORT WORDS...: a member of its own behind the scripts' ones; waits until it serves
serve() {
    local log=$1 url=http://127.0.0.1:$2
    shift 2
    "$kvd" --listen-client-urls "$url" --advertise-client-urls "$url" "$@" >"$log" 2>&1 </dev/null &
    e2e_started+=($!)
}

ready() {
    for ((i = 0; i < 200; i++)); do
        grep -q "ready to serve client requests" "$1" 2>/dev/null && return
        sleep 0.05
    done
    cat "$1"
    return 1
}

fill() {
    for i in {1..30}; do old put "key/$i" "value $i" >/dev/null; done
    for i in {1..10}; do old put "key/$i" "newer $i" >/dev/null; done
    old del key/1 key/15 >/dev/null
    old compaction 20 >/dev/null
    head -c 200000 /dev/urandom | old put binary >/dev/null
}

saves() {
    local hash
    expect_match "save" "^Snapshot saved at $saved$" old snapshot save "$saved"
    expect "of the owner alone" "600" stat -c %a "$saved"
    expect "and no part is left" "" find "$e2e_dir" -name '*.part'
    expect_match "etcdctl saves as well" "^Snapshot saved at" etcdctl --endpoints "$endpoint" snapshot save "$e2e_dir/etcdctl.db"
    expect "the same state" "$(status_of "$saved")" status_of "$e2e_dir/etcdctl.db"
    hash=$(old endpoint hashkv -w json | number_of hash)
    expect "whose hash is that of hashkv" "$hash" status_number hash
    expect_match "readsnapshot reads it, too" "verdict: good" "$e2e_root/bin/readsnapshot" "$saved"
    expect_match "an older file is replaced" "saved at" old snapshot save "$saved"
}

# What both tools print of their own files has one form.
forms() {
    serve_etcd || return
    etcdctl --endpoints "$etcd" put a b >/dev/null
    expect_match "kvctl saves from etcd" "^Snapshot saved at" "$kvctl" --endpoints "$etcd" snapshot save "$e2e_dir/etcd.db"
    expect_match "etcdctl knows the file" "^[0-9a-f]+, 2, [0-9]+, " etcdctl snapshot status "$e2e_dir/etcd.db"
    ends_with 1 "etcd.db: corrupt: at byte 0: not a snapshot file" snapshot status "$e2e_dir/etcd.db"
    ends_with 1 "not a snapshot file" snapshot restore "$e2e_dir/etcd.db" --data-dir "$e2e_dir/foreign"
    expect "simple" "$(form_of etcdctl simple)" form_of "$kvctl" simple
    expect "the first columns" "$(form_of etcdctl table)" form_of "$kvctl" table
    expect "the first names of fields" "$(form_of etcdctl fields)" form_of "$kvctl" fields
    expect "the first names of json" "$(form_of etcdctl json)" form_of "$kvctl" json
}

serve_etcd() {
    etcd=$(client_of 4 0)
    command -v etcd >/dev/null || return
    etcd --data-dir "$e2e_dir/etcd" --listen-client-urls "$etcd" --advertise-client-urls "$etcd" --listen-peer-urls "$(client_of 4 1)" \
        --initial-advertise-peer-urls "$(client_of 4 1)" --initial-cluster "default=$(client_of 4 1)" >"$e2e_dir/etcd.log" 2>&1 &
    e2e_started+=($!)
    for ((i = 0; i < 100; i++)); do
        etcdctl --endpoints "$etcd" endpoint health >/dev/null 2>&1 && return
        sleep 0.1
    done
    return 1
}

# form_of TOOL FORMAT: names and separators, numbers as N; of what kvctl has more only the first four are looked at
form_of() {
    local file=$saved
    [[ $1 == etcdctl ]] && file=$e2e_dir/etcd.db
    "$1" snapshot status "$file" -w "$2" | case $2 in
        simple) sed -E 's/[0-9a-f]+, [0-9]+, [0-9]+, [0-9.]+ [kM]?B/N, N, N, N/' ;;
        table) sed -n '2s/ *| */|/gp' | cut -d '|' -f 2-5 ;;
        fields) sed -E 's/[0-9]+/N/' | head -n 4 ;;
        json) sed -E 's/:[0-9]+/:N/g; s/,"version".*/}/' ;;
    esac
}

refuses() {
    local bad=$e2e_dir/bad.db
    size=$(stat -c %s "$saved")
    cp "$saved" "$bad"
    printf '\377' | dd of="$bad" bs=1 seek=5000 conv=notrunc status=none
    ends_with 1 "bad.db: corrupt: at byte [0-9]+: a block is damaged" snapshot status "$bad"
    ends_with 1 "bad.db: corrupt: at byte [0-9]+: a block is damaged" snapshot restore "$bad" --data-dir "$e2e_dir/none"
    head -c $((size - 1)) "$saved" >"$bad"
    ends_with 1 "bad.db: corrupt" snapshot status "$bad"
    ends_with 1 "bad.db: corrupt" snapshot restore "$bad" --data-dir "$e2e_dir/none" --skip-hash-check
    (head -c $((size - 1)) "$saved" && printf x) >"$bad"
    ends_with 1 "bad.db: corrupt: at byte [0-9]+: the hash at the end" snapshot restore "$bad" --data-dir "$e2e_dir/none"
    ends_with 1 "cannot be read: No such file" snapshot status "$e2e_dir/nothing"
    ends_with 128 "snapshot status requires exactly one argument" snapshot status
    ends_with 128 "snapshot restore requires exactly one argument" snapshot restore
    ends_with 128 "bump-revision needs --mark-compacted" snapshot restore "$saved" --mark-compacted=false
    ends_with 128 "mark-compacted needs --bump-revision" snapshot restore "$saved" --bump-revision 0
    ends_with 128 "cannot be negative" snapshot restore "$saved" --bump-revision -1
    ends_with 128 "couldn't find local name \"a\"" snapshot restore "$saved" --name a --initial-cluster b=http://127.0.0.1:1
    ends_with 1 "in the way|not empty" snapshot restore "$saved" --data-dir "$e2e_dir"
    ends_with 1 "did you mean \"snapshot restore\"" restore "$saved"
    mkdir "$e2e_dir/behind" "$e2e_dir/empty"
    ln -s behind "$e2e_dir/link"
    ends_with 1 "link: is a symbolic link, .*give a directory inside of it" snapshot restore "$saved" --data-dir "$e2e_dir/link/"
    ends_with 128 "give the directory by its name" snapshot restore "$saved" --data-dir "$e2e_dir/empty/./"
    ends_with 1 "empty: is the data directory itself" snapshot restore "$saved" --data-dir "$e2e_dir/empty" --wal-dir "$e2e_dir/empty"
    ends_with 1 "proc: is a mount point, .*give a directory inside of it" snapshot restore "$saved" --data-dir "$e2e_dir/none" --wal-dir /proc
    expect "none of this leaves a directory" "" find "$e2e_dir" -name 'none*' -o -name 'foreign*'
}

saves_nothing() {
    ends_with 2 "no endpoint could be reached" --endpoints 127.0.0.1:1 --dial-timeout 300ms snapshot save "$e2e_dir/half.db"
    ends_with 128 "to one selected node" --endpoints "$endpoint,127.0.0.1:1" snapshot save "$e2e_dir/half.db"
    ends_with 128 "snapshot save expects one argument" --endpoints "$endpoint" snapshot save
    ends_with 128 "is a directory" --endpoints "$endpoint" snapshot save "$e2e_dir"
    ends_with 1 "could not open .*/no/such" --endpoints "$endpoint" snapshot save "$e2e_dir/no/such"
    expect "none of this leaves a file" "" find "$e2e_dir" -name 'half*' -o -name '*.part'
}

# The server dies while its snapshot is under way: kvctl is stopped when the first bytes have come, so that most are still to come.
broken_stream() {
    local log=$e2e_dir/big.log url pid saver code=0 file=$e2e_dir/broken.db
    url=$(client_of 3 2)
    serve "$log" $((e2e_port + 32)) --data-dir "$e2e_dir/big" --listen-peer-urls "$(client_of 3 3)" \
        --initial-advertise-peer-urls "$(client_of 3 3)" --initial-cluster "default=$(client_of 3 3)" --unsafe-no-fsync
    pid=$!
    ready "$log"
    for i in {1..60}; do head -c 1000000 /dev/zero | "$kvctl" --endpoints "$url" put "big/$i" >/dev/null; done
    "$kvctl" --endpoints "$url" snapshot save "$file" >"$e2e_dir/tool.out" 2>"$e2e_dir/tool.err" &
    saver=$!
    while [[ ! -s $file.part && ! -e $file ]]; do :; done
    kill -STOP "$saver"
    kill -KILL "$pid"
    wait "$pid" 2>/dev/null || true
    kill -CONT "$saver"
    wait "$saver" || code=$?
    if [[ -e $file ]]; then return; fi # it was faster than we are
    expect "a broken stream ends with" 5 echo "$code"
    expect_match "and says how far it came" "the stream broke after [0-9]+ of [0-9]+ bytes: .*; nothing was saved" cat "$e2e_dir/tool.err"
    expect "and leaves nothing" "" find "$e2e_dir" -name 'broken*'
}

# restore MEMBER WORDS...: one of the three new ones
restore() {
    local member=$1
    shift
    "$kvctl" snapshot restore "$saved" --name "new$member" --data-dir "$e2e_dir/new$member" --initial-cluster "$initial" \
        --initial-cluster-token another --initial-advertise-peer-urls "$(client_of "$member" 3)" "$@"
}

restores() {
    local member
    initial="new0=$(client_of 0 3),new1=$(client_of 1 3),new2=$(client_of 2 3)"
    for member in 0 1 2; do
        expect_match "restore of member $member" "^Snapshot $saved restored to $e2e_dir/new$member$" restore "$member"
    done
    expect_error "a second time" "new0: not empty" restore 0
    for member in 0 1 2; do
        serve "$e2e_dir/new$member.log" $((e2e_port + 10 * member + 2)) --name "new$member" --data-dir "$e2e_dir/new$member" \
            --listen-peer-urls "$(client_of "$member" 3)"
        last=$!
    done
    for member in 0 1 2; do ready "$e2e_dir/new$member.log"; done
    for member in 0 1 2; do
        expect "all keys of member $member" "$(all_keys_of old)" all_keys_of new
    done
    expect "and their revisions" "$(revisions_of old)" revisions_of new
}

revisions_of() { "$1" get "" --prefix -w json | sed 's/.*"kvs"//; s/,"count.*//' | sha256sum; }

one_cluster() {
    local member before after
    before=$(status_number revision)
    after=$((before + 1000000000))
    member=1
    expect "the revision is raised" "$after" new_number x revision
    expect_error "what is older is compacted" "required revision has been compacted" new get key/2 --rev="$before"
    expect_error "up to the new revision" "required revision has been compacted" new get key/2 --rev=$((after - 1))
    expect "which can be read" $'key/2\nnewer 2' new get key/2 --rev="$after"
    expect "writes go on" OK new put key/2 third
    expect "behind it" "$((after + 1))" new_number key/2 mod_revision
    expect "with their versions" 3 new_number key/2 version
    expect "and what was before is there" $'key/2\nnewer 2' new get key/2 --rev="$after"
    expect "all members have one hash" 1 count_hashes
    expect "three members" $'new0\nnew1\nnew2' names_of_new
    expect "of another cluster" different differs_from_old cluster_id
    expect "without its alarms" "" new alarm list
}

# A restored member comes back with its log.
comes_back() {
    local member=0
    kill -KILL "$last"
    wait "$last" 2>/dev/null || true
    expect "writes without the third member" OK new put key/3 fourth
    serve "$e2e_dir/new2-again.log" $((e2e_port + 22)) --name new2 --data-dir "$e2e_dir/new2" --listen-peer-urls "$(client_of 2 3)"
    ready "$e2e_dir/new2-again.log"
    expect "who has them when it is back" 1 count_hashes
    member=2
    expect_match "and saves" "^Snapshot saved at" new snapshot save "$e2e_dir/second.db"
    expect "what is compacted where the first ended" "$(($(status_number revision) + 1000000000))" compacted_of "$e2e_dir/second.db"
}

compacted_of() { status_of "$1" json | number_of compactRevision; }

# Different ones of the three new members, each asked when it has all that was written.
count_hashes() {
    local member
    for member in 0 1 2; do new get x >/dev/null; done
    "$kvctl" --endpoints "$(client_of 0 2),$(client_of 1 2),$(client_of 2 2)" endpoint hashkv | sed 's/.*, //' | sort -u | wc -l
}

names_of_new() { new member list | sed -E 's/([^,]*, ){2}([^,]*),.*/\2/' | sort; }
old_revision() { old get x -w json | number_of revision; }
differs_from_old() { [[ $(new_number x "$1") != $(old get x -w json | number_of "$1") ]] && echo different; }

# A member with one file of DATA/snap, revisions as they were.
unchanged() {
    local file url
    url=$(client_of 3 0)
    file=$(find "$e2e_dir/data" -name '*.snap' | head -n 1)
    ends_with 1 "the hash is missing" snapshot restore "$file" --data-dir "$e2e_dir/alone"
    expect_match "restore without hash and bump" "compacted up to 20," "$kvctl" snapshot restore "$file" --data-dir "$e2e_dir/alone" \
        --wal-dir "$e2e_dir/alone-log" --skip-hash-check --bump-revision 0 --mark-compacted=false --name alone \
        --initial-cluster "alone=$(client_of 3 1)" --initial-advertise-peer-urls "$(client_of 3 1)"
    expect_match "the log is apart" '\.wal$' find "$e2e_dir/alone-log" -type f
    serve "$e2e_dir/alone.log" $((e2e_port + 30)) --name alone --data-dir "$e2e_dir/alone" --wal-dir "$e2e_dir/alone-log" \
        --listen-peer-urls "$(client_of 3 1)"
    ready "$e2e_dir/alone.log"
    endpoint=$url expect "its revision" "$(status_number revision)" old_revision
    expect "and the past" $'key/2\nvalue 2' "$kvctl" --endpoints "$url" get key/2 --rev=25
}

e2e_start
endpoint=${e2e_endpoints[0]}
fill
saves
refuses
saves_nothing
forms
restores
one_cluster
comes_back
unchanged
broken_stream
