"""What the tests of snapshots share: load from a process of its own, samples of disk and memory, the log read as records,
a proxy before a member's peer URL that throttles and cuts, streams of Maintenance.Snapshot."""

import collections
import datetime
import hashlib
import json
import multiprocessing
import os
import random
import re
import select
import socket
import statistics
import tempfile
import threading
import time

import grpc

from kvtest import CHANNEL_OPTIONS, Client, Cluster, Member, check, free_port, rpc, wait_until

MIB = 1 << 20
BLOCK = 512
SHA256_BYTES = 32

# --------------------------------------------------------------------------------------------------------------------
# Logs


def lines(member, text, is_whole=False):
    """The records of a member's log whose message is `text`."""
    found = []
    for line in member.log(is_whole).splitlines():
        if text not in line:
            continue
        try:
            record = json.loads(line)
        except ValueError:
            continue    # being written
        if record.get("msg") == text:
            found.append(record)
    return found


def snapshots(member):
    """Names of the whole snapshots of a member, the newest first."""
    names = [name for name in os.listdir(snap_dir(member)) if re.fullmatch("[0-9a-f]{16}-[0-9a-f]{16}[.]snap", name)]
    return sorted(names, key=lambda name: name[17:], reverse=True)


def snap_dir(member):
    return os.path.join(member.data_dir, "snap")


# --------------------------------------------------------------------------------------------------------------------
# Load


def value_of(number, size):
    """Bytes that no compression and no confusion of keys gets past."""
    return random.Random(number).randbytes(size)


def _load(targets, keys, value_bytes, puts, window, compact_every, seed, is_stopping, done):
    """Overwrites random keys, all members in turn; what a client may see fail (a member that is down) is tried again
    on the next one."""
    chance = random.Random(seed)
    clients = [Client(target) for target in targets]
    flying = collections.deque()
    revision = sent = at = 0
    worst_s = 0.0
    values = [value_of(seed * 1000 + n, value_bytes) for n in range(64)]
    start = time.monotonic()

    def settle():
        nonlocal revision, at, worst_s
        key, value, future, begin, attempts = flying.popleft()
        try:
            answer = future.result()
            revision = max(revision, answer.header.revision)
            worst_s = max(worst_s, time.monotonic() - begin)
            done.value += 1
        except grpc.RpcError:
            if attempts < 200 and not is_stopping.is_set():
                time.sleep(0.02)
                at += 1
                send(key, value, attempts + 1)

    def send(key, value, attempts=0):
        request = rpc.PutRequest(key=key, value=value)
        client = clients[at % len(clients)]
        flying.append((key, value, client.send("Put", request, 10.0), time.monotonic(), attempts))

    while (puts == 0 or sent < puts) and not is_stopping.is_set():
        if len(flying) >= window:
            settle()
        number = sent if sent < keys else chance.randrange(keys)
        send(b"key%08d" % number, values[chance.randrange(len(values))])
        sent += 1
        if compact_every and sent % compact_every == 0 and revision > 10:
            clients[at % len(clients)].ask("Compact", rpc.CompactionRequest(revision=revision - 10))
    while flying:
        settle()
    return {"puts": done.value, "s": time.monotonic() - start, "worst_s": worst_s}


def _load_main(pipe, *arguments):
    try:
        pipe.send(_load(*arguments))
    except Exception as error:      # the test must hear of it
        pipe.send({"error": repr(error)})


class Load:
    """Overwrites in a process of its own, so that the test's threads do not slow what they measure."""

    def __init__(self, members, keys, value_bytes, puts=0, window=64, compact_every=0, seed=1):
        context = multiprocessing.get_context("spawn")
        self._is_stopping = context.Event()
        self._done = context.Value("q", 0)
        self._mine, theirs = context.Pipe()
        self._process = context.Process(
            target=_load_main, daemon=True,
            args=(theirs, [m.target for m in members], keys, value_bytes, puts, window, compact_every, seed,
                  self._is_stopping, self._done))
        self._process.start()

    @property
    def puts(self):
        return self._done.value

    def is_alive(self):
        return self._process.is_alive() or self._mine.poll()

    def wait(self, timeout_s):
        """Until all puts are done; answers what it did."""
        check(self._mine.poll(timeout_s), "the load did not end within %.0f s: %d puts", timeout_s, self.puts)
        report = self._mine.recv()
        self._process.join(10)
        check("error" not in report, "the load failed: %s", report)
        return report

    def stop(self):
        self._is_stopping.set()
        return self.wait(60)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if self._process.is_alive():
            self._process.terminate()
        self._process.join(10)


def fill(client, keys, value_bytes, per_txn=100, window=8):
    """Keys with values, many to a transaction: the same on any server."""
    flying = collections.deque()
    for first in range(0, keys, per_txn):
        success = [rpc.RequestOp(request_put=rpc.PutRequest(key=b"key%08d" % n, value=value_of(n, value_bytes)))
                   for n in range(first, min(first + per_txn, keys))]
        if len(flying) >= window:
            flying.popleft().result()
        flying.append(client.send("Txn", rpc.TxnRequest(success=success), 60))
    while flying:
        flying.popleft().result()


# --------------------------------------------------------------------------------------------------------------------
# Samples


def disk_bytes(directory):
    """What the files take on the disk, spare segments and files under way included."""
    total = 0
    for path, _, names in os.walk(directory):
        for name in names:
            try:
                total += os.stat(os.path.join(path, name)).st_blocks * 512
            except FileNotFoundError:
                pass        # removed meanwhile
    return total


class Sampler:
    """Largest disk and memory of each member, until stopped; the disk's own fdatasync beside them."""

    def __init__(self, members):
        self._members = members
        self._is_stopping = threading.Event()
        self.disk = {member.name: 0 for member in members}
        self.rss = {member.name: 0 for member in members}
        self.syncs = []
        self._threads = [threading.Thread(target=self._sample, daemon=True), threading.Thread(target=self._sync, daemon=True)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind, value, trace):
        self._is_stopping.set()
        for thread in self._threads:
            thread.join(10)

    def _sample(self):
        while not self._is_stopping.wait(0.03):
            for member in self._members:
                self.disk[member.name] = max(self.disk[member.name], disk_bytes(member.data_dir))
                self.rss[member.name] = max(self.rss[member.name], member.rss_bytes())

    def _sync(self):
        with tempfile.TemporaryFile(dir=self._members[0].directory) as file:
            while not self._is_stopping.wait(0.02):
                os.pwrite(file.fileno(), os.urandom(4096), 0)
                start = time.monotonic()
                os.fdatasync(file.fileno())
                self.syncs.append(time.monotonic() - start)

    def sync_median_ms(self):
        return 1000 * statistics.median(self.syncs)

    def sync_worst_ms(self):
        return 1000 * max(self.syncs)


def table(title, rows):
    """One table of figures; a bound that is none is "-"."""
    print("# %s" % title)
    for name, measured, bound in rows:
        print("#   %-52s %14s   %s" % (name, measured, bound), flush=True)


def worst_waits_ms(members, waits):
    """Of calls as (begin, end) in wall time: the longest while some member took a snapshot, and the longest of the others."""
    taken = []
    for member in members:
        for line in lines(member, "took a snapshot"):
            end = datetime.datetime.fromisoformat(line["ts"].replace("Z", "+00:00")).timestamp()
            taken.append((end - int(line["took-ms"]) / 1000 - 0.01, end + 0.01))
    beside = apart = 0.0
    for begin, end in waits:
        if any(begin < until and end > since for since, until in taken):
            beside = max(beside, end - begin)
        else:
            apart = max(apart, end - begin)
    return 1000 * beside, 1000 * apart


# --------------------------------------------------------------------------------------------------------------------
# A slow and breakable road between members


class Proxy:
    """Before one member's peer URL: passes bytes on at a limited rate towards the member, and cuts all connections."""

    def __init__(self, to_port, rate_bytes=0):
        self.port = free_port()
        self._to_port, self.rate_bytes = to_port, rate_bytes
        self.passed = 0         # bytes towards the member
        self.cuts = 0
        self.is_closed = False  # lets nobody through
        self._pairs = {}        # socket → its other end
        self._lock = threading.Lock()
        self._is_stopping = False
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._listener.setblocking(False)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def cut(self):
        with self._lock:
            for end in self._pairs:
                end.shutdown_now()
            self.cuts += 1

    def close(self):
        self._is_stopping = True
        self._thread.join(10)
        self._listener.close()

    def _accept(self):
        near, _ = self._listener.accept()
        if self.is_closed:
            near.close()
            return
        try:
            far = socket.create_connection(("127.0.0.1", self._to_port), 2)
        except OSError:
            near.close()
            return
        for sock in (near, far):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        a, b = _End(near, True), _End(far, False)
        self._pairs[a], self._pairs[b] = b, a

    def _forget(self, end):
        other = self._pairs.pop(end, None)
        end.sock.close()
        if other is not None:
            self._pairs.pop(other, None)
            other.sock.close()

    def _move(self, end, allowed):
        """Reads from one end into the other; answers the bytes, or None at its end."""
        other = self._pairs[end]
        try:
            data = end.sock.recv(allowed)
            if not data:
                return None
            other.pending += data
            sent = other.sock.send(other.pending)
            del other.pending[:sent]
            return len(data)
        except BlockingIOError:
            return 0
        except OSError:
            return None

    def _turn(self, budget):
        """One turn of the loop; answers how much was passed towards the member."""
        with self._lock:
            for end in [e for e in self._pairs if e.is_dead]:
                if end in self._pairs:
                    self._forget(end)
            readers = [e for e in self._pairs if not self._pairs[e].pending and (not e.is_near or budget > 0)]
            writers = [e for e in self._pairs if e.pending]
        ready, writable, _ = select.select([self._listener] + readers, writers, [], 0.01)
        passed = 0
        with self._lock:
            for end in writable:
                if end not in self._pairs:
                    continue
                try:
                    del end.pending[:end.sock.send(end.pending)]
                except BlockingIOError:
                    pass
                except OSError:
                    self._forget(end)
            for end in ready:
                if end is self._listener:
                    self._accept()
                elif end in self._pairs:
                    moved = self._move(end, min(65536, int(budget) + 1) if end.is_near else 65536)
                    if moved is None:
                        self._forget(end)
                    elif end.is_near:
                        passed += moved
        return passed

    def _run(self):
        budget, before = 0.0, time.monotonic()
        while not self._is_stopping:
            now = time.monotonic()
            if self.rate_bytes:
                budget = min(budget + (now - before) * self.rate_bytes, self.rate_bytes / 20)
            else:
                budget = 1e12
            before = now
            passed = self._turn(budget)
            budget -= passed
            self.passed += passed
        for end in list(self._pairs):
            if end in self._pairs:
                self._forget(end)


class _End:
    """A socket of the proxy and what it has not taken yet."""

    __slots__ = ("sock", "is_near", "pending", "is_dead")

    def __init__(self, sock, is_near):
        self.sock, self.is_near, self.pending, self.is_dead = sock, is_near, bytearray(), False

    def fileno(self):
        return self.sock.fileno()

    def shutdown_now(self):
        self.is_dead = True


class ProxiedMember(Member):
    """A member that the others reach through a proxy only."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.proxy = Proxy(self.peer_port)

    @property
    def advertised_url(self):
        return "http://127.0.0.1:%d" % self.proxy.port

    def command(self):
        words = super().command()
        words[words.index("--initial-advertise-peer-urls") + 1] = self.advertised_url
        return words


class ProxiedCluster(Cluster):
    """Three members, the last one behind a proxy."""

    def __init__(self, flags=()):
        super().__init__(3, flags=flags)
        self.members[2] = ProxiedMember("m2", self.directory, flags=flags)
        initial = ",".join("%s=%s" % (m.name, getattr(m, "advertised_url", m.peer_url)) for m in self.members)
        for member in self.members:
            member.initial_cluster = initial

    def __exit__(self, kind, value, trace):
        try:
            return super().__exit__(kind, value, trace)
        finally:
            self.members[2].proxy.close()


# --------------------------------------------------------------------------------------------------------------------
# Agreement


def asked(ask, timeout_s):
    """The answer of a call that may be made twice: again while a member says that it cannot now, as it does when leaders change."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return ask()
        except grpc.RpcError as error:
            check(error.code().name in ("UNAVAILABLE", "DEADLINE_EXCEEDED"), "refused: %s", error)
            check(time.monotonic() < deadline, "not within %.1f s: %s", timeout_s, error)
        time.sleep(0.05)


def hash_kv(member, revision):
    reply = member.client.ask("HashKV", rpc.HashKVRequest(revision=revision), 30)
    check(reply.code == "OK", "HashKV on %s: %s", member.name, reply)
    return reply.response.hash, reply.response.compact_revision


def check_agreement(cluster, timeout_s=30):
    """All members reach the leader's revision and give one HashKV there."""
    revision = asked(lambda: cluster.leader().client.get(b"none"), timeout_s).header.revision
    for member in cluster.members:
        wait_until(lambda m=member: m.client.get(b"none", serializable=True).header.revision >= revision, timeout_s,
                   "%s reaches revision %d" % (member.name, revision))
    hashes = {hash_kv(member, revision) for member in cluster.members}
    check(len(hashes) == 1, "HashKV differs at revision %d: %s", revision, hashes)
    return revision


# --------------------------------------------------------------------------------------------------------------------
# Maintenance.Snapshot


class Stream:
    """One call of Maintenance.Snapshot on a connection of its own, that reads when it is told to."""

    def __init__(self, member, timeout_s=60):
        # No probes: a client that grows its window takes a whole small snapshot without anybody reading it.
        self._channel = grpc.insecure_channel(member.target, options=CHANNEL_OPTIONS + [("grpc.http2.bdp_probe", 0)])
        call = self._channel.unary_stream("/etcdserverpb.Maintenance/Snapshot",
                                          request_serializer=rpc.SnapshotRequest.SerializeToString,
                                          response_deserializer=rpc.SnapshotResponse.FromString)
        self._call = call(rpc.SnapshotRequest(), timeout=timeout_s)

    def read(self):
        """The next piece; None at the end."""
        return next(self._call, None)

    def read_all(self, first=None):
        """All bytes; checks what remains to be sent at each piece, and the sum at the end. `first` was read before."""
        pieces, remaining = [], None
        while True:
            piece = first or self.read()
            first = None
            if piece is None:
                break
            if remaining is not None and len(piece.blob) != SHA256_BYTES:
                check(piece.remaining_bytes == remaining - len(piece.blob), "remaining: %d after %d and %d bytes",
                      piece.remaining_bytes, remaining, len(piece.blob))
            remaining = piece.remaining_bytes
            pieces.append(piece.blob)
        whole = b"".join(pieces)
        check_saved(whole)
        return whole

    def end(self):
        """The code with which it ended."""
        try:
            while self.read() is not None:
                pass
            return "OK", ""
        except grpc.RpcError as error:
            return error.code().name, error.details()

    def close(self):
        self._call.cancel()
        self._channel.close()


def check_saved(whole):
    check(len(whole) % BLOCK == SHA256_BYTES, "%d bytes were saved", len(whole))
    check(hashlib.sha256(whole[:-SHA256_BYTES]).digest() == whole[-SHA256_BYTES:], "the sum of %d bytes is wrong", len(whole))


def _varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


def _take_versions(data, key, pairs):
    """Versions of one block (the essay in src/storage/snapshot_format.c), applied to the pairs in their order; answers the last key."""
    at = 0
    while at < len(data):
        flags = data[at]
        _, at = _varint(data, at + 1)
        if flags & 4:
            _, at = _varint(data, at)
        if flags & 1:
            size, at = _varint(data, at)
            key, at = data[at:at + size], at + size
        for _ in range((2 if flags & 8 else 0) + (1 if flags & 16 else 0)):
            _, at = _varint(data, at)
        if flags & 2:
            pairs.pop(key, None)
            continue
        size, at = _varint(data, at)
        pairs[key], at = data[at:at + size], at + size
    return key


def parse_saved(whole):
    """The revision of a saved file and the pairs that it holds."""
    section_keys, section_end = 4, 5
    revision = int.from_bytes(whole[56:64], "little", signed=True)
    at, pairs, key = 128, {}, b""
    while True:
        section = int.from_bytes(whole[at + 4:at + 6], "little")
        size = int.from_bytes(whole[at + 20:at + 24], "little")
        payload = whole[at + 24:at + 24 + size]
        at += 24 + size
        if section == section_keys:
            key = _take_versions(payload, key, pairs)
        if section == section_end:
            check(int.from_bytes(payload[:8], "little") == at, "the end says another size than %d", at)
            return revision, pairs
