#!/usr/bin/env bash
# Do shells complete kvctl's and kvbench's words, and are the manual pages well formed? Both are what the programs write themselves.
set -euo pipefail
# shellcheck source=kvctl_lib.sh
. "$(dirname "$0")/kvctl_lib.sh"

# What a bash offers behind the words, sorted, on one line; the last word is the one that the cursor is in.
offered_by_bash() {
    bash --norc -c '
        . /dev/stdin
        COMP_WORDS=("$@")
        COMP_CWORD=$(($# - 1))
        _kvctl
        ((${#COMPREPLY[@]} == 0)) || printf "%s\n" "${COMPREPLY[@]}" | LC_ALL=C sort | paste -sd " "
    ' bash "$@" < <("$kvctl" completion bash)
}
offered_by_fish() {
    "$kvctl" completion fish >"$e2e_dir/kvctl.fish"
    HOME=$e2e_dir fish --no-config -c "source $e2e_dir/kvctl.fish; complete -C '$1'" | cut -f1 | LC_ALL=C sort | paste -sd ' '
}

bash_completes() {
    expect "a first word" "lease" offered_by_bash kvctl le
    expect "all that begin with a letter" "watch watchers" offered_by_bash kvctl w
    expect "a second word" "grant keep-alive list revoke timetolive" offered_by_bash kvctl lease ""
    expect "behind a flag and its value" "grant" offered_by_bash kvctl -w json --endpoints a:1 lease gr
    expect "behind a flag with =" "grant" offered_by_bash kvctl --endpoints = a:1 lease gr
    expect "a flag" "--prefix" offered_by_bash kvctl get a --pre
    expect "of two words" "--keys" offered_by_bash kvctl lease timetolive --keys
    expect "not another command's" "" offered_by_bash kvctl put --keys-on
    expect "a global one" "--endpoints" offered_by_bash kvctl get --end
    expect "a format" "json" offered_by_bash kvctl get a -w j
    expect "a format behind =" "fields json protobuf simple table" offered_by_bash kvctl get a --write-out =
    expect "an order" "DESCEND" offered_by_bash kvctl get a --order = D
    expect "a number is the user's" "" offered_by_bash kvctl get a --limit ""
    expect "help of a command" "grant" offered_by_bash kvctl help lease gr
    expect "a shell" "bash fish zsh" offered_by_bash kvctl completion ""
}

fish_completes() {
    expect "fish: a first word" "lease" offered_by_fish "kvctl lea"
    expect "fish: a second word" "grant keep-alive list revoke timetolive" offered_by_fish "kvctl lease "
    expect "fish: behind a flag and its value" "grant" offered_by_fish "kvctl -w json lease gr"
    expect "fish: a flag" "--prefix --prev-kv" offered_by_fish "kvctl del --pre"
    expect "fish: of two words" "--keys" offered_by_fish "kvctl lease timetolive --keys"
    expect "fish: not another command's" "" offered_by_fish "kvctl put --keys-on"
    expect "fish: a global one" "--endpoints" offered_by_fish "kvctl get --end"
    expect "fish: a format" "fields json protobuf simple table" offered_by_fish "kvctl -w "
    expect "fish: an order" "DESCEND" offered_by_fish "kvctl get a --order D"
    expect "fish: a shell" "bash fish zsh" offered_by_fish "kvctl completion "
}

# One zsh completes all lines, which is what takes time.
zsh_completes() {
    local names=("a first word" "a second word" "behind a flag and its value" "a flag" "of two words" "not another command's" "a global one"
        "a format" "a format behind =" "an order" "a number is the user's" "a shell")
    local lines=("kvctl lea" "kvctl lease " "kvctl -w json lease gr" "kvctl del --pre" "kvctl lease timetolive --keys" "kvctl put --keys-on"
        "kvctl get --end" "kvctl -w " "kvctl get a --write-out=" "kvctl get a --order D" "kvctl get a --limit " "kvctl completion ")
    local offers=("lease" "grant keep-alive list revoke timetolive" "grant" "--prefix --prev-kv" "--keys" "" "--endpoints"
        "fields json protobuf simple table" "fields json protobuf simple table" "DESCEND" "" "bash fish zsh") offered i
    mkdir "$e2e_dir/empty"
    mapfile -t offered < <(cd "$e2e_dir/empty" && timeout 60 zsh -f "$e2e_root/test/e2e/completion.zsh" "$e2e_dir/_kvctl" "$e2e_dir" "${lines[@]}")
    for i in "${!lines[@]}"; do
        expect "zsh: ${names[i]}" "${offers[i]}" echo "${offered[i]:-}"
    done
}

# The same of kvbench.
kvbench_in_bash() {
    bash --norc -c '
        . /dev/stdin
        COMP_WORDS=("$@")
        COMP_CWORD=$(($# - 1))
        _kvbench
        ((${#COMPREPLY[@]} == 0)) || printf "%s\n" "${COMPREPLY[@]}" | LC_ALL=C sort | paste -sd " "
    ' bash kvbench "$@" < <("$e2e_root/bin/kvbench" completion bash)
}
kvbench_completes() {
    expect "a workload" "watch watch-latency" kvbench_in_bash w
    expect "a comparison" "compare" kvbench_in_bash com
    expect "its workload" "put" kvbench_in_bash compare --a x=y:1 --rounds 3 pu
    expect "its flags and the workload's" "--rounds" kvbench_in_bash compare put --rou
    expect "a workload's flag" "--limit --live" kvbench_in_bash range --li
    expect "not another's" "" kvbench_in_bash put --lim
    expect "a format" "json" kvbench_in_bash put -w j
    expect "a distribution behind =" "latest uniform zipf" kvbench_in_bash put --dist =
    expect "a number is the user's" "" kvbench_in_bash put --clients ""
    "$e2e_root/bin/kvbench" completion bash >"$e2e_dir/kvbench.bash"
    expect "it is clean" "" shellcheck -s bash "$e2e_dir/kvbench.bash"
    "$e2e_root/bin/kvbench" completion fish >"$e2e_dir/kvbench.fish"
    expect "fish: a flag" "--limit --live" \
        bash -c "HOME=$e2e_dir fish --no-config -c 'source $e2e_dir/kvbench.fish; complete -C \"kvbench range --li\"' | cut -f1 | LC_ALL=C sort | paste -sd ' '"
}

others_parse() {
    "$kvctl" completion zsh >"$e2e_dir/_kvctl"
    expect "zsh reads it" "" zsh -n "$e2e_dir/_kvctl"
    expect "zsh runs it" "kvctl _kvctl" zsh -fc "autoload -U compinit; compinit -u -d $e2e_dir/dump; . $e2e_dir/_kvctl; echo kvctl \$_comps[kvctl]"
    expect "bash's is clean" "" shellcheck -s bash "$e2e_dir/kvctl.bash"
    ends_with 128 "bash, zsh or fish" completion tcsh
}

# Warnings of groff and mandoc but that the pages have no date: they are made anew with each build.
lint() {
    groff -man -ww -z -Tutf8 "$1" 2>&1
    mandoc -T lint -W warning "$1" | grep -v 'missing date' || true
}
pages_are_well_formed() {
    local page
    "$kvctl" man >"$e2e_dir/kvctl.1"
    expect "kvctl.1" "" lint "$e2e_dir/kvctl.1"
    for command in put "lease grant" "role grant-permission"; do
        expect_match "kvctl.1 tells of $command" "kvctl $command" man -l "$e2e_dir/kvctl.1"
    done
    expect_match "kvctl.1 tells of defaults" "for the whole command \(default 5s\)" man -l "$e2e_dir/kvctl.1"
    "$e2e_root/bin/kvd" --print man >"$e2e_dir/kvd.8"
    expect "kvd.8" "" lint "$e2e_dir/kvd.8"
    expect_match "kvd.8 tells of a flag" "--heartbeat-interval <ms>" man -l "$e2e_dir/kvd.8"
    "$e2e_root/bin/kvbench" man >"$e2e_dir/kvbench.1"
    expect "kvbench.1" "" lint "$e2e_dir/kvbench.1"
    for word in "watch-latency" "no coordinated|was due" "a-pids" "EXIT STATUS"; do
        expect_match "kvbench.1 tells of $word" "$word" man -l "$e2e_dir/kvbench.1"
    done
    for page in readwal readstate readsnapshot readpb; do
        "$e2e_root/bin/$page" --help | awk -f "$e2e_root/cmake/help_to_man.awk" >"$e2e_dir/$page.1"
        expect "$page.1" "" lint "$e2e_dir/$page.1"
    done
    expect_match "a tool's examples stay as they are" "readwal --json /var/lib/kvd \\| jq -r 'select" man -l "$e2e_dir/readwal.1"
}

"$kvctl" completion bash >"$e2e_dir/kvctl.bash"
bash_completes
fish_completes
kvbench_completes
others_parse
zsh_completes
pages_are_well_formed
