#!/usr/bin/env -S zsh -f
# What a zsh offers for each LINE, the cursor being at its end: one line of sorted words each, as typed into an interactive zsh behind a
# pseudo-terminal. `compadd`, through which every completion adds what it offers, is asked there for what fits.
#
#     zsh -f completion.zsh COMPLETION DIRECTORY LINE...
zmodload zsh/zpty
completion=$1 directory=$2
shift 2
offers=$directory/zsh.offers
cat >$directory/zsh.setup <<SETUP
PS1= PS2= HISTFILE= LISTMAX=10000
stty rows 100 columns 200 # else it asks before it shows a list
autoload -U compinit
compinit -u -d $directory/zsh.dump
. $completion
compadd() {
    local -a fitting
    builtin compadd -A fitting "\$@"
    print -rl -- \$fitting >>$offers
    builtin compadd "\$@"
}
offer() {
    zle list-choices
    zle kill-whole-line
    print that-is-all
}
zle -N offer
bindkey '^I' offer
zle-line-init() { print that-is-all; } # from now on one can type
zle -N zle-line-init
SETUP
zpty shell zsh -f -i
zpty -w shell ". $directory/zsh.setup"
zpty -r -m shell shown '*that-is-all*' || exit 1
for line; do
    : >$offers
    zpty -w -n shell "$line"$'\t'
    zpty -r -m shell shown '*that-is-all*' || exit 1
    print -r -- ${(ou)${(f)"$(<$offers)"}}
done
zpty -d shell
