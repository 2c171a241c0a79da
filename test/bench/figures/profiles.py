"""Where the servers' time goes during a row (`--profile`): by thread, with what each was switched, and by function (perf, if it is there)."""
import os
import shutil
import signal
import subprocess
import tempfile


def threads_of(pids):
    """{(pid, thread): (name, seconds of CPU, voluntary switches, other switches)}"""
    out = {}
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):
            try:
                with open(f"/proc/{pid}/task/{task}/status", encoding="ascii") as file:
                    status = dict(line.split(":", 1) for line in file if ":" in line)
                with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
                    cpu = int(file.read().split()[0]) / 1e9
            except OSError:
                continue # it ended meanwhile
            out[(pid, task)] = (status["Name"].strip(), cpu, *(int(status[name]) for name in
                                                               ("voluntary_ctxt_switches", "nonvoluntary_ctxt_switches")))
    return out


class Profile:
    """with Profile(pids, path): …  writes path."""

    def __init__(self, pids, path):
        self.pids, self.path, self.perf = pids, path, None

    def __enter__(self):
        self.before = threads_of(self.pids)
        self.data = tempfile.mktemp(prefix="kvd-perf-")
        if shutil.which("perf"):
            self.perf = subprocess.Popen(["perf", "record", "-q", "-e", "cpu-clock", "-F", "499", "-p", ",".join(map(str, self.pids)), "-o",
                                          self.data], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return self

    def __exit__(self, *_):
        after = threads_of(self.pids)
        functions = ""
        if self.perf:
            self.perf.send_signal(signal.SIGINT)
            self.perf.wait()
            functions = subprocess.run(["perf", "report", "-i", self.data, "--stdio", "-q", "--sort", "comm,dso,symbol", "--percent-limit",
                                        "0.5"], capture_output=True, text=True, check=False).stdout
        if os.path.exists(self.data):
            os.unlink(self.data)
        sums = {}
        for key, (name, *values) in after.items():
            begun = self.before.get(key, (name, 0, 0, 0))[1:]
            row = sums.setdefault(name, [0, 0, 0])
            for i, (value, old) in enumerate(zip(values, begun)):
                row[i] += value - old
        total = sum(row[0] for row in sums.values()) or 1
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(f"{'thread':20} {'CPU s':>8} {'share':>7} {'it waited':>10} {'it was put off':>15}   (all members' of a name)\n")
            for name, (cpu, voluntary, other) in sorted(sums.items(), key=lambda item: -item[1][0]):
                if cpu or voluntary:
                    file.write(f"{name:20} {cpu:8.3f} {cpu / total:7.1%} {voluntary:10} {other:15}\n")
            file.write("\n" + "\n".join(line.rstrip(" -") for line in functions.splitlines() if line.strip()) + "\n")
