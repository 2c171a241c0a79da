#!/usr/bin/python3
"""What a kvd has beyond etcd: kvd.v1.Extra, against real members by gRPC and kvctl."""

import random

from kvtest import Cluster, check, extra, main, needs_kvd, pick, rpc, wait_until

BUDGET_S = 60


def test_every_member_says_what_it_can_do():
    needs_kvd("an etcd has no kvd.v1")
    with Cluster(3) as cluster:
        for member in cluster.members:
            answer = member.client.call("Features", extra.FeaturesRequest())
            check("kvd" in answer.features and answer.version != "", "%s", answer)
            check(answer.header.member_id == member.client.call("Status", b"").header.member_id, "%s", answer)
        cluster.members[1].kill()
        cluster.members[2].kill()
        check("kvd" in cluster.members[0].client.call("Features", b"").features, "a member without a majority is silent")
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
    with Cluster(3) as cluster:
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


def test_a_member_without_a_majority_tells_only_what_it_knows():
    with Cluster(3) as cluster:
        member = cluster.members[0]
        revision = member.client.put(b"k", b"1").header.revision
        wait_until(lambda: member.client.get(b"k", serializable=True).kvs, 10, "the put on the member that was asked")
        cluster.members[1].kill()
        cluster.members[2].kill()
        check([event.kv.mod_revision for event in pages(member.client, key=b"k", serializable=True)] == [revision], "serializable")
        refused = member.client.ask("History", extra.HistoryRequest(key=b"k"), timeout_s=2)
        check(refused.code in ("DEADLINE_EXCEEDED", "UNAVAILABLE"), "%s", refused)


if __name__ == "__main__":
    main(globals(), BUDGET_S)
