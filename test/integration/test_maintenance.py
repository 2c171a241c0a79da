#!/usr/bin/python3
"""Quota, alarms, hashes and the leader's move, as an operator meets them: by gRPC, by stock etcdctl, by kvctl.

The flow of a full store runs against Debian's etcd 3.4 as well (KVD_BINARY=/usr/bin/etcd), which proves it. What 3.4 does not answer as
later versions do is left out there: headers of AlarmResponse; the alarm type NONE and unknown actions crash it.
"""

import json
import os
import signal
import subprocess

from kvtest import Cluster, ROOT, check, clean_environment, is_kvd, main, needs_kvd, rpc, wait_until

BUDGET_S = 25
NO_SPACE = ("RESOURCE_EXHAUSTED", "etcdserver: mvcc: database space exceeded")
CORRUPT = ("DATA_LOSS", "etcdserver: corrupt cluster")
KVCTL = os.path.join(ROOT, "bin", "kvctl")
QUOTA = 400000 if is_kvd() else 1 << 20


def tools():
    return ["etcdctl"] + ([KVCTL] if os.access(KVCTL, os.X_OK) else [])


def run(tool, member, *words):
    """Exit code, standard output and the last line of errors of a command line tool."""
    done = subprocess.run([tool, "--endpoints", member.client_url] + list(words), capture_output=True, text=True,
                          env=clean_environment(ETCDCTL_API="3"), timeout=20)
    return done.returncode, done.stdout.strip(), (done.stderr.strip().splitlines() or [""])[-1]


def expect(member, words, code, text, everywhere=True):
    for tool in tools() if everywhere else tools()[:1]:
        answer = run(tool, member, *words)
        check(answer[0] == code and text in answer[1] + answer[2], "%s %s: %s", tool, words, answer)


def outcome(reply):
    return reply.code, reply.text


def put(client, key, value=b"v"):
    return client.ask("Put", rpc.PutRequest(key=key, value=value))


def delete(client, key, end=b""):
    return client.ask("DeleteRange", rpc.DeleteRangeRequest(key=key, range_end=end))


def alarm(client, action, kind, member):
    return client.ask("Alarm", rpc.AlarmRequest(action=action, alarm=kind, memberID=member))


def fill(client, value=b"v" * 1000):
    """Puts until the store refuses; the refusal."""
    for number in range(100000):
        reply = put(client, b"k%d" % number, value)
        if reply.response is None:
            return reply
    raise AssertionError("the quota never ends")


def member_id(member):
    return member.client.status().header.member_id


def compact_all(client):
    """Deletes everything that fill wrote and takes its history away."""
    check(delete(client, b"k", b"l").code == "OK", "a delete is refused")
    revision = client.get(b"x").header.revision
    check(client.ask("Compact", rpc.CompactionRequest(revision=revision, physical=True)).code == "OK", "a compaction is refused")


def test_a_full_store_refuses_writes_serves_the_rest_and_recovers():
    with Cluster(1, flags=["--quota-backend-bytes", str(QUOTA)]) as cluster:
        member = cluster.members[0]
        client = member.client
        check(outcome(fill(client)) == NO_SPACE, "not refused for space")
        line = "memberID:%d alarm:NOSPACE" % member_id(member)
        expect(member, ["alarm", "list"], 0, line)
        expect(member, ["put", "a", "b"], 1, NO_SPACE[1])
        check(client.get(b"k0").kvs[0].value == b"v" * 1000, "a read is refused")
        check(delete(client, b"k1").response.deleted == 1, "a delete is refused")
        op, txn = rpc.RequestOp, rpc.TxnRequest
        deletes = txn(success=[op(request_delete_range=rpc.DeleteRangeRequest(key=b"k2"))])
        check(client.ask("Txn", deletes).code == "OK", "a transaction of deletes is refused")
        puts = txn(success=[op(request_range=rpc.RangeRequest(key=b"a"))], failure=[op(request_put=rpc.PutRequest(key=b"a"))])
        check(outcome(client.ask("Txn", puts)) == NO_SPACE, "a transaction with a put in the other branch passes")
        check(list(client.status().errors) == [line + " "], "Status: %s", client.status())
        compact_all(client)
        check(outcome(put(client, b"a")) == NO_SPACE, "the alarm went away by itself")
        expect(member, ["defrag"], 0, "Finished defragmenting etcd member[%s]" % member.client_url)
        member.kill()
        member.start()
        expect(member, ["alarm", "list"], 0, line)
        check(outcome(put(client, b"a")) == NO_SPACE, "the alarm is forgotten by a restart")
        tool = tools()[-1]
        check(run(tool, member, "alarm", "disarm")[:2] == (0, line), "disarm")
        expect(member, ["alarm", "list"], 0, "")
        expect(member, ["put", "a", "b"], 0, "OK")
        check(not client.status().errors, "Status: %s", client.status())


def test_one_member_that_is_full_makes_all_refuse_until_disarmed():
    with Cluster(3) as cluster:
        full = cluster.followers()[0]
        others = [member for member in cluster.members if member is not full]
        full.terminate()
        full.flags = ["--quota-backend-bytes", str(QUOTA)]
        full.start()
        check(outcome(fill(full.client)) == NO_SPACE, "not refused for space")
        for member in others:
            wait_until(lambda m=member: outcome(put(m.client, b"a")) == NO_SPACE, 5, "%s refuses as well" % member.name)
            check(delete(member.client, b"k1").code == "OK", "a delete is refused")
        compact_all(others[0].client)
        run(tools()[0], full, "defrag")     # without it etcd finds no room
        for member in cluster.members:
            member.kill()
        cluster.start()
        for member in cluster.members:
            check(outcome(put(member.client, b"a")) == NO_SPACE, "%s forgot the alarm", member.name)
        check(len(alarm(others[0].client, 2, 1, member_id(full)).response.alarms) == 1, "disarmed")
        for member in cluster.members:
            wait_until(lambda m=member: put(m.client, b"a").code == "OK", 5, "%s takes writes again" % member.name)


def test_the_leader_disarms_by_itself_when_it_is_told_to():
    needs_kvd("--auto-disarm")
    with Cluster(3, flags=["--quota-backend-bytes", str(QUOTA), "--auto-disarm"]) as cluster:
        client = cluster.members[0].client
        check(outcome(fill(client)) == NO_SPACE, "not refused for space")
        check(len(alarm(client, 0, 0, 0).response.alarms) == 1, "the alarm stands when the refusal is heard of")
        compact_all(client)
        for member in cluster.members:
            wait_until(lambda m=member: put(m.client, b"a").code == "OK", 10, "%s takes writes again" % member.name)
        check(not alarm(client, 0, 0, 0).response.alarms, "no alarm is left")


def test_a_corrupt_alarm_stops_every_change_and_reads_of_the_named_member():
    with Cluster(3) as cluster:
        named, other = cluster.members[0], cluster.members[1]
        check(put(other.client, b"a").code == "OK", "put")
        name = member_id(named)
        check([a.memberID for a in alarm(other.client, 1, 2, name).response.alarms] == [name], "activated")
        for client in (other.client, named.client):
            for method, request in (("Put", rpc.PutRequest(key=b"a")), ("DeleteRange", rpc.DeleteRangeRequest(key=b"a")),
                                    ("Compact", rpc.CompactionRequest(revision=2)),
                                    ("Txn", rpc.TxnRequest(success=[rpc.RequestOp(request_put=rpc.PutRequest(key=b"a"))]))):
                wait_until(lambda c=client, m=method, r=request: outcome(c.ask(m, r)) == CORRUPT, 5, method + " is refused")
        check(other.client.ask("Range", rpc.RangeRequest(key=b"a")).response.count == 1, "a healthy member serves")
        if is_kvd():    # etcd serves what it holds, wrong or not
            for is_local in (False, True):
                reply = named.client.ask("Range", rpc.RangeRequest(key=b"a", serializable=is_local))
                check(outcome(reply) == CORRUPT, "the named member serves: %s", reply)
        check("memberID:%d alarm:CORRUPT " % name in named.client.status().errors, "Status")
        check(named.client.ask("HashKV", rpc.HashKVRequest()).code == "OK", "the hash is for finding out")
        check(len(alarm(named.client, 2, 2, name).response.alarms) == 1, "disarmed")
        wait_until(lambda: put(other.client, b"a").code == "OK", 5, "writes go again")


def test_hashes_are_equal_on_all_members_and_keep_to_the_rules():
    with Cluster(3) as cluster:
        client = cluster.members[0].client
        for number in range(3000):
            put(client, b"k%d" % (number % 50), b"%d" % number)
        check(client.ask("Compact", rpc.CompactionRequest(revision=1500)).code == "OK", "compact")
        last = client.get(b"x").header.revision
        for revision in (2000, last):
            def hashes(at=revision):
                replies = [m.client.ask("HashKV", rpc.HashKVRequest(revision=at)) for m in cluster.members]
                return {(r.response.hash, r.response.compact_revision) for r in replies if r.response is not None}
            wait_until(lambda: len(hashes()) == 1, 5, "one hash at %d" % revision)
        check(client.ask("HashKV", rpc.HashKVRequest(revision=last + 1)).text.endswith("future revision"), "the future has no hash")
        check(client.ask("HashKV", rpc.HashKVRequest(revision=1499)).text.endswith("has been compacted"), "the past has none")
        check(not client.status().errors, "no member was taken for corrupt: %s", client.status())


def test_leadership_moves_to_the_member_that_is_named():
    with Cluster(3) as cluster:
        leader, target = cluster.leader(), cluster.followers()[0]
        request = rpc.MoveLeaderRequest(targetID=member_id(target))
        check(outcome(target.client.ask("MoveLeader", request)) == ("FAILED_PRECONDITION", "etcdserver: not leader"), "a follower")
        nobody = leader.client.ask("MoveLeader", rpc.MoveLeaderRequest(targetID=12345))
        check(outcome(nobody) == ("FAILED_PRECONDITION", "etcdserver: bad leader transferee"), "%s", nobody)
        check(leader.client.ask("MoveLeader", request).code == "OK", "moved")
        wait_until(lambda: cluster.leader() is target, 5, "the target leads")
        code, output, _ = run(tools()[-1], target, "move-leader", "%x" % member_id(leader))
        check(code == 0 and output.startswith("Leadership transferred from %x to " % member_id(target)), "%s", output)
        wait_until(lambda: cluster.leader() is leader, 5, "the first leads again")


def test_sigusr1_tells_where_the_memory_is():
    needs_kvd("the account of memory")
    with Cluster(1) as cluster:
        member = cluster.members[0]
        for number in range(100):
            put(member.client, b"k%d" % number, b"v" * 1000)
        member.process.send_signal(signal.SIGUSR1)

        def account():
            lines = [json.loads(line) for line in member.log().splitlines() if '"msg":"memory"' in line]
            return lines[0] if lines else None
        line = wait_until(account, 5, "the line in the log")
        check(line["store-live-keys"] == 100 and line["store-live-bytes"] > 100 * 1000, "%s", line)
        check(line["store-bytes"] >= line["store-live-bytes"] and line["raft-tail-bytes"] > 0 and line["lane-bytes"] > 0, "%s", line)
        check(put(member.client, b"a").code == "OK", "and goes on")


if __name__ == "__main__":
    main(globals(), BUDGET_S)
