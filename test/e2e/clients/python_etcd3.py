#!/usr/bin/python3
"""python3-etcd3 against a cluster whose members are killed one after the other; see ../test_clients.sh.

    python_etcd3.py PREFIX DIRECTORY HOST:PORT...

The library knows one endpoint: on its errors this program goes to the next one, as whoever uses it has to. It says `ready` as a file of the
directory, works until the file `go` is there, and then judges.
"""

import os
import sys
import threading
import time

# A connection that breaks while nothing polls is made again after this, not after five seconds.
os.environ["GRPC_CLIENT_CHANNEL_BACKUP_POLL_INTERVAL_MS"] = "100"
import etcd3    # noqa: E402  (reads the line above when it is loaded)
import grpc     # noqa: E402

PREFIX, DIRECTORY, ENDPOINTS = sys.argv[1], sys.argv[2], sys.argv[3:]
BROKEN = (etcd3.exceptions.Etcd3Exception, grpc.RpcError)
GIVE_UP_S = 30
TTL_S = 2


class Endpoints:
    """A client for one member after the other."""

    def __init__(self, first):
        self._place = first - 1
        self.client = None
        self.next()

    def next(self):
        if self.client is not None:
            self.client.close()
        self._place = (self._place + 1) % len(ENDPOINTS)
        host, port = ENDPOINTS[self._place].split(":")
        self.client = etcd3.client(host=host, port=int(port), timeout=3)

    def surely(self, call):
        """What `call(client)` answers; it may be asked again."""
        give_up = time.monotonic() + GIVE_UP_S
        while True:
            try:
                return call(self.client)
            except BROKEN as error:
                if time.monotonic() > give_up:
                    raise
                print("again after", type(error).__name__, file=sys.stderr)
                time.sleep(0.1)
                self.next()


def check(condition, *seen):
    if not condition:
        raise AssertionError(seen)


def requests(client):
    key = PREFIX + "kv/a"
    check(client.get(key) == (None, None), "a key that is not there")
    client.put(key, "one")
    value, meta = client.get(key)
    check((value, meta.version) == (b"one", 1), value, meta.version)
    client.put(key, "two")
    client.put(PREFIX + "kv/b", "other")
    check([value for value, _ in client.get_prefix(PREFIX + "kv/")] == [b"two", b"other"], "get_prefix")
    done, answers = client.transaction(
        compare=[client.transactions.value(key) == "two", client.transactions.version(key) == 2],
        success=[client.transactions.put(key, "three"), client.transactions.get(PREFIX + "kv/b")],
        failure=[client.transactions.delete(key)])
    check(done and answers[1][0][0] == b"other", done, answers)
    done, _ = client.transaction(compare=[client.transactions.value(key) == "two"], success=[client.transactions.delete(key)],
                                 failure=[client.transactions.put(key, "four")])
    check(not done and client.get(key)[0] == b"four", "a transaction that fails")
    check(client.replace(key, "four", "five") and not client.replace(key, "four", "six"), "replace")
    check(client.delete(key) and not client.delete(key), "delete")


class Watch(threading.Thread):
    """All that is put below a prefix, over the ends of members."""

    def __init__(self, prefix, revision):
        super().__init__(daemon=True)
        self._prefix, self._revision = prefix, revision
        self.seen = []
        self.streams = 0

    def run(self):
        endpoints = Endpoints(0)
        while True:
            try:
                self.streams += 1
                events, _ = endpoints.client.watch_prefix(self._prefix, start_revision=self._revision)
                for event in events:
                    self.seen.append(event.key.decode())
                    self._revision = event.mod_revision + 1
            except BROKEN:
                time.sleep(0.1)
            endpoints.next()


class Alive(threading.Thread):
    """Keeps a lease alive until it is told to stop."""

    def __init__(self, lease_id):
        super().__init__(daemon=True)
        self._id = lease_id
        self.stop = threading.Event()

    def run(self):
        endpoints = Endpoints(1)
        while not self.stop.wait(TTL_S / 5):
            endpoints.surely(lambda client: list(client.refresh_lease(self._id)))


def put_once(client, key):
    """Does nothing the second time; so it may be asked again."""
    client.transaction(compare=[client.transactions.create(key) == 0], success=[client.transactions.put(key, "x")], failure=[])


def is_there(name):
    return os.path.exists(os.path.join(DIRECTORY, name))


def wait_until(condition, what):
    give_up = time.monotonic() + GIVE_UP_S
    while not condition():
        check(time.monotonic() < give_up, what)
        time.sleep(0.05)


def main():
    endpoints = Endpoints(0)
    requests(endpoints.client)
    client = endpoints.client
    kept, left = client.lease(TTL_S), client.lease(TTL_S)
    client.put(PREFIX + "kept", "x", lease=kept)
    client.put(PREFIX + "left", "x", lease=left)
    alive = Alive(kept.id)
    alive.start()
    # The lock's own lease is renewed by whoever holds it.
    lock = client.lock(PREFIX + "lock", ttl=TTL_S)
    check(lock.acquire(timeout=5), "the lock is free")
    lock_alive = Alive(lock.lease.id)
    lock_alive.start()
    _, meta = client.get(PREFIX + "kept")
    watch = Watch(PREFIX + "watched/", meta.mod_revision)
    watch.start()
    open(os.path.join(DIRECTORY, PREFIX.strip("/") + ".ready"), "w").close()
    expected = []
    while not is_there("go"):
        expected.append("%swatched/%d" % (PREFIX, len(expected)))
        endpoints.surely(lambda client: put_once(client, expected[-1]))
        time.sleep(0.02)
    wait_until(lambda: len(watch.seen) >= len(expected), "the watch saw %d of %d" % (len(watch.seen), len(expected)))
    time.sleep(0.2)
    check(watch.seen == expected, "watched", watch.seen, expected)
    check(watch.streams > 1, "no stream was broken")
    check(endpoints.surely(lambda client: client.get(PREFIX + "kept"))[0] == b"x", "what is kept alive is there")
    wait_until(lambda: endpoints.surely(lambda client: client.get(PREFIX + "left"))[0] is None, "what is not kept alive expires")
    other = endpoints.client.lock(PREFIX + "lock", ttl=TTL_S)
    check(not other.acquire(timeout=0), "the lock is held over the ends of members")
    lock_alive.stop.set()
    lock_alive.join()
    lock.etcd_client = endpoints.client
    check(lock.release(), "release")
    check(other.acquire(timeout=5), "a lock that was released is free")
    check(other.release(), "release of the other")
    alive.stop.set()
    wait_until(lambda: endpoints.surely(lambda client: client.get(PREFIX + "kept"))[0] is None, "a lease that nobody renews expires")
    print("%d events over %d streams" % (len(expected), watch.streams))


main()
