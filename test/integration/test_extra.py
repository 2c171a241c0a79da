#!/usr/bin/python3
"""What a kvd has beyond etcd: kvd.v1.Extra, against real members by gRPC and kvctl."""

import json
import os
import random
import subprocess

from kvtest import (REFERENCE_BINARY, ROOT, Cluster, Skip, check, clean_environment, extra, main, needs_kvd, pick, rpc, shared_cluster,
                    take_shared_cluster, wait_until)
from watches import Stream

BUDGET_S = 60


def test_every_member_says_what_it_can_do():
    needs_kvd("an etcd has no kvd.v1")
    cluster = shared_cluster()
    for member in cluster.members:
        answer = member.client.call("Features", extra.FeaturesRequest())
        check("kvd" in answer.features and answer.version != "", "%s", answer)
        check(answer.header.member_id == member.client.call("Status", b"").header.member_id, "%s", answer)
    refused = cluster.members[0].client.ask("Features", b"\x0a\x05q")
    check(refused.code in ("INTERNAL", "INVALID_ARGUMENT"), "%s", refused)


# --------------------------------------------------------------------------------------------------------------------
# History

COMPACTED = ("OUT_OF_RANGE", "etcdserver: mvcc: required revision has been compacted")
FUTURE = ("OUT_OF_RANGE", "etcdserver: mvcc: required revision is a future revision")


def outcome(reply):
    return reply.code, reply.text


def pages(client, **request):
    """All events of a history, page by page, each page asked as the one before said."""
    events = []
    while True:
        answer = client.call("History", extra.HistoryRequest(**request))
        check(len(answer.events) <= request.get("limit", 10000), "a page of %d", len(answer.events))
        events += answer.events
        if not answer.next:
            return events
        check(answer.events, "an empty page that is not the last")
        request["token"] = answer.next


def told(events):
    return [("del" if event.type else "put", event.kv.key, event.kv.mod_revision, event.kv.version, event.kv.value) for event in events]


def write_much(client, rng, count):
    """Puts, deletes and transactions; what they did, in order: (kind, key, revision, version, value)."""
    log, live = [], {}

    def put(key, value, revision):
        live[key] = live.get(key, 0) + 1
        log.append(("put", key, revision, live[key], value))

    for number in range(count):
        key, value = b"h/%d" % rng.randrange(12), b"v%d" % number
        kind = rng.randrange(8)
        if kind == 0:
            answer = client.call("DeleteRange", rpc.DeleteRangeRequest(key=b"h/1", range_end=b"h/4"))
            for gone in sorted(k for k in live if b"h/1" <= k < b"h/4"):
                del live[gone]
                log.append(("del", gone, answer.header.revision, 0, b""))
        elif kind == 1:
            keys = sorted(rng.sample([b"h/%d" % n for n in range(12)], 4))
            ops = [rpc.RequestOp(request_put=rpc.PutRequest(key=k, value=value)) for k in keys]
            revision = client.call("Txn", rpc.TxnRequest(success=ops)).header.revision
            for k in keys:
                put(k, value, revision)
        else:
            put(key, value, client.put(key, value).header.revision)
    return log


def test_the_history_is_what_was_written_on_every_member_in_both_orders_and_any_pages():
    rng = random.Random(7)
    cluster = shared_cluster()
    log = write_much(cluster.members[0].client, rng, pick(60, 200, 2000))
    for member in cluster.members:
        for limit in (1, 7, 10000):
            for key in (b"h/2", b"h/11", b"nobody"):
                expected = [entry for entry in log if entry[1] == key]
                check(told(pages(member.client, key=key, limit=limit)) == expected[::-1], "%s, newest first", key)
                check(told(pages(member.client, key=key, limit=limit, oldest_first=True)) == expected, "%s", key)
        check(told(pages(member.client, key=b"h/", range_end=b"h0", limit=13)) == log[::-1], "the range, newest first")
        check(told(pages(member.client, key=b"h/", range_end=b"h0", oldest_first=True)) == log, "the range")
        first, last = log[len(log) // 3][2], log[len(log) // 2][2]
        window = [entry for entry in log if first <= entry[2] <= last]
        for oldest_first in (False, True):
            seen = told(pages(member.client, key=b"h/", range_end=b"h0", from_revision=first, to_revision=last, limit=5,
                              oldest_first=oldest_first, serializable=True))
            check(seen == (window if oldest_first else window[::-1]), "a window")
        bare = pages(member.client, key=b"\0", range_end=b"\0", keys_only=True)
        check(len(bare) == len(log) and not any(event.kv.value for event in bare), "keys only")


def test_a_compaction_cuts_the_history_and_is_told():
    with Cluster(1) as cluster:
        client = cluster.members[0].client
        revisions = [client.put(b"c", b"%d" % n).header.revision for n in range(20)]
        page = client.call("History", extra.HistoryRequest(key=b"c", limit=3, oldest_first=True))
        back = client.call("History", extra.HistoryRequest(key=b"c", limit=3))
        client.call("Compact", rpc.CompactionRequest(revision=revisions[10], physical=True))
        answer = client.call("History", extra.HistoryRequest(key=b"c"))
        check([event.kv.mod_revision for event in answer.events] == revisions[10:][::-1], "%s", answer)
        check(answer.compact_revision == revisions[10] and not answer.next, "%s", answer)
        for request in (dict(from_revision=revisions[9]), dict(to_revision=revisions[9]), dict(from_revision=-1),
                        dict(limit=3, oldest_first=True, token=page.next)):
            refused = outcome(client.ask("History", extra.HistoryRequest(key=b"c", **request)))
            check(refused == COMPACTED, "%s: %s", request, refused)
        rest = pages(client, key=b"c", limit=3, token=back.next)
        check([event.kv.mod_revision for event in rest] == revisions[10:17][::-1], "%s", rest)


def test_bad_questions_about_the_past_are_refused():
    with Cluster(1) as cluster:
        client = cluster.members[0].client
        client.put(b"k", b"1")
        token = client.call("History", extra.HistoryRequest(key=b"k", limit=1)).next
        invalid = [
            (dict(), "etcdserver: key is not provided"),
            (dict(key=b"k", from_revision=2, to_revision=1), "kvd: the last revision is below the first"),
            (dict(key=b"k", token=b"short"), "kvd: the page token is not of this request"),
            (dict(key=b"k", token=b"\xff" * 24), "kvd: the page token is not of this request"),
            (dict(key=b"k", token=token, to_revision=1), "kvd: the page token is not of this request"),
        ]
        for request, text in invalid:
            refused = outcome(client.ask("History", extra.HistoryRequest(**request)))
            check(refused == ("INVALID_ARGUMENT", text), "%s: %s", request, refused)
        for request in (dict(from_revision=99), dict(to_revision=2**63 - 1)):
            check(outcome(client.ask("History", extra.HistoryRequest(key=b"k", **request))) == FUTURE, "%s", request)
        check(client.ask("History", b"\x0a\x7f").code == "INTERNAL", "garbage was taken for a request")
        check(not pages(client, key=b"z", range_end=b"a") and not pages(client, key=b"z", limit=0), "an empty history")


# --------------------------------------------------------------------------------------------------------------------
# Watchers

REASON = "kvd: canceled by an operator"


def watchers(client, **request):
    """All of a member, page by page."""
    found = []
    while True:
        answer = client.call("Watchers", extra.WatchersRequest(**request))
        found += answer.watchers
        if not answer.next:
            return found
        request["place"] = answer.next


def _wait_for_silence(cluster):
    wait_until(lambda: not any(watchers(member.client) for member in cluster.members), 10, "the watchers of other tests are gone")


def test_every_member_tells_its_own_watchers_as_they_are():
    cluster = shared_cluster()
    _wait_for_silence(cluster)
    members = cluster.members
    cluster.leader()
    streams = [Stream(member.target) for member in members]
    for number, stream in enumerate(streams):
        stream.create(b"w/%d" % number, prev_kv=True, filters=[rpc.WatchCreateRequest.NODELETE])
        stream.create(b"w/", range_end=b"w0", watch_id=9, progress_notify=True, fragment=True)
        check(stream.next().created and stream.next().created, "created")
    revision = [members[0].client.put(b"w/1", b"v%d" % n).header.revision for n in range(5)][-1]
    for number, member in enumerate(members):
        seen = 0
        while seen < 5:     # several may come in one response
            answer = streams[number].next()
            seen += len(answer.events) if answer.watch_id == 9 else 0
        wait_until(lambda: all(w.next_revision == revision + 1 for w in watchers(member.client)), 10, "all is told")
        one, all_of = sorted(watchers(member.client), key=lambda w: w.watch_id)
        check((one.key, one.range_end, one.prev_kv, list(one.filters)) == (b"w/%d" % number, b"", True, [rpc.WatchCreateRequest.NODELETE]), "%s", one)
        check((all_of.key, all_of.range_end, all_of.watch_id) == (b"w/", b"w0", 9), "%s", all_of)
        check(all_of.progress_notify and all_of.fragment and not all_of.prev_kv and not all_of.filters, "%s", all_of)
        check(one.stream == all_of.stream and one.behind == all_of.behind == 0, "%s %s", one, all_of)
        check(all_of.events == 5 and one.events == (5 if number == 1 else 0), "%s %s", one, all_of)
        check((all_of.sent_bytes > 5 * len(b"w/1v0")) and all_of.age_seconds < 60, "%s", all_of)
        check(all_of.client_address.startswith("127.0.0.1:") and all_of.client_address == one.client_address, "%s", all_of)
        answer = member.client.call("Watchers", extra.WatchersRequest(key=b"w/7"))
        check([w.watch_id for w in answer.watchers] == [9] and answer.stream_count == 1 and answer.watcher_count == 2, "%s", answer)
        check(answer.header.member_id == member.client.status().header.member_id, "%s", answer)
    for stream in streams:
        stream.close()
    wait_until(lambda: not watchers(members[0].client), 10, "a client that is gone is not told")


def test_a_client_that_does_not_read_is_seen_to_be_behind():
    with Cluster(1) as cluster:
        client = cluster.members[0].client
        stream = Stream(cluster.members[0].target, is_reading=False)
        stream.create(b"big")
        wait_until(lambda: watchers(client), 10, "the watcher")
        wait_until(lambda: client.put(b"big", b"x" * 500000) and watchers(client)[0].behind > 3, 20, "it falls behind", 0)
        stalled = watchers(client)[0]
        check(stalled.is_sending and stalled.events > 0, "%s", stalled)
        check(client.call("Watchers", b"").behind_count == 1, "the count of those behind")
        stream.read()
        wait_until(lambda: watchers(client)[0].behind == 0, 20, "it has caught up")
        stream.close()


def test_an_operator_cancels_one_watcher_and_nothing_else():
    cluster = shared_cluster()
    _wait_for_silence(cluster)
    first, second = cluster.members[0], cluster.members[1]
    cluster.leader()
    stream = Stream(first.target)
    for _ in range(2):
        stream.create(b"c")
        check(stream.next().created, "created")
    victim = watchers(first.client)[0]
    member_id = first.client.status().header.member_id
    name = dict(stream=victim.stream, watch_id=victim.watch_id)
    refused = outcome(second.client.ask("CancelWatcher", extra.CancelWatcherRequest(member_id=member_id, **name)))
    check(refused == ("FAILED_PRECONDITION", "kvd: the watcher is one of another member"), "%s", refused)
    first.client.call("CancelWatcher", extra.CancelWatcherRequest(member_id=member_id, **name))
    told = stream.next()
    check(told.canceled and told.watch_id == victim.watch_id and told.cancel_reason == REASON and not told.compact_revision, "%s", told)
    for unknown in (name, dict(stream=victim.stream, watch_id=77), dict(stream=12345, watch_id=0), dict()):
        refused = outcome(first.client.ask("CancelWatcher", extra.CancelWatcherRequest(member_id=member_id, **unknown)))
        check(refused == ("NOT_FOUND", "kvd: watcher not found"), "%s: %s", unknown, refused)
    check(first.client.ask("CancelWatcher", b"\x0a\x01x").code == "INTERNAL", "garbage was taken for a request")
    check(first.client.ask("Watchers", b"\x0a\x7f").code == "INTERNAL", "garbage was taken for a request")
    first.client.put(b"c", b"1")
    told = stream.next()
    check(told.events and told.watch_id != victim.watch_id, "%s", told)
    check(len(watchers(first.client)) == 1, "one is left")
    check("canceled by an operator" in first.log(is_whole=True), "the log says nothing of it")
    stream.close()


def test_many_watchers_are_told_each_once_while_streams_come_and_go():
    count, streams = pick(300, 1500, 50000), []
    with Cluster(1) as cluster:
        member = cluster.members[0]
        for number in range(4):
            stream = Stream(member.target)
            for at in range(count):
                stream.create(b"m/%d" % at, watch_id=at + 1)
            streams.append(stream)
        for stream in streams:
            for _ in range(count):
                check(stream.next(60).created, "created")
        seen, place = {}, 0
        while True:
            answer = member.client.call("Watchers", extra.WatchersRequest(limit=pick(50, 100, 1000), place=place))
            for watcher in answer.watchers:
                key = (watcher.stream, watcher.watch_id)
                check(key not in seen, "%s was told twice", key)
                seen[key] = watcher.key
            passing = Stream(member.target)
            passing.create(b"passing")
            check(passing.next().created, "created")
            passing.close()
            member.client.put(b"m/1", b"v")
            if not answer.next:
                break
            place = answer.next
        kept = [key for key, name in seen.items() if name != b"passing"]
        check(len(kept) == 4 * count, "%d of %d watchers were told", len(kept), 4 * count)
        check(len(watchers(member.client, key=b"m/7")) == 4, "who watches one key")
        for stream in streams:
            stream.close()


# --------------------------------------------------------------------------------------------------------------------
# kvctl

KVCTL = os.path.join(ROOT, "bin", "kvctl")


def kvctl(targets, *words):
    run = subprocess.run([KVCTL, "--endpoints", ",".join(targets)] + list(words), capture_output=True, text=True, env=clean_environment(), timeout=30,
                         check=False)
    return run.returncode, run.stdout, run.stderr


def test_kvctl_prints_the_history_in_every_format():
    with Cluster(1) as cluster:
        member = cluster.members[0]
        lease = member.client.call("LeaseGrant", rpc.LeaseGrantRequest(TTL=300, ID=0xabc)).ID
        member.client.put(b"a", b"one")
        member.client.ask("Put", rpc.PutRequest(key=b"a", value=b"two\n", lease=lease))
        member.client.put(b"ab", b"other")
        member.client.call("DeleteRange", rpc.DeleteRangeRequest(key=b"a"))

        def said(*words):
            code, out, err = kvctl([member.target], "history", *words)
            check(code == 0 and err == "", "%s: %d %s", words, code, err)
            return out

        check(said("a") == "5 DELETE\na\n3 PUT\na\ntwo\n\n2 PUT\na\none\n", "%s", said("a"))
        check(said("a", "--order", "ascend", "--limit", "1") == "2 PUT\na\none\n", "ascending, one")
        check(said("--prefix", "a", "--from-rev", "4", "--keys-only") == "5 DELETE\na\n4 PUT\nab\n\n", "%s", said("--prefix", "a", "--from-rev", "4"))
        check(said("a", "b", "--to-rev", "2", "--consistency", "s") == "2 PUT\na\none\n", "a range and a window")
        check(said("nobody") == "", "an empty history")
        whole = json.loads(said("a", "-w", "json"))
        check([(e.get("type", 0), e["kv"]["mod_revision"], e["kv"].get("lease", 0)) for e in whole["events"]] == [(1, 5, 0), (0, 3, lease), (0, 2, 0)],
              "%s", whole)
        check(whole["header"]["revision"] == 5, "%s", whole)
        check(json.loads(said("nobody", "-w", "json"))["events"] == [], "an empty history as JSON")
        fields = said("a", "-w", "fields")
        check(fields.count('"Type" : ') == 3 and '"ModRevision" : 3' in fields and '"Value" : "two\\n"' in fields, "%s", fields)
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in said("a", "-w", "table").splitlines() if line.startswith("|")]
        check(rows == [["REVISION", "TYPE", "KEY", "VALUE", "VERSION", "CREATED", "LEASE"], ["5", "DELETE", '"a"', "", "0", "0", ""],
                       ["3", "PUT", '"a"', '"two\\n"', "2", "2", "%016x" % lease], ["2", "PUT", '"a"', '"one"', "1", "2", ""]], "%s", rows)
        for number in range(25):
            member.client.put(b"many", b"%d" % number)
        check(said("many", "--limit", "23").count("PUT") == 23, "a limit")
        for words, code, text in ((("a", "--from-rev", "99"), 1, "future revision"), (("a", "--order", "UP"), 4, "bad sort order"), ((), 128, "needs one argument"),
                                  (("a", "--from-rev", "3", "--to-rev", "2"), 1, "below the first")):
            seen = kvctl([member.target], "history", *words)
            check(seen[0] == code and text in seen[2], "%s: %s", words, seen)


def test_kvctl_lists_the_clusters_watchers_and_cancels_one():
    cluster = shared_cluster()
    _wait_for_silence(cluster)
    cluster.leader()
    targets = [member.target for member in cluster.members]
    streams = [Stream(target) for target in targets]
    for number, stream in enumerate(streams):
        stream.create(b"k%d" % number, prev_kv=True)
        stream.create(b"k", range_end=b"l", filters=[rpc.WatchCreateRequest.NOPUT])
        check(stream.next().created and stream.next().created, "created")

    def listed(*words):
        code, out, err = kvctl(targets[:1], "watchers", "list", *words)
        check(code == 0 and err == "", "%s: %d %s", words, code, err)
        return [line.split(", ") for line in out.splitlines()]

    wait_until(lambda: len(cluster.members[0].client.call("MemberList", b"").members[2].clientURLs) > 0, 10, "the members' URLs")
    check(len(listed()) == 2 and len(listed("--cluster")) == 6, "%s", listed("--cluster"))
    check(len(listed("--cluster", "k2")) == 4 and len(listed("--cluster", "--prefix", "k")) == 6 and listed("z") == [], "by key")
    row = listed("--cluster", "k2", "k3")[-1]
    check(row[1] in ('"k2"', '"k".."l"') and row[4:7] == ["live", "0", "0"] and row[7].startswith("127.0.0.1:"), "%s", row)
    as_json = json.loads(kvctl(targets, "watchers", "list", "-w", "json")[1])
    check([len(member["watchers"]) for member in as_json] == [2, 2, 2] and len({member["header"]["member_id"] for member in as_json}) == 3, "%s", as_json)
    check(len(json.loads(kvctl([targets[0], targets[0]], "watchers", "list", "-w", "json")[1])) == 1, "a member by two URLs is told once")
    check(kvctl(targets, "watchers", "list", "-w", "fields")[1].count('"WatchID" : ') == 6, "fields")
    check(kvctl(targets, "watchers", "list", "-w", "table")[1].count("no-put") == 3, "table")
    victim = [row[0] for row in listed("--cluster", "k2") if row[1] == '"k2"'][0]
    code, out, err = kvctl(targets[:1], "watchers", "cancel", victim)
    check(code == 1 and "--cluster asks all members" in err, "%d %s %s", code, out, err)
    code, out, err = kvctl(targets[:1], "watchers", "cancel", "--cluster", victim)
    check((code, out, err) == (0, "watcher %s canceled\n" % victim, ""), "%d %s %s", code, out, err)
    told = streams[2].next()
    check(told.canceled and told.cancel_reason == REASON, "%s", told)
    code, out, err = kvctl(targets, "watchers", "cancel", victim)
    check(code == 1 and "watcher not found" in err, "%d %s %s", code, out, err)
    check(kvctl(targets, "watchers", "cancel", "1/2")[0] == 128 and kvctl(targets, "watchers", "cancel")[0] == 128, "bad names")
    for stream in streams:
        stream.close()


def test_kvctl_says_when_the_server_is_an_etcd():
    if not os.access(REFERENCE_BINARY, os.X_OK):
        raise Skip("no etcd at %s" % REFERENCE_BINARY)
    with Cluster(1, binary=REFERENCE_BINARY) as cluster:
        for words in (("history", "a"), ("watchers", "list"), ("watchers", "cancel", "1/2/3")):
            code, out, err = kvctl([cluster.members[0].target], *words)
            check(code == 4 and "it is an etcd" in err and out == "", "%s: %d %s %s", words, code, out, err)


def test_a_member_without_a_majority_tells_only_what_it_knows():
    cluster = take_shared_cluster()
    member = cluster.members[0]
    revision = member.client.put(b"alone", b"1").header.revision
    wait_until(lambda: member.client.get(b"alone", serializable=True).kvs, 10, "the put on the member that was asked")
    for other in cluster.members[1:]:
        other.kill()
    code, out, err = kvctl(cluster.targets(), "--dial-timeout", "300ms", "watchers", "list")
    check(code == 2 and "no endpoint could be reached" in err, "%d %s %s", code, out, err)
    check("kvd" in member.client.call("Features", b"").features, "a member without a majority is silent")
    check([event.kv.mod_revision for event in pages(member.client, key=b"alone", serializable=True)] == [revision], "serializable")
    refused = member.client.ask("History", extra.HistoryRequest(key=b"alone"), timeout_s=1)
    check(refused.code in ("DEADLINE_EXCEEDED", "UNAVAILABLE"), "%s", refused)
    cluster.__exit__(None, None, None)


if __name__ == "__main__":
    main(globals(), BUDGET_S)
