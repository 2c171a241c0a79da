#!/usr/bin/python3
"""What a kvd has beyond etcd: kvd.v1.Extra, against real members by gRPC and kvctl."""

from kvtest import Cluster, check, extra, main, needs_kvd

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


if __name__ == "__main__":
    main(globals(), BUDGET_S)
