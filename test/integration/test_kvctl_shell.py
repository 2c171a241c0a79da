#!/usr/bin/python3
"""kvctl's interactive mode, as a person sees it: keys go to a terminal (tmux's), and its screen is compared with golden text.

A step is typed when the screen's last line is what the step before is awaited to leave: nothing is typed ahead, so that the screen
is the same however slow the machine is. Ids of leases read ID.
"""

import os
import re
import signal
import subprocess

from kvtest import ROOT, Cluster, check, clean_environment, main, rpc, wait_until

BUDGET_S = 30
KVCTL = os.environ.get("KVCTL_BINARY", os.path.join(ROOT, "bin", "kvctl"))
ENTER, TAB, INTERRUPT, END, UP = "Enter", "Tab", "C-c", "C-d", "Up"


class Terminal:
    """A terminal of 80 columns with one kvctl in it."""
    count = 0

    def __init__(self, cluster, *words):
        Terminal.count += 1 # a server that was just ended may still be at the last one's socket
        self.socket = os.path.join(cluster.directory, "tmux%d" % Terminal.count)
        environment = clean_environment(CLIENT_HISTORY_DIR=os.path.join(cluster.directory, "history"), LANG="C.UTF-8", TERM="xterm")
        environment.pop("TMUX", None)
        self.tmux = ["tmux", "-S", self.socket, "-f", "/dev/null"]
        words = [KVCTL, "--endpoints", cluster.members[0].target] + list(words)
        # The shell stays, so that the screen can be read when kvctl has left.
        subprocess.run(self.tmux + ["new-session", "-d", "-x", "80", "-y", "200", " ".join(words) + "; echo left with $?; read nothing"],
                       env=environment, cwd=cluster.directory, check=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(self.tmux + ["kill-server"], check=False)

    def screen(self):
        done = subprocess.run(self.tmux + ["capture-pane", "-p"], capture_output=True, check=True)
        lines = [re.sub(r"\b[0-9a-f]{13,16}\b", "ID", line.rstrip()) for line in done.stdout.decode().rstrip("\n").split("\n")]
        return lines

    def wait(self, last, what):
        """Until the last line is that."""
        try:
            wait_until(lambda: self.screen()[-1] == last, 10, "after %s the last line is %r" % (what, last))
        except AssertionError:
            raise AssertionError("after %s the last line is not %r:\n%s" % (what, last, "\n".join(self.screen())))

    def type(self, text, last):
        subprocess.run(self.tmux + ["send-keys", "-l", "--", text], check=True)
        self.wait(last, text)

    def press(self, key, last):
        subprocess.run(self.tmux + ["send-keys", key], check=True)
        self.wait(last, key)

    def run(self, prompt, text, last):
        self.type(text, prompt + text)
        self.press(ENTER, last)

    def start(self):
        """A command that prints nothing yet."""
        subprocess.run(self.tmux + ["send-keys", ENTER], check=True)
        where = self.tmux + ["display-message", "-p", "#{cursor_x}"]
        wait_until(lambda: subprocess.run(where, capture_output=True, check=True).stdout == b"0\n", 5, "the line is taken")

    def enter(self):
        subprocess.run(self.tmux + ["send-keys", ENTER], check=True)
        return self.screen()

    def kvctl(self):
        pane = subprocess.run(self.tmux + ["list-panes", "-F", "#{pane_pid}"], capture_output=True, check=True).stdout.decode().strip()
        return int(subprocess.run(["pgrep", "-P", pane], capture_output=True, check=True).stdout.split()[0])


def same(terminal, golden):
    seen, wanted = terminal.screen(), [line.rstrip() for line in golden.strip("\n").split("\n")]
    first = next((i for i, pair in enumerate(zip(seen, wanted)) if pair[0] != pair[1]), min(len(seen), len(wanted)))
    check(seen == wanted, "the screen differs from line %d on:\n%s", first, "\n".join(seen))


COMMANDS = r"""
kvctl 0.1.0. HELP tells what there is, Ctrl-D leaves.
m0@1> PUT greeting "hello world"
OK
m0@2> Get greeting
greeting
hello world
m0@2> put 'with space' $'h\xc3\xa4llo' --prev-kv
OK
m0@3> get "with space" -w json | cat
Error: get command needs one argument as key and an optional argument as range_e
nd
m0@3> set a b
Error: unknown command "set" for "kvctl"; did you mean "put"?
Run 'kvctl --help' for usage.
m0@3> 'open
Error: a quote is not closed
m0@3> # a comment
m0@3> put esc $'\x1b[31m\nred\x7f'
OK
m0@4> get esc
esc
$'\x1b[31m\x0ared\x7f'
m0@4> LEASE GRANT 100
lease ID granted with TTL(100s)
m0@4> history greeting
2 PUT
greeting
hello world
m0@4> help lease list
lease list - List all active leases

Usage:
  kvctl lease list [flags]

Examples:
  kvctl lease list

Global options: see kvctl --help.
m0@4> history greeting
2 PUT
greeting
hello world
m0@4> half a line^C
m0@4> ^C
m0@4> exit
left with 0
"""


def test_commands_and_their_history():
    with Cluster(1) as cluster, Terminal(cluster) as terminal:
        at1, at2, at3 = "m0@1> ", "m0@2> ", "m0@3> "
        terminal.wait(at1.rstrip(), "the start")
        terminal.run(at1, 'PUT greeting "hello world"', at2.rstrip())
        terminal.run(at2, "Get greeting", at2.rstrip())
        terminal.run(at2, r"put 'with space' $'h\xc3\xa4llo' --prev-kv", at3.rstrip())
        for line in ('get "with space" -w json | cat', "set a b", "'open", "# a comment"):
            terminal.run(at3, line, at3.rstrip())
        terminal.run(at3, r"put esc $'\x1b[31m\nred\x7f'", "m0@4>")
        at3 = "m0@4> "
        for line in ("get esc", "LEASE GRANT 100", "history greeting", "help lease list"):
            terminal.run(at3, line, at3.rstrip())
        terminal.press(UP, at3 + "help lease list")
        terminal.press(UP, at3 + "history greeting")
        terminal.press(ENTER, at3.rstrip())
        terminal.type("half a line", at3 + "half a line")
        terminal.press(INTERRUPT, at3.rstrip())
        terminal.press(INTERRUPT, at3.rstrip())
        terminal.type("exit", at3 + "exit")
        terminal.press(ENTER, "left with 0")
        same(terminal, COMMANDS)
        path = os.path.join(cluster.directory, "history", "kvcli_history")
        check(os.stat(path).st_mode & 0o777 == 0o600, "others may read the history")
    with Cluster(1) as cluster:
        os.mkdir(os.path.join(cluster.directory, "history"))
        with Terminal(cluster) as terminal:
            terminal.wait("m0@1>", "the start")
            terminal.run("m0@1> ", "get first", "m0@1>")
            terminal.press(END, "left with 0")
        with Terminal(cluster) as terminal:
            terminal.wait("m0@1>", "the start")
            terminal.press(UP, "m0@1> get first")


TXN = """
kvctl 0.1.0. HELP tells what there is, Ctrl-D leaves.
m0@1> put k five
OK
m0@2> TXN
   if> IF mod("k") = "2"
   if> value("k") is "five"
Error: invalid txn compare request: value("k") is "five"
It should look like mod("key") > "0"; also value, version, create, lease, and =
!= <.
   if> VALUE("k") = "five"
   if> then
 then> PUT k new
 then> put k
Error: put command needs 1 argument and input from stdin or 2 arguments
 then> get k --print-value-only
 then> ELSE
 else> get k
 else> END
SUCCESS

OK

k
new
m0@3> txn
   if> mod("k") = "2"
   if> then
 then> put k other
 then> else
 else> get k
 else> end
FAILURE

k
new
m0@3> TXN
   if> then
 then> put k lost
 then> ^C
the transaction is given up
m0@3> get k
k
new
m0@3>
"""


def test_a_transaction_over_several_lines():
    with Cluster(1) as cluster, Terminal(cluster) as terminal:
        terminal.wait("m0@1>", "the start")
        terminal.run("m0@1> ", "put k five", "m0@2>")
        steps = [("m0@2> ", "TXN"), ("   if> ", 'IF mod("k") = "2"'), ("   if> ", 'value("k") is "five"'), ("   if> ", 'VALUE("k") = "five"'), ("   if> ", "then"),
                 (" then> ", "PUT k new"), (" then> ", "put k"), (" then> ", "get k --print-value-only"), (" then> ", "ELSE"), (" else> ", "get k"),
                 (" else> ", "END"), ("m0@3> ", "txn"), ("   if> ", 'mod("k") = "2"'), ("   if> ", "then"), (" then> ", "put k other"), (" then> ", "else"),
                 (" else> ", "get k"), (" else> ", "end"), ("m0@3> ", "TXN"), ("   if> ", "then"), (" then> ", "put k lost"), (" then> ", None)]
        for (prompt, text), (following, _) in zip(steps, steps[1:]):
            terminal.run(prompt, text, following.rstrip())
        terminal.press(INTERRUPT, "m0@3>")
        terminal.run("m0@3> ", "get k", "m0@3>")
        same(terminal, TXN)


WATCH = """
kvctl 0.1.0. HELP tells what there is, Ctrl-D leaves.
m0@1> watch --prefix jobs/ --prev-kv
watch 1; UNWATCH 1 ends it
m0@1> watch other
watch 2; UNWATCH 2 ends it
m0@1> WATCHES
1  --prefix jobs/ --prev-kv
2  other
PUT
jobs/1
open
PUT
jobs/1
open
jobs/1
done
PUT
other
x
m0@1> get jobs/1 --print-value-only
done
m0@4> unwatch 1
watch 1 of --prefix jobs/ --prev-kv ended
m0@4> ^C
watch 2 of other ended
m0@5> watch past --rev 2
watch 3; UNWATCH 3 ends it
watch 3 was canceled (required revision has been compacted)
m0@5> lock mine
mine/ID

m0@7> get mine --prefix
m0@7> ^D
left with 0
"""


def test_watches_print_while_one_types_and_interrupts_end_commands():
    with Cluster(1) as cluster, Terminal(cluster) as terminal:
        client = cluster.members[0].client
        terminal.wait("m0@1>", "the start")
        terminal.run("m0@1> ", "watch --prefix jobs/ --prev-kv", "m0@1>")
        terminal.run("m0@1> ", "watch other", "m0@1>")
        terminal.run("m0@1> ", "WATCHES", "m0@1>")
        terminal.type("get jobs", "m0@1> get jobs")
        for key, value in ((b"jobs/1", b"open"), (b"jobs/1", b"done"), (b"other", b"x")):
            client.put(key, value)
            wait_until(lambda wanted=value.decode(): wanted in terminal.screen() and terminal.screen()[-1] == "m0@1> get jobs", 5, "the event is seen, and the line again")
        terminal.type("/1 --print-value-only", "m0@1> get jobs/1 --print-value-only")
        terminal.press(ENTER, "m0@4>")
        terminal.run("m0@4> ", "unwatch 1", "m0@4>")
        client.put(b"jobs/2", b"nobody looks")
        terminal.press(INTERRUPT, "m0@5>")
        client.call("Compact", rpc.CompactionRequest(revision=4))
        terminal.type("watch past --rev 2", "m0@5> watch past --rev 2")
        subprocess.run(terminal.tmux + ["send-keys", ENTER], check=True)
        wait_until(lambda: any("compacted" in line for line in terminal.screen()) and terminal.screen()[-1] == "m0@5>", 5, "the watch's end is told")
        terminal.type("lock mine", "m0@5> lock mine")
        terminal.press(ENTER, "mine/ID")
        terminal.press(INTERRUPT, "m0@7>")
        terminal.run("m0@7> ", "get mine --prefix", "m0@7>")
        terminal.press(END, "left with 0")
        same(terminal, WATCH)


COMPLETION = """
kvctl 0.1.0. HELP tells what there is, Ctrl-D leaves.
m0@3> lease timetolive --keys 1
lease ID already expired
m0@3> watch
watch     watchers  watches
m0@3> watch users/
users/alice  'users/b c'
m0@3> watch users/alice ^C
m0@3> get 'users/b c' --print-value-only
2
m0@3> endpoint status -w
fields  json    simple  table
m0@3> endpoint status -w ^C
m0@3>
"""


def test_completion_of_commands_flags_and_keys():
    with Cluster(1) as cluster:
        cluster.members[0].client.put(b"users/alice", b"1")
        cluster.members[0].client.put(b"users/b c", b"2")
        with Terminal(cluster) as terminal:
            prompt = "m0@3> "
            terminal.wait("m0@3>", "the start")
            terminal.type("lea", prompt + "lea")
            terminal.press(TAB, prompt + "lease")
            terminal.type("t", prompt + "lease t")
            terminal.press(TAB, prompt + "lease timetolive")
            terminal.type("--k", prompt + "lease timetolive --k")
            terminal.press(TAB, prompt + "lease timetolive --ke")
            terminal.type("ys", prompt + "lease timetolive --keys")
            terminal.press(TAB, prompt + "lease timetolive --keys")
            terminal.type("1", prompt + "lease timetolive --keys 1")
            terminal.press(ENTER, prompt.rstrip())
            terminal.type("W", prompt + "W")
            terminal.press(TAB, prompt + "watch")
            terminal.press(TAB, prompt + "watch")
            terminal.type(" u", prompt + "watch u")
            terminal.press(TAB, prompt + "watch users/")
            terminal.press(TAB, prompt + "watch users/")
            terminal.type("a", prompt + "watch users/a")
            terminal.press(TAB, prompt + "watch users/alice")
            terminal.press(INTERRUPT, prompt.rstrip())
            terminal.type("get users/b", prompt + "get users/b")
            terminal.press(TAB, prompt + "get 'users/b c'")
            terminal.type("--print-v", prompt + "get 'users/b c' --print-v")
            terminal.press(TAB, prompt + "get 'users/b c' --print-value-only")
            terminal.press(ENTER, prompt.rstrip())
            terminal.type("endpoint status -w ", prompt + "endpoint status -w")
            terminal.press(TAB, prompt + "endpoint status -w")
            terminal.press(INTERRUPT, prompt.rstrip())
            same(terminal, COMPLETION)


def test_signals_and_a_cluster_that_is_away():
    with Cluster(1) as cluster, Terminal(cluster) as terminal:
        terminal.wait("m0@1>", "the start")
        cluster.members[0].kill()
        terminal.run("m0@1> ", "# nothing", "unreachable>")
        terminal.type("get k --dial-timeout 60s --command-timeout 60s", "unreachable> get k --dial-timeout 60s --command-timeout 60s")
        terminal.start()
        terminal.press(INTERRUPT, "unreachable>")
        check(any("interrupted" in line for line in terminal.screen()), "%s", terminal.screen())
        cluster.members[0].start()
        wait_until(lambda: terminal.enter()[-1] == "m0@1>", 20, "a prompt that knows the leader", 0.6)
        os.kill(terminal.kvctl(), signal.SIGTERM)
        wait_until(lambda: terminal.screen()[-1] == "left with 143", 5, "SIGTERM ends it")


if __name__ == "__main__":
    main(globals(), BUDGET_S)
