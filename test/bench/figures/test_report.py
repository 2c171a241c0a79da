#!/usr/bin/python3
"""What run.py wrote into a directory: every row has its figures from both servers, and the goals are judged as they should be.

    test/bench/figures/test_report.py DIRECTORY
"""
import json
import sys

sys.dont_write_bytecode = True

import report
import rows

MAY_BE_NOTHING = ("growth_bytes", "overhead_bytes_per_key", "disk_bytes_per_put") # in small sizes, beside others


def result_of(figures):
    return report.Result({key: [dict([figure]) for figure in some] for key, some in figures.items()}, {}, {}, {}, 0, [])


def check_judgement():
    less = rows.Goal("put", "", "us", "µs", "<=", 1 / 6)
    more = rows.Goal("put", "", "us", "µs", ">=", 4)
    own = rows.Goal("put", "", "us", "×", "<=", 1.3, is_own=True)
    for goal, kvd, etcd, is_reached in ((less, 10, 61, True), (less, 10, 59, False), (more, 41, 10, True), (more, 39, 10, False),
                                        (own, 1.3, 0.1, True), (own, 1.4, 9, False), (less, 1, 0, None)):
        result = result_of({("put", "kvd"): [("us", kvd)], ("put", "etcd"): [("us", etcd)]})
        assert report.judge(result, goal)[3] is is_reached, (goal, kvd, etcd)
    rounds = result_of({("put", "kvd"): [("us", 1), ("us", 2), ("us", 30)], ("put", "etcd"): [("us", 10), ("us", 10), ("us", 10)]})
    assert report.judge(rounds, less)[:3] == (2, 10, [0.1, 0.2, 3.0])
    assert report.judge(result_of({("put", "kvd"): [("us", 1)]}), less)[3] is None


def check_written(directory):
    with open(f"{directory}/results.json", encoding="utf-8") as file:
        figures = {(row, server): rounds for row, server, rounds in json.load(file)["figures"]}
    assert set(figures) == {(row.name, server) for row in rows.ROWS for server in ("kvd", "etcd")}
    for goal in rows.GOALS:
        for server in ("kvd", "etcd"):
            value = figures[(goal.row, server)][0][goal.figure]
            assert value > 0 or goal.figure in MAY_BE_NOTHING, f"{goal.row}, {server}: {goal.figure} is {value}"
    with open(f"{directory}/RESULTS.md", encoding="utf-8") as file:
        text = file.read()
    for goal in rows.GOALS:
        assert f"| {goal.label} |" in text, goal.label


check_judgement()
check_written(sys.argv[1])
