"""The rows of the comparison: one function each. It gets a Turn (a server that runs, the sizes) and returns figures by name.

ROWS says which there are and what each wants to find: a fresh cluster, or one with many keys. GOALS says what is to be reached.
"""
import os
import statistics
import time
from dataclasses import dataclass
from typing import Callable

import disk
import load
import probe
import wire
from cluster import Echo

KEY, VALUE = 8, 256  # bytes

@dataclass
class Sizes:
    amount: tuple      # of a closed loop
    put_amount: tuple  # of puts by many, long enough that segments of the log begun and not used up weigh little
    seconds: int       # of watches and renewals
    window_s: float    # of puts beside nothing, before a compaction and a snapshot
    rounds: int        # of fresh clusters
    clients: int
    conns: int
    loop_keys: int     # of closed loops
    keys: int          # of the rows with many
    list_keys: int
    kills: int
    starts: int
    watchers: int
    leases: int
    settle_s: float


FULL = Sizes(amount=("--duration", "5s", "--warm-up", "500ms"), put_amount=("--duration", "12s", "--warm-up", "0s"), seconds=4, window_s=5,
             rounds=3, clients=1000, conns=100, loop_keys=10_000, keys=1_000_000, list_keys=500_000, kills=20, starts=3, watchers=1000,
             leases=5000, settle_s=5)
QUICK = Sizes(amount=("--total", 200, "--warm-up", "0s"), put_amount=("--total", 200, "--warm-up", "0s"), seconds=1, window_s=0.2,
              rounds=1, clients=50, conns=5, loop_keys=500, keys=1000, list_keys=500, kills=1, starts=1, watchers=100,
              leases=100, settle_s=0.1)


@dataclass
class Turn:
    row: str
    cluster: object
    sizes: Sizes
    directory: str
    curves: dict       # for the plots: {(row, server): {"rate": …, "latency": …}}

    def command(self, workload, clients, conns, *more, cluster=None, amount=None):
        return load.closed_loop(cluster or self.cluster, workload, clients, conns, "--keys", self.sizes.loop_keys,
                                *(amount or self.sizes.amount), *more)

    def closed_loop(self, workload, clients, conns, *more, amount=None):
        return load.run(self.row, self.command(workload, clients, conns, *more, amount=amount))

    def curved_loop(self, workload, clients, conns, *more, amount=None):
        """The same, whose latencies are drawn."""
        path = f"{self.directory}/hdr"
        report = self.closed_loop(workload, clients, conns, "--live", "json", "--hdr", path, *more, amount=amount)
        rate = [[second["second"], second["ops_per_s"]] for second in report["per_second"] if second["ops"]]
        self.curves[(self.row, self.cluster.kind)] = {"rate": rate, "latency": load.hdr(path)}
        return report


def pick(report, *names):
    return {name: report[name] for name in names}


LOOP = ("ops_per_s", "p50_us", "p99_us", "server_cpu_us", "client_cpu_us")


def put_many(turn):
    """What the disk got is asked of the disk, less what it got in half a second before: a process is charged whole folios, however little of
    them it writes, and these are large where a file was made by large writes."""
    os.sync()
    before, start = disk.device_bytes(turn.directory), time.monotonic()
    time.sleep(0.5)
    idle_per_s = (disk.device_bytes(turn.directory) - before) / (time.monotonic() - start)
    before, start = disk.device_bytes(turn.directory), time.monotonic()
    report = turn.curved_loop("put", turn.sizes.clients, turn.sizes.conns, amount=turn.sizes.put_amount)
    os.sync()
    written = disk.device_bytes(turn.directory) - before - idle_per_s * (time.monotonic() - start)
    return pick(report, *LOOP) | {"disk_bytes_per_put": max(written, 0) / report["ops"], "idle_disk_bytes_per_s": idle_per_s,
                                  "charged_bytes_per_put": report["server_write_bytes_per_op"]}


def put_one(turn):
    """Beside it what no server of this kind can do without: the client's call and a member's, and three members' disks, each by itself."""
    with Echo(load.ECHO, 1, VALUE) as echo:
        call = load.run(turn.row, turn.command("get", 1, 1, "--serializable", cluster=echo, amount=("--total", 3000, "--warm-up", "100ms")))
    sync = disk.fdatasync_us(turn.directory, at_once=3)
    return pick(turn.curved_loop("put", 1, 1), *LOOP) | {"floor_call_us": call["p50_us"], "floor_disk_us": sync["p50_us"]}


def get_linearizable(turn):
    return pick(turn.curved_loop("get", turn.sizes.clients, turn.sizes.conns, "--fill"), *LOOP)


def get_serializable(turn):
    """Beside it the floor: as many echo servers with the same clients, before and after."""
    floors = []

    def measure_floor():
        with Echo(load.ECHO, len(turn.cluster.endpoints), VALUE) as echo:
            words = turn.command("get", turn.sizes.clients, turn.sizes.conns, "--serializable", cluster=echo)
            floors.append(load.run(turn.row, words)["server_cpu_us"])
    measure_floor()
    report = turn.curved_loop("get", turn.sizes.clients, turn.sizes.conns, "--fill", "--serializable")
    measure_floor()
    floor = statistics.mean(floors)
    return pick(report, *LOOP) | {"floor_cpu_us": floor, "times_floor": report["server_cpu_us"] / floor}


def get_beside_puts(turn):
    load.run(turn.row, load.closed_loop(turn.cluster, "fill", turn.sizes.clients, turn.sizes.conns, "--keys", turn.sizes.loop_keys))
    puts = load.Background(turn.row, turn.cluster, turn.sizes.clients, turn.sizes.conns, turn.sizes.loop_keys, f"{turn.directory}/raw")
    try:
        time.sleep(min(1.0, turn.sizes.window_s))
        report = turn.closed_loop("get", 10, 10)
    finally:
        beside = puts.end()
    return pick(report, "ops_per_s", "p50_us", "p99_us") | {"puts_beside": len(beside.calls)}


def watch(turn):
    sizes = turn.sizes
    report = load.run(turn.row, [load.WATCH, "--endpoint", turn.cluster.first_of_leader()[0], "--server-pids",
                                 ",".join(map(str, turn.cluster.pids)), "--watchers", str(sizes.watchers), "--streams",
                                 str(sizes.watchers // 10), "--conns", "10", "--seconds", str(sizes.seconds), "-w", "json"])
    return {name: report[name] for name in ("events_per_server_s", "events_per_s", "ack_p99_us", "start_p99_us", "client_us")}


def keep_alive(turn):
    report = load.run(turn.row, [load.LEASE, "--endpoint", turn.cluster.first_of_leader()[0], "--server-pids",
                                 ",".join(map(str, turn.cluster.pids)), "--leases", str(turn.sizes.leases), "--seconds",
                                 str(turn.sizes.seconds), "--settle", "100ms", "-w", "json"])
    return {name: report[name] for name in ("renewals_per_server_s", "renewals_per_s")}


def leader_killed(turn):
    """Time counts from the signal; reads are begun at both survivors once the process is gone, which then comes back before the next one."""
    cluster, times = turn.cluster, []
    for _ in range(turn.sizes.kills):
        leader = cluster.leader()
        targets = [probe.Target(endpoint, wire.Connection(endpoint)) for i, endpoint in enumerate(cluster.endpoints) if i != leader]
        start = time.monotonic()
        cluster.kill(leader)
        probe.first_read(targets, 60)
        times.append((time.monotonic() - start) * 1e3)
        cluster.start(leader)
        cluster.wait_to_serve(leader)
        time.sleep(min(1.0, turn.sizes.settle_s))
    return {"median_ms": statistics.median(times), "best_ms": min(times), "worst_ms": max(times)}


# --- with many keys

def fill(turn):
    """Every key once, by puts of their own: transactions would make other logs."""
    idle = statistics.mean(turn.cluster.status_bytes("VmRSS"))
    start = time.monotonic()
    load.run(turn.row, load.closed_loop(turn.cluster, "fill", turn.sizes.clients, turn.sizes.conns, "--keys", turn.sizes.keys, "--batch", 1))
    took = time.monotonic() - start
    time.sleep(turn.sizes.settle_s)
    rss = statistics.mean(turn.cluster.status_bytes("VmRSS"))
    anonymous = statistics.mean(turn.cluster.status_bytes("RssAnon"))
    return {"rss_bytes": rss, "anonymous_bytes": anonymous, "overhead_bytes_per_key": (rss - idle) / turn.sizes.keys - KEY - VALUE,
            "idle_rss_bytes": idle, "load_s": took}


def server_us(turn, request, least):
    """Processor time per call, of calls one after the other on the leader: `least` calls and a second at least."""
    connection = wire.Connection(turn.cluster.first_of_leader()[0])
    try:
        connection.call(wire.RANGE, request)
        calls, start, cpu = 0, time.monotonic(), turn.cluster.cpu_s()
        while calls < least or time.monotonic() < start + min(1, turn.sizes.settle_s):
            connection.call(wire.RANGE, request)
            calls += 1
        took, cpu = time.monotonic() - start, turn.cluster.cpu_s() - cpu
    finally:
        connection.close()
    return cpu / calls * 1e6, took / calls * 1e6


def count(turn):
    everything = dict(key=b"\0", end=b"\0")
    count_us, count_took_us = server_us(turn, wire.range_request(count_only=True, **everything), 10)
    list_us, list_took_us = server_us(turn, wire.range_request(limit=10, **everything), 10)
    return {"count_server_us": count_us, "list_server_us": list_us, "count_mean_us": count_took_us, "list_mean_us": list_took_us}


def lists(turn):
    """What four replies at once cost in memory: the highest RSS meanwhile over the one before. Nothing of them is kept here."""
    endpoint, cluster = turn.cluster.first_of_leader()[0], turn.cluster
    request = wire.range_request(b"\0", b"\0", limit=turn.sizes.list_keys)
    before = sum(cluster.status_bytes("VmRSS"))
    cluster.forget_peaks()
    connections = [wire.Connection(endpoint) for _ in range(4)]
    start = time.monotonic()
    calls = [connection.start(wire.RANGE, request, keep=False) for connection in connections]
    try:
        for connection, call in zip(connections, calls):
            while not call.is_over:
                for each in connections:
                    each.pump(0.01 if each is connection else 0)
            if call.bytes < turn.sizes.list_keys * (KEY + VALUE):
                raise RuntimeError(f"a list of {turn.sizes.list_keys} keys has {call.bytes} bytes")
    finally:
        for connection in connections:
            connection.close()
    return {"growth_bytes": max(0, sum(cluster.status_bytes("VmHWM")) - before), "took_s": time.monotonic() - start,
            "reply_bytes": calls[0].bytes}


def beside_puts(turn, act):
    """p99 of 100 clients' puts in the time before, and while act() runs; it returns when what it did was over."""
    puts = load.Background(turn.row, turn.cluster, 100, 10, turn.sizes.keys, f"{turn.directory}/raw")
    try:
        time.sleep(0.3 + min(1.0, turn.sizes.window_s))
        start = time.monotonic() - min(0.1, turn.sizes.window_s)
        time.sleep(turn.sizes.window_s)
        begin = time.monotonic()
        end = act()
        time.sleep(0.05)
    finally:
        latencies = puts.end()
    before, beside = latencies.between(start, begin), latencies.between(begin, end)
    if not before or not beside:
        raise RuntimeError("no put was answered")
    without, during = load.percentile(before, 0.99) / 1e3, load.percentile(beside, 0.99) / 1e3
    return {"p99_ratio": during / without, "p99_without_us": without, "p99_during_us": during, "puts_during": len(beside), "took_s": end - begin,
            "slowest_during_us": beside[-1] / 1e3}


def snapshot(turn):
    """A client asks for one. kvd writes the file first and then sends it; etcd sends while it reads its own."""
    def act():
        connection = wire.Connection(turn.cluster.first_of_leader()[0])
        try:
            call = connection.start(wire.SNAPSHOT, b"", keep=False)
            while not (call.is_over or (turn.cluster.kind == "kvd" and call.bytes)):
                connection.pump(60)
            if not call.bytes:
                raise RuntimeError("there is no snapshot")
        finally:
            connection.close()
        return time.monotonic()
    return beside_puts(turn, act)


def compaction(turn):
    """Every key is put once more, then all old versions are compacted; `physical` says when they are gone."""
    endpoint = turn.cluster.first_of_leader()[0]
    wire.fill(endpoint, turn.sizes.keys, lambda i: b"%08x" % i, VALUE)
    time.sleep(turn.sizes.settle_s)
    revision = wire.status(endpoint)[2]

    def act():
        wire.ask(endpoint, wire.COMPACT, wire.field(1, revision) + wire.field(2, 1), 120)
        return time.monotonic()
    return beside_puts(turn, act)


def start_again(turn):
    """A follower is killed and started; the others go on without load."""
    cluster, times = turn.cluster, []
    for _ in range(turn.sizes.starts):
        number = (cluster.leader() + 1) % len(cluster.endpoints)
        cluster.kill(number)
        start = time.monotonic()
        cluster.start(number)
        cluster.wait_to_serve(number, 120)
        times.append(time.monotonic() - start)
    return {"median_s": statistics.median(times), "worst_s": max(times)}


@dataclass
class Row:
    name: str
    run: Callable
    has_keys: bool = False # wants the keys of `fill` in it
    is_once: bool = False  # not in each round


ROWS = [
    Row("put-1000", put_many),
    Row("put-1", put_one),
    Row("get-lin", get_linearizable),
    Row("get-ser", get_serializable),
    Row("get-beside-puts", get_beside_puts),
    Row("watch", watch),
    Row("keep-alive", keep_alive),
    Row("leader-killed", leader_killed, is_once=True),
    Row("rss", fill, has_keys=True, is_once=True),
    Row("count", count, has_keys=True, is_once=True),
    Row("lists", lists, has_keys=True, is_once=True),
    Row("start", start_again, has_keys=True, is_once=True),
    Row("snapshot", snapshot, has_keys=True, is_once=True),
    Row("compaction", compaction, has_keys=True, is_once=True),
]


@dataclass
class Goal:
    row: str
    label: str
    figure: str
    unit: str
    order: str         # "<=" or ">="
    bound: float
    is_own: bool = False  # kvd's figure itself is held against the bound, not its ratio to etcd's
    text: str = ""     # of the bound, if it is not the number


GOALS = [
    Goal("put-1000", "puts, 1,000 clients / 100 connections: server CPU per put", "server_cpu_us", "µs", "<=", 1 / 6, text="1/6"),
    Goal("put-1000", "the same: puts/s", "ops_per_s", "/s", ">=", 4),
    Goal("put-1", "put, 1 client: p50", "p50_us", "µs", "<=", 1 / 2, text="1/2"),
    Goal("put-1", "put, 1 client: p99", "p99_us", "µs", "<=", 1 / 2, text="1/2"),
    Goal("get-lin", "linearizable gets, 1,000 clients: server CPU per get", "server_cpu_us", "µs", "<=", 1 / 4, text="1/4"),
    Goal("get-lin", "the same: gets/s", "ops_per_s", "/s", ">=", 2.5),
    Goal("get-ser", "serializable gets: server CPU per get, against the floor", "times_floor", "× floor", "<=", 1.3, is_own=True),
    Goal("get-beside-puts", "p99 of linearizable gets while 1,000 clients write", "p99_us", "µs", "<=", 1 / 5, text="1/5"),
    Goal("compaction", "p99 of puts during compaction of 1 million versions, against without", "p99_ratio", "×", "<=", 1.3, is_own=True),
    Goal("snapshot", "p99 of puts while a snapshot is written, against without", "p99_ratio", "×", "<=", 1.5, is_own=True),
    Goal("count", "count of 1 million keys: server time", "count_server_us", "µs", "<=", 1 / 100, text="1/100"),
    Goal("count", "list of 10 of 1 million with count: server time", "list_server_us", "µs", "<=", 1 / 100, text="1/100"),
    Goal("lists", "four lists of 500,000 keys of 256 B at once: growth of RSS", "growth_bytes", "B", "<=", 1 / 4, text="1/4"),
    Goal("rss", "RSS with 1 million keys of 256 B, after load", "rss_bytes", "B", "<=", 0.8),
    Goal("rss", "the same: growth beyond key and value, per key", "overhead_bytes_per_key", "B", "<=", 120, is_own=True),
    Goal("watch", "watch, 1,000 watchers: events per second of server CPU", "events_per_server_s", "/s", ">=", 3),
    Goal("keep-alive", "lease keep-alives per second of server CPU", "renewals_per_server_s", "/s", ">=", 3),
    Goal("leader-killed", "kill -9 of the leader → first linearizable read, median of 20", "median_ms", "ms", "<=", 1 / 3, text="1/3"),
    Goal("start", "start to serving with 1 million keys, after kill -9", "median_s", "s", "<=", 1 / 4, text="1/4"),
    Goal("put-1000", "disk bytes written per put, 1,000 clients", "disk_bytes_per_put", "B", "<=", 1 / 2, text="1/2"),
]
