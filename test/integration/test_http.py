#!/usr/bin/python3
"""What the member says over HTTP/1.1, beside gRPC on its client port and alone on its metrics port: do probes, dashboards and alerts that
know etcd find what they look for, is it true, and do bad clients harm nobody?

Much of it runs against Debian's etcd 3.4 as well, which proves it; /livez, /readyz and a few names came later.
"""

import json
import re
import socket
import time

import watches
from http_pages import ask, scrape, value
from kvtest import Client, Cluster, check, free_port, is_kvd, main, needs_kvd, rpc, wait_until

BUDGET_S = 40
MUST_HAVE = """etcd_server_has_leader etcd_server_is_leader etcd_server_is_learner etcd_server_leader_changes_seen_total
etcd_server_proposals_committed_total etcd_server_proposals_applied_total etcd_server_proposals_pending etcd_server_proposals_failed_total
etcd_server_quota_backend_bytes etcd_mvcc_db_total_size_in_bytes etcd_mvcc_db_total_size_in_use_in_bytes
etcd_disk_wal_fsync_duration_seconds etcd_disk_backend_commit_duration_seconds etcd_network_client_grpc_sent_bytes_total
etcd_network_client_grpc_received_bytes_total grpc_server_started_total grpc_server_handled_total grpc_server_msg_received_total
grpc_server_msg_sent_total process_resident_memory_bytes process_cpu_seconds_total process_open_fds process_max_fds
process_virtual_memory_bytes process_start_time_seconds etcd_debugging_mvcc_keys_total etcd_debugging_mvcc_watcher_total
etcd_debugging_mvcc_watch_stream_total etcd_debugging_mvcc_slow_watcher_total etcd_debugging_mvcc_events_total
etcd_debugging_mvcc_pending_events_total etcd_debugging_mvcc_db_compaction_keys_total etcd_debugging_lease_granted_total
etcd_debugging_lease_revoked_total etcd_debugging_server_lease_expired_total etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds
etcd_debugging_mvcc_db_compaction_total_duration_milliseconds etcd_disk_backend_snapshot_duration_seconds
etcd_snap_fsync_duration_seconds etcd_snap_db_fsync_duration_seconds etcd_disk_backend_defrag_duration_seconds
etcd_mvcc_hash_duration_seconds etcd_mvcc_hash_rev_duration_seconds etcd_snap_db_save_total_duration_seconds
etcd_server_heartbeat_send_failures_total etcd_server_slow_apply_total etcd_server_slow_read_indexes_total
etcd_server_read_indexes_failed_total etcd_server_snapshot_apply_in_progress_total etcd_cluster_version
etcd_server_id etcd_server_version etcd_debugging_lease_ttl_total etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds
etcd_debugging_snap_save_total_duration_seconds etcd_debugging_snap_save_marshalling_duration_seconds""".split()
OURS = """etcd_mvcc_put_total etcd_mvcc_delete_total etcd_mvcc_range_total etcd_mvcc_txn_total kvd_heap_resident_bytes
etcd_mvcc_db_open_read_transactions etcd_debugging_mvcc_total_put_size_in_bytes etcd_debugging_mvcc_db_compaction_last
etcd_disk_wal_write_duration_seconds etcd_disk_wal_write_bytes_total etcd_disk_defrag_inflight etcd_server_range_duration_seconds
etcd_server_apply_duration_seconds etcd_server_request_duration_seconds etcd_network_known_peers
etcd_network_server_stream_failures_total etcd_network_snapshot_send_success etcd_network_snapshot_receive_success
etcd_network_snapshot_send_total_duration_seconds etcd_network_snapshot_receive_total_duration_seconds kvd_raft_tail_bytes kvd_lane_bytes kvd_wal_disk_bytes kvd_leases
etcd_server_client_requests_total etcd_server_feature_enabled os_fd_used os_fd_limit""".split()


def health(port, query=""):
    status, _, body = ask(port, "/health" + query)
    answer = json.loads(body)
    check((status == 200) == (answer["health"] == "true"), "%d: %s", status, body)
    return status, answer.get("reason", "")


def handled(samples, method, code="OK"):
    return value(samples, "grpc_server_handled_total", grpc_service="etcdserverpb.KV", grpc_method=method, grpc_code=code, grpc_type="unary")


def test_what_dashboards_and_alerts_select_is_there_and_true():
    with Cluster(3) as cluster:
        leader = cluster.leader()
        before = scrape(leader.client_port)
        for name in MUST_HAVE + (OURS if is_kvd() else []):
            check(any(re.sub(r"_(bucket|sum|count)$", "", key.split("{")[0]) == name or key.split("{")[0] == name for key in before),
                  "not there: %s", name)
        for number in range(50):
            leader.client.put(b"key%d" % number, b"v" * 100)
        leader.client.call("DeleteRange", rpc.DeleteRangeRequest(key=b"key0"))
        leader.client.get(b"key1")
        check(leader.client.ask("Put", rpc.PutRequest(key=b"")).code == "INVALID_ARGUMENT", "an empty key")
        after = scrape(leader.client_port)
        check(handled(after, "Put") - handled(before, "Put") == 50, "puts")
        check(handled(after, "Put", "InvalidArgument") - handled(before, "Put", "InvalidArgument") == 1, "bad puts")
        check(handled(after, "Range") - handled(before, "Range") == 1, "ranges")
        check(value(after, "etcd_debugging_mvcc_put_total") - value(before, "etcd_debugging_mvcc_put_total") == 50, "keys put")
        check(value(after, "etcd_debugging_mvcc_keys_total") == 49, "keys")
        check(value(after, "etcd_server_proposals_applied_total") - value(before, "etcd_server_proposals_applied_total") >= 51, "applied")
        syncs = "etcd_disk_wal_fsync_duration_seconds"
        check(value(after, syncs + "_count") > value(before, syncs + "_count") and value(after, syncs + "_sum") > value(before, syncs + "_sum"), "syncs")
        check(value(after, "etcd_network_client_grpc_received_bytes_total") - value(before, "etcd_network_client_grpc_received_bytes_total") > 5000, "bytes")
        check(value(after, "etcd_server_has_leader") == 1 and value(after, "etcd_server_is_leader") == 1, "who leads")
        for member in cluster.followers():
            peer = "%x" % member.client.status().header.member_id
            check(value(after, "etcd_network_peer_sent_bytes_total", To=peer) > value(before, "etcd_network_peer_sent_bytes_total", To=peer) + 5000,
                  "bytes to a peer")
            if is_kvd():    # etcd asks its peers every 30 s
                wait_until(lambda p=peer: value(scrape(leader.client_port), "etcd_network_peer_round_trip_time_seconds_count", To=p) > 0, 10,
                           "round trips")
            check(value(scrape(member.client_port), "etcd_server_is_leader") == 0, "a follower")
        rss = leader.rss_bytes()
        check(rss / 2 < value(after, "process_resident_memory_bytes") < rss * 2, "resident memory")
        check(abs(value(after, "process_start_time_seconds") - time.time()) < 60, "start time")


def test_what_commands_reads_leases_and_compactions_took_is_told():
    needs_kvd("names that came after 3.4")
    with Cluster(1) as cluster:
        member = cluster.members[0]
        client = member.client
        for number in range(40):
            client.put(b"key%d" % (number % 10), b"v" * 100)
        client.get(b"key1")
        client.get(b"key1")
        check(client.ask("Compact", rpc.CompactionRequest(revision=1000)).code == "OUT_OF_RANGE", "a revision to come")
        check(client.ask("LeaseGrant", rpc.LeaseGrantRequest(ID=7, TTL=600)).code == "OK", "a lease")
        check(client.ask("LeaseGrant", rpc.LeaseGrantRequest(TTL=1)).code == "OK", "one that expires")
        client.call("LeaseRevoke", rpc.LeaseRevokeRequest(ID=7))
        client.call("Compact", rpc.CompactionRequest(revision=client.status().header.revision, physical=True))
        client.call("HashKV", rpc.HashKVRequest())
        client.call("Defragment", rpc.DefragmentRequest())
        ask(member.client_port, "/readyz")
        samples = wait_until(lambda: _when_expired(member.client_port), 20, "the short lease expires")
        version = [key for key in samples if key.startswith("etcd_cluster_version{")]
        check(version == ['etcd_cluster_version{cluster_version="3.6"}'], "%s", version)
        apply, request = "etcd_server_apply_duration_seconds_count", "etcd_server_request_duration_seconds_count"
        check(value(samples, apply, op="Put", success="true") == 40 and value(samples, apply, op="Compaction", success="false") == 1, "commands")
        check(value(samples, request, type="Put", success="true") == 40 and value(samples, request, type="Compact", success="false") == 1, "calls")
        check(value(samples, "etcd_server_range_duration_seconds_count", success="true") == 2, "ranges")
        check(0 < value(samples, "etcd_server_range_duration_seconds_sum", success="true") < 1, "time for two ranges")
        check(value(samples, "etcd_mvcc_hash_rev_duration_seconds_count") == 1, "HashKV")
        check(value(samples, "etcd_disk_backend_defrag_duration_seconds_count") == 1, "Defragment")
        check(value(samples, "etcd_debugging_mvcc_db_compaction_keys_total") == 30, "versions freed")
        check(value(samples, "etcd_debugging_mvcc_db_compaction_total_duration_milliseconds_count") == 1, "compactions")
        check(abs(value(samples, "etcd_debugging_mvcc_db_compaction_last") - time.time()) < 60, "when")
        check(value(samples, "etcd_debugging_mvcc_total_put_size_in_bytes") == 40 * 104, "bytes put")
        check(value(samples, "etcd_debugging_lease_granted_total") == 2 and value(samples, "etcd_debugging_lease_revoked_total") == 1, "leases")
        check(value(samples, "etcd_disk_wal_write_duration_seconds_count") > 40, "writes of the log")
        check(value(samples, "etcd_server_healthchecks_total", type="readyz", name="linearizable_read", status="success") == 1, "probes")
        check(value(samples, "etcd_server_healthcheck", type="readyz", name="data_corruption") == 1, "the last probe")


def test_what_watches_snapshots_and_clients_cost_is_told():
    needs_kvd("names that came after 3.4")
    with Cluster(1, flags=["--snapshot-count", "100"]) as cluster:
        member = cluster.members[0]
        client, port = member.client, member.client_port
        before = scrape(port)
        loop = "etcd_debugging_server_watch_send_loop_%s_count"
        with watches.Stream(member.target, [("client-api-version", "3.6")]) as stream:
            stream.open(b"key", range_end=b"kez")
            for number in range(150):
                client.put(b"key%d" % (number % 10), b"v" * 100)
            told = 0
            while told < 150:
                told += len(stream.next().events)
            stream.progress()
            check(stream.next().watch_id == -1, "progress")
            stream.cancel(0)
            check(stream.next().canceled, "a cancel")
            samples = scrape(port)
        frames = value(samples, loop % "watch_stream_duration_seconds")
        check(1 <= frames <= 150 and value(samples, loop % "watch_stream_duration_per_event_seconds") == frames, "messages with events: %s", frames)
        total = value(samples, "etcd_debugging_server_watch_send_loop_watch_stream_duration_seconds_sum")
        each = value(samples, "etcd_debugging_server_watch_send_loop_watch_stream_duration_per_event_seconds_sum")
        check(0 < each <= total < 10, "the time for them: %s, by event %s", total, each)
        check(value(samples, loop % "control_stream_duration_seconds") == 2, "created and canceled")
        check(value(samples, loop % "progress_duration_seconds") == 1, "progress")
        check(value(samples, "etcd_server_client_requests_total", type="stream", client_api_version="3.6") == 1, "streams")
        check(value(samples, "etcd_server_client_requests_total", type="unary", client_api_version="unknown") >= 150, "calls")
        check(value(samples, "promhttp_metric_handler_requests_total") - value(before, "promhttp_metric_handler_requests_total") == 1, "scrapes")
        check(value(samples, "etcd_server_feature_enabled", name="put_ttl") == 1, "features")
        saved = wait_until(lambda: _when_saved(port), 20, "a snapshot")
        took = value(saved, "etcd_debugging_snap_save_total_duration_seconds_sum")
        check(0 < value(saved, "etcd_debugging_snap_save_marshalling_duration_seconds_sum") <= took, "of %s s", took)
        client.call("LeaseGrant", rpc.LeaseGrantRequest(TTL=600))
        put = rpc.PutRequest(key=b"k", ttl=40)
        client.call("Put", put)
        client.call("Txn", rpc.TxnRequest(success=[rpc.RequestOp(request_put=put)], failure=[rpc.RequestOp(request_put=put)]))
        client.call("Compact", rpc.CompactionRequest(revision=client.status().header.revision, physical=True))
        samples = scrape(port)
        ttl = "etcd_debugging_lease_ttl_total"
        check(value(samples, ttl + "_sum") == 680 and value(samples, ttl + "_count") == 3, "TTLs: %s", value(samples, ttl + "_sum"))
        check(value(samples, ttl + "_bucket", le="32") == 0 and value(samples, ttl + "_bucket", le="64") == 2, "TTLs by size")
        check(value(samples, "etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds_count")
              == value(samples, "etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds_count") > 0, "steps of a compaction")


def _when_saved(port):
    samples = scrape(port)
    return samples if value(samples, "etcd_debugging_snap_save_total_duration_seconds_count") > 0 else None


def _when_expired(port):
    samples = scrape(port)
    return samples if value(samples, "etcd_debugging_server_lease_expired_total") == 1 else None


def test_status_and_metrics_say_where_the_bytes_are():
    needs_kvd("the account")
    with Cluster(1) as cluster:
        member = cluster.members[0]
        empty = member.client.status().account
        for number in range(200):
            member.client.put(b"key%d" % number, b"v" * 20000)
        member.client.call("LeaseGrant", rpc.LeaseGrantRequest(TTL=600))
        account, samples = wait_until(lambda: _when_at_rest(member), 10, "what the last write left behind is freed")
        check(account.keys == 200 and account.leases == 1, "%s", account)
        check(account.store_bytes - empty.store_bytes > 4000000, "the store: %s", account)
        check(account.raft_tail_bytes > 4000000, "the tail: %s", account)
        check(account.wal_disk_bytes > 4000000, "the log: %s", account)
        check(account.resident_bytes - empty.resident_bytes > 4000000, "resident: %s, before %s", account, empty)
        if account.heap_resident_bytes != 0:    # jemalloc is linked
            check(account.heap_resident_bytes >= account.heap_active_bytes >= account.heap_allocated_bytes > 8000000, "the heap: %s", account)
        for field, name in (("store_bytes", "etcd_mvcc_db_total_size_in_bytes"), ("raft_tail_bytes", "kvd_raft_tail_bytes"),
                            ("lane_bytes", "kvd_lane_bytes"), ("keys", "etcd_debugging_mvcc_keys_total"), ("leases", "kvd_leases")):
            check(getattr(account, field) == value(samples, name), "%s: %s and %s", field, getattr(account, field), value(samples, name))
        status, kind, body = ask(member.client_port, "/debug/vars")
        check(status == 200 and kind == "application/json" and json.loads(body)["kvd"]["store_live_keys"] == 200, "%d %s", status, body)


def _when_at_rest(member):
    account, samples = member.client.status().account, scrape(member.client_port)
    return (account, samples) if account.store_bytes == value(samples, "etcd_mvcc_db_total_size_in_bytes") else None


def test_health_and_probes_follow_the_quorum():
    flags = ["--listen-metrics-urls", "http://127.0.0.1:0"] if is_kvd() else []
    with Cluster(3, flags=flags) as cluster:
        member = cluster.followers()[0]
        port = member.client_port
        active = [v for key, v in scrape(port).items() if key.startswith("etcd_network_active_peers{")]
        check(sum(active) == 2, "peers: %s", active)
        check(health(port) == (200, "") and health(port, "?serializable=true") == (200, ""), "healthy")
        version = json.loads(ask(port, "/version")[2])
        check(re.match(r"3\.\d+\.\d+$", version["etcdserver"]) and re.match(r"3\.\d+\.0$", version["etcdcluster"]), "%s", version)
        check(ask(port, "/health", "PUT")[0] == 405 and ask(port, "/nothing")[0] == 404, "what is not there")
        if is_kvd():
            check(ask(port, "/livez")[::2] == (200, "ok\n") and ask(port, "/readyz")[::2] == (200, "ok\n"), "ready")
            check("[+]linearizable_read ok\n" in ask(port, "/readyz?verbose")[2], "verbose")
            check(ask(port, "/readyz/non_learner")[0] == 200 and ask(port, "/livez/non_learner")[0] == 404, "one check")
        for other in cluster.members:
            if other is not member:
                other.kill()
        wait_until(lambda: value(scrape(port), "etcd_server_has_leader") == 0, 15, "it misses the leader")
        gone = [v for key, v in scrape(port).items() if key.startswith("etcd_network_active_peers{")]
        check(not is_kvd() or gone == [0, 0], "peers that are gone: %s", gone)
        if not is_kvd():
            return
        check(health(port) == (503, "RAFT NO LEADER"), "without a quorum: %s", health(port))
        check(health(port, "?serializable=true") == (200, ""), "serializable without a quorum")
        check(ask(port, "/livez")[0] == 200, "it lives")
        status, _, body = ask(port, "/readyz")
        check(status == 503 and "[-]linearizable_read failed: etcdserver: no leader\n" in body and "[+]serializable_read ok\n" in body, "%s", body)
        check(ask(port, "/readyz?exclude=linearizable_read")[0] == 200, "without the read")
        check(json.loads(ask(port, "/version")[2]) == version, "the version is still told")


def test_health_tells_alarms():
    with Cluster(1, flags=["--quota-backend-bytes", "400000" if is_kvd() else str(1 << 20)]) as cluster:
        member = cluster.members[0]
        for number in range(10000):
            if member.client.ask("Put", rpc.PutRequest(key=b"k%d" % number, value=b"v" * 1000)).code != "OK":
                break
        status, reason = health(member.client_port)
        check(status == 503 and (reason == "ALARM NOSPACE" or not is_kvd()), "%d %s", status, reason)
        if is_kvd():
            check(health(member.client_port, "?exclude=NOSPACE") == (200, ""), "excluded")
            check(ask(member.client_port, "/readyz")[0] == 200, "a full store serves reads")
            samples = scrape(member.client_port)
            check(value(samples, "etcd_debugging_server_alarms", alarm_type="NOSPACE") == 1, "the gauge")


def test_the_metrics_port_has_what_probes_need_and_no_more():
    port = free_port()
    with Cluster(1, flags=["--listen-metrics-urls", "http://127.0.0.1:%d" % port]) as cluster:
        member = cluster.members[0]
        member.client.put(b"k", b"v")
        check(value(scrape(port), "etcd_server_has_leader") == 1 and health(port)[0] == 200, "metrics and health")
        if not is_kvd():
            return
        check(ask(port, "/version")[0] == 404 and ask(port, "/debug/vars")[0] == 404 and ask(port, "/readyz")[0] == 200, "others")
        client = Client("127.0.0.1:%d" % port)
        check(client.ask("Status", rpc.StatusRequest(), 2).code in ("UNAVAILABLE", "DEADLINE_EXCEEDED"), "gRPC on the metrics port")
        client.close()


def _read_all(connection):
    got = b""
    while True:
        piece = connection.recv(65536)
        if not piece:
            return got
        got += piece


def test_bad_and_slow_clients_harm_nobody():
    needs_kvd("limits on HTTP/1.1")
    metrics_port = free_port()
    with Cluster(1, flags=["--listen-metrics-urls", "http://127.0.0.1:%d" % metrics_port]) as cluster:
        member = cluster.members[0]
        idle = []
        for number in range(100):   # more than there may be: those that came first have to go
            connection = socket.create_connection(("127.0.0.1", member.client_port), 5)
            connection.sendall(b"GET /health HT" if number % 2 else b"GET /nothing HTTP/1.1\r\nHost: x\r\nX: ")
            idle.append(connection)
        member.client.put(b"k", b"v")   # gRPC beside them
        check(health(metrics_port)[0] == 200, "the metrics port has room of its own")
        for _ in range(10):
            check(health(member.client_port)[0] == 200, "a whole request takes the place of one that keeps us waiting")
            check(ask(member.client_port, "/nothing")[0] == 404, "and so does the next")
        check(_read_all(idle[0]) == b"", "the first is closed")
        for connection in idle:
            connection.close()
        with socket.create_connection(("127.0.0.1", member.client_port), 5) as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100000 + b"\r\n\r\n")
            try:
                check(re.match(rb"HTTP/1.1 4\d\d ", connection.recv(64)), "a head without end")
            except ConnectionResetError:
                pass    # the answer went with what was never read
        with socket.create_connection(("127.0.0.1", member.client_port), 5) as connection:
            connection.sendall(b"POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\nConnection: close\r\n\r\n")
            for _ in range(6):
                connection.sendall(b"z" * 10000)
            check(_read_all(connection).startswith(b"HTTP/1.1 405"), "a body that nobody wants")
        for head, code in ((b"Content-Length: 300000", b"413"), (b"Transfer-Encoding: chunked", b"411")):
            with socket.create_connection(("127.0.0.1", member.client_port), 5) as connection:
                connection.sendall(b"POST /health HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n" + head + b"\r\n\r\n")
                check(_read_all(connection).startswith(b"HTTP/1.1 " + code), "a large body: %s", head)
        with socket.create_connection(("127.0.0.1", member.client_port), 5) as connection:
            connection.sendall(b"GET /version HTTP/1.1\r\nHost: x\r\n\r\nGET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            got = _read_all(connection)
            check(got.count(b"HTTP/1.1 200 OK") == 2 and got.endswith(b"ok\n"), "two in one breath: %s", got)
        check(ask(member.client_port, "/health", "HEAD")[2] == "", "HEAD")
        check(member.client.get(b"k").kvs[0].value == b"v", "a read after all of them")


def test_probes_do_not_disturb_a_stop():
    """Requests that come when nobody is left to ask are answered, too: on every port, in whatever moment."""
    needs_kvd("HTTP/1.1 during a stop")
    request = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
    metrics_port = free_port()
    with Cluster(1, flags=["--listen-metrics-urls", "http://127.0.0.1:%d" % metrics_port]) as cluster:
        member = cluster.members[0]
        for _ in range(5):
            if member.process is None:
                member.start()
            probes = [socket.create_connection(("127.0.0.1", port), 5) for port in (member.client_port, metrics_port) * 2]
            for probe in probes:
                check(_send(probe, request) and probe.recv(4096).startswith(b"HTTP/1.1 200 "), "before the stop")
            member.process.terminate()
            while member.process.poll() is None and any([_send(probe, request) for probe in probes]):
                time.sleep(0.001)
            code = member.wait_exit()
            check(code == 0, "it ended with %s:\n%s", code, member.log()[-2000:])
            for probe in probes:
                probe.close()


def _send(connection, request):
    try:
        connection.sendall(request)
        return True
    except OSError:
        return False


if __name__ == "__main__":
    main(globals(), BUDGET_S)
