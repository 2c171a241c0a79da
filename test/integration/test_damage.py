#!/usr/bin/python3
"""What happens to a member whose files are damaged, cut short, missing, empty, or not its own? One table: fault, place, member, outcome.

In every line: the others go on, nothing that was acknowledged is missing at the end, HashKV is equal, who refuses ends with a code and names the
file and the reason, and the offline tools give the verdict that the start then confirms. test_damage_matrix asks the same of simulated disks,
with failing operations besides.
"""

import os
import shutil
import struct
import subprocess


import snapshots as kit
from kvtest import BINARY, READY_TEXT, Cluster, check, clean_environment, main, needs_kvd, rpc, wait_until

BUDGET_S = 40
TOOLS = os.path.dirname(BINARY)
BLOCK = 512
STAMP, HEAD = 32, 128
CLEAN, ERROR, TORN, CORRUPT = 0, 1, 3, 4
SMALL = ["--snapshot-count", "300", "--snapshot-catchup-entries", "10", "--wal-segment-bytes", "65536"]
PATIENCE_S = 60       # of whatever must come: the machine may be busy with much else
FELL_BACK = "a snapshot is damaged: falling back to the one before it, or to the log"
LOST = "the snapshots are lost: the state comes from a leader"
REPAIRED = "the tail of the write-ahead log was damaged"
REFUSED_HELLO = "refused a peer's handshake"
ROWS = []


def tool(name, *arguments):
    done = subprocess.run([os.path.join(TOOLS, name)] + list(arguments), capture_output=True, timeout=30, env=clean_environment(), check=False)
    check(done.returncode in (CLEAN, ERROR, TORN, CORRUPT), "%s %s ended with %d: %s", name, arguments, done.returncode, done.stderr)
    return done.returncode


class Struck:
    """A cluster, the member that is struck, and all that was acknowledged."""

    def __init__(self, cluster, member):
        self.cluster, self.member = cluster, member
        self.whole = member.data_dir + ".whole"
        self.others = [other for other in cluster.members if other is not member]
        self.kind = "alone" if not self.others else "follower"
        self.acknowledged = {}

    def write(self, client, count=3):
        """Asked again until it is acknowledged: on a busy machine leaders change. A key gets one value only, however often."""
        numbers = range(len(self.acknowledged), len(self.acknowledged) + count)
        puts = [rpc.PutRequest(key=b"w%05d" % n, value=b"value %d" % n) for n in numbers]
        flying = [client.send("Put", put) for put in puts]
        for put, future in zip(puts, flying):
            if future.exception() is not None:
                kit.asked(lambda p=put: client.call("Put", p), PATIENCE_S)
            self.acknowledged[put.key] = put.value

    def path(self, *names):
        return os.path.join(self.member.data_dir, *names)

    def segment(self, place):
        names = sorted(name for name in os.listdir(self.path("wal")) if name.endswith(".wal"))
        return self.path("wal", names[place])

    def snapshot(self, place):
        return self.path("snap", kit.snapshots(self.member)[place])

    def check_all(self, member):
        """Everything acknowledged is there; a linearizable read comes after what it has to catch up with."""
        found = {pair.key: pair.value for pair in kit.asked(lambda: member.client.get(b"w", range_end=b"x"), PATIENCE_S).kvs}
        wrong = [key for key, value in self.acknowledged.items() if found.get(key) != value]
        check(not wrong and len(found) == len(self.acknowledged), "%s lacks %s", member.name, wrong[:5])

    def row(self, fault, place, outcome, message):
        ROWS.append((fault, place, self.kind, outcome, message.replace(self.cluster.directory + "/", "")))

    # One line: kill, harm, what the tools say, what a start says, put right

    def is_grown(self):
        """The log's last segment has entries behind its first batch, so that damage at its end strikes a tail and not the head of a segment; and ends
        with a mark, so that damage to it takes no write along. Both by one look: a segment begins when it must."""
        found = batches(self.segment(-1))
        if not any(records for _, records, _ in found[1:]):
            self.write(self.member.client, 1)
            return False
        return found[-1][2]

    def strike(self, fault, place, harm, expected, verdict=None, snapshot=None):
        wait_until(self.is_grown, PATIENCE_S, "the log's last segment has grown and ends with a mark")
        self.member.kill()
        if self.others:
            self.write(self.others[0].client)
        shutil.copytree(self.member.data_dir, self.whole)
        damaged = harm(self)
        judged = tool("readstate", self.member.data_dir)
        if snapshot is not None:
            check(tool("readsnapshot", damaged) == snapshot, "%s, %s: readsnapshot says %d", fault, place, tool("readsnapshot", damaged))
        outcome, message = self.start()
        self.row(fault, place, outcome, message)
        check(outcome == expected, "%s, %s: %s: %s", fault, place, outcome, message)
        if verdict is not None:
            check(judged == verdict, "%s, %s: readstate says %d, the member %s: %s", fault, place, judged, outcome, message)
        if outcome == "refuses":
            names = [damaged, os.path.dirname(damaged)] if fault != "missing" else [self.member.data_dir]
            check(any(name in message for name in names), "%s, %s: the refusal does not name %s: %s", fault, place, damaged, message)
            shutil.rmtree(self.member.data_dir)
            os.rename(self.whole, self.member.data_dir)
            self.member.start()
        elif snapshot is not None:
            self.put_right(damaged)
        shutil.rmtree(self.whole, ignore_errors=True)
        self.write(self.member.client)
        self.check_all(self.member)

    def put_right(self, path):
        """The next line damages what is good."""
        original = os.path.join(self.whole, os.path.relpath(path, self.member.data_dir))
        if os.path.exists(original):
            shutil.copy(original, path)
        elif os.path.exists(path):
            os.unlink(path)

    def start(self):
        member = self.member
        member.start(is_waiting=False)
        member.is_expected_to_run = False
        wait_until(lambda: member.process.poll() is not None or READY_TEXT in member.log(), PATIENCE_S, "%s starts or does not" % member.name)
        if member.process.poll() is not None:
            code = member.wait_exit()
            last = kit.lines(member, "failed to start")
            check(code > 0 and len(last) == 1, "%s ended with %d and without a reason:\n%s", member.name, code, member.log()[-1000:])
            return "refuses", last[0]["error"]
        member.is_expected_to_run = True
        for text, outcome in ((LOST, "asks others"), (FELL_BACK, "falls back"), (REPAIRED, "repaired")):
            lines = kit.lines(member, text)
            if lines:
                return outcome, lines[0]["found"]
        return "clean", ""


# --------------------------------------------------------------------------------------------------------------------
# What is done to the files


def flip(path, at):
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 0x10]))
    return path


def batches(path):
    """Of a segment, as the essay in src/storage/wal_format.c has them: where each ends, its entries, and whether it is a mark. What stands behind
    the last may be of the segment that the file was before."""
    with open(path, "rb") as file:
        content = file.read()
    found, at, segment, newest = [], 0, content[8:16], 0
    while at + BLOCK <= len(content):
        number, blocks = struct.unpack_from("<QI", content, at + 16)
        if content[at + 8:at + 16] != segment or number == 0 or (newest > 0 and number != newest + 1):
            break
        header = at + STAMP + (HEAD if at == 0 else 0)
        at += blocks * BLOCK
        newest = number
        found.append((at, struct.unpack_from("<I", content, header + 4)[0], content[header + 48] & 1 != 0))
    return found


def used(path):
    """Where what is written of a segment ends."""
    return batches(path)[-1][0]


def cut(path, size):
    os.truncate(path, size)
    return path


def remove(path):
    os.unlink(path)
    return path


def remove_all(path):
    for name in os.listdir(path):
        os.unlink(os.path.join(path, name))
    return os.path.join(path, "")


def flip_all(path):
    for name in os.listdir(path):
        flip(os.path.join(path, name), os.path.getsize(os.path.join(path, name)) // 2)
    return os.path.join(path, "")


def add(path, content=b"not a file of this directory"):
    with open(path, "wb") as file:
        file.write(content)
    return path


def flip_behind_snapshot(struck):
    """A block of the last writes, but not of the last batch."""
    path = struck.segment(-1) if used(struck.segment(-1)) >= 12 * BLOCK else struck.segment(-2)
    return flip(path, used(path) - 7 * BLOCK + 77)


def write_behind_snapshot(struck):
    """So many writes that the log's end lies behind the newest snapshot, and so few that the next one is not near."""
    def distance():
        return struck.member.client.status().raftIndex - int(kit.snapshots(struck.member)[0][17:33], 16)
    struck.write(struck.member.client, 20)
    while not 45 <= distance() <= 200:
        struck.write(struck.member.client, 10)


LINES = [
    ("bit flip", "log: behind the snapshot", flip_behind_snapshot, "refuses", CORRUPT, None),
    ("bit flip", "log: head of the last segment", lambda s: flip(s.segment(-1), 40), "refuses", CORRUPT, None),
    ("bit flip", "newest snapshot: head", lambda s: flip(s.snapshot(0), 60), "falls back", CLEAN, CORRUPT),
    ("bit flip", "newest snapshot: middle", lambda s: flip(s.snapshot(0), os.path.getsize(s.snapshot(0)) // 2), "falls back", CLEAN, CORRUPT),
    ("bit flip", "older snapshot", lambda s: flip(s.snapshot(1), os.path.getsize(s.snapshot(1)) // 2), "clean", CLEAN, CORRUPT),
    ("bit flip", "identity", lambda s: flip(s.path("identity"), 44), "refuses", None, None),
    ("cut short", "log: last segment", lambda s: cut(s.segment(-1), used(s.segment(-1)) // 2 // BLOCK * BLOCK), "refuses", CORRUPT, None),
    ("cut short", "newest snapshot", lambda s: cut(s.snapshot(0), os.path.getsize(s.snapshot(0)) // 2), "falls back", CLEAN, CORRUPT),
    ("cut short", "identity", lambda s: cut(s.path("identity"), 40), "refuses", None, None),
    ("empty", "log: last segment", lambda s: cut(s.segment(-1), 0), "refuses", CORRUPT, None),
    ("empty", "newest snapshot", lambda s: cut(s.snapshot(0), 0), "falls back", CLEAN, CORRUPT),
    ("empty", "identity", lambda s: cut(s.path("identity"), 0), "refuses", None, None),
    ("missing", "log: last segment", lambda s: remove(s.segment(-1)), "refuses", CORRUPT, None),
    ("missing", "log: all of it", lambda s: remove_all(s.path("wal")), "refuses", None, None),
    ("missing", "newest snapshot", lambda s: remove(s.snapshot(0)), "clean", CLEAN, None),
    ("missing", "identity", lambda s: remove(s.path("identity")), "refuses", None, None),
    ("extra", "log: a note", lambda s: add(s.path("wal", "notes.txt")), "clean", CLEAN, None),
    ("extra", "snapshots: noise as the newest", lambda s: add(s.path("snap", "%016x-%016x.snap" % (99, 99999999))), "falls back", CLEAN, CORRUPT),
    ("bit flip", "log: the last block", lambda s: flip(s.segment(-1), used(s.segment(-1)) - BLOCK + 77), "repaired", TORN, None),
    ("extra", "snapshots: one half written", lambda s: add(s.path("snap", "%016x-%016x.snap.tmp" % (99, 99999999))), "clean", CLEAN, None),
    ("bit flip", "all snapshots", lambda s: flip_all(s.path("snap")), "asks others", TORN, None),
    ("missing", "all snapshots", lambda s: remove_all(s.path("snap")), "asks others", TORN, None),
]


def filled(cluster):
    """With two snapshots at least on each, and a log that begins behind entry 1."""
    cluster.leader()
    with kit.Load(cluster.members, 200, 512, 1500) as load:
        load.wait(PATIENCE_S)
    for member in cluster.members:
        wait_until(lambda m=member: len(kit.snapshots(m)) >= 2, PATIENCE_S, "two snapshots are kept")


def strike_all(size):
    with Cluster(size, flags=SMALL) as cluster:
        filled(cluster)
        struck = Struck(cluster, cluster.members[0] if size == 1 else cluster.followers()[0])
        write_behind_snapshot(struck)
        for fault, place, harm, expected, verdict, snapshot in LINES:
            if size == 1 and not place.startswith(("log", "all")):
                continue    # nothing of it depends on the others
            if size == 1 and expected == "asks others":
                expected, verdict = "refuses", CORRUPT      # there are none
            struck.strike(fault, place, harm, expected, verdict, snapshot)
        for member in cluster.members:
            struck.check_all(member)
        kit.check_agreement(cluster)


def test_a_member_alone_with_damaged_files():
    needs_kvd("its files")
    strike_all(1)


def test_a_member_of_three_with_damaged_files():
    needs_kvd("its files")
    strike_all(3)


# --------------------------------------------------------------------------------------------------------------------
# Directories that are not what their member promised by


def shut_out(struck, fault, place, text):
    """It starts, and the others refuse it, both sides saying why; they go on without it. Then its own directory comes back."""
    member = struck.member
    member.start(is_waiting=False)
    for other in struck.others:
        wait_until(lambda o=other: [line for line in kit.lines(o, REFUSED_HELLO) if text in line["reason"]], PATIENCE_S, "%s refuses it" % other.name)
    wait_until(lambda: [line for line in kit.lines(member, REFUSED_HELLO) if text in line["reason"]], PATIENCE_S, "it is told why")
    reason = [line["reason"] for line in kit.lines(member, REFUSED_HELLO) if text in line["reason"]][0]
    check(READY_TEXT not in member.log(), "it is ready, though nobody lets it in")
    reply = member.client.ask("Range", rpc.RangeRequest(key=b"w00000"), 2)
    check(reply.response is None, "it answers linearizable reads: %s", reply)
    struck.write(struck.others[0].client, 10)
    struck.row(fault, place, "shut out", reason)
    member.kill()
    shutil.rmtree(member.data_dir)
    os.rename(struck.whole, member.data_dir)
    member.start()
    struck.check_all(member)


def test_old_copies_and_wiped_directories_are_noticed_by_those_who_remember():
    needs_kvd("memory of what others promised")
    with Cluster(3, flags=SMALL) as cluster:
        struck = Struck(cluster, cluster.followers()[0])
        member = struck.member
        struck.write(member.client, 20)
        member.kill()
        shutil.copytree(member.data_dir, member.data_dir + ".old")
        member.start()
        struck.write(member.client, 20)

        member.kill()
        os.rename(member.data_dir, struck.whole)
        os.rename(member.data_dir + ".old", member.data_dir)
        shut_out(struck, "old copy put back", "the others remember", "copy of its data directory")

        member.kill()
        os.rename(member.data_dir, struck.whole)
        shut_out(struck, "wiped", "the others remember", "another data directory, without its votes")

        # Nobody remembers: all that is left is that the others have everything.
        for each in cluster.members:
            each.terminate()
        shutil.rmtree(member.data_dir)
        cluster.start()
        struck.write(struck.others[0].client, 5)
        for each in cluster.members:
            struck.check_all(each)
        struck.row("wiped", "all were restarted", "not noticed", "it gets everything from the others; membership calls, by which it would come as a new "
                   "member, are not there yet")
        kit.check_agreement(cluster)


def test_the_table():
    print("# %-18s %-32s %-9s %-11s %s" % ("fault", "place", "member", "outcome", "message"))
    for fault, place, kind, outcome, message in ROWS:
        print("# %-18s %-32s %-9s %-11s %s" % (fault, place, kind, outcome, message[:150]))
    print("# %d lines" % len(ROWS))


if __name__ == "__main__":
    main(globals(), BUDGET_S)
