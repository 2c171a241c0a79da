"""Real server processes, raw gRPC clients and a small runner: what the integration tests share.

The binary under test is KVD_BINARY (default: bin/kvd of this tree). Debian's etcd may be put there too: that is how the
tests themselves are proved. Every process is started by its own pid and ended by that pid, in `finally` and again at exit.
Directories live below KVTEST_DIR (default: the system's place for temporary files); those of a failed test are kept.
Calls are made by path, with messages generated from proto/ by protoc: nothing is needed but python3-grpcio and
python3-protobuf.
"""

import atexit
import functools
import importlib.util
import os
import queue
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

# A call on a broken connection fails at once and then nobody polls: without this the reconnection waits for five seconds.
os.environ["GRPC_CLIENT_CHANNEL_BACKUP_POLL_INTERVAL_MS"] = "20"
import grpc     # noqa: E402  (reads the line above when it is loaded)

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.path.abspath(os.environ.get("KVD_BINARY", os.path.join(ROOT, "bin", "kvd")))
REFERENCE_BINARY = os.environ.get("KVTEST_REFERENCE", "/usr/bin/etcd")
IS_LONG = os.environ.get("KVD_TEST_LONG", "") == "1"    # full sizes; the gate runs about 1/20 of them
IS_SHORT = os.environ.get("KVTEST_SHORT", "") == "1"    # for sanitizer builds, which are several times slower
READY_TEXT = "ready to serve client requests"
READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0
# A sanitizer's report or a failed assertion in a member's log fails the test, whatever the answers were.
ALARM_TEXTS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "WARNING: ThreadSanitizer", "runtime error:",
               "ASSERT", "assertion failed", "panic:")


def pick(short, gate, long):
    """The size of a test for the kind of run that was asked for."""
    if IS_LONG:
        return long
    return short if IS_SHORT else gate


class Skip(Exception):
    """A test that cannot run here; the reason is printed loudly."""


class Failure(AssertionError):
    """What was expected and what was seen."""


def check(condition, text, *arguments):
    if not condition:
        raise Failure(text % arguments if arguments else text)


# --------------------------------------------------------------------------------------------------------------------
# Messages


def _load_messages():
    """Generates the Python modules of proto/ aside and loads them. The health proto is loaded by file: its package is
    `grpc.health`, which would hide behind the grpc package."""
    out = tempfile.mkdtemp(prefix="kvtest-proto-")
    atexit.register(shutil.rmtree, out, True)
    proto = os.path.join(ROOT, "proto")
    files = ["mvccpb/kv.proto", "authpb/auth.proto", "etcdserverpb/rpc.proto", "v3lockpb/v3lock.proto",
             "v3electionpb/v3election.proto", "grpc/health/v1/health.proto", "kvd/extra.proto"]
    subprocess.run(["protoc", "--proto_path=" + proto, "--python_out=" + out] + files, cwd=proto, check=True)
    sys.path.insert(0, out)
    sys.dont_write_bytecode = True
    from etcdserverpb import rpc_pb2 as rpc_module
    from kvd import extra_pb2 as extra_module
    from mvccpb import kv_pb2 as kv_module
    from v3electionpb import v3election_pb2 as election_module
    from v3lockpb import v3lock_pb2 as lock_module
    spec = importlib.util.spec_from_file_location("kvtest_health", os.path.join(out, "grpc/health/v1/health_pb2.py"))
    health_module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(health_module)
    return rpc_module, kv_module, lock_module, election_module, health_module, extra_module


rpc, kvpb, lockpb, electionpb, health, extra = _load_messages()

# name → (path, response class). The request's class is the caller's business: bytes are accepted as they are.
METHODS = {
    "Range": ("/etcdserverpb.KV/Range", rpc.RangeResponse),
    "Put": ("/etcdserverpb.KV/Put", rpc.PutResponse),
    "DeleteRange": ("/etcdserverpb.KV/DeleteRange", rpc.DeleteRangeResponse),
    "Txn": ("/etcdserverpb.KV/Txn", rpc.TxnResponse),
    "Compact": ("/etcdserverpb.KV/Compact", rpc.CompactionResponse),
    "Status": ("/etcdserverpb.Maintenance/Status", rpc.StatusResponse),
    "HashKV": ("/etcdserverpb.Maintenance/HashKV", rpc.HashKVResponse),
    "Defragment": ("/etcdserverpb.Maintenance/Defragment", rpc.DefragmentResponse),
    "Alarm": ("/etcdserverpb.Maintenance/Alarm", rpc.AlarmResponse),
    "MoveLeader": ("/etcdserverpb.Maintenance/MoveLeader", rpc.MoveLeaderResponse),
    "MemberList": ("/etcdserverpb.Cluster/MemberList", rpc.MemberListResponse),
    "LeaseGrant": ("/etcdserverpb.Lease/LeaseGrant", rpc.LeaseGrantResponse),
    "LeaseRevoke": ("/etcdserverpb.Lease/LeaseRevoke", rpc.LeaseRevokeResponse),
    "LeaseTimeToLive": ("/etcdserverpb.Lease/LeaseTimeToLive", rpc.LeaseTimeToLiveResponse),
    "LeaseLeases": ("/etcdserverpb.Lease/LeaseLeases", rpc.LeaseLeasesResponse),
    "Lock": ("/v3lockpb.Lock/Lock", lockpb.LockResponse),
    "Unlock": ("/v3lockpb.Lock/Unlock", lockpb.UnlockResponse),
    "Campaign": ("/v3electionpb.Election/Campaign", electionpb.CampaignResponse),
    "Proclaim": ("/v3electionpb.Election/Proclaim", electionpb.ProclaimResponse),
    "Leader": ("/v3electionpb.Election/Leader", electionpb.LeaderResponse),
    "Resign": ("/v3electionpb.Election/Resign", electionpb.ResignResponse),
    "Authenticate": ("/etcdserverpb.Auth/Authenticate", rpc.AuthenticateResponse),
    "Health": ("/grpc.health.v1.Health/Check", health.HealthCheckResponse),
    "Features": ("/kvd.v1.Extra/Features", extra.FeaturesResponse),
    "History": ("/kvd.v1.Extra/History", extra.HistoryResponse),
    "Watchers": ("/kvd.v1.Extra/Watchers", extra.WatchersResponse),
    "CancelWatcher": ("/kvd.v1.Extra/CancelWatcher", extra.CancelWatcherResponse),
}

CHANNEL_OPTIONS = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 2000),    # the time limit of one attempt, handshake included
    ("grpc.max_reconnect_backoff_ms", 400),
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
]


def _encode(message):
    return message if isinstance(message, bytes) else message.SerializeToString()


class Reply:
    """The outcome of one call: a response, or a gRPC code (its name) and text."""

    __slots__ = ("response", "code", "text")

    def __init__(self, response, code, text):
        self.response, self.code, self.text = response, code, text

    def __repr__(self):
        return "%s %r" % (self.code, self.text) if self.response is None else "OK " + str(self.response)


def open_channel(target, credentials=None):
    """A connection of its own; plain without credentials."""
    if credentials is None:
        return grpc.insecure_channel(target, options=CHANNEL_OPTIONS)
    return grpc.secure_channel(target, credentials, options=CHANNEL_OPTIONS)


class Client:
    """One connection to one member. `call` raises grpc.RpcError; `ask` answers a Reply; `send` does not wait."""

    def __init__(self, target, credentials=None):
        self.target = target
        self._channel = open_channel(target, credentials)
        self._stubs = {
            name: self._channel.unary_unary(path, request_serializer=_encode, response_deserializer=kind.FromString)
            for name, (path, kind) in METHODS.items()
        }

    def call(self, method, request, timeout_s=10.0):
        return self._stubs[method](request, timeout=timeout_s)

    def send(self, method, request, timeout_s=10.0):
        return self._stubs[method].future(request, timeout=timeout_s)

    def ask(self, method, request, timeout_s=10.0):
        try:
            return Reply(self.call(method, request, timeout_s), "OK", "")
        except grpc.RpcError as error:
            return Reply(None, error.code().name, error.details())

    @staticmethod
    def wait(future):
        try:
            return Reply(future.result(), "OK", "")
        except grpc.RpcError as error:
            return Reply(None, error.code().name, error.details())

    def put(self, key, value, timeout_s=10.0):
        return self.call("Put", rpc.PutRequest(key=key, value=value), timeout_s)

    def get(self, key, timeout_s=10.0, **options):
        return self.call("Range", rpc.RangeRequest(key=key, **options), timeout_s)

    def status(self, timeout_s=2.0):
        return self.call("Status", rpc.StatusRequest(), timeout_s)

    def close(self):
        self._channel.close()


class Stream:
    """One bidirectional stream. With is_reading false nothing is taken from it until `read` is called. `beside`: a stream whose connection
    it shares, and which is closed last."""

    def __init__(self, target, path, response_class, metadata=(), is_reading=True, credentials=None, beside=None):
        self._is_owner = beside is None
        self._channel = open_channel(target, credentials) if beside is None else beside._channel
        self._requests = queue.Queue()
        self._responses = queue.Queue()
        call = self._channel.stream_stream(path, request_serializer=_encode, response_deserializer=response_class.FromString)
        self.call = call(iter(self._requests.get, None), metadata=list(metadata))
        self.error = None
        if is_reading:
            self.read()

    def read(self):
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        try:
            for response in self.call:
                self._responses.put(response)
            self._responses.put(None)
        except grpc.RpcError as error:
            self.error = error
            self._responses.put(None)

    def send(self, request):
        self._requests.put(request)

    def half_close(self):
        self._requests.put(None)

    def poll(self, timeout_s):
        """The next response, or None when none came in time or the stream is over."""
        try:
            return self._responses.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def next(self, timeout_s=10.0):
        try:
            response = self._responses.get(timeout=timeout_s)
        except queue.Empty:
            check(False, "no response within %.1f s", timeout_s)
        check(response is not None, "the stream ended: %s", self.error)
        return response

    def quiet(self, timeout_s=0.3):
        try:
            response = self._responses.get(timeout=timeout_s)
        except queue.Empty:
            return
        check(False, "unexpected: %s (%s)", response, self.error)

    def end(self, timeout_s=10.0):
        """Waits for the end of the stream; answers its code and text."""
        while self._responses.get(timeout=timeout_s) is not None:
            pass
        return ("OK", "") if self.error is None else (self.error.code().name, self.error.details())

    def close(self):
        self.call.cancel()
        self._requests.put(None)
        if self._is_owner:
            self._channel.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.close()


# --------------------------------------------------------------------------------------------------------------------
# Processes

_running = {}       # pid → Popen of every process that was started here and has not been reaped
_ports_taken = set()


def _end_all():
    for process in list(_running.values()):
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()


atexit.register(_end_all)


def free_port():
    """A port below the ephemeral range, so that no outgoing connection of another test takes it in between."""
    for _ in range(1000):
        port = random.SystemRandom().randrange(20000, 32000)
        if port in _ports_taken:
            continue
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _ports_taken.add(port)
        return port
    raise Failure("no free port on 127.0.0.1")


def clean_environment(**more):
    """The environment without what would configure a server or a client behind the test's back."""
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith(("ETCD_", "ETCDCTL_", "KVCTL_", "SERVER_", "NOTIFY_SOCKET"))}
    environment.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
    environment.update(more)
    return environment


def spawn(command, log_path, environment=None, nofile=None, cwd=None):
    """Starts a process with both outputs appended to a log file. The limit is set by a command that execs: a function
    between fork and exec would run gRPC's fork handlers."""
    if nofile:
        command = ["prlimit", "--nofile=%d:%d" % (nofile, nofile)] + command
    with open(log_path, "ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=cwd,
                                   env=environment if environment is not None else clean_environment())
    _running[process.pid] = process
    return process


def reap(process, timeout_s):
    """Waits for the end of a process; answers its exit code (negative: a signal)."""
    code = process.wait(timeout_s)
    _running.pop(process.pid, None)
    return code


@functools.lru_cache(maxsize=None)
def is_kvd():
    """Whether the binary under test is ours, and not Debian's etcd 3.4, which lacks a few things."""
    check(os.access(BINARY, os.X_OK), "no program to test at %s", BINARY)
    text = subprocess.run([BINARY, "--version"], capture_output=True, text=True, env=clean_environment(),
                          timeout=20, check=True).stdout
    return "kvd" in text.lower()


def needs_kvd(what):
    if not is_kvd():
        raise Skip("etcd 3.4 lacks " + what)


def wait_until(condition, timeout_s, what, interval_s=0.02):
    """Polls until the condition answers something true, and answers that."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        check(time.monotonic() < deadline, "not within %.1f s: %s", timeout_s, what)
        time.sleep(interval_s)


class Member:
    """One server: its flags, its directory, its log, and the process if it runs."""

    def __init__(self, name, directory, client_port=None, peer_port=None, flags=(), binary=None):
        self.name, self.directory, self.flags = name, directory, list(flags)
        self.binary = binary or BINARY
        self.client_port = client_port or free_port()
        self.peer_port = peer_port or free_port()
        self.data_dir = os.path.join(directory, name + ".data")
        self.log_path = os.path.join(directory, name + ".log")
        self.initial_cluster = "%s=%s" % (name, self.peer_url)
        self.process = None
        self.is_expected_to_run = False
        self._client = None
        self._log_start = 0

    @property
    def target(self):
        return "127.0.0.1:%d" % self.client_port

    @property
    def client_url(self):
        return "http://" + self.target

    @property
    def peer_url(self):
        return "http://127.0.0.1:%d" % self.peer_port

    def command(self):
        return [self.binary, "--name", self.name, "--data-dir", self.data_dir,
                "--listen-client-urls", self.client_url, "--advertise-client-urls", self.client_url,
                "--listen-peer-urls", self.peer_url, "--initial-advertise-peer-urls", self.peer_url,
                "--initial-cluster", self.initial_cluster, "--initial-cluster-state", "new",
                "--initial-cluster-token", "kvtest"] + self.flags

    def start(self, is_waiting=True, environment=None, nofile=None):
        check(self.process is None, "%s runs already", self.name)
        self._log_start = os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0
        self.process = spawn(self.command(), self.log_path, environment, nofile)
        self.is_expected_to_run = True
        if is_waiting:
            self.wait_ready()

    def log(self, is_whole=False):
        """The log since the last start."""
        if not os.path.exists(self.log_path):
            return ""
        with open(self.log_path, "rb") as file:
            file.seek(0 if is_whole else self._log_start)
            return file.read().decode("utf-8", "replace")

    def wait_ready(self, timeout_s=READY_TIMEOUT_S):
        def is_ready():
            check(self.process.poll() is None, "%s ended with code %s before it was ready:\n%s", self.name,
                  self.process.poll(), self.log()[-2000:])
            return READY_TEXT in self.log()
        try:
            wait_until(is_ready, timeout_s, "%s is ready" % self.name)
        except Failure:
            sys.stderr.write("log of %s:\n%s\n" % (self.name, self.log()[-2000:]))
            raise

    def wait_exit(self, timeout_s=STOP_TIMEOUT_S):
        """Waits for an end that the test expects; answers the exit code."""
        self.is_expected_to_run = False
        try:
            code = reap(self.process, timeout_s)
        except subprocess.TimeoutExpired:
            raise Failure("%s did not end within %.1f s:\n%s" % (self.name, timeout_s, self.log()[-2000:])) from None
        self.process = None
        return code

    def kill(self):
        """kill -9, as a crash does it."""
        self.is_expected_to_run = False
        self.process.send_signal(signal.SIGKILL)
        self.process.send_signal(signal.SIGCONT)
        return self.wait_exit()

    def terminate(self, timeout_s=STOP_TIMEOUT_S):
        self.is_expected_to_run = False
        self.process.terminate()
        return self.wait_exit(timeout_s)

    def pause(self):
        """Until one thread has taken the signal, which a busy machine may run late, the others go on: so it waits for all."""
        self.process.send_signal(signal.SIGSTOP)
        wait_until(self.is_paused, 10, "a member to stop")

    def is_paused(self):
        states = []
        for task in os.listdir(f"/proc/{self.process.pid}/task"):
            try:
                with open(f"/proc/{self.process.pid}/task/{task}/stat", encoding="utf-8") as file:
                    states.append(file.read().rpartition(")")[2].split()[0])
            except FileNotFoundError:
                pass # it ended meanwhile
        return set(states) <= {"T", "t"}

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    @property
    def client(self):
        if self._client is None:
            self._client = Client(self.target)
        return self._client

    def rss_bytes(self):
        with open("/proc/%d/statm" % self.process.pid) as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def complaint(self):
        """What is wrong with this member whatever the test saw, or None."""
        if self.is_expected_to_run and self.process.poll() is not None:
            return "%s ended by itself with code %d" % (self.name, self.process.returncode)
        for line in self.log(is_whole=True).splitlines():
            if any(text in line for text in ALARM_TEXTS):
                return "%s logged: %s" % (self.name, line[:400])
        return None

    def close(self):
        if self._client is not None:
            self._client.close()
            self._client = None
        if self.process is not None:
            self.kill()


class Cluster:
    """Some members on loopback, in one directory; a context manager that ends them and keeps the logs of a failure."""

    def __init__(self, size, flags=(), binary=None, base_dir=None):
        self.directory = tempfile.mkdtemp(prefix="kvtest-", dir=base_dir or os.environ.get("KVTEST_DIR"))
        self.members = [Member("m%d" % i, self.directory, flags=flags, binary=binary) for i in range(size)]
        initial = ",".join("%s=%s" % (m.name, m.peer_url) for m in self.members)
        for member in self.members:
            member.initial_cluster = initial

    def start(self):
        for member in self.members:
            if member.process is None:
                member.start(is_waiting=False)
        for member in self.members:
            member.wait_ready()
        return self

    def leader(self, timeout_s=15.0):
        """The member that says of itself that it leads."""
        def find():
            for member in self.members:
                if member.process is None:
                    continue
                try:
                    status = member.client.status(timeout_s=1.0)
                except grpc.RpcError:
                    continue
                if status.leader != 0 and status.leader == status.header.member_id:
                    return member
            return None
        return wait_until(find, timeout_s, "the cluster has a leader")

    def followers(self):
        leader = self.leader()
        return [member for member in self.members if member is not leader]

    def targets(self):
        return [member.target for member in self.members]

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        complaints = [text for text in (member.complaint() for member in self.members) if text]
        for member in self.members:
            member.close()
        if kind is None and not complaints or kind is Skip:
            shutil.rmtree(self.directory, ignore_errors=True)
            return False
        sys.stderr.write("kept for a look: %s\n" % self.directory)
        for member in self.members:
            sys.stderr.write("---- end of the log of %s\n%s\n" % (member.name, member.log(is_whole=True)[-1500:]))
        check(kind is not None, "%s", "; ".join(complaints))
        for text in complaints:
            sys.stderr.write("besides: %s\n" % text)
        return False


# --------------------------------------------------------------------------------------------------------------------
# The runner


_shared = []


def shared_cluster():
    """Three members with a leader, for all tests of a file that leave them as they were; ended by main."""
    if not _shared:
        cluster = Cluster(3)
        cluster.__enter__()
        cluster.leader()
        _shared.append(cluster)
    return _shared[0]


def take_shared_cluster():
    """For a test that takes it apart, and ends it."""
    cluster = shared_cluster()
    _shared.clear()
    return cluster


def main(namespace, budget_s):
    """Runs every test_* function of a module in the order of its text (or those named on the command line), prints one
    line for each and the sum, and fails above twice the written budget."""
    names = [name for name in namespace if name.startswith("test_") and callable(namespace[name])]
    wanted = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    if wanted:
        names = [name for name in names if any(word in name for word in wanted)]
    passed = failed = skipped = 0
    suite = os.path.basename(sys.argv[0])
    print("# %s against %s" % (suite, BINARY), flush=True)
    suite_start = time.monotonic()
    for name in names:
        start = time.monotonic()
        try:
            namespace[name]()
            passed += 1
            verdict = "ok"
        except Skip as reason:
            skipped += 1
            verdict = "SKIPPED (%s)" % reason
        except Exception as error:
            failed += 1
            verdict = "FAILED"
            if isinstance(error, Failure):
                sys.stderr.write("%s: %s\n" % (name, error))
            else:
                traceback.print_exc()
        print("%-72s %s %.1f s" % (name, verdict, time.monotonic() - start), flush=True)
    if _shared:
        take_shared_cluster().__exit__(None, None, None)
    spent = time.monotonic() - suite_start
    limit_s = 2 * budget_s * (20 if IS_LONG else 1)
    print("# %s: %.1f s of %d s" % (suite, spent, budget_s), flush=True)
    if spent > limit_s:
        failed += 1
        print("# %s: above twice its budget" % suite)
    print("%d passed, %d failed, %d skipped" % (passed, failed, skipped), flush=True)
    sys.exit(0 if failed == 0 and passed > 0 else 1)
