"""Concurrent clients that write unique values and read them back, and the questions put to the members afterwards."""

import hashlib
import random
import threading
import time

import grpc

import history
from kvtest import Client, check, rpc, wait_until

SHARED_KEYS = [history.SHARED_PREFIX + name for name in "abcdefgh"]
# Answers that say "not applied". All else (a timeout, a lost connection, a change of leader) leaves the outcome open.
NOT_SENT_TEXT = "failed to connect to all addresses"
REFUSED_CODES = ("INVALID_ARGUMENT", "OUT_OF_RANGE", "FAILED_PRECONDITION", "RESOURCE_EXHAUSTED", "NOT_FOUND",
                 "UNIMPLEMENTED", "PERMISSION_DENIED")


def prefix_end(prefix):
    raw = prefix.encode()
    return raw[:-1] + bytes([raw[-1] + 1])


def _put_op(key, value):
    return rpc.RequestOp(request_put=rpc.PutRequest(key=key.encode(), value=value.encode()))


def _delete_op(key):
    return rpc.RequestOp(request_delete_range=rpc.DeleteRangeRequest(key=key.encode()))


def _seen(kvs):
    return [[kv.key.decode(), kv.value.decode(), kv.create_revision, kv.mod_revision, kv.version] for kv in kvs]


class Workload:
    """Writers and readers, one thread each, on all members of a cluster. The history is theirs until `stop`."""

    def __init__(self, cluster, writers, readers, seed, pause_s=0.006, timeout_s=3.0):
        self._cluster, self._pause_s, self._timeout_s = cluster, pause_s, timeout_s
        self._is_stopping = threading.Event()
        self._lists = []
        self._errors = []
        self._threads = []
        self.boots = {member.name: 0 for member in cluster.members}
        for number in range(writers + readers):
            records = []
            self._lists.append(records)
            step = self._write if number < writers else self._read
            self._threads.append(threading.Thread(target=self._run, args=(number, step, records, seed), daemon=True))

    def start(self):
        for thread in self._threads:
            thread.start()
        return self

    def stop(self):
        """Ends the clients; answers all records."""
        self._is_stopping.set()
        for thread in self._threads:
            thread.join(self._timeout_s + 10)
            check(not thread.is_alive(), "a client thread did not end")
        check(not self._errors, "a client thread failed: %s", self._errors[:1])
        return [record for records in self._lists for record in records]

    def acknowledged(self):
        """How many writes have been acknowledged up to now."""
        return sum(1 for records in self._lists for r in list(records)
                   if r["kind"] != "read" and r["outcome"] == "ok" and r.get("is_taken", True))

    def _run(self, number, step, records, seed):
        chance = random.Random("%d/%d" % (seed, number))
        clients = [Client(member.target) for member in self._cluster.members]
        sequence = 0
        try:
            while not self._is_stopping.is_set():
                at = chance.randrange(len(clients))
                member = self._cluster.members[at]
                record = {"id": "c%d-%d" % (number, sequence), "client": number, "member": member.name,
                          "boot": self.boots[member.name]}
                sequence += 1
                step(clients[at], chance, record)
                records.append(record)
                time.sleep(self._pause_s * (1 if record["outcome"] == "ok" else 4))
        except Exception as error:      # an answer that is no answer: the test must hear of it
            self._errors.append(repr(error))
        finally:
            for client in clients:
                client.close()

    def _call(self, client, method, request, record):
        """Makes the call and notes when, and how it ended; answers the response or None."""
        record["start_ns"] = time.monotonic_ns()
        try:
            response = client.call(method, request, self._timeout_s)
            record["outcome"] = "ok"
            record["revision"] = response.header.revision
        except grpc.RpcError as error:
            response = None
            text = error.details() or ""
            is_refused = error.code().name in REFUSED_CODES or NOT_SENT_TEXT in text
            record["outcome"] = "refused" if is_refused else "unknown"
            record["text"] = "%s %s" % (error.code().name, text[:200])
        record["end_ns"] = time.monotonic_ns()
        return response

    def _write(self, client, chance, record):
        key, dice = chance.choice(SHARED_KEYS), chance.random()
        if dice < 0.25:
            self._compare_and_set(client, key, record)
            return
        record["kind"] = "write"
        is_delete = dice < 0.4
        record["effects"] = {key: None if is_delete else record["id"]}
        change = _delete_op(key) if is_delete else _put_op(key, record["id"])
        txn = rpc.TxnRequest(success=[_put_op(history.LOG_PREFIX + record["id"], record["id"]), change])
        response = self._call(client, "Txn", txn, record)
        if response is not None and is_delete:
            record["deleted"] = response.responses[1].response_delete_range.deleted

    def _compare_and_set(self, client, key, record):
        """Reads a key (not noted: it only supplies the revision) and replaces it if nobody did in between."""
        record.update(kind="cas", effects={key: record["id"]}, is_taken=True)
        try:
            found = client.get(key.encode(), self._timeout_s, serializable=True)
            mod_revision = found.kvs[0].mod_revision if found.kvs else 0
        except grpc.RpcError:
            mod_revision = 0
        record["compare"] = [key, mod_revision]
        compare = rpc.Compare(target=rpc.Compare.MOD, result=rpc.Compare.EQUAL, key=key.encode(),
                              mod_revision=mod_revision)
        txn = rpc.TxnRequest(compare=[compare], success=[_put_op(history.LOG_PREFIX + record["id"], record["id"]),
                                                         _put_op(key, record["id"])])
        response = self._call(client, "Txn", txn, record)
        if response is not None:
            record["is_taken"] = response.succeeded

    def _read(self, client, chance, record):
        record.update(kind="read", serializable=chance.random() < 0.4)
        request = rpc.RangeRequest(key=history.SHARED_PREFIX.encode(), range_end=prefix_end(history.SHARED_PREFIX),
                                   serializable=record["serializable"])
        response = self._call(client, "Range", request, record)
        if response is not None:
            record["seen"] = _seen(response.kvs)


# --------------------------------------------------------------------------------------------------------------------
# Afterwards


def read_all(client, prefix, revision, serializable=False):
    """All pairs of a prefix at one revision, in pages."""
    pairs, key, end = [], prefix.encode(), prefix_end(prefix)
    while True:
        request = rpc.RangeRequest(key=key, range_end=end, limit=1000, revision=revision, serializable=serializable)
        page = client.call("Range", request, 20)
        pairs.extend(page.kvs)
        if not page.more:
            return pairs
        key = page.kvs[-1].key + b"\0"


def committed_log(client):
    """The store's own list of writes (see history.py) and the revision at which it was read."""
    revision = client.get(b"none").header.revision
    pairs = read_all(client, history.LOG_PREFIX, revision)
    return [(kv.value.decode(), kv.create_revision, kv.mod_revision, kv.version) for kv in pairs], revision


def check_members_agree(cluster):
    """All members give the same pairs, read locally at one revision, and the same HashKV."""
    revision = cluster.leader().client.get(b"none").header.revision
    digests, hashes = set(), set()
    for member in cluster.members:
        wait_until(lambda m=member: m.client.get(b"none", serializable=True).header.revision >= revision, 10,
                   "%s reaches revision %d" % (member.name, revision))
        digest = hashlib.sha256()
        for prefix in (history.LOG_PREFIX, history.SHARED_PREFIX):
            for kv in read_all(member.client, prefix, revision, serializable=True):
                digest.update(kv.SerializeToString(deterministic=True))
        digests.add(digest.hexdigest())
        reply = member.client.ask("HashKV", rpc.HashKVRequest(revision=revision))
        check(reply.code == "OK", "HashKV on %s: %s", member.name, reply)
        hashes.add((reply.response.hash, reply.response.compact_revision))
    check(len(digests) == 1, "the members' pairs differ at revision %d", revision)
    check(len(hashes) == 1, "the members' HashKV differ at revision %d: %s", revision, hashes)
