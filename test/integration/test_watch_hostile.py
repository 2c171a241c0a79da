#!/usr/bin/python3
"""What do watch streams that mean no good cost the member, and whom do they hinder?

Most of them speak HTTP/2 by hand: a client library would not cut a message short, say nothing for long, or vanish. Beside each stands a
good stream, which must hear of every put as if nothing were.
"""

import contextlib
import json
import signal
import socket
import struct
import time

import grpc

from kvtest import CHANNEL_OPTIONS, IS_SHORT, Cluster, check, main, needs_kvd, pick, rpc, wait_until
from watches import Log, Stream, follow

BUDGET_S = 30
MIB = 1 << 20
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 3, 4, 6, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1
FRAME_BYTES_MAX = 16384


def _field(name, value):
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def _frame(kind, flags, stream, body=b""):
    return struct.pack(">I", len(body))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + body


def grpc_message(request):
    body = request.SerializeToString()
    return b"\0" + struct.pack(">I", len(body)) + body


def create(key, **options):
    return grpc_message(rpc.WatchRequest(create_request=rpc.WatchCreateRequest(key=key, **options)))


class RawConnection:
    """HTTP/2 by hand, as far as it is needed: streams of the Watch method, or of another one, bytes as they are, flow control."""

    def __init__(self, port, receive_bytes=0):
        self.socket = socket.socket()
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(10)
        self.socket.connect(("127.0.0.1", port))
        self.socket.sendall(PREFACE + _frame(SETTINGS, 0, 0, struct.pack(">HI", 4, (1 << 31) - 1)) +
                            _frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", (1 << 31) - 1 - 65535)))
        self._window = {0: 65535}
        self._window_of_new = 65535
        self._received = b""
        self._next = 1
        self.data = {}          # stream → bytes
        self.ended = set()

    def open(self, path=b"/etcdserverpb.Watch/Watch"):
        stream, self._next = self._next, self._next + 2
        self._window[stream] = self._window_of_new
        self.data[stream] = bytearray()
        fields = b"\x83\x86" + b"".join(_field(name, value) for name, value in (
            (b":path", path), (b":authority", b"x"), (b"content-type", b"application/grpc"), (b"te", b"trailers")))
        self.socket.sendall(_frame(HEADERS, END_HEADERS, stream, fields))
        return stream

    def send(self, stream, body, is_last=False):
        view = memoryview(body)
        while view:
            size = min(len(view), FRAME_BYTES_MAX, self._window[0], self._window[stream])
            if size <= 0:
                self.take()
                continue
            self._window[0] -= size
            self._window[stream] -= size
            self.socket.sendall(_frame(DATA, END_STREAM if is_last and size == len(view) else 0, stream, bytes(view[:size])))
            view = view[size:]
        if is_last and not body:
            self.socket.sendall(_frame(DATA, END_STREAM, stream))

    def take(self):
        """Reads once and looks at all whole frames."""
        read = self.socket.recv(1 << 20)
        check(read, "the connection was closed")
        self._received += read
        while len(self._received) >= 9:
            size = int.from_bytes(self._received[:3], "big")
            if len(self._received) < 9 + size:
                return
            kind, flags = self._received[3:5]
            stream = int.from_bytes(self._received[5:9], "big")
            body, self._received = self._received[9:9 + size], self._received[9 + size:]
            self._look(kind, flags, stream, body)

    def _look(self, kind, flags, stream, body):
        if kind == WINDOW_UPDATE and stream in self._window:
            self._window[stream] += int.from_bytes(body, "big")
        elif kind == SETTINGS and not flags & ACK:
            for at in range(0, len(body), 6):
                name, value = struct.unpack(">HI", body[at:at + 6])
                if name == 4:
                    grown, self._window_of_new = value - self._window_of_new, value
                    for each in self.data:
                        self._window[each] += grown
            self.socket.sendall(_frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self.socket.sendall(_frame(PING, ACK, 0, body))
        elif kind == DATA:
            self.data[stream] += body
        if kind == RST_STREAM or kind in (DATA, HEADERS) and flags & END_STREAM:
            self.ended.add(stream)

    def responses(self, stream):
        """The whole messages that came on it, taken out."""
        told, data = [], self.data[stream]
        while len(data) >= 5 and len(data) >= 5 + int.from_bytes(data[1:5], "big"):
            size = int.from_bytes(data[1:5], "big")
            told.append(rpc.WatchResponse.FromString(bytes(data[5:5 + size])))
            del data[:5 + size]
        return told

    def wait(self, stream, count):
        told = self.responses(stream)
        while len(told) < count:
            self.take()
            told += self.responses(stream)
        return told

    def vanish(self):
        """As a process that is killed with unread bytes: the other side gets a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.socket.close()


@contextlib.contextmanager
def _member(flags=()):
    with Cluster(1, flags=flags) as cluster:
        member = cluster.members[0]
        cluster.leader()
        member.client.put(b"before", b"1")
        yield member


class Good:
    """A stream that hears of every put beside the others."""

    def __init__(self, member):
        self._member, self._stream = member, Stream(member.target)
        start = self._stream.open(b"good/", range_end=b"good0", prev_kv=True).header.revision + 1
        self._log = self._stream.log(0, start)

    def check(self):
        follow(self._stream, self._log, self._member.client.put(b"good/1", b"v").header.revision)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self._stream.close()


def _account(member):
    """The member's own account of its memory, as it logs it when asked."""
    def lines():
        return [json.loads(line) for line in member.log().splitlines() if '"msg":"memory"' in line]
    count = len(lines())
    member.process.send_signal(signal.SIGUSR1)
    wait_until(lambda: len(lines()) > count, 5, "the line in the log")
    return lines()[-1]


def _wait_for(member, streams, watchers):
    def is_so():
        account = _account(member)
        return (account["watch-streams"], account["watchers"]) == (streams, watchers)
    wait_until(is_so, 20, "it has %d streams and %d watchers" % (streams, watchers), 0.1)


# --------------------------------------------------------------------------------------------------------------------


def test_messages_in_pieces_are_taken_and_cut_ones_end_their_stream():
    with _member() as member, Good(member) as good, RawConnection(member.client_port) as raw:
        slow = raw.open()
        for byte in create(b"slow"):
            raw.send(slow, bytes([byte]))
        check(raw.wait(slow, 1)[0].created, "one byte after the other")
        for body in (b"\0\0\0\0\x64abc", b"\0", b"\1\0\0\0\2\x0a\0", b"\0\xff\xff\xff\xff", create(b"x")[:-1], b"\xff" * 100):
            stream = raw.open()
            raw.send(stream, body, is_last=True)
            while stream not in raw.ended:
                raw.take()
            good.check()
        revision = member.client.put(b"slow", b"v").header.revision
        check(raw.wait(slow, 1)[0].events[0].kv.mod_revision == revision, "the first stream lives")


def test_streams_that_say_nothing_stay_and_cost_little():
    with _member() as member, Good(member) as good, RawConnection(member.client_port) as raw:
        before, count = member.rss_bytes(), pick(100, 500, 5000)
        silent = [raw.open() for _ in range(count)]
        half = [raw.open() for _ in range(20)]
        for stream in half:
            raw.send(stream, create(b"half")[:7])
        time.sleep(pick(0.2, 0.2, 120))
        good.check()
        grown = member.rss_bytes() - before
        check(IS_SHORT or grown < 4 * MIB + count * 24 * 1024, "%d silent streams cost %d KiB each", count, grown / count / 1024)
        for stream in silent[::50]:
            raw.send(stream, create(b"silent"))
            check(raw.wait(stream, 1)[0].created, "a stream that was silent for long")
        for stream in half:
            raw.send(stream, create(b"half")[7:])
            check(raw.wait(stream, 1)[0].created, "a message in two halves")
        good.check()


def test_a_client_that_opens_many_watches_and_vanishes_leaves_nothing():
    needs_kvd("the account of memory")
    count = pick(500, 5000, 100000)
    with _member() as member, Good(member) as good:
        peaks = []
        for round_ in range(4):
            raw = RawConnection(member.client_port)
            stream = raw.open()
            for first in range(0, count, 500):
                raw.send(stream, b"".join(create(b"v/%d/%d" % (round_, i), range_end=b"v0" if i % 10 == 0 else b"")
                                          for i in range(first, first + 500)))
                check(all(response.created for response in raw.wait(stream, 500)), "created")
            _wait_for(member, 2, count + 1)
            good.check()
            peaks.append(member.rss_bytes())
            raw.vanish()
            good.check()
            _wait_for(member, 1, 1)
        check(IS_SHORT or peaks[-1] < peaks[0] + count * 200 / 2 + 4 * MIB, "memory is not used again: %s", [peak // MIB for peak in peaks])


def test_a_client_that_vanishes_unread_or_in_the_middle_of_catching_up_leaves_nothing():
    needs_kvd("the account of memory")
    with _member() as member, Good(member) as good:
        first = member.client.put(b"past", b"p").header.revision
        for i in range(pick(20, 50, 500)):
            member.client.put(b"past/%d" % (i % 7), b"x" * 200000)
        for i in range(pick(5, 10, 100)):
            raw = RawConnection(member.client_port)
            for _ in range(5):
                stream = raw.open()
                raw.send(stream, create(b"past", range_end=b"pasu", start_revision=first, prev_kv=True) + create(b"past/1") +
                         grpc_message(rpc.WatchRequest(progress_request=rpc.WatchProgressRequest())))
            time.sleep(0.002 * i)
            raw.vanish()
            good.check()
        _wait_for(member, 1, 1)


def test_who_takes_no_answers_holds_up_nobody_else_who_calls_what_there_is_not():
    needs_kvd("calls of unknown methods side by side")
    with _member() as member, RawConnection(member.client_port, 65536) as raw:
        member.client.put(b"big", b"x" * MIB)
        for _ in range(pick(12, 12, 50)):   # more than the socket's buffers take
            stream = raw.open(b"/etcdserverpb.KV/Range")
            raw.send(stream, grpc_message(rpc.RangeRequest(key=b"big", serializable=True)), True)
        time.sleep(0.5)
        for _ in range(3):
            raw.send(raw.open(b"/no.such.Service/Method"), grpc_message(rpc.RangeRequest()), True)
        time.sleep(0.2)
        with grpc.insecure_channel(member.target, options=CHANNEL_OPTIONS) as channel:
            try:
                channel.unary_unary("/no.such.Service/Method")(b"", timeout=5)
                check(False, "it was answered")
            except grpc.RpcError as error:
                check(error.code() == grpc.StatusCode.UNIMPLEMENTED, "%s", error)


def test_requests_faster_than_their_answers_are_read_wait():
    """Creates, cancels and progress requests without end from a client that reads nothing: they stay in its own buffers."""
    with _member() as member, Good(member) as good, RawConnection(member.client_port) as raw:
        before = member.rss_bytes()
        stream = raw.open()
        # Nothing is granted to it beyond HTTP/2's first 64 KiB of this connection's stream.
        raw.socket.sendall(_frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0)))
        body = create(b"k") + grpc_message(rpc.WatchRequest(cancel_request=rpc.WatchCancelRequest(watch_id=0))) + \
            grpc_message(rpc.WatchRequest(progress_request=rpc.WatchProgressRequest()))
        raw.socket.settimeout(0.5)
        sent = 0
        with contextlib.suppress(socket.timeout):
            for _ in range(pick(50, 200, 3000)):
                raw.send(stream, body * 500)
                sent += 500
        good.check()
        grown = member.rss_bytes() - before
        check(IS_SHORT or grown < 16 * MIB, "grew by %d MiB after %d requests", grown // MIB, sent)


def test_keys_of_watchers_are_limited():
    needs_kvd("a limit for them")
    with _member() as member, Good(member) as good, RawConnection(member.client_port) as raw:
        before, refused = member.rss_bytes(), None
        stream = raw.open()
        for i in range(0, 200, 10):
            raw.send(stream, b"".join(create(b"%d" % (i + j) + b"k" * MIB) for j in range(10)))
            refused = [response for response in raw.wait(stream, 10) if response.canceled][:1]
            if refused:
                break
        check(refused, "200 MiB of keys are held")
        refused, = refused
        check((refused.watch_id, refused.created, refused.cancel_reason) == (-1, True, "etcdserver: too many requests"), "%s", refused)
        grown = member.rss_bytes() - before
        check(IS_SHORT or grown < 256 * MIB, "grew by %d MiB", grown // MIB)
        good.check()
        raw.send(stream, grpc_message(rpc.WatchRequest(cancel_request=rpc.WatchCancelRequest(watch_id=3))))
        check(raw.wait(stream, 1)[0].canceled, "a watcher gives room")
        raw.send(stream, create(b"k" * MIB))
        check(not raw.wait(stream, 1)[0].canceled, "that another one takes")


def test_extreme_ids_and_revisions_are_answered():
    """The largest and the smallest numbers that the fields hold."""
    huge = (1 << 63) - 1
    with _member() as member, Good(member) as good, Stream(member.target) as stream:
        check(stream.open(b"e", watch_id=huge).watch_id == huge, "the largest id")
        check(stream.open(b"e", start_revision=huge).watch_id == 0, "the largest revision")
        stream.create(b"e", start_revision=-huge - 1)
        check(stream.next().canceled, "the smallest revision")
        stream.create(b"e", watch_id=huge)
        check(stream.next().cancel_reason == "mvcc: duplicate watch ID provided on the WatchStream", "twice")
        for watch_id in (-huge - 1, -2, huge - 1):
            stream.cancel(watch_id)
        stream.quiet()
        revision = member.client.put(b"e", b"v").header.revision
        log = Log(huge, revision, b"e")
        follow(stream, log, revision)
        stream.cancel(huge)
        check(stream.next().canceled, "canceled")
        good.check()


if __name__ == "__main__":
    main(globals(), BUDGET_S)
