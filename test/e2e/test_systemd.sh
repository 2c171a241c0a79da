#!/usr/bin/env bash
# Are the units what systemd takes, is what they leave open little, and does the member live in what they leave? Without a systemd that runs:
# systemd-analyze reads them, with the built program in the place of the installed one; the system calls and the memory of a member that serves
# are held against the filter, and a /proc like the unit's is put before it.
set -euo pipefail
# shellcheck source=e2e_lib.sh
. "$(dirname "$0")/e2e_lib.sh"
systemd=$e2e_root/scripts/systemd
kvd=$e2e_root/bin/kvd
kvctl=$e2e_root/bin/kvctl
unset ETCDCTL_ENDPOINTS KVCTL_ENDPOINTS
member=

finish() {
    local status=$?
    [[ -z $member ]] || kill -KILL "$member" 2>/dev/null || true
    (exit "$status")
    e2e_finish
}
trap finish EXIT

if ! command -v systemd-analyze >/dev/null; then
    e2e_skip "the units" "systemd-analyze is not installed"
    e2e_pass
    exit 0
fi

stage() {
    local unit
    mkdir "$e2e_dir/units"
    for unit in kvd.service kvd@.service; do
        sed "s|/usr/local/bin/kvd|$kvd|" "$systemd/$unit" >"$e2e_dir/units/$unit"
    done
    ln -s kvd@.service "$e2e_dir/units/kvd@1.service"
    cd "$e2e_dir/units"
}

units_are_good() {
    local unit
    stage
    for unit in kvd.service kvd@1.service; do
        expect "$unit: systemd-analyze verify" "" systemd-analyze verify --man=no "./$unit"
        expect_match "$unit: exposed to 2.0 at most" 'Overall exposure level' systemd-analyze security --offline=yes --threshold=20 --no-pager "./$unit"
    done
    expect "a mistake in a unit would be seen" "" refuses_a_mistake
    expect "the two units leave the same open" "" diff <(sed -n '/^User=/,/^$/p; /^# What it cannot/,/^$/p' kvd.service) \
        <(sed -n '/^User=/,/^$/p; /^# What it cannot/,/^$/p' kvd@.service)
    cd "$e2e_dir"
}

refuses_a_mistake() {
    sed 's/^WatchdogSec=30/WatchdogSec=often/' kvd.service >wrong.service
    systemd-analyze verify --man=no ./wrong.service 2>&1 | grep -q "Failed to parse .*often" || echo "no word of it"
}

users_and_places_are_made() {
    local root=$e2e_dir/root
    mkdir -p "$root/etc" "$root/usr/lib/sysusers.d" "$root/usr/lib/tmpfiles.d"
    cp "$systemd/kvd.sysusers" "$root/usr/lib/sysusers.d/kvd.conf"
    cp "$systemd/kvd.tmpfiles" "$root/usr/lib/tmpfiles.d/kvd.conf"
    if ((EUID != 0)); then
        e2e_skip "users and places" "only root may make them"
        return
    fi
    systemd-sysusers --root="$root" kvd.conf >"$e2e_dir/out" 2>&1 || cat "$e2e_dir/out"
    expect_match "the user of the units" '^kvd:' cat "$root/etc/passwd"
    expect "the directories" "" systemd-tmpfiles --root="$root" --create kvd.conf
    expect "belong to it alone" "$(grep '^kvd:' "$root/etc/passwd" | cut -d: -f3) 700" stat -c '%u %a' "$root/var/lib/kvd-nodes"
}

# A member under COMMAND..., which runs it as its child; put to, got from and ended.
live_under() {
    local port i child
    port=$(e2e_free_ports)
    rm -rf "$e2e_dir/lived"
    "$@" "$kvd" --name a --data-dir "$e2e_dir/lived" --listen-client-urls "http://127.0.0.1:$port" --advertise-client-urls "http://127.0.0.1:$port" \
        --listen-peer-urls "http://127.0.0.1:$((port + 1))" --initial-advertise-peer-urls "http://127.0.0.1:$((port + 1))" --snapshot-count 1 \
        >"$e2e_dir/lived.log" 2>&1 </dev/null &
    member=$!
    for ((i = 0; i < 200; i++)); do
        grep -q "ready to serve" "$e2e_dir/lived.log" && break
        sleep 0.1
    done
    "$kvctl" --endpoints "127.0.0.1:$port" put a b
    "$kvctl" --endpoints "127.0.0.1:$port" snapshot save "$e2e_dir/lived.db" >/dev/null 2>&1 || echo "no snapshot"
    read -r child _ <"/proc/$member/task/$member/children" # of strace or unshare
    kill -TERM "$child"
    wait "$member" || { echo "it ended with $?" && tail -n 3 "$e2e_dir/lived.log"; }
    member=
}

allowed_calls() {
    systemd-analyze syscall-filter "$1" | sed 's/#.*//' | tr -d ' ' | grep . | while read -r word; do
        case $word in
            "$1") ;;
            @*) allowed_calls "$word" ;;
            *) echo "$word" ;;
        esac
    done
}

# What a member calls, and may not.
calls_beyond_the_filter() {
    local call
    allowed_calls @system-service | sort -u >"$e2e_dir/allowed"
    allowed_calls @privileged | sort -u >"$e2e_dir/privileged"
    sed -nE 's/^[0-9]+ +([a-z_0-9]+)\(.*/\1/p' "$e2e_dir/strace" | sort -u >"$e2e_dir/called"
    (($(wc -l <"$e2e_dir/called") > 20)) || echo "hardly anything was called"
    while read -r call; do
        [[ $call != execve ]] || continue
        grep -qx "$call" "$e2e_dir/allowed" && ! grep -qx "$call" "$e2e_dir/privileged" || echo "$call"
    done <"$e2e_dir/called"
    grep -E 'PROT_WRITE\|PROT_EXEC|socket\(AF_(NETLINK|PACKET)' "$e2e_dir/strace" | head -n 3 || true
}

lives_in_what_is_left() {
    if ! command -v strace >/dev/null; then
        e2e_skip "the filter of system calls" "strace is not installed"
    else
        expect "a member that is looked at" OK live_under strace -f -qq -o "$e2e_dir/strace"
        expect "calls nothing that the units forbid" "" calls_beyond_the_filter
    fi
    if ((EUID != 0)) || ! unshare --mount --pid --fork true 2>/dev/null; then
        e2e_skip "ProcSubset=pid" "namespaces are for root only here"
        return
    fi
    # shellcheck disable=SC2016 # $@ is the inner shell's
    expect "a member that sees nothing but processes in /proc" OK live_under unshare --mount --pid --fork --kill-child \
        sh -c 'mount -t proc -o subset=pid,hidepid=invisible proc /proc && ! test -e /proc/meminfo && exec "$@"' sh
}

units_are_good
users_and_places_are_made
lives_in_what_is_left
