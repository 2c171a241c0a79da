# shellcheck shell=bash disable=SC2034,SC2153,SC2154
# Sourced by start_servers.sh, stop_servers.sh, status.sh, clean_data.sh and client.sh: the configuration of the local cluster, which the
# server program itself reads, and what they all must know about its processes. KVD_CONFIG names another configuration file, KVD_BINARY
# another server.

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." >/dev/null && pwd)
config=${KVD_CONFIG:-$root/config.env}
if [[ ! -e $config && -z ${KVD_CONFIG:-} ]]; then
    cp "$root/config.example.env" "$config"
    echo "made $config from config.example.env"
fi
if [[ ! -r $config ]]; then
    echo "cannot read the configuration $config" >&2
    exit 1
fi
[[ $config == /* ]] || config=$PWD/$config
binary=${KVD_BINARY:-$root/bin/kvd}
if [[ ! -x $binary ]]; then
    echo "there is no server program at $binary; \`make build\` makes it" >&2
    exit 1
fi
[[ $binary == /* ]] || binary=$PWD/$binary
# All settings as NAME='value', defaults included; or every mistake with its line, on stderr.
settings=$("$binary" --check-config "$config" --write-out env) || exit 1
eval "$settings"

data_dir=$SERVER_DATA_BASE_PATH
[[ $data_dir == /* ]] || data_dir=$root/$data_dir

[[ $SERVER_HOST == *:* ]] && url_host="[$SERVER_HOST]" || url_host=$SERVER_HOST
member_name() { echo "kvd$(($1 + 1))"; }
client_port() { echo $((SERVER_CLIENT_PORT_BASE + 10 * $1)); }
peer_port() { echo $((SERVER_PEER_PORT_BASE + 10 * $1)); }
client_url() { echo "http://$url_host:$(client_port "$1")"; }
peer_url() { echo "http://$url_host:$(peer_port "$1")"; }
log_file() { echo "$data_dir/$(member_name "$1").log"; }
pid_file() { echo "$data_dir/$(member_name "$1").pid"; }

endpoints() {
    local i list=
    for ((i = 0; i < SERVER_NODE_COUNT; i++)); do
        list+=${list:+,}$(client_url "$i")
    done
    echo "${CLIENT_SERVERS:-$list}"
}

# The start time of a process in clock ticks: with it a pid names one process, also after the number was used again.
start_time_of() {
    local line
    line=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    local fields
    # Fields are counted after the last ")": the name before it may hold anything.
    read -r -a fields <<<"${line##*)}"
    [[ ${fields[0]} != Z ]] || return 1 # ended, and its parent has not asked for it yet
    echo "${fields[19]}"
}

# Prints the pid of a member that was started by start_servers.sh and still runs.
running_pid() {
    local pid start
    [[ -r $1 ]] || return 1
    read -r pid start <"$1" || return 1
    [[ -n $pid && -n $start && "$(start_time_of "$pid")" == "$start" ]] || return 1
    echo "$pid"
}
