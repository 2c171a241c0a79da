#!/usr/bin/python3
"""TLS at the client port: do kvctl, etcdctl and gRPC's own client get through with the right certificates and with no others, does SIGHUP bring
a new certificate to new connections only, does a bad one change nothing, do those who speak something else get an end instead of a hang, and
are writes still gathered rightly?

Certificates are made here, with openssl, into a directory of the run. Much of it runs against Debian's etcd 3.4 as well, which proves it.
"""

import atexit
import concurrent.futures
import http.client
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile

import grpc
from kvtest import (BINARY, IS_LONG, ROOT, Client, Cluster, Member, Stream, check, clean_environment, free_port, is_kvd, main, needs_kvd, pick, rpc,
                    wait_until)

BUDGET_S = 15
KVCTL = os.path.join(ROOT, "bin", "kvctl")
FAST = ["--heartbeat-interval", "20", "--election-timeout", "200"]    # a member alone waits for nobody
DIRECTORY = tempfile.mkdtemp(prefix="kvtest-tls-", dir=os.environ.get("KVTEST_DIR"))
atexit.register(shutil.rmtree, DIRECTORY, True)


def at(name):
    return os.path.join(DIRECTORY, name)


def read(name):
    with open(at(name), "rb") as file:
        return file.read()


def openssl(*words, text=None):
    subprocess.run(["openssl"] + list(words), input=text, text=True, cwd=DIRECTORY, capture_output=True, check=True, timeout=20)


def make_ca(name):
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", name + ".key", "-out", name + ".pem",
            "-subj", "/CN=" + name, "-days", "10")


def make_certificate(name, serial, ca="ca", more=""):
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", name + ".key", "-out", name + ".csr", "-subj",
            "/CN=" + name)
    openssl("x509", "-req", "-in", name + ".csr", "-CA", ca + ".pem", "-CAkey", ca + ".key", "-out", name + ".pem", "-days", "10", "-set_serial",
            "0x%X" % serial, "-extfile", "/dev/stdin", text="subjectAltName=IP:127.0.0.1,DNS:localhost\n" + more)


def make_certificates():
    make_ca("ca")
    make_ca("stranger")
    make_certificate("server", 0x1111)
    make_certificate("next", 0x2222)
    make_certificate("client", 0x3333)
    make_certificate("foreign", 0x4444, ca="stranger")
    make_certificate("purposeful", 0x5555, more="extendedKeyUsage=clientAuth\n")
    make_certificate("purposeless", 0x6666, more="extendedKeyUsage=serverAuth\n")


def install(certificate, key=None):
    """Puts a pair where the servers' flags say."""
    shutil.copyfile(at(certificate + ".pem"), at("tls.pem"))
    shutil.copyfile(at((key or certificate) + ".key"), at("tls.key"))


def credentials(client=None, ca="ca"):
    pair = (None, None) if client is None else (read(client + ".key"), read(client + ".pem"))
    return grpc.ssl_channel_credentials(read(ca + ".pem"), *pair)


class Server(Member):
    """One member with TLS for clients."""

    def __init__(self, directory, needs_client=False, flags=()):
        more = ["--client-cert-auth", "--trusted-ca-file", at("ca.pem")] if needs_client else []
        super().__init__("m0", directory, flags=FAST + ["--cert-file", at("tls.pem"), "--key-file", at("tls.key")] + more + list(flags))
        self.credentials = credentials("client" if needs_client else None)

    @property
    def client_url(self):
        return "https://" + self.target

    @property
    def client(self):
        if self._client is None:
            self._client = Client(self.target, self.credentials)
        return self._client


class Single(Cluster):
    def __init__(self, needs_client=False, flags=()):
        super().__init__(0)
        install("server")
        self.members = [Server(self.directory, needs_client, flags)]

    def __enter__(self):
        return super().__enter__().members[0]


def run(command, *words, timeout_s=20):
    """Exit code, stdout and stderr; a command that does not end is a failure."""
    try:
        done = subprocess.run([command] + list(words), capture_output=True, text=True, timeout=timeout_s, env=clean_environment(ETCDCTL_API="3"), check=False)
    except subprocess.TimeoutExpired:
        check(False, "%s %s hangs", command, words)
    return done.returncode, done.stdout, done.stderr


def tool_words(tool, endpoint, client=None, ca="ca", timeout="5s"):
    words = [tool, "--endpoints", endpoint, "--dial-timeout", timeout, "--command-timeout", timeout, "--cacert", at(ca + ".pem")]
    return words + (["--cert", at(client + ".pem"), "--key", at(client + ".key")] if client else [])


def check_refused(member, *pairs, tools=(KVCTL, "etcdctl")):
    """With each pair of a client's certificate and a CA each tool ends with a complaint and without an answer; side by side, since they try for
    a while."""
    commands = [tool_words(tool, member.client_url, client, ca, timeout="700ms") + ["get", "a"] for tool in tools for client, ca in pairs]
    with concurrent.futures.ThreadPoolExecutor(len(commands)) as pool:
        for command, (code, out, error) in zip(commands, pool.map(lambda one: run(*one), commands)):
            check(code != 0 and out == "" and error != "", "%s: %d %s", command, code, out)


def check_refused_client(member, *its_credentials):
    """gRPC's own client with these credentials; None = plain."""
    client = Client(member.target, *its_credentials)
    reply = client.ask("Range", rpc.RangeRequest(key=b"a"), 1)
    check(reply.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED"), "%s", reply)
    client.close()


def serial_of(port, protocols=("h2",), client=None):
    """That of the certificate that a new connection is shown."""
    context = ssl.create_default_context(cafile=at("ca.pem"))
    if client:
        context.load_cert_chain(at(client + ".pem"), at(client + ".key"))
    if protocols:
        context.set_alpn_protocols(list(protocols))
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
            return int(connection.getpeercert()["serialNumber"], 16)


def ask_https(port, path, client=None):
    context = ssl.create_default_context(cafile=at("ca.pem"))
    if client:
        context.load_cert_chain(at(client + ".pem"), at(client + ".key"))
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        return reply.status, reply.read().decode()
    finally:
        connection.close()


def read_to_end(connection, timeout_s):
    """What the server says until it closes; a server that does not is a failure."""
    answer = b""
    connection.settimeout(timeout_s)
    try:
        while True:
            piece = connection.recv(4096)
            if not piece:
                return answer
            answer += piece
    except ConnectionResetError:
        return answer
    except socket.timeout:
        check(False, "no end within %d s", timeout_s)


def says(port, data):
    """What the server answers on a connection of its own to these bytes, until it closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=8) as connection:
        try:
            connection.sendall(data)
        except (ConnectionResetError, BrokenPipeError):    # it has heard enough
            pass
        return read_to_end(connection, 8)


def hang_up(member):
    """SIGHUP; answers the log behind it."""
    before = len(member.log())
    member.process.send_signal(signal.SIGHUP)
    return wait_until(lambda: member.log()[before:] if "read again" in member.log()[before:] else None, 10, "the answer to SIGHUP")


def open_watch(member, beside=None):
    return Stream(member.target, "/etcdserverpb.Watch/Watch", rpc.WatchResponse, credentials=member.credentials, beside=beside)


def watch_request(key):
    return rpc.WatchRequest(create_request=rpc.WatchCreateRequest(key=key, range_end=key[:-1] + bytes([key[-1] + 1])))


def test_clients_of_three_kinds_put_get_and_watch():
    with Single() as member:
        url = member.client_url
        for tool in (KVCTL, "etcdctl"):
            words = tool_words(tool, url)
            code, out, error = run(*words, "put", "greeting", "hello from " + os.path.basename(tool))
            check((code, out) == (0, "OK\n"), "%s: %s%s", tool, out, error)
            code, out, error = run(*words, "get", "greeting")
            check(out == "greeting\nhello from %s\n" % os.path.basename(tool), "%s: %s%s", tool, out, error)
            code, out, error = run(*words, "endpoint", "health")
            check(code == 0, "%s: %s%s", tool, out, error)
            with subprocess.Popen([*words, "watch", "w"], stdout=subprocess.PIPE, text=True, env=clean_environment(ETCDCTL_API="3")) as watcher:
                try:
                    with concurrent.futures.ThreadPoolExecutor(1) as pool:
                        first = pool.submit(watcher.stdout.readline)
                        wait_until(lambda: member.client.put(b"w", b"1") and first.done(), 10, "an event", 0.1)
                        line = first.result()
                    check(line == "PUT\n", "%s: %s", tool, line)
                finally:
                    watcher.kill()
        check(member.client.get(b"greeting").kvs[0].value == b"hello from etcdctl", "what was written")


def test_a_server_of_another_ca_is_refused():
    with Single() as member:
        check_refused(member, (None, "stranger"))
        check_refused_client(member, credentials(ca="stranger"))
        install("foreign")
        if is_kvd():
            hang_up(member)    # etcd reads at every handshake
        check_refused(member, (None, "ca"), tools=(KVCTL,))    # a certificate of a stranger
        install("server")
        if is_kvd():
            hang_up(member)
        check(run(*tool_words(KVCTL, member.client_url), "get", "a")[0] == 0, "our own again")


def test_clients_must_show_a_certificate_where_it_is_asked_for():
    with Single(needs_client=True) as member:
        for tool in (KVCTL, "etcdctl"):
            code, out, error = run(*tool_words(tool, member.client_url, "client"), "put", "a", "b")
            check((code, out) == (0, "OK\n"), "with one: %s%s", out, error)
        check_refused(member, (None, "ca"), ("foreign", "ca"))
        for wrong in (None, "foreign", "purposeless"):
            check_refused_client(member, credentials(wrong))
        for right in ("client", "purposeful"):
            check(ask_https(member.client_port, "/health", right)[0] == 200, "a page with a certificate")
            check(serial_of(member.client_port, client=right) == 0x1111, "gRPC's side")
        for wrong in (None, "foreign", "purposeless"):
            try:
                status = ask_https(member.client_port, "/health", wrong)
                check(False, "a page without: %s", status)
            except (ssl.SSLError, ConnectionError, http.client.RemoteDisconnected):
                pass


def test_sighup_brings_a_new_certificate_to_new_connections_only():
    needs_kvd("a reload by SIGHUP: it reads the files at every handshake")
    with Single(flags=["--listen-metrics-urls", "http://127.0.0.1:0"]) as member:
        for protocols in (["h2"], ["http/1.1"], ()):
            check(serial_of(member.client_port, protocols) == 0x1111, "at first")
        old = ssl.create_default_context(cafile=at("ca.pem")).wrap_socket(
            socket.create_connection(("127.0.0.1", member.client_port), timeout=10), server_hostname="127.0.0.1")    # HTTP/1.1
        member.client.put(b"k", b"1")
        with open_watch(member) as stream:
            stream.send(watch_request(b"k"))
            check(stream.next().created, "a watch")
            install("next")
            check(serial_of(member.client_port) == 0x1111, "not before it is told")
            log = hang_up(member)
            check('"serial":"2222"' in log, "%s", log)
            for protocols in (["h2"], ["http/1.1"], ()):
                check(serial_of(member.client_port, protocols) == 0x2222, "the new one for %s", protocols)
            member.client.put(b"k", b"2")
            check(stream.next().events[0].kv.value == b"2", "the old connections go on")
            old.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            check(old.recv(4096).startswith(b"HTTP/1.1 200"), "the old page, too")
            old.close()
        for name in ("ca", "client", "next"):    # a key that does not fit; no certificate at all; gone
            if name == "ca":
                install("server", key="client")
            elif name == "client":
                with open(at("tls.pem"), "wb") as file:
                    file.write(os.urandom(3000))
            else:
                os.remove(at("tls.pem"))
            log = hang_up(member)
            check('"level":"error"' in log and "cannot be read again" in log and "tls." in log, "%s", log)
            check(serial_of(member.client_port) == 0x2222 and serial_of(member.client_port, ()) == 0x2222, "the one before stays: %s", name)
        install("server")
        hang_up(member)
        check(serial_of(member.client_port) == 0x1111, "mended")
        client = Client(member.target, member.credentials)
        check(client.get(b"k").kvs[0].value == b"2", "and it serves")
        client.close()
        check(member.terminate() == 0, "it ends well, with all that it gave back")


def test_who_speaks_something_else_gets_an_end():
    with Single() as member:
        port = member.client_port
        code, out, error = run(*tool_words(KVCTL, "http://" + member.target, timeout="700ms"), "get", "a")
        check(code != 0 and out == "" and "is it http or https?" in error, "plain at TLS: %s", error)
        check_refused_client(member)
        if is_kvd():    # etcd waits for more
            answer = says(port, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            check(answer.startswith(b"HTTP/1.1 400") and b"https://" in answer, "%s", answer)
            says(port, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9))
        for size in (1, 30, 3000, 100000) if is_kvd() else ():
            says(port, b"\x00" + os.urandom(size))
            says(port, b"\x16\x03\x01\x02\x00\x02" + os.urandom(size))
        beginning = client_hello(["h2"])
        for garbage in (b"\x17\x03\x03\x00\x20" + bytes(32), b"\xff" * 200):    # a good beginning
            says(port, beginning + garbage)
        member.client.put(b"a", b"b")
        check(serial_of(port) == 0x1111, "it serves on")
    with Cluster(1, flags=FAST) as cluster:
        plain = cluster.members[0]
        code, out, error = run(*tool_words(KVCTL, "https://" + plain.target, timeout="700ms"), "get", "a")
        check(code != 0 and out == "" and "is it http or https?" in error, "TLS at plain: %s", error)
        try:
            serial_of(plain.client_port)
            check(False, "a handshake with a plain port")
        except (ssl.SSLError, ConnectionError):
            pass
        plain.client.put(b"a", b"b")


def client_hello(protocols):
    """What a client says first."""
    context = ssl.create_default_context(cafile=at("ca.pem"))
    context.set_alpn_protocols(protocols)
    said = ssl.MemoryBIO()
    try:
        context.wrap_bio(ssl.MemoryBIO(), said, server_hostname="127.0.0.1").do_handshake()
    except ssl.SSLWantReadError:
        pass
    return said.read()


def test_a_handshake_that_stands_holds_nothing_up():
    with Single() as member:
        standing = [socket.create_connection(("127.0.0.1", member.client_port)) for _ in range(50)]
        for number, connection in enumerate(standing):
            whole = client_hello(["h2"])
            connection.sendall(whole if number % 2 else whole[:1 + number * 3])
        for number in range(20):
            member.client.put(b"a%d" % number, b"b")
        check(serial_of(member.client_port) == 0x1111, "others shake hands")
        for connection in standing if IS_LONG else []:    # each has ten seconds
            read_to_end(connection, 15)
        for connection in standing:
            connection.close()


def test_pages_over_tls_and_the_plain_metrics_port():
    needs_kvd("probes")
    secure, plain = free_port(), free_port()
    flags = ["--listen-metrics-urls", "https://127.0.0.1:%d,http://127.0.0.1:%d" % (secure, plain)]
    with Single(flags=flags) as member:
        for path, text in (("/health", '"health":"true"'), ("/readyz", "ok"), ("/version", "etcdserver"), ("/metrics", "etcd_server_has_leader 1")):
            status, body = ask_https(member.client_port, path)
            check(status == 200 and text in body, "%s: %d %s", path, status, body[:200])
        check(ask_https(secure, "/metrics")[0] == 200 and ask_https(secure, "/version")[0] == 404, "the metrics port")
        for number in range(30):    # a new connection each
            check(ask_https(member.client_port, "/livez")[0] == 200, "number %d", number)
        check(says(plain, b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 200"), "plain")
        code, out, error = run("curl", "-s", "--max-time", "5", "--cacert", at("ca.pem"), member.client_url + "/health")
        check(code == 0 and '"health":"true"' in out, "curl, which offers h2 as well: %s %s", out, error)


def test_gathered_writes_reach_many_streams_and_a_stopped_client():
    count, puts = pick(10, 40, 500), pick(50, 200, 2000)
    with Single() as member:
        streams = [open_watch(member) for _ in range(count // 10)]
        streams += [open_watch(member, streams[0]) for _ in range(count)]
        slow_out = open(at("slow.out"), "wb")
        slow = subprocess.Popen([*tool_words(KVCTL, member.client_url), "watch", "k", "n"], stdout=slow_out, env=clean_environment())
        try:
            for stream in streams:
                stream.send(watch_request(b"k"))
            for stream in streams:
                check(stream.next().created, "a watch")
            wait_until(lambda: member.client.put(b"k", b"begin") and os.path.getsize(at("slow.out")) > 0, 10, "kvctl watches", 0.1)
            slow.send_signal(signal.SIGSTOP)
            futures = [member.client.send("Put", rpc.PutRequest(key=b"k%d" % number, value=b"v" * 100)) for number in range(puts)]
            # For the stopped one alone, and more than the buffers on the way hold.
            futures += [member.client.send("Put", rpc.PutRequest(key=b"m%d" % number, value=b"v" * 60000)) for number in range(puts)]
            futures += [member.client.send("Range", rpc.RangeRequest(key=b"k")) for _ in range(500)]
            for future in futures:
                check(Client.wait(future).code == "OK", "a call among many")
            for stream in streams:
                seen = []
                while len(seen) < puts:
                    seen += [event.kv.key for event in stream.next().events if event.kv.key != b"k"]
                check(len(set(seen)) == puts, "each event once")
            slow.send_signal(signal.SIGCONT)
            wait_until(lambda: read("slow.out").count(b"PUT\nk") + read("slow.out").count(b"PUT\nm") >= 2 * puts + 1, 15, "the stopped client has all", 0.1)
        finally:
            slow.send_signal(signal.SIGCONT)
            slow.kill()
            slow.wait()
            slow_out.close()
            for stream in reversed(streams):
                stream.close()


def test_what_cannot_be_had_is_refused_at_the_start_and_by_the_check():
    needs_kvd("these texts")
    install("server")
    port = free_port()
    https = ["--listen-client-urls", "https://127.0.0.1:%d" % port, "--advertise-client-urls", "https://127.0.0.1:%d" % port]
    plain = ["--listen-client-urls", "http://127.0.0.1:%d" % port, "--advertise-client-urls", "http://127.0.0.1:%d" % port]
    pair = ["--cert-file", at("server.pem"), "--key-file", at("server.key")]
    directory = tempfile.mkdtemp(dir=DIRECTORY)
    for flags, text in (
            (https, "need --cert-file and --key-file"), (https + pair[:2], "--cert-file needs --key-file"), (https + pair[2:], "--key-file needs --cert-file"),
            (https + ["--cert-file", "/nonexistent", "--key-file", at("server.key")], "the certificate file /nonexistent cannot be read: No such file"),
            (https + [*pair[:2], "--key-file", at("client.key")], "does not fit the certificate"),
            (https + [*pair[:2], "--key-file", at("server.pem")], "holds no private key"),
            (https + [*pair, "--client-cert-auth"], "--client-cert-auth needs --trusted-ca-file"),
            (https + [*pair, "--trusted-ca-file", at("server.key")], "holds no certificate"),
            (plain + pair, "no URL of --listen-client-urls is https"), (plain + ["--trusted-ca-file", at("ca.pem")], "--trusted-ca-file needs"),
            (https + [*pair, "--auto-tls"], "--auto-tls is not supported"), (https + [*pair, "--client-crl-file=x"], "--client-crl-file is not supported"),
            (https + [*pair, "--peer-cert-file=x"], "traffic between members is plain")):
        for more in (["--data-dir", os.path.join(directory, "d")], ["--check-config"]):
            code, out, error = run(BINARY, *flags, *more)
            check(code == 1 and text in error, "%s: %d %s%s", flags, code, out, error)
    with open(at("kvd.yml"), "w") as file:
        file.write("client-transport-security:\n  cert-file: %s\n  key-file: %s\n  client-cert-auth: true\n  trusted-ca-file: %s\n"
                   "listen-client-urls: https://127.0.0.1:%d\nadvertise-client-urls: https://127.0.0.1:%d\n"
                   % (at("server.pem"), at("server.key"), at("ca.pem"), port, port))
    code, out, error = run(BINARY, "--check-config", at("kvd.yml"))
    check(code == 0 and at("ca.pem") in out and "trusted-ca-file" in out, "%s%s", out, error)


make_certificates()
main(globals(), BUDGET_S)
