#!/usr/bin/python3
"""Is every watcher's log exactly the history that it asked for, while members are killed and stand still and old revisions go away?

Fifty watchers of all kinds on twenty streams, resumed on whatever member comes next when a stream ends; some sleep until what they need is
compacted, some read slowly. Each Log (watches.py) is compared with the history that the writers made, event by event. Against Debian's etcd
3.4 it finds what is known of that: progress that overtakes events, and a deletion at the compact revision that is not told.
"""

import copy
import random
import threading
import time

import grpc

import history
import watches
import workload
from kvtest import Cluster, Failure, check, kvpb, main, needs_kvd, pick, rpc, wait_until
from watches import Event, Log

BUDGET_S = 30
COMPACT_EVERY_S = 0.2
COMPACT_KEEP_MAX = 200      # revisions
LOG_RANGE = {"key": b"log/", "range_end": b"log0"}
SHARED_RANGE = {"key": b"s/", "range_end": b"s0"}
ALL = {"key": b"\0", "range_end": b"\0"}
FROM_S = {"key": b"s/e", "range_end": b"\0"}


# --------------------------------------------------------------------------------------------------------------------
# The validator itself: it accepts what is right and sees each thing that is not


def _response(*events, revision=None, **fields):
    response = rpc.WatchResponse(events=events, **fields)
    if revision is None and events:
        revision = events[-1].kv.mod_revision
    response.header.revision = revision or 0
    return response


def _put(key, revision, value, create=None, version=1, previous=None):
    event = kvpb.Event(kv=kvpb.KeyValue(key=key, mod_revision=revision, value=value, create_revision=create or revision, version=version))
    if previous is not None:
        event.prev_kv.CopyFrom(previous)
    return event


def _gone(key, revision, previous):
    return kvpb.Event(type=kvpb.Event.DELETE, kv=kvpb.KeyValue(key=key, mod_revision=revision), prev_kv=previous)


def _told():
    """(what happened, responses that tell it, the log's options) for a watcher of s/ with previous pairs from revision 3 on."""
    events = [Event(2, False, b"s/a", b"1", 2, 1, None), Event(3, False, b"log/x", b"x", 3, 1, None),
              Event(3, False, b"s/a", b"2", 2, 2, (b"1", 2, 2, 1)), Event(3, False, b"s/b", b"3", 3, 1, None),
              Event(4, True, b"s/a", b"", 0, 0, (b"2", 2, 3, 2)), Event(5, False, b"s/a", b"4", 5, 1, None), Event(6, False, b"z", b"", 6, 1, None)]
    first, second = _put(b"s/a", 2, b"1").kv, _put(b"s/a", 3, b"2", 2, 2).kv
    responses = [_response(_put(b"s/a", 3, b"2", 2, 2, first), _put(b"s/b", 3, b"3")), _response(_gone(b"s/a", 4, second)),
                 _response(_put(b"s/a", 5, b"4")), _response(revision=6)]
    return events, responses, dict(SHARED_RANGE, prev_kv=True)


def _verdict(spoil=lambda responses, options: None):
    """None, or what the validator says."""
    events, responses, options = copy.deepcopy(_told())
    spoil(responses, options)
    log = Log(0, options.pop("start", 3), **options)
    try:
        for response in responses:
            log.take(response)
        log.compare(events)
    except Failure as failure:
        return str(failure)
    return None


def test_the_validator_accepts_what_is_right():
    check(_verdict() is None, "%s", _verdict())

    def be_told_in_fragments(responses, options):
        whole = responses[0]
        responses[:1] = [_response(whole.events[0], fragment=True), _response(whole.events[1])]
    check(_verdict(be_told_in_fragments) is None, "%s", _verdict(be_told_in_fragments))

    def lack_what_is_compacted(responses, options):
        options["newest_compaction"] = lambda: 3
        responses[0].events[0].ClearField("prev_kv")
    check(_verdict(lack_what_is_compacted) is None, "%s", _verdict(lack_what_is_compacted))


def _split(responses, options):
    whole = responses[0]
    responses[:1] = [_response(whole.events[0]), _response(whole.events[1])]


def _swap(responses, options):
    responses[0], responses[1] = responses[1], responses[0]


def _take_below(responses, options):
    responses.insert(0, _response(_put(b"s/a", 2, b"1")))


def _overtake(responses, options):
    responses.insert(2, _response(revision=5))


def _stray(responses, options):
    responses[3] = _response(_put(b"z", 6, b""))


def _cancel_first(responses, options):
    responses.insert(1, _response(canceled=True))


def _compact_wrongly(responses, options):
    responses.append(_response(canceled=True, compact_revision=7))


def _lack_previous(responses, options):
    responses[1].events[0].ClearField("prev_kv")


def _wrong_previous(responses, options):
    responses[1].events[0].prev_kv.mod_revision = 2


def _wrong_create(responses, options):
    responses[2].events[0].kv.create_revision = 2


def _ignore_filter(responses, options):
    options["filters"] = (watches.NODELETE,)


def test_the_validator_sees_what_is_wrong():
    for text, spoil in (("W5", lambda responses, options: responses.pop(1)), ("W5", lambda responses, options: responses[0].events.pop(1)),
                        ("W2", lambda responses, options: responses.insert(1, responses[0])), ("W2", _split), ("W2", _swap),
                        ("W10", _take_below), ("W7", _overtake), ("W1", _stray), ("W1", _ignore_filter), ("W12", _cancel_first),
                        ("W11", _compact_wrongly), ("W8", _lack_previous), ("W8", _wrong_previous), ("W9", _wrong_create)):
        verdict = _verdict(spoil)
        check(verdict is not None and text in verdict, "%s is not seen: %s", text, verdict)


# --------------------------------------------------------------------------------------------------------------------
# The real thing


class Compactor:
    """Compacts again and again, at most COMPACT_KEEP_MAX revisions behind the newest; remembers each revision that it asked for."""

    def __init__(self, cluster, chance):
        self._cluster, self._chance = cluster, chance
        self.asked = {0}
        self.newest = 0
        self.done = 0
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._is_stopping.wait(COMPACT_EVERY_S):
            client = self._chance.choice(self._cluster.members).client
            try:
                revision = client.get(b"none", timeout_s=0.5).header.revision - self._chance.randrange(COMPACT_KEEP_MAX)
                if revision <= self.newest:
                    continue
                self.asked.add(revision)
                self.newest = revision
                client.call("Compact", rpc.CompactionRequest(revision=revision), 0.5)
                self.done += 1
            except grpc.RpcError:
                continue

    def stop(self):
        self._is_stopping.set()
        self._thread.join(10)
        check(not self._thread.is_alive(), "the compactor did not end")


class Watcher:
    """What one client wants to know, from the beginning on, and its logs: one for each stream that told it something."""

    def __init__(self, asked):
        self.asked = asked
        self.logs = []

    @property
    def concern(self):
        return {name: self.asked[name] for name in ("key", "range_end", "filters") if name in self.asked}

    @property
    def next(self):
        if not self.logs:
            return 1
        return self.logs[-1].compacted or self.logs[-1].next


class Watching:
    """A client: one stream at a time for its watchers, on a member chosen by chance, until it is told to stop."""

    def __init__(self, cluster, asked, compactor, chance, is_slow):
        self.watchers = [Watcher(each) for each in asked]
        self.streams = self.compacted = 0
        self.error = None
        self._cluster, self._compactor, self._chance, self._is_slow = cluster, compactor, chance, is_slow
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        try:
            while not self._is_stopping.is_set():
                with watches.Stream(self._chance.choice(self._cluster.targets())) as stream:
                    self.streams += 1
                    self._watch(stream)
                self._is_stopping.wait(self._chance.choice((0, 0, 0.05, 0.6)))      # the longest is enough to be compacted away
        except Exception as error:      # a violation, or a bug of this test
            self.error = error

    def _watch(self, stream):
        """Until the stream ends, is quiet for long, or by chance."""
        created = list(self.watchers)
        by_id = {}
        for watcher in self.watchers:
            stream.create(start_revision=watcher.next, **watcher.asked)
        left = self._chance.choice((30, 300, 3000))
        while left > 0 and not self._is_stopping.is_set():
            response = stream.poll(1.0)
            if response is None:
                return
            left -= 1
            if self._is_slow:
                time.sleep(0.01)
            if response.created:
                self._begin(created.pop(0), response, by_id)
            elif response.watch_id == -1:
                for watcher in by_id.values():
                    watcher.logs[-1].take(response)
            else:
                check(response.watch_id in by_id, "W12 not created, or canceled: %s", response)
                self._take(stream, created, by_id, response)
            if self._chance.random() < 0.02:
                stream.progress()

    def _begin(self, watcher, response, by_id):
        check(not response.canceled and response.watch_id not in by_id and not response.events, "W12 created: %s", response)
        by_id[response.watch_id] = watcher
        watcher.logs.append(Log(response.watch_id, watcher.next, newest_compaction=lambda: self._compactor.newest, **watcher.asked))

    def _take(self, stream, created, by_id, response):
        watcher = by_id[response.watch_id]
        log = watcher.logs[-1]
        log.take(response)
        if not response.canceled:
            return
        check(log.compacted in self._compactor.asked and log.compacted, "W11 nobody compacted at %d: %s", log.compacted, response)
        self.compacted += 1
        del by_id[response.watch_id]
        created.append(watcher)
        stream.create(start_revision=watcher.next, **watcher.asked)

    def stop(self):
        self._is_stopping.set()

    def join(self):
        self._thread.join(20)
        check(not self._thread.is_alive(), "a watching client did not end")

    def is_told(self, happened):
        """Whether each watcher has the last of what concerns it."""
        check(self.error is None, "%r", self.error)
        for watcher in self.watchers:
            wanted = watches.expected(happened, watcher.next, happened[-1].revision + 1, **watcher.concern)
            if wanted:
                return False
        return True


def _kinds():
    """What fifty watchers ask for, by client: ten of one watcher, five of three, five of five."""
    keys = [{"key": name.encode()} for name in workload.SHARED_KEYS]
    puts, deletes, prev = {"filters": [watches.NODELETE]}, {"filters": [watches.NOPUT]}, {"prev_kv": True}
    single = [ALL, LOG_RANGE, dict(SHARED_RANGE, **prev), dict(keys[0], **prev), dict(keys[1], **deletes), dict(ALL, fragment=True, **prev),
              dict(FROM_S, progress_notify=True), dict(SHARED_RANGE, **puts), dict(SHARED_RANGE, progress_notify=True, **deletes), keys[2]]
    several = [SHARED_RANGE, dict(keys[3], **prev), dict(keys[4], **puts)]
    many = [keys[5], dict(keys[6], progress_notify=True), dict(FROM_S, **prev), dict(SHARED_RANGE, **prev), dict(keys[7], **deletes, **prev)]
    return [[each] for each in single] + [several] * 5 + [many] * 5


def _harm(cluster, load, chance):
    """One fault; answers its name."""
    member = chance.choice(cluster.members)
    fault = chance.choice(("kill", "stop", "pause", "pause"))
    if fault == "pause":
        member.pause()
        time.sleep(chance.uniform(0.1, pick(0.5, 0.7, 3)))
        member.resume()
        return fault
    if fault == "kill":
        member.kill()
    else:
        member.terminate()
    time.sleep(chance.uniform(0, pick(0.3, 0.3, 2)))
    load.boots[member.name] += 1
    member.start()
    return fault


def _compare(clients, happened):
    """Each log against what happened, and each watcher's logs against the one before. Answers events told and previous pairs that were gone."""
    told = gone = 0
    for watcher in (watcher for client in clients for watcher in client.watchers):
        begin = 1
        for log in watcher.logs:
            check(log.start == begin, "W6 a log begins at %d, not %d", log.start, begin)
            gone += log.compare(happened)
            told += len(log.events)
            begin = log.compacted or log.next
    return told, gone


def _enough(load, compactor, clients):
    """Whether a run has had of everything what it is made for."""
    streams, compacted = sum(client.streams for client in clients), sum(client.compacted for client in clients)
    return load.acknowledged() > 100 and compactor.done > 3 and compacted > 0 and streams > 2 * len(clients)


def test_every_watcher_is_told_exactly_the_history_it_asked_for():
    needs_kvd("a watch without these bugs")
    seed = random.SystemRandom().randrange(1 << 32)
    chance = random.Random(seed)
    flags = ["--snapshot-count", "300", "--snapshot-catchup-entries", "50", "--wal-segment-bytes", "65536", "--watch-progress-notify-interval=500ms"]
    with Cluster(3, flags=flags) as cluster:
        cluster.leader()
        load = workload.Workload(cluster, writers=pick(2, 4, 4), readers=0, seed=seed, pause_s=pick(0.02, 0.008, 0.008), timeout_s=1.0).start()
        compactor = Compactor(cluster, random.Random(seed + 1))
        clients = [Watching(cluster, asked, compactor, random.Random(seed + 2 + n), n in (0, 2, 12)) for n, asked in enumerate(_kinds())]
        start, duration_s, faults = time.monotonic(), pick(4, 2.5, 60), []
        try:
            while time.monotonic() < start + duration_s or not _enough(load, compactor, clients):
                check(time.monotonic() < start + 10 * duration_s, "too little happens")
                time.sleep(pick(0.3, 0.3, 1))
                faults.append(_harm(cluster, load, chance))
            records = load.stop()
            compactor.stop()
            places, revision = workload.committed_log(cluster.leader().client)
            happened = watches.happened(records, places, history.LOG_PREFIX)
            wait_until(lambda: all(client.is_told(happened) for client in clients), 20, "every watcher is told all", 0.2)
        finally:
            for client in clients:
                client.stop()
            for client in clients:
                client.join()
        check(happened[-1].revision == revision, "the store is at %d, the last write at %d", revision, happened[-1].revision)
        told, gone = _compare(clients, happened)
        print("# seed %d: %s; %d writes, %d compactions; %d watchers on %d streams were told %d events, %d times that the past is gone; "
              "%d previous pairs were gone" % (seed, " ".join(faults), len(places), compactor.done, sum(len(c.watchers) for c in clients),
                                               sum(c.streams for c in clients), told, sum(c.compacted for c in clients), gone))
        check(told > 5 * len(places), "too little was told")


if __name__ == "__main__":
    main(globals(), BUDGET_S)
