#!/usr/bin/python3
"""Does kvctl print what Debian's etcdctl 3.4 prints, in -w simple, json and protobuf, on a kvd and on an etcd?

Servers that begin empty: an etcd for each of the two tools, and a kvd for kvctl (on one kvd e2e/test_kvctl.sh holds both tools beside each
other). ctl_sides.py says what is compared and what may differ; users, roles and tokens have test_kvctl_auth.py.
"""

import json
import os
import signal
import subprocess
import tempfile

from ctl_sides import KVCTL, compare_on, kvctl
from kvtest import IS_LONG, REFERENCE_BINARY, Cluster, check, clean_environment, is_kvd, main, needs_kvd, rpc, wait_until

BUDGET_S = 30
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
COMMANDS_PROTOBUF = [
    "put a 1", "put a 2 --prev-kv", ("put bin", "\x01\x7f\"<>&\\\u20ac"), "put p/1 one", "get a", "get absent", "get '' --prefix", "get p/ --prefix --keys-only",
    "get a --rev=1000", "get a --print-value-only", ("txn", TXN), ("txn", TXN_FALSE), "lease grant 1000", "put leased v --lease={lease}",
    "lease list", "lease timetolive --keys {lease}", "lease keep-alive --once {lease}", "lease revoke {lease}", "del a --prev-kv",
    "del p/ --prefix", "compaction 8", "alarm list", "member list", "endpoint status", "endpoint hashkv", "endpoint health",
]
def test_etcdctl_and_kvctl_print_the_same_on_a_kvd_and_on_an_etcd():
    texts, etcd = ["simple", "json"], REFERENCE_BINARY
    servers, tools = [etcd], ["etcdctl"]
    if IS_LONG or not is_kvd(): # beside a kvd, kvctl on an etcd would only tell whose a mistake is
        servers, tools = servers + [etcd], tools + [KVCTL]
    if is_kvd():
        servers, tools = servers + [None], tools + [KVCTL]
    runs = compare_on(servers, tools, [(COMMANDS, texts), (COMMANDS_PROTOBUF, ["protobuf"])])
    print("    %d outputs of kvctl are etcdctl's, in simple, json and protobuf" % runs)


def keys(member, prefix):
    end = prefix[:-1] + bytes([prefix[-1] + 1])
    return [(kv.key, kv.value, kv.mod_revision) for kv in member.client.call("Range", rpc.RangeRequest(key=prefix, range_end=end)).kvs]


def count(member, prefix):
    end = prefix[:-1] + bytes([prefix[-1] + 1])
    return member.client.call("Range", rpc.RangeRequest(key=prefix, range_end=end, count_only=True)).count


# More bytes than a server takes in one request, in fewer keys than --max-txn-ops; a revision of them stays whole.
def mirror_large_values(source, target):
    for i in range(100):
        source.client.put(b"big/%02d" % i, b"x" * (1000000 if i == 50 else 20000))
    process = subprocess.Popen([KVCTL, "--endpoints", source.target, "make-mirror", "--prefix", "big/", target.target],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment())
    try:
        wait_until(lambda: count(target, b"big/") == 100 or process.poll() is not None, 20, "all keys are there")
        check(process.poll() is None, "it ended: %s", process.returncode)
        found = keys(target, b"big/")
        check([(key, value) for key, value, _ in found] == [(key, value) for key, value, _ in keys(source, b"big/")], "other values")
        check(len({revision for _, _, revision in found}) <= 7, "too many transactions: %d", len({revision for _, _, revision in found}))
        ops = [rpc.RequestOp(request_put=rpc.PutRequest(key=b"big/new%d" % i, value=b"n" * 300000)) for i in range(3)]
        source.client.call("Txn", rpc.TxnRequest(success=ops))
        wait_until(lambda: count(target, b"big/") == 103, 20, "the changes are there")
        check(len({revision for _, _, revision in keys(target, b"big/new")}) == 1, "a transaction is one there")
    finally:
        process.kill()
        process.communicate()


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
        mirror_large_values(source, target)
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


def test_closed_standard_streams():
    needs_kvd("a snapshot that kvctl reads")
    def closed(how, program, *words):
        return subprocess.run(["sh", "-c", 'exec "$@" ' + how, "sh", program, "--endpoints", member.target] + list(words), stdin=subprocess.PIPE,
                              capture_output=True, timeout=20, env=clean_environment())
    with Cluster(1) as cluster, tempfile.TemporaryDirectory(prefix="kvtest-") as directory:
        member = cluster.members[0]
        done = closed("<&-", KVCTL, "watch", "-i")
        check(done.returncode == 3 and b"EOF" in done.stderr, "lines of nobody: %s", done)
        done = closed("<&-", KVCTL, "put", "k")
        check(done.returncode == 3 and b"Bad file descriptor" in done.stderr, "a value of nobody: %s", done)
        done = closed(">&-", KVCTL, "get", "k", "-w", "json")
        check(done.returncode == 1 and b"standard output cannot be written" in done.stderr, "output to nobody: %s", done)
        path = os.path.join(directory, "snapshot")
        done = closed(">&- 2>&-", KVCTL, "snapshot", "save", path)
        check(kvctl(member, "snapshot", "status", path)[0] == 0, "what is said stands in the file: %s", done)
        bench = subprocess.Popen(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", os.path.join(os.path.dirname(KVCTL), "kvbench"), "put", "--endpoints",
                                  member.target, "--duration", "10s"], env=clean_environment())
        try:
            wait_until(lambda: count(member, b"0") > 0, 10, "it puts")
            streams = [os.readlink("/proc/%d/fd/%d" % (bench.pid, number)) for number in range(3)]
            check(streams == ["/dev/null"] * 3, "%s", streams)
        finally:
            bench.kill()
            bench.wait()


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


if __name__ == "__main__":
    main(globals(), BUDGET_S)
