"""What track costs its caller, and how many events a second are delivered.

Run by `make bench`, with a server of its own. Compare the costs with the first line,
which is the least that an event costs. They are the calling thread's CPU time, so that
other programs on the machine matter little; events per second are by the clock.
"""

from __future__ import annotations

import gc
import json
import logging
import statistics
import sys
import tempfile
import time
from typing import Any, Callable, Dict, Optional

from analytics_client import Client
from analytics_client._uuid7 import uuid7
from tests.support import FakeServer, real_server

PAYLOAD = {"item": "book", "price": 12.5, "tags": ["a", "b"], "from": "/products/17"}
ROUNDS, CALLS = 15, 2000


def per_call(call: Callable[[], object], between: Callable[[], object] = lambda: None) -> str:
    """Return the median over the rounds, and the best, in microseconds per call."""
    times = []
    gc.collect()
    for _ in range(ROUNDS):
        started = time.thread_time()
        for _ in range(CALLS):
            call()
        times.append((time.thread_time() - started) / CALLS * 1e6)
        between()
    return f"{statistics.median(times):8.2f} {min(times):8.2f}"


def least() -> bytes:
    """The JSON that is sent, with an id and the time, and nothing else."""
    event = {"user_id": 42, "event_type": "purchase", "timestamp": int(time.time()), "event_id": uuid7()}
    return json.dumps({**event, "payload": PAYLOAD}, separators=(",", ":")).encode()


def track(url: str, payload: Optional[Dict[str, Any]], queue_dir: Optional[str] = None, is_idle: bool = True) -> str:
    """Measure track, while nothing is sent or while the thread sends what it can."""
    client = Client(
        url,
        max_queue_events=10_000_000,
        max_queue_bytes=1 << 40,
        flush_interval=3600 if is_idle else 0,
        max_batch_events=5000 if is_idle else 500,
        max_batch_bytes=8 << 20,
        queue_dir=queue_dir,
    )
    result = per_call(lambda: client.track(42, "purchase", payload), lambda: client.flush(60))
    assert client.close(60) and client.stats().accepted == ROUNDS * CALLS
    return result


def delivered(url: str, count: int, queue_dir: Optional[str] = None) -> str:
    """Measure events a second from the first track to the last receipt, and CPU time."""
    client = Client(url, on_full="block", block_timeout=60, queue_dir=queue_dir)
    started, used = time.perf_counter(), time.process_time()
    for _ in range(count):
        client.track(42, "purchase", PAYLOAD)
    assert client.close(60)
    seconds, used = time.perf_counter() - started, time.process_time() - used
    assert client.stats().accepted == count, client.stats()
    return f"{count / seconds:8.0f} {used / count * 1e6:8.2f}"


def main() -> None:
    logging.getLogger("analytics_client").setLevel(logging.ERROR)  # the queue is full on purpose
    print(f"Python {sys.version.split()[0]}, payload of {len(json.dumps(PAYLOAD))} bytes")
    print("cost in the caller, µs                    median     best")
    print(f"  json.dumps of the event, with an id   {per_call(least)}")
    with FakeServer() as server, tempfile.TemporaryDirectory() as folder:
        print(f"  track, without a payload              {track(server.url, None)}")
        print(f"  track                                 {track(server.url, PAYLOAD)}")
        print(f"  track, with queue_dir                 {track(server.url, PAYLOAD, folder)}")
    with real_server() as url, tempfile.TemporaryDirectory() as folder:
        print(f"  track, while the thread sends         {track(url, PAYLOAD, is_idle=False)}")
        print("delivered to a real server here         events/s   CPU, µs per event, both threads")
        print(f"  in memory                             {delivered(url, 100_000)}")
        print(f"  with queue_dir                        {delivered(url, 100_000, folder)}")


if __name__ == "__main__":
    main()
