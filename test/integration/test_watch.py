#!/usr/bin/python3
"""Does a watcher get exactly the history that it asked for, in order and once, whatever happens to clients, members and old revisions?

One validator (watches.Log) looks at every response of a watch. What Debian's etcd 3.4 answers to the same requests is compared field by
field at the end.
"""

import os
import subprocess
import threading
import time

from kvtest import (BINARY, REFERENCE_BINARY, ROOT, Client, Cluster, check, clean_environment, is_kvd, kvpb, main, needs_kvd, pick, rpc,
                    wait_until)
from watches import Log, Stream, follow

BUDGET_S = 60
MIB = 1 << 20
DUPLICATE = "mvcc: duplicate watch ID provided on the WatchStream"
EMPTY = "mvcc: watcher range is empty"
COMPACTED = "etcdserver: mvcc: required revision has been compacted"

_shared = []


def _member():
    if not _shared:
        cluster = Cluster(1, flags=["--watch-progress-notify-interval=200ms"] if is_kvd() else [])
        cluster.__enter__()
        cluster.leader()
        _shared.append(cluster)
    return _shared[0].members[0]


def _names(events):
    return [("DELETE" if e.type == kvpb.Event.DELETE else "PUT", e.kv.key, e.kv.value, e.kv.mod_revision) for e in events]


def _delete(client, key, range_end=b""):
    return client.call("DeleteRange", rpc.DeleteRangeRequest(key=key, range_end=range_end)).header.revision


def _put(client, key, value=b"v"):
    return client.put(key, value).header.revision


def _txn(client, *puts):
    ops = [rpc.RequestOp(request_put=rpc.PutRequest(key=k, value=v)) for k, v in puts]
    return client.call("Txn", rpc.TxnRequest(success=ops)).header.revision


# --------------------------------------------------------------------------------------------------------------------


def test_events_come_in_order_after_created_and_with_their_kind():
    member = _member()
    with Stream(member.target) as stream:
        created = stream.open(b"a/", range_end=b"a0")
        check(created.watch_id == 0, "first id %d", created.watch_id)
        first = _put(member.client, b"a/1", b"x")
        check(created.header.revision < first, "created at %d, put at %d", created.header.revision, first)
        second = _put(member.client, b"a/1", b"x")
        third = _delete(member.client, b"a/1")
        _put(member.client, b"b/1")
        log = stream.log(0, first)
        follow(stream, log, third)
        check(_names(log.events) == [("PUT", b"a/1", b"x", first), ("PUT", b"a/1", b"x", second), ("DELETE", b"a/1", b"", third)],
              "%s", log.events)
        check(log.events[0].kv.create_revision == first and log.events[1].kv.version == 2, "%s", log.events)
        gone = log.events[2]
        check(gone.kv.create_revision == 0 and gone.kv.version == 0 and not gone.HasField("prev_kv"), "%s", gone)
        stream.quiet()


def test_a_transactions_changes_come_in_one_response():
    member = _member()
    with Stream(member.target) as stream:
        stream.open(b"t/", range_end=b"t0")
        revision = _txn(member.client, (b"t/b", b"1"), (b"t/a", b"2"), (b"t/c", b"3"))
        response = stream.next()
        check([e.kv.key for e in response.events] == [b"t/b", b"t/a", b"t/c"], "%s", response)
        check({e.kv.mod_revision for e in response.events} == {revision}, "%s", response)
        revision = _delete(member.client, b"t/", b"t0")
        response = stream.next()
        check([e.kv.key for e in response.events] == [b"t/a", b"t/b", b"t/c"], "%s", response)


def test_ids_are_chosen_from_zero_and_duplicates_are_refused():
    member = _member()
    with Stream(member.target) as stream:
        check(stream.open(b"i").watch_id == 0, "not 0")
        check(stream.open(b"i", watch_id=7).watch_id == 7, "not 7")
        check(stream.open(b"i", watch_id=1).watch_id == 1, "not 1")
        check(stream.open(b"i").watch_id == 2, "not 2")
        stream.create(b"i", watch_id=7)
        refused = stream.next()
        check((refused.watch_id, refused.created, refused.canceled, refused.cancel_reason) == (-1, True, True, DUPLICATE), "%s", refused)
        stream.cancel(7)
        response = stream.next()
        check((response.watch_id, response.canceled, response.cancel_reason) == (7, True, ""), "%s", response)
        stream.cancel(7)
        stream.cancel(99)
        stream.quiet()
        check(stream.open(b"i", watch_id=7).watch_id == 7, "7 is free again")


def test_bad_ranges_and_revisions_are_refused_in_the_created_response():
    with Stream(_member().target) as stream:
        for options, reason in (({"range_end": b"a"}, EMPTY), ({"range_end": b"b"}, EMPTY), ({"start_revision": -1}, COMPACTED)):
            stream.create(b"b", **options)
            refused = stream.next()
            check((refused.watch_id, refused.created, refused.canceled, refused.cancel_reason) == (-1, True, True, reason), "%s", refused)
        stream.send(rpc.WatchRequest())
        stream.send(b"\x7a\x00")
        stream.quiet()


def test_the_past_the_future_and_the_whole_key_space():
    member = _member()
    first = _put(member.client, b"p/1", b"1")
    revisions = [first] + [_put(member.client, b"p/%d" % (i % 5), b"%d" % i) for i in range(40)]
    with Stream(member.target) as stream:
        stream.open(b"p/", range_end=b"p0", start_revision=first)
        log = stream.log(0, first)
        follow(stream, log, revisions[-1])
        check([e.kv.mod_revision for e in log.events] == revisions, "%s", log.events)
        begin = revisions[-1] + 3
        future = stream.open(b"p/1", start_revision=begin).watch_id
        late = [_put(member.client, b"p/1") for _ in range(4)]
        told = stream.log(future, begin)
        while not told.events or told.events[-1].kv.mod_revision < late[-1]:
            response = stream.next()
            (told if response.watch_id == future else log).take(response)
        check([e.kv.mod_revision for e in told.events] == late[2:], "%s", told.events)
    with Stream(member.target) as stream:
        stream.open(b"\0", range_end=b"\0", start_revision=first)
        log = stream.log(0, first)
        follow(stream, log, late[-1])
        check([e.kv.mod_revision for e in log.events] == revisions + late, "%d events", len(log.events))


def test_filters_and_previous_pairs():
    member = _member()
    with Stream(member.target) as stream:
        stream.open(b"f", filters=[rpc.WatchCreateRequest.NOPUT], prev_kv=True)
        stream.open(b"f", filters=[rpc.WatchCreateRequest.NODELETE], prev_kv=True)
        one, two = _put(member.client, b"f", b"1"), _put(member.client, b"f", b"2")
        gone, three = _delete(member.client, b"f"), _put(member.client, b"f", b"3")
        logs = {0: stream.log(0, one), 1: stream.log(1, one)}
        while not logs[1].events or logs[1].events[-1].kv.mod_revision < three or not logs[0].events:
            response = stream.next()
            logs[response.watch_id].take(response)
        check(_names(logs[0].events) == [("DELETE", b"f", b"", gone)], "%s", logs[0].events)
        prev = logs[0].events[0].prev_kv
        check((prev.value, prev.mod_revision, prev.create_revision, prev.version) == (b"2", two, one, 2), "%s", prev)
        puts = logs[1].events
        check([e.kv.mod_revision for e in puts] == [one, two, three], "%s", puts)
        check(not puts[0].HasField("prev_kv") and puts[1].prev_kv.value == b"1" and not puts[2].HasField("prev_kv"), "%s", puts)


def test_a_compacted_start_is_created_and_then_canceled():
    member = _member()
    old = _put(member.client, b"c", b"1")
    new = _put(member.client, b"c", b"2")
    with Stream(member.target) as live:
        live.open(b"c")
        member.client.call("Compact", rpc.CompactionRequest(revision=new))
        with Stream(member.target) as stream:
            created = stream.open(b"c", start_revision=old)
            response = stream.next()
            check((response.watch_id, response.canceled, response.compact_revision, response.cancel_reason, response.header.revision) ==
                  (created.watch_id, True, new, "", 0), "%s", response)
            stream.open(b"c", start_revision=new, prev_kv=True)
            response = stream.next()
            check([e.kv.mod_revision for e in response.events] == [new], "%s", response)
            check(not response.events[0].HasField("prev_kv"), "the version before is compacted: %s", response)
        after = _put(member.client, b"c", b"3")
        member.client.call("Compact", rpc.CompactionRequest(revision=after))
        check(live.next().events[0].kv.mod_revision == after, "a live watch outlives compactions")
        live.quiet()


def test_live_watches_lose_nothing_to_compactions_at_the_newest_revision():
    member = _member()
    with Stream(member.target) as stream:
        stream.open(b"l/", range_end=b"l0", prev_kv=True)
        revisions = []
        for i in range(pick(50, 200, 2000)):
            revisions.append(_put(member.client, b"l/%d" % (i % 3), b"%d" % i))
            member.client.call("Compact", rpc.CompactionRequest(revision=revisions[-1]))
        log = stream.log(0, revisions[0])
        follow(stream, log, revisions[-1])
        check([e.kv.mod_revision for e in log.events] == revisions, "%d of %d", len(log.events), len(revisions))


def test_progress_on_request_never_overtakes_events():
    needs_kvd("answers when it is in sync")
    member = _member()
    with Stream(member.target) as stream:
        stream.progress()
        stream.quiet()
        stream.open(b"g")
        log = stream.log(0, 1)
        for i in range(50):
            revision = _put(member.client, b"g")
            stream.progress()
            while True:
                response = stream.next()
                if response.watch_id == -1:
                    break
                log.take(response)
            check(not response.events and response.header.revision >= revision, "%s after %d", response, revision)
            check(log.events[-1].kv.mod_revision == revision, "progress %d before event %d", response.header.revision, revision)
        future = stream.open(b"g", start_revision=revision + 2)
        stream.progress()
        stream.quiet()
        _put(member.client, b"h")
        response = stream.next()
        check((response.watch_id, response.header.revision) == (-1, revision + 1), "%s %s", response, future)


def test_progress_notifications_come_to_whoever_asked():
    needs_kvd("a short interval")
    member = _member()
    with Stream(member.target) as stream:
        stream.open(b"n", progress_notify=True)
        stream.open(b"n")
        revision = _put(member.client, b"elsewhere")
        log = stream.log(0, 1)
        while log.progress < revision:
            log.take(stream.next())
        future = stream.open(b"n", progress_notify=True, start_revision=revision + 1000).watch_id
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            response = stream.next()
            check(response.watch_id != future, "progress below the start: %s", response)


def test_fragments_glue_to_whole_revisions():
    member = _member()
    value = b"x" * (200 * 1024)
    keys = [b"frag/%02d" % i for i in range(15)]
    for key in keys:
        _put(member.client, key, value)
    with Stream(member.target) as stream:
        stream.open(b"frag/", range_end=b"frag0", prev_kv=True, fragment=True)
        stream.open(b"frag/", range_end=b"frag0", prev_kv=True)
        revision = _delete(member.client, b"frag/", b"frag0")
        pieces, whole = [], None
        while whole is None or not pieces or pieces[-1].fragment:
            response = stream.next()
            if response.watch_id == 0:
                pieces.append(response)
            else:
                check(whole is None and not response.fragment, "cut without being asked")
                whole = response
        check(len(pieces) >= 2, "%d piece", len(pieces))
        events = [e for piece in pieces for e in piece.events]
        check([e.kv.key for e in events] == keys and [e.kv.key for e in whole.events] == keys, "%d, %d events", len(events), len(whole.events))
        check(all(e.prev_kv.value == value and e.kv.mod_revision == revision for e in events), "previous values")


def test_garbage_ends_its_stream_and_nothing_else():
    member = _member()
    with Stream(member.target) as good:
        good.open(b"z")
        for garbage in (b"\xff\xff\xff", b"\x0a\x05\x0a", b"\x0a\x02\x18", b"\x08\x01", b"\x0a\x03\x0b\x00\x00"):
            with Stream(member.target) as stream:
                stream.send(garbage)
                code, _ = stream.end()
                check(code in ("INTERNAL", "UNKNOWN"), "%r: %s", garbage, code)
        revision = _put(member.client, b"z")
        check(good.next().events[0].kv.mod_revision == revision, "the other stream")


def test_half_close_ends_the_stream_well():
    with Stream(_member().target) as stream:
        stream.open(b"x")
        stream.half_close()
        check(stream.end() == ("OK", ""), "%s", stream.error)


def test_many_watchers_on_one_stream_and_many_streams():
    member = _member()
    count = pick(100, 500, 3000)
    with Stream(member.target) as stream:
        for i in range(count):
            stream.create(b"m/%d" % i)
        for i in range(count):
            check(stream.next().watch_id == i, "created in order")
        every = stream.open(b"m/", range_end=b"m0").watch_id
        revisions = {i: _put(member.client, b"m/%d" % i) for i in range(0, count, 7)}
        told, logs = {}, stream.log(every, 1)
        while len(told) < len(revisions) or logs.events[-1].kv.mod_revision < max(revisions.values()):
            response = stream.next()
            if response.watch_id == every:
                logs.take(response)
            else:
                check(response.watch_id not in told, "twice")
                told[response.watch_id] = response.events[0].kv.mod_revision
        check(told == revisions, "%d events", len(told))
    streams = [Stream(member.target) for _ in range(pick(20, 120, 300))]
    try:
        for stream in streams:
            stream.open(b"s")
        revision = _put(member.client, b"s")
        for stream in streams:
            check(stream.next().events[0].kv.mod_revision == revision, "every stream hears")
    finally:
        for stream in streams:
            stream.close()


def test_clients_that_do_not_read_cost_little_and_hinder_nobody():
    member = _member()
    value = b"y" * MIB
    stalled = [Stream(member.target, is_reading=False) for _ in range(20)]
    try:
        for stream in stalled:
            stream.create(b"stall/", range_end=b"stall0")
        with Stream(member.target) as stream:
            start = stream.open(b"stall/", range_end=b"stall0").header.revision + 1
            time.sleep(0.5)
            _put(member.client, b"stall/0", value)
            stream.next()
            before = member.rss_bytes()
            count = pick(20, 40, 200)
            for i in range(count):
                revision = _put(member.client, b"stall/%d" % (i % 4), value)
                check(stream.next(5).events[-1].kv.mod_revision == revision, "a stalled client hinders another one")
            growth = member.rss_bytes() - before
            check(growth < count * MIB + pick(400, 100, 100) * MIB, "grew by %d MiB", growth // MIB)
        slow = stalled[0]
        slow.read()
        check(slow.next().created, "created comes first")
        log = Log(0, start, b"stall/", b"stall0")
        follow(slow, log, revision)
        check(len(log.events) == count + 1, "%d of %d events", len(log.events), count + 1)
    finally:
        for stream in stalled:
            stream.close()


def test_writers_readers_and_compaction_at_once():
    member = _member()
    start = member.client.status().header.revision + 1
    stop, revisions, lock = threading.Event(), {}, threading.Lock()

    def write(number):
        client = Client(member.target)
        i = 0
        while not stop.is_set():
            key = b"w/%d" % (i % 10)
            revision = _put(client, key, b"%d-%d" % (number, i)) if i % 5 else _txn(client, (key, b"t"), (key + b"x", b"t"))
            with lock:
                revisions[revision] = 1 if i % 5 else 2
            i += 1
        client.close()

    writers = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    streams = [Stream(member.target) for _ in range(6)]
    try:
        for stream in streams:
            stream.open(b"w/", range_end=b"w0", start_revision=start)
        for writer in writers:
            writer.start()
        time.sleep(pick(1, 2, 20))
        stop.set()
        for writer in writers:
            writer.join()
        expected = [r for r, n in sorted(revisions.items()) for _ in range(n)]
        for stream in streams:
            log = stream.log(0, start)
            follow(stream, log, expected[-1])
            check([e.kv.mod_revision for e in log.events] == expected, "%d of %d", len(log.events), len(expected))
    finally:
        stop.set()
        for stream in streams:
            stream.close()


def test_etcdctl_watches():
    member = _member()
    environment = clean_environment(ETCDCTL_API="3")
    start = member.client.get(b"x").header.revision + 1      # however long it takes to come
    command = ["etcdctl", "--endpoints", member.target, "watch", "ctl/", "--prefix", "--prev-kv", "--rev", str(start)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)
    limit = threading.Timer(10, process.kill)
    limit.start()
    try:
        time.sleep(1)
        _put(member.client, b"ctl/1", b"one")
        _put(member.client, b"ctl/1", b"two")
        _delete(member.client, b"ctl/1")
        lines = [process.stdout.readline().rstrip("\n") for _ in range(3 + 5 + 5)]
        text = [line for line in lines if line]
        check(text == ["PUT", "ctl/1", "one", "PUT", "ctl/1", "one", "ctl/1", "two", "DELETE", "ctl/1", "two", "ctl/1"], "%s", lines)
    finally:
        limit.cancel()
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_member_that_stops_ends_its_streams():
    """With our text, unless the connection is gone before the client has read it: that the process ends at once is wanted, too."""
    texts = []
    for _ in range(3):
        with Cluster(1) as cluster:
            member = cluster.members[0]
            with Stream(member.target) as stream:
                stream.open(b"a")
                check(member.terminate() == 0, "exit code")
                code, text = stream.end()
                check(code == "UNAVAILABLE", "%s %s", code, text)
                texts.append(text)
    if is_kvd():
        check("etcdserver: server stopped" in texts, "%s", texts)


def test_streams_that_need_a_leader_end_without_one_and_watching_resumes_elsewhere():
    with Cluster(3) as cluster:
        leader = cluster.leader()
        others = cluster.followers()
        asked = [("hasleader", "true")]
        start = _put(leader.client, b"r/0")
        with Stream(others[0].target, asked) as strict, Stream(others[0].target) as plain, Stream(others[1].target) as doomed:
            for stream in (strict, plain, doomed):
                stream.open(b"r/", range_end=b"r0", start_revision=start)
            seen = doomed.log(0, start)
            follow(doomed, seen, start)
            others[1].kill()
            check(doomed.end()[0] == "UNAVAILABLE", "the member is gone")
            revisions = [start] + [_put(leader.client, b"r/%d" % i) for i in range(20)]
            others[1].start()
            again = seen.events[-1].kv.mod_revision + 1
            with Stream(others[1].target) as resumed:
                resumed.open(b"r/", range_end=b"r0", start_revision=again)
                log = resumed.log(0, again)
                follow(resumed, log, revisions[-1])
                check([e.kv.mod_revision for e in seen.events + log.events] == revisions, "%s", log.events)
            leader.kill()
            others[1].kill()
            code, text = strict.end(20)
            check((code, text) == ("UNAVAILABLE", "etcdserver: no leader"), "%s %s", code, text)
            with Stream(others[0].target, asked) as late:
                check(late.end() == ("UNAVAILABLE", "etcdserver: no leader"), "%s", late.error)
            log = plain.log(0, start)
            follow(plain, log, revisions[-1])
            plain.quiet()
            with Stream(others[0].target) as local:
                local.open(b"r/", range_end=b"r0", start_revision=start)
                log = local.log(0, start)
                follow(local, log, revisions[-1])


def _installed(member):
    return member.log().count("the state is the leader's snapshot from now on")


def _behind_a_snapshot(act):
    """A member with a watch sleeps until the others have dropped what it lacks, and wakes up to a snapshot. Answers the watch's stream and
    what it was told before to `act`'s second part."""
    flags = ["--snapshot-count", "200", "--snapshot-catchup-entries", "10", "--wal-segment-bytes", "65536"]
    with Cluster(3, flags=flags) as cluster:
        leader = cluster.leader()
        lagging = cluster.followers()[0]
        with Stream(lagging.target) as stream:
            stream.open(b"k/", range_end=b"k0", prev_kv=True)
            first = _put(leader.client, b"k/0", b"x" * 100)
            log = stream.log(0, first)
            follow(stream, log, first)
            lagging.pause()
            try:
                rest = act(leader.client)
                next(rest)
            finally:
                lagging.resume()
            wait_until(lambda: _installed(lagging), 30, "a snapshot is installed")
            rest.send((stream, log))


def _put_many(client, count):
    return [_put(client, b"k/%d" % (i % 9), b"y" * 1000) for i in range(count)]


def test_watches_go_on_behind_an_installed_snapshot():
    needs_kvd("these flags")

    def act(client):
        revisions = _put_many(client, 1200)
        stream, log = yield
        follow(stream, log, revisions[-1])
        check([e.kv.mod_revision for e in log.events[1:]] == revisions, "%d of %d", len(log.events) - 1, len(revisions))
        check(all(e.HasField("prev_kv") for e in log.events[10:]), "previous pairs")
        yield

    _behind_a_snapshot(act)


def test_watches_that_an_installed_snapshot_has_nothing_for_are_canceled_as_compacted():
    needs_kvd("these flags")

    def act(client):
        mark = _put_many(client, 600)[-1]
        client.call("Compact", rpc.CompactionRequest(revision=mark))
        _put_many(client, 1200)
        stream, log = yield
        response = stream.next()
        while response.events:     # what was on the way to it when it fell asleep
            log.take(response)
            response = stream.next()
        log.take(response)
        check(log.events[-1].kv.mod_revision < mark, "told %d", log.events[-1].kv.mod_revision)
        check((response.watch_id, response.canceled, response.compact_revision) == (0, True, mark), "%s", response)
        created = stream.open(b"k/", range_end=b"k0", start_revision=mark)
        log = stream.log(created.watch_id, mark)
        follow(stream, log, _put(client, b"k/0"))
        check(len(log.events) == 1202, "%d events", len(log.events))
        yield

    _behind_a_snapshot(act)


# --------------------------------------------------------------------------------------------------------------------


def _script(member):
    """The same requests, one after the other; answers all responses in a form that two servers can be compared by."""
    client, out = member.client, []

    def note(response):
        response.header.ClearField("cluster_id")
        response.header.ClearField("member_id")
        response.header.ClearField("raft_term")
        out.append(str(response))

    with Stream(member.target) as stream:
        def ask(count, **request):
            stream.send(rpc.WatchRequest(**request))
            for _ in range(count):
                note(stream.next())

        def create(count, **options):
            ask(count, create_request=rpc.WatchCreateRequest(**options))

        create(1, key=b"a")
        create(1, key=b"a", range_end=b"c", prev_kv=True)
        create(1, key=b"", range_end=b"\0", watch_id=5)
        create(1, key=b"x", watch_id=5)
        create(1, key=b"x", range_end=b"a")
        _put(client, b"a", b"1")
        told = sorted((stream.next() for _ in range(3)), key=lambda r: r.watch_id)
        for response in told:
            note(response)
        _txn(client, (b"b", b"2"), (b"bb", b"3"))
        for response in sorted((stream.next() for _ in range(2)), key=lambda r: r.watch_id):
            note(response)
        ask(1, cancel_request=rpc.WatchCancelRequest(watch_id=5))
        ask(0, cancel_request=rpc.WatchCancelRequest(watch_id=55))
        _delete(client, b"a", b"c")
        for response in sorted((stream.next() for _ in range(2)), key=lambda r: r.watch_id):
            note(response)
        create(2, key=b"b", start_revision=2, watch_id=9)
        client.call("Compact", rpc.CompactionRequest(revision=3))
        create(2, key=b"a", start_revision=2)
        create(2, key=b"b", start_revision=3, prev_kv=True)
        create(1, key=b"b", start_revision=100)
        ask(1, cancel_request=rpc.WatchCancelRequest(watch_id=0))
        create(1, key=b"a", filters=[0])
        create(1, key=b"a", filters=[1])
        stream.cancel(1)
        note(stream.next())
        _put(client, b"a", b"9")
        note(stream.next())
        _delete(client, b"a")
        note(stream.next())
        stream.quiet()
    return out


def test_etcd_answers_the_same():
    with Cluster(1) as ours, Cluster(1, binary=REFERENCE_BINARY) as theirs:
        mine, other = _script(ours.members[0]), _script(theirs.members[0])
        check(len(mine) == len(other), "%d, %d", len(mine), len(other))
        for place, (a, b) in enumerate(zip(mine, other)):
            check(a == b, "response %d\nhere:\n%s\nthere:\n%s", place, a, b)


def test_the_member_is_well_after_all_of_this():
    cluster, = _shared
    _shared.clear()
    member = cluster.members[0]
    wait_until(lambda: member.client.status().header.revision > 0, 5, "it answers")
    check(member.terminate() == 0, "exit code")
    cluster.__exit__(None, None, None)


if __name__ == "__main__":
    check(os.access(BINARY, os.X_OK) and os.path.isdir(ROOT), "no program to test at %s", BINARY)
    main(globals(), BUDGET_S)
