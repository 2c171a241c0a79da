"""A seeded stream of random KV requests: every option, every kind of bad request, on few keys so that they collide.

Nothing here knows a server. The stream is a function of the seed and of the revisions that `note` was told, so a run can be
repeated from its seed as long as the answers are the same. `features` says what a request exercises, so that a run can show
(and a test demand) that nothing was left out.
"""

import itertools
import random

from kvtest import rpc

KEYS = [b"a", b"a\0", b"aa", b"ab", b"b", b"b\xff", b"b\xff\xff", b"c", b"c/1", b"c/2", b"c/3", b"d", b"dd", b"ddd",
        b"e\x80", b"f", b"g", b"\xff", b"\xff\xff", b"\0"]
VALUES = [b"", b"0", b"1", b"value", b"Value", b"\0\0", b"\xff\xfe", b"x" * 300]
UNKNOWN_LEASES = [1, 7587822882194279424, -3, (1 << 63) - 1]
OPS_MAX = 128
REQUEST_BYTES_MAX = 1536 * 1024
WEIGHTS = (("Range", 38), ("Put", 24), ("DeleteRange", 9), ("Txn", 27), ("Compact", 2))
# One in so many requests is of the heavy kind (about 1.5 MiB, or hundreds of operations).
HEAVY_EVERY = 250
MESSAGES = {"Range": rpc.RangeRequest, "Put": rpc.PutRequest, "DeleteRange": rpc.DeleteRangeRequest,
            "Txn": rpc.TxnRequest, "Compact": rpc.CompactionRequest}
FILTERS = ("min_mod_revision", "max_mod_revision", "min_create_revision", "max_create_revision")
# Fields that nobody knows, of every wire type: 200 bytes, 201 varint, 202 fixed64, 203 fixed32.
UNKNOWN_FIELDS = (b"\xc2\x0c\x03new", b"\xc8\x0c\x7f", b"\xd1\x0c12345678", b"\xdd\x0c1234")


# --------------------------------------------------------------------------------------------------------------------
# What a request exercises


def interval_form(key, range_end):
    if range_end == b"":
        return "one key"
    if range_end == b"\0":
        return "everything" if key == b"\0" else "from key"
    return "empty" if range_end <= key else "interval"


def _range_options(request, revision, compacted):
    """A RangeRequest as one value for each of its options: pairs of them are counted."""
    at = request.revision
    return (
        ("interval", interval_form(request.key, request.range_end)),
        ("limit", "none" if request.limit == 0 else "negative" if request.limit < 0 else
                  "small" if request.limit < 100 else "large"),
        ("revision", "now" if at <= 0 else "future" if at > revision else "compacted" if at < compacted else
                     "mark" if at == compacted else "newest" if at == revision else "old"),
        ("order", request.sort_order), ("target", request.sort_target),
        ("serializable", request.serializable), ("keys_only", request.keys_only), ("count_only", request.count_only),
    ) + tuple((name, bool(getattr(request, name))) for name in FILTERS)


def _txn_features(request, depth):
    yield "txn depth %d" % min(depth, 9)
    for compare in request.compare:
        result, target = compare.result, compare.target
        given = compare.WhichOneof("target_union")
        fits = given == ("version", "create_revision", "mod_revision", "value", "lease")[target] if 0 <= target < 5 else None
        yield "compare %s %s%s" % (target if 0 <= target < 5 else "?", result if 0 <= result < 4 else "?",
                                   " over a range" if compare.range_end else "")
        yield "compare with " + ("no union" if given is None else "its union" if fits else "another union")
    for op in itertools.chain(request.success, request.failure):
        kind = op.WhichOneof("request")
        yield "txn with %s" % (kind or "no union")
        if kind == "request_txn":
            yield from _txn_features(op.request_txn, depth + 1)
        elif kind == "request_delete_range":
            yield "txn with delete of " + interval_form(op.request_delete_range.key, op.request_delete_range.range_end)


def features(method, request, revision, compacted):
    """Names of what a request exercises; of a Range, every pair of its options."""
    if isinstance(request, bytes):
        yield method + " as bytes"
    elif method == "Range":
        options = _range_options(request, revision, compacted)
        for one, two in itertools.combinations(options, 2):
            yield one, two
    elif method == "Put":
        yield "put prev_kv=%d ignore_value=%d ignore_lease=%d lease=%d value=%d" % (
            request.prev_kv, request.ignore_value, request.ignore_lease, bool(request.lease), bool(request.value))
    elif method == "DeleteRange":
        yield "delete of %s prev_kv=%d" % (interval_form(request.key, request.range_end), request.prev_kv)
    elif method == "Txn":
        yield from _txn_features(request, 1)
    else:
        yield "compaction physical=%d" % request.physical


def expected_features():
    """Those that no run of some thousands of requests may lack."""
    values = {"interval": ("one key", "everything", "from key", "empty", "interval"),
              "limit": ("none", "negative", "small", "large"),
              "revision": ("now", "future", "compacted", "mark", "newest", "old"), "order": (0, 1, 2),
              "target": (0, 1, 2, 3, 4), "serializable": (False, True), "keys_only": (False, True),
              "count_only": (False, True), **{name: (False, True) for name in FILTERS}}
    for one, two in itertools.combinations(values, 2):
        yield from (((one, a), (two, b)) for a in values[one] for b in values[two])
    for target, result in itertools.product((0, 1, 2, 3, 4, "?"), (0, 1, 2, 3, "?")):
        yield "compare %s %s" % (target, result)
        if "?" not in (target, result):
            yield "compare %s %s over a range" % (target, result)
    yield from ("compare with no union", "compare with its union", "compare with another union")
    yield from ("txn with " + kind for kind in
                ("no union", "request_range", "request_put", "request_delete_range", "request_txn"))
    yield from ("txn depth %d" % depth for depth in range(1, 10))
    for form in values["interval"]:
        yield "txn with delete of " + form
        yield from ("delete of %s prev_kv=%d" % (form, prev_kv) for prev_kv in (0, 1))
    yield from ("put prev_kv=%d ignore_value=%d ignore_lease=%d lease=%d value=%d" % bits
                for bits in itertools.product((0, 1), repeat=5))
    yield from ("compaction physical=0", "compaction physical=1")
    yield from (method + " as bytes" for method in MESSAGES)


# --------------------------------------------------------------------------------------------------------------------
# The stream


class Requests:
    def __init__(self, seed):
        self._chance = random.Random(seed)
        self._revision = 1
        self._compacted = 0
        self._heavy_kinds = itertools.cycle(range(13))      # in turn, so that even a short run meets all of them
        self._put_options = itertools.cycle(itertools.product((False, True), repeat=5))

    @property
    def revision(self):
        return self._revision

    @property
    def compacted(self):
        return self._compacted

    def note(self, revision):
        """The store's revision, from the last answer: old, current and future revisions are drawn around it."""
        self._revision = max(self._revision, revision)

    def note_compaction(self, revision):
        """A compaction that was done."""
        self._compacted = max(self._compacted, revision)

    def next(self):
        """(method, request) of one call; the request is a message, or bytes where no message can say it."""
        chance = self._chance
        if chance.random() < 1 / HEAVY_EVERY:
            return self._heavy()
        if chance.random() < 0.02:
            return self._garbage()
        method = chance.choices([name for name, _ in WEIGHTS], [weight for _, weight in WEIGHTS])[0]
        if method == "Range":
            return method, self.range()
        if method == "Put":
            return method, self.put()
        if method == "DeleteRange":
            return method, self.delete()
        if method == "Txn":
            return method, self.overlap() if self._is(0.15) else self.txn(chance.choice((0, 0, 1, 1, 2, 3)))
        return method, self.compact()

    def _is(self, probability):
        return self._chance.random() < probability

    def _key(self):
        return b"" if self._is(0.01) else self._chance.choice(KEYS)

    def _interval(self):
        """key and range_end: a single key, an interval (empty and inverted ones too), a prefix, from-key, everything."""
        chance = self._chance
        dice = chance.random()
        key = self._key()
        if dice < 0.45:
            return key, b""
        if dice < 0.75:
            other = chance.choice(KEYS)
            return (key, other) if key < other or self._is(0.3) else (other, key)
        if dice < 0.85:
            return b"c", b"d"
        return (key, b"\0") if dice < 0.95 else (b"\0", b"\0")

    def _revision_near(self):
        chance = self._chance
        dice = chance.random()
        if dice < 0.70:
            return 0
        if dice < 0.90:
            return chance.randint(max(1, self._compacted), max(1, self._revision))
        if dice < 0.94:
            return chance.randint(1, max(1, self._compacted + 1))
        if dice < 0.97:
            return self._revision
        return self._revision + chance.choice((1, 2, 1000, 1 << 62))

    def range(self):
        """Most are plain; one in four has all its options at random, so that every pair of them meets."""
        chance = self._chance
        key, range_end = self._interval()
        request = rpc.RangeRequest(key=key, range_end=range_end, revision=self._revision_near())
        often = self._is(0.25)
        if self._is(0.6 if often else 0.35):
            request.limit = chance.choice((1, 2, 3, 5, 11, 100, -1, 1 << 40, -1 << 63, (1 << 63) - 1))
        if self._is(0.7 if often else 0.35):
            request.sort_order = chance.choice((0, 1, 2))
            request.sort_target = chance.choice((0, 1, 2, 3, 4))
        for name in FILTERS:
            if self._is(0.3 if often else 0.06):
                setattr(request, name, chance.randint(-1, self._revision + 1))
        request.serializable = self._is(0.5)
        request.keys_only = self._is(0.4 if often else 0.12)
        request.count_only = self._is(0.25 if often else 0.10)
        if often and self._is(0.5):
            request.revision = chance.choice((1, self._compacted, self._compacted, self._revision, self._revision + 1,
                                              self._compacted - 1, -1, -1 << 63))
        return request

    def bad_sort(self):
        request = self.range()
        if self._is(0.5):
            request.sort_order = self._chance.choice((3, 77))
        else:
            request.sort_target = self._chance.choice((5, 99))
        return request

    def put(self):
        chance = self._chance
        request = rpc.PutRequest(key=self._key(), value=chance.choice(VALUES), prev_kv=self._is(0.3))
        if self._is(0.10):      # any mixture of the options
            request.prev_kv, request.ignore_value, request.ignore_lease, has_lease, has_value = next(self._put_options)
            request.lease = chance.choice(UNKNOWN_LEASES) if has_lease else 0
            request.value = b"value" if has_value else b""
            return request
        if self._is(0.12):
            request.ignore_value = True
            if self._is(0.8):
                request.value = b""
        request.ignore_lease = self._is(0.08)
        return request

    def delete(self):
        key, range_end = self._interval()
        if key < range_end or range_end == b"\0":      # else the store would be empty most of the time
            range_end = b"" if self._is(0.6) else range_end
        return rpc.DeleteRangeRequest(key=key, range_end=range_end, prev_kv=self._is(0.4))

    def compact(self):
        chance = self._chance
        dice = chance.random()
        if dice < 0.65:     # keep some history
            revision = max(self._compacted + 1, self._revision - chance.randint(5, 400))
        elif dice < 0.8:
            revision = chance.randint(0, max(1, self._compacted))
        elif dice < 0.9:
            revision = self._revision + chance.randint(1, 3)
        else:
            revision = chance.choice((self._revision, self._revision, 0, -5, 1 << 62))
        return rpc.CompactionRequest(revision=revision, physical=self._is(0.3))

    def _compare(self):
        chance = self._chance
        compare = rpc.Compare(result=chance.choice((0, 0, 0, 1, 2, 3)), target=chance.choice((0, 1, 2, 3, 4)),
                              key=self._key())
        if self._is(0.2):
            compare.range_end = self._interval()[1]
        union = ("version", "create_revision", "mod_revision", "value", "lease")[
            compare.target if self._is(0.95) else chance.randrange(5)]
        if self._is(0.95):
            number = chance.choice((0, 0, 1, 2, self._revision, chance.randint(1, self._revision + 1)))
            setattr(compare, union, chance.choice(VALUES) if union == "value" else number)
        is_odd = self._is(0.03)
        if is_odd or self._is(0.02):
            compare.target = chance.choice((5, 9, -1, 1 << 30))
        if is_odd or self._is(0.02):
            compare.result = chance.choice((4, 9, -1, 1 << 30))
        return compare

    def _operation(self, depth):
        chance = self._chance
        dice = chance.random()
        if depth > 0 and dice < 0.35:
            return rpc.RequestOp(request_txn=self.txn(depth - 1))
        if dice < 0.60:
            return rpc.RequestOp(request_range=self.range())
        if dice < 0.86:
            return rpc.RequestOp(request_put=self.put())
        if dice < 0.995:
            return rpc.RequestOp(request_delete_range=self.delete())
        return rpc.RequestOp()

    def txn(self, depth):
        chance = self._chance
        request = rpc.TxnRequest()
        request.compare.extend(self._compare() for _ in range(chance.choice((0, 0, 1, 1, 2))))
        request.success.extend(self._operation(depth) for _ in range(chance.choice((0, 1, 1, 2, 3))))
        request.failure.extend(self._operation(depth) for _ in range(chance.choice((0, 0, 1, 2))))
        return request

    def _write(self, key):
        """A put of the key, or a deletion that has to do with it."""
        chance = self._chance
        dice = chance.random()
        if dice < 0.45:
            return rpc.RequestOp(request_put=rpc.PutRequest(key=key, value=b"1"))
        if dice < 0.60:
            return rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=key))
        start, end = sorted((chance.choice(KEYS), chance.choice(KEYS)))
        start, end = chance.choice(((start, end), (key, end), (start, key), (key, key + b"\0"), (key, b"\0"), (key, key)))
        return rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=start, range_end=end))

    def overlap(self, depth=2):
        """Writes on two keys, in either branch, nested or not: near the rule about duplicate keys on both of its sides."""
        chance = self._chance
        keys = chance.sample(KEYS, 2)
        request = rpc.TxnRequest(compare=[self._compare() for _ in range(chance.choice((0, 1)))])
        for branch in (request.success, request.failure):
            for _ in range(chance.choice((0, 1, 2, 2, 3))):
                if depth > 0 and self._is(0.3):
                    branch.append(rpc.RequestOp(request_txn=self.overlap(depth - 1)))
                else:
                    branch.append(self._write(chance.choice(keys)))
        return request

    def _chain(self, depth, width=0):
        """Nested transactions; with a width, each level has so many operations beside the nested one, in the other branch."""
        request = rpc.TxnRequest(success=[rpc.RequestOp(request_put=self.put())])
        for _ in range(depth):
            request = rpc.TxnRequest(success=[rpc.RequestOp(request_txn=request)])
            request.failure.extend(rpc.RequestOp(request_range=rpc.RangeRequest(key=b"a")) for _ in range(width))
        return request

    def _heavy(self):
        """At the limits: operations, depth, bytes."""
        chance = self._chance
        kind = next(self._heavy_kinds)
        many = [rpc.RequestOp(request_range=rpc.RangeRequest(key=chance.choice(KEYS)))
                for _ in range(chance.choice((OPS_MAX - 1, OPS_MAX, OPS_MAX + 1)))]
        if kind == 0:
            return "Txn", rpc.TxnRequest(success=many)
        if kind == 1:
            return "Txn", rpc.TxnRequest(failure=many, compare=[rpc.Compare(key=b"a", result=3)])
        if kind == 2:
            return "Txn", rpc.TxnRequest(compare=[rpc.Compare(key=b"a") for _ in range(len(many))])
        if kind == 3:       # the allowance shrinks by nesting: 100 operations outside leave 28 inside
            inner = rpc.TxnRequest(success=many[:chance.choice((27, 28, 29))])
            return "Txn", rpc.TxnRequest(success=many[:99] + [rpc.RequestOp(request_txn=inner)])
        if kind == 4:       # every level uses one of the allowance; below it, what the client's own parser can read
            return "Txn", self._chain(chance.choice((5, 30, 45, 128, 140)))
        if kind == 5:       # every level uses 16: eight fit, nine do not
            return "Txn", self._chain(chance.choice((6, 7, 8)), 16)
        if kind == 6:
            return "DeleteRange", rpc.DeleteRangeRequest(key=b"big", range_end=b"l", prev_kv=self._is(0.5))
        if kind == 7:
            return "Put", rpc.PutRequest(key=b"k" * (REQUEST_BYTES_MAX // 2), value=b"", prev_kv=True)
        # Around the limit, but not within the few bytes that the envelopes differ by.
        size = REQUEST_BYTES_MAX + (-chance.choice((1024, 4096)) if kind % 2 == 0 else chance.choice((1024, 4096)))
        if kind == 12:      # more than the transport takes
            return "Put", rpc.PutRequest(key=b"big", value=b"v" * (REQUEST_BYTES_MAX + 600 * 1024))
        if kind <= 9:
            return "Put", rpc.PutRequest(key=b"big", value=b"v" * size)
        half = rpc.RequestOp(request_put=rpc.PutRequest(key=b"big/1", value=b"v" * (size // 2)))
        rest = rpc.RequestOp(request_put=rpc.PutRequest(key=b"big/2", value=b"v" * (size - size // 2)))
        return "Txn", rpc.TxnRequest(success=[half, rest])

    def _message(self, method):
        return {"Range": self.range, "Put": self.put, "DeleteRange": self.delete, "Compact": self.compact,
                "Txn": lambda: self.txn(2)}[method]()

    def _sprinkle(self, message):
        """The message with unknown fields in it and in the messages inside of it."""
        for field, value in message.ListFields():
            if field.message_type is not None:
                for inner in value if field.label == field.LABEL_REPEATED else [value]:
                    self._sprinkle(inner)
        if self._is(0.7):
            message.MergeFromString(self._chance.choice(UNKNOWN_FIELDS))

    def _garbage(self):
        """Bytes that are no message, or that no encoder would write."""
        chance = self._chance
        method = chance.choice(("Range", "Put", "DeleteRange", "Txn", "Txn", "Compact"))
        message = self._message(method)
        body = message.SerializeToString()
        kind = chance.randrange(9)
        if kind <= 1:       # unknown fields, everywhere
            self._sprinkle(message)
            return method, message.SerializeToString()
        if kind == 2:       # a length beyond the end
            return method, body + b"\x0a\x7fabc"
        if kind == 3:       # wire type 7
            return method, body + b"\x0f\x01"
        if kind == 4:       # a tag without its length
            return method, body + b"\x0a"
        if kind == 5:       # field number 0, a varint without end, an end of no group, a known field of another wire type
            return method, body + chance.choice((b"\x00\x01", b"\x18" + b"\xff" * 11, b"\x0c", b"\x0d1234", b"\x08\x01"))
        if kind == 6 and method != "Txn":       # every field twice: the last one counts
            other = self._message(method)
            return method, other.SerializeToString() + body
        if kind == 7:       # a member of the union twice, and another one before it
            op = rpc.RequestOp(request_range=rpc.RangeRequest(key=b"a")).SerializeToString()
            op += rpc.RequestOp(request_put=rpc.PutRequest(key=b"b", value=b"first")).SerializeToString()
            op += rpc.RequestOp(request_put=rpc.PutRequest(key=b"c")).SerializeToString()
            return "Txn", b"\x12" + bytes([len(op)]) + op
        position = chance.randrange(len(body) + 1)      # one byte changed, or the rest lost
        if self._is(0.3) or position == len(body):
            return method, body[:position]
        return method, body[:position] + bytes([chance.randrange(256)]) + body[position + 1:]
