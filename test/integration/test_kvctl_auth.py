#!/usr/bin/python3
"""Users, roles and tokens: does kvctl print what Debian's etcdctl 3.4 prints (ctl_sides.py), and does it get a token, carry one of one's own,
and ask for a password? A kvd has no such calls yet: etcdctl prints gRPC's error, kvctl one line with the server's words and exits with 4.
"""

import os
import pty
import select
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor

from ctl_sides import KVCTL, Side, compare_on, kvctl
from kvtest import REFERENCE_BINARY, Cluster, check, clean_environment, main, needs_kvd, rpc, wait_until

BUDGET_S = 30
CHEAP = ["--bcrypt-cost", "4"]    # a password is looked at in a millisecond; by default a tenth of a second
# What only the etcd has: kvctl and etcdctl on etcds.
AUTH = [
    "role add r1", "role add r1", "role grant-permission r1 read a b", "role grant-permission r1 readwrite p/ --prefix",
    "role grant-permission r1 write z --from-key", "role grant-permission r1 write q", "role grant-permission r1 other q", "role get r1", "role get none",
    "role list", "user add u1:secret", "user add u2 --no-password", "user add u1:x", ("user add --interactive=false u3", "password\n"), "user list",
    "user grant-role u1 r1", "user get u1", "user get u1 --detail", "user revoke-role u1 r1", "user get none", ("user passwd --interactive=false u1", "new\n"),
    "user delete u2", "role revoke-permission r1 a b", "role revoke-permission r1 p/ --prefix", "role revoke-permission r1 z --from-key",
    "role revoke-permission r1 q", "role delete r1", "auth enable", "auth disable", "user add", "role grant-permission r1", "auth enable x",
    "member remove 1", "member remove zz", "member promote 1", "member add x", "member update 1",
]
AUTH_PROTOBUF = [
    "role add r1", "role grant-permission r1 readwrite p/ --prefix", "role get r1", "role list", "user add u1:secret", "user add u1:x",
    "user grant-role u1 r1", "user list", "user get u1", ("user passwd --interactive=false u1", "new\n"),
    "user revoke-role u1 r1", "user delete u1", "role revoke-permission r1 p/ --prefix", "role delete r1",
]


def test_etcdctl_and_kvctl_print_the_same_of_users_and_roles():
    runs = compare_on([REFERENCE_BINARY] * 2, ["etcdctl", KVCTL], [(AUTH, ["simple", "json"]), (AUTH_PROTOBUF, ["protobuf"])], CHEAP)
    print("    %d outputs of kvctl are etcdctl's, in simple, json and protobuf" % runs)


def test_what_the_server_has_not_is_said_in_its_words():
    needs_kvd("a server without authentication")
    with Cluster(1) as cluster, ThreadPoolExecutor(4) as pool:
        lines = [one if isinstance(one, tuple) else (one, "") for one in AUTH]
        for line, (code, out, error) in zip(lines, pool.map(lambda one: Side(KVCTL, cluster.members[0]).run(*one, "simple"), lines)):
            is_mistake = code == 128
            check(is_mistake or code == 4 and out == "" and "has no such call: " in error, "%s: %s %s %s", line, code, out, error)


def typed(member, words, answer, question=": "):
    """kvctl on a terminal: what it shows until it asks, and all that it shows afterwards."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(KVCTL, [KVCTL, "--endpoints", member.target] + words, clean_environment())
    shown = [b"", b""]
    try:
        while not shown[0].endswith(question.encode()):
            shown[0] += os.read(terminal, 1)
        os.write(terminal, answer)
        while True:
            shown[1] += os.read(terminal, 4096)
    except OSError: # it has ended
        return shown[0].decode(), shown[1].decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        os.close(terminal)


def token_of(member, name, password):
    return member.client.call("Authenticate", rpc.AuthenticateRequest(name=name, password=password)).token


def test_a_token_of_ones_own_is_carried_and_no_other_is_asked_for():
    with Cluster(1, binary=REFERENCE_BINARY, flags=CHEAP) as cluster:
        member = cluster.members[0]
        for line in ("user add root:top", "user add u:p", "role add r", "role grant-permission r readwrite p/ --prefix", "user grant-role u r", "auth enable"):
            check(kvctl(member, *line.split())[0] == 0, "%s", line)
        token = token_of(member, "u", "p")
        check(kvctl(member, "--auth-jwt-token", token, "put", "p/a", "1")[:2] == (0, "OK\n"), "its put")
        for prefix in ("KVCTL", "ETCDCTL"):
            done = kvctl(member, "get", "p/a", environment={prefix + "_AUTH_JWT_TOKEN": token})
            check(done[:2] == (0, "p/a\n1\n"), "the environment's: %s", done)
        code, _, text = kvctl(member, "--auth-jwt-token", token, "get", "q")
        check(code == 1 and "permission denied" in text, "what it may not: %d %s", code, text)
        code, _, text = kvctl(member, "--auth-jwt-token", token + "x", "put", "p/b", "1")
        check(code == 1 and "invalid auth token" in text, "another one: %d %s", code, text)
        shown = typed(member, ["--auth-jwt-token", token], b"get p/a\n--user root:top get p/a\n--auth-jwt-token none get p/a\nquit\n", "> ")
        check(shown[1].count("p/a\r\n1\r\n") == 2 and "invalid auth token" in shown[1], "lines of a shell with other credentials: %s", shown)


def test_a_user_gets_a_token_and_another_one_when_it_is_not_taken():
    with Cluster(1, binary=REFERENCE_BINARY, flags=CHEAP) as cluster:
        member = cluster.members[0]
        for line in ("user add root:top", "user add u:pa:ss", "role add r", "role grant-permission r readwrite p/ --prefix", "user grant-role u r", "auth enable"):
            done = kvctl(member, *line.split())
            check(done[0] == 0, "%s: %s", line, done)
        for line in ("get p/a", "--user u:pa:ss put p/a 1", "--user u --password pa:ss get p/a", "--user u:wrong get p/a", "--user u:pa:ss get q",
                     "--password pa:ss get p/a", "--user none:x get p/a", "--user root:top user list", "--user root:top get p/a"):
            seen = [Side(tool, member).run(line, "", "simple") for tool in ("etcdctl", KVCTL)]
            check(seen[0] == seen[1], "%s: %s", line, seen)
        for tool in ("etcdctl", KVCTL): # the user may not read what they ask for
            done = Side(tool, member).run("--user u:pa:ss endpoint health", "", "simple")
            check(done[0] == 0, "%s: %s", tool, done)
        check(kvctl(member, "--user", "u", "get", "p/a", input=b"pa:ss\n")[:2] == (0, "p/a\n1\n"), "a password on standard input")
        check(kvctl(member, "get", "p/a", environment={"ETCDCTL_USER": "u:pa:ss"})[0] == 0, "the environment's")
        check(kvctl(member, "--user", "u:pa:ss", "batch", input=b"put p/b 2\nput p/c 3\n")[0] == 0, "a batch")
        check(kvctl(member, "--user", "u:pa:ss", "lock", "p/lock", "true")[0] == 0, "a lock")
        check(typed(member, ["--user", "u", "get", "p/b"], b"pa:ss\n") == ("Password: ", "\r\np/b\r\n2\r\n", 0), "a password that is typed")
        check(typed(member, ["--user", "u", "get", "p/b"], b"no\x03")[2] == -signal.SIGINT, "Ctrl-C instead of a password")
        watch = subprocess.Popen([KVCTL, "--endpoints", member.target, "--user", "u:pa:ss", "watch", "--prefix", "p/"], stdout=subprocess.PIPE,
                                 env=clean_environment())
        try:
            wait_until(lambda: kvctl(member, "--user", "u:pa:ss", "put", "p/w", "1")[0] == 0 and select.select([watch.stdout], [], [], 0.1)[0], 20, "it watches")
            check(os.read(watch.stdout.fileno(), 11) == b"PUT\np/w\n1\n", "an event")
            member.kill()
            member.start() # it knows none of the tokens that it gave
            done = kvctl(member, "--user", "u:pa:ss", "put", "p/end", "2")
            check(done[0] == 0, "%s", done)
            text = b""
            while not text.endswith(b"PUT\np/end\n2\n"):
                check(select.select([watch.stdout], [], [], 20)[0], "the watch goes on: %s", text)
                text += os.read(watch.stdout.fileno(), 100)
        finally:
            watch.kill()
            watch.wait()
            watch.stdout.close()


if __name__ == "__main__":
    main(globals(), BUDGET_S)
