"""The few calls that the rows make themselves: gRPC over HTTP/2 by hand, with nothing but the standard library.

A Connection has any number of calls open; pump() reads what has come. A call's answer is its messages; a call that ended without one has
failed (why is in its trailers, which nobody here decodes). One thread per connection.
"""
import os
import select
import socket
import struct
import time

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK = 1, 1
WINDOW = 2**31 - 1
READ_BYTES = 1 << 20


# --- protobuf: just enough of it

def varint(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number, value):
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    return varint(number << 3) + varint(int(value)) if value else b""


def read_varint(data, at):
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return number, at


def fields(data):
    """The fields of a message by number; of a repeated one the last."""
    out, at = {}, 0
    while at < len(data):
        tag, at = read_varint(data, at)
        if tag & 7 == 0:
            out[tag >> 3], at = read_varint(data, at)
        elif tag & 7 == 2:
            size, at = read_varint(data, at)
            out[tag >> 3] = data[at:at + size]
            at += size
        else:
            raise ValueError(f"wire type {tag & 7}")
    return out


def range_request(key, end=b"", limit=0, count_only=False):
    return field(1, key) + field(2, end) * bool(end) + field(3, limit) + field(9, count_only)


def txn_of_puts(pairs):
    return b"".join(field(2, field(2, field(1, key) + field(2, value))) for key, value in pairs)


class Failed(Exception):
    """A call without an answer, or a connection that broke."""


class Call:
    """What has come of one call: `first`, the first message (if it is kept), bytes of messages, when each of these was."""

    def __init__(self, keep):
        self.keep, self.first, self.bytes, self.is_over, self.first_at = keep, b"", 0, False, 0.0
        self.started_at = time.monotonic()


class Connection:
    def __init__(self, endpoint, timeout=5.0):
        host, port = endpoint.rsplit(":", 1)
        self.endpoint = endpoint
        self.socket = socket.create_connection((host, int(port)), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.calls, self.next_id = {}, 1
        self.send_window, self.first_window, self.frame_max = 65535, 65535, 16384
        self.taken, self.rest, self.is_broken = 0, bytearray(), False
        settings = struct.pack(">HIHI", 4, WINDOW, 5, 1 << 20)
        self._write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + self._frame(SETTINGS, 0, 0, settings) +
                    self._frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", WINDOW - 65535)))

    def close(self):
        self.socket.close()

    @staticmethod
    def _frame(kind, flags, stream, payload):
        return struct.pack(">IBI", len(payload) << 8 | kind, flags, stream) + payload

    def _write(self, data):
        try:
            self.socket.sendall(data)
        except OSError as error:
            self.is_broken = True
            raise Failed(f"{self.endpoint}: {error}") from error

    def has_room(self, size):
        """A request of so many bytes would not wait for the server's window."""
        return self.send_window >= size + 5 and self.first_window >= size + 5

    def start(self, path, request, keep=True):
        def literal(head, text):
            return head + bytes([len(text)]) + text
        headers = (b"\x83\x86" + literal(b"\x04", path.encode()) + literal(b"\x01", self.endpoint.encode()) +
                   literal(b"\x0f\x10", b"application/grpc") + literal(literal(b"\x00", b"te"), b"trailers"))
        message = b"\x00" + struct.pack(">I", len(request)) + request
        while not self.has_room(len(request)):
            self.pump(5.0)
        stream, self.next_id = self.next_id, self.next_id + 2
        call = self.calls[stream] = Call(keep)
        out = [self._frame(HEADERS, 4, stream, headers)]
        for at in range(0, len(message), self.frame_max):
            part = message[at:at + self.frame_max]
            out.append(self._frame(DATA, END_STREAM if at + len(part) == len(message) else 0, stream, part))
        self.send_window -= len(message)
        self._write(b"".join(out))
        return call

    def pump(self, timeout):
        """Waits so long at most for bytes, and takes what is there. False = nothing came."""
        if self.is_broken:
            raise Failed(f"{self.endpoint}: broken")
        if not select.select([self.socket], [], [], timeout)[0]:
            return False
        try:
            data = self.socket.recv(READ_BYTES)
        except OSError:
            data = b""
        if not data:
            self.is_broken = True
            raise Failed(f"{self.endpoint}: the connection is over")
        self.rest += data
        at = 0
        while len(self.rest) - at >= 9:
            size, flags, stream = struct.unpack_from(">IBI", self.rest, at)
            kind, size = size & 255, size >> 8
            if len(self.rest) - at < 9 + size:
                break
            if kind == DATA and not self._is_kept(stream):
                self._take_data(stream, flags, size, b"")
            else:
                self._take(kind, flags, stream, bytes(self.rest[at + 9:at + 9 + size]))
            at += 9 + size
        del self.rest[:at]
        return True

    def _is_kept(self, stream):
        call = self.calls.get(stream)
        return call is not None and call.keep

    def _take_data(self, stream, flags, size, payload):
        self.taken += size
        if self.taken > WINDOW // 4:
            self._write(self._frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", self.taken)))
            self.taken = 0
        call = self.calls.get(stream)
        if call is not None and size:
            call.first_at = call.first_at or time.monotonic()
            call.bytes += size
            call.first += payload
        if flags & END_STREAM:
            self._end(stream)

    def _end(self, stream):
        call = self.calls.pop(stream, None)
        if call is not None:
            call.is_over = True

    def _take(self, kind, flags, stream, payload):
        if kind == DATA:
            self._take_data(stream, flags, len(payload), payload)
        elif kind == RST_STREAM or (kind == HEADERS and flags & END_STREAM):
            self._end(stream)
        elif kind == SETTINGS and not flags & ACK:
            for name, value in struct.iter_unpack(">HI", payload):
                if name == 4:
                    self.first_window = value
                if name == 5:
                    self.frame_max = min(value, 1 << 20)
            self._write(self._frame(SETTINGS, ACK, 0, b""))
        elif kind == PING and not flags & ACK:
            self._write(self._frame(PING, ACK, 0, payload))
        elif kind == WINDOW_UPDATE and stream == 0:
            self.send_window += struct.unpack(">I", payload)[0]
        elif kind == GOAWAY:
            self.is_broken = True

    def wait(self, call, timeout=60.0):
        """The call's first message; Failed if it ends without one, or not in time."""
        until = time.monotonic() + timeout
        while not call.is_over:
            left = until - time.monotonic()
            if left <= 0:
                raise Failed(f"{self.endpoint}: no answer in {timeout} s")
            self.pump(left)
        if not call.bytes:
            raise Failed(f"{self.endpoint}: the call failed")
        return bytes(call.first[5:])

    def call(self, path, request, timeout=60.0):
        return self.wait(self.start(path, request), timeout)


RANGE, TXN, COMPACT = "/etcdserverpb.KV/Range", "/etcdserverpb.KV/Txn", "/etcdserverpb.KV/Compact"
STATUS, SNAPSHOT = "/etcdserverpb.Maintenance/Status", "/etcdserverpb.Maintenance/Snapshot"


def ask(endpoint, path, request, timeout=60.0):
    """One call on a connection of its own."""
    connection = Connection(endpoint, timeout)
    try:
        return connection.call(path, request, timeout)
    finally:
        connection.close()


def status(endpoint):
    """Of a member: (its id, its leader's id, the revision)."""
    answer = fields(ask(endpoint, STATUS, b"", 3.0))
    header = fields(answer[1])
    return header[2], answer.get(4, 0), header.get(3, 0)


def fill(endpoint, keys, key_of, value_size, in_flight=32, puts=100):
    """Puts so many keys, in transactions of `puts`."""
    connection, open_calls = Connection(endpoint), []
    try:
        for first in range(0, keys, puts):
            value = os.urandom(value_size // 2).hex().encode()
            request = txn_of_puts((key_of(i), value) for i in range(first, min(first + puts, keys)))
            if len(open_calls) >= in_flight:
                connection.wait(open_calls.pop(0))
            open_calls.append(connection.start(TXN, request))
        for call in open_calls:
            connection.wait(call)
    finally:
        connection.close()
