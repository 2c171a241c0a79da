#!/usr/bin/python3
"""Do the offline tools tell the truth about a data directory: beside a running member, after kill -9, and of damaged copies?

What they print is compared with what clients wrote and the member said; their verdict on damage with the words of a member that is
started on the same bytes afterwards.
"""

import base64
import json
import os
import random
import shutil
import subprocess
import threading

from kvtest import BINARY, Cluster, check, clean_environment, main, needs_kvd, pick, rpc, wait_until

BUDGET_S = 90
TOOLS = os.path.dirname(BINARY)
BLOCK = 512
CLEAN, ERROR, TORN, CORRUPT = 0, 1, 3, 4


def run(tool, *arguments, stdin=b""):
    """Exit code, output, errors."""
    done = subprocess.run([os.path.join(TOOLS, tool)] + list(arguments), input=stdin, capture_output=True, timeout=60,
                          env=clean_environment(), check=False)
    check(done.returncode in (CLEAN, ERROR, TORN, CORRUPT), "%s %s ended with %d: %s", tool, arguments, done.returncode, done.stderr)
    return done.returncode, done.stdout, done.stderr.decode()


def read_log(path, *flags):
    """Exit code, the verdict, and all lines before it."""
    code, out, errors = run("readwal", "--json", *flags, path)
    lines = [json.loads(line) for line in out.decode().splitlines()]
    check(lines and lines[-1]["type"] == "verdict", "no verdict: %s", errors)
    return code, lines[-1], lines[:-1]


def commands(lines, kind):
    """The bodies of the commands of one kind, each index once: the later line counts."""
    entries = {line["index"]: line for line in lines if "command" in line}
    return [entries[index]["command"]["body"] for index in sorted(entries) if entries[index]["command"]["kind"] == kind]


def pairs(lines):
    return [(base64.b64decode(body["key"]), base64.b64decode(body.get("value", ""))) for body in commands(lines, "put")]


def write_some(client, count, size=100):
    written = []
    for number in range(count):
        pair = (b"key\x00\xff%d" % number, bytes((number + i) % 256 for i in range(size)))
        client.put(*pair)
        written.append(pair)
    return written


def test_the_log_of_a_running_member_holds_what_was_acknowledged():
    needs_kvd("tools")
    with Cluster(1) as cluster:
        member = cluster.leader()
        written, lock, is_over = [], threading.Lock(), threading.Event()

        def write():
            number = 0
            while not is_over.is_set():
                pair = (b"k%d" % number, b"v" * (number % 3000))
                member.client.put(*pair)
                with lock:
                    written.append(pair)
                number += 1

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(pick(3, 8, 60)):
                with lock:
                    expected = list(written)
                code, verdict, lines = read_log(member.data_dir)
                check(code == CLEAN and verdict["verdict"] == "clean", "beside a writer: %s", verdict)
                found = pairs(lines)
                check(found[:len(expected)] == expected, "%d of %d puts were found", len(found), len(expected))
                code, out, errors = run("readstate", "--json", member.data_dir)
                check(code == CLEAN and json.loads(out)["raft"]["commit"] > 0, "state beside a writer: %s", errors)
        finally:
            is_over.set()
            writer.join()


def test_every_command_is_shown_as_it_was_sent():
    needs_kvd("tools")
    with Cluster(1) as cluster:
        member = cluster.leader()
        written = write_some(member.client, 5)
        delete = rpc.DeleteRangeRequest(key=b"a", range_end=b"b", prev_kv=True)
        txn = rpc.TxnRequest(
            compare=[rpc.Compare(result=rpc.Compare.GREATER, target=rpc.Compare.MOD, key=b"x", mod_revision=3)],
            success=[rpc.RequestOp(request_put=rpc.PutRequest(key=b"x", value=b"\x00\xff"))],
            failure=[rpc.RequestOp(request_txn=rpc.TxnRequest(success=[rpc.RequestOp(request_delete_range=delete)]))])
        member.client.call("DeleteRange", delete)
        member.client.call("Txn", txn)
        member.client.call("Compact", rpc.CompactionRequest(revision=2))
        member.kill()
        code, verdict, lines = read_log(member.data_dir)
        check(code == CLEAN, "after kill -9: %s", verdict)
        check(pairs(lines) == written, "puts: %s", pairs(lines))
        check(commands(lines, "delete_range") == [{"key": "YQ==", "range_end": "Yg==", "prev_kv": True}], "delete")
        check(commands(lines, "txn") == [{
            "compare": [{"result": "GREATER", "target": "MOD", "key": "eA==", "mod_revision": 3}],
            "success": [{"request_put": {"key": "eA==", "value": "AP8="}}],
            "failure": [{"request_txn": {"success": [{"request_delete_range": {"key": "YQ==", "range_end": "Yg==", "prev_kv": True}}]}}],
        }], "txn: %s", commands(lines, "txn"))
        check(commands(lines, "compaction") == [{"revision": 2}], "compaction")
        entries = [line for line in lines if line["type"] in ("normal", "conf", "empty")]
        check([line["index"] for line in entries] == list(range(1, verdict["last_index"] + 1)), "indexes")
        check(entries[0]["type"] == "conf" and len(entries[0]["conf"]["voters"]) == 1, "the first entry: %s", entries[0])
        envelope = next(line["data"] for line in entries if line.get("command", {}).get("kind") == "txn")
        code, out, errors = run("readpb", "--json", "--base64", "kvd.Envelope", stdin=envelope.encode())
        check(code == CLEAN and json.loads(out)["txn"] == commands(lines, "txn")[0], "readpb: %s", errors)


def test_filters_choose_entries_by_index_type_and_segment():
    needs_kvd("tools")
    with Cluster(1) as cluster:
        member = cluster.leader()
        write_some(member.client, 80, 20000)
        member.kill()
        _, verdict, lines = read_log(member.data_dir)
        _, _, some = read_log(member.data_dir, "--from-index", "10", "--to-index", "12")
        check([line["index"] for line in some] == [10, 11, 12], "by index: %s", some)
        _, _, puts = read_log(member.data_dir, "--type", "put")
        check(puts == [line for line in lines if line.get("command", {}).get("kind") == "put"], "by kind")
        _, _, confs = read_log(member.data_dir, "-t", "conf,empty")
        check(confs == [line for line in lines if line["type"] in ("conf", "empty")] and len(confs) > 1, "by type")
        _, _, marked = read_log(member.data_dir, "--marks")
        batches = [line for line in marked if line["type"] in ("batch", "mark")]
        check(batches[-1]["commit"] == verdict["commit"] and len({line["batch"] for line in batches}) == len(batches), "marks")
        code, _, segments = read_log(member.data_dir, "--summary")
        files = sorted(name for name in os.listdir(os.path.join(member.data_dir, "wal")) if name.endswith(".wal"))
        check(code == CLEAN and [segment["file"] for segment in segments] == files and len(files) > 2, "segments: %s", segments)
        check(sum(segment["entries"] for segment in segments) == verdict["last_index"], "entries of the segments")
        second = os.path.join(member.data_dir, "wal", files[1])
        check(read_log(second) == (CLEAN, verdict | {"first_index": segments[1]["first_index"]},
                                   [line for line in lines if line["segment"] == files[1]]), "one segment")
        check(run("readwal", "--type", "pot", member.data_dir)[0] == ERROR, "a type that is none")


def test_the_state_is_what_the_members_say():
    needs_kvd("tools")
    with Cluster(3) as cluster:
        leader = cluster.leader()
        leader.client.put(b"a", b"b")
        members = leader.client.call("MemberList", rpc.MemberListRequest()).members
        wait_until(lambda: all(m.name for m in leader.client.call("MemberList", rpc.MemberListRequest()).members), 10, "names")
        members = leader.client.call("MemberList", rpc.MemberListRequest()).members
        status = leader.client.status()
        for member in cluster.members:
            member.client.get(b"a")
        for member in cluster.followers() + [leader]:    # without a leader the rest would elect one, in a later term
            member.kill()
        for member in cluster.members:
            code, out, errors = run("readstate", "--json", member.data_dir)
            check(code == CLEAN, "state of %s: %s", member.name, errors)
            state = json.loads(out)
            identity = state["identity"]
            check(int(identity["cluster_id"], 16) == status.header.cluster_id and identity["boot_count"] == 1, "identity: %s", identity)
            check(state["raft"]["term"] == status.raftTerm, "term: %s", state["raft"])
            check(state["raft"]["last_index"] >= state["raft"]["commit"] == state["raft"]["applied"] > 0, "indexes: %s", state["raft"])
            found = [(int(m["id"], 16), m["peer_urls"]) for m in state["members"]]
            check(found == [(m.ID, list(m.peerURLs)) for m in sorted(members, key=lambda m: m.ID)], "members: %s", found)
            check(sorted(state["raft"]["conf"]["voters"]) == ["%016x" % id for id, _ in found], "voters")
        check({m["name"]: m["client_urls"] for m in state["members"] if m["name"]}.items() <=
              {m.name: [m.client_url] for m in cluster.members}.items(), "names: %s", state["members"])
        check(b"cluster_id: " in run("readstate", member.data_dir)[1], "text")


# --------------------------------------------------------------------------------------------------------------------
# Damage


class Damage:
    """A stopped member's directory, and what a start says of damaged copies of it."""

    def __init__(self, member):
        self.member = member
        self.whole = member.data_dir + ".whole"
        os.rename(member.data_dir, self.whole)
        _, self.verdict, lines = read_log(self.whole, "--marks")
        self.batches = [line for line in lines if line["type"] in ("batch", "mark")]
        self.segments = sorted(name for name in os.listdir(os.path.join(self.whole, "wal")) if name.endswith(".wal"))

    def path(self, name):
        return os.path.join(self.member.data_dir, "wal", name)

    def write(self, name, offset, change, size=BLOCK):
        with open(self.path(name), "r+b") as file:
            file.seek(offset)
            old = file.read(size)
            file.seek(offset)
            file.write(change(old))

    def judge(self, damage):
        """Damages a copy; what readwal, readstate and then a member say of it must be the same. Answers code and verdict."""
        shutil.rmtree(self.member.data_dir, ignore_errors=True)
        shutil.copytree(self.whole, self.member.data_dir)
        damage()
        code, verdict, _ = read_log(self.member.data_dir)
        state_code, out, _ = run("readstate", "--json", self.member.data_dir)
        check(state_code == code and json.loads(out)["log"]["verdict"] == verdict["verdict"], "readstate differs: %s", out[:400])
        message = verdict.get("message", "")
        self.member.start(is_waiting=False)
        if code == CORRUPT:
            check(self.member.wait_exit() != 0, "a member starts on what is said to be corrupt: %s", verdict)
            check(message in self.said(), "the member gives other reasons than %s:\n%s", message, self.said())
        else:
            self.member.wait_ready()
            check(code == (TORN if "log was damaged" in self.said() else CLEAN), "%s, but the member said:\n%s", verdict, self.said())
            check(message in self.said(), "the member says other things than %s:\n%s", message, self.said())
            self.member.kill()
        return code, verdict

    def said(self):
        return self.member.log().replace('\\"', '"')


def stopped(cluster):
    """A member with three segments or more, whose last batch but marks is a large one."""
    member = cluster.leader()
    write_some(member.client, 80, 20000)
    member.client.put(b"large", b"x" * 30000)
    wait_until(lambda: read_log(member.data_dir, "--marks")[2][-1]["type"] == "mark", 5, "the idle mark")
    member.kill()
    return Damage(member)


def flipped(block):
    return block[:100] + bytes([block[100] ^ 4]) + block[101:]


def zeros(block):
    return bytes(len(block))


def test_damage_has_the_verdict_of_a_start():
    needs_kvd("tools")
    with Cluster(1) as cluster:
        damage = stopped(cluster)
        last, large, middle = damage.batches[-1], damage.batches[-2], damage.batches[len(damage.batches) // 2]
        check(last["type"] == "mark" and large["records"] == 1, "the end of the log: %s", damage.batches[-2:])

        check(damage.judge(lambda: None)[0] == CLEAN, "untouched")
        code, verdict = damage.judge(lambda: damage.write(middle["segment"], middle["offset"] + BLOCK, flipped))
        check(code == CORRUPT and verdict["file"] == middle["segment"] and verdict["offset"] == middle["offset"] + BLOCK, "%s", verdict)
        code, verdict = damage.judge(lambda: damage.write(last["segment"], last["offset"], flipped))
        check(code == TORN and verdict["verdict"] == "suspect" and verdict["offset"] == last["offset"], "%s", verdict)

        def tear():
            damage.write(last["segment"], last["offset"], zeros, last["bytes"])
            damage.write(large["segment"], large["offset"] + 3 * BLOCK, zeros)
        code, verdict = damage.judge(tear)
        check(code == TORN and verdict["verdict"] == "torn" and verdict["offset"] == large["offset"], "%s", verdict)
        check(verdict["last_index"] == damage.verdict["last_index"] - 1, "what a torn write takes along: %s", verdict)

        code, verdict = damage.judge(lambda: os.truncate(damage.path(last["segment"]), last["offset"]))
        check(code == CORRUPT and verdict["file"] == last["segment"], "cut short: %s", verdict)
        for missing, named in ((0, 1), (1, 2)):
            code, verdict = damage.judge(lambda name=damage.segments[missing]: os.unlink(damage.path(name)))
            check(code == CORRUPT and verdict["file"] == damage.segments[named], "without segment %d: %s", missing, verdict)


def test_flipped_bits_anywhere_have_the_verdict_of_a_start():
    needs_kvd("tools")
    with Cluster(1) as cluster:
        damage = stopped(cluster)
        seed = int(os.environ.get("KVTEST_SEED", "0")) or random.SystemRandom().randrange(1 << 32)
        chance, seen = random.Random(seed), set()
        print("# seed %d" % seed)
        for _ in range(pick(4, 12, 300)):
            batch = chance.choice(damage.batches[-4:] if chance.random() < 0.5 else damage.batches)
            place, bit = batch["offset"] + chance.randrange(BLOCK), 1 << chance.randrange(8)
            seen.add(damage.judge(lambda: damage.write(
                batch["segment"], place, lambda block: bytes([block[0] ^ bit]) + block[1:]))[1]["verdict"])
        check(seen <= {"clean", "corrupt", "suspect", "torn"} and seen, "verdicts: %s", seen)


def test_the_log_may_stand_elsewhere():
    needs_kvd("tools")
    with Cluster(1) as cluster:
        member = cluster.leader()
        member.terminate()
        shutil.rmtree(member.data_dir)
        wal_dir = os.path.join(cluster.directory, "elsewhere")
        member.flags += ["--wal-dir", wal_dir]
        member.start()
        written = write_some(member.client, 3)
        check(pairs(read_log(member.data_dir, "--wal-dir", wal_dir)[2]) == written, "with --wal-dir")
        check(pairs(read_log(wal_dir)[2]) == written, "the directory by itself")
        code, out, errors = run("readstate", "--json", "--wal-dir", wal_dir, member.data_dir)
        check(code == CLEAN and json.loads(out)["identity"]["boot_count"] == 1, "state: %s", errors)
        check(run("readwal", cluster.directory)[0] == ERROR, "a directory without a log")


def test_readpb_names_what_it_does_not_know():
    needs_kvd("tools")
    message = rpc.PutRequest(key=b"k", value=b"v" * 300, lease=-1, prev_kv=True).SerializeToString()
    code, out, errors = run("readpb", "--json", "etcdserverpb.PutRequest", stdin=message)
    check(code == CLEAN and json.loads(out) == {"key": "aw==", "value": base64.b64encode(b"v" * 300).decode(), "lease": -1,
                                                "prev_kv": True}, "%s %s", out, errors)
    code, out, errors = run("readpb", "etcdserverpb.PutRequest", stdin=message[:-1])
    check(code == CORRUPT and not out and "offset %d" % (len(message) - 2) in errors, "cut off: %s", errors)
    check("did you mean etcdserverpb.PutRequest?" in run("readpb", "PutReqest")[2], "a name that is near")
    names = run("readpb", "--list")[1].decode().split()
    check({"etcdserverpb.TxnRequest", "mvccpb.KeyValue", "authpb.User", "kvd.Envelope", "membershippb.Attributes"} <= set(names), "names")
    deep = b""
    for _ in range(300):
        deep = rpc.RequestOp(request_txn=rpc.TxnRequest(success=[])).SerializeToString()[:1] + _length(deep) + deep
        deep = b"\x12" + _length(deep) + deep
    code, out, errors = run("readpb", "etcdserverpb.TxnRequest", stdin=deep)
    check(code == CORRUPT and "too many messages in each other" in errors, "deep: %s", errors)


def _length(data):
    size, out = len(data), b""
    while size > 127:
        out += bytes([size % 128 + 128])
        size //= 128
    return out + bytes([size])


def test_help_teaches_and_usage_is_checked():
    needs_kvd("tools")
    for tool in ("readwal", "readsnapshot", "readstate", "readpb"):
        code, out, _ = run(tool, "--help")
        check(code == CLEAN and b"Examples:" in out and b"Exit codes:" in out and b"--json" in out, "%s --help: %s", tool, out)
        check(b"version: " in run(tool, "--version")[1], "%s --version", tool)
        check(run(tool)[0] == ERROR and run(tool, "--nonsense")[0] == ERROR and run(tool, "/nowhere/at/all")[0] == ERROR, tool)


if __name__ == "__main__":
    main(globals(), BUDGET_S)
