#!/usr/bin/python3
"""Puts that carry their TTL (kvd's own): one request, one entry of the log; leases like granted ones; by gRPC and kvctl, which does in two
steps what a real etcd cannot do in one.

Debian's etcd is there for the last: it must pass over the field, or kvctl would not need to ask.
"""

import contextlib
import json
import os
import subprocess
import time

from kvtest import Cluster, REFERENCE_BINARY, ROOT, check, clean_environment, main, needs_kvd, rpc, wait_until

BUDGET_S = 60
TTL_MIN = 2                # for the default election timeout
LATE_S = 6                 # by how much an expiry may be late on a busy machine
KVCTL = os.path.join(ROOT, "bin", "kvctl")
NEGATIVE = ("INVALID_ARGUMENT", "etcdserver: negative lease TTL")
TOO_LARGE = ("OUT_OF_RANGE", "etcdserver: too large lease TTL")
BESIDE = ("INVALID_ARGUMENT", "etcdserver: ttl is provided beside lease or ignore_lease")


def outcome(reply):
    return reply.code, reply.text


def put(client, key, ttl=0, **options):
    return client.ask("Put", rpc.PutRequest(key=key, value=b"v", ttl=ttl, **options))


def make(client, key, ttl, **options):
    reply = put(client, key, ttl, **options)
    check(reply.code == "OK" and reply.response.lease > 0 and reply.response.ttl == max(ttl, TTL_MIN), "%s: %s", key, reply)
    return reply.response.lease


def time_to_live(client, lease):
    return client.call("LeaseTimeToLive", rpc.LeaseTimeToLiveRequest(ID=lease, keys=True))


def leases(client):
    return sorted(status.ID for status in client.call("LeaseLeases", rpc.LeaseLeasesRequest()).leases)


def names(client, prefix):
    end = prefix[:-1] + bytes([prefix[-1] + 1])
    return [(kv.key, kv.lease) for kv in client.get(prefix, range_end=end).kvs]


@contextlib.contextmanager
def ready(size, flags=()):
    """A cluster that has agreed on its version: before that no member can say what all of them understand."""
    with Cluster(size, flags=flags) as cluster:
        client = cluster.members[0].client
        first = wait_until(lambda: put(client, b"first", 60).response, 10, "the cluster's version")
        client.call("LeaseRevoke", rpc.LeaseRevokeRequest(ID=first.lease))
        yield cluster


def test_one_put_makes_attaches_and_answers_a_lease_by_one_entry():
    needs_kvd("PutRequest.ttl")
    with ready(1) as cluster:
        client = cluster.members[0].client
        before = client.status()
        lease = make(client, b"a", 300)
        after = client.status()
        check(after.raftIndex == before.raftIndex + 1 and after.header.revision == before.header.revision + 1, "%s, %s", before, after)
        check(names(client, b"a") == [(b"a", lease)] and leases(client) == [lease], "%s", names(client, b"a"))
        answer = time_to_live(client, lease)
        check(290 < answer.TTL <= 300 and answer.grantedTTL == 300 and list(answer.keys) == [b"a"], "%s", answer)
        other = client.ask("Put", rpc.PutRequest(key=b"a", ignore_value=True, prev_kv=True, ttl=1)).response
        check(other.prev_kv.lease == lease and other.ttl == TTL_MIN and other.lease not in (0, lease), "%s", other)
        check(not time_to_live(client, lease).keys and list(time_to_live(client, other.lease).keys) == [b"a"], "the key moved")
        check(put(client, b"b", lease=lease).code == "OK" and list(time_to_live(client, lease).keys) == [b"b"], "attached by another put")
        client.call("LeaseRevoke", rpc.LeaseRevokeRequest(ID=lease))
        check(not names(client, b"b") and time_to_live(client, lease).TTL == -1, "revoked")
        plain = put(client, b"a").response
        check(plain.lease == 0 and plain.ttl == 0 and len(plain.SerializeToString()) == 2 + plain.header.ByteSize(), "%s", plain)


def test_bad_ttls_are_refused_and_change_nothing():
    needs_kvd("PutRequest.ttl")
    with ready(1) as cluster:
        client = cluster.members[0].client
        before = client.status().header.revision
        check(outcome(put(client, b"k", -1)) == NEGATIVE and outcome(put(client, b"k", -(1 << 63))) == NEGATIVE, "negative")
        check(outcome(put(client, b"k", 9000000001)) == TOO_LARGE and outcome(put(client, b"k", (1 << 63) - 1)) == TOO_LARGE, "too large")
        check(outcome(put(client, b"k", 60, lease=7)) == BESIDE, "beside a lease")
        check(outcome(put(client, b"k", 60, ignore_lease=True)) == BESIDE, "beside ignore_lease")
        check(outcome(put(client, b"", 60))[1] == "etcdserver: key is not provided", "no key")
        missing = client.ask("Put", rpc.PutRequest(key=b"k", ignore_value=True, ttl=60))
        check(missing.text == "etcdserver: key not found", "%s", missing)
        garbage = client.ask("Put", b"\x0a\x01k\xc2\x3e\x01x")        # ttl as bytes
        check(garbage.code == "INTERNAL", "%s", garbage)
        txn = rpc.TxnRequest()
        txn.success.add().request_put.CopyFrom(rpc.PutRequest(key=b"k", ttl=60))
        for bad, expected in (((dict(ttl=-1), NEGATIVE)), (dict(ttl=9000000001), TOO_LARGE), (dict(ttl=9, lease=1), BESIDE)):
            del txn.failure[:]
            txn.failure.add().request_txn.failure.add().request_put.CopyFrom(rpc.PutRequest(key=b"q", **bad))
            check(outcome(client.ask("Txn", txn)) == expected, "%s in a transaction", bad)
        del txn.failure[:]
        for i in range(128):                                          # over all branches one too many
            txn.failure.add().request_put.CopyFrom(rpc.PutRequest(key=b"%d" % i, ttl=60))
        check(client.ask("Txn", txn).text == "etcdserver: too many operations in txn request", "too many leases")
        check(client.status().header.revision == before and not leases(client) and not names(client, b"k"), "something changed")
        check(make(client, b"k", 9000000000) > 0, "the longest")


def test_a_transaction_makes_the_leases_of_the_branches_that_are_taken():
    needs_kvd("PutRequest.ttl")
    with ready(3) as cluster:
        client = cluster.followers()[0].client
        txn = rpc.TxnRequest()
        txn.compare.add(key=b"t1", target=rpc.Compare.VERSION, version=0)
        txn.success.add().request_put.CopyFrom(rpc.PutRequest(key=b"t1", ttl=500))
        inner = txn.success.add().request_txn
        inner.compare.add(key=b"t1", target=rpc.Compare.VERSION, version=7)
        inner.success.add().request_put.CopyFrom(rpc.PutRequest(key=b"t2", ttl=501))
        inner.failure.add().request_put.CopyFrom(rpc.PutRequest(key=b"t2", ttl=502))
        txn.success.add().request_put.CopyFrom(rpc.PutRequest(key=b"t3"))
        txn.failure.add().request_put.CopyFrom(rpc.PutRequest(key=b"t1", ttl=503))
        first = client.call("Txn", txn)
        one, two = first.responses[0].response_put, first.responses[1].response_txn.responses[0].response_put
        check(one.ttl == 500 and two.ttl == 502 and first.responses[2].response_put.lease == 0, "%s", first)
        check(names(client, b"t") == [(b"t1", one.lease), (b"t2", two.lease), (b"t3", 0)], "%s", names(client, b"t"))
        second = client.call("Txn", txn)
        check(not second.succeeded and second.responses[0].response_put.ttl == 503, "%s", second)
        expected = sorted([one.lease, two.lease, second.responses[0].response_put.lease])
        for member in cluster.members:
            wait_until(lambda m=member: leases(m.client) == expected, 10, "the same leases on every member")
        del txn.compare[:]
        txn.success.add().request_put.CopyFrom(rpc.PutRequest(key=b"t4", lease=4711))
        check(client.ask("Txn", txn).text == "etcdserver: requested lease not found" and leases(client) == expected, "all or nothing")


def test_they_expire_like_granted_ones_under_a_new_leader_with_all_of_their_time():
    needs_kvd("PutRequest.ttl")
    with ready(3) as cluster:
        leader = cluster.leader()
        follower = next(member for member in cluster.members if member is not leader)
        for i in range(200):
            check(put(leader.client, b"many%d" % i, ttl=1).response.ttl == TTL_MIN, "put %d", i)
        lease, kept = make(leader.client, b"next", TTL_MIN), make(follower.client, b"kept", 600)
        check(len(leases(leader.client)) == 202, "an id for two leases")
        time.sleep(0.8)
        start = time.monotonic()
        leader.kill()
        other = cluster.leader()
        check(names(other.client, b"next") == [(b"next", lease)], "gone with the leader")
        wait_until(lambda: leases(other.client) == [kept], TTL_MIN + 3 + LATE_S, "all but one expire under the new leader")
        check(time.monotonic() - start >= TTL_MIN, "the new leader did not give the whole time again")
        check(names(other.client, b"k") == [(b"kept", kept)] and not names(other.client, b"m"), "keys")


def test_they_are_there_after_restarts_from_log_and_snapshot():
    needs_kvd("PutRequest.ttl")
    with ready(1, flags=["--snapshot-count", "50"]) as cluster:
        member = cluster.members[0]
        lease = make(member.client, b"a", 600)
        for when in ("log", "snapshot"):
            member.kill()
            member.start()
            answer = time_to_live(member.client, lease)
            check(leases(member.client) == [lease] and list(answer.keys) == [b"a"] and answer.grantedTTL == 600, "%s: %s", when, answer)
            for i in range(300):
                put(member.client, b"fill%d" % (i % 10))
            check(any(name.endswith(".snap") for _, _, files in os.walk(member.data_dir) for name in files), "no snapshot")
        new = make(member.client, b"b", 600)
        check(new != lease, "an id came twice")
        client = member.client
        client.call("LeaseRevoke", rpc.LeaseRevokeRequest(ID=lease))
        check(leases(client) == [new] and not names(client, b"a"), "revoke after the restart")


def kvctl(member, *words, standard_input=""):
    done = subprocess.run([KVCTL, "--endpoints", "127.0.0.1:1," + member.client_url] + list(words), capture_output=True, text=True,
                          input=standard_input, env=clean_environment(), timeout=20)
    return done.returncode, done.stdout.splitlines(), done.stderr.strip()


def put_and_look(member, is_one_step):
    """What kvctl does and prints is the same on a kvd and on an etcd, but for the steps, which it says."""
    client, port = member.client, member.client_url.split("/")[-1]
    before = client.status().raftIndex
    code, out, err = kvctl(member, "put", "--ttl", "500", "ctl/a", "v")
    steps = client.status().raftIndex - before
    check(code == 0 and out[0] == "OK" and len(out) == 2, "%s %s %s", code, out, err)
    check(steps == (1 if is_one_step else 2), "%d entries", steps)
    check(err == "" if is_one_step else port in err and "second step" in err, "said: %s", err)
    kv = client.get(b"ctl/a").kvs[0]
    check(kv.value == b"v" and out[1] == "lease %016x granted with TTL(500s)" % kv.lease, "%s: %s", out, kv)
    check(list(time_to_live(client, kv.lease).keys) == [b"ctl/a"], "attached")
    code, out, err = kvctl(member, "lease", "keep-alive", "--once", "%x" % kv.lease)
    check(code == 0 and out == ["lease %016x keepalived with TTL(500)" % kv.lease], "%s %s %s", code, out, err)
    code, out, err = kvctl(member, "put", "--ttl=400", "--prev-kv", "--ignore-value", "-w", "json", "ctl/a")
    answer = json.loads(out[0])
    check(code == 0 and answer["ttl"] == 400 and answer["lease"] == client.get(b"ctl/a").kvs[0].lease != kv.lease, "%s %s", out, err)
    check("prev_kv" in answer and client.get(b"ctl/a").kvs[0].value == b"v", "%s", answer)
    code, out, err = kvctl(member, "put", "--ttl", "300", "-w", "fields", "ctl/b", standard_input="from input")
    lease = client.get(b"ctl/b").kvs[0].lease
    check(code == 0 and '"Lease" : %d' % lease in out and '"TTL" : 300' in out, "%s %s", out, err)
    for words, complaint in ((("--ttl", "0"), "bad TTL"), (("--ttl", "-5"), "bad TTL"), (("--ttl", "soon"), "bad TTL"), (("--ttl", ""), "bad TTL"), (("--ttl", "9" * 30), "bad TTL"),
                             (("--ttl", "9", "--lease", "7"), "together"), (("--ttl", "9", "--ignore-lease"), "together")):
        code, out, err = kvctl(member, "put", *words, "ctl/c", "v")
        check(code == 128 and complaint in err and not out, "%s: %s %s %s", words, code, out, err)
    code, out, err = kvctl(member, "put", "--ttl", "9000000001", "ctl/c", "v")
    check(code == 1 and "too large lease TTL" in err, "%s %s", code, err)
    check(len(leases(client)) == 3 and not client.get(b"ctl/c").kvs, "leases of refused puts")


def test_kvctl_puts_with_a_ttl_in_one_step():
    needs_kvd("PutRequest.ttl")
    with ready(1) as cluster:
        member = cluster.members[0]
        put_and_look(member, True)
        code, out, err = kvctl(member, "txn", standard_input='ver("t") = "0"\n\nput t 1 --ttl 60\nput u 1\n\nput t 2 --ttl 70\n\n')
        lease = member.client.get(b"t").kvs[0].lease
        check(code == 0 and out == ["SUCCESS", "", "OK", "lease %016x granted with TTL(60s)" % lease, "", "OK"], "%s %s", out, err)
        code, out, err = kvctl(member, "txn", standard_input="\nput t 1 --ttl nothing\n\n\n")
        check(code == 3 and "bad TTL" in err, "%s %s %s", code, out, err)


def test_kvctl_puts_with_a_ttl_in_two_steps_on_an_etcd_which_passes_over_the_field():
    with Cluster(1, binary=REFERENCE_BINARY) as cluster:
        member = cluster.members[0]
        check(put(member.client, b"k", 60).response.lease == 0 and not leases(member.client), "an etcd that knows of it")
        put_and_look(member, False)
        before = member.client.status().raftIndex
        code, out, err = kvctl(member, "txn", standard_input="\nput t 1 --ttl 60\n\n\n")
        check(code == 4 and "transaction" in err and not out and member.client.status().raftIndex == before, "%s %s %s", code, out, err)


if __name__ == "__main__":
    main(globals(), BUDGET_S)
