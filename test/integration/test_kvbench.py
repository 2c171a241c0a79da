#!/usr/bin/python3
"""kvbench beside real members, and an etcd where it is installed: every workload ends well and owes its figures, an open loop sees a pause
of the server that a closed loop hides, errors are counted and tell in the exit code, an interrupted run has a result."""

import json
import os
import pty
import shutil
import signal
import struct
import subprocess
import tempfile
import time

from kvtest import IS_SHORT, REFERENCE_BINARY, ROOT, Cluster, Skip, check, clean_environment, main, rpc, wait_until

BUDGET_S = 45
KVBENCH = os.environ.get("KVBENCH_BINARY", os.path.join(ROOT, "bin", "kvbench"))
FIGURES = ["clients", "conns", "seconds", "ops", "errors", "ops_per_s", "p50_us", "p90_us", "p99_us", "p999_us", "max_us", "client_cpu_us"]
OF_SERVERS = ["server_cpu_us", "server_cpu_s", "server_rss_bytes", "server_peak_rss_bytes", "server_write_bytes", "server_switches_per_op"]


def bench(*words, code=0, timeout_s=60):
    done = subprocess.run([KVBENCH, *words], capture_output=True, text=True, env=clean_environment(), timeout=timeout_s)
    check(done.returncode == code, "kvbench %s: exit code %d:\n%s%s", " ".join(words), done.returncode, done.stdout, done.stderr)
    return done


def report(cluster, *words, code=0):
    """Of one run the JSON object, with the figures that every run owes."""
    pids = ",".join(str(member.process.pid) for member in cluster.members)
    done = bench(*words, "--endpoints", ",".join(cluster.targets()), "--server-pids", pids, "-w", "json", code=code)
    found = json.loads(done.stdout)
    check(found["workload"] == words[0], "%s", found)
    for name in FIGURES + OF_SERVERS:
        check(isinstance(found[name], (int, float)) and found[name] >= 0, "%s in %s", name, found)
    if code == 0:
        check(found["errors"] == 0 and found["ops"] > 0 and found["server_cpu_s"] > 0 and found["server_rss_bytes"] > 0, "%s", found)
        check(found["p50_us"] <= found["p90_us"] <= found["p99_us"] <= found["p999_us"] <= found["max_us"], "%s", found)
    return found


def run_everything(cluster):
    member = cluster.members[0]
    found = report(cluster, "fill", "--keys", "500", "--key-prefix", "k", "--value-size", "uniform:10-50")
    check(found["ops"] == 500 and found["bytes_written"] > 500 * 18, "%s", found)
    check(member.client.get(b"k", range_end=b"l", count_only=True).count == 500, "filled")
    data = ["--keys", "500", "--key-prefix", "k"]
    some = [*data, "--total", "200", "--warm-up", "0", "--clients", "20", "--conns", "3"]
    check(report(cluster, "put", *some)["ops"] == 200, "a total is a total")
    found = report(cluster, "get", *some)
    check(found["found"] == 200, "every get finds its key: %s", found)
    report(cluster, "get", *some, "--serializable", "--dist", "zipf")
    check(report(cluster, "range", *some, "--limit", "7")["found"] == 1400, "pages of seven")
    check(report(cluster, "range", *some, "--count-only")["found"] == 200 * 500, "counts")
    found = report(cluster, "range", *some, "--keys-only", "--total", "10")
    check(found["found"] == 5000 and found["bytes_read"] == 5000 * 8, "%s", found)
    report(cluster, "txn-put", *some, "--txn-ops", "3")
    report(cluster, "txn-mixed", *some)
    for letter in "abcdef":
        report(cluster, "mixed", *some, "--ycsb", letter)
    report(cluster, "put", *some, "--threads", "3")
    short = ["--duration", "0.3", "--warm-up", "100ms"]
    found = report(cluster, "watch", "--watchers", "60", "--streams", "6", "--watched-keys", "3", *short)
    check(found["ops"] >= 20, "%s", found)
    report(cluster, "watch-latency", "--watchers", "1", "--streams", "1", "--rate", "100", *short)
    report(cluster, "lease-keepalive", "--leases", "50", "--streams", "4", *short)
    check(report(cluster, "delete", *data, "--fill", "--total", "500", "--warm-up", "0")["ops"] == 500, "deleted")
    check(member.client.get(b"k", range_end=b"k00001f4", count_only=True).count == 0, "all keys of the beginning are gone")


def test_every_workload_on_three_members():
    with Cluster(3) as cluster:
        run_everything(cluster)


def test_every_workload_on_etcd():
    if not os.path.exists(REFERENCE_BINARY):
        raise Skip("no %s" % REFERENCE_BINARY)
    with Cluster(1, binary=REFERENCE_BINARY) as cluster:
        run_everything(cluster)


def paused(cluster, *words):
    """A run of 1.5 s, in whose middle the server stands still for 0.6 s."""
    member = cluster.members[0]
    process = subprocess.Popen([KVBENCH, "put", "--endpoints", member.target, "--warm-up", "0.2", "--duration", "1.5", "-w", "json", "--live", "json", *words],
                               stdout=subprocess.PIPE, env=clean_environment())
    process.stdout.readline() # a second of it is over
    os.kill(member.process.pid, signal.SIGSTOP)
    try:
        time.sleep(0.6)
    finally:
        os.kill(member.process.pid, signal.SIGCONT)
    lines = process.communicate(timeout=60)[0].splitlines()
    check(process.returncode == 0, "exit code %d", process.returncode)
    return json.loads(lines[-1])


def test_open_loop_sees_a_pause_that_a_closed_loop_hides():
    with Cluster(1) as cluster:
        found = paused(cluster, "--rate", "200", "--clients", "4", "--conns", "2")
        # All 300 that were due have ended, and a fifth of them were due in the pause: they wait 0.3 s on average.
        check(found["ops"] == 300 and found["errors"] == 0, "%s", found)
        check(found["p99_us"] > 400e3 and found["max_us"] > 450e3, "the pause is not seen: %s", found)
        check(found["p50_us"] < found["p99_us"], "%s", found)
        found = paused(cluster, "--rate", "200", "--clients", "200", "--conns", "2", "--value-size", "100000")
        check(found["ops"] == 300 and found["errors"] == 0, "full sockets: %s", found)
        check(found["max_us"] > 450e3, "the pause is not seen: %s", found)


def test_every_operation_is_on_record():
    with Cluster(1) as cluster, tempfile.TemporaryDirectory() as directory:
        hdr, raw = os.path.join(directory, "hdr"), os.path.join(directory, "raw")
        found = report(cluster, "put", "--total", "300", "--warm-up", "0", "--hdr", hdr, "--raw", raw)
        with open(raw, "rb") as file:
            records = list(struct.iter_unpack("<QQ", file.read()))
        check(len(records) == 300, "%d records", len(records))
        check(abs(max(took for _, took in records) / 1e3 - found["max_us"]) < 1, "%s", found)
        with open(hdr, encoding="ascii") as file:
            lines = file.read().splitlines()
        check(lines[0].split() == ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"], "%s", lines[0])
        last = [line for line in lines[2:] if not line.startswith("#")][-1].split()
        check(last[1:] == ["1.000000000000", "300"] and abs(float(last[0]) * 1e3 - found["max_us"]) < 1, "%s", last)
        done = bench("put", "--endpoints", cluster.targets()[0], "--total", "50", "--warm-up", "0", "--hdr", "/nowhere/hdr", code=3)
        check("/nowhere/hdr" in done.stderr and "rate" in done.stdout, "%s", done)


def test_pictures_are_drawn():
    if shutil.which("gnuplot") is None:
        raise Skip("no gnuplot")
    with Cluster(1) as cluster, tempfile.TemporaryDirectory() as directory:
        target = cluster.targets()[0]
        svg, png = os.path.join(directory, "it's.svg"), os.path.join(directory, "bars.png")
        bench("put", "--endpoints", target, "--duration", "0.3", "--warm-up", "0", "--plot", svg)
        with open(svg, encoding="utf-8") as file:
            check("<svg" in file.read(), "no SVG")
        bench("compare", "--a", "a=" + target, "--b", "b=" + target, "--rounds", "1", "--plot", png, "put", "--total", "50", "--warm-up", "0")
        with open(png, "rb") as file:
            check(file.read(4) == b"\x89PNG", "no PNG")


def test_two_clusters_are_compared_round_by_round():
    with Cluster(1) as one, Cluster(1) as other:
        words = ["compare", "--rounds", "2"]
        for side, cluster in (("a", one), ("b", other)):
            words += ["--" + side, "n%s=%s" % (side, cluster.targets()[0]), "--%s-pids" % side, str(cluster.members[0].process.pid)]
        words += ["put", "--total", "200", "--warm-up", "0", "--keys", "100"]
        found = json.loads(bench(*words, "-w", "json").stdout)
        check(found["a"] == "na" and found["b"] == "nb" and found["rounds"] == 2 and found["workload"] == "put", "%s", found)
        rates = found["figures"]["ops_per_s"]
        check(len(rates["ratios"]) == 2 and rates["ratio"] > 0, "%s", rates)
        for i in range(2):
            check(abs(rates["ratios"][i] - rates["a"]["rounds"][i] / rates["b"]["rounds"][i]) < 0.01, "%s", rates)
        check(found["figures"]["server_cpu_us"]["a"]["median"] > 0 and found["figures"]["errors"]["ratio"] is None, "%s", found)
        for cluster in (one, other):
            check(cluster.members[0].client.get(b"\0", range_end=b"\0", count_only=True).count > 50, "each has had its turn")
        table = bench(*words).stdout
        check("figure" in table and "ops_per_s" in table and "na" in table and "nb" in table, "%s", table)


def test_errors_are_counted_and_all_of_them_fail():
    with Cluster(1, flags=["--quota-backend-bytes", "65536"]) as cluster:
        target = cluster.targets()[0]
        wait_until(lambda: cluster.members[0].client.ask("Put", rpc.PutRequest(key=b"x", value=b"v" * 30000)).code == "RESOURCE_EXHAUSTED", 20,
                   "the quota is used up")
        found = json.loads(bench("put", "--endpoints", target, "--total", "40", "--warm-up", "0", "-w", "json", code=1).stdout)
        check(found["ops"] == 0 and found["errors"] == 40, "%s", found)
        check(found["errors_by_kind"] == [{"code": 8, "text": "etcdserver: mvcc: database space exceeded", "count": 40}], "%s", found["errors_by_kind"])
        table = bench("put", "--endpoints", target, "--total", "40", "--warm-up", "0", code=1).stdout
        check("40 x etcdserver: mvcc: database space exceeded" in table, "%s", table)
        table = bench("get", "--endpoints", target, "--total", "40", "--warm-up", "0").stdout
        check("no key was found" in table and "errors     0" in table, "%s", table)
    done = bench("get", "--endpoints", target, "--timeout", "300ms", code=1)
    check("no endpoint answers" in done.stderr and done.stdout == "", "%s", done)
    done = bench("put", "--rat", "5", code=2)
    check("unknown flag: --rat" in done.stderr, "%s", done)
    check("Workloads:" in bench(code=2).stdout and "Examples:" in bench("put", "--help").stdout, "help")


def test_a_fill_of_large_values():
    with Cluster(1) as cluster:
        found = report(cluster, "get", "--fill", "--keys", "200", "--value-size", "65536", "--total", "200", "--warm-up", "0")
        check(found["found"] == 200, "%s", found)
        done = bench("fill", "--endpoints", cluster.targets()[0], "--keys", "3", "--value-size", "2000000", code=1)
        check("kvbench: 3 of 3 keys were not put: " in done.stderr, "%s", done)
    with Cluster(1, flags=["--quota-backend-bytes", "1000000"]) as cluster:
        done = bench("fill", "--endpoints", cluster.targets()[0], "--keys", "500", "--value-size", "65536", "--clients", "1", "-w", "json", code=1)
        put = json.loads(done.stdout)["ops"]
        check(0 < put < 500 and done.stderr == "kvbench: %d of 500 keys were not put: etcdserver: mvcc: database space exceeded\n" % (500 - put), "%s", done)


def test_an_interrupted_run_has_a_result():
    with Cluster(1) as cluster:
        for number in (signal.SIGINT, signal.SIGTERM):
            process = subprocess.Popen([KVBENCH, "put", "--endpoints", cluster.targets()[0], "--duration", "60", "--warm-up", "0", "-w", "json", "--live", "json"],
                                       stdout=subprocess.PIPE, env=clean_environment())
            process.stdout.readline()
            process.send_signal(number)
            found = json.loads(process.communicate(timeout=20)[0].splitlines()[-1])
            check(process.returncode == 0 and found["interrupted"] and found["ops"] > 0 and found["seconds"] < 30, "%s", found)


def test_a_terminal_shows_each_second():
    with Cluster(1) as cluster:
        ours, theirs = pty.openpty()
        process = subprocess.Popen([KVBENCH, "put", "--endpoints", cluster.targets()[0], "--duration", "1.3", "--warm-up", "0", "-w", "json"],
                                   stdout=subprocess.PIPE, stderr=theirs, env=clean_environment())
        out = process.communicate(timeout=30)[0]
        os.close(theirs)
        shown = os.read(ours, 65536).decode()
        os.close(ours)
        check(process.returncode == 0 and json.loads(out)["ops"] > 0, "%s", out)
        check(all(word in shown for word in ("1 s", "/s", "p50", "p99", "errors 0")) and shown.endswith("\x1b[K"), "%r", shown)


def test_a_server_that_dies_is_told_of():
    if IS_SHORT:
        raise Skip("says nothing of the server")
    with Cluster(1) as cluster:
        member = cluster.members[0]
        for words, code in ((["put"], 0), (["watch"], 1), (["lease-keepalive", "--rate", "100"], 1)):
            process = subprocess.Popen([KVBENCH, *words, "--endpoints", member.target, "--duration", "2", "--warm-up", "0", "--timeout", "1s", "-w", "json",
                                        "--live", "json", "--server-pids", str(member.process.pid)], stdout=subprocess.PIPE, env=clean_environment())
            process.stdout.readline()
            member.kill()
            found = json.loads(process.communicate(timeout=30)[0].splitlines()[-1])
            check(process.returncode == code and found["ops"] > 0 and found["errors"] > 0, "%s: exit code %d: %s", words, process.returncode, found)
            check(found["server_lost"] and found["broken"] == (code == 1) and found["server_cpu_s"] < 60, "%s", found)
            member.start()


if __name__ == "__main__":
    main(globals(), BUDGET_S)
