#!/usr/bin/python3
"""Does kvd answer every KV request as etcd does, field by field, error by error?

One seeded stream of random requests (requests.py) goes to the binary under test and to Debian's etcd 3.4, one member each,
strictly one request after the other; the first difference is printed in full and ends the run. A run says what it exercised
(outcomes, and features of the requests), and fails if anything on its lists is missing.

What is *meant* to differ stands below, each with its reason, and nowhere else:

  cluster_id, member_id, raft_term    are each server's own; checked to be set and steady instead.
  the texts of malformed bytes and of messages above the transport's limit    are the gRPC library's; codes are compared.
  ties of a sort    etcd's sort is not stable above 12 elements: ties are compared as sets, and by number where the limit
                    cuts through them. (Up to 12 its insertion sort is stable, and so must ours be.)
  a sort number out of range          crashes etcd 3.4; kvd must refuse it, as etcd 3.5 and later do. Not sent to 3.4.
  overlap of puts and deletes in a transaction    the rule is: refused, in any order. etcd 3.4 overlooks it for a deletion up
                    to the end of the key space, and for a deletion in a nested transaction after a put in an earlier one.
                    Where rule and 3.4 disagree the request is sent to kvd alone, which must refuse it; `_Overlap` holds both.
  compaction at 0   of a store that was never compacted: etcd takes it, once, since its mark begins at -1. kvd refuses it as
                    compacted: nothing lies at or below 0. Not sent.
  a union that is set twice    etcd takes the last member, and so does kvd, but it refuses the message if one of the others is a
                    transaction. No encoder writes that. Not sent.
  of leases         a remaining TTL may differ by the second that lies between the two answers; the order of keys and of leases is
                    not specified. Ids that a server chooses are its own.
  groups            the wire types 3 and 4 do not exist in proto3. etcd skips such a field if its number is unknown, kvd
                    refuses the message. Not sent.
"""

import collections
import os
import random
import time
import warnings

import grpc
from google.protobuf import message as message_module

import requests
from kvtest import REFERENCE_BINARY, BINARY, Client, Cluster, Failure, Reply, Stream, check, is_kvd, main, pick, rpc

BUDGET_S = 45
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
    return start <= key < end or end == b"\0" and key >= start and not is_reference


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


def _ranges_of(txn):
    for op in list(txn.success) + list(txn.failure):
        if op.WhichOneof("request") == "request_range":
            yield op.request_range
        elif op.WhichOneof("request") == "request_txn":
            yield from _ranges_of(op.request_txn)


def _has_bad_sort(method, message):
    ranges = [message] if method == "Range" else _ranges_of(message) if method == "Txn" else ()
    return any(not (0 <= r.sort_order <= 2 and 0 <= r.sort_target <= 4) for r in ranges)


def _varint(data, at):
    value = 0
    for number, byte in enumerate(data[at:at + 10]):
        value |= (byte & 0x7F) << (7 * number)
        if byte < 0x80:
            return value, at + number + 1
    raise ValueError("no varint")


def _has_group(kind, data):
    """Whether the walk through a message, as far as it can be walked, meets a group, or a transaction that a later member of
    its union supersedes."""
    at, was_txn = 0, False
    try:
        while at < len(data):
            tag, at = _varint(data, at)
            if tag & 7 in (3, 4):
                return True
            if tag & 7 == 0:
                _, at = _varint(data, at)
            elif tag & 7 == 2:
                size, at = _varint(data, at)
                field = kind.fields_by_number.get(tag >> 3)
                if kind.name == "RequestOp" and field is not None:
                    if was_txn:
                        return True
                    was_txn = field.name == "request_txn"
                if field is not None and field.message_type and _has_group(field.message_type, data[at:at + size]):
                    return True
                at += size
            elif tag & 7 in (1, 5):
                at += 8 if tag & 7 == 1 else 4
            else:
                return False
    except ValueError:
        pass
    return False


def _parsed(method, request):
    """A request as a message; None if its bytes are not one."""
    if not isinstance(request, bytes):
        return request
    try:
        with warnings.catch_warnings():     # about a stray end of a group
            warnings.simplefilter("ignore", RuntimeWarning)
            return requests.MESSAGES[method].FromString(request)
    except message_module.DecodeError:
        return None


def dispute(method, request, compacted):
    """Why a request is not sent to 3.4, or None."""
    if isinstance(request, bytes) and _has_group(requests.MESSAGES[method].DESCRIPTOR, request):
        return "group, or union"
    message = _parsed(method, request)
    if message is None:
        return None
    if _has_bad_sort(method, message):
        return "sort"
    if method == "Compact" and message.revision == 0 and compacted == 0:
        return "compaction at 0"
    return "overlap" if method == "Txn" and _is_overlap_disputed(message) else None


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
    request = _parsed(method, request)
    check(request is not None, "an answer to what is no %s", method)
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


class Run:
    """One stream to both servers; raises Failure at the first difference. Counts the outcomes and the features."""

    def __init__(self, subject, reference, seed, is_kvd_subject=False):
        self._subject, self._reference, self._seed, self._is_kvd_subject = subject, reference, seed, is_kvd_subject
        self._stream, self._identity = requests.Requests(seed), Identity()
        self._number = 0
        self.tally, self.features = collections.Counter(), collections.Counter()

    def run(self, count):
        self._stream.note(self._reference.get(b"\0").header.revision)
        for _ in range(count):
            method, request = self._stream.next()
            self.features.update(requests.features(method, request, self._stream.revision, self._stream.compacted))
            reason = dispute(method, request, self._stream.compacted)
            if reason is not None:
                self.tally["not sent to 3.4: " + reason] += 1
                if reason == "overlap" and self._is_kvd_subject:
                    self._ask_alone(request)
                continue
            self._compare(method, request, [client.ask(method, request) for client in (self._subject, self._reference)])
            self._number += 1

    def _compare(self, method, request, replies):
        if comparable(method, request, replies[0]) != comparable(method, request, replies[1]):
            raise Failure(_show(method, request, replies[0], replies[1], self._number, self._seed))
        if replies[0].response is not None:
            self._identity.check(replies[0].response)
            self._stream.note(replies[0].response.header.revision)
            if method == "Compact":
                self._stream.note_compaction(_parsed(method, request).revision)
        text = replies[0].text or "OK"
        self.tally["%s %s" % (method, text if "larger than max" not in text else "(larger than the transport takes)")] += 1

    def _ask_alone(self, request):
        reply = self._subject.ask("Txn", request)
        codes = ("INVALID_ARGUMENT", "INTERNAL") if isinstance(request, bytes) else ("INVALID_ARGUMENT",)
        check(reply.code in codes, "an overlap of writes is let pass: %s\n%s", request, reply)
        self.tally["kvd alone: Txn " + reply.text] += 1


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
        whole = Run(one.members[0].client, two.members[0].client, seed, is_kvd())
        whole.run(COUNT)
        print("# %.0f requests/s" % (COUNT / (time.monotonic() - start)))
        for outcome, number in sorted(whole.tally.items()):
            print("#   %6d %s" % (number, outcome))
        if COUNT >= 10000:
            _check_coverage(whole)
        if not is_kvd():
            return
        for request in [requests.Requests(seed + n).bad_sort() for n in range(200)]:
            expected = "etcdserver: invalid sort option" if request.key else "etcdserver: key is not provided"
            nested = rpc.TxnRequest(success=[rpc.RequestOp(request_range=request)])
            for method, message in (("Range", request), ("Txn", nested)):
                reply = one.members[0].client.ask(method, message)
                check((reply.code, reply.text) == ("INVALID_ARGUMENT", expected), "%s\n%s", request, reply)


# --------------------------------------------------------------------------------------------------------------------
# Leases

LEASE_COUNT = pick(500, 1500, 50000)
LEASE_IDS = [1, 2, 3, 77, -5, (1 << 63) - 1]
TTLS = [300, 600, 3600, 86400 * 365, 9000000000, 9000000001, (1 << 63) - 1]     # none of them ends while the run lasts
SHORT_TTLS = [0, 1, 2, 3, -1, -(1 << 63)]
LEASE_GARBAGE = [b"\x08", b"\x0a\x01a", b"\xff\xff\xff", b"\x12\x01a"]
LEASE_WEIGHTS = {"LeaseGrant": 6, "LeaseRevoke": 4, "LeaseTimeToLive": 6, "LeaseLeases": 1, "LeaseKeepAlive": 6, "Put": 8, "Txn": 4,
                 "DeleteRange": 2, "Range": 3, "short": 1, "garbage": 1}
LEASE_OUTCOMES = ["LeaseGrant OK", "LeaseGrant etcdserver: lease already exists", "LeaseGrant etcdserver: too large lease TTL", "LeaseRevoke OK",
                  "LeaseRevoke etcdserver: requested lease not found", "LeaseTimeToLive OK", "LeaseTimeToLive gone", "LeaseTimeToLive with keys",
                  "LeaseLeases OK", "LeaseKeepAlive OK", "LeaseKeepAlive gone", "Put etcdserver: requested lease not found", "Txn OK",
                  "Txn etcdserver: requested lease not found", "DeleteRange OK", "short OK", "garbage"]


class LeaseServer:
    """One server: unary calls, and a stream of keep-alives."""

    def __init__(self, member):
        self.client = member.client
        self._target, self._stream = member.target, None

    def ask(self, method, request):
        return self._keep_alive(request) if method == "LeaseKeepAlive" else self.client.ask(method, request)

    def _keep_alive(self, request):
        if self._stream is None:
            self._stream = Stream(self._target, "/etcdserverpb.Lease/LeaseKeepAlive", rpc.LeaseKeepAliveResponse)
        self._stream.send(request)
        response = self._stream.poll(10.0)
        if response is not None:
            return Reply(response, "OK", "")
        code, text = self._stream.error.code().name, self._stream.error.details()
        self.close()
        return Reply(None, code, text)

    def close(self):
        if self._stream is not None:
            self._stream.close()
        self._stream = None


class LeaseRun:
    """A seeded stream of requests about leases and their keys, to both servers."""

    def __init__(self, members, seed):
        self._servers = [LeaseServer(member) for member in members]
        self._random = random.Random(seed)
        self._seed, self._number = seed, 0
        self.tally = collections.Counter()

    def _put(self):
        pick_one = self._random.choice
        return rpc.PutRequest(key=pick_one(requests.KEYS), value=b"v", lease=pick_one(LEASE_IDS + [0, 4711]), prev_kv=pick_one([True, False]))

    def _next(self):
        pick_one = self._random.choice
        method = self._random.choices(list(LEASE_WEIGHTS), LEASE_WEIGHTS.values())[0]
        lease = pick_one(LEASE_IDS + [0, 4711])
        if method == "garbage":
            return method, (pick_one(["LeaseGrant", "LeaseRevoke", "LeaseTimeToLive", "LeaseLeases", "LeaseKeepAlive"]), pick_one(LEASE_GARBAGE))
        return method, {
            "LeaseGrant": lambda: rpc.LeaseGrantRequest(TTL=pick_one(TTLS), ID=pick_one(LEASE_IDS)),
            "short": lambda: rpc.LeaseGrantRequest(TTL=pick_one(SHORT_TTLS), ID=99),
            "LeaseRevoke": lambda: rpc.LeaseRevokeRequest(ID=lease),
            "LeaseTimeToLive": lambda: rpc.LeaseTimeToLiveRequest(ID=lease, keys=pick_one([True, False])),
            "LeaseLeases": rpc.LeaseLeasesRequest,
            "LeaseKeepAlive": lambda: rpc.LeaseKeepAliveRequest(ID=lease),
            "Put": self._put,
            "Txn": lambda: rpc.TxnRequest(
                compare=[rpc.Compare(key=pick_one(requests.KEYS), target=rpc.Compare.LEASE, result=pick_one([0, 1, 2, 3]), lease=lease)],
                success=[rpc.RequestOp(request_put=self._put())], failure=[rpc.RequestOp(request_range=rpc.RangeRequest(key=b"a", range_end=b"z"))]),
            "DeleteRange": lambda: rpc.DeleteRangeRequest(key=pick_one(requests.KEYS), prev_kv=True),
            "Range": lambda: rpc.RangeRequest(key=b"\0", range_end=b"\0"),
        }[method]()

    def _both(self, method, request):
        replies = [server.ask(method, request) for server in self._servers]
        self._number += 1
        if _lease_answer(method, request, replies[0]) != _lease_answer(method, request, replies[1]) or not _is_near(*replies):
            raise Failure(_show(method, request, replies[0], replies[1], self._number, self._seed))
        return replies[0]

    def run(self, count):
        for _ in range(count):
            method, request = self._next()
            if method == "garbage":
                self._both(*request)
                self.tally["garbage"] += 1
                continue
            reply = self._both("LeaseGrant" if method == "short" else method, request)
            self.tally["%s %s" % (method, reply.text or "OK")] += 1
            self.tally[method + " gone"] += reply.code == "OK" and method in ("LeaseTimeToLive", "LeaseKeepAlive") and reply.response.TTL in (-1, 0)
            self.tally["LeaseTimeToLive with keys"] += method == "LeaseTimeToLive" and len(reply.response.keys) > 1
            if method == "short":
                self._both("LeaseRevoke", rpc.LeaseRevokeRequest(ID=99))

    def close(self):
        for server in self._servers:
            server.close()


def _lease_answer(method, request, reply):
    """Without what may differ: ids, and the time that is left (`_is_near`)."""
    if method in requests.MESSAGES:
        return comparable(method, request, reply)
    if reply.response is None:
        return reply.code, "" if isinstance(request, bytes) else reply.text
    response = type(reply.response)()
    response.CopyFrom(reply.response)
    _without_ids(response.header)
    if method == "LeaseTimeToLive":
        response.TTL = -1 if response.TTL == -1 else 0
        keys = sorted(response.keys)
        del response.keys[:]
        response.keys.extend(keys)
    if method == "LeaseLeases":
        return "OK", sorted(status.ID for status in response.leases), response.header.revision
    return "OK", response.SerializeToString(deterministic=True)


def _is_near(one, two):
    left = [getattr(reply.response, "TTL", 0) for reply in (one, two)]
    return abs(left[0] - left[1]) <= 1


def test_every_answer_about_leases_equals_etcds():
    seed = _seed()
    print("# seed %d, %d requests" % (seed, LEASE_COUNT), flush=True)
    one, two = _pair(BINARY)
    with one, two:
        one.leader()
        two.leader()
        run = LeaseRun([one.members[0], two.members[0]], seed)
        try:
            run.run(LEASE_COUNT)
        finally:
            run.close()
        for outcome, number in sorted((+run.tally).items()):
            print("#   %6d %s" % (number, outcome))
        missing = [outcome for outcome in LEASE_OUTCOMES if not run.tally[outcome]]
        check(LEASE_COUNT < 1000 or not missing, "the stream does not exercise: %s", missing)


# What the API can say to these five methods on one healthy member without leases; text → the methods that must have heard it.
OUTCOMES = {
    "OK": "Range Put DeleteRange Txn Compact",
    "etcdserver: key is not provided": "Range Put DeleteRange Txn",
    "etcdserver: key not found": "Put Txn",
    "etcdserver: value is provided": "Put Txn",
    "etcdserver: lease is provided": "Put Txn",
    "etcdserver: requested lease not found": "Put Txn",
    "etcdserver: too many operations in txn request": "Txn",
    "etcdserver: duplicate key given in txn request": "Txn",
    "etcdserver: mvcc: required revision has been compacted": "Range Txn Compact",
    "etcdserver: mvcc: required revision is a future revision": "Range Txn Compact",
    "etcdserver: request is too large": "Put Txn",
    "(larger than the transport takes)": "Put",
}


def _check_coverage(run):
    missing = ["%s %s" % (method, text) for text, methods in OUTCOMES.items() for method in methods.split()
               if not run.tally["%s %s" % (method, text)]]
    expected = list(requests.expected_features())
    missing += [str(feature) for feature in expected if not run.features[feature]]
    pairs = sum(isinstance(feature, tuple) for feature in run.features)
    print("#   features: %d of %d, %d of them pairs of Range options; the rarest %d times" % (
        len(expected) - len(missing), len(expected), pairs, min(run.features[feature] for feature in expected)))
    check(not missing, "the stream does not exercise: %s", "; ".join(missing))


class Planted:
    """A client whose first fitting answers are spoiled, as a bug in a server would spoil them."""

    def __init__(self, client, spoil, times):
        self._client, self._spoil, self._left = client, spoil, times

    def get(self, key):
        return self._client.get(key)

    def ask(self, method, request):
        reply = self._client.ask(method, request)
        if self._left > 0 and self._spoil(method if reply.response is not None else "error", reply.response or reply):
            self._left -= 1
        return reply


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
    one, two = _pair(REFERENCE_BINARY)
    with one, two:
        one.leader()
        two.leader()
        for number, spoil in enumerate(spoils):
            planted = Planted(one.members[0].client, spoil, times=1)
            try:
                Run(planted, two.members[0].client, number).run(3000)
            except Failure as failure:
                check("difference at request" in str(failure), "%s", failure)
                continue
            raise Failure("%s was not found" % spoil.__name__)


if __name__ == "__main__":
    main(globals(), BUDGET_S)
