"""The load generators, and the raw latencies that they leave."""
import array
import json
import os
import shlex
import signal
import subprocess

from cluster import die_with_parent

BUILD = os.environ.get("KVD_BUILD", "build/release")
LOAD, WATCH, LEASE, ECHO = (f"{BUILD}/test/{name}" for name in ("bench_load", "bench_watch", "bench_lease", "echo_server"))

RUN_S = 400  # a generator that takes longer hangs

commands = {}  # what was run for each row, as it can be typed


def run(row, command):
    """Of a generator the report. A run that has errors is no figure."""
    commands.setdefault(row, [])
    shown = shlex.join(command)
    if shown not in commands[row]:
        commands[row].append(shown)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, timeout=RUN_S)
    if done.returncode != 0:
        raise RuntimeError(f"{shown}: exit code {done.returncode}: {done.stdout}{done.stderr}")
    return json.loads(done.stdout)


def command(cluster, workload, clients, conns, amount, *more):
    """A closed loop of single calls; `amount` is ("--seconds", 5) or ("--total", 1000)."""
    return [LOAD, "--endpoints", ",".join(cluster.endpoints), "--server-pids", ",".join(map(str, cluster.pids)), "--workload", workload,
            "--clients", str(clients), "--conns", str(conns), *map(str, amount), *map(str, more), "-w", "json"]


class Background:
    """A load that runs until it is told to end."""

    def __init__(self, row, words, raw):
        self.raw = raw
        commands.setdefault(row, []).append(shlex.join(words))
        self.process = subprocess.Popen(words + ["--raw", raw], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        preexec_fn=die_with_parent)

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
        self.failed = numbers[1::2].count(2**64 - 1)
        self.calls = [(end, took) for end, took in zip(numbers[0::2], numbers[1::2]) if took != 2**64 - 1]

    def between(self, start_s, end_s):
        start, end = int(start_s * 1e9), int(end_s * 1e9)
        return sorted(took for at, took in self.calls if start <= at < end)

    def per_bin(self, bin_s):
        """[seconds since the first call ended, calls per second]."""
        if not self.calls:
            return []
        first, counts = self.calls[0][0], {}
        for at, _ in self.calls:
            at = int((at - first) / 1e9 / bin_s)
            counts[at] = counts.get(at, 0) + 1
        return [[round(i * bin_s, 3), counts.get(i, 0) / bin_s] for i in range(max(counts))]

    def percentiles_us(self, shares):
        ordered = sorted(took for _, took in self.calls)
        return [[share, percentile(ordered, share) / 1e3] for share in shares] if ordered else []


def percentile(ordered, share):
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
