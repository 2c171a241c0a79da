#!/usr/bin/python3
"""Locks and elections: one owner at a time in the order of the queue, whatever dies; nothing left of who gives up; fencing by revision.

One cluster of three serves most tests. What an own etcd 3.4 can be asked as well is compared with it, answer by answer and key by key.
"""

import contextlib
import os
import random
import signal
import subprocess
import threading
import time

import grpc

from kvtest import (CHANNEL_OPTIONS, IS_SHORT, REFERENCE_BINARY, Client, Cluster, Failure, Skip, check, clean_environment, electionpb, lockpb,
                    main, needs_kvd, pick, rpc, shared_cluster, wait_until)

BUDGET_S = 40
SESSION_EXPIRED = ("UNKNOWN", "mutex: session is expired")
NO_LEADER = ("UNKNOWN", "election: no leader")
NOT_LEADER = ("UNKNOWN", "election: not leader")
STOPPED = ("UNAVAILABLE", "etcdserver: server stopped")
EXHAUSTED = ("RESOURCE_EXHAUSTED", "etcdserver: too many requests")
WAIT_S = 10.0
WAITS_MAX = 4096
LATE_S = 6                  # by how much an expiry may be late on a busy machine


def _clients():
    leader = shared_cluster().leader()
    return [leader.client] + [member.client for member in shared_cluster().members if member is not leader]


def _outcome(reply):
    return reply.code, reply.text


def _grant(client, ttl=300, lease=0):
    return client.call("LeaseGrant", rpc.LeaseGrantRequest(TTL=ttl, ID=lease)).ID


def _revoke(client, lease):
    client.call("LeaseRevoke", rpc.LeaseRevokeRequest(ID=lease))


def _lock(client, name, lease, timeout_s=60.0):
    return client.send("Lock", lockpb.LockRequest(name=name, lease=lease), timeout_s)


def _unlock(client, key):
    return client.call("Unlock", lockpb.UnlockRequest(key=key))


def _campaign(client, name, lease, value, timeout_s=60.0):
    return client.send("Campaign", electionpb.CampaignRequest(name=name, lease=lease, value=value), timeout_s)


def _below(client, name):
    """The keys below a name, the oldest first."""
    kvs = client.get(name + b"/", range_end=name + b"0", timeout_s=WAIT_S).kvs
    return sorted(kvs, key=lambda kv: kv.create_revision)


def _keys(client, name):
    return [kv.key for kv in _below(client, name)]


def _wait_for_keys(client, name, count):
    wait_until(lambda: len(_below(client, name)) == count, WAIT_S, "%d keys below %r" % (count, name))


def _fenced_put(client, lock_key, create_revision, key, value):
    """What an owner should write by: it is refused once the place in the queue is another."""
    compare = rpc.Compare(result=rpc.Compare.EQUAL, target=rpc.Compare.CREATE, key=lock_key, create_revision=create_revision)
    put = rpc.RequestOp(request_put=rpc.PutRequest(key=key, value=value))
    return client.call("Txn", rpc.TxnRequest(compare=[compare], success=[put])).succeeded


def _own_revision(client, lock_key):
    return client.get(lock_key).kvs[0].create_revision


class Observer:
    """An Observe stream; what it was told, and how it ended."""

    def __init__(self, member, name):
        self._channel = grpc.insecure_channel(member.target, options=CHANNEL_OPTIONS)
        observe = self._channel.unary_stream("/v3electionpb.Election/Observe", request_serializer=electionpb.LeaderRequest.SerializeToString,
                                             response_deserializer=electionpb.LeaderResponse.FromString)
        self.told, self.end = [], None
        self._stream = observe(electionpb.LeaderRequest(name=name))
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self):
        try:
            for message in self._stream:
                self.told.append(message)
        except grpc.RpcError as error:
            self.end = error.code().name, error.details()

    def values(self):
        return [message.kv.value for message in self.told]

    def close(self):
        self._stream.cancel()
        self._thread.join()
        self._channel.close()


# --------------------------------------------------------------------------------------------------------------------
# The same as etcd


class Pair:
    """The same question to a member of ours and to Debian's etcd. Leases have the same numbers on both, so that keys are the same;
    those that a server chooses are known by their order."""

    def __init__(self, clients):
        self.clients, self.chosen = clients, [{}, {}]

    def _plain(self, side, message):
        """Without what must differ: who answers, and numbers that a server chose."""
        if message is None:
            return None
        text = str(message)
        for number, name in self.chosen[side].items():
            text = text.replace("%x" % number, name).replace(str(number), name)
        return "\n".join(line for line in text.splitlines() if "_id:" not in line and "raft_term" not in line)

    def learn(self, side):
        for status in self.clients[side].call("LeaseLeases", rpc.LeaseLeasesRequest()).leases:
            if status.ID > 1 << 32 and status.ID not in self.chosen[side]:
                self.chosen[side][status.ID] = "chosen"

    def ask(self, method, request, timeout_s=10.0):
        answers = []
        for side, client in enumerate(self.clients):
            reply = client.ask(method, request, timeout_s)
            self.learn(side)
            answers.append((reply.code, reply.text, self._plain(side, reply.response)))
        check(answers[0] == answers[1], "%s %s\nours: %s\netcd: %s", method, request, answers[0], answers[1])
        return answers[0]

    def same_keys(self):
        def pairs():
            return [[self._plain(side, kv) for kv in sorted(client.get(b"\0", range_end=b"\0").kvs, key=lambda kv: kv.mod_revision)]
                    for side, client in enumerate(self.clients)]
        wait_until(lambda: pairs()[0] == pairs()[1], WAIT_S, "the same keys")


@contextlib.contextmanager
def _pair():
    if not os.access(REFERENCE_BINARY, os.X_OK):
        raise Skip("there is no " + REFERENCE_BINARY)
    with Cluster(1) as ours, Cluster(1, binary=REFERENCE_BINARY) as theirs:
        yield Pair([ours.members[0].client, theirs.members[0].client])


def _leader_key(key=b"", rev=0, lease=0, name=b""):
    return electionpb.LeaderKey(name=name, key=key, rev=rev, lease=lease)


def test_answers_errors_and_keys_are_those_of_etcd():
    with _pair() as pair:
        pair.ask("LeaseGrant", rpc.LeaseGrantRequest(TTL=300, ID=0x1f))
        lock, unlock, campaign = lockpb.LockRequest, lockpb.UnlockRequest, electionpb.CampaignRequest
        proclaim, resign = electionpb.ProclaimRequest, electionpb.ResignRequest
        script = [
            ("Lock", lock(name=b"a")), ("Lock", lock(name=b"a", lease=4711)), ("Lock", lock(name=b"a", lease=-5)),
            ("Lock", lock(name=b"", lease=0x1f)), ("Lock", lock(name=b"", lease=0x1f)), ("Lock", lock(name=b"x/y\0\xff", lease=0x1f)),
            ("Lock", lock(name=b"n" * 1600000, lease=0x1f)), ("Lock", lock(name=b"n" * 1500000, lease=0x1f)),
            ("Unlock", unlock()), ("Unlock", unlock(key=b"nothing")), ("Unlock", unlock(key=b"/1f")), ("Unlock", unlock(key=b"/1f")),
            ("Leader", electionpb.LeaderRequest(name=b"e")), ("Proclaim", proclaim(value=b"v")), ("Resign", resign()),
            ("Resign", resign(leader=_leader_key())), ("Proclaim", proclaim(leader=_leader_key(), value=b"v")),
            ("Resign", resign(leader=_leader_key(b"e/1", 5, 0x1f))), ("Proclaim", proclaim(leader=_leader_key(b"e/1", 5, 0x1f))),
            ("Proclaim", proclaim(leader=_leader_key(b"e/new", 0, 0x1f), value=b"v")),
            ("DeleteRange", rpc.DeleteRangeRequest(key=b"e/new")),
            ("Campaign", campaign(name=b"e", lease=0x1f, value=b"1")), ("Campaign", campaign(name=b"e", lease=0x1f, value=b"1")),
            ("Campaign", campaign(name=b"e", lease=0x1f, value=b"2")), ("Campaign", campaign(name=b"e", lease=0x1f)),
            ("Leader", electionpb.LeaderRequest(name=b"e")), ("Campaign", campaign(name=b"e", lease=99)),
            ("Campaign", campaign(name=b"big", lease=0x1f, value=b"v" * 1600000)), ("Campaign", campaign(name=b"free", value=b"v")),
        ]
        for method, request in script:
            pair.ask(method, request)
            pair.same_keys()
        revision = _own_revision(pair.clients[0], b"e/1f")
        for leader in (_leader_key(b"e/1f", revision, 0x1f), _leader_key(b"e/1f", revision, 0), _leader_key(b"e/1f", revision, 4711),
                       _leader_key(b"e/1f", revision - 1, 0x1f)):
            pair.ask("Proclaim", proclaim(leader=leader, value=b"p"))
            pair.same_keys()
        for rev in (revision - 1, revision, revision):
            pair.ask("Resign", resign(leader=_leader_key(b"e/1f", rev, 4711)))
            pair.same_keys()
        pair.ask("Leader", electionpb.LeaderRequest(name=b"e"))


def test_random_calls_are_answered_as_by_etcd():
    """Random clients on few names; a call that would wait gets a short deadline: it has to leave the same keys at the same revision."""
    chance = random.Random(7)
    with _pair() as pair:
        leases, held = (0xa1, 0xb2, 0xc3), {}
        for lease in leases:
            pair.ask("LeaseGrant", rpc.LeaseGrantRequest(TTL=300, ID=lease))
        waits = 0
        for _ in range(pick(60, 100, 2000)):
            name, lease = chance.choice((b"l", b"m", b"")), chance.choice(leases)
            key = b"%s/%x" % (name, lease)
            owner = _keys(pair.clients[0], name)
            is_free = not owner or owner[0] == key
            what = chance.choice(("Lock", "Campaign", "Unlock", "Proclaim", "Resign", "Leader"))
            if what in ("Lock", "Campaign") and not is_free:
                waits += 1
                if waits > pick(4, 6, 200):
                    continue
            leader = _leader_key(key, held.get(key, 3) + chance.choice((0, 0, 1)), lease, name)
            value = chance.choice((b"", b"1", b"2"))
            request = {"Lock": lockpb.LockRequest(name=name, lease=lease), "Unlock": lockpb.UnlockRequest(key=key),
                       "Campaign": electionpb.CampaignRequest(name=name, lease=lease, value=value),
                       "Proclaim": electionpb.ProclaimRequest(leader=leader, value=value),
                       "Resign": electionpb.ResignRequest(leader=leader), "Leader": electionpb.LeaderRequest(name=name)}[what]
            pair.ask(what, request, 10.0 if is_free or what not in ("Lock", "Campaign") else 0.1)
            pair.same_keys()
            held.update((kv.key, kv.create_revision) for kv in _below(pair.clients[0], name))
        check(waits > 2, "no call had to wait")


# --------------------------------------------------------------------------------------------------------------------
# Locks


def test_the_queue_is_served_in_order_by_every_member():
    clients = _clients()
    first = _grant(clients[0])
    key = clients[1].call("Lock", lockpb.LockRequest(name=b"queue", lease=first)).key
    waiting = []
    for i in range(7):
        lease = _grant(clients[i % 3])
        waiting.append((_lock(clients[i % 3], b"queue", lease), b"queue/%x" % lease))
        _wait_for_keys(clients[0], b"queue", i + 2)
    for i, (future, own) in enumerate(waiting):
        check(not any(later.done() for later, _ in waiting[i:]), "a lock that is held was given away")
        _unlock(clients[i % 3], key)
        answer = Client.wait(future)
        check(answer.code == "OK" and answer.response.key == own, "turn %d: %s", i, answer)
        key = own
    _unlock(clients[0], key)
    check(not _keys(clients[0], b"queue"), "keys are left")


def test_who_gives_up_leaves_no_key_and_the_next_one_goes_on():
    clients = _clients()
    key = clients[0].call("Lock", lockpb.LockRequest(name=b"leave", lease=_grant(clients[0]))).key
    for member_client in clients:
        before = _keys(clients[0], b"leave")
        cancelled = _lock(member_client, b"leave", _grant(clients[0]))
        _wait_for_keys(clients[0], b"leave", len(before) + 1)
        cancelled.cancel()
        wait_until(lambda before=before: _keys(clients[0], b"leave") == before, WAIT_S, "a cancelled call leaves no key")
        late = Client.wait(_lock(member_client, b"leave", _grant(clients[0]), 0.2))
        check(late.code == "DEADLINE_EXCEEDED", "%s", late)
        wait_until(lambda before=before: _keys(clients[0], b"leave") == before, WAIT_S, "a deadline leaves no key")
    gone = Client(shared_cluster().members[1].target)
    lost = [_lock(gone, b"leave", _grant(clients[0])), _campaign(gone, b"leave", _grant(clients[0]), b"v")]
    _wait_for_keys(clients[0], b"leave", 3)
    last = _grant(clients[0])
    patient = _lock(clients[2], b"leave", last)
    _wait_for_keys(clients[0], b"leave", 4)
    gone.close()
    wait_until(lambda: _keys(clients[0], b"leave") == [key, b"leave/%x" % last], WAIT_S, "a connection that is lost leaves no key")
    check(all(future.done() for future in lost) and not patient.done(), "who is still waiting?")
    _unlock(clients[0], key)
    check(Client.wait(patient).response.key == b"leave/%x" % last, "the patient one gets it")
    _unlock(clients[0], b"leave/%x" % last)


def test_a_waiting_call_whose_lease_is_over_ends():
    needs_kvd("this: its waiting calls do not look at their own keys")
    clients = _clients()
    key = clients[0].call("Lock", lockpb.LockRequest(name=b"over", lease=_grant(clients[0]))).key
    short = [_lock(client, b"over", _grant(client, 2)) for client in clients]
    start = time.monotonic()
    for client in clients:
        revoked, candidate = _grant(client), _grant(client)
        calls = [_lock(client, b"over", revoked), _campaign(client, b"over", candidate, b"v")]
        wait_until(lambda place=b"over/%x" % candidate: place in _keys(clients[0], b"over"), WAIT_S, "it waits")
        wait_until(lambda place=b"over/%x" % revoked: place in _keys(clients[0], b"over"), WAIT_S, "it waits")
        _revoke(client, revoked)
        check(_outcome(Client.wait(calls[0])) == SESSION_EXPIRED, "revoked")
        _revoke(client, candidate)
        check(_outcome(Client.wait(calls[1])) == NOT_LEADER, "a candidate without a place")
    for call in short:
        check(_outcome(Client.wait(call)) == SESSION_EXPIRED, "expired")
    check(time.monotonic() - start < 2 + LATE_S, "an expired lease held its call for long")
    check(_keys(clients[0], b"over") == [key], "keys are left")
    _unlock(clients[0], key)


def test_fencing_by_revision_refuses_who_has_lost_the_lock():
    """The lease of an owner that sleeps is over, the next one gets the lock: both believe that they own it. The store knows better."""
    clients = _clients()
    sleeper, next_one = _grant(clients[0], 2), _grant(clients[1])
    key = clients[0].call("Lock", lockpb.LockRequest(name=b"fence", lease=sleeper)).key
    revision = _own_revision(clients[0], key)
    check(_fenced_put(clients[0], key, revision, b"fenced", b"of the first"), "an owner is refused")
    own = Client.wait(_lock(clients[1], b"fence", next_one)).response.key
    own_revision = _own_revision(clients[1], own)
    check(own_revision > revision, "revisions of owners grow")
    check(not _fenced_put(clients[2], key, revision, b"fenced", b"late"), "the sleeper woke up and wrote")
    check(_fenced_put(clients[1], own, own_revision, b"fenced", b"of the second"), "the owner is refused")
    again = _grant(clients[0], 300, sleeper)
    rejoin = _lock(clients[0], b"fence", again)      # the same key comes back, as another place
    _wait_for_keys(clients[0], b"fence", 2)
    check(not _fenced_put(clients[2], key, revision, b"fenced", b"late"), "the key's new place let the old owner in")
    check(clients[2].get(b"fenced").kvs[0].value == b"of the second", "who wrote last")
    rejoin.cancel()
    _unlock(clients[1], own)


class Worker(threading.Thread):
    """Locks, works inside, unlocks, again and again, asking another member when one fails. Its lease does not end."""

    def __init__(self, number, cluster, shared):
        super().__init__()
        self.clients = [Client(target) for target in cluster.targets()]
        self.chance, self.shared, self.error = random.Random(number), shared, None
        self.lease = 0x1000 + number

    def ask(self, method, request, timeout_s=8.0):
        while True:
            reply = self.chance.choice(self.clients).ask(method, request, timeout_s)
            if reply.code == "OK" or "already exists" in reply.text:
                return reply.response
            known = reply.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED") or reply.text.startswith("etcdserver: request timed out")
            check(known or "leader changed" in reply.text, "%s: %s", method, reply)
            if self.shared["is_over"] and method == "Lock":
                return None
            time.sleep(0.02)

    def turn(self):
        answer = self.ask("Lock", lockpb.LockRequest(name=b"mutex", lease=self.lease))
        if answer is None:
            return
        with self.shared["lock"]:
            self.shared["inside"].append(self.lease)
            check(len(self.shared["inside"]) == 1, "owners at the same time: %s", self.shared["inside"])
        place = self.ask("Range", rpc.RangeRequest(key=answer.key)).kvs
        check(len(place) == 1, "the place of an owner is gone")
        self.shared["fences"].append(place[0].create_revision)
        time.sleep(self.chance.random() * 0.01)
        still = self.ask("Range", rpc.RangeRequest(key=answer.key)).kvs
        check(still and still[0].create_revision == place[0].create_revision, "an owner lost its place")
        with self.shared["lock"]:
            self.shared["inside"].remove(self.lease)
        self.ask("Unlock", lockpb.UnlockRequest(key=answer.key))

    def run(self):
        try:
            self.ask("LeaseGrant", rpc.LeaseGrantRequest(TTL=600, ID=self.lease))
            while not self.shared["is_over"] and not self.shared["failed"]:
                self.turn()
        except Exception as error:     # told by the main thread
            self.error = error
            self.shared["failed"] = True
        for client in self.clients:
            client.close()


def test_mutual_exclusion_among_20_clients_through_kills():
    shared = {"inside": [], "fences": [], "lock": threading.Lock(), "is_over": False, "failed": False}
    chance = random.Random(3)
    with Cluster(3) as cluster:
        cluster.leader()
        workers = [Worker(number, cluster, shared) for number in range(20)]
        for worker in workers:
            worker.start()
        kills, end = 0, time.monotonic() + pick(5, 4, 90)
        while time.monotonic() < end and not shared["failed"]:
            time.sleep(0.4)
            member = cluster.leader() if kills % 2 == 0 else chance.choice(cluster.members)
            member.kill()
            time.sleep(0.3)
            member.start()
            kills += 1
        shared["is_over"] = True
        for worker in workers:
            worker.join()
        for worker in workers:
            if worker.error is not None:
                raise worker.error if isinstance(worker.error, Failure) else Failure(repr(worker.error))
        fences = shared["fences"]
        check(kills >= 2 and len(fences) > 20, "%d kills, %d turns", kills, len(fences))
        check(fences == sorted(fences), "the revisions of successive owners do not grow")
        print("# %d kills, %d turns" % (kills, len(fences)))


# --------------------------------------------------------------------------------------------------------------------
# Elections


def test_an_election_is_observed_alike_on_every_member():
    clients, cluster = _clients(), shared_cluster()
    observers = [Observer(member, b"elect") for member in cluster.members]
    with contextlib.ExitStack() as stack:
        for observer in observers:
            stack.callback(observer.close)
        check(_outcome(clients[1].ask("Leader", electionpb.LeaderRequest(name=b"elect"))) == NO_LEADER, "somebody leads")
        first, second = _grant(clients[0]), _grant(clients[0])
        leader = Client.wait(_campaign(clients[0], b"elect", first, b"one")).response.leader
        check(leader.key == b"elect/%x" % first and leader.name == b"elect" and leader.lease == first, "%s", leader)
        wait_until(lambda: all(observer.told for observer in observers), WAIT_S, "the first leader is observed")
        waiting = _campaign(clients[1], b"elect", second, b"two")
        _wait_for_keys(clients[0], b"elect", 2)
        for value in (b"one!", b"one!!"):
            clients[2].call("Proclaim", electionpb.ProclaimRequest(leader=leader, value=value))
        answer = clients[1].call("Leader", electionpb.LeaderRequest(name=b"elect"))
        check(answer.kv.value == b"one!!" and answer.kv.create_revision == leader.rev, "%s", answer)
        check(not waiting.done(), "two leaders")
        clients[0].call("Resign", electionpb.ResignRequest(leader=leader))
        check(Client.wait(waiting).response.leader.key == b"elect/%x" % second, "the second one leads")
        check(_outcome(clients[0].ask("Proclaim", electionpb.ProclaimRequest(leader=leader, value=b"late"))) == NOT_LEADER, "a leader of yesterday")
        expected = [b"one", b"one!", b"one!!", b"two"]
        wait_until(lambda: all(observer.values() == expected for observer in observers), WAIT_S, "all see %s" % expected)
        for message in observers[0].told:
            check(message.header.revision >= message.kv.mod_revision > 0, "%s", message)
        _revoke(clients[0], second)
    check(not _keys(clients[0], b"elect"), "keys are left")


def test_etcdctl_locks_and_elects_in_the_same_queues():
    """Its locks are made by the client, of leases, keys and watches: the same keys, so that both kinds wait for each other."""
    clients, cluster = _clients(), shared_cluster()
    command = ["etcdctl", "--endpoints", cluster.members[1].target]
    key = clients[0].call("Lock", lockpb.LockRequest(name=b"ctl", lease=_grant(clients[0]))).key
    locker = subprocess.Popen(command + ["lock", "ctl", "echo", "inside"], stdout=subprocess.PIPE, env=clean_environment())
    elector = subprocess.Popen(command + ["elect", "ctl-e", "by etcdctl"], stdout=subprocess.PIPE, env=clean_environment())
    try:
        _wait_for_keys(clients[0], b"ctl", 2)
        waiting = _lock(clients[2], b"ctl", _grant(clients[0]))
        _wait_for_keys(clients[0], b"ctl", 3)
        check(locker.poll() is None, "etcdctl did not wait")
        _unlock(clients[0], key)
        out, _ = locker.communicate(timeout=WAIT_S)
        check(locker.returncode == 0 and b"inside" in out, "%s", out)
        check(Client.wait(waiting).code == "OK", "the call behind etcdctl's lock")
        _unlock(clients[0], Client.wait(waiting).response.key)
        leader = electionpb.LeaderRequest(name=b"ctl-e")
        wait_until(lambda: clients[2].ask("Leader", leader).code == "OK", WAIT_S, "etcdctl leads")
        check(clients[2].call("Leader", leader).kv.value == b"by etcdctl", "whose value is it?")
        candidate = _campaign(clients[0], b"ctl-e", _grant(clients[0]), b"by the service")
        _wait_for_keys(clients[0], b"ctl-e", 2)
        elector.send_signal(signal.SIGINT)
        check(Client.wait(candidate).code == "OK", "the call behind etcdctl's")
    finally:
        for process in (locker, elector):
            if process.poll() is None:
                process.kill()
            process.communicate()


def test_a_member_that_stops_ends_what_waits_there_and_takes_its_keys_back():
    needs_kvd("a stop that ends waiting calls with its reason")
    clients, cluster = _clients(), shared_cluster()
    key = clients[0].call("Lock", lockpb.LockRequest(name=b"stop", lease=_grant(clients[0]))).key
    for member in (cluster.followers()[0], cluster.leader()):
        observer = Observer(member, b"stop")
        others = Client(next(other.target for other in cluster.members if other is not member))
        ends = [_lock(member.client, b"stop", _grant(others)) for _ in range(5)]
        stays = _lock(others, b"stop", _grant(others))
        _wait_for_keys(others, b"stop", 7)
        wait_until(lambda observer=observer: observer.told, WAIT_S, "the stream is open")
        member.terminate()
        for future in ends:
            check(_outcome(Client.wait(future)) == STOPPED, "%s", Client.wait(future))
        wait_until(lambda others=others: len(_keys(others, b"stop")) == 2, WAIT_S, "keys of calls that were ended are gone")
        observer.close()
        check(observer.end == STOPPED, "the stream ended with %s", observer.end)
        member.start()
        stays.cancel()
        _wait_for_keys(others, b"stop", 1)
        others.close()
    _unlock(cluster.members[0].client, key)


def test_calls_that_wait_are_limited_and_cost_others_nothing():
    needs_kvd("a limit")
    with Cluster(1) as cluster:
        member = cluster.members[0]
        before = member.rss_bytes()
        channels = [grpc.insecure_channel(member.target, options=CHANNEL_OPTIONS) for _ in range(4)]
        request = electionpb.LeaderRequest(name=b"many").SerializeToString()
        streams = [channels[i % 4].unary_stream("/v3electionpb.Election/Observe")(request) for i in range(WAITS_MAX)]

        def refused():
            reply = member.client.ask("Lock", lockpb.LockRequest(name=b"free", lease=4711))
            return _outcome(reply) == EXHAUSTED
        wait_until(refused, WAIT_S * 3, "a call beyond the limit is refused")
        member.client.put(b"k", b"v")
        check(member.client.call("Unlock", lockpb.UnlockRequest(key=b"k")).header.revision == 3, "what does not wait is served")
        bytes_each = (member.rss_bytes() - before) / WAITS_MAX
        check(IS_SHORT or bytes_each < 40000, "%d bytes for each", bytes_each)     # a sanitizer has memory of its own
        print("# %d bytes of RSS for each of %d waiting calls, gRPC's included" % (bytes_each, WAITS_MAX))
        for channel in channels:
            channel.close()
        wait_until(lambda: not refused(), WAIT_S, "calls of vanished clients are forgotten")
        check(all(stream.done() for stream in streams), "a stream is open")
        lock = member.client.call("Lock", lockpb.LockRequest(name=b"free"))
        check(lock.key.startswith(b"free/"), "%s", lock)


if __name__ == "__main__":
    main(globals(), BUDGET_S)
