#!/usr/bin/python3
"""Does every member answer as the API says: the traps, the error texts and codes, the order of checks, the limits?

One cluster of three serves most tests; each question goes to the leader and to the followers alike. Where etcd can be asked the
same (test_differential.py), this suite says in sentences what there is compared in bulk. It runs against etcd 3.4 too; what that
one lacks or does otherwise is skipped by name.
"""

import contextlib
import itertools
import os
import random
import subprocess
import tempfile
import threading
import time

import grpc
from google.protobuf import descriptor_pb2

import requests
from kvtest import (BINARY, CHANNEL_OPTIONS, IS_SHORT, ROOT, Client, Cluster, check, health, is_kvd, main, needs_kvd, pick,
                    rpc, shared_cluster, take_shared_cluster, wait_until)

BUDGET_S = 45
MIB = 1 << 20
GRPC_BYTES_MAX = requests.REQUEST_BYTES_MAX + 512 * 1024
UNKNOWN_LEASE = 4711
MISSING = b"no such key"
INVALID, RANGE, EXHAUSTED = "INVALID_ARGUMENT", "OUT_OF_RANGE", "RESOURCE_EXHAUSTED"
EMPTY_KEY = (INVALID, "etcdserver: key is not provided")
KEY_NOT_FOUND = (INVALID, "etcdserver: key not found")
VALUE_PROVIDED = (INVALID, "etcdserver: value is provided")
LEASE_PROVIDED = (INVALID, "etcdserver: lease is provided")
LEASE_NOT_FOUND = ("NOT_FOUND", "etcdserver: requested lease not found")
TOO_MANY_OPS = (INVALID, "etcdserver: too many operations in txn request")
DUPLICATE_KEY = (INVALID, "etcdserver: duplicate key given in txn request")
BAD_SORT = (INVALID, "etcdserver: invalid sort option")
COMPACTED = (RANGE, "etcdserver: mvcc: required revision has been compacted")
FUTURE_REV = (RANGE, "etcdserver: mvcc: required revision is a future revision")
TOO_LARGE = (INVALID, "etcdserver: request is too large")
NO_SPACE = (EXHAUSTED, "etcdserver: mvcc: database space exceeded")
NO_LEADER = ("UNAVAILABLE", "etcdserver: no leader")
TIMEOUT = ("UNAVAILABLE", "etcdserver: request timed out")


def _clients():
    """A client of every member, the leader's first; each test gets keys of its own below its prefix."""
    cluster = shared_cluster()
    leader = cluster.leader()
    return [leader.client] + [member.client for member in cluster.members if member is not leader]


def _get(key, **options):
    return rpc.RequestOp(request_range=rpc.RangeRequest(key=key, **options))


def _put(key, value=b"v", **options):
    return rpc.RequestOp(request_put=rpc.PutRequest(key=key, value=value, **options))


def _delete(key, **options):
    return rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=key, **options))


def _nest(*success, failure=(), compare=()):
    return rpc.RequestOp(request_txn=rpc.TxnRequest(compare=compare, success=success, failure=failure))


def _txn(client, *success, failure=(), compare=()):
    return client.call("Txn", rpc.TxnRequest(compare=compare, success=success, failure=failure))


def _refusal(client, method, request, expected):
    reply = client.ask(method, request)
    check((reply.code, reply.text) == expected, "%s %s\nexpected %s, not %s", method, str(request)[:500], expected, reply)


def _refused_txn(client, expected, *success, failure=(), compare=()):
    _refusal(client, "Txn", rpc.TxnRequest(compare=compare, success=success, failure=failure), expected)


def _revision(client):
    return client.get(MISSING).header.revision


# --------------------------------------------------------------------------------------------------------------------
# The traps, in the order in which the API's reference lists them


def test_a_delete_of_nothing_keeps_the_revision():
    for client in _clients():
        before = _revision(client)
        reply = client.call("DeleteRange", rpc.DeleteRangeRequest(key=b"t1/", range_end=b"t10"))
        check(reply.deleted == 0 and reply.header.revision == before, "%s", reply)
        reply = _txn(client, _delete(b"t1/"), _get(b"t1/"))
        check(reply.header.revision == before, "%s", reply)
        failed = _txn(client, _put(b"t1/"), compare=[rpc.Compare(key=b"t1/", result=1)])
        check(not failed.succeeded and failed.header.revision == before, "%s", failed)
        check(_revision(client) == before, "the revision moved")


def test_count_ignores_limit_and_filters():
    for client in _clients():
        revisions = [client.put(b"t2/%d" % n, b"v").header.revision for n in range(5)]
        for options in ({"limit": 2}, {"min_mod_revision": revisions[3]}, {"max_create_revision": revisions[0] - 1},
                        {"limit": 1, "sort_order": 2, "sort_target": 3}, {"count_only": True, "limit": 1}):
            reply = client.get(b"t2/", range_end=b"t20", **options)
            check(reply.count == 5, "%s: %s", options, reply)
        reply = client.get(b"t2/", range_end=b"t20", min_mod_revision=revisions[2], limit=2)
        check([kv.key for kv in reply.kvs] == [b"t2/2", b"t2/3"] and reply.more, "%s", reply)
        client.call("DeleteRange", rpc.DeleteRangeRequest(key=b"t2/", range_end=b"t20"))


def test_a_read_at_the_compacted_revision_works_and_below_it_not():
    needs_kvd("whole refusals: members differ after a refused txn")
    for number, client in enumerate(_clients()):
        key = b"t3/%d" % number
        first, second = (client.put(key, value).header.revision for value in (b"1", b"2"))
        client.put(key, b"3")
        client.call("Compact", rpc.CompactionRequest(revision=second, physical=number != 0))
        for other in _clients():
            wait_until(lambda: _revision(other) >= second, 5, "a member applies")
            check(other.get(key, revision=second).kvs[0].value == b"2", "the compacted revision is not readable")
            _refusal(other, "Range", rpc.RangeRequest(key=key, revision=first), COMPACTED)
            _refusal(other, "Compact", rpc.CompactionRequest(revision=second), COMPACTED)
            _refusal(other, "Compact", rpc.CompactionRequest(revision=first), COMPACTED)
            _refused_txn(other, COMPACTED, _put(key), _get(key, revision=first))
        check(client.get(key).kvs[0].value == b"3", "a compaction lost the present")


def test_a_value_compare_on_a_missing_key_is_false_even_not_equal():
    for client, result in itertools.product(_clients(), range(4)):
        for options in ({}, {"range_end": b"t4/z"}):
            compare = rpc.Compare(key=b"t4/a", target=rpc.Compare.VALUE, result=result, value=b"x", **options)
            check(not _txn(client, compare=[compare]).succeeded, "result %d holds for a missing key", result)
    for client in _clients():
        for target, union in ((rpc.Compare.VERSION, "version"), (rpc.Compare.CREATE, "create_revision"),
                              (rpc.Compare.MOD, "mod_revision"), (rpc.Compare.LEASE, "lease")):
            compare = rpc.Compare(key=b"t4/a", target=target, **{union: 0})
            check(_txn(client, compare=[compare]).succeeded, "%s of a missing key is not 0", union)


def test_nested_compares_see_the_state_before_the_transaction():
    for number, client in enumerate(_clients()):
        key = b"t5/%d" % number
        is_missing = rpc.Compare(key=key, target=rpc.Compare.VERSION, version=0)
        reply = _txn(client, _put(key, b"outer"), _nest(_get(key), failure=[_put(b"t5/wrong")], compare=[is_missing]))
        inner = reply.responses[1].response_txn
        check(inner.succeeded, "the nested compare saw the outer put")
        check(inner.responses[0].response_range.kvs[0].value == b"outer", "the nested range did not see the outer put")


def test_a_bad_lease_on_the_taken_path_fails_the_whole_transaction():
    for number, client in enumerate(_clients()):
        key = b"t6/%d" % number
        before = _revision(client)
        bad = _put(key, lease=UNKNOWN_LEASE)
        _refusal(client, "Put", bad.request_put, LEASE_NOT_FOUND)
        _refused_txn(client, LEASE_NOT_FOUND, _put(key + b"x"), bad)
        _refused_txn(client, LEASE_NOT_FOUND, _put(key + b"x"), _nest(_nest(bad)))
        check(client.get(key + b"x").count == 0 and _revision(client) == before, "something of it was done")
        reply = _txn(client, _put(key + b"x"), failure=[bad])
        check(reply.succeeded and reply.header.revision == before + 1, "the other branch was looked at: %s", reply)


def test_put_and_delete_that_overlap_are_refused_in_either_order():
    needs_kvd("overlaps in nested transactions")
    deletes = [_delete(b"t7/k"), _delete(b"t7/a", range_end=b"t7/z"), _delete(b"t7/a", range_end=b"\0"),
               _delete(b"\0", range_end=b"\0"), _delete(b"t7/k", range_end=b"t7/k\0")]
    for client, delete in itertools.product(_clients(), deletes):
        for one, two in itertools.permutations((_put(b"t7/k"), delete)):
            _refused_txn(client, DUPLICATE_KEY, one, two)
            _refused_txn(client, DUPLICATE_KEY, failure=[one, two])
            _refused_txn(client, DUPLICATE_KEY, _nest(one), two)
            _refused_txn(client, DUPLICATE_KEY, one, _nest(failure=[two]))
            _refused_txn(client, DUPLICATE_KEY, _nest(one), _nest(two))
    for client in _clients():
        _refused_txn(client, DUPLICATE_KEY, _put(b"t7/k"), _put(b"t7/k"))
        _refused_txn(client, DUPLICATE_KEY, _put(b"t7/k"), _nest(failure=[_nest(_put(b"t7/k"))]))
        _txn(client, _put(b"t7/k"), failure=[_put(b"t7/k"), _delete(b"t7/x")])
        _txn(client, _nest(_put(b"t7/k"), failure=[_put(b"t7/k")]))
        _txn(client, _delete(b"t7/a", range_end=b"t7/z"), _delete(b"t7/k"), _put(b"t7/z"))


def test_the_header_of_an_old_read_is_current():
    for number, client in enumerate(_clients()):
        key = b"t8/%d" % number
        old = client.put(key, b"1").header.revision
        now = client.put(key, b"2").header.revision
        reply = client.get(key, revision=old)
        check(reply.header.revision >= now and reply.kvs[0].value == b"1", "%s", reply)
        _refusal(client, "Range", rpc.RangeRequest(key=key, revision=now + 1000), FUTURE_REV)
        _refusal(client, "Compact", rpc.CompactionRequest(revision=now + 1000), FUTURE_REV)


def test_count_only_has_no_pairs_and_no_more():
    for client in _clients():
        for n in range(3):
            client.put(b"t16/%d" % n, b"v")
        reply = client.get(b"t16/", range_end=b"t160", count_only=True, limit=1)
        check(reply.count == 3 and not reply.kvs and not reply.more, "%s", reply)


def test_an_empty_transaction_succeeds():
    for client in _clients():
        revision = _revision(client)    # linearizable: what comes next reads this member's state alone, which is as new now
        reply = _txn(client)
        check(reply.succeeded and not reply.responses and reply.header.revision == revision, "%s", reply)


def test_nested_responses_carry_the_revision_and_no_ids():
    for number, client in enumerate(_clients()):
        key = b"t19/%d" % number
        before = _revision(client)
        reply = _txn(client, _get(key), _put(key), _get(key), _delete(b"t19/none"), _nest(_get(key)))
        revisions = []
        for answer in reply.responses:
            header = getattr(answer, answer.WhichOneof("response")).header
            check((header.cluster_id, header.member_id, header.raft_term) == (0, 0, 0), "%s", answer)
            revisions.append(header.revision)
        check(revisions == [before, before + 1, before + 1, before + 1, 0], "%s", revisions)
        check(reply.responses[4].response_txn.responses[0].response_range.header.revision == before + 1, "%s", reply)
        check(reply.header.revision == before + 1, "%s", reply)


def test_an_empty_range_end_is_one_key_and_a_zero_byte_is_the_rest():
    for client in _clients():
        for name in (b"t20/a", b"t20/b", b"t20/c"):
            client.put(name, b"v")
        counts = [client.get(b"t20/b", range_end=end, count_only=True).count for end in (b"", b"t20/b", b"t20/a", b"t20/b\0")]
        check(counts == [1, 0, 0, 1], "%s", counts)
        rest = client.get(b"t20/b", range_end=b"\0").kvs
        check(rest[0].key == b"t20/b" and all(kv.key >= b"t20/b" for kv in rest) and len(rest) >= 2, "from a key on")
        everything = client.get(b"\0", range_end=b"\0")
        check(everything.count == len(everything.kvs) > len(rest), "the whole key space")


def test_a_put_of_the_same_value_is_a_change():
    for number, client in enumerate(_clients()):
        key = b"t21/%d" % number
        first = client.put(key, b"same").header.revision
        second = client.put(key, b"same").header.revision
        kv = client.get(key).kvs[0]
        check(second == first + 1 and (kv.version, kv.create_revision, kv.mod_revision) == (2, first, second), "%s", kv)


# --------------------------------------------------------------------------------------------------------------------
# Order of checks


def test_a_range_is_checked_for_key_then_sort_then_revision():
    needs_kvd("the check of sort numbers")
    for client in _clients():
        far = _revision(client) + 10000
        for options, expected in (({"key": b"", "sort_order": 7, "revision": far}, EMPTY_KEY),
                                  ({"key": b"a", "sort_order": 7, "revision": far}, BAD_SORT),
                                  ({"key": b"a", "sort_target": 5, "revision": 1}, BAD_SORT),
                                  ({"key": b"a", "sort_order": -1}, BAD_SORT),
                                  ({"key": b"a", "revision": far}, FUTURE_REV)):
            for serializable in (False, True):
                request = rpc.RangeRequest(serializable=serializable, **options)
                _refusal(client, "Range", request, expected)
                _refused_txn(client, expected, rpc.RequestOp(request_range=request))


def test_a_put_is_checked_for_key_value_lease_and_then_against_the_state():
    both = {"ignore_value": True, "ignore_lease": True, "value": b"v", "lease": UNKNOWN_LEASE}
    for client in _clients():
        for options, expected in (({"key": b"", **both}, EMPTY_KEY), ({"key": MISSING, **both}, VALUE_PROVIDED),
                                  ({"key": MISSING, **both, "value": b""}, LEASE_PROVIDED),
                                  ({"key": MISSING, "ignore_value": True, "lease": UNKNOWN_LEASE}, LEASE_NOT_FOUND),
                                  ({"key": MISSING, "ignore_value": True}, KEY_NOT_FOUND),
                                  ({"key": MISSING, "ignore_lease": True}, KEY_NOT_FOUND)):
            _refusal(client, "Put", rpc.PutRequest(**options), expected)
        # In a transaction the key is asked for before the lease.
        _refused_txn(client, KEY_NOT_FOUND, _put(MISSING, b"", ignore_value=True, lease=UNKNOWN_LEASE))
        _refusal(client, "DeleteRange", rpc.DeleteRangeRequest(range_end=b"\0"), EMPTY_KEY)


def test_a_transaction_is_checked_for_numbers_compares_operations_overlap_and_then_against_the_state():
    needs_kvd("the check of sort numbers")
    duplicate = [_put(b"order"), _put(b"order")]
    for client in _clients():
        _refused_txn(client, TOO_MANY_OPS, compare=[rpc.Compare()] * 129)
        _refused_txn(client, EMPTY_KEY, rpc.RequestOp(), compare=[rpc.Compare()])
        _refused_txn(client, KEY_NOT_FOUND, rpc.RequestOp(), failure=[_get(b"")])
        _refused_txn(client, EMPTY_KEY, _get(b""), failure=[rpc.RequestOp()])
        _refused_txn(client, VALUE_PROVIDED, *duplicate, failure=[_put(b"x", ignore_value=True)])
        _refused_txn(client, BAD_SORT, *duplicate, _nest(_get(b"a", sort_order=3)))
        _refused_txn(client, DUPLICATE_KEY, *duplicate, _put(b"x", lease=UNKNOWN_LEASE))
        _refused_txn(client, LEASE_NOT_FOUND, _get(b"a", revision=1 << 40), _put(b"x", lease=UNKNOWN_LEASE))


# --------------------------------------------------------------------------------------------------------------------
# Limits


def _put_of_size(size):
    """A PutRequest of exactly so many bytes."""
    request = rpc.PutRequest(key=b"size", value=b"v" * (size - 32))
    request.value += b"v" * (size - request.ByteSize())
    check(request.ByteSize() == size, "%d bytes, not %d", request.ByteSize(), size)
    return request


def test_requests_are_limited_to_max_request_bytes_and_messages_to_512_kib_more():
    needs_kvd("a limit without its envelope")
    for client in _clients():
        for size in (1, 1024, 65536, MIB):
            client.call("Put", _put_of_size(size + 64))
        client.call("Put", _put_of_size(requests.REQUEST_BYTES_MAX))
        check(len(client.get(b"size").kvs[0].value) > requests.REQUEST_BYTES_MAX - 64, "the largest put is not there")
        for size in (requests.REQUEST_BYTES_MAX + 1, GRPC_BYTES_MAX - 1, GRPC_BYTES_MAX):
            _refusal(client, "Put", _put_of_size(size), TOO_LARGE)
        text = "Received message larger than max (%d vs. %d)" % (GRPC_BYTES_MAX + 1, GRPC_BYTES_MAX)
        reply = client.ask("Put", _put_of_size(GRPC_BYTES_MAX + 1))
        check((reply.code, reply.text) == (EXHAUSTED, text), "%s", reply)
        client.call("DeleteRange", rpc.DeleteRangeRequest(key=b"size"))


def test_max_request_bytes_is_a_flag():
    with Cluster(1, flags=["--max-request-bytes", "10000"]) as cluster:
        client = cluster.members[0].client
        client.call("Put", _put_of_size(9900))
        _refusal(client, "Put", _put_of_size(10001), TOO_LARGE)
        check(client.ask("Put", _put_of_size(10001 + 512 * 1024)).code == EXHAUSTED, "the transport takes more")


def _chain(depth):
    op = _get(b"a")
    for _ in range(depth - 1):
        op = _nest(op)
    return rpc.TxnRequest(success=[op])


def test_operations_are_limited_to_max_txn_ops_through_nesting():
    many = [_get(b"a")] * 129
    for client in _clients():
        for lists in ({"success": many[:128]}, {"failure": many[:128]}, {"compare": [rpc.Compare(key=b"a")] * 128},
                      {"success": many[:128], "failure": many[:128], "compare": [rpc.Compare(key=b"a")] * 128},
                      {"success": many[:99] + [_nest(*many[:28])]},     # 100 outside leave 28
                      {"success": [_nest(*many[:100])] * 28}):
            client.call("Txn", rpc.TxnRequest(**lists))
        for lists in ({"success": many}, {"failure": many}, {"compare": [rpc.Compare(key=b"a")] * 129},
                      {"success": many[:99] + [_nest(*many[:29])]}, {"failure": many[:99] + [_nest(failure=many[:29])]},
                      {"compare": [rpc.Compare(key=b"a")] * 100, "success": [_nest(*many[:29])]},
                      {"success": [_nest(*many[:100])] * 29}):
            _refusal(client, "Txn", rpc.TxnRequest(**lists), TOO_MANY_OPS)
        client.call("Txn", _chain(40))
        _refusal(client, "Txn", rpc.TxnRequest(success=[_nest(*many[:128])]), TOO_MANY_OPS)


def test_max_txn_ops_is_a_flag():
    with Cluster(1, flags=["--max-txn-ops", "3"]) as cluster:
        client = cluster.members[0].client
        _txn(client, _get(b"a"), _get(b"a"), _get(b"a"))
        _txn(client, _get(b"a"), _nest(_get(b"a")))
        _refused_txn(client, TOO_MANY_OPS, *[_get(b"a")] * 4)
        _refused_txn(client, TOO_MANY_OPS, _get(b"a"), _nest(_get(b"a"), _get(b"a")))


def test_the_quota_refuses_puts_and_only_puts_until_there_is_room():
    needs_kvd("the cost of nested puts, and room without defragmentation")
    with Cluster(1, flags=["--quota-backend-bytes", str(4 * MIB)]) as cluster:
        client = cluster.members[0].client
        check(client.status().dbSizeQuota == 4 * MIB, "the quota is %d", client.status().dbSizeQuota)
        def is_full():
            return client.ask("Put", rpc.PutRequest(key=b"fill", value=b"v" * 100000)).code == EXHAUSTED
        wait_until(is_full, 20, "the quota is reached", interval_s=0)
        _refusal(client, "Put", rpc.PutRequest(key=b"fill", value=b"v" * 100000), NO_SPACE)
        _refusal(client, "Put", rpc.PutRequest(value=b"v" * 100000), NO_SPACE)      # before the request's own rules
        _refused_txn(client, NO_SPACE, _get(b"a"), failure=[_nest(_put(b"a", b"v" * 100000))])
        check(client.get(b"fill").count == 1, "a range is refused")
        _txn(client, _delete(b"nothing"), _get(b"fill"))
        revision = client.call("DeleteRange", rpc.DeleteRangeRequest(key=b"fill")).header.revision
        client.call("Compact", rpc.CompactionRequest(revision=revision))
        wait_until(lambda: client.status().dbSize < MIB, 5, "there is room again, without any write in between")
        check(is_full(), "the alarm went away by itself")
        disarm = rpc.AlarmRequest(action=rpc.AlarmRequest.DEACTIVATE, alarm=rpc.NOSPACE, memberID=client.status().header.member_id)
        check(len(client.call("Alarm", disarm).alarms) == 1, "there was no alarm")
        check(not is_full(), "there is room, and no alarm")


# --------------------------------------------------------------------------------------------------------------------
# Headers, Status, MemberList, health


def test_headers_name_the_member_that_answers():
    members = _clients()[0].call("MemberList", rpc.MemberListRequest()).members
    by_url = {url: member.ID for member in members for url in member.clientURLs}
    clusters = set()
    for member in shared_cluster().members:
        status = member.client.status()
        for reply in (member.client.get(MISSING), member.client.get(MISSING, serializable=True), _txn(member.client),
                      member.client.put(b"header", b"1"), _txn(member.client, _put(b"header")),
                      member.client.call("DeleteRange", rpc.DeleteRangeRequest(key=b"header")),
                      member.client.call("MemberList", rpc.MemberListRequest(linearizable=True)), status):
            check(reply.header.member_id == by_url[member.client_url], "%s", reply)
            check(reply.header.raft_term == status.raftTerm > 0, "%s", reply)
            clusters.add(reply.header.cluster_id)
    check(len(clusters) == 1 and 0 not in clusters, "%s", clusters)


def test_status_tells_of_version_sizes_leader_and_log():
    needs_kvd("fields of 3.6")
    statuses = [client.status() for client in _clients()]
    for status in statuses:
        check(status.dbSize >= status.dbSizeInUse > 0, "%s", status)
        check(status.raftIndex >= status.raftAppliedIndex > 0 and status.raftTerm == status.header.raft_term, "%s", status)
        check(not status.isLearner and not status.errors and status.header.revision > 1, "%s", status)
        check(status.version.startswith("3.6.") and status.storageVersion == "3.6.0", "%s", status)
        check(status.dbSizeQuota == 2048 * MIB and not status.HasField("downgradeInfo"), "%s", status)
    check({status.leader for status in statuses} == {statuses[0].header.member_id}, "they disagree about the leader")
    for client in _clients():
        client.get(b"status")   # what the others wrote is there: Status tells of the member alone
        before = client.status()
        client.put(b"status", b"v" * 50000)
        after = client.status()
        check(after.raftIndex > before.raftIndex and after.raftAppliedIndex > before.raftAppliedIndex, "%s", after)
        check(after.dbSizeInUse > 0 and after.header.revision == before.header.revision + 1, "%s", after)


def test_a_negative_quota_is_none():
    needs_kvd("dbSizeQuota")
    with Cluster(1, flags=["--quota-backend-bytes", "-1"]) as cluster:
        check(cluster.members[0].client.status().dbSizeQuota == 0, "%s", cluster.members[0].client.status())


def test_member_list_is_sorted_and_complete_and_its_header_has_no_revision():
    cluster = shared_cluster()
    expected = {member.name: (member.peer_url, member.client_url) for member in cluster.members}
    for client, linearizable in itertools.product(_clients(), (False, True)):
        reply = client.call("MemberList", rpc.MemberListRequest(linearizable=linearizable))
        ids = [member.ID for member in reply.members]
        seen = {member.name: (member.peerURLs[0], member.clientURLs[0]) for member in reply.members}
        check(ids == sorted(ids) and seen == expected and reply.header.revision == 0, "%s", reply)
        check(not any(member.isLearner for member in reply.members), "%s", reply)


def _raw_channel(member):
    return grpc.insecure_channel(member.target, options=CHANNEL_OPTIONS)


def test_health_is_serving_for_the_server_and_unknown_for_anything_else():
    for client in _clients():
        check(client.call("Health", health.HealthCheckRequest()).status == 1, "not SERVING")
        _refusal(client, "Health", health.HealthCheckRequest(service="etcdserverpb.KV"), ("NOT_FOUND", "unknown service"))


def _watch_health(channel, service=""):
    call = channel.unary_stream("/grpc.health.v1.Health/Watch", request_serializer=health.HealthCheckRequest.SerializeToString,
                                response_deserializer=health.HealthCheckResponse.FromString)
    return call(health.HealthCheckRequest(service=service))


def test_health_watch_tells_at_once_and_stays_open():
    with Cluster(1) as cluster:
        member = cluster.members[0]
        with _raw_channel(member) as channel:
            watches = [_watch_health(channel) for _ in range(3)]
            check([next(watch).status for watch in watches] == [1, 1, 1], "not SERVING")
            check(next(_watch_health(channel, "etcdserverpb.KV")).status == 3, "not SERVICE_UNKNOWN")
            for _ in range(100):        # those that went away do not count
                watch = _watch_health(channel)
                check(next(watch).status == 1, "not SERVING")
                watch.cancel()
            check(not any(watch.done() for watch in watches), "a watch ended by itself")
            start = time.monotonic()
            check(member.terminate() == 0, "the exit code")
            check(time.monotonic() - start < 3, "open watches held the end up")
            for watch in watches:
                try:
                    next(watch)
                    check(False, "a message after the end")
                except grpc.RpcError as error:
                    check(error.code() == grpc.StatusCode.UNAVAILABLE, "%s", error)


def test_requests_may_come_gzipped():
    needs_kvd("gzip")
    for member in shared_cluster().members:
        with _raw_channel(member) as channel:
            put = channel.unary_unary("/etcdserverpb.KV/Put", response_deserializer=rpc.PutResponse.FromString)
            body = rpc.PutRequest(key=b"gzip", value=b"v" * 100000).SerializeToString()
            put(body, timeout=10, compression=grpc.Compression.Gzip)
            check(len(member.client.get(b"gzip").kvs[0].value) == 100000, "the value arrived as something else")


def test_what_gzip_makes_small_is_held_to_the_limit_and_costs_no_more_memory():
    needs_kvd("gzip")
    refused = ("RESOURCE_EXHAUSTED", "kvd: the message is larger than this server takes once it is decompressed")
    size = pick(32, 128, 512) * MIB
    with Cluster(1) as cluster:
        member = cluster.members[0]
        before = _peak_bytes(member)
        bomb = rpc.PutRequest(key=b"bomb", value=bytes(size)).SerializeToString()
        with _raw_channel(member) as channel:
            put = channel.unary_unary("/etcdserverpb.KV/Put", response_deserializer=rpc.PutResponse.FromString)
            watch = channel.stream_stream("/etcdserverpb.Watch/Watch", response_deserializer=rpc.WatchResponse.FromString)
            keep = channel.stream_stream("/etcdserverpb.Lease/LeaseKeepAlive")
            for call in (lambda: put(bomb, timeout=20, compression=grpc.Compression.Gzip),
                         lambda: list(watch(iter([bomb]), timeout=20, compression=grpc.Compression.Gzip)),
                         lambda: list(keep(iter([bomb]), timeout=20, compression=grpc.Compression.Gzip))):
                check(_outcome(call) == refused, "%s", _outcome(call))
        with grpc.insecure_channel("127.0.0.1:%d" % member.peer_port, options=CHANNEL_OPTIONS) as channel:
            stream = channel.stream_stream("/kvd.Peer/Stream")
            ended = _outcome(lambda: list(stream(iter([bomb]), timeout=20, compression=grpc.Compression.Gzip)))
            check(ended == ("FAILED_PRECONDITION", "its hello is garbage"), "between members nothing is compressed: %s", ended)
        grown = _peak_bytes(member) - before
        check(IS_SHORT or grown < size // 4, "%d MiB more for a message of %d MiB", grown // MIB, size // MIB)
        check(not member.client.get(b"bomb").kvs, "it was written")


# --------------------------------------------------------------------------------------------------------------------
# What is not built yet


def _methods():
    """(path, is the request a stream, is the response one) of every method in proto/."""
    with tempfile.NamedTemporaryFile() as out:
        proto = os.path.join(ROOT, "proto")
        files = ["etcdserverpb/rpc.proto", "v3lockpb/v3lock.proto", "v3electionpb/v3election.proto", "grpc/health/v1/health.proto"]
        subprocess.run(["protoc", "--proto_path=" + proto, "--descriptor_set_out=" + out.name] + files, cwd=proto, check=True)
        described = descriptor_pb2.FileDescriptorSet.FromString(out.read())
    for file, service in ((file, service) for file in described.file for service in file.service):
        for method in service.method:
            yield "/%s.%s/%s" % (file.package, service.name, method.name), method.client_streaming, method.server_streaming


BUILT = ("/etcdserverpb.KV/", "Lease/LeaseGrant", "Lease/LeaseRevoke", "Lease/LeaseTimeToLive", "Lease/LeaseLeases",
         "Lease/LeaseKeepAlive", "Maintenance/Alarm", "Maintenance/Status", "Maintenance/Defragment", "Maintenance/Hash",
         "Maintenance/MoveLeader", "Maintenance/Downgrade", "Maintenance/Snapshot", "Cluster/MemberList", "Auth/Authenticate", "/grpc.health.v1.Health/", "/etcdserverpb.Watch/", "/v3lockpb.Lock/", "/v3electionpb.Election/")


def test_authenticate_says_that_there_is_no_authentication():
    needs_kvd("a server without authentication")
    with _raw_channel(shared_cluster().members[0]) as channel:
        try:
            channel.unary_unary("/etcdserverpb.Auth/Authenticate")(rpc.AuthenticateRequest(name="root", password="x").SerializeToString(), timeout=10)
            check(False, "there is an answer")
        except grpc.RpcError as error:
            check(error.code() == grpc.StatusCode.FAILED_PRECONDITION and error.details() == "etcdserver: authentication is not enabled", "%s", error)


def test_every_method_that_is_not_built_answers_unimplemented():
    needs_kvd("missing methods")
    methods = list(_methods())
    check(len(methods) == 42 + 2 + 5 + 2, "%d methods", len(methods))
    for member in shared_cluster().members:
        with _raw_channel(member) as channel:
            for path, is_client_stream, is_server_stream in methods:
                if any(name in path for name in BUILT):
                    continue
                kind = ("stream" if is_client_stream else "unary") + "_" + ("stream" if is_server_stream else "unary")
                call = getattr(channel, kind)(path)
                try:
                    answer = call(iter([b""]) if is_client_stream else b"", timeout=10)
                    answer = list(answer) if is_server_stream else answer
                    check(False, "%s answers %r", path, answer)
                except grpc.RpcError as error:
                    check(error.code() == grpc.StatusCode.UNIMPLEMENTED, "%s: %s %s", path, error.code(), error.details())
                    check(error.details() == "kvd: this method is not built yet", "%s: %s", path, error.details())


# --------------------------------------------------------------------------------------------------------------------
# RangeStream


def _merged(channel, request):
    call = channel.unary_stream("/etcdserverpb.KV/RangeStream", request_serializer=rpc.RangeRequest.SerializeToString,
                                response_deserializer=rpc.RangeStreamResponse.FromString)
    messages = [message.range_response for message in call(request, timeout=20)]
    whole = rpc.RangeResponse()
    for number, message in enumerate(messages):
        is_last = number + 1 == len(messages)
        check(message.HasField("header") == is_last, "message %d of %d and its header", number + 1, len(messages))
        check(is_last or not (message.more or message.count), "more or count before the last message")
        check(number > 0 or len(message.kvs) <= 10, "the first message has %d pairs", len(message.kvs))
        check(is_last or message.kvs, "an empty message before the last one")
        whole.MergeFrom(message)
    return whole, len(messages)


def test_a_stream_merged_equals_the_unary_answer():
    needs_kvd("RangeStream")
    chance = random.Random(7)
    client = _clients()[0]
    for n in range(300):
        client.put(b"stream/%03d" % n, b"v" * chance.choice((0, 10, 1000, 50000)))
    revision = _revision(client)
    lengths = []
    for member in shared_cluster().members:
        with _raw_channel(member) as channel:
            for _ in range(pick(10, 40, 400)):
                start, end = sorted(b"stream/%03d" % chance.randrange(300) for _ in range(2))
                request = rpc.RangeRequest(key=start, range_end=chance.choice((end, b"", b"\0", b"stream0")),
                                           limit=chance.choice((0, 0, 1, 9, 10, 11, 100, -1)),
                                           revision=chance.choice((0, 0, revision - 5)), serializable=chance.random() < 0.5,
                                           sort_order=chance.choice((0, 1)), keys_only=chance.random() < 0.2,
                                           count_only=chance.random() < 0.1)
                merged, length = _merged(channel, request)
                lengths.append(length)
                expected = member.client.call("Range", request)
                check(merged == expected, "%s\n%d pairs, not %d", request, len(merged.kvs), len(expected.kvs))
    check(max(lengths) > 10 and min(lengths) == 1, "messages per answer: %d to %d", min(lengths), max(lengths))


def test_a_stream_refuses_what_it_does_not_support():
    needs_kvd("RangeStream")
    cases = [({"key": b"a", "sort_order": 2}, ("UNIMPLEMENTED", "RangeStream does not support custom sort orders")),
             ({"key": b"a", "sort_target": 3}, ("UNIMPLEMENTED", "RangeStream does not support custom sort orders")),
             ({"key": b"", "sort_target": 3}, EMPTY_KEY), ({"key": b"a", "sort_target": 9}, BAD_SORT),
             ({"key": b"a", "revision": 1 << 50}, FUTURE_REV)]
    cases += [({"key": b"a", name: 1}, ("UNIMPLEMENTED", "RangeStream does not support revision filters"))
              for name in requests.FILTERS]
    for member in shared_cluster().members:
        with _raw_channel(member) as channel:
            for options, expected in cases:
                try:
                    _merged(channel, rpc.RangeRequest(**options))
                    check(False, "%s is answered", options)
                except grpc.RpcError as error:
                    check((error.code().name, error.details()) == expected, "%s: %s", options, error)


# --------------------------------------------------------------------------------------------------------------------
# Load


def _run_all(*jobs):
    """Runs functions at once; the first failure of any is raised."""
    failures = []

    def guarded(job):
        try:
            job()
        except BaseException as error:      # noqa: B036  (raised again below)
            failures.append(error)
    threads = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def _outcome(call):
    try:
        call()
        return "OK", ""
    except grpc.RpcError as error:
        return error.code().name, error.details()


def _peak_bytes(member):
    with open("/proc/%d/status" % member.process.pid) as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))


def test_large_ranges_at_once_are_served_in_bounded_memory():
    values = pick(8, 24, 110)
    readers = pick(4, 16, 8)
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with Cluster(1, base_dir=base) as cluster:
        member = cluster.members[0]
        for n in range(values):
            member.client.put(b"large/%03d" % n, bytes([n]) * MIB)
        before = member.rss_bytes()

        def read():
            with contextlib.closing(Client(member.target)) as client:
                reply = client.get(b"large/", timeout_s=60, range_end=b"large0")
                check([kv.value[:1] for kv in reply.kvs] == [bytes([n]) for n in range(values)], "other pairs")
                check(all(len(kv.value) == MIB for kv in reply.kvs), "other sizes")
        _run_all(*[read] * readers)
        grown = (_peak_bytes(member) - before) // MIB
        print("# %d readers of %d MiB: memory grew by %d MiB" % (readers, values, grown))
        check(IS_SHORT or not is_kvd() or grown < 256 + 2 * values + 128, "memory grew by %d MiB", grown)


def test_reads_beside_compactions_see_one_revision_or_are_compacted():
    """A range of several chunks at "now" never fails and is never mixed, whatever is compacted in between."""
    leader = _clients()[0]
    for n in range(100):
        leader.put(b"race/%02d" % n, b"v" * 20000)
    stop = threading.Event()
    counts = {"now": 0, "old": 0, "compacted": 0}

    def write():
        try:
            deadline = time.monotonic() + pick(2, 4, 60)
            with contextlib.closing(Client(leader.target)) as client:
                for n in itertools.count():
                    if time.monotonic() > deadline:
                        break
                    revision = client.put(b"race/%02d" % (n % 100), b"w" * 20000).header.revision
                    client.ask("Compact", rpc.CompactionRequest(revision=revision))
        finally:
            stop.set()

    def read_now(member):
        with contextlib.closing(Client(member.target)) as client:
            while not stop.is_set():
                reply = client.get(b"race/", range_end=b"race0", serializable=counts["now"] % 2 == 0)
                newest = max(kv.mod_revision for kv in reply.kvs)
                check(reply.count == len(reply.kvs) == 100 and not reply.more, "%d of %d pairs", len(reply.kvs), reply.count)
                check(newest <= reply.header.revision, "a pair of %d under a header of %d", newest, reply.header.revision)
                check(len({kv.mod_revision for kv in reply.kvs}) == 100, "two pairs of one revision")
                counts["now"] += 1

    def read_old(member):
        with contextlib.closing(Client(member.target)) as client:
            while not stop.is_set():
                revision = client.get(MISSING, serializable=True).header.revision
                reply = client.ask("Range", rpc.RangeRequest(key=b"race/", range_end=b"race0", revision=revision, sort_order=2))
                if reply.response is None:
                    check((reply.code, reply.text) == COMPACTED, "%s", reply)
                    counts["compacted"] += 1
                else:
                    check(all(kv.mod_revision <= revision for kv in reply.response.kvs), "a pair of the future")
                    counts["old"] += 1
    members = shared_cluster().members
    _run_all(write, *[lambda m=m: read_now(m) for m in members], lambda: read_old(members[0]))
    print("# reads at now %(now)d, at an old revision %(old)d, compacted %(compacted)d" % counts)
    check(counts["now"] > 10, "%s", counts)


# --------------------------------------------------------------------------------------------------------------------
# Without a leader; by themselves


def test_hasleader_is_let_pass_while_there_is_one():
    for member in shared_cluster().members:
        with _raw_channel(member) as channel:
            call = channel.unary_unary("/etcdserverpb.KV/Range")
            call(rpc.RangeRequest(key=b"a").SerializeToString(), timeout=10, metadata=[("hasleader", "true")])


def test_a_member_without_leader_says_so_to_who_asks_and_times_out_for_others():
    needs_kvd("a code for a MemberList that timed out")
    flags = ["--heartbeat-interval", "20", "--election-timeout", "200"]
    with Cluster(3, flags=flags) as cluster:
        one, two = cluster.followers()
        one.client.put(b"k", b"v")
        wait_until(lambda: one.client.get(b"k", serializable=True).kvs, 5, "the follower has applied it")
        leader = cluster.leader()
        leader.kill()
        two.kill()
        wait_until(lambda: one.client.status().leader == 0, 10, "the survivor knows of no leader")
        status = one.client.status()
        check(list(status.errors) == ["etcdserver: no leader"], "%s", status)
        with _raw_channel(one) as channel:
            for path, request in (("KV/Range", rpc.RangeRequest(key=b"k")), ("KV/Put", rpc.PutRequest(key=b"k")),
                                  ("KV/Range", rpc.RangeRequest(key=b"k", serializable=True)),
                                  ("KV/Txn", rpc.TxnRequest()), ("KV/Compact", rpc.CompactionRequest(revision=1)),
                                  ("Maintenance/Status", rpc.StatusRequest()), ("Cluster/MemberList", rpc.MemberListRequest())):
                start = time.monotonic()
                try:
                    channel.unary_unary("/etcdserverpb." + path)(request.SerializeToString(), timeout=20,
                                                                 metadata=[("hasleader", "true")])
                    check(False, "%s is answered", path)
                except grpc.RpcError as error:
                    check((error.code().name, error.details()) == NO_LEADER, "%s: %s", path, error)
                check(time.monotonic() - start < 2, "%s waited", path)
        check(one.client.get(b"k", serializable=True).kvs[0].value == b"v", "a serializable read")
        check(_txn(one.client, _get(b"k", serializable=True)).succeeded, "a serializable transaction")
        check(len(one.client.call("MemberList", rpc.MemberListRequest()).members) == 3, "the member list")
        check(one.client.call("Health", health.HealthCheckRequest()).status == 1, "health")
        waiting = [one.client.send(method, request, 20.0) for method, request in (
            ("Range", rpc.RangeRequest(key=b"k")), ("Put", rpc.PutRequest(key=b"k")), ("Txn", rpc.TxnRequest(success=[_get(b"k")])),
            ("MemberList", rpc.MemberListRequest(linearizable=True)), ("Compact", rpc.CompactionRequest(revision=1)))]
        for future in waiting:
            reply = Client.wait(future)
            check(reply.code == "UNAVAILABLE" and reply.text.startswith("etcdserver: request timed out"), "%s", reply)


def test_periodic_auto_compaction_keeps_the_retention():
    with Cluster(3, flags=["--auto-compaction-mode", "periodic", "--auto-compaction-retention", "1s"]) as cluster:
        client = cluster.followers()[0].client
        first = client.put(b"k", b"1").header.revision
        client.put(b"k", b"2")
        wait_until(lambda: client.ask("Range", rpc.RangeRequest(key=b"k", revision=first)).code == "OUT_OF_RANGE", 10,
                   "the past is compacted")
        _refusal(client, "Range", rpc.RangeRequest(key=b"k", revision=first), COMPACTED)
        check(client.get(b"k").kvs[0].value == b"2", "the present is gone")


def test_the_three_members_are_well_after_all_of_this():
    clients, cluster = _clients(), take_shared_cluster()
    newest = clients[0].put(b"last", b"1").header.revision
    for client in clients:
        check(client.get(b"last").header.revision >= newest, "a member lags")
    cluster.__exit__(None, None, None)


if __name__ == "__main__":
    check(os.access(BINARY, os.X_OK), "no program to test at %s", BINARY)
    main(globals(), BUDGET_S)
