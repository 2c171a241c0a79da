#!/usr/bin/env bash
# Does a cluster made by one command serve stock clients? Debian's etcdctl, and kvctl where it is built, against each of
# three members: put, get, del, txn, compaction, endpoint status and health, member list; what one member wrote the
# others read; the leader is killed and nothing is lost.
set -euo pipefail
# shellcheck source=e2e_lib.sh
. "$(dirname "$0")/e2e_lib.sh"
export ETCDCTL_API=3
unset ETCDCTL_ENDPOINTS KVCTL_ENDPOINTS

txn_text='mod("k") > "0"

put k2 taken
get k

get absent
'

all=

# ctl_test CLIENT NAME: every command against every member
ctl_test() {
    local ctl=$1 who=$2 i e other revision
    for i in 0 1 2; do
        e=${e2e_endpoints[i]} other=${e2e_endpoints[(i + 1) % 3]}
        expect "$who put" OK "$ctl" --endpoints "$e" put k "value $i"
        expect "$who get on another member" "k
value $i" "$ctl" --endpoints "$other" get k
        expect "$who get of nothing" "" "$ctl" --endpoints "$e" get absent
        expect "$who put of a dash value" OK "$ctl" --endpoints "$e" put -- dash -x
        expect "$who get --print-value-only" "value $i" "$ctl" --endpoints "$e" get k --print-value-only
        expect "$who serializable get" "k
value $i" "$ctl" --endpoints "$other" get k --consistency=l
        "$ctl" --endpoints "$e" put p/1 a >/dev/null
        "$ctl" --endpoints "$e" put p/2 b >/dev/null
        "$ctl" --endpoints "$e" put p/3 c >/dev/null
        expect "$who get --prefix --keys-only" "p/1

p/2

p/3" "$ctl" --endpoints "$e" get p/ --prefix --keys-only
        expect "$who get --prefix --limit --order" "p/3
c
p/2
b" "$ctl" --endpoints "$e" get p/ --prefix --order=DESCEND --sort-by=KEY --limit=2
        expect "$who get --from-key" "p/3
c" "$ctl" --endpoints "$e" get p/3 --from-key
        expect "$who get range" "p/1
a
p/2
b" "$ctl" --endpoints "$e" get p/1 p/3
        expect "$who txn" "SUCCESS

OK

k
value $i" txn_of "$ctl" "$e"
        expect "$who del" 1 "$ctl" --endpoints "$e" del k2
        expect "$who del of nothing" 0 "$ctl" --endpoints "$e" del k2
        expect "$who del --prefix --prev-kv" "3
p/1
a
p/2
b
p/3
c" "$ctl" --endpoints "$e" del p/ --prefix --prev-kv
        revision=$(revision_of "$ctl" "$e")
        expect "$who compaction" "compacted revision $revision" "$ctl" --endpoints "$e" compaction "$revision"
        expect_error "$who compaction again" "required revision has been compacted" \
            "$ctl" --endpoints "$other" compaction "$revision"
        expect_error "$who get of a compacted revision" "required revision has been compacted" \
            "$ctl" --endpoints "$other" get k --rev=1
        expect_error "$who get of a future revision" "required revision is a future revision" \
            "$ctl" --endpoints "$e" get k --rev=1000000
        expect_error "$who put without a key" "key is not provided" "$ctl" --endpoints "$e" put "" v
        expect_match "$who endpoint health" "is healthy" "$ctl" --endpoints "$e" endpoint health
    done
    expect_match "$who member list" "started, kvd1, .*started, kvd2, .*started, kvd3" \
        member_names "$ctl" "${e2e_endpoints[2]}"
    expect_match "$who endpoint status" "^3 members, 1 leader$" count_leaders "$ctl"
    expect_match "$who endpoint status -w table" "ENDPOINT.*VERSION.*DB SIZE.*IS LEADER.*RAFT TERM.*RAFT INDEX" \
        "$ctl" --endpoints "$all" endpoint status -w table
    expect_match "$who get -w json" '"kvs":\[\{"key":"aw=="' "$ctl" --endpoints "${e2e_endpoints[1]}" get k -w json
}

txn_of() { "$1" --endpoints "$2" txn <<<"$txn_text"; }
member_names() { "$1" --endpoints "$2" member list | sort -t, -k3 | tr '\n' ' '; }
revision_of() { "$1" --endpoints "$2" get k -w json | sed -E 's/.*"revision":([0-9]+).*/\1/'; }

count_leaders() {
    "$1" --endpoints "$all" endpoint status -w json |
        python3 -c 'import json, sys
status = [entry["Status"] for entry in json.load(sys.stdin)]
leaders = [s for s in status if s["header"]["member_id"] == s["leader"]]
print("%d members, %d leader" % (len(status), len(leaders)))'
}

# Prints the number (0, 1, 2) of the leader.
leader_number() {
    etcdctl --endpoints "$all" endpoint status -w json |
        python3 -c 'import json, sys
for number, entry in enumerate(json.load(sys.stdin)):
    if entry["Status"]["header"]["member_id"] == entry["Status"]["leader"]:
        print(number)'
}

retry() {
    local i
    for ((i = 0; i < 10; i++)); do
        "$@" 2>/dev/null && return
        sleep 0.2
    done
    return 1
}

kill_the_leader() {
    local number pid
    number=$(leader_number)
    read -r pid _ <"$e2e_dir/data/kvd$((number + 1)).pid"
    kill -KILL "$pid"
    other=${e2e_endpoints[(number + 1) % 3]}
    # A write that was on its way to the dead leader may time out; the outcome is open then, and the put is repeated.
    expect_match "put after the leader was killed" OK retry etcdctl --endpoints "$other" put after kill
    expect "what was written before is there" "precious
1" etcdctl --endpoints "${e2e_endpoints[(number + 2) % 3]}" get precious
    expect_match "the killed member comes back by the same command" "The cluster serves" \
        "$e2e_root/scripts/start_servers.sh"
    expect "it has what was written without it" "after
kill" etcdctl --endpoints "${e2e_endpoints[number]}" get after
}

e2e_start
all=$(IFS=,; echo "${e2e_endpoints[*]}")
ctl_test etcdctl etcdctl
if [[ -x $e2e_root/bin/kvctl ]]; then
    ctl_test "$e2e_root/bin/kvctl" kvctl
    expect_match "kvctl version" "kvctl" "$e2e_root/bin/kvctl" version
fi
expect "put before the leader is killed" OK etcdctl --endpoints "$all" put precious 1
kill_the_leader
expect_match "stop_servers ends all three" "kvd1 has ended" "$e2e_root/scripts/stop_servers.sh"
expect_match "the cluster starts again with its data" "The cluster serves" "$e2e_root/scripts/start_servers.sh"
expect "the data is there" "precious
1" etcdctl --endpoints "$all" get precious
expect_error "clean_data refuses while members run" "still runs" "$e2e_root/scripts/clean_data.sh"
"$e2e_root/scripts/stop_servers.sh" >/dev/null
expect_match "clean_data removes what was stored" "is gone" "$e2e_root/scripts/clean_data.sh" -y
