"""A seeded stream of random KV requests: every option, every kind of bad request, on few keys so that they collide.

Nothing here knows a server. The stream is a function of the seed and of the revisions that `note` was told, so a run can be
repeated from its seed as long as the answers are the same.
"""

import random

from kvtest import rpc

KEYS = [b"a", b"a\0", b"aa", b"ab", b"b", b"b\xff", b"b\xff\xff", b"c", b"c/1", b"c/2", b"c/3", b"d", b"dd", b"ddd",
        b"e\x80", b"f", b"g", b"\xff", b"\xff\xff", b"\0"]
VALUES = [b"", b"0", b"1", b"value", b"Value", b"\0\0", b"\xff\xfe", b"x" * 300]
UNKNOWN_LEASES = [1, 7587822882194279424, -3]
OPS_MAX = 128
REQUEST_BYTES_MAX = 1536 * 1024
WEIGHTS = (("Range", 38), ("Put", 24), ("DeleteRange", 9), ("Txn", 27), ("Compact", 2))
# One in so many requests is of the heavy kind (about 1.5 MiB, or hundreds of operations).
HEAVY_EVERY = 300


class Requests:
    def __init__(self, seed):
        self._chance = random.Random(seed)
        self._revision = 1
        self._compacted = 0

    def note(self, revision):
        """The store's revision, from the last answer: old, current and future revisions are drawn around it."""
        self._revision = max(self._revision, revision)

    def next(self):
        """(method, request) of one call; the request is a message, or bytes where no message can say it."""
        chance = self._chance
        if chance.random() < 1 / HEAVY_EVERY:
            return self._heavy()
        if chance.random() < 0.01:
            return self._garbage()
        method = chance.choices([name for name, _ in WEIGHTS], [weight for _, weight in WEIGHTS])[0]
        if method == "Range":
            return method, self.range()
        if method == "Put":
            return method, self.put()
        if method == "DeleteRange":
            return method, self.delete()
        if method == "Txn":
            return method, self.txn(chance.choice((0, 0, 1, 1, 2, 3)))
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
            return (key, other) if key <= other or self._is(0.15) else (other, key)
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
        chance = self._chance
        key, range_end = self._interval()
        request = rpc.RangeRequest(key=key, range_end=range_end, revision=self._revision_near())
        if self._is(0.35):
            request.limit = chance.choice((1, 2, 3, 5, 100, -1, 1 << 40))
        if self._is(0.35):
            request.sort_order = chance.choice((0, 1, 2))
            request.sort_target = chance.choice((0, 1, 2, 3, 4))
        for name in ("min_mod_revision", "max_mod_revision", "min_create_revision", "max_create_revision"):
            if self._is(0.06):
                setattr(request, name, chance.randint(-1, self._revision + 1))
        request.serializable = self._is(0.5)
        request.keys_only = self._is(0.12)
        request.count_only = self._is(0.10)
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
        if self._is(0.12):
            request.ignore_value = True
            if self._is(0.8):
                request.value = b""
        request.ignore_lease = self._is(0.10)
        if self._is(0.03):
            request.lease = chance.choice(UNKNOWN_LEASES)
        return request

    def delete(self):
        key, range_end = self._interval()
        if range_end and self._is(0.6):     # else the store would be empty most of the time
            range_end = b""
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
        if 0 < revision <= self._revision:
            self._compacted = max(self._compacted, revision)
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
        if self._is(0.01):
            compare.target = 9
        if self._is(0.01):
            compare.result = 9
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

    def _heavy(self):
        """At the limits: operations, depth, bytes."""
        chance = self._chance
        kind = chance.randrange(7)
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
            request = rpc.TxnRequest(success=[rpc.RequestOp(request_put=self.put())])
            for _ in range(chance.choice((5, 30, 45, 128, 140))):
                request = rpc.TxnRequest(success=[rpc.RequestOp(request_txn=request)])
            return "Txn", request
        if kind == 5:       # around the limit, but not within the few bytes that the envelopes differ by
            size = REQUEST_BYTES_MAX + chance.choice((-4096, 4096))
            return "Put", rpc.PutRequest(key=b"big", value=b"v" * size)
        return "Put", rpc.PutRequest(key=b"big", value=b"v" * (REQUEST_BYTES_MAX + 600 * 1024))

    def _garbage(self):
        """Bytes that are no message, or a message with a field that nobody knows."""
        chance = self._chance
        method = chance.choice(("Range", "Put", "DeleteRange", "Txn", "Compact"))
        body = {"Range": self.range, "Put": self.put, "DeleteRange": self.delete, "Compact": self.compact,
                "Txn": lambda: self.txn(1)}[method]().SerializeToString()
        kind = chance.randrange(4)
        if kind == 0:       # an unknown field: number 200, length-delimited
            return method, body + b"\xc2\x0c\x03new"
        if kind == 1:       # a length beyond the end
            return method, body + b"\x0a\x7fabc"
        if kind == 2:       # wire type 7
            return method, body + b"\x0f\x01"
        return method, body + b"\x0a"       # a tag without its length
