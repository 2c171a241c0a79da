#!/usr/bin/python3
"""Leases: grant, attach, expire, revoke; through a change of leader, restarts and snapshots; by gRPC, stock etcdctl and kvctl.

The tests that do not need more run against Debian's etcd 3.4 as well (KVD_BINARY=/usr/bin/etcd), which proves them.
"""

import os
import subprocess
import time

from kvtest import IS_LONG, ROOT, Cluster, check, clean_environment, main, needs_kvd, pick, rpc, wait_until

BUDGET_S = 60
NOT_FOUND = ("NOT_FOUND", "etcdserver: requested lease not found")
EXISTS = ("FAILED_PRECONDITION", "etcdserver: lease already exists")
TOO_LARGE = ("OUT_OF_RANGE", "etcdserver: too large lease TTL")
TTL_MIN = 2                # for the default election timeout
LATE_S = 6                 # by how much an expiry may be late on a busy machine
KVCTL = os.path.join(ROOT, "bin", "kvctl")


def outcome(reply):
    return reply.code, reply.text


def grant(client, ttl, lease=0):
    return client.call("LeaseGrant", rpc.LeaseGrantRequest(TTL=ttl, ID=lease))


def revoke(client, lease):
    return client.ask("LeaseRevoke", rpc.LeaseRevokeRequest(ID=lease))


def put(client, key, lease=0, **options):
    return client.ask("Put", rpc.PutRequest(key=key, value=b"v", lease=lease, **options))


def time_to_live(client, lease, keys=True):
    return client.call("LeaseTimeToLive", rpc.LeaseTimeToLiveRequest(ID=lease, keys=keys))


def leases(client):
    return sorted(status.ID for status in client.call("LeaseLeases", rpc.LeaseLeasesRequest()).leases)


def names(client, prefix):
    end = prefix[:-1] + bytes([prefix[-1] + 1])
    return [(kv.key, kv.lease) for kv in client.get(prefix, range_end=end).kvs]


def revision(client):
    return client.get(b"x").header.revision


def test_a_grant_is_raised_to_the_shortest_ttl_refused_above_the_longest_and_refused_twice():
    with Cluster(1) as cluster:
        client = cluster.members[0].client
        before = revision(client)
        first = grant(client, 0)
        check(first.TTL == TTL_MIN and first.ID > 0, "%s", first)
        check(grant(client, -5).TTL == TTL_MIN and grant(client, 77).TTL == 77, "granted TTLs")
        check(grant(client, 9000000000, 5).TTL == 9000000000, "the longest TTL")
        check(grant(client, -1 << 63).TTL == TTL_MIN, "the smallest number")
        check(outcome(client.ask("LeaseGrant", rpc.LeaseGrantRequest(TTL=(1 << 63) - 1, ID=6))) == TOO_LARGE, "the largest number")
        check(outcome(client.ask("LeaseGrant", rpc.LeaseGrantRequest(TTL=9000000001, ID=6))) == TOO_LARGE, "too large")
        check(outcome(client.ask("LeaseGrant", rpc.LeaseGrantRequest(TTL=60, ID=5))) == EXISTS, "exists")
        check(outcome(client.ask("LeaseGrant", rpc.LeaseGrantRequest(TTL=9000000001, ID=5))) == TOO_LARGE, "the TTL is looked at first")
        check(revision(client) == before, "a grant raised the revision")
        check(5 in leases(client) and first.ID in leases(client) and 6 not in leases(client), "the list")
        check(outcome(revoke(client, 4711)) == NOT_FOUND, "an unknown lease is revoked")
        answer = time_to_live(client, 4711)
        check(answer.TTL == -1 and answer.ID == 4711 and answer.grantedTTL == 0 and not answer.keys, "%s", answer)


def test_keys_attach_move_detach_and_go_with_their_lease_in_one_revision():
    with Cluster(1) as cluster:
        client = cluster.members[0].client
        a, b = grant(client, 300).ID, grant(client, 300).ID
        check(outcome(put(client, b"k", 4711)) == NOT_FOUND, "an unknown lease was taken")
        for key in (b"k3", b"k1", b"k2", b"k4"):
            put(client, key, a)
        answer = time_to_live(client, a)
        check(sorted(answer.keys) == [b"k1", b"k2", b"k3", b"k4"] and answer.grantedTTL == 300 and 290 < answer.TTL <= 300, "%s", answer)
        check(not time_to_live(client, a, keys=False).keys, "keys that nobody asked for")
        put(client, b"k2", b)                          # moves
        put(client, b"k3")                             # detaches
        put(client, b"k1", ignore_lease=True)          # stays
        client.call("DeleteRange", rpc.DeleteRangeRequest(key=b"k4"))
        check(list(time_to_live(client, a).keys) == [b"k1"] and list(time_to_live(client, b).keys) == [b"k2"], "who belongs to whom")
        txn = rpc.TxnRequest()
        for key in (b"t1", b"t2"):
            txn.success.add().request_put.CopyFrom(rpc.PutRequest(key=key, lease=a))
        client.call("Txn", txn)
        before = revision(client)
        check(revoke(client, a).code == "OK", "a revoke is refused")
        check(revision(client) == before + 1, "the keys of a lease go in one revision")
        check(names(client, b"k") == [(b"k2", b), (b"k3", 0)] and not names(client, b"t"), "left: %s", names(client, b"k"))
        check(outcome(revoke(client, a)) == NOT_FOUND and outcome(put(client, b"k", a)) == NOT_FOUND, "a revoked lease lives")
        empty = grant(client, 300).ID
        check(revoke(client, empty).code == "OK" and revision(client) == before + 1, "the revoke of an empty lease is no change")


def test_a_lease_expires_not_before_its_time_and_not_long_after():
    with Cluster(1) as cluster:
        client = cluster.members[0].client
        ttl = 3
        start = time.monotonic()
        lease = grant(client, ttl).ID
        for i in range(5):
            put(client, b"e%d" % i, lease)
        before = revision(client)
        while names(client, b"e"):
            check(time.monotonic() - start < ttl + LATE_S, "the lease lives for ever")
            time.sleep(0.02)
        check(time.monotonic() - start >= ttl, "expired %.2f s early", ttl - (time.monotonic() - start))
        check(revision(client) == before + 1, "the keys went in more than one revision")
        check(time_to_live(client, lease).TTL == -1 and lease not in leases(client), "its lease is still there")


def test_many_leases_that_expire_at_once_leave_room_for_others():
    needs_kvd("a fast expiry: it revokes a thousand a second")
    with Cluster(1) as cluster:
        member = cluster.members[0]
        client = member.client
        count, ttl = pick((1000, 4), (5000, 4), (100000, 90))
        ids = []
        for base in range(0, count, 1000):
            futures = [client.send("LeaseGrant", rpc.LeaseGrantRequest(TTL=ttl)) for _ in range(1000)]
            granted = [future.result().ID for future in futures]
            ids += granted
            for future in [client.send("Put", rpc.PutRequest(key=b"b%d" % lease, value=b"v", lease=lease)) for lease in granted]:
                future.result()
        check(len(set(ids)) == count, "ids came twice")
        kept = grant(client, 300).ID
        put(client, b"kept", kept)
        if IS_LONG:         # they were granted one after the other: from now on all have the same time
            member.kill()
            member.start()
        begin, took, left = time.monotonic(), [], count
        while left > 0:
            check(time.monotonic() - begin < ttl + 2 * LATE_S, "leases are left")
            start = time.monotonic()
            check(put(client, b"other").code == "OK", "a put is refused")
            if left < count:
                took.append(time.monotonic() - start)
            left = client.get(b"b", range_end=b"c", count_only=True).count
        took = sorted(took) or [0.0]
        print("# puts while they go: p50 %.2f ms, p99 %.2f ms" % (1e3 * took[len(took) // 2], 1e3 * took[len(took) * 99 // 100]))
        wait_until(lambda: leases(client) == [kept], LATE_S, "all leases but one are gone")
        check(not names(client, b"b") and names(client, b"kept") == [(b"kept", kept)], "keys")


def test_leases_survive_a_change_of_leader_with_their_whole_time():
    with Cluster(3) as cluster:
        leader = cluster.leader()
        ttl = 4
        lease, long = grant(leader.client, ttl).ID, grant(leader.client, 500).ID
        put(leader.client, b"short", lease)
        put(leader.client, b"long", long)
        time.sleep(2)
        start = time.monotonic()
        leader.kill()
        other = cluster.leader()
        check(names(other.client, b"short") == [(b"short", lease)], "gone with the leader")
        answer = time_to_live(other.client, long)
        check(sorted(leases(other.client)) == sorted([lease, long]) and answer.TTL >= 490 and list(answer.keys) == [b"long"], "%s", answer)
        wait_until(lambda: not names(other.client, b"short"), ttl + 3 + LATE_S, "the lease expires under the new leader")
        check(time.monotonic() - start >= ttl, "the new leader did not give the whole time again")
        check(names(other.client, b"long") == [(b"long", long)], "the long lease went as well")


def test_followers_grant_attach_tell_revoke_and_list():
    with Cluster(3) as cluster:
        one, two = cluster.followers()
        lease = grant(one.client, 300).ID
        check(put(two.client, b"f", lease).code == "OK" and lease in leases(two.client) and lease in leases(one.client), "the other follower")
        for member in cluster.members:
            answer = time_to_live(member.client, lease)
            check(290 < answer.TTL <= 300 and answer.grantedTTL == 300 and list(answer.keys) == [b"f"], "%s: %s", member.name, answer)
            check(time_to_live(member.client, 4711).TTL == -1, "%s: an unknown lease", member.name)
        futures = [two.client.send("LeaseTimeToLive", rpc.LeaseTimeToLiveRequest(ID=lease)) for _ in range(200)]
        check(all(290 < future.result().TTL <= 300 for future in futures), "many at once")
        check(revoke(two.client, lease).code == "OK" and not names(one.client, b"f") and lease not in leases(one.client), "revoked")


def test_leases_and_their_keys_are_there_after_restarts_from_log_and_snapshot():
    needs_kvd("--experimental-snapshot-catchup-entries and snapshots as often as wanted")
    with Cluster(1, flags=["--snapshot-count", "50"]) as cluster:
        member = cluster.members[0]
        a, b, gone = grant(member.client, 600).ID, grant(member.client, 601, 77).ID, grant(member.client, 600).ID
        put(member.client, b"a1", a)
        put(member.client, b"a2", a)
        put(member.client, b"b1", b)
        revoke(member.client, gone)
        for when in ("log", "snapshot"):
            member.kill()
            member.start()
            check(leases(member.client) == sorted([a, b]), "%s: %s", when, leases(member.client))
            check(list(time_to_live(member.client, a).keys) == [b"a1", b"a2"] and time_to_live(member.client, 77).grantedTTL == 601, when)
            for i in range(2000):
                put(member.client, b"fill%d" % (i % 10))
            snapshots = os.path.join(member.data_dir, "member", "snap")
            check(any(name.endswith(".snap") for _, _, names_ in os.walk(member.data_dir) for name in names_), "no snapshot in %s", snapshots)
        before = revision(member.client)
        check(revoke(member.client, a).code == "OK" and revision(member.client) == before + 1, "revoke after the restart")
        check(not names(member.client, b"a") and names(member.client, b"b") == [(b"b1", 77)], "keys after the revoke")


def test_a_full_store_grants_nothing_and_revokes_all_the_same():
    quota = 400000
    with Cluster(1, flags=["--quota-backend-bytes", str(quota if not _is_etcd() else 1 << 20)]) as cluster:
        client = cluster.members[0].client
        lease = grant(client, 600).ID
        put(client, b"leased", lease)
        for i in range(100000):
            if client.ask("Put", rpc.PutRequest(key=b"k%d" % i, value=b"v" * 1000)).code != "OK":
                break
        refused = client.ask("LeaseGrant", rpc.LeaseGrantRequest(TTL=60))
        check(outcome(refused) == ("RESOURCE_EXHAUSTED", "etcdserver: mvcc: database space exceeded"), "%s", refused)
        check(revoke(client, lease).code == "OK" and not names(client, b"leased"), "a revoke needs no room")


def _is_etcd():
    from kvtest import is_kvd
    return not is_kvd()


def run(tool, member, *words):
    done = subprocess.run([tool, "--endpoints", member.client_url] + list(words), capture_output=True, text=True,
                          env=clean_environment(ETCDCTL_API="3"), timeout=20)
    return done.returncode, done.stdout.strip(), done.stderr.strip()


def test_the_tools_grant_attach_show_list_and_revoke():
    with Cluster(1) as cluster:
        member = cluster.members[0]
        for tool in ["etcdctl"] + ([KVCTL] if os.access(KVCTL, os.X_OK) else []):
            code, out, err = run(tool, member, "lease", "grant", "400")
            check(code == 0 and out.startswith("lease ") and out.endswith(" granted with TTL(400s)"), "%s: %s %s", tool, out, err)
            lease = out.split()[1]
            check(run(tool, member, "put", "--lease", lease, "tool/key", "v")[:2] == (0, "OK"), "%s: put --lease", tool)
            code, out, err = run(tool, member, "lease", "timetolive", lease, "--keys")
            check(code == 0 and out.startswith("lease %s granted with TTL(400s), remaining(" % lease) and
                  out.endswith("attached keys([tool/key])"), "%s: %s %s", tool, out, err)
            code, out, err = run(tool, member, "lease", "list")
            check(code == 0 and out.splitlines() == ["found 1 leases", lease], "%s: %s %s", tool, out, err)
            check(run(tool, member, "lease", "revoke", lease)[:2] == (0, "lease %s revoked" % lease), "%s: revoke", tool)
            code, out, err = run(tool, member, "lease", "timetolive", lease)
            check(code == 0 and out == "lease %s already expired" % lease, "%s: %s %s", tool, out, err)
            code, out, err = run(tool, member, "lease", "revoke", lease)
            check(code == 1 and "requested lease not found" in err, "%s: %s %s", tool, out, err)


def expired_within(client, key, seconds):
    """How long it took from now on until the key was gone; it must be within these seconds and the lateness of a busy machine."""
    since = time.monotonic()
    wait_until(lambda: not client.get(key).kvs, seconds + LATE_S, "%s expires" % key)
    return time.monotonic() - since


def test_a_step_of_the_wall_clock_ends_no_lease_early_and_none_late():
    """Expiry is on the monotonic clock: forwards ends nothing, back keeps nothing alive; checkpoints on the way."""
    needs_kvd("another server's clocks are its own affair")
    with Cluster(1, flags=("--lease-checkpoint-interval=1s",)) as cluster:
        member = cluster.members[0]
        member.terminate()
        library = os.path.join(cluster.directory, "wall_clock.so")
        clock = os.path.join(cluster.directory, "wall_clock")
        source = os.path.join(ROOT, "test", "integration", "wall_clock.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
        asan = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        member.start(environment=clean_environment(LD_PRELOAD=library, KVTEST_WALL_CLOCK=clock, ASAN_OPTIONS=asan))
        member.wait_ready()
        client, day = member.client, 24 * 3600
        long, short = grant(client, 600).ID, grant(client, 4).ID
        put(client, b"long", long)
        put(client, b"short", short)
        for wrong_by in (-day, 400 * day):
            with open(clock + ".new", "w", encoding="ascii") as file:
                file.write("%d\n" % wrong_by)
            os.rename(clock + ".new", clock)
            granted, other = time.monotonic(), grant(client, 3).ID
            put(client, b"other", other)
            left = time_to_live(client, long).TTL
            check(580 <= left <= 600, "a wall clock that is wrong by %d s leaves %d s of 600", wrong_by, left)
            expired_within(client, b"other", 3)
            check(time.monotonic() - granted >= 3, "a lease of 3 s ended after %.1f s, the clock wrong by %d s",
                  time.monotonic() - granted, wrong_by)
        check(not client.get(b"short").kvs and client.get(b"long").kvs, "the short one is over, the long one is not")
        client.close()
        member.terminate()
        times = [line.split('"ts":"')[1][:10] for line in member.log().splitlines() if '"ts":"' in line]
        check(len(set(times)) > 1, "the log shows that the clock has stepped: %s", sorted(set(times)))


if __name__ == "__main__":
    main(globals(), BUDGET_S)
