"""The disk under the clusters: what it got, and how long it takes by itself."""
import os
import threading
import time


def device_bytes(directory):
    """Written to the device on which the directory is."""
    device = os.stat(directory).st_dev
    with open(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat", encoding="ascii") as file:
        return int(file.read().split()[6]) * 512


def write_and_sync(path, count, out_times):
    """4 KiB written in a file that is there already, and fdatasync; again and again."""
    block = b"x" * 4096
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.pwrite(descriptor, bytes(4096 * count), 0)
        os.fsync(descriptor)
        for i in range(count):
            start = time.monotonic()
            os.pwrite(descriptor, block, 4096 * i)
            os.fdatasync(descriptor)
            out_times.append((time.monotonic() - start) * 1e6)
    finally:
        os.close(descriptor)
        os.unlink(path)


def fdatasync_us(directory, at_once=1, count=300):
    """The disk's own time, alone or with others that do the same."""
    times = []
    writers = [threading.Thread(target=write_and_sync, args=(f"{directory}/fdatasync{i}", count, times)) for i in range(at_once)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    times.sort()
    return {"p50_us": times[len(times) // 2], "p99_us": times[len(times) * 99 // 100]}
