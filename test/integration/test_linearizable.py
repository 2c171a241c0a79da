#!/usr/bin/python3
"""Is what concurrent clients see on all three members linearizable, also when the leader stands still for a while?"""

import copy
import os
import random
import tempfile
import time

import history
import workload
from kvtest import Cluster, check, main, needs_kvd, pick, rpc, wait_until

BUDGET_S = 60


def _record(name, kind, start, end, revision, **more):
    record = {"id": name, "client": 0, "member": "m0", "boot": 0, "kind": kind, "start_ns": start, "end_ns": end,
              "outcome": "ok", "revision": revision}
    record.update(more)
    return record


def _good_history():
    """Two writes, one of unknown outcome that did happen, one refused, a compare-and-set, and reads of them."""
    records = [
        _record("w1", "write", 0, 10, 2, effects={"s/a": "w1"}),
        _record("w2", "write", 20, 30, 3, effects={"s/a": "w2"}),
        _record("w3", "write", 40, 45, 0, effects={"s/b": "w3"}, outcome="unknown"),
        _record("w4", "write", 46, 47, 0, effects={"s/b": "w4"}, outcome="refused"),
        _record("c1", "cas", 60, 70, 5, effects={"s/a": "c1"}, compare=["s/a", 3], is_taken=True),
        _record("c2", "cas", 72, 80, 5, effects={"s/a": "c2"}, compare=["s/a", 3], is_taken=False),
        _record("r1", "read", 31, 33, 3, seen=[["s/a", "w2", 2, 3, 2]], serializable=False),
        _record("r2", "read", 81, 82, 5, seen=[["s/a", "c1", 2, 5, 3], ["s/b", "w3", 4, 4, 1]], serializable=False),
        _record("r3", "read", 83, 84, 5, seen=[["s/a", "c1", 2, 5, 3], ["s/b", "w3", 4, 4, 1]], serializable=True),
    ]
    log = [("w1", 2, 2, 1), ("w2", 3, 3, 1), ("w3", 4, 4, 1), ("c1", 5, 5, 1)]
    return records, log


def _violations(records, log):
    with tempfile.TemporaryDirectory() as directory:
        return history.violations(records, log, os.path.join(directory, "history.jsonl"))


def _must_reject(text, spoil):
    records, log = copy.deepcopy(_good_history())
    spoil({record["id"]: record for record in records}, records, log)
    errors = _violations(records, log)
    check(any(text in error for error in errors), "no '%s' in %s", text, errors)


def test_checker_accepts_a_good_history():
    check(_violations(*_good_history()) == [], "%s", _violations(*_good_history()))


def test_checker_rejects_a_stale_read():
    def spoil(by_id, records, log):
        by_id["r1"].update(revision=2, seen=[["s/a", "w1", 2, 2, 1]])
    _must_reject("C1 older than what had ended", spoil)


def test_checker_allows_a_stale_serializable_read_but_no_wrong_one():
    records, log = _good_history()
    by_id = {record["id"]: record for record in records}
    by_id["r3"].update(member="m1", revision=2, seen=[["s/a", "w1", 2, 2, 1]])
    check(_violations(records, log) == [], "a stale serializable read is legal")
    by_id["r3"].update(seen=[["s/a", "w2", 2, 2, 1]])
    check(_violations(records, log) != [], "a value that never was is not")


def test_checker_rejects_a_lost_write():
    _must_reject("D1 an acknowledged write is lost", lambda by_id, records, log: log.pop(1))


def test_checker_rejects_a_gap_in_the_revisions():
    def spoil(by_id, records, log):
        log[3] = ("c1", 6, 6, 1)
        for name in ("c1", "c2", "r2", "r3"):
            by_id[name]["revision"] = 6
    _must_reject("K2 each write raises the revision by one", spoil)


def test_checker_rejects_a_write_applied_twice():
    def spoil(by_id, records, log):
        log[2] = ("w3", 4, 6, 2)
    _must_reject("applied twice", spoil)


def test_checker_rejects_a_refused_write_that_stands():
    _must_reject("C5 what was refused took effect", lambda by_id, records, log: log.append(("w4", 6, 6, 1)))


def test_checker_rejects_a_write_of_nobody():
    _must_reject("nobody wrote", lambda by_id, records, log: log.append(("x9", 6, 6, 1)))


def test_checker_rejects_a_lost_update():
    def spoil(by_id, records, log):
        by_id["c1"]["compare"] = ["s/a", 2]
    _must_reject("T2 compares see the state before", spoil)


def test_checker_rejects_writes_against_real_time():
    def spoil(by_id, records, log):
        log[0], log[1] = ("w1", 3, 3, 1), ("w2", 2, 2, 1)
        by_id["w1"]["revision"], by_id["w2"]["revision"] = 3, 2
    _must_reject("C1 it saw a write that had not begun", spoil)


def test_checker_rejects_a_session_that_goes_back():
    def spoil(by_id, records, log):
        by_id["r3"].update(revision=3, seen=[["s/a", "w2", 2, 3, 2]])
    _must_reject("K4 a server's revision went back", spoil)


def test_checker_rejects_a_read_from_the_future():
    def spoil(by_id, records, log):
        by_id["r1"].update(revision=4, seen=[["s/a", "w2", 2, 3, 2], ["s/b", "w3", 4, 4, 1]])
    _must_reject("C1 it saw a write that had not begun", spoil)


def test_clients_on_all_members_see_one_order_while_leaders_pause():
    seed = random.SystemRandom().randrange(1 << 32)
    rounds = pick(2, 4, 60)
    print("# seed %d, %d pauses of the leader" % (seed, rounds))
    with Cluster(3) as cluster:
        load = workload.Workload(cluster, writers=5, readers=5, seed=seed).start()
        time.sleep(1)
        for _ in range(rounds):
            leader = cluster.leader()
            leader.pause()
            time.sleep(2.5)
            leader.resume()
            time.sleep(1.5)
        records = load.stop()
        log, revision = workload.committed_log(cluster.leader().client)
        errors = history.violations(records, log, os.path.join(cluster.directory, "history.jsonl"))
        check(not errors, "%d violations, the first: %s", len(errors), errors[:5])
        check(revision == 1 + len(log), "the store is at %d with %d writes", revision, len(log))
        reads = sum(1 for record in records if record["kind"] == "read" and record["outcome"] == "ok")
        check(len(log) > 100 * rounds and reads > 100 * rounds, "too little was done: %d writes, %d reads", len(log), reads)
        workload.check_members_agree(cluster)
        print("# %d writes and %d reads checked, %d of unknown outcome" % (
            len(log), reads, sum(1 for record in records if record["outcome"] == "unknown")))


def test_a_linearizable_read_on_any_member_sees_an_acknowledged_write():
    with Cluster(3) as cluster:
        cluster.leader()
        for number in range(pick(50, 300, 6000)):
            writer = cluster.members[number % 3]
            reader = cluster.members[(number + 1 + number // 3 % 2) % 3]
            value = b"%d" % number
            revision = writer.client.put(b"k", value).header.revision
            response = reader.client.get(b"k")
            check(response.kvs[0].value == value and response.header.revision >= revision,
                  "%s read %s after %s had written %s", reader.name, response.kvs, writer.name, value)


def test_a_member_without_quorum_serves_serializable_reads_only():
    with Cluster(3) as cluster:
        leader = cluster.leader()
        leader.client.put(b"k", b"v")
        for follower in cluster.followers():
            follower.kill()
        kept = leader.client.get(b"k", serializable=True)
        check(kept.kvs[0].value == b"v", "a serializable read answered %s", kept)
        for request in (rpc.RangeRequest(key=b"k"),):
            reply = leader.client.ask("Range", request, timeout_s=3.0)
            check(reply.code in ("DEADLINE_EXCEEDED", "UNAVAILABLE"), "a linearizable read answered %s", reply)
        reply = leader.client.ask("Put", rpc.PutRequest(key=b"k", value=b"w"), timeout_s=3.0)
        check(reply.code in ("DEADLINE_EXCEEDED", "UNAVAILABLE"), "a write answered %s", reply)


def test_a_restarted_member_shows_no_state_before_it_has_caught_up():
    needs_kvd("etcd does not even listen then")
    with Cluster(3) as cluster:
        member, *others = cluster.members
        for number in range(20):
            member.client.put(b"k", b"%d" % number)
        seen = member.client.get(b"k", serializable=True).header.revision
        for each in cluster.members:
            each.kill()
        member.start(is_waiting=False)
        wait_until(lambda: member.client.ask("Status", rpc.StatusRequest(), timeout_s=1.0).code == "OK", 10, "Status without a leader")
        reply = member.client.ask("Range", rpc.RangeRequest(key=b"k", serializable=True), timeout_s=2.0)
        check(reply.code in ("DEADLINE_EXCEEDED", "UNAVAILABLE"), "alone after a restart it answered %s", reply)
        for each in others:
            each.start(is_waiting=False)
        again = member.client.get(b"k", serializable=True).header.revision
        check(again >= seen, "revision %d after %d", again, seen)


if __name__ == "__main__":
    main(globals(), BUDGET_S)
