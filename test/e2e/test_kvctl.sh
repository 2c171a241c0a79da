#!/usr/bin/env bash
# Does kvctl print what Debian's etcdctl prints? Both run on the same cluster with the same words and the same standard input; output,
# errors and exit codes are compared. What Debian's etcdctl (3.4) does not know, and what kvctl does better, is checked by itself.
set -euo pipefail
# shellcheck source=kvctl_lib.sh
. "$(dirname "$0")/kvctl_lib.sh"

fill() {
    put p/1 one && put p/2 two && put p/3 "" && put p/2 $'two\nlines' && put p/1 uno && put "ключ" "значение"
    printf '\000\001\377\376"quoted"\\ \t\r\n\a\v<&>\303\251\342\202\254\360\237\230\200\177\302\205\302\240\342\200\250' |
        etcdctl --endpoints "$endpoint" put bin >/dev/null
}

reads() {
    reset=
    for words in "get p/1" "get p/2" "get absent" "get bin" "get ключ" "get p/1 p/3" "get p/3 p/1" "get p/2 --from-key" \
        "get p/ --prefix" "get p/ --prefix --limit=2" "get p/ --prefix --keys-only" "get p/ --prefix --consistency=s" \
        "get p/ --prefix --order=DESCEND" "get p/ --prefix --sort-by=VERSION" "get p/ --prefix --sort-by=create --order=descend" \
        "get p/ --prefix --sort-by=MODIFY" "get p/ --prefix --sort-by=value --order=ASCEND" "get p/1 --rev=4" "member list" "alarm list"; do
        # shellcheck disable=SC2086 # words are words
        same_in_all_formats $words
    done
    same get "" --prefix
    same get "" --from-key --limit=1
    same get "" --prefix -w json
    same get p/ --prefix --print-value-only
    same get bin --hex
    same get p/ --prefix --keys-only --hex
    same member list -w table
    same endpoint status
    same defrag
    same alarm disarm
    same alarm disarm -w json
    for words in "get p/ --prefix" "get bin" "member list" "alarm list" "endpoint status" "endpoint health" "get p/1 --print-value-only"; do
        # shellcheck disable=SC2086 # words are words
        same $words -w protobuf # to the byte
    done
    endpoint=$all same endpoint status
    same get p/1 -w=json
    same get p/1 -wjson
    same -w json get p/1
    same --user root:secret get p/1 # there is no authentication, which both pass over
    same --user root --password secret get p/1 -w json
}

errors() {
    reset=
    same get
    same get p/1 -w table
    same get p/1 -w json --print-value-only
    same get --prefix --from-key p
    same get --prefix p q
    same get p/1 --order=UP
    same get p/1 --sort-by=SIZE
    same get p/1 --consistency=x
    same get p/1 --rev=100000
    same get ""
    same put
    same put only-a-key
    same put "" value
    same put k v --ignore-value
    same put absent --ignore-value
    same put absent v --ignore-lease
    same put k v --lease=1f
    same del
    same del a b c
    same alarm list x
    same alarm disarm x
    same move-leader
    same compaction
    same compaction 1 2
    same compaction 100000
    same txn words
    compare "txn: a line that is no request" 'mod("p/1") > "0"\n\nfoo bar\n\n\n' txn
    compare "txn: two puts of one key" '\nput z 1\nput z 2\n\n\n' txn
}

prepare() { put w/1 a && put w/2 b && put "ключ" "значение" && etcdctl --endpoints "$endpoint" del w/new >/dev/null; }

writes() {
    reset=prepare
    same_in_all_formats put w/new value
    same_in_all_formats put --prev-kv w/1 other
    same_in_all_formats put w/1 --ignore-value --prev-kv
    same_in_all_formats put w/1 x --ignore-lease
    same put -- w/new -value
    same_in_all_formats del w/1
    same_in_all_formats del w/ --prefix --prev-kv
    same_in_all_formats del w/1 w/3 --prev-kv
    same_in_all_formats del w/2 --from-key
    same_in_all_formats del absent
    compare "put from standard input" 'line one\nline two\n' put w/new
    same get w/new -w json
    for format in simple json fields; do
        compare "txn" 'value("w/1") = "a"\nmod("w/1") > "0"\nver("w/2") != "0"\nc("absent") = "0"\n\nput w/new "a \\"b\\" \\x63"\nget w/ --prefix\ndel w/1 --prev-kv\n\nget p/1\n\n' txn -w "$format"
        compare "txn that fails" 'value("w/1") = "b"\n\nput w/new 1\n\nget w/1\ndel absent\n\n' txn -w "$format"
    done
    compare "txn -i" 'create("w/1") > "0"\n\nget w/1\n\n\n' txn -i
    compare "txn without compares" '\nget w/1\nget absent\nput --prev-kv w/2 -- -x\n\n\n' txn
    compare "txn -w table" '\nget w/1\n\n\n' txn -w table
    reset=
}

compactions() {
    local revision
    revision=$(ctl get p/1 -w json | sed -E 's/.*"revision":([0-9]+).*/\1/')
    expect "compaction" "compacted revision $((revision - 1))" ctl compaction $((revision - 1))
    reset=
    same compaction $((revision - 1))
    same get p/1 --rev=2
    expect "compaction --physical" "compacted revision $revision" ctl compaction --physical "$revision"
}

# Options that etcdctl 3.4 has not.
newer() {
    local second first
    put f/1 a && put f/2 b && put f/1 c
    first=$(ctl get f/1 -w fields | sed -n 's/^"CreateRevision" : //p')
    second=$((first + 1))
    expect "min-create-rev" "f/2" keys_of f/ --prefix --min-create-rev="$second"
    expect "max-create-rev" "f/1" keys_of f/ --prefix --max-create-rev="$first"
    expect "min-mod-rev" "f/1" keys_of f/ --prefix --min-mod-rev=$((second + 1))
    expect "max-mod-rev" "f/2" keys_of f/ --prefix --max-mod-rev="$second"
    expect "count-only" '"More" : false "Count" : 2' count_of f/ --prefix --limit=1
    expect "txn with a lease compare" $'SUCCESS\n\nf/2\nb' txn_of_lease
    expect "del --range" 2 ctl del --range f/1 f/3
}

txn_of_lease() { printf 'lease("f/1") = "0"\n\nget f/2\n\n\n' | ctl txn; }
keys_of() { ctl get --keys-only "$@" | sed '/^$/d'; }
count_of() { ctl get --count-only -w fields "$@" | tail -n 2 | paste -sd ' '; }

environment() {
    expect "KVCTL_ENDPOINTS" $'p/1\nuno' env KVCTL_ENDPOINTS="$endpoint" "$kvctl" get p/1
    expect "ETCDCTL_ENDPOINTS" $'p/1\nuno' env ETCDCTL_ENDPOINTS="$endpoint" "$kvctl" get p/1
    expect "KVCTL_ before ETCDCTL_" $'p/1\nuno' env ETCDCTL_ENDPOINTS=127.0.0.1:1 KVCTL_ENDPOINTS="$endpoint" "$kvctl" get p/1
    expect "a flag before the environment" $'p/1\nuno' env KVCTL_ENDPOINTS=127.0.0.1:1 "$kvctl" --endpoints "$endpoint" get p/1
    expect_match "KVCTL_WRITE_OUT" '"kvs":\[' env KVCTL_WRITE_OUT=json "$kvctl" --endpoints "$endpoint" get p/1
}

# A boolean of etcdctl's leaves the next word alone; endpoints are added up.
flags_of_etcdctl() {
    put bool/1 a && put bool/2 b && put bool/3 c
    expect "--debug before a command" $'bool/1\na' ctl --debug get bool/1
    expect "--insecure-discovery before a key" $'bool/1\na' ctl get --insecure-discovery bool/1
    expect "--debug before two keys" 2 ctl del --debug bool/1 bool/3
    expect "so it is a range" "bool/3" keys_of bool/ --prefix --debug=false
    expect "repeated --endpoints" $'p/1\nuno' "$kvctl" --endpoints "$endpoint" get p/1 --endpoints 127.0.0.1:1
    expect "all of them are asked" "$(etcdctl --endpoints "$all" endpoint status)" statuses
}

statuses() { "$kvctl" --endpoints "${all%%,*}" endpoint status --endpoints "${all#*,}"; }

unreachable() {
    ends_with 2 "no endpoint could be reached in .*127.0.0.1:1" --endpoints 127.0.0.1:1 --dial-timeout 300ms get p/1
    ends_with 2 "no endpoint could be reached" --endpoints 127.0.0.1:1 --command-timeout 300ms put k v
    ends_with 2 "no endpoints given" --endpoints "" get p/1
    ends_with 128 "\"localhost\" is not an endpoint" --endpoints localhost get p/1
    ends_with 128 "open /no/such/file" --cacert /no/such/file get p/1
    expect "an endpoint that is down is passed over" $'p/1\nuno' "$kvctl" --endpoints "127.0.0.1:1,$endpoint" get p/1
    expect "also by a write" OK "$kvctl" --endpoints "127.0.0.1:1,$endpoint" put k v
    ends_with 1 "127.0.0.1:1 is unhealthy.*|unhealthy cluster" --endpoints "127.0.0.1:1,$endpoint" --dial-timeout 300ms endpoint health
    expect_match "and the healthy one is said to be" "$endpoint is healthy" cat "$e2e_dir/tool.out"
    ends_with 1 "Failed to get the status of endpoint 127.0.0.1:1" --endpoints "$endpoint,127.0.0.1:1" --dial-timeout 300ms endpoint status
    ends_with 1 "Failed to get the hash of endpoint 127.0.0.1:1" --endpoints "$endpoint,127.0.0.1:1" --dial-timeout 300ms endpoint hashkv
}

mistakes() {
    ends_with 1 "unknown command \"set\".*did you mean \"put\"" set a b
    ends_with 1 "unknown command \"stauts\" for \"kvctl endpoint\"" endpoint stauts
    ends_with 1 "unknown flag: --nope" get --nope
    ends_with 1 "\"x\" for --limit: expected a whole number" get k --limit=x
    ends_with 4 "\"yaml\": it is simple" get k -w yaml
    ends_with 4 "--discovery-srv: .* is not supported" --discovery-srv x get k
    ends_with 128 "--auth-jwt-token goes without --user" --endpoints "$endpoint" --auth-jwt-token x --user root:a get k
    ends_with 128 "--auth-jwt-token goes without --user" --endpoints "$endpoint" --auth-jwt-token x --password a get k
    ends_with 128 "a token is printable ASCII" --endpoints "$endpoint" --auth-jwt-token $'x\ny' get k
    ends_with 128 "--user is a name, a colon and a password" --endpoints "$endpoint" --user root: get k
    ends_with 128 "a password is expected on standard input" --endpoints "$endpoint" --user root get k
    ends_with 128 "put command needs" --endpoints "$endpoint" put a b c
    ends_with 128 "bad lease ID" --endpoints "$endpoint" put k v --lease=xyz
    ends_with 4 "unknown consistency flag" --endpoints "$endpoint" member list --consistency=x
    ends_with 128 "count-only" --endpoints "$endpoint" get a --count-only
    cut_txn
}

# A transaction whose text was cut does nothing.
cut_txn() {
    code=0
    printf '\nput cut 1\n\n' | ctl txn >"$e2e_dir/tool.out" 2>"$e2e_dir/tool.err" || code=$?
    expect "a cut txn is refused" "3" echo "$code"
    expect "and does nothing" "" ctl get cut
}

help_teaches() {
    for command in put get del txn compaction "endpoint status" "endpoint health" "member list" version; do
        # shellcheck disable=SC2086 # a name of two words
        expect_match "help of $command" "Examples:" "$kvctl" help $command
        # shellcheck disable=SC2086
        expect_match "$command --help" "Usage:" "$kvctl" $command --help
    done
    expect_match "kvctl alone" "Commands:" "$kvctl"
    expect_match "a group alone" "endpoint status" "$kvctl" endpoint
    expect_match "version" "kvctl version: [0-9]" "$kvctl" version
}

# cells_of TOOL HEADERS: the cells of `endpoint status -w table` under these headers, "|" between them
cells_of() {
    "$1" --endpoints "$all" endpoint status -w table | awk -F' *[|] *' -v wanted="$2" '
        BEGIN { count = split(wanted, names, "|") }
        /ENDPOINT/ { for (i = 1; i <= NF; i++) place[$i] = i; next }
        /[|]/ { for (i = 1; i <= count; i++) printf "%s|", $place[names[i]]; print "" }'
}

# Every column of etcdctl's table is one of kvctl's, with the same cells; kvctl shows the newer columns too.
status_table() {
    local headers
    headers=$(etcdctl --endpoints "$all" endpoint status -w table | sed -n '2s/^| *//; 2s/ *|$//; 2s/ *| */|/gp')
    expect "endpoint status -w table" "$(cells_of etcdctl "$headers")" cells_of "$kvctl" "$headers"
    expect_match "its newer columns" "3.6.0[|].*GB" cells_of "$kvctl" "STORAGE VERSION|QUOTA"
}

kvctl_start
reset=
fill
reads
errors
writes
newer
environment
flags_of_etcdctl
unreachable
mistakes
help_teaches
status_table
compactions
