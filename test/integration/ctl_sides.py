"""Debian's etcdctl 3.4 and kvctl beside each other: every command runs once on each side, in the same order, so that even revisions must agree;
exit codes, standard output and the error are compared. What differs, each with its reason:

  cluster_id, member_id, raft_term, ids of leases and members, TTLs that run    are each server's own.
  "(the request may have been carried out …)"    kvctl says what a caller should know of a write whose fate is open.
  a word that has no place, a number or a flag that cannot be parsed    other words than Go's libraries have; the exit code is the same.
  lease timetolive, alarm: the order of keys and of leases    is not specified.
  lease revoke -w protobuf    etcdctl cannot print its own answer, and kvctl prints it.
  alarm list    etcdctl loses the header of a kvd's answer where it has none of an etcd's; -w json of a kvd has it.
  words too many    etcdctl 3.4 passes over some; kvctl refuses them. Not on the list.
  put --ttl, history, watchers, get --min-create-rev …, del --range    are kvctl's own, or younger than 3.4: not on the list.
"""

import json
import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor

from kvtest import ROOT, Cluster, check, clean_environment, rpc

KVCTL = os.environ.get("KVCTL_BINARY", os.path.join(ROOT, "bin", "kvctl"))
# What -w protobuf prints, by the beginnings of commands: the longest that fits. Of leases etcdctl prints the header alone; all else is text.
PROTOBUF = {
    "put": rpc.PutResponse, "get": rpc.RangeResponse, "del": rpc.DeleteRangeResponse, "txn": rpc.TxnResponse, "alarm": rpc.AlarmResponse,
    "lease": rpc.ResponseHeader, "lease revoke": rpc.LeaseRevokeResponse, "member list": rpc.MemberListResponse,
    "role add": rpc.AuthRoleAddResponse, "role get": rpc.AuthRoleGetResponse, "role list": rpc.AuthRoleListResponse,
    "role grant": rpc.AuthRoleGrantPermissionResponse, "role revoke": rpc.AuthRoleRevokePermissionResponse, "role delete": rpc.AuthRoleDeleteResponse,
    "user add": rpc.AuthUserAddResponse, "user get": rpc.AuthUserGetResponse, "user list": rpc.AuthUserListResponse,
    "user delete": rpc.AuthUserDeleteResponse, "user passwd": rpc.AuthUserChangePasswordResponse,
    "user grant": rpc.AuthUserGrantRoleResponse, "user revoke": rpc.AuthUserRevokeRoleResponse,
}
OWN_JSON = {"cluster_id", "member_id", "raft_term", "ID", "id", "lease", "ttl", "name", "peerURLs", "clientURLs"}



class Side:
    """One tool on its own server."""

    def __init__(self, tool, member):
        self.tool, self.member, self.lease = tool, member, "77"

    def run(self, line, text, output):
        words = [word.strip("'") for word in line.replace("{lease}", self.lease).split(" ")]
        done = subprocess.run([self.tool, "--endpoints", self.member.target, "-w", output] + words, capture_output=True, input=text.encode(),
                              env=clean_environment(ETCDCTL_API="3"), timeout=20)
        errors = [one for one in done.stderr.decode().splitlines() if not one.startswith('{"level"')]
        error = next((one for one in errors if one.startswith("Error: ")), "")
        if output == "protobuf":
            return self.neutral_protobuf(line, done, error)
        out = done.stdout.decode()
        found = re.match(r"lease ([0-9a-f]{16}) granted", out)
        if found:
            self.lease = found.group(1)
        elif line.startswith("lease grant"):
            self.lease = "%x" % json.loads(out)["ID"]
        if line.startswith("alarm ") and output == "json":
            out = json.dumps({name: value for name, value in json.loads(out).items() if name != "header"})
        return done.returncode, self.neutral(out), self.neutral_error(error)

    def neutral_protobuf(self, line, done, error):
        """The message, its bytes being those that protobuf would write, without what is each server's own."""
        kind = next((PROTOBUF[name] for name in sorted(PROTOBUF, key=len, reverse=True) if line.startswith(name)), None)
        if line.startswith("lease revoke") and (done.returncode == 0 or "marshal unsupported" in error):
            return 0, "its own"
        if kind is None or done.returncode != 0:
            return done.returncode, self.neutral(done.stdout.decode()), self.neutral_error(error)
        if line.startswith("lease grant"):
            self.lease = "%x" % self.member.client.call("LeaseLeases", rpc.LeaseLeasesRequest()).leases[0].ID
        message = kind.FromString(done.stdout)
        check(message.SerializeToString() == done.stdout, "%s: %s", line, done.stdout)
        if line.startswith("alarm "):
            message.ClearField("header")
        return done.returncode, self.without_own_fields(message), error

    def without_own_fields(self, message):
        for field, value in message.ListFields():
            if field.message_type is None:
                if field.name in OWN_JSON | {"ID"}:
                    message.ClearField(field.name)
            elif field.label == field.LABEL_REPEATED:
                for one in value:
                    self.without_own_fields(one)
            else:
                self.without_own_fields(value)
        return message

    def neutral(self, out):
        if "{\"" in out:
            return [self.without_own(json.loads(line)) if line.startswith("{") else line for line in out.splitlines()]
        out = re.sub(r"(remaining|keepalived with TTL|TTL)\([^)]*\)", r"\1(N)", re.sub(r"\b[0-9a-f]{15,16}\b", "ID", out))
        return re.sub(r"http://[0-9.:]+", "URL", out)

    def without_own(self, value):
        if isinstance(value, dict):
            return {name: self.without_own(one) if name not in OWN_JSON else "own" for name, one in value.items()}
        return [self.without_own(one) for one in value] if isinstance(value, list) else value

    @staticmethod
    def neutral_error(line):
        line = re.sub(r" \(the request may have been carried out.*", "", line)
        line = re.sub(r"\(strconv[^)]*\)", "(zz)", re.sub(r"\[?127\.0\.0\.1:\d+\]?", "SERVER", line))
        return re.sub(r"\b[0-9a-f]{15,16}\b", "ID", line)


def compare(sides, commands, pool, outputs=("simple", "json")):
    """All commands in each format, each side at its own speed. What failed in the first format, and so changed nothing, runs in that one only."""
    differences, runs = [], 0
    lines = [one if isinstance(one, tuple) else (one, "") for one in commands]
    for output in outputs:
        seen = list(pool.map(lambda side: [side.run(line, text, output) for line, text in lines], sides))
        for side, own in zip(sides[1:], seen[1:]):
            for (line, _), expected, one in zip(lines, seen[0], own):
                if one != expected:
                    differences.append("%s -w %s\n    %s\n    %s (%s on %s)" % (line, output, expected, one, side.tool, side.member.binary))
        runs += len(lines)
        lines = [line for line, one in zip(lines, seen[0]) if one[0] == 0]
    check(not differences, "%d of %d differ:\n%s", len(differences), runs, "\n".join(differences[:8]))
    return runs


def compare_on(servers, tools, lists, flags=()):
    """Each tool on a server of its own; how many outputs are the same."""
    clusters = [Cluster(1, binary=binary, flags=flags) for binary in servers]
    with ThreadPoolExecutor(len(servers)) as pool:
        try:
            list(pool.map(lambda cluster: cluster.start(), clusters))
            sides = [Side(tool, cluster.members[0]) for tool, cluster in zip(tools, clusters)]
            return sum(compare(sides, commands, pool, outputs) for commands, outputs in lists)
        finally:
            for cluster in clusters:
                cluster.__exit__(None, None, None)


def kvctl(member, *words, input=b"", environment=None):
    done = subprocess.run([KVCTL, "--endpoints", member.target] + list(words), capture_output=True, input=input,
                          env=clean_environment(**(environment or {})), timeout=30)
    return done.returncode, done.stdout.decode(), done.stderr.decode()
