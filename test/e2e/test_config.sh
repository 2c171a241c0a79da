#!/usr/bin/env bash
# Does a configuration do what it says? etcd's YAML file runs a cluster of three; every name of config.env takes effect on real members, and
# the tools find what it renamed; --check-config tells all mistakes at once; the example and the man page are what the table of settings says.
set -euo pipefail
# shellcheck source=e2e_lib.sh
. "$(dirname "$0")/e2e_lib.sh"
kvd=$e2e_root/bin/kvd
kvctl=$e2e_root/bin/kvctl
scripts=$e2e_root/scripts
unset ETCDCTL_ENDPOINTS KVCTL_ENDPOINTS

# mistakes EXPECTED_FILE COMMAND...: exits with 1 and says exactly this on stderr
mistakes() {
    local expected=$1 status=0
    shift
    "$@" >"$e2e_dir/out" 2>"$e2e_dir/err" || status=$?
    [[ $status == 1 && ! -s $e2e_dir/out ]] || { echo "exit $status" && cat "$e2e_dir/out"; }
    diff "$expected" "$e2e_dir/err"
}

ten_mistakes_are_ten_messages() {
    cat >"$e2e_dir/ten.env" <<'END'
SERVER_NODE_COUT=3
SERVER_DATA_DIR=data
SERVER_SNAPSHOT_INTERVAL=many
SERVER_CLIENT_PORT_BASE=70000
SERVER_HEARTBEAT_INTERVAL 100
SERVER_CLUSTER_TOKEN="never closed
SERVER_LOG_LEVEL=inof
SERVER_DATA_BASE_PATH=$HOME/data
SERVER_PEER_PORT_BASE=2380
SERVER_PEER_PORT_BASE=2381
SERVER_WAL_SUBDIR=a/b
END
    cat >"$e2e_dir/expected" <<'END'
ten.env:1: unknown name SERVER_NODE_COUT; did you mean SERVER_NODE_COUNT?
ten.env:2: unknown name SERVER_DATA_DIR; did you mean SERVER_DATA_BASE_PATH?
ten.env:3: invalid value "many" for SERVER_SNAPSHOT_INTERVAL: expected a whole number that is not negative
ten.env:4: SERVER_CLIENT_PORT_BASE must be between 1 and 65515 (set to 70000)
ten.env:5: not NAME=value (no blanks around =): "SERVER_HEARTBEAT_INTERVAL 100"
ten.env:6: SERVER_CLUSTER_TOKEN: the closing " is missing
ten.env:7: unknown SERVER_LOG_LEVEL "inof"; did you mean info?
ten.env:8: SERVER_DATA_BASE_PATH: nothing is expanded here: write what $ stands for, or put the value in '…'
ten.env:10: SERVER_PEER_PORT_BASE is given twice; first in line 9
ten.env:11: SERVER_WAL_SUBDIR: invalid value "a/b" for --wal-subdir: expected a plain name of at most 64 letters, digits, . _ - that is none of the data directory's own
10 mistakes
END
    cd "$e2e_dir"
    expect "ten kinds of mistakes in config.env" "" mistakes expected "$kvd" --check-config ten.env
    expect "as JSON" 10 python3 -c 'import json, subprocess, sys
done = subprocess.run([sys.argv[1], "--check-config", "ten.env", "-w", "json"], capture_output=True)
mistakes = json.loads(done.stdout)["mistakes"]
assert done.returncode == 1 and mistakes[0]["suggestion"] == "SERVER_NODE_COUNT" and mistakes[0]["place"] == "ten.env:1", mistakes
print(len(mistakes))' "$kvd"
    expect_error "no script goes on with them" "ten.env:11: SERVER_WAL_SUBDIR" env KVD_CONFIG="$e2e_dir/ten.env" "$scripts/start_servers.sh"
    expect_error "a start says the first on its last line" "ten.env:1: unknown name.*and 9 more" "$kvd" --config-file ten.env --node 1
}

mistakes_of_all_kinds_come_at_once() {
    cat >"$e2e_dir/expected" <<'END'
--max-txn-ops must be between 1 and 65536 (set to 0)
--advertise-client-urls is required when --listen-client-urls is set explicitly
2 mistakes
END
    expect "one does not hide another" "" mistakes "$e2e_dir/expected" "$kvd" --check-config --listen-client-urls http://127.0.0.1:1 --max-txn-ops 0
    expect_error "the first members' form" 'initial cluster: "b": expected' "$kvd" --check-config --initial-cluster 'a=http://1.2.3.4:1,b'
    printf 'client-transport-security:\n  allowed-cn: me\n' >"$e2e_dir/cn.yml"
    expect_error "clients' certificates are clients'" '^[^ ]*cn.yml:2: .*clients with any certificate' "$kvd" --check-config "$e2e_dir/cn.yml"
    expect_error "once each" '^1 mistake$' "$kvd" --check-config --cert-file missing.pem
}

# not_of FILE: the settings that it leaves open
not_of() { "$kvd" --check-config "$1" | tail -n +2 | { grep -v " $1:[0-9]*$" || true; }; }

# names_in DIRECTORY: in one line
names_in() { (cd "$1" && printf '%s ' * && echo); }

what_is_in_force_is_told() {
    cd "$e2e_dir"
    printf 'name: a\nelection-timeout: 1500\n' >a.yml
    expect_match "of a file" '^election-timeout +1500 +a.yml:2$' "$kvd" --check-config a.yml
    expect_match "what it leaves open" '^heartbeat-interval +100 +default$' "$kvd" --check-config a.yml
    expect_match "of a pipe" '^election-timeout +1500 +/dev/fd/[0-9]+:2$' "$kvd" --check-config <(cat a.yml)
    head -c 300000 /dev/zero | tr '\0' '#' >long.yml
    expect_error "too much of a file" "long.yml: more than 262144 bytes" "$kvd" --check-config long.yml
    expect_match "of flags" '^name +b +flag$' "$kvd" --check-config --name b
    expect_match "of variables" '^max-txn-ops +7 +KVD_MAX_TXN_OPS$' env KVD_MAX_TXN_OPS=7 "$kvd" --check-config
    expect_match "as JSON" '"name":"election-timeout","value":"1500","from":"a.yml:2"' "$kvd" --check-config a.yml -w json
    expect_match "of one member" '^listen-peer-urls +http://127.0.0.1:2390 +node 2 of ' "$kvd" --check-config "$e2e_root/config.example.env" --node 2
    expect "the example is what the table says" "" diff <("$kvd" --print example) "$e2e_root/config.example.env"
    # Every line of the example that is commented out is a setting, too.
    sed 's/^#\(SERVER_\)/\1/' "$e2e_root/config.example.env" >all.env
    expect "all of the example is good" "" not_of all.env
    expect_match "the man page" '^.fB.-.-wal.-segment.-entries.-max' "$kvd" --print man
    expect_match "--help names the file's flags" '--config-file' "$kvd" --help
}

etcds_file_runs_three_members() {
    local i base cluster=
    base=$(e2e_free_ports)
    for i in 0 1 2; do cluster+=${cluster:+,}infra$i=http://127.0.0.1:$((base + 10 * i + 1)); done
    for i in 0 1 2; do
        cat >"$e2e_dir/etcd$i.conf.yml" <<END
# This is the configuration file for the etcd server.
name: 'infra$i'
data-dir: $e2e_dir/infra$i
wal-dir:
snapshot-count: 10000
heartbeat-interval: 100
election-timeout: 1000
quota-backend-bytes: 0
listen-peer-urls: http://127.0.0.1:$((base + 10 * i + 1))
listen-client-urls: http://127.0.0.1:$((base + 10 * i))
max-snapshots: 5
max-wals: 5
cors:
initial-advertise-peer-urls: http://127.0.0.1:$((base + 10 * i + 1))
advertise-client-urls: http://127.0.0.1:$((base + 10 * i))
discovery:
discovery-fallback: 'exit'
discovery-proxy:
discovery-srv:
initial-cluster: $cluster
initial-cluster-token: 'etcd-cluster'
initial-cluster-state: 'new'
strict-reconfig-check: false
enable-pprof: true
client-transport-security:
  cert-file:
  key-file:
  client-cert-auth: false
  trusted-ca-file:
  auto-tls: false
peer-transport-security:
  cert-file:
  key-file:
  client-cert-auth: false
  trusted-ca-file:
  auto-tls: false
self-signed-cert-validity: 1
log-level: debug
logger: zap
log-outputs: [stderr]
force-new-cluster: false
auto-compaction-mode: periodic
auto-compaction-retention: "1"
cipher-suites: [
  TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
  TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
]
tls-min-version: 'TLS1.2'
tls-max-version: 'TLS1.3'
END
        ETCD_NAME=void "$kvd" --config-file "$e2e_dir/etcd$i.conf.yml" >"$e2e_dir/etcd$i.log" 2>&1 </dev/null &
        e2e_started+=($!)
    done
    expect "a cluster by etcd's files" OK "$kvctl" --endpoints "http://127.0.0.1:$((base + 20))" --command-timeout 20s put file yaml
    expect_match "of three" 'infra2, http://127.0.0.1:' "$kvctl" --endpoints "http://127.0.0.1:$base" member list
    expect_match "the file is all that counts, and that is said" 'other flags and environment variables are ignored' cat "$e2e_dir/etcd0.log"
    expect_match "its log level" '"level":"debug"|etcd0.conf.yml' cat "$e2e_dir/etcd0.log"
    for pid in "${e2e_started[@]}"; do kill -TERM "$pid"; done
    for pid in "${e2e_started[@]}"; do wait "$pid" || e2e_fail "a member ended with $?" "$(tail -n 1 "$e2e_dir/etcd0.log")"; done
    e2e_started=()
}

# holds_several DIRECTORY LEAST...: each has at least so many files
holds_several() {
    while (($# > 0)); do
        (($(find "$1" -type f -size +0 | wc -l) >= $2)) || ls -l "$1"
        shift 2
    done
}

# Every name, by what it changed.
config_env_takes_effect() {
    local data="$e2e_dir/my data" i
    e2e_port=$(e2e_free_ports)
    cat >"$KVD_CONFIG" <<END
SERVER_CLIENT_PORT_BASE=$e2e_port
SERVER_PEER_PORT_BASE=$((e2e_port + 1)) # members
SERVER_NODE_COUNT=1
SERVER_HOST=127.0.0.1
SERVER_MAX_WAL_ENTRIES=64
SERVER_SNAPSHOT_INTERVAL=100
SERVER_SNAPSHOT_CATCHUP_ENTRIES=10
SERVER_DATA_BASE_PATH="$data"
SERVER_WAL_SUBDIR=log
SERVER_RAFT_STATE_FILE=raft_state.bin
SERVER_SNAPSHOT_FILE=snapshots
CLIENT_SERVERS=127.0.0.1:$e2e_port
END
    "$scripts/start_servers.sh" >"$e2e_dir/start.out" 2>&1 || { cat "$e2e_dir/start.out" && return 1; }
    expect "CLIENT_SERVERS" OK "$scripts/client.sh" put a b
    for ((i = 0; i < 140; i++)); do
        "$kvctl" --endpoints "127.0.0.1:$e2e_port" put "k$i" v >/dev/null
    done
    expect_match "SERVER_WAL_SUBDIR, SERVER_SNAPSHOT_FILE, SERVER_RAFT_STATE_FILE" "^LOCK log names raft_state.bin snapshots $" \
        names_in "$data/kvd1"
    expect_match "and the tools find them" 'raft|term' "$e2e_root/bin/readstate" "$data/kvd1"
    expect_match "readwal by the directory of the log" '20 ops|txn|TXN|command' "$e2e_root/bin/readwal" "$data/kvd1/log"
    expect "SERVER_MAX_WAL_ENTRIES, SERVER_SNAPSHOT_INTERVAL" "" holds_several "$data/kvd1/log" 2 "$data/kvd1/snapshots" 1
    "$kvctl" --endpoints "127.0.0.1:$e2e_port" snapshot save "$e2e_dir/backup" >/dev/null 2>&1
    "$scripts/stop_servers.sh" >/dev/null
    rm -r "$data/kvd1"
    expect_match "a backup comes back under these names" 'restored to' "$kvctl" snapshot restore "$e2e_dir/backup" --name kvd1 --data-dir "$data/kvd1" \
        --initial-cluster "kvd1=http://127.0.0.1:$((e2e_port + 1))" --initial-advertise-peer-urls "http://127.0.0.1:$((e2e_port + 1))" \
        --initial-cluster-token kvd-local --wal-subdir log --snapshot-subdir snapshots --raft-state-file raft_state.bin
    "$scripts/start_servers.sh" >/dev/null
    expect "with what was in it" $'a\nb' "$scripts/client.sh" get a
    "$scripts/stop_servers.sh" >/dev/null
    sed -i 's/^SERVER_WAL_SUBDIR=.*/SERVER_WAL_SUBDIR=wal/' "$KVD_CONFIG"
    expect_error "a directory keeps its names" "was made with the names log, snapshots and raft_state.bin" "$scripts/start_servers.sh"
}

ten_mistakes_are_ten_messages
mistakes_of_all_kinds_come_at_once
what_is_in_force_is_told
etcds_file_runs_three_members
config_env_takes_effect
