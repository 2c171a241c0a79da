"""Histories of concurrent clients, and the check that they are strictly serializable: by bin/check_history, which judges the
simulator's histories, too (test/lib/kv_history.h says how, test/lib/kv_history_json.h the file).

The check needs no search, because each write tells its place in the one order that there is. Every write of the workload
is one transaction that also puts a key of its own, "log/ID"; so it takes exactly one revision, whatever else it does, and
the store itself holds the complete list "revision → write" at the end, the writes with unknown outcome included. For the
check all of them are puts of one key, "log", which nobody reads. What only that list tells is looked at here: no write
stands twice, and none that nobody made.

A record is a dict:
  id, client, member, boot, kind (write | read | cas), start_ns, end_ns, outcome (ok | unknown | refused), text
  revision    of the answer's header
  effects     write, cas: {key: value or None for a deletion}, without the log key; deleted: how many the answer counts
  compare     cas: [key, mod_revision]; is_taken: whether the comparison held
  seen        read: [[key, value, create_revision, mod_revision, version]] of all shared keys; serializable: bool
"""

import json
import os
import subprocess

LOG_PREFIX = "log/"
SHARED_PREFIX = "s/"
SHARED_END = "s0"
PLACES = 1 << 20        # between two revisions: what changed nothing stands behind the write of its revision

CHECKER = os.path.abspath(os.environ.get("KVD_CHECK_HISTORY", os.path.join(os.path.dirname(__file__), "..", "..", "bin", "check_history")))


def _request(record):
    if record["kind"] == "read":
        return {"range": {"key": SHARED_PREFIX, "range_end": SHARED_END, "serializable": record["serializable"]}}
    steps = [{"put": {"key": "log", "value": record["id"]}}]
    for key, value in record["effects"].items():
        steps.append({"delete": {"key": key}} if value is None else {"put": {"key": key, "value": value}})
    compares = []
    if "compare" in record:
        key, mod_revision = record["compare"]
        compares.append({"key": key, "target": "mod", "result": "=", "number": mod_revision})
    return {"txn": {"compare": compares, "success": steps, "failure": []}}


def _response(record):
    if record["kind"] == "read":
        return {"kvs": record["seen"], "count": len(record["seen"])}
    answers = [{}] + [{"deleted": record["deleted"]} if value is None else {} for value in record["effects"].values()]
    is_taken = record.get("is_taken", True)
    return {"succeeded": is_taken, "responses": answers if is_taken else []}


def _lines(records, places):
    """The operations as lines of a file. `places`: id → revision, from the store."""
    servers = {}
    for number, record in enumerate(records):
        is_ok = record["outcome"] == "ok"
        server = servers.setdefault((record["member"], record["boot"]), len(servers))
        line = {"process": record["client"], "server": server, "call": record["start_ns"],
                "return": record["end_ns"] if record["outcome"] != "unknown" else None, "outcome": record["outcome"],
                "request": _request(record)}
        if is_ok:
            line.update(revision=record["revision"], response=_response(record))
        if record["id"] in places:
            line["place"] = places[record["id"]] * PLACES
        elif is_ok and not record.get("is_taken", True):
            line["place"] = record["revision"] * PLACES + 1 + number
        yield line


def violations(records, log, path):
    """Everything that is wrong with a history, as sentences; [] if it is linearizable. It stays in the file `path`.
    `log`: [(id, create_revision, mod_revision, version)], the store's own list."""
    errors = []
    known = {record["id"] for record in records if record["kind"] != "read"}
    for name, create_revision, mod_revision, version in log:
        if version != 1 or create_revision != mod_revision:
            errors.append("applied twice: %s at %d and %d" % (name, create_revision, mod_revision))
        if name not in known:
            errors.append("nobody wrote %s, which stands at %d" % (name, create_revision))
    with open(path, "w") as file:
        for line in _lines(records, {name: create_revision for name, create_revision, _, _ in log}):
            file.write(json.dumps(line, sort_keys=True) + "\n")
    done = subprocess.run([CHECKER, path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False)
    if done.returncode != 0:
        errors.append("exit %d: %s" % (done.returncode, done.stdout.strip()[:2000]))
    return errors
