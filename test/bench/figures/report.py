"""What came out: the table of goals, RESULTS.md, the plots."""
import json
import math
import os
import platform
import statistics
import subprocess
import time
from dataclasses import dataclass

import cluster
import plots
import rows


@dataclass
class Result:
    figures: dict      # {(row, server): [figures of each round]}
    curves: dict
    commands: dict
    fdatasync: dict
    took_s: float
    failures: list


def short(value):
    """Four digits at least, and no exponent."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(digits, 3)}f}"


# --- the goals

def median_of(result, row, server, figure):
    rounds = [figures[figure] for figures in result.figures.get((row, server), []) if figure in figures]
    return statistics.median(rounds) if rounds else None


def ratios_of(result, row, figure):
    """kvd's to etcd's, round by round."""
    sides = [[figures[figure] for figures in result.figures.get((row, server), [])] for server in ("kvd", "etcd")]
    return [kvd / etcd for kvd, etcd in zip(*sides) if etcd]


def judge(result, goal):
    """(kvd, etcd, ratios, is_reached or None)"""
    kvd, etcd = (median_of(result, goal.row, server, goal.figure) for server in ("kvd", "etcd"))
    ratios = ratios_of(result, goal.row, goal.figure)
    value = kvd if goal.is_own else statistics.median(ratios) if ratios else None
    if value is None:
        return kvd, etcd, ratios, None
    return kvd, etcd, ratios, value <= goal.bound if goal.order == "<=" else value >= goal.bound


def goal_lines(result):
    """Of each goal whose row was run: label, goal, kvd, etcd, ratio, reached."""
    for goal in rows.GOALS:
        if not any(row == goal.row for row, _ in result.figures):
            continue
        kvd, etcd, ratios, is_reached = judge(result, goal)
        bound = ("≤ " if goal.order == "<=" else "≥ ") + (goal.text or short(goal.bound)) + (f" {goal.unit}" if goal.is_own else " ×")
        ratio = "–"
        if ratios and goal.unit != "×": # of two ratios none is made
            ratio = short(statistics.median(ratios))
            if len(ratios) > 1:
                ratio += f" ({short(min(ratios))}–{short(max(ratios))})"
        yield (goal.label, bound, *(f"{short(value)} {goal.unit}" if value is not None else "–" for value in (kvd, etcd)), ratio,
               "–" if is_reached is None else "yes" if is_reached else "NO")


HEAD = ("figure", "goal", "kvd", "etcd", "kvd / etcd", "reached")


def table(result):
    lines = [HEAD, *goal_lines(result)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEAD))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


def markdown(head, lines):
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *lines))


# --- RESULTS.md

def output_of(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "?"


def first_value(path, name):
    with open(path, encoding="utf-8") as file:
        return next((line.split(":", 1)[1].strip() for line in file if line.startswith(name)), "?")


def machine(result):
    floor = median_of(result, "get-ser", "kvd", "floor_cpu_us")
    call, disk_us = (median_of(result, "put-1", "kvd", figure) for figure in ("floor_call_us", "floor_disk_us"))
    lone = f"2 × {short(call)} + {short(disk_us)} = {short(2 * call + disk_us)} µs" if call else "not measured"
    disk = output_of("findmnt", "-no", "FSTYPE,SOURCE", "-T", ".").split()
    return [
        ("processor", f"{first_value('/proc/cpuinfo', 'model name')}, {os.cpu_count()} cores"),
        ("memory", f"{int(first_value('/proc/meminfo', 'MemTotal').split()[0]) / 2**20:.1f} GiB"),
        ("kernel", platform.release()),
        ("file system", disk[0] if disk else "?"),
        ("4 KiB and fdatasync, p50 / p99", f"{short(result.fdatasync['p50_us'])} / {short(result.fdatasync['p99_us'])} µs"),
        ("an empty gRPC server, per call", f"{short(floor)} µs" if floor else "not measured"),
        ("the least wait of a lone put: two calls of an empty gRPC server, three disks at once, p50", lone),
        ("kvd", output_of(cluster.PROGRAMS["kvd"], "--version").splitlines()[0] + ", commit " + output_of("git", "describe", "--always", "--dirty")),
        ("etcd", output_of("dpkg-query", "-W", "-f", "${Version}", "etcd-server")),
        ("gRPC", output_of("dpkg-query", "-W", "-f", "${Version}", "libgrpc-dev")),
    ]


def all_figures(result):
    names = {}
    for (row, server), rounds in result.figures.items():
        for figures in rounds:
            for name, value in figures.items():
                names.setdefault((row, name), {}).setdefault(server, []).append(value)
    for (row, name), servers in names.items():
        yield (row, name, *(" ".join(short(value) for value in servers.get(server, [])) or "–" for server in ("kvd", "etcd")))


def write(result, out):
    os.makedirs(out, exist_ok=True)
    pictures = plots.draw(result, out)
    lines = list(goal_lines(result))
    missed = [line[0] for line in lines if line[-1] == "NO"]
    commands = "\n".join(f"    # {row}\n" + "\n".join(f"    {command}" for command in some) for row, some in result.commands.items())
    text = f"""# What kvd costs beside etcd

Written by `make bench` on {time.strftime('%Y-%m-%d')}, in {result.took_s / 60:.0f} min. Three members each on loopback, 8-byte keys and
256-byte values, both with fsync and else their defaults, one cluster at a time in turns; clients and servers on the same machine. Medians of
the rounds, and in brackets the least and the greatest ratio of a round.
[test/bench/figures/rows.py](../test/bench/figures/rows.py) says how each row is measured.

{markdown(HEAD, lines)}

{len(lines) - len(missed)} of {len(lines)} goals are reached.{" Missed:" if missed else ""}

{chr(10).join(f'* {one}' for one in missed)}

{chr(10).join(f'![{name}]({file})' for name, file in pictures) or 'No plots: gnuplot is not installed.'}

## Machine

{markdown(('', ''), machine(result))}

## All figures, round by round

{markdown(('row', 'figure', 'kvd', 'etcd'), all_figures(result))}

## Commands

Process ids and ports are those of the run.

{commands}
"""
    if result.failures:
        text += "\n## Rows without figures\n\n" + "\n".join(f"* {failure}" for failure in result.failures) + "\n"
    with open(f"{out}/RESULTS.md", "w", encoding="utf-8") as file:
        file.write(text)
    with open(f"{out}/results.json", "w", encoding="utf-8") as file:
        figures = [[row, server, rounds] for (row, server), rounds in result.figures.items()]
        json.dump({"figures": figures, "fdatasync": result.fdatasync}, file, indent=1)
        file.write("\n")
