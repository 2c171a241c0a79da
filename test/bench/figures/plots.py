"""Plots by gnuplot, as SVG: throughput over time, percentiles of latency, the ratios beside their goals."""
import shutil
import subprocess

import rows

COLORS = {"kvd": "#1f77b4", "etcd": "#d62728"}
TITLES = {"put-1000": "puts, 1,000 clients", "put-1": "puts, 1 client", "get-lin": "linearizable gets, 1,000 clients",
          "get-ser": "serializable gets, 1,000 clients"}


def gnuplot(script):
    subprocess.run(["gnuplot"], input=script, text=True, check=True, stdout=subprocess.DEVNULL)


def block(name, points):
    """A data block of gnuplot's."""
    return f"${name} << END\n" + "\n".join(" ".join(str(value) for value in point) for point in points) + "\nEND\n"


def panels(result, kind, setup, using):
    """One panel per row, a line per server."""
    names = [row for row in TITLES if any(row == of and curve[kind] for (of, _), curve in result.curves.items())]
    if not names:
        return None
    script = setup + f"set multiplot layout {(len(names) + 1) // 2},2\n"
    for row in names:
        lines = []
        for server, color in COLORS.items():
            points = result.curves.get((row, server), {}).get(kind)
            if points:
                name = f"{row}_{server}".replace("-", "_")
                script += block(name, points)
                lines.append(f'${name} using {using} with lines lw 2 lc rgb "{color}" title "{server}"')
        script += f'set title "{TITLES[row]}"\nplot ' + ", ".join(lines) + "\n"
    return script + "unset multiplot\n"


def terminal(out, name, height, width=900):
    return f'set terminal svg size {width},{height} font "sans,12" background "white"\nset output "{out}/{name}.svg"\nset grid\n'


def ratio_bars(result, out):
    """How far from the goal: 1 is reached exactly, less is better."""
    from report import judge
    import statistics
    bars = []
    for goal in rows.GOALS:
        kvd, _, ratios, is_reached = judge(result, goal)
        if is_reached is None:
            continue
        value = kvd if goal.is_own else statistics.median(ratios)
        share = value / goal.bound if goal.order == "<=" else goal.bound / max(value, 1e-9)
        bars.append((goal.label.replace('"', ""), max(share, 1e-3), 0x2ca02c if is_reached else 0xd62728))
    if not bars:
        return None
    bars.reverse()
    points = block("bars", [(i, share, color, f'"{label}"') for i, (label, share, color) in enumerate(bars)])
    return points + terminal(out, "goals", 160 + 26 * len(bars), 1200) + f"""set title "1 = the goal is just reached, less is better"
set logscale x
set xrange [0.001:*]
set yrange [-0.7:{len(bars) - 0.3}]
set style fill solid
set arrow from 1, graph 0 to 1, graph 1 nohead lw 2 lc rgb "black" front
plot $bars using 2:1:(0.001):2:($1-0.35):($1+0.35):3:ytic(4) with boxxyerror lc rgb variable notitle
"""


def draw(result, out):
    """[(what it shows, file name)] of what was drawn."""
    if shutil.which("gnuplot") is None:
        return []
    drawn = []
    for title, name, script in (
            ("Goals", "goals", ratio_bars(result, out)),
            ("Throughput over time", "throughput",
             panels(result, "rate", terminal(out, "throughput", 700) +
                    'set xlabel "s"\nset ylabel "calls/s"\nset yrange [0:*]\nset key opaque\n', "1:2")),
            ("Percentiles of latency", "latency",
             panels(result, "latency", terminal(out, "latency", 700) +
                    'set xlabel "share of calls that were faster"\nset ylabel "µs"\nset logscale xy\nset key left\n'
                    'set xtics ("50 %%" 2, "90 %%" 10, "99 %%" 100, "99.9 %%" 1000, "99.99 %%" 10000)\n', "(1/(1-$1)):2"))):
        if script:
            gnuplot(script)
            drawn.append((title, f"{name}.svg"))
    return drawn
