#!/usr/bin/python3
"""What one operation costs three members of kvd, counted: processor time, switches, system calls by name, allocations. A Markdown table.

    test/bench/figures/counts.py [--loads "put-1000 watch-1"] [--seconds 2] [--rounds 1] [--dir DIR] [--generator]

Counts say what latencies on a busy machine do not. Each load runs once for processor time and switches, once under perf's counters of system
calls, and once under a probe of the allocator (perf and root; without them those columns are empty). --generator counts the load generator
instead of the members. Instructions are not counted where the processor's counters are not there: then perf says "not supported".
"""
import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True # the tree stays clean

import load
from cluster import PROGRAMS, Cluster, die_with_parent
from profiles import threads_of

SYSCALLS = ("sendmsg", "sendto", "recvmsg", "epoll_wait", "epoll_ctl", "futex", "pwrite64", "pwritev2", "fdatasync", "read", "write", "madvise",
            "clock_nanosleep", "sched_yield", "getpid")
ALLOCATORS = ("malloc", "calloc", "realloc", "aligned_alloc", "posix_memalign", "_Znwm")
KEYS = 10000
PROBE = "kvdcount" # of the names of our probes


def bench(workload, clients, conns, *more):
    """A lone client asks the leader: what a follower passes on is more."""
    def words(cluster, seconds):
        out = load.closed_loop(cluster, workload, clients, conns, "--keys", KEYS, "--duration", f"{seconds}s", "--warm-up", "0s", *more)
        if clients == 1:
            out[out.index("--endpoints") + 1] = cluster.first_of_leader()[0]
        return out
    return words


def watch(watchers, streams, conns):
    def words(cluster, seconds):
        return [load.WATCH, "--endpoint", cluster.first_of_leader()[0], "--server-pids", ",".join(map(str, cluster.pids)), "--watchers", str(watchers),
                "--streams", str(streams), "--conns", str(conns), "--ahead", "1", "--warmup", "1ms", "--seconds", str(seconds), "-w", "json"]
    return words


LOADS = {
    "put-1000": bench("put", 1000, 100), "put-1": bench("put", 1, 1), "get-lin-1000": bench("get", 1000, 100), "get-lin-1": bench("get", 1, 1),
    "get-ser-1000": bench("get", 1000, 100, "--serializable"), "watch-1": watch(1, 1, 1), "watch-1000": watch(1000, 10, 10),
}


def run(words):
    """The generator's process, begun; and how to end it."""
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=die_with_parent)


def report_of(process, words):
    out, errors = process.communicate(timeout=load.RUN_S)
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: {errors}")
    report = json.loads(out.splitlines()[-1])
    return report["ops"] if "ops" in report else report["events"]


def plain(pids_of, words):
    """Of each operation: µs of processor by thread's name, and its switches."""
    process = run(words)
    pids = pids_of(process)
    before = threads_of(pids)
    last = before
    while process.poll() is None: # a generator's threads are gone when it is
        try:
            process.wait(0.1)
        except subprocess.TimeoutExpired:
            last = threads_of(pids)
    if process.pid not in pids:
        last = threads_of(pids)
    ops, names = report_of(process, words), {}
    for key, (name, *values) in last.items():
        begun = before.get(key, (name, 0, 0, 0))[1:]
        row = names.setdefault(name, [0, 0, 0])
        for i, (value, old) in enumerate(zip(values, begun)):
            row[i] += value - old
    return {name: [cpu * 1e6 / ops, voluntary / ops, other / ops] for name, (cpu, voluntary, other) in names.items()}


def counted(pids_of, words, events):
    """perf's counters of these events, per operation; {} where there are none."""
    process = run(words)
    with tempfile.NamedTemporaryFile("r") as file:
        perf = subprocess.Popen(["perf", "stat", "-x", ",", "-o", file.name, "-e", ",".join(events), "-p", ",".join(map(str, pids_of(process)))],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        ops = report_of(process, words)
        if perf.poll() is None:
            perf.send_signal(signal.SIGINT)
        perf.wait()
        fields = [line.split(",") for line in file.read().splitlines() if line and line[0] != "#"]
    return {field[2].split(":")[-1]: int(field[0]) / ops for field in fields if len(field) > 2 and field[0].isdigit()}


class Probes:
    """Of the program's allocator, as far as the system gives them."""

    def __init__(self, program):
        lines = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout.splitlines()
        paths = [line.split()[2] for line in lines if "=>" in line]
        self.library, self.events = next(path for want in ("libjemalloc", "libc.so") for path in paths if want in path), []

    def __enter__(self):
        for name in ALLOCATORS:
            done = subprocess.run(["perf", "probe", "-x", self.library, f"{PROBE}{os.getpid()}_{name}={name}"], capture_output=True, text=True,
                                  check=False)
            self.events += re.findall(rf"\b\w+:{PROBE}\w+", done.stderr + done.stdout)[:1]
        return self

    def __exit__(self, *_):
        for event in self.events:
            subprocess.run(["perf", "probe", "-q", "--del", event], capture_output=True, check=False)


def measure(name, seconds, directory, of_generator):
    words_of = LOADS[name]
    program = (load.WATCH if "watch" in name else load.KVBENCH) if of_generator else PROGRAMS["kvd"]
    with Cluster("kvd", f"{directory}/kvd") as cluster, Probes(program) as probes:
        words = words_of(cluster, seconds)
        load.run(name, load.closed_loop(cluster, "fill", 100, 10, "--keys", KEYS))
        pids_of = (lambda process: [process.pid]) if of_generator else (lambda process: cluster.pids)
        threads = plain(pids_of, words)
        calls = counted(pids_of, words, ["raw_syscalls:sys_enter", *(f"syscalls:sys_enter_{call}" for call in SYSCALLS)])
        allocations = counted(pids_of, words, probes.events) if probes.events else {}
    return threads, calls, allocations


def row(name, rounds):
    """Medians over the rounds of what was measured, as a line of the table."""
    def over(pick):
        return statistics.median(map(pick, rounds))
    names = {thread for threads, _, _ in rounds for thread in threads}
    by_thread = {thread: over(lambda one: one[0].get(thread, [0])[0]) for thread in names}
    cpu = over(lambda one: sum(values[0] for values in one[0].values()))
    waits, puts_off = (over(lambda one: sum(values[i] for values in one[0].values())) for i in (1, 2))
    calls = {call: over(lambda one: one[1].get(f"sys_enter_{call}", 0)) for call in SYSCALLS}
    total = over(lambda one: one[1].get("sys_enter", 0))
    allocations = over(lambda one: sum(one[2].values()))
    most = sorted(by_thread.items(), key=lambda item: -item[1])[:4]
    kinds = sorted(((call, count) for call, count in calls.items() if count >= 0.005), key=lambda item: -item[1])
    return (f"| {name} | {cpu:.1f} | {', '.join(f'{thread} {us:.1f}' for thread, us in most)} | {waits:.2f} / {puts_off:.2f} | "
            f"{total:.2f}: {', '.join(f'{call} {count:.2f}' for call, count in kinds)} | {allocations:.1f} |")


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--loads", default=" ".join(LOADS))
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--dir", default=os.environ.get("TMPDIR", "/var/tmp"))
    parser.add_argument("--generator", action="store_true")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    directory = tempfile.mkdtemp(prefix="kvd-counts-", dir=arguments.dir)
    print("| load | CPU, µs | of it, by thread | it waited / was put off | system calls | allocations |\n| --- | --- | --- | --- | --- | --- |", flush=True)
    try:
        for name in arguments.loads.split():
            print(row(name, [measure(name, arguments.seconds, directory, arguments.generator) for _ in range(arguments.rounds)]), flush=True)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
