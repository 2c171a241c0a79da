"""Watch streams, and the one validator of what they tell (W1–W14).

A Log is one watch on one stream: it looks at each response when it comes, and in the end it is compared with what a store did, event by
event (`expected`, from the history that history.py's clients leave behind). A client whose stream ends goes on with a new Log at
`log.next`; so each Log alone must hold exactly the history from its start to its next, and together they have no gap.

  W1 key and filters   W2 order   W3 once   W4 revisions whole   W5 nothing missing   W6 resumed without a gap
  W7 progress behind all events, and never beyond the newest   W8 previous pairs   W9 creations   W10 nothing below the start
  W11 compacted starts are told so, with the revision   W12 created first, nothing behind a cancel
"""

import bisect
import collections

import kvtest
from kvtest import check, kvpb, rpc

PATH = "/etcdserverpb.Watch/Watch"
NOPUT, NODELETE = rpc.WatchCreateRequest.NOPUT, rpc.WatchCreateRequest.NODELETE

# `previous`: (value, create_revision, mod_revision, version) or None. Of a deletion value, create_revision and version are empty.
Event = collections.namedtuple("Event", "revision is_delete key value create_revision version previous")


class Stream(kvtest.Stream):
    """One watch stream."""

    def __init__(self, target, metadata=(), is_reading=True):
        self._asked = {}    # of the watchers that `open` made
        super().__init__(target, PATH, rpc.WatchResponse, metadata, is_reading)

    def create(self, key, **options):
        self.send(rpc.WatchRequest(create_request=rpc.WatchCreateRequest(key=key, **options)))

    def cancel(self, watch_id):
        self.send(rpc.WatchRequest(cancel_request=rpc.WatchCancelRequest(watch_id=watch_id)))

    def progress(self):
        self.send(rpc.WatchRequest(progress_request=rpc.WatchProgressRequest()))

    def open(self, key, **options):
        """Creates a watcher and takes its created response."""
        self.create(key, **options)
        response = self.next()
        check(response.created and not response.canceled and not response.events, "not created: %s", response)
        self._asked[response.watch_id] = dict(options, key=key)
        return response

    def log(self, watch_id, start):
        """Of a watcher that `open` made; `start`: the first revision that it may be told."""
        return Log(watch_id, start, **self._asked[watch_id])


def _is_in(key, begin, range_end):
    if range_end == b"":
        return key == begin
    return key >= begin and (range_end == b"\0" or key < range_end)


class Log:
    """What one watcher was told so far. `newest_compaction` answers the highest revision that anybody asked to compact at."""

    def __init__(self, watch_id, start, key, range_end=b"", filters=(), prev_kv=False, newest_compaction=lambda: 0, **_):
        self.watch_id, self.start, self.key, self.range_end, self.filters, self.prev_kv = watch_id, start, key, range_end, filters, prev_kv
        self._newest_compaction = newest_compaction
        self.events = []            # as they came
        self._compactions = []      # for each, the newest compaction when it came
        self.progress = 0
        self.compacted = 0          # the compact revision that a cancel told
        self.is_open = False        # a revision's last fragment is to come
        self._is_canceled = False

    @property
    def next(self):
        """The first revision that was not told: where to go on."""
        last = self.events[-1].kv.mod_revision if self.events else 0
        return max(self.start, last + (0 if self.is_open else 1), self.progress + 1)

    def take(self, response):
        check(not self._is_canceled, "W12 behind the cancel: %s", response)
        check(response.watch_id in (self.watch_id, -1), "id %d: %s", self.watch_id, response)
        check(not response.created, "W12 created twice: %s", response)
        if response.canceled:
            self._take_cancel(response)
        elif response.events:
            check(response.watch_id == self.watch_id, "events of nobody: %s", response)
            self._take_events(response)
        else:
            self._take_progress(response.header.revision)

    def _take_cancel(self, response):
        self._is_canceled = True
        check(not response.events and not response.cancel_reason, "a cancel with more: %s", response)
        if response.compact_revision:
            check(response.header.revision == 0, "W11 a revision beside the compact revision: %s", response)
            check(response.compact_revision > self.next, "W11 compacted at %d, needed %d", response.compact_revision, self.next)
            self.compacted = response.compact_revision

    def _take_progress(self, revision):
        check(not self.is_open, "W4 progress between fragments")
        check(revision >= self.progress, "W7 progress goes back")
        check(revision >= self.start - 1, "W7 progress %d before the start %d", revision, self.start)
        check(not self.events or revision >= self.events[-1].kv.mod_revision, "W7 progress %d is old", revision)
        self.progress = revision

    def _take_events(self, response):
        last = self.events[-1].kv.mod_revision if self.events else self.start - 1
        newest_compaction = self._newest_compaction()
        for place, event in enumerate(response.events):
            revision, key = event.kv.mod_revision, event.kv.key
            is_glued = place > 0 or self.is_open
            check(revision >= self.start, "W10 revision %d, started at %d", revision, self.start)
            check(revision > last or (is_glued and revision == last), "W2 revision %d behind %d", revision, last)
            check(revision > self.progress, "W7 revision %d after progress %d", revision, self.progress)
            check(revision <= response.header.revision, "revision %d, header %d", revision, response.header.revision)
            check(_is_in(key, self.key, self.range_end), "W1 %s of %s to %s", key, self.key, self.range_end)
            check((NODELETE if event.type == kvpb.Event.DELETE else NOPUT) not in self.filters, "W1 filtered: %s", event)
            check(self.prev_kv or not event.HasField("prev_kv"), "W8 nobody asked for the previous pair: %s", event)
            self._compactions.append(newest_compaction)
            last = revision
        self.is_open = response.fragment
        self.events.extend(response.events)

    def compare(self, happened):
        """Exactly what happened between start and next, each event with all that it says. Answers how many previous pairs were gone."""
        gone = 0
        wanted = expected(happened, self.start, self.next, self.key, self.range_end, self.filters)
        for event, want, compaction in zip(self.events, wanted, self._compactions):
            kv = event.kv
            told = Event(kv.mod_revision, event.type == kvpb.Event.DELETE, kv.key, kv.value, kv.create_revision, kv.version, None)
            check(told == want._replace(previous=None), "W3, W5, W9: told %s, happened %s", told, want)
            if not self.prev_kv:
                continue
            prev = event.prev_kv
            if not event.HasField("prev_kv"):
                check(want.previous is None or compaction >= want.revision, "W8 no previous pair at %d, compacted %d, there was %s",
                      want.revision, compaction, want.previous)
                gone += want.previous is not None
                continue
            told = (prev.value, prev.create_revision, prev.mod_revision, prev.version)
            check(prev.key == want.key and told == want.previous, "W8 before %d told %s, there was %s", want.revision, prev, want.previous)
        check(len(self.events) == len(wanted), "W5, W6: %d events from %d to %d, told %d, the first that differs: %s", len(wanted),
              self.start, self.next, len(self.events), (wanted + [None])[min(len(wanted), len(self.events))])
        return gone


def follow(stream, log, until):
    """Takes what the stream tells, to a log whose watcher is alone on it, until that revision is told whole."""
    while not log.events or log.events[-1].kv.mod_revision < until or log.is_open:
        log.take(stream.next())


# --------------------------------------------------------------------------------------------------------------------
# What really happened


def happened(records, places, log_prefix):
    """All events of the writes of history.py's clients, in order. `records`: theirs; `places`: the store's list of (id, create_revision,
    mod_revision, version). Each took one revision, with its key below log_prefix first and its effects behind it."""
    by_id = {record["id"]: record for record in records}
    pairs, events = {}, []

    def put(revision, key, value):
        previous = pairs.get(key)
        pairs[key] = (value, previous[1] if previous else revision, revision, previous[3] + 1 if previous else 1)
        events.append(Event(revision, False, key, value, pairs[key][1], pairs[key][3], previous))

    for name, revision, _, _ in sorted(places, key=lambda place: place[1]):
        put(revision, (log_prefix + name).encode(), name.encode())
        for key, value in by_id[name]["effects"].items():
            key = key.encode()
            if value is not None:
                put(revision, key, value.encode())
            elif key in pairs:
                events.append(Event(revision, True, key, b"", 0, 0, pairs.pop(key)))
    return events


def expected(events, begin, end, key, range_end=b"", filters=()):
    """Of these events in order, those of the revisions from begin to end (exclusive) that such a watcher is to be told."""
    first, last = (bisect.bisect_left(events, revision, key=lambda event: event.revision) for revision in (begin, end))
    return [event for event in events[first:last]
            if _is_in(event.key, key, range_end) and (NODELETE if event.is_delete else NOPUT) not in filters]
