#!/usr/bin/python3
"""libkvd-client as a program gets it: installed aside, compiled against through pkg-config, beside real members.

What the library exports; programs of apps/examples; a leader that is killed under a program that puts, watches, locks and keeps a lease;
a forked child; another user of gRPC in the same process (this one); a put with a TTL on Debian's etcd."""

import atexit
import ctypes
import functools
import os
import re
import shutil
import subprocess
import tempfile
import threading

from kvtest import IS_SHORT, REFERENCE_BINARY, ROOT, Cluster, Skip, check, clean_environment, main, needs_kvd, rpc, wait_until

BUDGET_S = 60
BUILD = os.environ.get("KVD_LIBRARY_BUILD", os.path.join(ROOT, "build", "release"))
FLAGS = ["-Wall", "-Wextra", "-Werror", "-O1", "-g"]


@functools.lru_cache(maxsize=None)
def prefix():
    """Where the library is installed for this run."""
    directory = tempfile.mkdtemp(prefix="kvtest-library-")
    atexit.register(shutil.rmtree, directory, True)
    for component in ("library", "development"):
        subprocess.run(["cmake", "--install", BUILD, "--prefix", directory, "--component", component], check=True, stdout=subprocess.DEVNULL)
    return directory


def installed(name):
    for directory, _, files in os.walk(prefix()):
        if name in files:
            return os.path.join(directory, name)
    check(False, "%s was not installed", name)
    return None


def package(*arguments):
    environment = clean_environment(PKG_CONFIG_PATH=os.path.dirname(installed("kvd-client.pc")))
    out = subprocess.run(["pkg-config", *arguments, "kvd-client"], env=environment, check=True, capture_output=True, text=True)
    return out.stdout.split()


@functools.lru_cache(maxsize=None)
def program(source, is_static=False):
    """The source, compiled as its first lines say, or with the archive."""
    out = os.path.join(prefix(), os.path.basename(source)[:-2] + ("-static" if is_static else ""))
    libraries = package("--libs")
    if is_static:
        libraries = [installed("libkvd-client.a")] + [word for word in package("--static", "--libs") if word != "-lkvd-client"]
    command = ["cc", "-std=gnu11", *FLAGS, os.path.join(ROOT, source), *package("--cflags"), *libraries, "-pthread", "-o", out]
    subprocess.run(command, check=True)
    return out


def environment():
    return clean_environment(LD_LIBRARY_PATH=os.path.dirname(installed("libkvd-client.so")))


def run(command, timeout_s=60, **options):
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=timeout_s, **options)
    check(done.returncode == 0, "%s ended with %d:\n%s%s", command, done.returncode, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout


def needs_whole_run():
    if IS_SHORT:
        raise Skip("the library is the same one, whatever the server was built with")


def symbols(*command):
    out = subprocess.run(["nm", *command], check=True, capture_output=True, text=True).stdout
    return [line.split()[-1].split("@")[0] for line in out.splitlines() if re.match(r"^[0-9a-f ]* [A-Za-z] \S+$", line)]


def test_library_exports_what_the_header_names_and_nothing_else():
    with open(installed("client.h")) as file:
        named = set(re.findall(r"^KVD_API [^;]*?(kvd_[a-z_]+)\(", file.read(), re.M))
    check(len(named) > 40, "the header names %s", named)
    for command in (["-D", "--defined-only", installed("libkvd-client.so")], ["-g", "--defined-only", installed("libkvd-client.a")]):
        exported = set(symbols(*command))
        check(exported == named, "%s: too much %s, too little %s", command[-1], exported - named, named - exported)
    needed = subprocess.run(["readelf", "-d", installed("libkvd-client.so")], check=True, capture_output=True, text=True).stdout
    check("libgrpc.so" in needed and "protobuf" not in needed and "jemalloc" not in needed, "needs %s", needed)
    # The coalescer defines these in a program; in a library it would take the program's own.
    inside = set(symbols("--defined-only", installed("libkvd-client.a")))
    check(not inside & {"sendmsg", "close", "shutdown"} and not any("coalesce" in name for name in inside), "it has the coalescer")
    check(not any(name.startswith("mutant_") for name in inside), "it has planted bugs")


def test_library_header_is_c11_and_cxx():
    for compiler, flags in (("cc", ["-std=c11", "-pedantic", "-x", "c"]), ("c++", ["-std=c++17", "-pedantic", "-x", "c++"])):
        text = "#include <kvd/client.h>\nint main(void) { return kvd_text(\"a\").size == 1 ? 0 : kvd_if_create(kvd_text(\"\"), KVD_EQUAL, 0).target; }\n"
        subprocess.run([compiler, *flags, "-Wall", "-Wextra", "-Werror", "-fsyntax-only", *package("--cflags"), "-"], input=text.encode(), check=True)


def test_library_outlives_the_leader_that_is_killed():
    needs_kvd("a cluster of three in this test")
    driver = program("test/integration/client_driver.c")
    with Cluster(3) as cluster:
        leader = cluster.leader()
        process = subprocess.Popen([driver, "kill", ",".join(cluster.targets())], env=environment(), stdout=subprocess.PIPE, text=True)
        try:
            check(process.stdout.readline() == "ready\n", "the program is not ready")
            leader.kill()
            out = process.communicate(timeout=60)[0]
        finally:
            process.kill()
            process.wait()
        print("   " + out.replace("\n", "; "))
        check(process.returncode == 0 and out.endswith("ok\n"), "ended with %d:\n%s", process.returncode, out)


def test_library_examples_run():
    needs_whole_run()
    needs_kvd("a cluster of three in this test")
    with Cluster(3) as cluster:
        endpoints = ",".join(cluster.targets())
        client = cluster.members[0].client
        client.put(b"service/port", b"80")
        cache = subprocess.Popen([program("apps/examples/config_cache.c"), endpoints, "service/"], env=environment(), text=True,
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE)

        def ask(name):
            cache.stdin.write(name + "\n")
            cache.stdin.flush()
            return cache.stdout.readline()
        try:
            check(ask("port") == "port = 80\n", "the cache does not know the port")
            check(ask("host") == "host = (not set)\n", "the cache knows a host")
            client.put(b"service/host", b"here")
            wait_until(lambda: ask("host") == "host = here\n", 10, "the cache has heard of the host")
            client.call("DeleteRange", rpc.DeleteRangeRequest(key=b"service/port"))
            wait_until(lambda: ask("port") == "port = (not set)\n", 10, "the cache has heard of the deletion")
            cache.stdin.close()
            check(cache.wait(20) == 0, "the cache ended with %d", cache.returncode)
        finally:
            cache.kill()
            cache.wait()
        workers = [subprocess.Popen([program("apps/examples/worker.c"), endpoints, "w%d" % i, "10"], env=environment(), text=True,
                                    stdout=subprocess.PIPE) for i in range(3)]
        counts = []
        for worker in workers:
            counts += worker.communicate(timeout=60)[0].split()
            check(worker.returncode == 0, "a worker ended with %d", worker.returncode)
        check(sorted(map(int, counts)) == list(range(1, 31)), "the workers counted %s", counts)
        check(client.get(b"workers/", range_end=b"workers0").count == 0, "workers have left their keys")


def test_library_answers_an_error_in_a_forked_child_also_as_archive():
    needs_whole_run()
    with Cluster(1) as cluster:
        for is_static in (False, True):
            out = run([program("test/integration/client_driver.c", is_static), "fork", cluster.members[0].target])
            check(out.count("in the child: ") == 2 and "the parent goes on" in out, "%s", out)


class Options(ctypes.Structure):
    """The beginning of struct kvd_client_options; the rest stays 0."""
    _fields_ = [("endpoints", ctypes.POINTER(ctypes.c_char_p)), ("endpoint_count", ctypes.c_size_t), ("rest", ctypes.c_char * 256)]


class Bytes(ctypes.Structure):
    _fields_ = [("data", ctypes.c_char_p), ("size", ctypes.c_size_t)]


def test_library_lives_beside_another_user_of_grpc():
    needs_whole_run()
    library = ctypes.CDLL(installed("libkvd-client.so"))
    for name in ("kvd_client_new", "kvd_raw", "kvd_call"):
        getattr(library, name).restype = ctypes.c_void_p
    library.kvd_raw.argtypes = [ctypes.c_char_p, Bytes, ctypes.c_int]
    library.kvd_call.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    library.kvd_result_free.argtypes = library.kvd_client_free.argtypes = [ctypes.c_void_p]
    with Cluster(1) as cluster:
        target = cluster.members[0].target
        options = Options(endpoints=(ctypes.c_char_p * 1)(target.encode()), endpoint_count=1)
        failures = []

        def use(number):
            text = ctypes.create_string_buffer(256)
            for _ in range(3):      # gRPC is begun and ended for the library while others go on with it
                client = library.kvd_client_new(ctypes.byref(options), text, 256)
                for i in range(50):
                    body = rpc.PutRequest(key=b"lib/%d/%d" % (number, i), value=b"v").SerializeToString()
                    result = library.kvd_call(client, library.kvd_raw(b"/etcdserverpb.KV/Put", Bytes(body, len(body)), 1), None)
                    code = ctypes.cast(result, ctypes.POINTER(ctypes.c_int))[0]
                    if code != 0:
                        failures.append(code)
                    library.kvd_result_free(result)
                library.kvd_client_free(client)

        threads = [threading.Thread(target=use, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for i in range(300):
            cluster.members[0].client.put(b"own/%d" % i, b"v")
        for thread in threads:
            thread.join()
        check(not failures, "calls ended with %s", failures)
        check(cluster.members[0].client.get(b"lib/", range_end=b"lib0").count == 150, "puts are missing")


def test_library_puts_with_a_ttl_on_an_etcd_in_two_steps():
    needs_whole_run()
    if not os.access(REFERENCE_BINARY, os.X_OK):
        raise Skip("no etcd here")
    with Cluster(1, binary=REFERENCE_BINARY) as cluster:
        print("   " + run([program("test/integration/client_driver.c"), "etcd", cluster.members[0].target]).replace("\n", "; "))


def test_library_gets_a_token_from_an_etcd_and_another_one_when_it_was_forgotten():
    needs_whole_run()
    if not os.access(REFERENCE_BINARY, os.X_OK):
        raise Skip("no etcd here")
    with Cluster(1, binary=REFERENCE_BINARY) as cluster:
        member = cluster.members[0]
        for line in ("user add root:r", "user add u:p", "role add r", "role grant-permission r readwrite p/ --prefix", "user grant-role u r", "auth enable"):
            subprocess.run([os.path.join(ROOT, "bin", "kvctl"), "--endpoints", member.target] + line.split(), env=clean_environment(), check=True,
                           stdout=subprocess.DEVNULL)
        process = subprocess.Popen([program("test/integration/client_driver.c"), "auth", member.target], env=environment(), stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, text=True)
        try:
            said = []
            while not said or said[-1] not in ("", "ready\n"):
                said.append(process.stdout.readline())
            check(said[-1] == "ready\n", "the program is not ready: %s", said)
            member.kill()
            member.start()
            out = "".join(said) + process.communicate("\n", timeout=60)[0]
        finally:
            process.kill()
            process.wait()
        print("   " + out.replace("\n", "; "))
        check(process.returncode == 0 and out.endswith("ok\n"), "ended with %d:\n%s", process.returncode, out)


if __name__ == "__main__":
    main(globals(), BUDGET_S)
