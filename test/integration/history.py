"""Histories of concurrent clients, and the check that they are linearizable.

The check needs no search, because each write tells its place in the one order that there is. Every write of the workload
is one transaction that also puts a key of its own, "log/ID"; so it takes exactly one revision, whatever else it does, and
the store itself holds the complete list "revision → write" at the end, the writes with unknown outcome included. Then:

  committed   each acknowledged write stands at the revision that was told; no refused one stands anywhere; no write
              stands twice; no write stands that nobody made
  contiguous  the revisions of the log have no gap (a write that was applied twice would leave one)
  real time   what has revision R finished before an operation started ⇒ that operation's revision is > R (a write) or
              >= R (a linearizable read); nothing is seen before it was asked for
  values      every read, serializable ones too, equals the replay of the log up to the read's revision
  sessions    one client's reads of one run of one member never go back

A record is a dict, so that the history file (JSON lines) is the same thing:
  id, client, member, boot, kind (write | read | cas), start_ns, end_ns, outcome (ok | unknown | refused), text
  revision    of the answer's header
  effects     write, cas: {key: value or None for a deletion}, without the log key
  compare     cas: [key, mod_revision]; is_taken: whether the comparison held
  seen        read: {key: [value, mod_revision]} of all shared keys; serializable: bool
"""

import bisect
import json

LOG_PREFIX = "log/"
SHARED_PREFIX = "s/"


def write_jsonl(path, records):
    with open(path, "w") as file:
        for record in records:
            file.write(json.dumps(record, sort_keys=True) + "\n")


class _Replay:
    """The state of the shared keys at any revision."""

    def __init__(self):
        self._versions = {}     # key → ([revision], [value or None])

    def apply(self, revision, effects):
        for key, value in effects.items():
            revisions, values = self._versions.setdefault(key, ([], []))
            if value is None and (not values or values[-1] is None):
                continue
            revisions.append(revision)
            values.append(value)

    def get(self, key, revision):
        """[value, mod_revision] at that revision, or None."""
        revisions, values = self._versions.get(key, ([], []))
        at = bisect.bisect_right(revisions, revision) - 1
        return None if at < 0 or values[at] is None else [values[at], revisions[at]]

    def state(self, revision):
        pairs = ((key, self.get(key, revision)) for key in self._versions)
        return {key: pair for key, pair in pairs if pair is not None}


def _check_committed(records, log, base_revision, errors):
    """`log`: [(id, create_revision, mod_revision, version)]. Answers id → revision."""
    by_id = {record["id"]: record for record in records if record["kind"] in ("write", "cas")}
    committed = {}
    for name, create_revision, mod_revision, version in log:
        committed[name] = create_revision
        if version != 1 or create_revision != mod_revision:
            errors.append("applied twice: %s at %d and %d" % (name, create_revision, mod_revision))
        if name not in by_id:
            errors.append("nobody wrote %s, which stands at %d" % (name, create_revision))
    for name, record in by_id.items():
        is_effective = record["outcome"] == "ok" and record.get("is_taken", True)
        if is_effective and name not in committed:
            errors.append("lost: acknowledged write %s of revision %d" % (name, record["revision"]))
        elif is_effective and committed[name] != record["revision"]:
            errors.append("%s was told %d and stands at %d" % (name, record["revision"], committed[name]))
        elif record["outcome"] != "unknown" and not is_effective and name in committed:
            errors.append("refused, yet it stands at %d: %s" % (committed[name], name))
    revisions = sorted(committed.values())
    for expected, revision in enumerate(revisions, base_revision + 1):
        if revision != expected:
            errors.append("revisions are not contiguous: %d where %d was due" % (revision, expected))
            break
    return committed


def _check_real_time(operations, errors):
    """`operations`: (start_ns, end_ns or None, revision, is_write, is_linearizable, id)."""
    ends = sorted((end, revision) for _, end, revision, _, _, _ in operations if end is not None)
    floor, position = 0, 0
    for start, _, revision, is_write, is_linearizable, name in sorted(operations, key=lambda op: op[0]):
        while position < len(ends) and ends[position][0] < start:
            floor = max(floor, ends[position][1])
            position += 1
        if is_write and revision <= floor:
            errors.append("write %s got revision %d, but %d was done before it started" % (name, revision, floor))
        elif is_linearizable and revision < floor:
            errors.append("stale: %s saw revision %d, but %d was done before it started" % (name, revision, floor))


def _check_causes(records, committed, by_id, errors):
    """No answer may show a write that had not been asked for yet."""
    order = sorted((revision, by_id[name]["start_ns"]) for name, revision in committed.items() if name in by_id)
    revisions = [revision for revision, _ in order]
    latest = []
    for _, start in order:
        latest.append(max(start, latest[-1]) if latest else start)
    for record in records:
        if record["outcome"] != "ok":
            continue
        at = bisect.bisect_right(revisions, record["revision"]) - 1
        if at >= 0 and latest[at] > record["end_ns"]:
            errors.append("%s saw revision %d before that was written" % (record["id"], record["revision"]))


def _check_values(records, replay, errors):
    for record in records:
        if record["outcome"] != "ok":
            continue
        if record["kind"] == "read":
            expected = replay.state(record["revision"])
            if record["seen"] != expected:
                keys = [key for key in set(expected) | set(record["seen"])
                        if expected.get(key) != record["seen"].get(key)]
                errors.append("%s at revision %d: %s is %s and was read as %s" % (
                    record["id"], record["revision"], keys[0], expected.get(keys[0]), record["seen"].get(keys[0])))
        elif record["kind"] == "cas":
            key, mod_revision = record["compare"]
            before = record["revision"] - (1 if record["is_taken"] else 0)
            found = replay.get(key, before)
            holds = (found[1] if found else 0) == mod_revision
            if holds != record["is_taken"]:
                errors.append("lost update: %s compared %s with %d, it stood at %s" % (
                    record["id"], key, mod_revision, found))


def _check_sessions(records, errors):
    last = {}
    for record in sorted((r for r in records if r["kind"] == "read" and r["outcome"] == "ok"),
                         key=lambda r: r["start_ns"]):
        session = (record["client"], record["member"], record["boot"])
        if record["revision"] < last.get(session, 0):
            errors.append("%s went back from revision %d to %d on %s" % (
                record["id"], last[session], record["revision"], record["member"]))
        last[session] = max(record["revision"], last.get(session, 0))


def violations(records, log, base_revision=1):
    """Everything that is wrong with a history, as sentences; [] if it is linearizable."""
    errors = []
    committed = _check_committed(records, log, base_revision, errors)
    by_id = {record["id"]: record for record in records}
    replay = _Replay()
    for name, revision in sorted(committed.items(), key=lambda item: item[1]):
        if name in by_id:
            replay.apply(revision, by_id[name]["effects"])
    operations = []
    for record in records:
        is_write = record["kind"] != "read" and record["id"] in committed
        if record["outcome"] != "ok" and not is_write:
            continue
        revision = committed[record["id"]] if is_write else record["revision"]
        end_ns = record["end_ns"] if record["outcome"] == "ok" else None
        is_linearizable = not record.get("serializable", False)
        operations.append((record["start_ns"], end_ns, revision, is_write, is_linearizable, record["id"]))
    _check_real_time(operations, errors)
    _check_causes(records, committed, by_id, errors)
    _check_values(records, replay, errors)
    _check_sessions(records, errors)
    return errors
