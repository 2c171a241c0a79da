"""Who serves first: a linearizable read is begun at each of some members every few milliseconds, whatever became of those before it."""
import select
import time

import wire

EVERY_S = 0.005
READ = wire.range_request(b"/")


class Target:
    def __init__(self, endpoint, connection=None):
        self.endpoint, self.connection, self.calls = endpoint, connection, []

    def begin(self):
        try:
            if self.connection is None:
                self.connection = wire.Connection(self.endpoint, 1.0)
            self.calls.append(self.connection.start(wire.RANGE, READ))
        except (wire.Failed, OSError):
            self.drop()

    def take(self):
        """True when a read was answered. Those that failed are forgotten."""
        try:
            while self.connection is not None and self.connection.pump(0):
                pass
        except wire.Failed:
            self.drop()
        is_answered = any(call.bytes for call in self.calls)
        self.calls = [call for call in self.calls if not call.is_over]
        return is_answered

    def drop(self):
        if self.connection is not None:
            self.connection.close()
        self.connection, self.calls = None, []


def first_read(targets, timeout):
    """Returns when one of them has answered a read that was begun from now on."""
    start = time.monotonic()
    due = start
    try:
        while (now := time.monotonic()) < start + timeout:
            if now >= due:
                due = now + EVERY_S
                for target in targets:
                    target.begin()
            sockets = [target.connection.socket for target in targets if target.connection is not None]
            select.select(sockets, [], [], max(0, due - time.monotonic()))
            if any([target.take() for target in targets]):
                return
    finally:
        for target in targets:
            target.drop()
    raise wire.Failed(f"no linearizable read was answered in {timeout} s")
