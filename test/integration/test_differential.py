#!/usr/bin/python3
"""Does kvd answer every KV request as etcd does, field by field, error by error?

One seeded stream of random requests (requests.py) goes to the binary under test and to Debian's etcd 3.4, one member each,
strictly one request after the other; the first difference is printed in full and ends the run. What is *meant* to differ
stands below, each with its reason, and nowhere else:

  cluster_id, member_id, raft_term    are each server's own; checked to be set and steady instead.
  the texts of malformed bytes and of messages above the transport's limit    are the gRPC library's; codes are compared.
  ties of a sort    etcd's sort is not stable above 12 elements: ties are compared as sets, and by number where the limit
                    cuts through them. (Up to 12 its insertion sort is stable, and so must ours be.)
  a sort number out of range          crashes etcd 3.4; kvd must refuse it, as etcd 3.5 and later do. Not sent to 3.4.
  overlap of puts and deletes in a transaction    etcd 3.4 overlooks it for a deletion up to the end of the key space, and
                    for a deletion in a nested transaction after a put in an earlier one. The rule itself is: refused, in
                    any order. Where rule and 3.4 disagree the request is not sent; `_Overlap` holds both.
"""

import os
import random
import time

import grpc

import requests
from kvtest import REFERENCE_BINARY, BINARY, Client, Cluster, Failure, Reply, check, is_kvd, main, pick, rpc

BUDGET_S = 120
COUNT = pick(4000, 20000, 400000)
STABLE_SORT_MAX = 12
SORT_VALUES = {
    rpc.RangeRequest.VERSION: lambda kv: kv.version,
    rpc.RangeRequest.CREATE: lambda kv: kv.create_revision,
    rpc.RangeRequest.MOD: lambda kv: kv.mod_revision,
    rpc.RangeRequest.VALUE: lambda kv: kv.value,
}
# Code → a part of the text by which the gRPC library's own errors are told from the API's.
TRANSPORT_TEXTS = {"INTERNAL": "", "RESOURCE_EXHAUSTED": "larger than max"}


# --------------------------------------------------------------------------------------------------------------------
# What is meant to differ


class _Overlap:
    """Keys put and intervals deleted by one branch of a transaction, by the rule and by etcd 3.4's own walk."""

    def __init__(self):
        self.puts, self.deletes, self.is_duplicate = set(), [], False


def _is_inside(key, deletion, is_reference):
    start, end = deletion
    if end == b"":
        return key == start
    if end == b"\0":
        return key >= start and not is_reference
    return start <= key < end


def _put_all(found, keys, allowed, is_reference):
    for key in keys:
        if key in found.puts and key not in allowed:
            found.is_duplicate = True
        if any(_is_inside(key, deletion, is_reference) for deletion in found.deletes):
            found.is_duplicate = True
        found.puts.add(key)


def _overlap(operations, is_reference):
    found = _Overlap()
    found.deletes = [(op.request_delete_range.key, op.request_delete_range.range_end) for op in operations
                     if op.WhichOneof("request") == "request_delete_range"]
    for op in operations:
        if op.WhichOneof("request") != "request_txn":
            continue
        then, other = _overlap(op.request_txn.success, is_reference), _overlap(op.request_txn.failure, is_reference)
        found.is_duplicate |= then.is_duplicate or other.is_duplicate
        # The rule: what the other operations put may not lie in what this one deletes, whoever stands first.
        inner_deletes = then.deletes + other.deletes
        if not is_reference:
            found.is_duplicate |= any(_is_inside(key, d, False) for key in found.puts for d in inner_deletes)
        _put_all(found, then.puts, (), is_reference)
        _put_all(found, other.puts, then.puts, is_reference)
        found.deletes += inner_deletes
    for op in operations:
        if op.WhichOneof("request") == "request_put":
            _put_all(found, [op.request_put.key], (), is_reference)
    return found


def _is_overlap_disputed(txn):
    return any(_overlap(branch, True).is_duplicate != _overlap(branch, False).is_duplicate
               for branch in (txn.success, txn.failure))


def _without_ids(header):
    header.cluster_id = header.member_id = header.raft_term = 0


def _tie_groups(request, response):
    """The pairs of a sorted answer with the order within ties taken out."""
    value_of = SORT_VALUES[request.sort_target]
    if request.keys_only and request.sort_target == rpc.RangeRequest.VALUE:
        return len(response.kvs) if response.more else sorted(kv.SerializeToString() for kv in response.kvs)
    groups = []
    for kv in response.kvs:
        if not groups or groups[-1][0] != value_of(kv):
            groups.append((value_of(kv), []))
        groups[-1][1].append(kv.SerializeToString())
    cut = groups.pop() if response.more and groups else (None, [])
    return [(value, sorted(kvs)) for value, kvs in groups], cut[0], len(cut[1])


def _take_ties(request, response, ties):
    """Moves the pairs of a range whose order is not determined out of the response, into `ties`."""
    if request.sort_target in SORT_VALUES and response.count > STABLE_SORT_MAX:
        ties.append(_tie_groups(request, response))
        del response.kvs[:]


def _take_ties_of_txn(request, response, ties):
    operations = request.success if response.succeeded else request.failure
    for op, answer in zip(operations, response.responses):
        if op.WhichOneof("request") == "request_range":
            _take_ties(op.request_range, answer.response_range, ties)
        elif op.WhichOneof("request") == "request_txn":
            _take_ties_of_txn(op.request_txn, answer.response_txn, ties)


def comparable(method, request, reply):
    """A reply without what is meant to differ."""
    if reply.response is None:
        own_text = TRANSPORT_TEXTS.get(reply.code)
        return reply.code, reply.text if own_text is None or own_text not in reply.text else "(gRPC's own)"
    response, ties = type(reply.response)(), []
    response.CopyFrom(reply.response)
    _without_ids(response.header)
    if isinstance(request, bytes):
        request = {"Range": rpc.RangeRequest, "Txn": rpc.TxnRequest}.get(method, rpc.PutRequest).FromString(request)
    if method == "Range":
        _take_ties(request, response, ties)
    elif method == "Txn":
        _take_ties_of_txn(request, response, ties)
    return "OK", response.SerializeToString(deterministic=True), repr(ties)


# --------------------------------------------------------------------------------------------------------------------
# The run


def _show(method, request, subject, reference, number, seed):
    text = str(request)
    return ("difference at request %d of seed %d (repeat with KVTEST_SEED=%d)\n%s %s\n---- %s answers\n%s\n"
            "---- etcd 3.4 answers\n%s" % (number, seed, seed, method, text if len(text) < 20000 else text[:20000] + "…",
                                           BINARY, subject, reference))


class Identity:
    """A server's ids must be set, and the same in every answer."""

    def __init__(self):
        self._seen = None

    def check(self, response):
        header = response.header
        seen = (header.cluster_id, header.member_id, header.raft_term)
        check(all(seen), "a header without ids or term: %s", header)
        check(self._seen in (None, seen), "ids or term changed from %s to %s", self._seen, seen)
        self._seen = seen


def _send(client, method, request):
    return client.send(method, request, timeout_s=20.0)


def run(subject, reference, seed, count):
    """Sends the stream to both; raises Failure at the first difference. Answers a tally of the outcomes."""
    stream, identity, tally = requests.Requests(seed), Identity(), {}
    for number in range(count):
        method, request = stream.next()
        if method == "Txn" and not isinstance(request, bytes) and _is_overlap_disputed(request):
            tally["not sent: overlap"] = tally.get("not sent: overlap", 0) + 1
            continue
        futures = _send(subject, method, request), _send(reference, method, request)
        replies = [Client.wait(future) for future in futures]
        if comparable(method, request, replies[0]) != comparable(method, request, replies[1]):
            raise Failure(_show(method, request, replies[0], replies[1], number, seed))
        if replies[0].response is not None:
            identity.check(replies[0].response)
            stream.note(replies[0].response.header.revision)
        outcome = "%s %s" % (method, replies[0].text or "OK")
        tally[outcome[:90]] = tally.get(outcome[:90], 0) + 1
    return tally


def _seed():
    return int(os.environ.get("KVTEST_SEED", random.SystemRandom().randrange(1 << 32)))


def _pair(subject_binary):
    """Two single members, on memory if there is some: it is the answers that are compared, not the disks."""
    base_dir = os.environ.get("KVTEST_DIR") or ("/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    return (Cluster(1, binary=subject_binary, base_dir=base_dir),
            Cluster(1, binary=REFERENCE_BINARY, base_dir=base_dir))


def test_every_answer_equals_etcds():
    seed = _seed()
    print("# seed %d, %d requests" % (seed, COUNT), flush=True)
    one, two = _pair(BINARY)
    with one, two:
        one.leader()
        two.leader()
        start = time.monotonic()
        tally = run(one.members[0].client, two.members[0].client, seed, COUNT)
        print("# %.0f requests/s" % (COUNT / (time.monotonic() - start)))
        for outcome, number in sorted(tally.items()):
            print("#   %6d %s" % (number, outcome))
        if not is_kvd():
            return
        for request in [requests.Requests(seed + n).bad_sort() for n in range(200)]:
            expected = "etcdserver: invalid sort option" if request.key else "etcdserver: key is not provided"
            nested = rpc.TxnRequest(success=[rpc.RequestOp(request_range=request)])
            for method, message in (("Range", request), ("Txn", nested)):
                reply = one.members[0].client.ask(method, message)
                check((reply.code, reply.text) == ("INVALID_ARGUMENT", expected), "%s\n%s", request, reply)


class Planted:
    """A client whose n-th fitting answer is spoiled, as a bug in a server would spoil it."""

    def __init__(self, client, spoil, after):
        self._client, self._spoil, self._left = client, spoil, after

    def send(self, method, request, timeout_s):
        reply = Client.wait(self._client.send(method, request, timeout_s))
        if reply.response is not None and self._left >= 0:
            spoiled = type(reply.response)()
            spoiled.CopyFrom(reply.response)
            if self._spoil(method, spoiled):
                self._left -= 1
                if self._left < 0:
                    reply = Reply(spoiled, "OK", "")
        elif reply.response is None and self._left >= 0 and self._spoil("error", reply):
            self._left -= 1
        return _Ready(reply)


class _Ready:
    """A future that is done."""

    def __init__(self, reply):
        self._reply = reply

    def result(self):
        if self._reply.response is None:
            raise _Ready.Error(self._reply)
        return self._reply.response

    class Error(grpc.RpcError):
        def __init__(self, reply):
            self._reply = reply

        def code(self):
            return type("Code", (), {"name": self._reply.code})

        def details(self):
            return self._reply.text


def _spoil_count(method, response):
    if method != "Range" or not response.count:
        return False
    response.count += 1
    return True


def _spoil_more(method, response):
    if method != "Range" or not response.more:
        return False
    response.more = False
    return True


def _spoil_version(method, response):
    if method != "Range" or not response.kvs:
        return False
    response.kvs[-1].version += 1
    return True


def _spoil_prev_kv(method, response):
    if method != "Put" or not response.HasField("prev_kv"):
        return False
    response.ClearField("prev_kv")
    return True


def _spoil_header(method, response):
    if method != "DeleteRange":
        return False
    response.header.revision += 1
    return True


def _spoil_nested(method, response):
    if method != "Txn":
        return False
    for answer in response.responses:
        if answer.WhichOneof("response") == "response_txn" and answer.response_txn.responses:
            del answer.response_txn.responses[-1]
            return True
    return False


def _spoil_error_text(method, reply):
    if method != "error" or not reply.text.startswith("etcdserver: "):
        return False
    reply.text += "."
    return True


def test_a_planted_difference_is_found():
    spoils = [_spoil_count, _spoil_more, _spoil_version, _spoil_prev_kv, _spoil_header, _spoil_nested, _spoil_error_text]
    for number, spoil in enumerate(spoils):
        one, two = _pair(REFERENCE_BINARY)
        with one, two:
            planted = Planted(one.members[0].client, spoil, after=0 if spoil is _spoil_error_text else 3)
            try:
                run(planted, two.members[0].client, number, 3000)
            except Failure as failure:
                check("difference at request" in str(failure), "%s", failure)
                continue
        raise Failure("%s was not found" % spoil.__name__)


if __name__ == "__main__":
    main(globals(), BUDGET_S)
