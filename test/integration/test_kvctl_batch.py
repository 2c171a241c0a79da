#!/usr/bin/python3
"""kvctl batch: many commands in little memory, each failure by its line, keys in their order, groups as transactions."""

import base64
import json
import os
import pty
import re
import subprocess
import time

from kvtest import ROOT, Cluster, check, clean_environment, main, pick, rpc

BUDGET_S = 40
KVCTL = os.environ.get("KVCTL_BINARY", os.path.join(ROOT, "bin", "kvctl"))
RSS_BYTES_MAX = 64 << 20
PUTS = pick(2000, 50000, 1000000)


def batch(member, text, *words):
    """Exit code, lines of standard output, lines of the errors."""
    done = subprocess.run([KVCTL, "--endpoints", member.target, "batch"] + list(words), input=text.encode(), capture_output=True, env=clean_environment(),
                          timeout=60)
    return done.returncode, done.stdout.decode().splitlines(), done.stderr.decode().splitlines()


def resident_max_kib(pid):
    with open("/proc/%d/status" % pid) as file:
        found = re.search(r"VmHWM:\s+(\d+)", file.read())
    return int(found.group(1)) if found else 0


def count(member, prefix):
    end = prefix[:-1] + bytes([prefix[-1] + 1])
    return member.client.call("Range", rpc.RangeRequest(key=prefix, range_end=end, count_only=True)).count


def test_a_million_puts_take_little_memory():
    with Cluster(1, flags=["--quota-backend-bytes", "8589934592"]) as cluster:
        member = cluster.members[0]
        path = os.path.join(cluster.directory, "puts")
        with open(path, "w") as file:
            file.writelines("put key/%08d 'value of %d'\n" % (i, i) for i in range(PUTS))
        start = time.monotonic()
        process = subprocess.Popen([KVCTL, "--endpoints", member.target, "batch", "--quiet", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=clean_environment())
        rss_kib = 0
        while process.poll() is None: # getrusage would count what this program took before it became another
            rss_kib = max(rss_kib, resident_max_kib(process.pid))
            time.sleep(0.01)
        out, errors = process.stdout.read().decode(), process.stderr.read().decode()
        seconds = time.monotonic() - start
        print("    %d puts in %.1f s, %.0f per s, %.1f MiB" % (PUTS, seconds, PUTS / seconds, rss_kib / 1024))
        check(process.returncode == 0 and out == "" and errors.startswith("%d done, 0 failed in " % PUTS), "%d %s %s", process.returncode, out, errors)
        check(count(member, b"key/") == PUTS, "%d keys", count(member, b"key/"))
        check("KVCTL_BINARY" in os.environ or 0 < rss_kib * 1024 <= RSS_BYTES_MAX, "%d KiB", rss_kib)


def test_what_fails_is_named_by_its_line():
    with Cluster(1) as cluster:
        member = cluster.members[0]
        lines = ["put a/%d v" % i for i in range(1, 1001)]
        lines[776] = "put a/777 'v"
        code, out, errors = batch(member, "\n".join(lines))
        check(code == 3 and out == ["OK"] * 999 and errors[0] == "Error: line 777: a quote is not closed" and "999 done, 1 failed" in errors[1] and len(errors) == 2,
              "%d %s", code, errors)
        check(count(member, b"a/") == 999, "the others")
        lines[776] = "put b/777 v --lease=77"
        code, out, errors = batch(member, "\n".join(lines).replace("a/", "b/"), "-w", "json")
        seen = [json.loads(line) for line in out]
        check(code == 1 and [one["line"] for one in seen] == list(range(1, 1001)), "%d %s", code, errors)
        check([one["line"] for one in seen if not one["ok"]] == [777] and seen[776]["error"] == "etcdserver: requested lease not found", "%s", seen[776])
        check(seen[776]["code"] == "NOT_FOUND" and "revision" in seen[0]["result"]["header"] and len(errors) == 1, "%s %s", seen[776], errors)
        code, out, errors = batch(member, "\n".join(lines).replace("a/", "c/").replace("b/", "c/"), "--stop-on-error", "--parallel", "1")
        check(code == 1 and count(member, b"c/") == 776 and errors[-1].endswith("stopped"), "%d %s", count(member, b"c/"), errors)
        code, out, errors = batch(member, "put d/1 v\nput d/2\nstatus\n\n# comment\nget d --limit x\nput d/4 v\nget d --stream\n", "--dry-run")
        check(code == 3 and out == [] and [line[:13] for line in errors] == ["Error: line 2", "Error: line 3", "Error: line 6", "Error: line 8", "2 lines are w"] and "--stream" in errors[3], "%s", errors)
        check(count(member, b"d/") == 0, "a dry run that did something")
        for words, complaint in ((("--parallel", "0"), "1 to 1024"), (("a", "b"), "one file"), (("/no/such/file",), "open /no/such/file"), (("-w", "table"), "table")):
            code, out, errors = batch(member, "", *words)
            check(code not in (0, 1) and complaint in errors[0], "%s: %s", words, errors)
        code, out, errors = batch(member, "put d/1 v\0w\nput d/2 v\n")
        check(code == 3 and "line 1: the line holds a NUL byte" in errors[0] and count(member, b"d/") == 1, "%s", errors)
        code, out, errors = batch(member, "put d/3 " + "x" * (17 << 20) + "\nput d/4 v\n")
        check(code == 3 and "line 1: the line is longer than 16 MiB" in errors[0] and count(member, b"d/") == 1, "%s", errors)


def test_lines_about_a_key_run_in_their_order():
    with Cluster(3) as cluster:
        cluster.leader()
        lines, wanted, values = [], [], {}
        for i in range(3000):
            key = "k%d" % (i * 7919 % 13)
            if i % 100 == 99:
                lines.append("del k1 k3")
                gone = [one for one in values if "k1" <= one < "k3"]
                for one in gone:
                    del values[one]
                wanted.append(len(gone))
            elif i % 3 == 2:
                lines.append("get " + key)
                wanted.append(values.get(key))
            else:
                lines.append("PUT %s %d" % (key, i))
                values[key] = str(i)
                wanted.append("put")
        done = subprocess.run([KVCTL, "--endpoints", ",".join(cluster.targets()), "batch", "-w", "json", "--parallel", "200"], input="\n".join(lines).encode(),
                              capture_output=True, env=clean_environment(), timeout=60)
        seen = [json.loads(line) for line in done.stdout.decode().splitlines()]
        check(done.returncode == 0 and len(seen) == 3000, "%d %s", done.returncode, done.stderr)
        for line, want, one in zip(lines, wanted, seen):
            if line.startswith("get"):
                kvs = one["result"].get("kvs", [])
                value = base64.b64decode(kvs[0]["value"]).decode() if kvs else None
                check(value == want, "line %d, %s: %s, not %s", one["line"], line, value, want)
            elif line.startswith("del"):
                check(one["result"].get("deleted", 0) == want, "line %d: %s, not %d", one["line"], one, want)


def test_groups_are_transactions():
    with Cluster(1) as cluster:
        member = cluster.members[0]
        text = "put g/1 a\nput g/2 b\nget g/1\n\nput g/3 c\nfoo\n\nput g/4 d\nput g/4 e\n\n\nput g/5 f # the last\n"
        code, out, errors = batch(member, text, "--atomic", "-w", "json")
        seen = [json.loads(line) for line in out]
        check([(one["line"], one["ok"]) for one in seen] == [(1, True), (2, True), (3, True), (5, False), (6, False), (8, False), (9, False), (12, True)], "%s", seen)
        check(code == 3 and "because of line 6" in seen[3]["error"] and "duplicate key" in seen[5]["error"], "%d %s", code, seen)
        check([kv.mod_revision for kv in member.client.call("Range", rpc.RangeRequest(key=b"g/", range_end=b"g0")).kvs] == [2, 2, 3], "revisions")
        code, out, errors = batch(member, text, "--atomic", "--stop-on-error")
        check(code == 3 and out[0] == "SUCCESS" and "line 6" in errors[0] and count(member, b"g/") == 3 and len(out) == 8, "%s %s", out, errors)
        code, out, errors = batch(member, "\n".join("put h/%d v" % i for i in range(100)), "--atomic", "-q")
        kvs = member.client.call("Range", rpc.RangeRequest(key=b"h/", range_end=b"h0")).kvs
        check(code == 0 and out == [] and len({kv.mod_revision for kv in kvs}) == 1 and len(kvs) == 100, "one transaction of all")


def test_transactions_stand_between_lines():
    with Cluster(1) as cluster:
        member = cluster.members[0]
        text = ('put t/1 a\nTXN\nIF value("t/1") = "a"\nTHEN # when it is\n  put t/2 "b c"\n\n  get t/1\nELSE\n  del t/1\nEND\nget t/2 --print-value-only\n'
                'txn\nif mod("t/1") > "100"\nthen put t/3 x\nend\ntxn\nthen\nput t/4 v\nfoo\nbar\nend\ntxn\nthen\nput t/5 v\nabort\nget t/3\ntxn\nthen\nput t/6 v\n')
        code, out, errors = batch(member, text)
        check(code == 3 and out == ["OK", "SUCCESS", "", "OK", "", "t/1", "a", "b c", "FAILURE"], "%d %s", code, out)
        check(errors[0] == "Error: line 16: the transaction is not sent: line 19: invalid txn request: foo" and "line 22: the transaction is given up" in errors[1]
              and "line 27: the transaction is not sent: line 29: the input ends before END" in errors[2] and "5 done, 3 failed" in errors[3], "%s", errors)
        check(count(member, b"t/") == 2, "what was not sent was done")
        code, out, errors = batch(member, text, "-w", "json")
        seen = [json.loads(line) for line in out]
        check([one["line"] for one in seen] == [1, 2, 11, 12, 16, 22, 26, 27], "%s", seen)
        check(seen[1]["result"]["succeeded"] and "ResponsePut" in seen[1]["result"]["responses"][0]["Response"], "%s", seen[1])
        code, out, errors = batch(member, text, "--dry-run")
        check(code == 3 and "5 lines are well formed, 3 are not" in errors[-1], "%s", errors)


def test_results_come_while_the_input_pauses_and_a_bar_on_a_terminal():
    with Cluster(1) as cluster:
        member = cluster.members[0]
        process = subprocess.Popen([KVCTL, "--endpoints", member.target, "batch"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=clean_environment())
        for i in range(3):
            process.stdin.write(b"put p/%d v\nget p/%d --print-value-only\n" % (i, i))
            process.stdin.flush()
            check([process.stdout.readline(), process.stdout.readline()] == [b"OK\n", b"v\n"], "round %d", i)
        out, errors = process.communicate(timeout=10)
        check(process.returncode == 0 and out == b"" and errors.startswith(b"6 done, 0 failed"), "%s %s", out, errors)
        ours, theirs = pty.openpty()
        process = subprocess.Popen([KVCTL, "--endpoints", member.target, "batch", "-q"], stdin=subprocess.PIPE, stderr=theirs, env=clean_environment())
        os.close(theirs)
        puts = [b"put q/%d v\n" % i for i in range(4000)]
        process.stdin.write(b"".join(puts[:2000]))
        process.stdin.flush()
        time.sleep(0.3)
        process.stdin.write(b"".join(puts[2000:]))
        process.stdin.close()
        check(process.wait(30) == 0, "%d", process.returncode)
        check(b" lines, " in os.read(ours, 4096), "a bar")
        os.close(ours)


def test_a_member_that_dies_leaves_nothing_untold():
    with Cluster(1) as cluster:
        member = cluster.members[0]
        process = subprocess.Popen([KVCTL, "--endpoints", member.target, "--dial-timeout", "500ms", "batch", "-w", "json"], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment())
        process.stdin.write(b"put a 1\n")
        process.stdin.flush()
        check(json.loads(process.stdout.readline())["ok"], "the first")
        member.kill()
        out, errors = process.communicate(b"put b 2\nget a\n", timeout=20)
        seen = [json.loads(line) for line in out.decode().splitlines()]
        check(process.returncode == 1 and [one["ok"] for one in seen] == [False, False] and b"1 done, 2 failed" in errors, "%s %s", seen, errors)


if __name__ == "__main__":
    main(globals(), BUDGET_S)
