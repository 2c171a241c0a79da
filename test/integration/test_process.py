#!/usr/bin/python3
"""Does the process behave as supervisors, scripts and test harnesses around etcd expect?

Command line, environment, exit codes, log lines, signals, directories, systemd's notifications, listening addresses.
"""

import json
import os
import re
import shutil
import socket
import stat
import subprocess
import tempfile
import time

from kvtest import (BINARY, READY_TEXT, Client, Cluster, Member, check, clean_environment, health, is_kvd, main, needs_kvd,
                    reap, rpc, spawn, wait_until)

BUDGET_S = 60
STOP_S_MAX = 1.5
READY_S_MAX = 2.0
# Times are measured on a machine that may be busy with other things; a promise broken by more than this is broken.
SLACK = 2.0


def _run(*flags, environment=None, timeout_s=10):
    """Runs the program to its end; answers (exit code, standard output, standard error)."""
    done = subprocess.run([BINARY] + list(flags), capture_output=True, text=True, timeout=timeout_s,
                          stdin=subprocess.DEVNULL, env=environment or clean_environment())
    return done.returncode, done.stdout, done.stderr


class Single:
    """A member of its own in a directory of its own."""

    def __init__(self, flags=()):
        self._cluster = Cluster(1, flags=flags)
        self.member = self._cluster.members[0]

    def __enter__(self):
        return self.member

    def __exit__(self, *error):
        return self._cluster.__exit__(*error)


def test_version_is_told_and_ends_with_0():
    code, out, _ = _run("--version")
    check(code == 0 and re.search(r"^etcd Version: \d+\.\d+\.\d+", out, re.M), "exit %d: %s", code, out)


def test_help_names_the_flags_and_ends_with_0():
    code, out, err = _run("--help")
    text = out + err
    missing = [flag for flag in ("name", "data-dir", "listen-client-urls", "initial-cluster", "election-timeout",
                                 "snapshot-count", "max-txn-ops", "log-level") if "--" + flag not in text]
    check(code == 0 and not missing, "exit %d, not named: %s", code, missing)


def test_an_unknown_flag_ends_with_2_and_usage():
    code, out, err = _run("--no-such-flag=1")
    check(code == 2, "exit %d", code)
    check("no-such-flag" in out + err and "sage" in out + err, "%s%s", out, err)


def test_flag_and_environment_for_one_name_are_an_error():
    code, out, err = _run("--name", "m0", environment=clean_environment(ETCD_NAME="m0"))
    check(code == 1 and "shadowed by" in out + err, "exit %d: %s%s", code, out, err)


def test_an_unknown_environment_variable_is_only_warned_of():
    with Single() as member:
        member.start(environment=clean_environment(ETCD_NO_SUCH_THING="1"))
        check("ETCD_NO_SUCH_THING" in member.log(), "no warning in the log")


def test_bad_values_end_with_a_reason_on_the_last_line():
    directory = tempfile.mkdtemp(prefix="kvtest-")
    try:
        for flags, word in (
                (["--election-timeout", "abc"], "election-timeout"),
                (["--election-timeout", "200", "--heartbeat-interval", "100"], "election"),
                (["--listen-client-urls", "nonsense"], "nonsense"),
                (["--initial-cluster", "other=http://127.0.0.1:2380"], "initial")):
            code, out, err = _run("--data-dir", os.path.join(directory, "d"), *flags)
            last = (out + err).strip().splitlines()[-1]
            check(code not in (0, None), "%s: exit %s", flags, code)
            check(word in (out + err), "%s: %s", flags, last)
    finally:
        shutil.rmtree(directory)


def _refused_start(member, word):
    """Starts a member that must end by itself; its last line, with which it says why."""
    member.start(is_waiting=False)
    code = member.wait_exit(10)
    last = member.log().strip().splitlines()[-1]
    check(code == 1 and word in last, "exit %s: %s", code, last)
    return last


def test_a_first_start_by_other_urls_than_the_others_are_told_is_refused():
    cluster = Cluster(1)
    member = cluster.members[0]
    url, other = member.peer_url, "http://127.0.0.1:1"
    try:
        for initial, advertised, text in (
                ([url], [other], "--initial-cluster has m0=%s but missing from --initial-advertise-peer-urls=%s" % (url, other)),
                ([url, other], [url], "--initial-cluster has m0=%s but missing from --initial-advertise-peer-urls" % other),
                ([url], [url, other], "--initial-advertise-peer-urls has %s but missing from --initial-cluster=m0=%s" % (other, url))):
            member.initial_cluster = ",".join("m0=" + one for one in initial)
            member.flags = ["--initial-advertise-peer-urls", ",".join(advertised)]
            _refused_start(member, text)
        member.initial_cluster, member.flags = "m0=%s,m1=%s" % (url, url), []
        _refused_start(member, "twice" if is_kvd() else "duplicate")
        # As sets: order does not count. Then the directory has a member, and none of these flags counts any more.
        member.initial_cluster, member.flags = "m0=%s,m0=%s" % (url, other), ["--initial-advertise-peer-urls", other + "," + url]
        member.start()
        revision = member.client.put(b"k", b"v").header.revision
        member.terminate()
        member.flags = ["--initial-advertise-peer-urls", other, "--initial-cluster-state", "existing"]
        member.start()
        check(member.client.get(b"k").kvs[0].mod_revision == revision, "the write is gone")
    finally:
        member.close()
        shutil.rmtree(cluster.directory)


def test_an_existing_cluster_cannot_be_joined_with_an_empty_directory():
    needs_kvd("joining is refused at once, without asking anyone")
    with Cluster(3) as cluster:
        follower = cluster.followers()[0]
        follower.terminate()
        os.rename(follower.data_dir, follower.data_dir + ".lost")
        follower.flags = ["--initial-cluster-state", "existing"]
        last = _refused_start(follower, "--initial-cluster-state=existing")
        check("must not come back under the same identity" in last and follower.data_dir in last, "%s", last)
        shutil.rmtree(follower.data_dir)
        os.rename(follower.data_dir + ".lost", follower.data_dir)
        follower.start()


def test_a_member_without_its_log_or_with_a_foreign_one_is_refused():
    needs_kvd("its own files")
    with Single() as member, Single() as other:
        member.start()
        member.client.put(b"k", b"v")
        member.terminate()
        other.start()
        other.terminate()
        log = os.path.join(member.data_dir, "wal")
        os.rename(log, log + ".kept")
        _refused_start(member, "holds no log entry")
        shutil.rmtree(log)
        os.mkdir(log)
        _refused_start(member, "holds no log entry")
        shutil.rmtree(log)
        shutil.copytree(os.path.join(other.data_dir, "wal"), log)
        _refused_start(member, "belongs to member")
        shutil.rmtree(log)
        os.rename(log + ".kept", log)
        identity = os.path.join(member.data_dir, "identity")
        os.rename(identity, identity + ".kept")
        _refused_start(member, "the identity of its member is missing")
        os.rename(identity + ".kept", identity)
        member.start()
        check(member.client.get(b"k").kvs[0].value == b"v", "the write is gone")
        other.start()


def test_flags_that_cannot_be_passed_over_are_refused():
    needs_kvd("force-new-cluster is not there")
    directory = tempfile.mkdtemp(prefix="kvtest-")
    path = os.path.join(directory, "d")
    try:
        for flags, environment, word in (
                (["--force-new-cluster"], {}, "--force-new-cluster is not supported"),
                (["--force-new-cluster=true"], {}, "--force-new-cluster is not supported"),
                (["--config-file", "/absent/etcd.yml"], {}, "/absent/etcd.yml: cannot be read"),
                ([], {"ETCD_CONFIG_FILE": "/absent/etcd.yml"}, "/absent/etcd.yml: cannot be read"),
                (["--discovery", "https://d.example/1"], {}, "discovery is not supported"),
                (["--discovery-srv=d.example"], {}, "discovery is not supported"),
                ([], {"ETCD_DISCOVERY_ENDPOINTS": "http://d.example:2379"}, "discovery is not supported"),
                ([], {"ETCD_FORCE_NEW_CLUSTER": "true"}, "--force-new-cluster is not supported")):
            code, out, err = _run("--data-dir", path, *flags, environment=clean_environment(**environment))
            last = (out + err).strip().splitlines()[-1]
            check(code == 1 and word in last, "%s %s: exit %s: %s", flags, environment, code, last)
            check(not os.path.exists(path), "%s: the data directory was made", flags)
    finally:
        shutil.rmtree(directory)
    with Single(["--force-new-cluster=false"]) as member:  # what it is anyway
        member.start()


def test_both_forms_of_flags_and_the_environment_are_read():
    cluster = Cluster(1)
    member = cluster.members[0]
    with_equals = [word for word in member.command()[1:]]
    pairs = [with_equals[at] + "=" + with_equals[at + 1] for at in range(0, len(with_equals), 2)]
    single_dash = ["-" + pairs[0].lstrip("-")] + pairs[1:]
    repeated = ["--name=wrong"] + single_dash + ["--pre-vote", "--pre-vote=true"]
    member.command = lambda: [BINARY] + repeated
    try:
        member.start()
        members = member.client.call("MemberList", rpc.MemberListRequest()).members
        check([m.name for m in members] == ["m0"], "the last of a repeated flag does not win: %s", members)
        check(list(members[0].clientURLs) == [member.client_url], "client URLs %s", members[0].clientURLs)
        member.terminate()
        environment = {"ETCD_" + word.lstrip("-").split("=")[0].replace("-", "_").upper(): word.split("=", 1)[1]
                       for word in pairs}
        member.command = lambda: [BINARY]
        member.start(environment=clean_environment(**environment))
    finally:
        member.close()
        shutil.rmtree(cluster.directory)


def test_flags_that_are_not_built_are_accepted_with_one_warning_each():
    needs_kvd("flags of later versions")
    # In all forms: with "=", with the value as the next word, bare, with one dash, repeated; of 3.4 to 3.7 and older.
    flags = ["--enable-grpc-gateway=true", "--memory-mlock", "-socket-reuse-port=false",
             "--feature-gates=InitialCorruptCheck=true", "--experimental-initial-corrupt-check=true",
             "--experimental-compact-hash-check-enabled",
             "--strict-reconfig-check", "--logger=zap", "--log-outputs=stderr", "--metrics=extensive", "--enable-v2=false",
             "--proxy=off", "--snapshot", "--v2-deprecation=write-only", "--backend-batch-limit", "-1",
             "--corrupt-check-time=1h", "--corrupt-check-time=2h"]
    names = sorted({flag.lstrip("-").split("=")[0] for flag in flags if not re.fullmatch(r"-?\d+", flag)})
    with Single(flags) as member:
        member.start(environment=clean_environment(ETCD_CIPHER_SUITES="TLS_AES_128_GCM_SHA256"))
        warned = sorted(json.loads(line)["flag"] for line in member.log().splitlines() if "has no effect" in line)
        check(warned == sorted(names + ["cipher-suites"]), "warned of: %s", warned)


def test_log_lines_are_json_as_etcd_writes_them():
    needs_kvd("JSON as the default log format")
    with Single() as member:
        member.start()
        for line in member.log().strip().splitlines():
            entry = json.loads(line)
            check(all(name in entry for name in ("level", "ts", "msg")), "a log line without level, ts or msg: %s", line)


def test_three_members_are_ready_soon_and_only_with_a_quorum():
    cluster = Cluster(3)
    try:
        cluster.members[0].start(is_waiting=False)
        time.sleep(2.0)
        check(READY_TEXT not in cluster.members[0].log(), "ready without a quorum")
        start = time.monotonic()
        for member in cluster.members[1:]:
            member.start(is_waiting=False)
        for member in cluster.members:
            member.wait_ready()
        spent = time.monotonic() - start
        check(spent < READY_S_MAX * SLACK, "ready after %.1f s", spent)
        for member in cluster.members:
            listed = member.client.call("MemberList", rpc.MemberListRequest(linearizable=True)).members
            check(sorted(m.name for m in listed) == ["m0", "m1", "m2"], "%s lists %s", member.name, listed)
            check(sorted(list(m.clientURLs) for m in listed) == sorted([m.client_url] for m in cluster.members),
                  "client URLs as advertised: %s", listed)
            reply = member.client.ask("Health", health.HealthCheckRequest())
            check(reply.response is not None and reply.response.status == 1, "health of %s: %s", member.name, reply)
    finally:
        for member in cluster.members:
            member.close()
        shutil.rmtree(cluster.directory)


def test_sigterm_ends_a_member_soon_with_0_and_hands_leadership_over():
    needs_kvd("an exit code of 0 after SIGTERM")
    with Cluster(3) as cluster:
        leader = cluster.leader()
        term = leader.client.status().raftTerm
        others = cluster.followers()
        start = time.monotonic()
        leader.process.terminate()
        code = leader.wait_exit()
        spent = time.monotonic() - start
        check(code == 0, "exit %d", code)
        check(spent < STOP_S_MAX * SLACK, "it took %.1f s to stop", spent)
        others[0].client.put(b"k", b"v")
        check(time.monotonic() - start < STOP_S_MAX * SLACK + 0.5, "writes were stopped for too long")
        after = others[0].client.status().raftTerm
        check(after <= term + 2, "leadership was not handed over: term %d became %d", term, after)
        leader.start()


def test_sigterm_leaves_no_child_behind_and_answers_what_it_acknowledged():
    with Single() as member:
        member.start()
        group = member.process.pid
        revision = member.client.put(b"k", b"v").header.revision
        member.terminate()
        children = subprocess.run(["pgrep", "-P", str(group)], capture_output=True, text=True).stdout
        check(children == "", "children left: %s", children)
        member.start()
        check(member.client.get(b"k").kvs[0].mod_revision == revision, "the write is gone")


def test_a_restart_with_the_same_command_line_keeps_identity_and_data():
    with Single() as member:
        member.start()
        before = member.client.put(b"k", b"v").header
        member.kill()
        member.start()
        after = member.client.get(b"k")
        check(after.kvs[0].value == b"v", "after the restart: %s", after)
        check((after.header.cluster_id, after.header.member_id) == (before.cluster_id, before.member_id),
              "another identity: %s", after.header)
        check(after.header.revision == before.revision, "revision %d became %d", before.revision, after.header.revision)


def test_the_data_directory_is_private():
    with Single() as member:
        member.start()
        mode = stat.S_IMODE(os.stat(member.data_dir).st_mode)
        check(mode == 0o700, "mode %o", mode)


def test_a_second_process_on_one_data_directory_is_refused():
    needs_kvd("a refusal at once: it waits for the lock")
    with Single() as member:
        member.start()
        second = Member("m0", member.directory)
        second.data_dir, second.log_path = member.data_dir, member.log_path + ".second"
        second.initial_cluster = "m0=" + second.peer_url
        second.start(is_waiting=False)
        code = second.wait_exit(10)
        text = second.log()
        check(code not in (0, None), "exit %s", code)
        check(member.data_dir in text.strip().splitlines()[-1], "the last line: %s", text.strip().splitlines()[-1])
        member.client.put(b"k", b"v")


def test_systemd_is_told_ready_and_stopping():
    with Single() as member:
        path = os.path.join(member.directory, "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(path)
            notify.settimeout(10)
            member.start(is_waiting=False, environment=clean_environment(NOTIFY_SOCKET=path))
            told = ""
            while "READY=1" not in told:
                told += notify.recv(4096).decode() + "\n"
            member.client.put(b"k", b"v")
            member.wait_ready()
            needs_kvd("STOPPING=1")
            member.process.terminate()
            while "STOPPING=1" not in told:
                told += notify.recv(4096).decode() + "\n"
            check(member.wait_exit() == 0, "exit code")


def test_a_unix_socket_serves_clients():
    needs_kvd("unix:// with a path")
    with Single() as member:
        path = os.path.join(member.directory, "client.sock")
        url = "unix://" + path
        member.flags = ["--listen-client-urls", member.client_url + "," + url]
        member.start()
        wait_until(lambda: os.path.exists(path), 5, "the socket file is there")
        client = Client("unix:" + path)
        try:
            revision = client.put(b"k", b"v").header.revision
        finally:
            client.close()
        check(member.client.get(b"k").kvs[0].mod_revision == revision, "both addresses serve one store")


def test_port_0_is_chosen_by_the_kernel():
    with Single() as member:
        member.flags = ["--listen-client-urls", "http://127.0.0.1:0"]
        member.start()
        listening = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True).stdout
        ports = [int(re.search(r"127\.0\.0\.1:(\d+)", line).group(1)) for line in listening.splitlines()
                 if "pid=%d," % member.process.pid in line and "127.0.0.1:" in line]
        chosen = [port for port in ports if port != member.peer_port]
        check(len(chosen) == 1, "listening ports: %s", ports)
        client = Client("127.0.0.1:%d" % chosen[0])
        try:
            client.put(b"k", b"v")
        finally:
            client.close()


def test_localhost_is_what_a_client_dials():
    with Single() as member:
        member.flags = ["--listen-client-urls", "http://localhost:%d" % member.client_port]
        member.start()
        client = Client("localhost:%d" % member.client_port)
        try:
            client.put(b"k", b"v")
        finally:
            client.close()


def test_a_port_that_is_taken_is_a_clear_error():
    with Single() as member, socket.socket(socket.AF_INET, socket.SOCK_STREAM) as other:
        other.bind(("127.0.0.1", member.client_port))
        other.listen()
        member.start(is_waiting=False)
        code = member.wait_exit(15)
        last = member.log().strip().splitlines()[-1]
        check(code not in (0, None) and str(member.client_port) in last, "exit %s: %s", code, last)


def test_a_first_start_that_cannot_listen_founds_nothing():
    needs_kvd("a directory that a failed start leaves as it was")
    with Single() as member:
        right = member.peer_port
        with socket.create_server(("127.0.0.1", 0)) as taken:
            member.peer_port = taken.getsockname()[1]
            member.initial_cluster = "%s=%s" % (member.name, member.peer_url)
            _refused_start(member, "cannot listen on 127.0.0.1:%d" % member.peer_port)
        member.peer_port = right
        member.initial_cluster = "%s=%s" % (member.name, member.peer_url)
        member.start()
        told, = member.client.call("MemberList", rpc.MemberListRequest()).members
        check(list(told.peerURLs) == [member.peer_url], "the mistyped address is kept for good: %s", told)


def test_keepalive_pings_at_5_s_are_not_answered_with_goaway():
    """A channel that pings every 5 s without streams, as many clients do, stays open: cut to two pings here."""
    import grpc
    with Single() as member:
        member.start()
        channel = grpc.insecure_channel(member.target, options=[
            ("grpc.keepalive_time_ms", 5000), ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0), ("grpc.use_local_subchannel_pool", 1)])
        states = []
        try:
            channel.subscribe(states.append, try_to_connect=True)
            wait_until(lambda: grpc.ChannelConnectivity.READY in states, 5, "the channel is connected")
            time.sleep(11)
            check(states[-1] is grpc.ChannelConnectivity.READY, "the channel went to %s", states[-1])
        finally:
            channel.close()


def test_the_program_runs_without_a_terminal_and_without_home():
    directory = tempfile.mkdtemp(prefix="kvtest-")
    member = Member("m0", directory)
    log = member.log_path
    process = spawn(member.command(), log, environment={"PATH": "/usr/bin:/bin"})
    try:
        wait_until(lambda: READY_TEXT in open(log).read(), 15, "it is ready")
    finally:
        process.kill()
        reap(process, 10)
        shutil.rmtree(directory)


def test_closed_standard_streams_are_nobody_elses():
    """What stands under the numbers 0 to 2 of a member is no socket and no file of its own: its log is written there."""
    needs_kvd("Debian's etcd does not look")
    directory = tempfile.mkdtemp(prefix="kvtest-")
    member = Member("m0", directory)
    process = spawn(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"] + member.command(), member.log_path)
    try:
        wait_until(lambda: can_connect(member.client_port), 15, "it listens")
        streams = [os.readlink("/proc/%d/fd/%d" % (process.pid, number)) for number in range(3)]
        check(streams == ["/dev/null"] * 3, "%s", streams)
    finally:
        process.kill()
        reap(process, 10)
        shutil.rmtree(directory)


def can_connect(port):
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    main(globals(), BUDGET_S)
