#!/usr/bin/python3
"""Does any acknowledged write get lost when processes are killed? (kill -9 of the leader, of a follower, of all.)

Three real processes, eight writers with unique values and two readers. The kills go on while the writers write; each
killed member is restarted with its own command line. Unknown outcomes are resolved by the store itself: history.py.
"""

import os
import random
import time

import history
import workload
from kvtest import Cluster, check, main, pick, wait_until

BUDGET_S = 150
WRITERS = 8
READERS = 2


def _victims(cluster, number, chance):
    """Leader, follower and all three in turn."""
    if number % 3 == 0:
        return [cluster.leader()]
    if number % 3 == 1:
        return [chance.choice(cluster.followers())]
    return list(cluster.members)


def _kill_and_restart(cluster, load, victims, chance):
    for member in victims:
        member.kill()
    time.sleep(chance.uniform(0, 1.2))
    for member in victims:
        load.boots[member.name] += 1
        member.start(is_waiting=False)
    for member in victims:
        member.wait_ready()


def test_no_acknowledged_write_is_lost_by_kill_9():
    seed = random.SystemRandom().randrange(1 << 32)
    kills = pick(6, 20, 400)
    print("# seed %d, %d kills" % (seed, kills))
    chance = random.Random(seed)
    with Cluster(3) as cluster:
        cluster.leader()
        load = workload.Workload(cluster, WRITERS, READERS, seed, pause_s=0.01).start()
        for number in range(kills):
            before = load.acknowledged()
            _kill_and_restart(cluster, load, _victims(cluster, number, chance), chance)
            wait_until(lambda: load.acknowledged() > before + 100, 15, "writes go on after kill %d" % number)
        records = load.stop()
        log, revision = workload.committed_log(cluster.leader().client)
        errors = history.violations(records, log, os.path.join(cluster.directory, "history.jsonl"))
        check(not errors, "%d violations, the first: %s", len(errors), errors[:5])
        check(revision == 1 + len(log), "the store is at %d with %d writes", revision, len(log))
        workload.check_members_agree(cluster)
        print("# %d writes stand, %d acknowledged, %d of unknown outcome" % (
            len(log), load.acknowledged(), sum(1 for record in records if record["outcome"] == "unknown")))


def test_a_cluster_restarted_by_sigterm_has_everything():
    with Cluster(3) as cluster:
        cluster.leader()
        for number in range(200):
            cluster.members[number % 3].client.put(b"k%d" % number, b"v%d" % number)
        for member in cluster.members:
            member.terminate()
        cluster.start()
        client = cluster.leader().client
        for number in range(200):
            pair = client.get(b"k%d" % number).kvs[0]
            check(pair.value == b"v%d" % number and pair.mod_revision == number + 2, "after the restart: %s", pair)


if __name__ == "__main__":
    main(globals(), BUDGET_S)
