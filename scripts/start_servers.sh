#!/usr/bin/env bash
# Starts the cluster of config.env on this machine, waits until every member serves, and says how to use it.
# Members that run already are left alone.
set -euo pipefail
. "$(dirname -- "$0")/server_env.sh"

mkdir -p "$data_dir"

initial_cluster=
for ((i = 0; i < SERVER_NODE_COUNT; i++)); do
    initial_cluster+=${initial_cluster:+,}$(member_name "$i")=$(peer_url "$i")
done

# Members with data keep the cluster that they were made for, whatever config.env says later: told here, not by members that
# wait for each other in vain.
cluster="$initial_cluster token=$SERVER_CLUSTER_TOKEN"
has_data() {
    local directory
    for directory in "$data_dir"/kvd*/; do [[ ! -d $directory ]] || return 0; done
    return 1
}
if has_data && [[ -e $data_dir/cluster && $(<"$data_dir/cluster") != "$cluster" ]]; then
    cat >&2 <<END
The data in $data_dir belongs to another cluster than $config describes:
  there: $(<"$data_dir/cluster")
  now:   $cluster
Change SERVER_NODE_COUNT, SERVER_HOST, SERVER_PEER_PORT_BASE and SERVER_CLUSTER_TOKEN back, choose another SERVER_DATA_BASE_PATH,
or remove the data with \`make clean-data\`.
END
    exit 1
fi

is_port_taken() { (exec 3<>"/dev/tcp/$SERVER_HOST/$1") 2>/dev/null; }

check_ports() {
    local port holder
    for port in "$(client_port "$1")" "$(peer_port "$1")"; do
        if is_port_taken "$port"; then
            holder=$(ss -Hltnp "sport = :$port" 2>/dev/null | sed -n 's/.*users:((//; s/)).*//; 1p' || true)
            echo "port $port of $SERVER_HOST is in use by another program${holder:+ ($holder)}: end it, or choose other ports in $config" >&2
            exit 1
        fi
    done
}

start_member() {
    local i=$1 log pid
    log=$(log_file "$i")
    (cd "$root" && exec setsid "$binary" --config-file "$config" --node $((i + 1))) >>"$log" 2>&1 </dev/null &
    pid=$!
    echo "$pid $(start_time_of "$pid" || true)" >"$(pid_file "$i")"
}

# give_up MEMBER REASON: the members that this script started are ended again
give_up() {
    local i pid
    echo "$2; the last line of $(log_file "$1"):" >&2
    tail -c +$((offsets[$1] + 1)) "$(log_file "$1")" | tail -n 1 >&2
    for i in "${starting[@]}"; do
        if pid=$(running_pid "$(pid_file "$i")"); then
            kill -KILL "$pid" 2>/dev/null || true
        fi
        rm -f "$(pid_file "$i")"
    done
    exit 1
}

is_ready() { grep -q "ready to serve client requests" < <(tail -c +$((offsets[$1] + 1)) "$(log_file "$1")"); }

# Everything is looked at before anything is started.
starting=()
offsets=()
for ((i = 0; i < SERVER_NODE_COUNT; i++)); do
    if pid=$(running_pid "$(pid_file "$i")"); then
        echo "$(member_name "$i") runs already (process $pid)"
        continue
    fi
    check_ports "$i"
    starting+=("$i")
done
echo "$cluster" >"$data_dir/cluster"
for i in ${starting[@]+"${starting[@]}"}; do
    touch "$(log_file "$i")"
    offsets[i]=$(stat -c %s "$(log_file "$i")")
    start_member "$i"
done
deadline=$((SECONDS + SERVER_START_TIMEOUT))
for i in ${starting[@]+"${starting[@]}"}; do
    until is_ready "$i"; do
        running_pid "$(pid_file "$i")" >/dev/null || give_up "$i" "$(member_name "$i") did not start"
        ((SECONDS < deadline)) || give_up "$i" "$(member_name "$i") does not serve after $SERVER_START_TIMEOUT s"
        sleep 0.05
    done
done

echo
echo "The cluster serves:"
for ((i = 0; i < SERVER_NODE_COUNT; i++)); do
    echo "  $(member_name "$i")   process $(running_pid "$(pid_file "$i")" || echo "has ended")   clients $(client_url "$i")   peers $(peer_url "$i")   log $(log_file "$i")"
done
cat <<END

What to type next:
  export ETCDCTL_API=3 ETCDCTL_ENDPOINTS=$(endpoints)
  etcdctl put greeting hello
  etcdctl get greeting
  etcdctl endpoint status -w table
  make client ARGS="get greeting"     the same with our own client
  make stop                           ends the members; \`make clean-data\` removes what they stored
END
