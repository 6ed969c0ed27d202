"""The client that an application uses."""

from __future__ import annotations

import atexit
import logging
import os
import random
import ssl
import threading
import time
import weakref
from collections import deque
from types import TracebackType
from typing import Any, Callable, Deque, Dict, Iterator, List, Literal, Mapping, Optional, Sequence, Tuple, Type

from . import _json
from ._http import Caller, Origin
from ._journal import Journal
from ._sender import Entry, Sender, Verdict
from ._uuid7 import uuid7
from .models import EventType, Filter, Instant, Match, StoredEvent, Violation
from .operations import Operations
from .outcome import Outcome, Stats

OnFull = Literal["block", "drop_oldest", "drop_newest"]

# The contract's bounds.
_MAX_EVENT_BYTES = 128 << 10
_MAX_BATCH_EVENTS = 5000
_MAX_BATCH_BYTES = 8 << 20

_MAX_RETRY_AFTER = 300.0

# How long `close` waits beyond its time for the thread to put things away.
_GRACE = 1.0

# How many outcomes may wait for the callback, if the queue isn't larger.
_MAX_REPORTS = 10_000
_MAX_REPORTS_BYTES = 16 << 20


class Client:
    """Sends events in the background, and asks questions.

    Make one for the process and keep it: every client has a thread, a connection and a
    queue of its own. All methods may be called from any thread, and `track` also from
    signal handlers.

    `track` puts an event into a queue and returns. A thread takes the events from
    there in batches, and sends each until the server has answered for it, with the
    same id each time, so that the server stores it once. Network errors, time-outs,
    408, 429 and 5xx are tried again without end, after a pause that doubles, up to
    `backoff_max`, and is never shorter than the server's Retry-After.

    At the end of the process (`atexit`) the client is closed, for which it takes at
    most `exit_timeout`. A process that ends without atexit (os._exit, a child of
    multiprocessing, a signal that nobody handles) must call `close`, or have a
    `queue_dir`.

    After os.fork the child's client is as new: what was tracked before is the
    parent's to send, and the child sends what it tracks itself. Its thread starts with
    the first event. The `queue_dir` stays the parent's; the child's queue is in
    memory. To have one for each of gunicorn's workers, make the client in `post_fork`.

    As a context manager it is closed at the end of the block.
    """

    def __init__(
        self,
        url: Optional[str] = None,
        *,
        on_outcome: Optional[Callable[[Outcome], None]] = None,
        queue_dir: Optional[str] = None,
        max_queue_events: int = 10_000,
        max_queue_bytes: int = 16 << 20,
        on_full: OnFull = "drop_newest",
        block_timeout: float = 0.1,
        max_batch_events: int = 500,
        max_batch_bytes: int = 1 << 20,
        flush_interval: float = 1.0,
        request_timeout: float = 10.0,
        backoff_base: float = 0.1,
        backoff_max: float = 30.0,
        exit_timeout: float = 5.0,
        gzip: bool = True,
        headers: Optional[Mapping[str, str]] = None,
        ssl_context: Optional[ssl.SSLContext] = None,
        logger: Optional[logging.Logger] = None,
    ) -> None:
        """Make a client. Times are in seconds. Nothing is sent before the first event,
        but what `queue_dir` has.

        * `url`: where the server is; without it the environment's ANALYTICS_URL, or
          http://localhost:8000.
        * `on_outcome`: is called with what became of each event, in the client's
          thread: while it runs, nothing is sent. What it raises is logged.
        * `queue_dir`: a folder for the queue, to survive a crash of the process (not of
          the machine: nothing is synced). One process may use it.
        * `max_queue_events`, `max_queue_bytes`: bounds of the queue, with the batch
          under way. As many outcomes again, or 10,000 and 16 MiB, may wait for
          `on_outcome`; beyond that they are only counted.
        * `on_full`: what to do with an event when the queue is full: wait for room,
          for at most `block_timeout`, and then drop it (`block`: not for event loops);
          drop the oldest that isn't being sent (`drop_oldest`); drop it (`drop_newest`).
        * `max_batch_events`, `max_batch_bytes`: a batch is sent when it is so large, at
          most 5,000 events and 8 MiB before compression, or when its oldest event is
          `flush_interval` old.
        * `request_timeout`: for a whole request, but for looking up the host's name.
        * `headers`: for every request, such as a gateway's credentials.
        * `logger`: instead of the one named `analytics_client`. Payloads are never logged.

        Raises ValueError for what can't be meant, and QueueDirError when `queue_dir`
        can't be used.
        """
        _check(max_queue_events=(max_queue_events, 1, None), max_queue_bytes=(max_queue_bytes, 1, None))
        _check(block_timeout=(block_timeout, 0, None), flush_interval=(flush_interval, 0, None))
        _check(max_batch_events=(max_batch_events, 1, _MAX_BATCH_EVENTS))
        _check(max_batch_bytes=(max_batch_bytes, 1, _MAX_BATCH_BYTES))
        _check(request_timeout=(request_timeout, 0.001, None), exit_timeout=(exit_timeout, 0, None))
        _check(backoff_base=(backoff_base, 0.001, None), backoff_max=(backoff_max, backoff_base, None))
        if on_full not in ("block", "drop_oldest", "drop_newest"):
            raise ValueError(f"on_full={on_full!r}: must be block, drop_oldest or drop_newest")

        self._origin = Origin(url or os.environ.get("ANALYTICS_URL") or "http://localhost:8000", headers, ssl_context)
        self._on_outcome = on_outcome
        self._max_queue_events = max_queue_events
        self._max_queue_bytes = max_queue_bytes
        self._on_full = on_full
        self._block_timeout = block_timeout
        self._max_batch_events = max_batch_events
        self._max_batch_bytes = max_batch_bytes
        self._flush_interval = flush_interval
        self._request_timeout = request_timeout
        self._backoff_base = backoff_base
        self._backoff_max = backoff_max
        self._exit_timeout = exit_timeout
        self._gzip = gzip
        self._log = logger or logging.getLogger("analytics_client")
        self._caller = Caller(self._origin, request_timeout)
        self.api: Operations = Operations(self._caller)
        """The operations of the contract, one method each, all typed."""

        self._is_closed = False
        self._warn_of_fork = False
        self._journal: Optional[Journal] = None
        self._begin()
        if queue_dir is not None:
            journal = Journal(queue_dir)
            try:
                self._recover(journal)
            except BaseException:
                journal.abandon()
                raise
        _clients.add(self)
        self._speak()

    def _begin(self) -> None:
        """Set all to an empty queue without a thread, for a process that begins."""
        # Re-entrant, for a signal handler that tracks while its thread has the lock.
        self._lock = threading.RLock()
        self._work = threading.Condition(self._lock)  # the thread waits for it
        self._room = threading.Condition(self._lock)  # track waits for it, if told to
        self._settled = threading.Condition(self._lock)  # flush waits for it
        self._waiting: Deque[Entry] = deque()
        self._waiting_bytes = 0
        self._flying: List[Entry] = []  # the batch in the request under way
        self._flying_bytes = 0
        self._halves: Deque[int] = deque()  # sizes of the next batches, after a 413
        self._reports: Deque[Tuple[Entry, Outcome]] = deque()
        self._reports_bytes = 0
        self._unreported = 0
        self._last_number = 0
        self._unsettled = 0  # events whose outcome isn't reported
        self._flushes: List[_Flush] = []
        self._failures = 0  # in a row
        self._not_before = 0.0  # the end of the backoff
        self._deadline: Optional[float] = None  # of close
        self._has_left_over = False
        self._left_on_disk: List[Entry] = []  # by close
        self._counters = dict.fromkeys(
            ("accepted", "duplicate", "rejected", "dropped", "failed", "requests", "retries"), 0
        )
        self._said_full = -60.0
        self._sayings: Deque[Tuple[Any, ...]] = deque()  # for the logger, after the lock
        self._thread: Optional[threading.Thread] = None
        self._inside = 0  # the thread that is putting something into the queue
        self._interrupting: Deque[Entry] = deque()  # tracked by signal handlers meanwhile
        self._reporting = threading.local()  # .now: this thread calls on_outcome
        self._sender = Sender(self._origin, self._gzip)
        self._random = random.Random()  # seeded by the system, whatever the application does

    def _recover(self, journal: Journal) -> None:
        """Put into the queue what an earlier process left on disk."""
        events, unreadable = journal.recover()
        self._journal = journal
        if unreadable:
            self._say(
                logging.WARNING, "%d lines of the on-disk queue were cut by a crash; they are skipped", unreadable
            )
        now = time.monotonic() - self._flush_interval
        with self._lock:
            for key, data in events:
                entry = Entry(data, now)
                entry.key = key
                self._append(entry)
            if events:
                self._say(logging.INFO, "%d events from the on-disk queue are sent now", len(events))
                self._wake()

    # Tracking

    def track(
        self,
        user_id: int,
        event_type: str,
        payload: Optional[Mapping[str, Any]] = None,
        *,
        timestamp: Optional[int] = None,
        event_id: Optional[str] = None,
    ) -> bool:
        """Put an event into the queue. It raises nothing, and does nothing on the network.

        * `user_id`: who did it, from 1.
        * `event_type`: what kind of event: a letter or digit, then letters, digits and `_.:-`.
        * `payload`: whatever else is worth keeping, as JSON has it: str, int, float,
          Decimal, bool, None, list, tuple, dict. It is copied.
        * `timestamp`: when, in Unix seconds; without it now.
        * `event_id`: a UUID, for an event that may be tracked twice; without it a new one.

        Return whether it is in the queue. It isn't if it can't be made into JSON or is
        larger than 128 KiB (`rejected`), if there is no room, or after `close`
        (`dropped`). Whatever else is wrong with it, the server says.
        """
        try:
            is_tracked = self._track(user_id, event_type, payload, timestamp, event_id)
            if self._sayings:
                self._speak()
            return is_tracked
        except Exception:
            self._log.exception("an event was not tracked, by a defect of the client")
            return False

    def _track(
        self,
        user_id: int,
        event_type: str,
        payload: Optional[Mapping[str, Any]],
        timestamp: Optional[int],
        event_id: Optional[str],
    ) -> bool:
        event: Dict[str, Any] = {
            "user_id": user_id,
            "event_type": event_type,
            "timestamp": int(time.time()) if timestamp is None else timestamp,
            "event_id": uuid7() if event_id is None else event_id,
        }
        if payload is not None:
            if not isinstance(payload, (dict, Mapping)):  # the second takes longer
                return self._reject("/payload", "type", "must be an object")
            event["payload"] = payload
        try:
            data = _json.encode(event)
        except Exception as error:  # also what a member's own methods raise, with a text that is theirs
            why = str(error) if isinstance(error, _json.NotJSON) else type(error).__name__
            return self._reject("", "type", f"can't be made into JSON: {why}")
        if len(data) > _MAX_EVENT_BYTES:
            return self._reject("", "too_large", f"must be at most {_MAX_EVENT_BYTES} bytes")

        entry = Entry(data, time.monotonic())
        with self._lock:
            if self._inside == threading.get_ident():
                # A signal handler interrupted this thread in here: what goes on there ends first.
                self._interrupting.append(entry)
                return True
            self._inside = threading.get_ident()
            try:
                reason = self._enqueue(entry)
                self._enqueue_interrupting()
            finally:
                self._inside = 0
            self._enqueue_interrupting()  # what came between the last two lines
        return not reason or self._drop(entry, reason)

    def _enqueue(self, entry: Entry) -> str:
        """Put an event into the queue, or return why not. The caller has the lock."""
        size = len(entry.data)
        if self._is_closed:
            return "closed"
        if not self._has_room(size) and not self._make_room(size):
            return "closed" if self._is_closed else "queue_full"
        if self._journal is not None:
            try:
                entry.key = self._journal.append(entry.data)
            except OSError as error:
                self._say(logging.ERROR, "an event is kept in memory only, queue_dir can't be written: %s", error)
        elif self._warn_of_fork:
            self._warn_of_fork = False
            self._say(
                logging.WARNING,
                "queue_dir stays with the process that forked this one, whose events are kept in memory: "
                "make a client after the fork to have a folder for it",
            )
        self._append(entry)
        if self._thread is None or len(self._waiting) == 1 or self._is_batch_full():
            self._wake()
        return ""

    def _enqueue_interrupting(self) -> None:
        while self._interrupting:
            entry = self._interrupting.popleft()
            reason = self._enqueue(entry)
            if reason:
                self._drop(entry, reason)

    def _append(self, entry: Entry) -> None:
        self._last_number += 1
        entry.number = self._last_number
        self._unsettled += 1
        self._waiting.append(entry)
        self._waiting_bytes += len(entry.data)

    def _has_room(self, size: int) -> bool:
        return (
            len(self._waiting) + len(self._flying) < self._max_queue_events
            and self._waiting_bytes + self._flying_bytes + size <= self._max_queue_bytes
        )

    def _make_room(self, size: int) -> bool:
        """Do what `on_full` says, and return whether there is room now."""
        now = time.monotonic()
        if now - self._said_full >= 60:
            self._said_full = now
            self._say(logging.WARNING, "the queue is full (%s): is the server away, or too slow?", self._on_full)
        if self._on_full == "block" and threading.current_thread() is not self._thread:
            self._room.wait_for(lambda: self._is_closed or self._has_room(size), self._block_timeout)
            self._inside = threading.get_ident()  # again: others were in here
            return not self._is_closed and self._has_room(size)
        if (
            self._on_full != "drop_oldest"
            or len(self._flying) >= self._max_queue_events
            or self._flying_bytes + size > self._max_queue_bytes
        ):
            return False
        while not self._has_room(size):
            oldest = self._waiting.popleft()
            self._waiting_bytes -= len(oldest.data)
            if self._halves:
                self._halves[0] -= 1
                if self._halves[0] == 0:
                    self._halves.popleft()
            self._settle([(oldest, Outcome("dropped", "queue_full", data=oldest.data))])
        return True

    def _reject(self, pointer: str, code: Any, detail: str) -> bool:
        return self._refuse(Entry(b"", 0.0), Outcome("rejected", code, [Violation(pointer, code, detail)]))

    def _drop(self, entry: Entry, reason: str) -> bool:
        return self._refuse(entry, Outcome("dropped", reason, data=entry.data))

    def _refuse(self, entry: Entry, outcome: Outcome) -> bool:
        """Settle an event that doesn't get into the queue. Return False."""
        with self._lock:
            self._last_number += 1
            entry.number = self._last_number
            self._unsettled += 1
            is_reporting = getattr(self._reporting, "now", False)
            self._settle([(entry, outcome)], is_silent=self._is_closed and is_reporting)
            has_thread = not self._is_closed
        if not has_thread and not is_reporting:
            self._report()
        return False

    # Waiting

    def flush(self, timeout: float = 10.0) -> bool:
        """Wait until every event tracked before has its outcome.

        They are sent at once, but for a backoff that is under way. Return False if
        the time passes before; the log then says how many are left. From `on_outcome`,
        it doesn't wait.
        """
        with self._lock:
            self._enqueue_interrupting()
            flush = _Flush(self._last_number, self._unsettled)
            if flush.left > 0 and threading.current_thread() is not self._thread:
                self._flushes.append(flush)
                self._inside = threading.get_ident()
                self._wake()
                self._inside = 0
                self._enqueue_interrupting()
                self._settled.wait_for(lambda: flush.left <= 0, min(timeout, threading.TIMEOUT_MAX))
                self._flushes.remove(flush)
        if flush.left > 0:
            self._log.warning("flush: %d events have no outcome after %g s", flush.left, timeout)
        return flush.left <= 0

    def close(self, timeout: float = 10.0) -> bool:
        """Take no more events, deliver those in the queue, and end the thread.

        A backoff under way is cut short, once. What isn't delivered when the time has
        passed is dropped, with the reason `closed`, or stays in `queue_dir` for the
        next process. Return whether everything was delivered. A second call waits for
        the first. From `on_outcome`, it doesn't wait.
        """
        deadline = time.monotonic() + timeout
        me = threading.current_thread()
        with self._lock:
            self._enqueue_interrupting()
            thread = self._thread
            is_first = not self._is_closed
            if is_first:
                self._is_closed = True
                self._deadline = deadline
                self._not_before = 0.0
                self._room.notify_all()
                self._work.notify()
                if thread is None:
                    self._thread = me
        if is_first and thread is None:
            self._run()  # there is nothing to do, or it is too late in the exit for a thread
        elif thread is me:
            return False
        elif thread is not None:
            try:
                thread.join(min(max(0.0, deadline - time.monotonic()), threading.TIMEOUT_MAX))
                if thread.is_alive():
                    self._sender.abort()
                    thread.join(_GRACE)
            except RuntimeError:  # a signal handler closes what is being started
                return False
        self._caller.close()
        with self._lock:
            return not self._has_left_over and self._unsettled <= 0

    def stats(self) -> Stats:
        """Return the counters of this process."""
        with self._lock:
            return Stats(queued=len(self._waiting) + len(self._flying) + len(self._left_on_disk), **self._counters)

    def pending(self) -> List[Dict[str, Any]]:
        """Return the events that have no outcome, those being sent first.

        After `close` these are the ones that stay in `queue_dir`.
        """
        with self._lock:
            entries = [*self._flying, *self._waiting, *self._left_on_disk]
        return [_json.decode(entry.data) for entry in entries]

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    # Asking

    def export(
        self,
        *,
        event_type: Optional[EventType] = None,
        user_id: Optional[int] = None,
        from_: Optional[Instant] = None,
        to: Optional[Instant] = None,
        filters: Optional[Sequence[Filter]] = None,
        match: Optional[Match] = None,
    ) -> Iterator[StoredEvent]:
        """Iterate over all events that fit, the oldest first, however many there are.

        When the connection breaks it goes on after the last event, and gives up after
        five tries without one more.
        """
        cursor: Optional[str] = None
        failures = 0
        while True:
            try:
                with self.api.export_events(
                    event_type=event_type,
                    user_id=user_id,
                    from_=from_,
                    to=to,
                    filters=_json.encode(filters).decode() if filters else None,
                    match=match,
                    cursor=cursor,
                ) as stream:
                    for line in stream:
                        event = StoredEvent.from_json(_json.decode(line))
                        cursor = f"{event.timestamp}_{event.event_id}_{event.user_id}"
                        failures = 0
                        yield event
                return
            except OSError as error:
                failures += 1
                if failures == 5:
                    raise
                self._log.info("the export broke off and goes on: %s", error)
                time.sleep(self._backoff(failures))

    # Delivery

    def _wake(self) -> None:
        """Have the thread look at the queue. The caller has the lock."""
        if self._thread is not None:
            self._work.notify()
        elif self._waiting or self._reports:
            thread = threading.Thread(target=self._run, name="analytics-client", daemon=True)
            self._thread = thread  # before a signal handler comes here, too
            try:
                thread.start()
            except RuntimeError:  # too late in the exit, or too many: close does it
                self._thread = None

    def _run(self) -> None:
        """Deliver until the client is closed and all is done, or its time is up."""
        try:
            while True:
                with self._lock:
                    while not (self._reports or self._sayings or self._is_due() or self._is_over()):
                        self._work.wait(self._pause())
                        self._enqueue_interrupting()
                    if self._is_over() and not self._reports:
                        break
                    batch = self._take() if self._is_due() and not self._reports else []
                    deadline = time.monotonic() + self._request_timeout
                    if self._deadline is not None:
                        deadline = min(deadline, self._deadline)
                self._speak()
                self._report()
                if batch:
                    verdict = self._try(batch, deadline)
                    with self._lock:
                        self._apply(verdict)
        except Exception:
            self._log.exception("delivery ended by a defect of the client")
        finally:
            self._end()

    def _try(self, batch: List[Entry], deadline: float) -> Verdict:
        try:
            return self._sender.send(batch, deadline)
        except Exception as error:  # such as a lack of memory
            return Verdict(again=batch, trouble=repr(error))

    def _is_due(self) -> bool:
        """Tell whether a batch is to be sent now."""
        now = time.monotonic()
        if not self._waiting or now < self._not_before or self._deadline is not None and now >= self._deadline:
            return False
        oldest = self._waiting[0]
        return (
            self._is_closed
            or oldest.was_tried
            or self._is_batch_full()
            or now >= oldest.since + self._flush_interval
            or any(flush.left > 0 and oldest.number <= flush.number for flush in self._flushes)
        )

    def _is_batch_full(self) -> bool:
        count = len(self._waiting)
        return count >= self._max_batch_events or self._waiting_bytes + count > self._max_batch_bytes

    def _is_over(self) -> bool:
        if not self._is_closed:
            return False
        return not self._waiting or self._deadline is None or time.monotonic() >= self._deadline

    def _pause(self) -> Optional[float]:
        """Return how long there is nothing to do, unless something is said."""
        if not self._waiting:
            return None
        due = self._waiting[0].since + self._flush_interval
        if self._not_before > time.monotonic():
            due = self._not_before  # then _is_due looks at everything again
        if self._deadline is not None:
            due = min(due, self._deadline)
        return min(max(0.0, due - time.monotonic()), 3600.0)  # Python has a bound of its own

    def _take(self) -> List[Entry]:
        """Move the next batch from the queue into the air."""
        most = self._halves.popleft() if self._halves else self._max_batch_events
        batch: List[Entry] = []
        size = 0
        while self._waiting and len(batch) < most:
            data = self._waiting[0].data
            if batch and size + len(data) + len(batch) > self._max_batch_bytes:  # with the line feeds
                break
            entry = self._waiting.popleft()
            entry.was_tried = True
            size += len(data)
            batch.append(entry)
        self._waiting_bytes -= size
        self._flying, self._flying_bytes = batch, size
        self._counters["requests"] += 1
        return batch

    def _apply(self, verdict: Verdict) -> None:
        self._flying, self._flying_bytes = [], 0
        for entry in reversed(verdict.again):
            self._waiting.appendleft(entry)
            self._waiting_bytes += len(entry.data)
        if verdict.is_too_large:
            half = len(verdict.again) // 2
            self._halves.extendleft([len(verdict.again) - half, half])
        elif verdict.again:
            self._failures += 1
            pause = max(self._backoff(self._failures), min(verdict.retry_after, _MAX_RETRY_AFTER))
            self._not_before = time.monotonic() + pause
            self._counters["retries"] += 1
            self._say(
                logging.WARNING, "%d events are sent again in %.1f s: %s", len(verdict.again), pause, verdict.trouble
            )
        else:
            self._failures = 0
        self._settle(verdict.settled)
        self._room.notify_all()

    def _backoff(self, failures: int) -> float:
        """Return a pause in seconds: exponential, with full jitter."""
        return self._random.uniform(0.0, min(self._backoff_max, self._backoff_base * 2.0 ** min(failures - 1, 60)))

    def _settle(self, settled: List[Tuple[Entry, Outcome]], is_silent: bool = False) -> None:
        """Count outcomes, and have them reported. The caller has the lock."""
        keys = [entry.key for entry, _ in settled if entry.key is not None]
        if keys and self._journal is not None:
            try:
                self._journal.settle(keys)
            except OSError as error:
                self._say(logging.ERROR, "queue_dir can't be written, what is settled may be sent again: %s", error)
        bad: Dict[str, int] = {}
        for entry, outcome in settled:
            self._counters[outcome.status] += 1
            if outcome.status in ("rejected", "failed"):
                first = outcome.violations[0] if outcome.violations else None
                why = f"{outcome.status}: {outcome.code}" + (f", {first.pointer} {first.detail}" if first else "")
                bad[why] = bad.get(why, 0) + 1
            if self._on_outcome is None or is_silent:
                self._finish(entry)
            elif len(self._reports) >= max(_MAX_REPORTS, self._max_queue_events) or self._reports_bytes + len(
                entry.data
            ) > max(_MAX_REPORTS_BYTES, self._max_queue_bytes):
                self._unreported += 1
                self._finish(entry)
            else:
                self._reports.append((entry, outcome))
                self._reports_bytes += len(entry.data)
        for why, count in bad.items():
            self._say(logging.WARNING, "%d events are %s", count, why)
        if self._reports and not self._is_closed:
            self._wake()

    def _finish(self, entry: Entry) -> None:
        """Note for those who wait that an event is settled and reported."""
        self._unsettled -= 1
        for flush in self._flushes:
            if entry.number <= flush.number:
                flush.left -= 1
                if flush.left <= 0:
                    self._settled.notify_all()

    def _report(self) -> None:
        """Call the callback with what waits for it, without the lock."""
        while True:
            with self._lock:
                if self._unreported:
                    self._say(logging.ERROR, "on_outcome is too slow: %d outcomes are only counted", self._unreported)
                    self._unreported = 0
                if not self._reports:
                    break
                entry, outcome = self._reports.popleft()
                self._reports_bytes -= len(entry.data)
            self._reporting.now = True
            try:
                assert self._on_outcome is not None
                self._on_outcome(outcome)
            except Exception:
                self._log.exception("on_outcome raised")
            finally:
                self._reporting.now = False
                with self._lock:
                    self._finish(entry)
        self._speak()

    def _say(self, level: int, message: str, *args: object) -> None:
        """Log when the lock is free: a handler may wait for a thread that wants it."""
        self._sayings.append((level, message, *args))

    def _speak(self) -> None:
        while self._sayings:
            try:
                saying = self._sayings.popleft()
            except IndexError:  # another thread was faster
                return
            self._log.log(*saying)

    def _end(self) -> None:
        """Put away what is left at the end of close."""
        self._sender.close()
        with self._lock:
            self._is_closed = True
            left = [*self._flying, *self._waiting]
            self._waiting.clear()
            self._waiting_bytes = 0
            self._flying, self._flying_bytes = [], 0
            self._has_left_over = bool(left)
            kept = [entry for entry in left if entry.key is not None]
            dropped = [entry for entry in left if entry.key is None]
            self._settle([(entry, Outcome("dropped", "closed", data=entry.data)) for entry in dropped])
            for entry in kept:
                self._finish(entry)
            if self._journal is not None:
                try:
                    self._journal.close()
                except OSError as error:
                    self._say(logging.ERROR, "queue_dir can't be tidied up: %s", error)
                self._journal = None
            if dropped:
                self._say(logging.ERROR, "close: the time is up, %d events are dropped", len(dropped))
            if kept:
                self._say(logging.WARNING, "close: %d events stay in queue_dir for the next start", len(kept))
            self._left_on_disk = kept
        self._report()
        with self._lock:
            self._thread = None

    # Forks

    def _begin_in_child(self) -> None:
        self._sender.abandon()
        if self._journal is not None:
            self._journal.abandon()
            self._journal = None
            self._warn_of_fork = True
        self._begin()


class _Flush:
    """Somebody who waits for the events up to a number."""

    __slots__ = ("number", "left")

    def __init__(self, number: int, left: int) -> None:
        self.number = number
        self.left = left


def _check(**options: Tuple[float, float, Optional[float]]) -> None:
    for name, (value, least, most) in options.items():
        if not isinstance(value, (int, float)) or value < least or most is not None and value > most:
            bounds = f"at least {least:g}" + (f" and at most {most:g}" if most is not None else "")
            raise ValueError(f"{name}={value!r}: must be {bounds}")


_clients: weakref.WeakSet[Client] = weakref.WeakSet()
_held = threading.local()


def _close_at_exit() -> None:
    for client in list(_clients):
        client.close(client._exit_timeout)


# Before anybody registers something that tracks: those who come last are called first.
atexit.register(_close_at_exit)


def _before_fork() -> None:
    # With the locks, so that no other thread is in the middle of something.
    _held.clients = sorted(_clients, key=id)
    for client in _held.clients:
        client._lock.acquire()


def _after_fork_in_parent() -> None:
    for client in reversed(_held.clients):
        client._lock.release()
    _held.clients = []


def _after_fork_in_child() -> None:
    for client in _held.clients:
        client._begin_in_child()
    _held.clients = []


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
