"""Clusters of kvd, of Debian's etcd, or of bare echo servers on loopback, and what the system knows of their processes."""
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import time

import probe
import wire

PROGRAMS = {"kvd": os.environ.get("KVD_BINARY", "bin/kvd"), "etcd": "/usr/bin/etcd"}


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def end(process):
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Processes:
    """Processes that are measured together."""

    def __init__(self):
        self.processes, self.endpoints = [], []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            end(process)

    @property
    def pids(self):
        return [process.pid for process in self.processes if process.poll() is None]

    def cpu_s(self):
        """Run time of all their threads."""
        total = 0
        for pid in self.pids:
            for task in os.listdir(f"/proc/{pid}/task"):
                try:
                    with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
                        total += int(file.read().split()[0])
                except OSError:
                    pass  # a thread that ended meanwhile
        return total / 1e9

    def status_bytes(self, name):
        """VmRSS, VmHWM, RssAnon…: of each process."""
        out = []
        for pid in self.pids:
            with open(f"/proc/{pid}/status", encoding="ascii") as file:
                out += [int(line.split()[1]) * 1024 for line in file if line.startswith(name + ":")]
        return out

    def forget_peaks(self):
        for pid in self.pids:
            with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as file:
                file.write("5")


class Echo(Processes):
    def __init__(self, program, count, value_size):
        super().__init__()
        for port in free_ports(count):
            process = subprocess.Popen([program, "--listen", f"127.0.0.1:{port}", "--value-size", str(value_size)], stdout=subprocess.PIPE,
                                       stdin=subprocess.DEVNULL, preexec_fn=die_with_parent)
            self.processes.append(process)
            self.endpoints.append(f"127.0.0.1:{port}")
            if process.stdout.readline() != b"ready\n":
                raise RuntimeError(f"{program} does not serve")


class Cluster(Processes):
    """Three members with the defaults: both sync every write."""

    def __init__(self, kind, directory, members=3):
        super().__init__()
        self.kind, self.directory = kind, directory
        shutil.rmtree(directory, ignore_errors=True)
        os.makedirs(directory)
        ports = free_ports(2 * members)
        self.endpoints = [f"127.0.0.1:{port}" for port in ports[:members]]
        self.peers = [f"http://127.0.0.1:{port}" for port in ports[members:]]
        self.processes = [None] * members
        for number in range(members):
            self.start(number)
        try:
            for number in range(members):
                self.wait_to_serve(number)
        except BaseException:
            self.__exit__()
            raise

    def command(self, number):
        client = f"http://{self.endpoints[number]}"
        return [PROGRAMS[self.kind], "--name", f"m{number}", "--data-dir", f"{self.directory}/m{number}",
                "--initial-cluster", ",".join(f"m{i}={peer}" for i, peer in enumerate(self.peers)),
                "--listen-client-urls", client, "--advertise-client-urls", client,
                "--listen-peer-urls", self.peers[number], "--initial-advertise-peer-urls", self.peers[number]]

    def start(self, number):
        with open(f"{self.directory}/log{number}", "ab") as log:
            self.processes[number] = subprocess.Popen(self.command(number), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                                      preexec_fn=die_with_parent)

    def kill(self, number):
        self.processes[number].kill()
        self.processes[number].wait()

    def wait_to_serve(self, number, timeout=20.0):
        """Until the member answers a linearizable read."""
        try:
            probe.first_read([probe.Target(self.endpoints[number])], timeout)
        except wire.Failed as error:
            with open(f"{self.directory}/log{number}", encoding="utf-8", errors="replace") as log:
                last = "".join(log.readlines()[-1:])
            raise RuntimeError(f"{self.kind}'s member {number} does not serve; its log ends with: {last}") from error

    def leader(self):
        """The number of the member that leads."""
        for _ in range(100):
            states = [wire.status(endpoint) for endpoint in self.endpoints]
            ids = [state[0] for state in states]
            if len({state[1] for state in states}) == 1 and states[0][1] in ids:
                return ids.index(states[0][1])
            time.sleep(0.1)
        raise RuntimeError(f"{self.kind} has no leader")

    def first_of_leader(self):
        """The endpoints, the leader's first."""
        leader = self.leader()
        return [self.endpoints[leader]] + [one for i, one in enumerate(self.endpoints) if i != leader]
