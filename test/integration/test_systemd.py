#!/usr/bin/python3
"""Is a service manager told the truth? A socket of ours stands in for systemd's.

READY only when the member serves; the watchdog fed as long as every role answers, and not while one of them hangs, whichever it is (a tracer stops
that thread alone); RELOADING and READY around a SIGHUP, which reads the log level again; STOPPING before the end.
"""

import ctypes
import os
import signal
import socket
import time

from kvtest import IS_SHORT, Cluster, check, clean_environment, main, needs_kvd, wait_until

BUDGET_S = 60
WATCHDOG_S = 0.6  # asked for; a round of questions each 0.2 s
ROLES = ("kvd-door", "kvd-net", "kvd-peer", "kvd-raft", "kvd-wal", "kvd-apply", "kvd-watch", "kvd-snap", "kvd-work")
if IS_SHORT:
    ROLES = ROLES[3:5]
PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def _ptrace(request, thread, what):
    check(_libc.ptrace(request, thread, None, None) == 0, "%s of thread %d: %s", what, thread, os.strerror(ctypes.get_errno()))


class Hung:
    """One thread of a process stands still; the others do not notice."""

    def __init__(self, process, name):
        self.thread = _thread_of(process, name)

    def __enter__(self):
        _ptrace(PTRACE_SEIZE, self.thread, "seizing")
        _ptrace(PTRACE_INTERRUPT, self.thread, "stopping")
        os.waitpid(self.thread, 0x40000000)  # __WALL: until it stands
        return self

    def __exit__(self, *error):
        _ptrace(PTRACE_DETACH, self.thread, "letting go")


def _threads(process):
    path = "/proc/%d/task" % process.pid
    names = {}
    for thread in os.listdir(path):
        with open(os.path.join(path, thread, "comm"), encoding="ascii") as file:
            names.setdefault(file.read().strip(), int(thread))
    return names


def _thread_of(process, name):
    names = _threads(process)
    check(name in names, "no thread %s among %s", name, sorted(names))
    return names[name]


class Manager:
    """What a service manager hears."""

    def __init__(self, directory):
        self.path = os.path.join(directory, "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)

    def environment(self, **more):
        return clean_environment(NOTIFY_SOCKET=self.path, **more)

    def hear(self, timeout_s):
        """The lines of the next message, or None."""
        self._socket.settimeout(timeout_s)
        try:
            return self._socket.recv(4096).decode().split("\n")
        except (socket.timeout, BlockingIOError):
            return None

    def wait_for(self, word, timeout_s=15.0):
        """Hears until a message has this line; answers all lines heard."""
        heard, end = [], time.monotonic() + timeout_s
        while time.monotonic() < end:
            lines = self.hear(max(0.01, end - time.monotonic()))
            heard += lines or []
            if lines and any(line.split("=")[0] == word.split("=")[0] and line.startswith(word) for line in lines):
                return heard
        check(False, "%s was not told within %.1f s; told were %s", word, timeout_s, heard)

    def is_quiet(self, quiet_s, timeout_s):
        """Whether there comes a time of so many seconds without a message."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            if self.hear(quiet_s) is None:
                return True
        return False

    def close(self):
        self._socket.close()


class Service:
    """One member that a manager has started."""

    def __init__(self, flags=(), watchdog_s=0.0):
        self.cluster = Cluster(1, flags=flags)
        self.member = self.cluster.members[0]
        self.manager = Manager(self.member.directory)
        more = {"WATCHDOG_USEC": str(int(watchdog_s * 1e6))} if watchdog_s else {}
        self.environment = self.manager.environment(**more)

    def __enter__(self):
        self.member.start(is_waiting=False, environment=self.environment)
        self.manager.wait_for("READY=1")
        return self

    def __exit__(self, *error):
        self.manager.close()
        return self.cluster.__exit__(*error)


def test_ready_is_told_when_the_member_serves_and_not_before():
    cluster = Cluster(3)
    first, second = cluster.members[0], cluster.members[1]
    manager = Manager(first.directory)
    try:
        first.start(is_waiting=False, environment=manager.environment(WATCHDOG_USEC=str(int(WATCHDOG_S * 1e6))))
        heard = []
        end = time.monotonic() + 2.0
        while time.monotonic() < end:  # alone it serves nobody
            heard += manager.hear(0.2) or []
        check("READY=1" not in heard, "told before there was a quorum: %s", heard)
        second.start(is_waiting=False)
        manager.wait_for("READY=1")
        first.client.put(b"k", b"v")
    finally:
        manager.close()
        cluster.__exit__(None, None, None)


def test_the_watchdog_is_fed_again_and_again_also_when_nothing_happens():
    needs_kvd("the watchdog")
    with Service(watchdog_s=WATCHDOG_S) as service:
        for _ in range(6):
            service.manager.wait_for("WATCHDOG=1")


def test_a_role_that_hangs_stops_the_feeding_whichever_it_is():
    needs_kvd("the watchdog")
    with Service(watchdog_s=WATCHDOG_S) as service:
        for role in ROLES:
            service.manager.wait_for("WATCHDOG=1")
            with Hung(service.member.process, role):
                check(service.manager.is_quiet(2 * WATCHDOG_S, 10 * WATCHDOG_S), "fed although %s hangs", role)
            service.manager.wait_for("WATCHDOG=1")  # it goes on where it stood
            wait_until(lambda: '"names":"%s"' % role in service.member.log(), 5.0, "who hangs is told")
        service.member.client.put(b"k", b"v")


def test_without_a_watchdog_nothing_is_fed():
    needs_kvd("no watchdog")
    with Service() as service:
        heard = service.manager.hear(1.0)
        check(heard is None, "told %s", heard)


def test_stopping_is_told_and_the_end_is_clean():
    needs_kvd("STOPPING=1")
    with Service(watchdog_s=WATCHDOG_S) as service:
        service.member.process.terminate()
        service.manager.wait_for("STOPPING=1")
        check(service.member.wait_exit() == 0, "exit code")


def _configure(path, level, flags):
    """A YAML file of the flags of a command line."""
    with open(path + ".new", "w", encoding="ascii") as file:
        for at in range(0, len(flags), 2):
            file.write("%s: \"%s\"\n" % (flags[at].lstrip("-"), flags[at + 1]))
        file.write("log-level: %s\n" % level)
    os.rename(path + ".new", path)


def test_sighup_reads_the_log_level_again():
    needs_kvd("SIGHUP")
    service = Service()
    member, manager = service.member, service.manager
    path = os.path.join(member.directory, "kvd.yml")
    words = member.command()
    _configure(path, "info", words[1:])
    member.command = lambda: [words[0], "--config-file", path]
    with service:
        check('"level":"debug"' not in member.log(), "debug before it was asked for")

        def reload():
            member.process.send_signal(signal.SIGHUP)
            heard = manager.wait_for("RELOADING=1")
            check(any(line.startswith("MONOTONIC_USEC=") for line in heard), "%s", heard)
            if "READY=1" not in heard[heard.index("RELOADING=1"):]:
                manager.wait_for("READY=1")

        _configure(path, "error", words[1:])
        reload()
        size = len(member.log())
        _configure(path, "debug", words[1:] + ["--max-txn-ops", "77"])
        reload()
        wait_until(lambda: '"settings":"max-txn-ops"' in member.log()[size:], 5.0, "told")
        check('"log-level":"debug"' in member.log()[size:], "%s", member.log()[size:])
        _configure(path, "loud", words[1:])
        reload()
        wait_until(lambda: "kvd.yml" in member.log()[size:] and "nothing is changed" in member.log()[size:], 5.0, "told")
        member.client.put(b"k", b"v")


if __name__ == "__main__":
    main(globals(), BUDGET_S)
