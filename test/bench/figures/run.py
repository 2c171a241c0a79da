#!/usr/bin/python3
"""Three members of kvd and three of Debian's etcd on loopback, one cluster at a time, row by row; ends with the table of goals.

    test/bench/figures/run.py [--rows "put-1000 get-lin"] [--rounds N] [--keys N] [--out DIR] [--dir DIR] [--profile DIR] [--quick]

--rows    of those in rows.py (all)
--rounds  of the rows that are measured several times (3)
--keys    of the rows with many keys (1000000; of another number the goals are only hints)
--servers of "kvd etcd"
--out     RESULTS.md, results.json and the plots go there (bench; with --rows or --quick nowhere, unless it is given)
--dir     where the clusters have their data: a real disk ($TMPDIR, else /var/tmp)
--profile DIR: of each row and server a file with CPU and switches by thread, and the functions (perf), while the row runs
--quick   everything once and small: whether each row yields figures, which then mean nothing

Exit code 0 also where goals are missed; 1 where a row gave no figures.
"""
import argparse
import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time

sys.dont_write_bytecode = True # the tree stays clean

import disk
import load
import report
import rows
from cluster import Cluster
from profiles import Profile

SERVERS = ("kvd", "etcd")


class Bench:
    def __init__(self, chosen, sizes, arguments, directory):
        self.chosen, self.sizes, self.directory, self.servers = chosen, sizes, directory, arguments.servers.split()
        self.profiles = arguments.profile
        self.figures = {}  # {(row, server): [figures of each round]}
        self.curves, self.failures = {}, []

    def turn(self, server, some):
        """These rows on a fresh cluster of that server."""
        if not some:
            return
        with Cluster(server, f"{self.directory}/{server}") as cluster:
            if some[0].has_keys and some[0].name != "rss": # the others of this cluster need its keys
                self.row(cluster, next(row for row in rows.ROWS if row.name == "rss"), is_wanted=False)
            for row in some:
                self.row(cluster, row)
        shutil.rmtree(f"{self.directory}/{server}")

    def row(self, cluster, row, is_wanted=True):
        start = time.monotonic()
        try:
            with Profile(cluster.pids, f"{self.profiles}/{row.name}-{cluster.kind}.txt") if self.profiles else contextlib.nullcontext():
                figures = row.run(rows.Turn(row.name, cluster, self.sizes, self.directory, self.curves))
        except Exception as error: # whatever it was, the other rows shall have their turn
            self.failures.append(f"{row.name}, {cluster.kind}: {error}")
            print(f"{row.name:16} {cluster.kind:5} FAILED: {error}", flush=True)
            return
        if is_wanted:
            self.figures.setdefault((row.name, cluster.kind), []).append(figures)
            shown = "  ".join(f"{name} {report.short(value)}" for name, value in figures.items())
            print(f"{row.name:16} {cluster.kind:5} {time.monotonic() - start:4.0f} s  {shown}", flush=True)

    def run(self):
        fresh = [row for row in self.chosen if not row.is_once]
        once = [row for row in self.chosen if row.is_once and not row.has_keys]
        keys = [row for row in self.chosen if row.has_keys]
        for number in range(self.sizes.rounds):
            for server in self.servers:
                if fresh:
                    print(f"round {number + 1} of {self.sizes.rounds}: {server}", flush=True)
                self.turn(server, fresh)
        for some in (once, keys):
            for server in self.servers:
                self.turn(server, some)


def parse():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--rows", default="")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--keys", type=int)
    parser.add_argument("--out")
    parser.add_argument("--dir", default=os.environ.get("TMPDIR", "/var/tmp"))
    parser.add_argument("--profile")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--servers", default=" ".join(SERVERS))
    arguments = parser.parse_args()
    known = {row.name for row in rows.ROWS}
    unknown = set(arguments.rows.split()) - known
    if unknown:
        parser.error(f"no such row: {' '.join(sorted(unknown))}; there are {' '.join(row.name for row in rows.ROWS)}")
    return arguments


def main():
    arguments = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sizes = rows.QUICK if arguments.quick else rows.FULL
    if arguments.rounds:
        sizes.rounds = arguments.rounds
    if arguments.keys:
        sizes.keys, sizes.list_keys = arguments.keys, arguments.keys // 2
    chosen = [row for row in rows.ROWS if not arguments.rows or row.name in arguments.rows.split()]
    out = arguments.out or (None if arguments.rows or arguments.quick else "bench")
    directory = tempfile.mkdtemp(prefix="kvd-figures-", dir=arguments.dir)
    start = time.monotonic()
    try:
        bench = Bench(chosen, sizes, arguments, directory)
        fdatasync = disk.fdatasync_us(directory)
        bench.run()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    result = report.Result(bench.figures, bench.curves, load.commands, fdatasync, time.monotonic() - start, bench.failures)
    print("\n" + report.table(result) + ("\nSmall sizes: these figures mean nothing." if arguments.quick else ""))
    if out:
        report.write(result, out)
        print(f"written: {out}/RESULTS.md")
    for failure in bench.failures:
        print(f"no figures: {failure}", file=sys.stderr)
    return 1 if bench.failures else 0


if __name__ == "__main__":
    sys.exit(main())
