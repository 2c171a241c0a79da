#!/usr/bin/python3
"""Does a member survive what it should never get? Hostile bytes, too many connections, damaged files, a full disk.

Each test ends with the question whether the member still serves, and with a look at its memory.
"""

import contextlib
import os
import random
import shutil
import socket
import subprocess
import tempfile
import time

import requests
from kvtest import (BINARY, IS_SHORT, ROOT, CHANNEL_OPTIONS, Client, Cluster, Member, Skip, check, health, main,
                    needs_kvd, pick, rpc, wait_until)

BUDGET_S = 90
MIB = 1 << 20
RSS_GROWTH_MAX = 96 * MIB
HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS_FRAME = b"\0\0\0\x04\0\0\0\0\0"


@contextlib.contextmanager
def _member(flags=(), **start):
    """A member that must serve when the block is done, without having grown much."""
    with contextlib.ExitStack() as stack:
        cluster = Cluster(1, flags=flags)
        stack.push(cluster.__exit__)
        member = cluster.members[0]
        member.start(**start)
        before = member.client.put(b"before", b"1").header.revision
        rss = member.rss_bytes()
        yield member
        _still_serves(member, before)
        grown = member.rss_bytes() - rss
        check(IS_SHORT or grown < RSS_GROWTH_MAX, "memory grew by %d MiB", grown // MIB)


def _still_serves(member, revision_min):
    client = Client(member.target)      # a fresh connection: the door must be open too
    try:
        revision = client.put(b"after", b"2").header.revision
        pairs = client.get(b"before", timeout_s=5).kvs
        check(revision > revision_min and [kv.value for kv in pairs] == [b"1"], "it serves something else: %s", pairs)
    finally:
        client.close()


def _connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=5)


def _closes(connection, timeout_s=10):
    """Whether the other side ends a connection; what it says before that does not matter."""
    connection.settimeout(timeout_s)
    try:
        while connection.recv(65536):
            pass
        return True
    except ConnectionError:
        return True
    except socket.timeout:
        return False


def _nested(levels):
    """The bytes of a transaction in a transaction in a …, which no recursive decoder should be given."""
    def varint(number):
        out = bytearray()
        while number > 127:
            out.append(number & 127 | 128)
            number >>= 7
        return bytes(out) + bytes([number])
    body = b""
    for _ in range(levels):
        operation = b"\x22" + varint(len(body)) + body
        body = b"\x12" + varint(len(operation)) + operation
    return body


# --------------------------------------------------------------------------------------------------------------------
# Requests


def test_a_deeply_nested_transaction_is_refused():
    with _member() as member:
        for levels in (200, 1000, 5500, 15000):
            body = _nested(levels)
            reply = member.client.ask("Txn", body)
            check((reply.code, reply.text) == ("INVALID_ARGUMENT", "etcdserver: too many operations in txn request"),
                  "%d levels, %d bytes: %s", levels, len(body), reply)


def test_1_5_mb_of_empty_operations_are_refused_in_bounded_memory():
    with _member() as member:
        for tag in (b"\x0a\0", b"\x12\0", b"\x1a\0"):      # compare, success, failure
            for _ in range(pick(1, 3, 20)):
                reply = member.client.ask("Txn", tag * (750 * 1024), timeout_s=20)
                check((reply.code, reply.text) == ("INVALID_ARGUMENT", "etcdserver: too many operations in txn request"),
                      "%s", reply)


def test_strings_with_nul_or_without_utf8_are_refused():
    with _member() as member:
        for name in (b"a\0b", b"\xff\xfe", b"\0"):
            reply = member.client.ask("Health", b"\x0a" + bytes([len(name)]) + name)
            check(reply.code in ("NOT_FOUND", "INTERNAL", "INVALID_ARGUMENT"), "%r: %s", name, reply)
        reply = member.client.ask("Health", health.HealthCheckRequest())
        check(reply.response is not None and reply.response.status == 1, "%s", reply)


def test_random_bytes_for_every_method_are_answered():
    chance = random.Random(1)
    services = [rpc.DESCRIPTOR.services_by_name[name] for name in ("KV", "Lease", "Cluster", "Maintenance", "Auth")]
    paths = ["/%s/%s" % (service.full_name, method.name) for service in services for method in service.methods
             if method.name not in ("LeaseKeepAlive", "Snapshot", "RangeStream")]
    paths += ["/etcdserverpb.KV/NoSuchMethod", "/no.such.Service/Method", "/", "/grpc.health.v1.Health/Check"]
    import grpc
    with _member() as member:
        with grpc.insecure_channel(member.target, options=CHANNEL_OPTIONS) as channel:
            for path in paths:
                call = channel.unary_unary(path)
                for _ in range(pick(2, 10, 200)):
                    body = bytes(chance.randrange(256) for _ in range(chance.choice((0, 1, 2, 7, 40, 3000))))
                    try:
                        call(body, timeout=10)
                    except grpc.RpcError as error:
                        check(error.code().name not in ("UNAVAILABLE", "DEADLINE_EXCEEDED"), "%s of %r: %s %s", path,
                              body[:40], error.code(), error.details())


def test_oversized_requests_are_refused():
    with _member() as member:
        reply = member.client.ask("Put", rpc.PutRequest(key=b"k", value=b"v" * (requests.REQUEST_BYTES_MAX + 100)))
        check((reply.code, reply.text) == ("INVALID_ARGUMENT", "etcdserver: request is too large"), "%s", reply)
        body = rpc.PutRequest(key=b"k", value=b"v" * (3 * MIB)).SerializeToString()
        for _ in range(pick(2, 10, 100)):
            futures = [member.client.send("Put", body, 20) for _ in range(8)]
            for reply in map(Client.wait, futures):
                check(reply.code == "RESOURCE_EXHAUSTED", "%s", reply)
        check(not member.client.get(b"k").kvs, "a refused request was carried out")


def test_requests_that_nobody_waits_for_do_not_stay():
    with _member() as member:
        for number in range(pick(200, 1000, 20000)):
            member.client.send("Put", rpc.PutRequest(key=b"c%d" % (number % 50), value=b"v" * 1000)).cancel()


# --------------------------------------------------------------------------------------------------------------------
# Connections


def test_random_bytes_on_both_ports_close_the_connection():
    chance = random.Random(2)
    with _member() as member:
        for port in (member.client_port, member.peer_port):
            for size in (1, 3, 24, 25, 1000, 100000):
                with _connect(port) as connection:
                    with contextlib.suppress(OSError):
                        connection.sendall(bytes([chance.choice((0, 1, 255))]) +
                                           bytes(chance.randrange(256) for _ in range(size - 1)))
                        connection.shutdown(socket.SHUT_WR)
                    check(_closes(connection), "%d random bytes on port %d keep a connection", size, port)


def test_garbage_after_the_http2_preface_closes_the_connection():
    chance = random.Random(3)
    with _member() as member:
        for port in (member.client_port, member.peer_port):
            for _ in range(5):
                with _connect(port) as connection:
                    with contextlib.suppress(OSError):
                        connection.sendall(HTTP2_PREFACE + SETTINGS_FRAME +
                                           bytes(chance.randrange(256) for _ in range(2000)))
                        connection.shutdown(socket.SHUT_WR)
                    check(_closes(connection), "garbage frames on port %d keep a connection", port)


def test_half_open_prefaces_do_not_keep_others_out():
    with _member() as member:
        with contextlib.ExitStack() as stack:
            for number in range(pick(20, 60, 400)):
                connection = stack.enter_context(_connect((member.client_port, member.peer_port)[number % 2]))
                connection.sendall(HTTP2_PREFACE[:number % len(HTTP2_PREFACE)])
            _still_serves(member, 1)


def test_an_http1_request_on_the_client_port_is_answered_or_closed():
    with _member() as member:
        for request in (b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n",
                        b"POST /v3/kv/range HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
                        b"GET " + b"/" * 70000 + b" HTTP/1.1\r\n\r\n"):
            with _connect(member.client_port) as connection:
                with contextlib.suppress(OSError):
                    connection.sendall(request)
                    connection.shutdown(socket.SHUT_WR)
                check(_closes(connection), "%r keeps a connection", request[:40])


def test_a_client_call_on_the_peer_port_is_refused():
    needs_kvd("a peer port of its own: it serves clients there too")
    with _member() as member:
        client = Client("127.0.0.1:%d" % member.peer_port)
        try:
            reply = client.ask("Put", rpc.PutRequest(key=b"k", value=b"v"), timeout_s=5)
            check(reply.response is None, "the peer port took a client's write: %s", reply)
        finally:
            client.close()


def test_120_connections_under_64_descriptors_come_and_go():
    needs_kvd("a reserve of descriptors: it does not start under a limit of 64")
    with _member(nofile=64) as member:
        for _ in range(2):
            with contextlib.ExitStack() as stack:
                connections = []
                for _ in range(120):
                    with contextlib.suppress(OSError):
                        connections.append(stack.enter_context(_connect(member.client_port)))
                check(len(connections) > 20, "only %d connections came through", len(connections))
                # The member's own files must still open: enough writes for them to be needed.
                time.sleep(0.5)
                check(member.process.poll() is None, "it ended")
            wait_until(lambda: member.client.ask("Put", rpc.PutRequest(key=b"k", value=b"v"), 2).code == "OK", 15,
                       "it serves again after the connections were closed")


# --------------------------------------------------------------------------------------------------------------------
# Members


def test_a_member_of_another_cluster_is_refused_with_a_log_line():
    with Cluster(3) as cluster:
        cluster.leader().client.put(b"k", b"v")
        left = cluster.followers()[0]
        left.terminate()
        foreign = Member(left.name, os.path.join(cluster.directory, "foreign"), left.client_port, left.peer_port)
        os.mkdir(foreign.directory)
        foreign.initial_cluster = left.initial_cluster
        command = [word if word != "kvtest" else "another" for word in foreign.command()]
        foreign.command = lambda: command
        try:
            foreign.start(is_waiting=False)
            def is_told():
                logs = "".join(member.log() for member in cluster.members + [foreign]).lower()
                return "cluster id mismatch" in logs or "cluster id" in logs and "differ" in logs
            wait_until(is_told, 10, "a log line about the cluster id")
            reply = foreign.client.ask("Range", rpc.RangeRequest(key=b"k", serializable=True), timeout_s=1)
            check(reply.response is None or not reply.response.kvs, "the foreign member has got our data: %s", reply)
        finally:
            foreign.is_expected_to_run = False
            foreign.close()
        others = [member for member in cluster.members if member is not left]
        check(all(member.client.get(b"k").kvs[0].value == b"v" for member in others), "the cluster serves on")
        left.start()
        wait_until(lambda: left.client.get(b"k", serializable=True).kvs, 5, "the real member is back")


def test_an_unknown_member_is_refused_with_a_log_line():
    with Cluster(3) as cluster:
        cluster.leader()
        stranger = Member("m9", os.path.join(cluster.directory, "stranger"))
        os.mkdir(stranger.directory)
        stranger.initial_cluster = cluster.members[0].initial_cluster + ",m9=" + stranger.peer_url
        try:
            stranger.start(is_waiting=False)
            wait_until(lambda: "mismatch" in "".join(m.log() for m in cluster.members + [stranger]).lower() or
                       "unknown" in "".join(m.log() for m in cluster.members + [stranger]).lower(), 10,
                       "a log line about the stranger")
        finally:
            stranger.is_expected_to_run = False
            stranger.close()
        cluster.leader().client.put(b"k", b"v")


# --------------------------------------------------------------------------------------------------------------------
# Files


def _wal_segments(member):
    """The log's files, oldest first; etcd calls its folder member/wal, ours has "wal" in the path too."""
    found = []
    for folder, _, names in os.walk(member.data_dir):
        found += [os.path.join(folder, name) for name in names
                  if "wal" in os.path.relpath(os.path.join(folder, name), member.data_dir)]
    return sorted((path for path in found if os.path.getsize(path) > 64 * 1024 and ".tmp" not in path))


def test_a_damaged_log_is_refused_with_file_and_offset():
    cluster = Cluster(1)
    member = cluster.members[0]
    try:
        member.start()
        for number in range(600):
            member.client.put(b"k%d" % number, b"%04d" % number * 256)
        member.kill()
        written = [path for path in _wal_segments(member) if b"0100" * 8 in open(path, "rb").read()]
        check(written, "no log file holds the value: %s", _wal_segments(member))
        with open(written[0], "r+b") as file:
            at = file.read().index(b"0100" * 8)
            file.seek(at)
            file.write(b"\xa5" * 16)
        member.start(is_waiting=False)
        code = member.wait_exit(15)
        text = member.log().strip().splitlines()
        check(code != 0, "it started with a damaged log")
        needs_kvd("the name of the file in its message")
        check(os.path.basename(written[0]) in text[-1] and any(word.strip('",:').isdigit() or "offset" in word
              for word in text[-1].split()), "the last line names no file and offset: %s", text[-1])
    finally:
        member.close()
        shutil.rmtree(cluster.directory, ignore_errors=True)


@contextlib.contextmanager
def _small_disk(size_mib):
    if os.geteuid() != 0:
        raise Skip("NOT ROOT: the full disk was not tested")
    directory = tempfile.mkdtemp(prefix="kvtest-disk-")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%dm,mode=0700" % size_mib, "tmpfs", directory],
                             capture_output=True, text=True)
    if mounted.returncode != 0:
        os.rmdir(directory)
        raise Skip("NO MOUNT HERE: the full disk was not tested: " + mounted.stderr.strip())
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", directory], check=True)
        os.rmdir(directory)


def _fill(path):
    """Takes all the room that is left."""
    with open(path, "ab") as file:
        for size in (MIB, 4096):
            with contextlib.suppress(OSError):
                while True:
                    os.write(file.fileno(), b"\0" * size)


def test_a_full_disk_refuses_writes_serves_reads_and_resumes():
    needs_kvd("a member that lives on a full disk")
    with _small_disk(640) as disk:
        cluster = Cluster(1, base_dir=disk)
        filler = os.path.join(disk, "filler")
        with cluster:
            client, value = cluster.members[0].client, b"v" * (256 * 1024)
            done = {}
            for number in range(20):
                done[b"k%d" % number] = client.put(b"k%d" % number, value).header.revision
            _fill(filler)
            refused = None
            for number in range(20, 2400):
                reply = client.ask("Put", rpc.PutRequest(key=b"k%d" % (number % 200), value=value), 10)
                if reply.code != "OK":
                    refused = reply
                    break
                done[b"k%d" % (number % 200)] = reply.response.header.revision
            check(refused is not None, "a full disk refuses nothing after %d MiB", 2400 // 4)
            check(refused.code in ("RESOURCE_EXHAUSTED", "UNAVAILABLE") and refused.text, "refused by %s", refused)
            check(cluster.members[0].process.poll() is None, "the member ended")
            for key, revision in done.items():
                pair = client.get(key, serializable=True).kvs[0]
                check(pair.mod_revision == revision, "%s stands at %d, not %d", key, pair.mod_revision, revision)
            os.unlink(filler)
            wait_until(lambda: client.ask("Put", rpc.PutRequest(key=b"again", value=b"v"), 2).code == "OK", 20,
                       "writes go on when there is room")
            cluster.members[0].kill()
            cluster.members[0].start()
            for key, revision in done.items():
                pair = client.get(key, timeout_s=20).kvs[0]
                check(pair.mod_revision == revision, "after the restart %s stands at %d, not %d", key,
                      pair.mod_revision, revision)


def test_a_directory_of_someone_else_is_refused():
    """A data directory that is a file, and one that cannot be made."""
    for path in ("/proc/kvd", os.path.join(ROOT, "README.md")):
        directory = tempfile.mkdtemp(prefix="kvtest-")
        member = Member("m0", directory)
        member.data_dir = path
        try:
            member.start(is_waiting=False)
            code = member.wait_exit(10)
            check(code not in (0, None), "%s was taken as data directory by %s", path, BINARY)
            check(member.log().strip(), "no reason was given")
        finally:
            member.close()
            shutil.rmtree(directory)


if __name__ == "__main__":
    main(globals(), BUDGET_S)
