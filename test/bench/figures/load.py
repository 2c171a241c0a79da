"""The load generators, and the raw latencies that they leave."""
import array
import json
import os
import shlex
import signal
import subprocess
import time

from cluster import die_with_parent

BUILD = os.environ.get("KVD_BUILD", "build/release")
KVBENCH = os.environ.get("KVBENCH_BINARY", "bin/kvbench")
WATCH, LEASE, ECHO = (f"{BUILD}/test/{name}" for name in ("bench_watch", "bench_lease", "echo_server"))
RUN_S = 400  # a generator that takes longer hangs

commands = {}  # what was run for each row, as it can be typed


def run(row, words):
    """Of a generator the report: its last line; before it there are seconds, if it tells them ("seconds" of the report). A run that has
    errors is no figure."""
    commands.setdefault(row, [])
    shown = shlex.join(words)
    if shown not in commands[row]:
        commands[row].append(shown)
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, timeout=RUN_S)
    if done.returncode != 0:
        raise RuntimeError(f"{shown}: exit code {done.returncode}: {done.stdout}{done.stderr}")
    *seconds, report = map(json.loads, done.stdout.splitlines())
    if report.get("errors"):
        raise RuntimeError(f"{shown}: {report['errors']} calls failed: {report.get('errors_by_kind')}")
    return report | {"per_second": seconds}


def where(cluster):
    return ["--endpoints", ",".join(cluster.endpoints), "--server-pids", ",".join(map(str, cluster.pids))]


def closed_loop(cluster, workload, clients, conns, *more):
    """kvbench: each client one call at a time."""
    return [KVBENCH, workload, *where(cluster), "--clients", str(clients), "--conns", str(conns), *map(str, more), "-w", "json"]


def hdr(path):
    """[share, µs] of a file of percentiles; it is removed."""
    with open(path, encoding="ascii") as file:
        lines = [line.split() for line in file if line.strip() and line.strip()[0].isdigit()]
    os.unlink(path)
    return [[float(share), float(value) * 1e3] for value, share, *_ in lines if float(share) < 1]


class Background:
    """Puts that go on until they are told to end, every latency of which is kept."""

    def __init__(self, row, cluster, clients, conns, keys, raw):
        self.raw = raw
        words = closed_loop(cluster, "put", clients, conns, "--keys", keys, "--duration", "1h", "--warm-up", "300ms", "--live", "none", "--raw", raw)
        commands.setdefault(row, []).append(shlex.join(words))
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        preexec_fn=die_with_parent)
        deadline = time.monotonic() + 60
        while not (os.path.exists(raw) and os.path.getsize(raw) > 0) and self.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)  # it connects, and warms up

    def end(self):
        """Its latencies."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        _, errors = self.process.communicate(timeout=60)
        if self.process.returncode != 0:
            raise RuntimeError(f"a load failed: {errors}")
        return Latencies(self.raw)


class Latencies:
    """End (ns of the monotonic clock) and latency (ns) of each call that was answered, by their ends; the file is removed."""

    def __init__(self, path):
        numbers = array.array("Q")
        with open(path, "rb") as file:
            numbers.frombytes(file.read())
        os.unlink(path)
        self.calls = [(end, took) for end, took in zip(numbers[0::2], numbers[1::2]) if took != 2**64 - 1]

    def between(self, start_s, end_s):
        start, end = int(start_s * 1e9), int(end_s * 1e9)
        return sorted(took for at, took in self.calls if start <= at < end)


def percentile(ordered, share):
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
