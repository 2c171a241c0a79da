#!/usr/bin/python3
"""Are the rules of watches, leases, locks and elections kept that no other file here looks at, and does Debian's etcd 3.4 answer the same?

What a watcher is told of leased keys and of revisions long past, intervals at the ends of the key space, events larger than a piece,
progress behind a compaction, the shortest TTL, the lease that a lock is given, and what observers of an election hear.
"""

import os
import threading
import time

import grpc

import kvtest
from kvtest import (CHANNEL_OPTIONS, REFERENCE_BINARY, Cluster, Skip, check, electionpb, is_kvd, kvpb, lockpb, main, needs_kvd, rpc, wait_until)
from watches import NODELETE, NOPUT, Stream

BUDGET_S = 30
LEASE = 0x77

_shared = []


def _members():
    """One member of the program under test, and one of etcd."""
    if not _shared:
        if not os.access(REFERENCE_BINARY, os.X_OK):
            raise Skip("there is no " + REFERENCE_BINARY)
        for cluster in (Cluster(1), Cluster(1, binary=REFERENCE_BINARY)):
            cluster.__enter__()
            cluster.leader()
            _shared.append(cluster)
    return [cluster.members[0] for cluster in _shared]


def _same(function):
    """What the function answers of both, which must be equal: revisions run alike, since both get the same writes."""
    ours, theirs = (function(member) for member in _members())
    check(ours == theirs, "here:\n%s\nthere:\n%s", ours, theirs)
    return ours


def _put(client, key, value=b"v", lease=0):
    return client.call("Put", rpc.PutRequest(key=key, value=value, lease=lease)).header.revision


def _delete(client, key, range_end=b""):
    return client.call("DeleteRange", rpc.DeleteRangeRequest(key=key, range_end=range_end)).header.revision


def _grant(client, ttl=300, lease=0):
    return client.call("LeaseGrant", rpc.LeaseGrantRequest(TTL=ttl, ID=lease))


def _told(response):
    return [(kvpb.Event.EventType.Name(event.type), event.kv.key, event.kv.value, event.kv.create_revision, event.kv.mod_revision,
             event.kv.version, event.kv.lease) for event in response.events]


def _take(stream, count):
    """So many events, in whatever number of responses."""
    events = []
    while len(events) < count:
        events += _told(stream.next())
    return events


# --------------------------------------------------------------------------------------------------------------------
# Watches


def test_an_event_of_the_past_is_what_was_there_then_its_lease_and_version_included():
    def script(member):
        client = member.client
        _grant(client, lease=LEASE)
        start = _put(client, b"past/a", b"1", LEASE)
        _put(client, b"past/a", b"2")
        _delete(client, b"past/a")
        _put(client, b"past/a", b"3", LEASE)
        client.call("LeaseRevoke", rpc.LeaseRevokeRequest(ID=LEASE))
        with Stream(member.target) as stream:
            stream.open(b"past/a", start_revision=start)
            return _take(stream, 5)

    events = _same(script)
    check([(kind, value, version, lease) for kind, _, value, _, _, version, lease in events] ==
          [("PUT", b"1", 1, LEASE), ("PUT", b"2", 2, 0), ("DELETE", b"", 0, 0), ("PUT", b"3", 1, LEASE), ("DELETE", b"", 0, 0)], "%s", events)


def test_what_goes_with_a_lease_is_one_response_in_the_order_of_keys():
    def script(member, ends):
        client = member.client
        lease = _grant(client, 2 if ends == "expires" else 300).ID
        with Stream(member.target) as stream:
            for key in (b"with/c", b"with/a", b"with/d", b"with/b"):
                _put(client, key, lease=lease)
            stream.open(b"with/", range_end=b"with0")
            if ends == "revoked":
                client.call("LeaseRevoke", rpc.LeaseRevokeRequest(ID=lease))
            return _told(stream.next(15.0))

    for ends in ("revoked", "expires"):
        events = _same(lambda member, how=ends: script(member, how))
        check([event[1] for event in events] == [b"with/a", b"with/b", b"with/c", b"with/d"], "%s: %s", ends, events)
        check(len({event[4] for event in events}) == 1 and {event[0] for event in events} == {"DELETE"}, "%s: %s", ends, events)


def test_intervals_at_the_ends_of_the_key_space():
    def script(member):
        with Stream(member.target) as stream:
            for options in ({"key": b"", "range_end": b""}, {"key": b"\xff", "range_end": b"\0"}, {"key": b"", "range_end": b"\0"},
                            {"key": b"\0", "range_end": b"\1"}):
                check(stream.open(**options).watch_id >= 0, "%s", options)
            for key in (b"\0", b"\xff\xff", b"end"):
                _put(member.client, key)
            told = {}
            for _ in range(7):
                response = stream.next()
                told.setdefault(response.watch_id, []).extend(event[1] for event in _told(response))
                if sum(len(keys) for keys in told.values()) == 6:
                    break
            stream.quiet()
            for key in (b"\0", b"\xff\xff", b"end"):
                _delete(member.client, key)
            return sorted(told.items())

    told = _same(script)
    check(told == [(0, [b"\0"]), (1, [b"\xff\xff"]), (2, [b"\0", b"\xff\xff", b"end"]), (3, [b"\0"])], "%s", told)


def test_an_event_larger_than_a_piece_is_whole():
    value = b"x" * 1400000     # with the pair before it more than 1.5 MiB and 512 KiB

    def script(member):
        with Stream(member.target) as stream:
            stream.open(b"large", prev_kv=True, fragment=True)
            for _ in range(2):
                _put(member.client, b"large", value)
            out = [(response.fragment, len(response.events), len(response.events[0].prev_kv.value))
                   for response in (stream.next(), stream.next())]
            _delete(member.client, b"large")
            return out

    check(_same(script) == [(False, 1, 0), (False, 1, len(value))], "pieces")


def test_who_filters_everything_hears_nothing():
    def script(member):
        with Stream(member.target) as stream:
            stream.open(b"filter", filters=[NOPUT, NODELETE])
            stream.open(b"filter", filters=[NODELETE, NODELETE])
            _put(member.client, b"filter")
            _delete(member.client, b"filter")
            response = stream.next()
            stream.quiet()
            return response.watch_id, [event[0] for event in _told(response)]

    check(_same(script) == (1, ["PUT"]), "filters")


def test_progress_comes_behind_the_events_of_a_past_that_is_compacted_meanwhile():
    needs_kvd("answers when it is in sync")
    member = _members()[0]
    client = member.client
    for round_ in range(3):
        start = _put(client, b"behind")
        last = [_put(client, b"behind", b"y" * 2000) for _ in range(60)][-1]
        with Stream(member.target) as stream:
            stream.create(b"behind", start_revision=start)
            stream.progress()
            client.call("Compact", rpc.CompactionRequest(revision=last))
            created, told, response = stream.next(), 0, stream.next()
            while response.events:
                told += len(response.events)
                response = stream.next()
            if response.canceled:   # the compaction was first
                check(response.compact_revision == last and told == 0, "round %d: %s", round_, response)
                continue
            check(created.created and (response.watch_id, told) == (-1, 61) and response.header.revision >= last,
                  "round %d: progress %d behind %d events up to %d", round_, response.header.revision, told, last)


# --------------------------------------------------------------------------------------------------------------------
# Leases


def test_the_shortest_ttl_is_one_and_a_half_election_timeouts():
    flags = ["--heartbeat-interval", "400", "--election-timeout", "4000"]
    answers = []
    for binary in ([None] if not is_kvd() else [None, REFERENCE_BINARY]):
        with Cluster(1, flags=flags, **({"binary": binary} if binary else {})) as cluster:
            client = cluster.leader().client
            answers.append([_grant(client, ttl).TTL for ttl in (-1, 0, 1, 5, 6, 7)])
    check(all(answer == [6, 6, 6, 6, 6, 7] for answer in answers), "%s", answers)


def test_a_renewal_says_at_least_the_revision_that_was_there_before_it():
    def script(member):
        client = member.client
        lease = _grant(client).ID
        with kvtest.Stream(member.target, "/etcdserverpb.Lease/LeaseKeepAlive", rpc.LeaseKeepAliveResponse) as stream:
            for _ in range(5):
                revision = _put(client, b"renewed", lease=lease)
                stream.send(rpc.LeaseKeepAliveRequest(ID=lease))
                answer = stream.next()
                check(answer.header.revision >= revision and answer.TTL == 300 and answer.ID == lease, "%s behind %d", answer, revision)
        client.call("LeaseRevoke", rpc.LeaseRevokeRequest(ID=lease))

    _same(script)


# --------------------------------------------------------------------------------------------------------------------
# Locks and elections


def test_a_lock_without_a_lease_has_one_of_60_seconds_that_nobody_renews():
    def script(member):
        client = member.client
        for method, request in (("Lock", lockpb.LockRequest(name=b"own")), ("Campaign", electionpb.CampaignRequest(name=b"own/e", value=b"v"))):
            answer = client.call(method, request)
            key = answer.key if method == "Lock" else answer.leader.key
            lease = client.get(key).kvs[0].lease
            check(key == request.name + b"/%x" % lease and lease > 0, "%s: key %s, lease %x", method, key, lease)
            left = client.call("LeaseTimeToLive", rpc.LeaseTimeToLiveRequest(ID=lease, keys=True))
            check(left.grantedTTL == 60 and 0 < left.TTL <= 60 and list(left.keys) == [key], "%s: %s", method, left)
            time.sleep(1.5)
            later = client.call("LeaseTimeToLive", rpc.LeaseTimeToLiveRequest(ID=lease))
            check(later.TTL < left.TTL, "%s: it is renewed: %d, then %d", method, left.TTL, later.TTL)
            client.call("LeaseRevoke", rpc.LeaseRevokeRequest(ID=lease))

    for member in _members():
        script(member)


def _observe(member, name, told):
    channel = grpc.insecure_channel(member.target, options=CHANNEL_OPTIONS)
    call = channel.unary_stream("/v3electionpb.Election/Observe", request_serializer=electionpb.LeaderRequest.SerializeToString,
                                response_deserializer=electionpb.LeaderResponse.FromString)(electionpb.LeaderRequest(name=name))

    def read():
        try:
            for response in call:
                told.append((response.kv.key, response.kv.value, response.kv.version, response.kv.lease))
        except grpc.RpcError:
            pass

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return call, thread, channel


def test_an_observer_hears_the_leader_and_each_change():
    def script(member):
        client, told = member.client, []
        for lease in (0xe1, 0xe2):
            _grant(client, lease=lease)
        first = client.call("Campaign", electionpb.CampaignRequest(name=b"obs", lease=0xe1, value=b"1")).leader
        call, thread, channel = _observe(member, b"obs", told)
        wait_until(lambda: len(told) == 1, 10, "the leader that is there")
        for number, value in enumerate((b"2", b"3")):
            client.call("Proclaim", electionpb.ProclaimRequest(leader=first, value=value))
            wait_until(lambda count=number + 2: len(told) == count, 10, "what it proclaims")
        client.call("Resign", electionpb.ResignRequest(leader=first))
        second = client.call("Campaign", electionpb.CampaignRequest(name=b"obs", lease=0xe2, value=b"4")).leader
        wait_until(lambda: len(told) == 4, 10, "the next leader")
        client.call("Resign", electionpb.ResignRequest(leader=second))
        call.cancel()
        thread.join()
        channel.close()
        for lease in (0xe1, 0xe2):
            client.call("LeaseRevoke", rpc.LeaseRevokeRequest(ID=lease))
        return told

    told = _same(script)
    check([value for _, value, _, _ in told] == [b"1", b"2", b"3", b"4"], "%s", told)


def test_both_are_well_after_all_of_this():
    for cluster in _shared:
        code = cluster.members[0].terminate()
        check(code == 0 or not is_kvd() or cluster is not _shared[0], "exit code %d", code)
        cluster.__exit__(None, None, None)
    _shared.clear()


if __name__ == "__main__":
    main(globals(), BUDGET_S)
