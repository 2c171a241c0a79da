#!/usr/bin/python3
"""Does kvctl print what Debian's etcdctl 3.4 prints, in -w simple, json and protobuf, on a kvd and on an etcd?

Servers that begin empty: an etcd for each of the two tools, and a kvd for kvctl (on one kvd e2e/test_kvctl.sh holds both tools beside each
other). Every command runs once on each, in the same order, so that even revisions must agree; exit codes, standard output and the error are compared. What differs, each with its reason:

  cluster_id, member_id, raft_term, ids of leases and members, TTLs that run    are each server's own.
  "(the request may have been carried out …)"    kvctl says what a caller should know of a write whose fate is open.
  a word that has no place, a number or a flag that cannot be parsed    other words than Go's libraries have; the exit code is the same.
  lease timetolive, alarm: the order of keys and of leases    is not specified.
  lease revoke -w protobuf    etcdctl cannot print its own answer, and kvctl prints it.
  alarm list    etcdctl loses the header of a kvd's answer where it has none of an etcd's; -w json of a kvd has it.
  words too many    etcdctl 3.4 passes over some; kvctl refuses them. Not on the list.
  auth, user, role, member add … update    a kvd has no such calls yet: etcdctl prints gRPC's error, kvctl one line with the server's words and exits with 4.
  put --ttl, history, watchers, get --min-create-rev …, del --range    are kvctl's own, or younger than 3.4: not on the list.
"""

import json
import os
import pty
import re
import select
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor

from kvtest import IS_LONG, REFERENCE_BINARY, ROOT, Cluster, check, clean_environment, is_kvd, main, needs_kvd, rpc, wait_until

BUDGET_S = 30
KVCTL = os.environ.get("KVCTL_BINARY", os.path.join(ROOT, "bin", "kvctl"))
TXN = 'value("a") = "1"\nmod("a") > "0"\n\nput t 1\nget a\ndel b\n\nget zz\n\n'
TXN_FALSE = 'create("a") = "0"\n\nput t 1\n\nget a\nget p/ --prefix\n\n'

# What every server has; {lease} is the id of the lease granted last on that server.
COMMANDS = [
    "put a 1", "put b 2", "put p/1 one", "put p/2 two", "put p/3 three", "put p/2 zwei", "put a 1 --prev-kv", "put a --ignore-value",
    "put b 3 --ignore-lease", ("put from-input", "line one\nline two\n"), "put ключ значение", ("put bin", "\x01\x7f\"<>&\\\u20ac"), "put -- -k -v",
    "put k v --lease=77", "put nothing --ignore-value", "put",
    "get a", "get absent", "get bin", "get ключ", "get bin --hex", "get a p/2", "get p/3 p/1", "get p/ --prefix", "get p/2 --from-key", "get '' --prefix",
    "get p/ --prefix --limit=2", "get p/ --prefix --keys-only", "get p/ --prefix --order=DESCEND", "get p/ --prefix --sort-by=MODIFY",
    "get p/ --prefix --sort-by=VALUE --order=ASCEND", "get p/2 --rev=5", "get a --consistency=s", "get a --rev=1000", "get",
    "get p --prefix --from-key", ("txn", TXN), ("txn", TXN_FALSE), ("txn", "\nput d 1\nput d 2\n\n\n"),
    "lease grant 1000", "put leased v --lease={lease}", "lease list", "lease timetolive {lease}", "lease timetolive --keys {lease}",
    "lease keep-alive --once {lease}", "lease revoke {lease}", "lease revoke {lease}", "lease timetolive {lease}", "get leased",
    "del a", "del absent", "del p/1 p/3 --prev-kv", "del p/ --prefix", "compaction 8", "compaction 8", "get k --rev=3", "alarm list", "alarm disarm",
    "member list", "move-leader 1", "del '' --prefix",
]
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
# What -w protobuf prints, by the beginnings of commands: the longest that fits. Of leases etcdctl prints the header alone; all else is text.
PROTOBUF = {
    "put": rpc.PutResponse, "get": rpc.RangeResponse, "del": rpc.DeleteRangeResponse, "txn": rpc.TxnResponse, "alarm": rpc.AlarmResponse,
    "lease": rpc.ResponseHeader, "lease revoke": rpc.LeaseRevokeResponse, "member list": rpc.MemberListResponse,
    "role add": rpc.AuthRoleAddResponse, "role get": rpc.AuthRoleGetResponse, "role list": rpc.AuthRoleListResponse,
    "role grant": rpc.AuthRoleGrantPermissionResponse, "role revoke": rpc.AuthRoleRevokePermissionResponse, "role delete": rpc.AuthRoleDeleteResponse,
    "user add": rpc.AuthUserAddResponse, "user get": rpc.AuthUserGetResponse, "user list": rpc.AuthUserListResponse,
    "user delete": rpc.AuthUserDeleteResponse, "user passwd": rpc.AuthUserChangePasswordResponse,
    "user grant": rpc.AuthUserGrantRoleResponse, "user revoke": rpc.AuthUserRevokeRoleResponse,
}
COMMANDS_PROTOBUF = [
    "put a 1", "put a 2 --prev-kv", ("put bin", "\x01\x7f\"<>&\\\u20ac"), "put p/1 one", "get a", "get absent", "get '' --prefix", "get p/ --prefix --keys-only",
    "get a --rev=1000", "get a --print-value-only", ("txn", TXN), ("txn", TXN_FALSE), "lease grant 1000", "put leased v --lease={lease}",
    "lease list", "lease timetolive --keys {lease}", "lease keep-alive --once {lease}", "lease revoke {lease}", "del a --prev-kv",
    "del p/ --prefix", "compaction 8", "alarm list", "member list", "endpoint status", "endpoint hashkv", "endpoint health",
]
AUTH_PROTOBUF = [
    "role add r1", "role grant-permission r1 readwrite p/ --prefix", "role get r1", "role list", "user add u1:secret", "user add u1:x",
    "user grant-role u1 r1", "user list", "user get u1", ("user passwd --interactive=false u1", "new\n"),
    "user revoke-role u1 r1", "user delete u1", "role revoke-permission r1 p/ --prefix", "role delete r1",
]
OWN_JSON = {"cluster_id", "member_id", "raft_term", "ID", "id", "lease", "ttl", "name", "peerURLs", "clientURLs"}


class Side:
    """One tool on its own server."""

    def __init__(self, tool, member):
        self.tool, self.member, self.lease = tool, member, "77"

    def run(self, line, text, output):
        words = [word.strip("'") for word in line.replace("{lease}", self.lease).split(" ")]
        done = subprocess.run([self.tool, "--endpoints", self.member.target, "-w", output] + words, capture_output=True, input=text.encode(),
                              env=clean_environment(ETCDCTL_API="3"), timeout=20)
        errors = [one for one in done.stderr.decode().splitlines() if not one.startswith('{"level"')]
        error = next((one for one in errors if one.startswith("Error: ")), "")
        if output == "protobuf":
            return self.neutral_protobuf(line, done, error)
        out = done.stdout.decode()
        found = re.match(r"lease ([0-9a-f]{16}) granted", out)
        if found:
            self.lease = found.group(1)
        elif line.startswith("lease grant"):
            self.lease = "%x" % json.loads(out)["ID"]
        if line.startswith("alarm ") and output == "json":
            out = json.dumps({name: value for name, value in json.loads(out).items() if name != "header"})
        return done.returncode, self.neutral(out), self.neutral_error(error)

    def neutral_protobuf(self, line, done, error):
        """The message, its bytes being those that protobuf would write, without what is each server's own."""
        kind = next((PROTOBUF[name] for name in sorted(PROTOBUF, key=len, reverse=True) if line.startswith(name)), None)
        if line.startswith("lease revoke") and (done.returncode == 0 or "marshal unsupported" in error):
            return 0, "its own"
        if kind is None or done.returncode != 0:
            return done.returncode, self.neutral(done.stdout.decode()), self.neutral_error(error)
        if line.startswith("lease grant"):
            self.lease = "%x" % self.member.client.call("LeaseLeases", rpc.LeaseLeasesRequest()).leases[0].ID
        message = kind.FromString(done.stdout)
        check(message.SerializeToString() == done.stdout, "%s: %s", line, done.stdout)
        if line.startswith("alarm "):
            message.ClearField("header")
        return done.returncode, self.without_own_fields(message), error

    def without_own_fields(self, message):
        for field, value in message.ListFields():
            if field.message_type is None:
                if field.name in OWN_JSON | {"ID"}:
                    message.ClearField(field.name)
            elif field.label == field.LABEL_REPEATED:
                for one in value:
                    self.without_own_fields(one)
            else:
                self.without_own_fields(value)
        return message

    def neutral(self, out):
        if "{\"" in out:
            return [self.without_own(json.loads(line)) if line.startswith("{") else line for line in out.splitlines()]
        out = re.sub(r"(remaining|keepalived with TTL|TTL)\([^)]*\)", r"\1(N)", re.sub(r"\b[0-9a-f]{15,16}\b", "ID", out))
        return re.sub(r"http://[0-9.:]+", "URL", out)

    def without_own(self, value):
        if isinstance(value, dict):
            return {name: self.without_own(one) if name not in OWN_JSON else "own" for name, one in value.items()}
        return [self.without_own(one) for one in value] if isinstance(value, list) else value

    @staticmethod
    def neutral_error(line):
        line = re.sub(r" \(the request may have been carried out.*", "", line)
        line = re.sub(r"\(strconv[^)]*\)", "(zz)", re.sub(r"\[?127\.0\.0\.1:\d+\]?", "SERVER", line))
        return re.sub(r"\b[0-9a-f]{15,16}\b", "ID", line)


def compare(sides, commands, pool, outputs=("simple", "json")):
    """All commands in each format, each side at its own speed. What failed in the first format, and so changed nothing, runs in that one only."""
    differences, runs = [], 0
    lines = [one if isinstance(one, tuple) else (one, "") for one in commands]
    for output in outputs:
        seen = list(pool.map(lambda side: [side.run(line, text, output) for line, text in lines], sides))
        for side, own in zip(sides[1:], seen[1:]):
            for (line, _), expected, one in zip(lines, seen[0], own):
                if one != expected:
                    differences.append("%s -w %s\n    %s\n    %s (%s on %s)" % (line, output, expected, one, side.tool, side.member.binary))
        runs += len(lines)
        lines = [line for line, one in zip(lines, seen[0]) if one[0] == 0]
    check(not differences, "%d of %d differ:\n%s", len(differences), runs, "\n".join(differences[:8]))
    return runs


def compare_on(servers, tools, lists):
    """Each tool on a server of its own; how many outputs are the same."""
    clusters = [Cluster(1, binary=binary) for binary in servers]
    with ThreadPoolExecutor(len(servers)) as pool:
        try:
            list(pool.map(lambda cluster: cluster.start(), clusters))
            sides = [Side(tool, cluster.members[0]) for tool, cluster in zip(tools, clusters)]
            return sum(compare(sides, commands, pool, outputs) for commands, outputs in lists)
        finally:
            for cluster in clusters:
                cluster.__exit__(None, None, None)


def test_etcdctl_and_kvctl_print_the_same_on_a_kvd_and_on_an_etcd():
    texts, etcd = ["simple", "json"], REFERENCE_BINARY
    servers, tools = [etcd], ["etcdctl"]
    if IS_LONG or not is_kvd(): # beside a kvd, kvctl on an etcd would only tell whose a mistake is
        servers, tools = servers + [etcd], tools + [KVCTL]
    if is_kvd():
        servers, tools = servers + [None], tools + [KVCTL]
    with ThreadPoolExecutor(2) as pool:
        auth = pool.submit(compare_on, [etcd, etcd], ["etcdctl", KVCTL], [(AUTH, texts), (AUTH_PROTOBUF, ["protobuf"])])
        runs = compare_on(servers, tools, [(COMMANDS, texts), (COMMANDS_PROTOBUF, ["protobuf"])]) + auth.result()
    print("    %d outputs of kvctl are etcdctl's, in simple, json and protobuf" % runs)


def test_what_the_server_has_not_is_said_in_its_words():
    needs_kvd("a server without authentication")
    with Cluster(1) as cluster, ThreadPoolExecutor(4) as pool:
        lines = [one if isinstance(one, tuple) else (one, "") for one in AUTH]
        for line, (code, out, error) in zip(lines, pool.map(lambda one: Side(KVCTL, cluster.members[0]).run(*one, "simple"), lines)):
            is_mistake = code == 128
            check(is_mistake or code == 4 and out == "" and "has no such call: " in error, "%s: %s %s %s", line, code, out, error)


def kvctl(member, *words, input=b"", environment=None):
    done = subprocess.run([KVCTL, "--endpoints", member.target] + list(words), capture_output=True, input=input,
                          env=clean_environment(**(environment or {})), timeout=30)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def keys(member, prefix):
    end = prefix[:-1] + bytes([prefix[-1] + 1])
    return [(kv.key, kv.value, kv.mod_revision) for kv in member.client.call("Range", rpc.RangeRequest(key=prefix, range_end=end)).kvs]


def count(member, prefix):
    end = prefix[:-1] + bytes([prefix[-1] + 1])
    return member.client.call("Range", rpc.RangeRequest(key=prefix, range_end=end, count_only=True)).count


def test_a_mirror_has_the_keys_and_follows():
    with Cluster(1) as here, Cluster(1, binary=REFERENCE_BINARY) as there:
        source, target = here.members[0], there.members[0]
        for begin in range(0, 2345, 100):
            puts = [rpc.PutRequest(key=b"m/%04d" % i, value=b"%d" % i) for i in range(begin, min(begin + 100, 2345))]
            source.client.call("Txn", rpc.TxnRequest(success=[rpc.RequestOp(request_put=one) for one in puts]))
        source.client.put(b"other", b"x")
        process = subprocess.Popen([KVCTL, "--endpoints", source.target, "--command-timeout", "30s", "make-mirror", "--prefix", "m/", "--dest-prefix", "copy/", target.target],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment())
        try:
            wait_until(lambda: count(target, b"copy/") == 2345, 20, "all keys are there")
            check(keys(target, b"copy/")[7][:2] == (b"copy/0007", b"7") and not keys(target, b"o"), "what is there")
            source.client.call("DeleteRange", rpc.DeleteRangeRequest(key=b"m/", range_end=b"m/2340"))
            ops = [rpc.RequestOp(request_put=rpc.PutRequest(key=b"m/new%d" % i, value=b"n")) for i in range(3)]
            source.client.call("Txn", rpc.TxnRequest(success=ops))
            wait_until(lambda: count(target, b"copy/") == 8, 20, "the changes are there")
            check(len({revision for key, _, revision in keys(target, b"copy/new")}) == 1, "a transaction is one there: %s", keys(target, b"copy/new"))
            process.send_signal(signal.SIGINT)
            out, errors = process.communicate(timeout=10)
            check(process.returncode == -signal.SIGINT and out.split() == [b"4688"] and errors == b"", "%s %s %s", process.returncode, out, errors)
        finally:
            process.kill()
        check(kvctl(source, "make-mirror", "--dest-prefix", "a", "--no-dest-prefix", target.target)[0] == 128, "two prefixes")
        code, _, errors = kvctl(source, "--command-timeout", "300ms", "--dial-timeout", "300ms", "make-mirror", "127.0.0.1:1")
        check(code == 2 and "127.0.0.1:1" in errors, "%d %s", code, errors)


def test_checks_of_the_cluster_clean_up_behind_them():
    needs_kvd("an account of memory in Status")
    with Cluster(1) as cluster:
        member = cluster.members[0]
        code, out, errors = kvctl(member, "check", "perf", "--duration", "1s", "--auto-compact", "--auto-defrag")
        check(out.count("PASS: ") + out.count("FAIL: ") == 3 and "Throughput is" in out and "Compacted with revision" in out and "Defragmented" in out, "%d %s %s", code, out, errors)
        code, out, errors = kvctl(member, "check", "datascale")
        check(code == 0 and "10000 key-value pairs" in out and "PASS: Approximate system memory used" in out, "%d %s %s", code, out, errors)
        check(not keys(member, b"/"), "keys are left")
        member.client.put(b"/etcdctl-check-perf/mine", b"")
        code, _, errors = kvctl(member, "check", "perf")
        check(code == 3 and "has keys" in errors and keys(member, b"/"), "%d %s", code, errors)
        check(kvctl(member, "check", "perf", "--load", "huge")[0] == 4 and kvctl(member, "check", "perf", "--prefix", "")[0] == 128, "bad words")


def test_an_answer_in_pieces():
    needs_kvd("RangeStream")
    with Cluster(1) as cluster:
        member = cluster.members[0]
        for i in range(30):
            member.client.put(b"s/%02d" % i, b"x" * 200000)
        code, out, errors = kvctl(member, "get", "--prefix", "s/", "--stream", "--print-value-only")
        check(code == 0 and out == ("x" * 200000 + "\n") * 30, "%d %d %s", code, len(out), errors)
        code, out, errors = kvctl(member, "get", "--prefix", "s/", "--stream", "-w", "json")
        pieces = [json.loads(line) for line in out.splitlines()]
        check(code == 0 and sum(len(one.get("kvs", [])) for one in pieces) == 30, "%d %d %s", code, len(pieces), errors)
        code, out, errors = kvctl(member, "get", "s/00", "--stream", "--rev", "1000")
        check(code == 1 and "future revision" in errors, "%d %s", code, errors)


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
    with Cluster(1, binary=REFERENCE_BINARY) as cluster:
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
    with Cluster(1, binary=REFERENCE_BINARY) as cluster:
        member = cluster.members[0]
        for line in ("user add root:top", "user add u:pa:ss", "role add r", "role grant-permission r readwrite p/ --prefix", "user grant-role u r", "auth enable"):
            done = kvctl(member, *line.split())
            check(done[0] == 0, "%s: %s", line, done)
        for line in ("get p/a", "--user u:pa:ss put p/a 1", "--user u --password pa:ss get p/a", "--user u:wrong get p/a", "--user u:pa:ss get q",
                     "--password pa:ss get p/a", "--user none:x get p/a", "--user root:top user list", "--user root:top get p/a"):
            seen = [Side(tool, member).run(line, "", "simple") for tool in ("etcdctl", KVCTL)]
            check(seen[0] == seen[1], "%s: %s", line, seen)
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
