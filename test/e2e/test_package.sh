#!/usr/bin/env bash
# What do the Debian packages install, and does it work? They are made of the build that is there; dpkg installs, upgrades, removes and purges
# them in a directory of its own; a member is started from it with the package's settings, and its kvctl puts and gets.
set -euo pipefail
# shellcheck source=e2e_lib.sh
. "$(dirname "$0")/e2e_lib.sh"
root=$e2e_dir/root
member=

finish() {
    local status=$?
    if [[ -n $member ]]; then
        kill -KILL "$member" 2>/dev/null || true
    fi
    (exit "$status")
    e2e_finish
}
trap finish EXIT

make_packages() {
    cpack --config "$e2e_root/build/release/CPackConfig.cmake" -B "$e2e_dir/package" >"$e2e_dir/cpack.out" 2>&1 || {
        cat "$e2e_dir/cpack.out"
        return 1
    }
    rm -rf "$e2e_dir/package/_CPack_Packages"
    kvd_deb=$(echo "$e2e_dir"/package/kvd_*.deb)
    kvctl_deb=$(echo "$e2e_dir"/package/kvctl_*.deb)
    library_deb=$(echo "$e2e_dir"/package/libkvd-client0_*.deb)
    development_deb=$(echo "$e2e_dir"/package/libkvd-client-dev_*.deb)
}

field() { dpkg-deb -f "$1" "$2"; }
files_of() { dpkg-deb -c "$1" | awk '$1 !~ /^d/ { print substr($6, 2) }' | LC_ALL=C sort; }
modes_of() { dpkg-deb -c "$1" | awk '{ print $1, $2 }' | LC_ALL=C sort -u; }

says_what_it_is() {
    local deb
    for deb in "$kvd_deb" "$kvctl_deb"; do
        expect "the program's version" "$("$e2e_root/bin/kvctl" version | sed -n 's/^kvctl version: //p')" field "$deb" Version
        expect_match "libraries by dpkg-shlibdeps" 'libc6 \(>= [0-9.]+\).*libssl3' field "$deb" Depends
        expect "owners and modes" $'-rw-r--r-- root/root\n-rwxr-xr-x root/root\ndrwxr-xr-x root/root' modes_of "$deb"
    done
    expect_match "the server has libsystemd's words" 'libsystemd0' field "$kvd_deb" Depends
    expect "the files of kvd" "/etc/kvd/config.env
/etc/kvd/kvd.env
/usr/bin/kvd
/usr/bin/readpb
/usr/bin/readsnapshot
/usr/bin/readstate
/usr/bin/readwal
/usr/lib/systemd/system/kvd.service
/usr/lib/systemd/system/kvd@.service
/usr/lib/sysusers.d/kvd.conf
/usr/lib/tmpfiles.d/kvd.conf
/usr/share/doc/kvd/ARCHITECTURE.md
/usr/share/doc/kvd/CHANGELOG.md
/usr/share/doc/kvd/README.md
/usr/share/doc/kvd/changelog.gz
/usr/share/doc/kvd/copyright
/usr/share/doc/kvd/docs/benchmark.md
/usr/share/doc/kvd/docs/clients.md
/usr/share/doc/kvd/docs/configuration.md
/usr/share/doc/kvd/docs/formats.md
/usr/share/doc/kvd/docs/kvctl.md
/usr/share/doc/kvd/docs/operations.md
/usr/share/doc/kvd/docs/wire.md
/usr/share/man/man1/readpb.1.gz
/usr/share/man/man1/readsnapshot.1.gz
/usr/share/man/man1/readstate.1.gz
/usr/share/man/man1/readwal.1.gz
/usr/share/man/man8/kvd.8.gz" files_of "$kvd_deb"
    expect "the files of kvctl" "/usr/bin/kvbench
/usr/bin/kvctl
/usr/share/bash-completion/completions/kvbench
/usr/share/bash-completion/completions/kvctl
/usr/share/doc/kvctl/changelog.gz
/usr/share/doc/kvctl/copyright
/usr/share/fish/vendor_completions.d/kvbench.fish
/usr/share/fish/vendor_completions.d/kvctl.fish
/usr/share/man/man1/kvbench.1.gz
/usr/share/man/man1/kvctl.1.gz
/usr/share/zsh/vendor-completions/_kvctl" files_of "$kvctl_deb"
    expect "the files of libkvd-client0" "/usr/lib/libkvd-client.so.0
/usr/lib/libkvd-client.so.0.1.0
/usr/share/doc/libkvd-client0/changelog.gz
/usr/share/doc/libkvd-client0/copyright" files_of "$library_deb"
    expect_match "which is over the system's gRPC" 'libgrpc29 ' field "$library_deb" Depends
    expect "the files of libkvd-client-dev" "/usr/include/kvd/client.h
/usr/lib/libkvd-client.a
/usr/lib/libkvd-client.so
/usr/lib/pkgconfig/kvd-client.pc
/usr/share/doc/libkvd-client-dev/changelog.gz
/usr/share/doc/libkvd-client-dev/copyright" files_of "$development_deb"
    expect "which is of one library" "libkvd-client0 (= $(field "$library_deb" Version))" field "$development_deb" Depends
}

# dpkg's scripts work on a directory when they find DPKG_ROOT. What is needed of libraries is here already.
install_with() { dpkg --root="$root" --force-script-chrootless --force-depends --log=/dev/null "$@"; }
user_line() { cut -d: -f1,6 "$root/etc/passwd" | grep kvd; }
is_there() { [[ -e $root$1 ]] && echo there || echo gone; }
enabled() { find "$root/etc" -path "*/systemd/*" -type l; }

installs() {
    mkdir -p "$root/var/lib/dpkg" "$root/etc"
    touch "$root/var/lib/dpkg/status"
    expect_match "dpkg installs both" 'Setting up kvd' install_with -i "$kvd_deb" "$kvctl_deb"
    expect "a user" kvd:/var/lib/kvd user_line
    expect "no unit is enabled" "" enabled
    expect_match "the unit names the program" '^ExecStart=/usr/bin/kvd' cat "$root/usr/lib/systemd/system/kvd.service"
}

# The settings as they are installed, on other ports; the directory is the unit's StateDirectory.
serves() {
    local port url code=0
    port=$(e2e_free_ports)
    url=http://127.0.0.1:$port
    sed -n 's/^Environment=//p' "$root/usr/lib/systemd/system/kvd.service" | sed "s#/var/lib#$root/var/lib#" >"$e2e_dir/unit.env"
    mkdir -p "$root/var/lib"
    (
        set -a
        # shellcheck disable=SC1090,SC1091
        . "$root/etc/kvd/kvd.env"
        # shellcheck disable=SC1090,SC1091
        . "$e2e_dir/unit.env"
        exec "$root/usr/bin/kvd" --listen-client-urls "$url" --advertise-client-urls "$url" \
            --listen-peer-urls "http://127.0.0.1:$((port + 1))" --initial-advertise-peer-urls "http://127.0.0.1:$((port + 1))"
    ) >"$e2e_dir/kvd.log" 2>&1 &
    member=$!
    for ((i = 0; i < 200; i++)); do
        ! grep -q "ready to serve client requests" "$e2e_dir/kvd.log" 2>/dev/null || break
        sleep 0.05
    done
    expect "put" OK "$root/usr/bin/kvctl" --endpoints "$url" put greeting hello
    expect "get" $'greeting\nhello' "$root/usr/bin/kvctl" --endpoints "$url" get greeting
    kill -TERM "$member"
    wait "$member" || code=$?
    member=
    expect "the member ends with" 0 echo "$code"
    expect_match "the tools read what it left" 'verdict' "$root/usr/bin/readstate" "$root/var/lib/kvd"
}

# An upgrade keeps what was edited; what members stored stays even when all else goes.
upgrades_and_goes() {
    local env=$root/etc/kvd/kvd.env
    echo 'ETCD_NAME=mine' >>"$env"
    expect_match "the same again" 'Unpacking kvd .* over' install_with -i "$kvd_deb"
    expect "keeps the settings" ETCD_NAME=mine tail -n 1 "$env"
    expect_match "remove" 'Removing kvd' install_with -r kvd
    expect "keeps the settings" there is_there /etc/kvd/kvd.env
    expect "takes the program" gone is_there /usr/bin/kvd
    expect_match "purge says what it leaves" "var/lib/kvd still holds data" install_with -P kvd
    expect "takes the settings" gone is_there /etc/kvd/kvd.env
    expect "leaves the data" there is_there /var/lib/kvd/identity
}

make_packages
says_what_it_is
if ((EUID == 0)); then
    installs
else
    e2e_skip "dpkg" "installs as root only; the packages are unpacked"
    dpkg-deb -x "$kvd_deb" "$root"
    dpkg-deb -x "$kvctl_deb" "$root"
fi
serves
if ((EUID == 0)); then
    upgrades_and_goes
fi
