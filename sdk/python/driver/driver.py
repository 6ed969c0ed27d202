"""Does what a scenario of test/sdk tells, with the Python SDK.

See test/sdk/README.md for what it reads and prints.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from typing import Any, Dict, List, NoReturn, Optional

from analytics_client import Client, Outcome, _json


class Driver:
    def __init__(self, scenario: Dict[str, Any]) -> None:
        options = scenario["options"]
        self.settled = threading.Condition()
        self.outcomes: List[Outcome] = []
        self.tracked = 0
        self.flushes: List[bool] = []
        self.closed: Optional[bool] = None
        self.client = Client(
            os.environ["ANALYTICS_URL"],
            on_outcome=self.on_outcome,
            queue_dir=os.environ["QUEUE_DIR"] if scenario["durable"] else None,
            max_batch_events=options["max_batch_events"],
            max_batch_bytes=options["max_batch_bytes"],
            flush_interval=options["flush_interval_ms"] / 1000,
            max_queue_events=options["max_queue_events"],
            max_queue_bytes=options["max_queue_bytes"],
            on_full=options["on_full"],
            block_timeout=options["block_timeout_ms"] / 1000,
            request_timeout=options["request_timeout_ms"] / 1000,
            backoff_base=options["backoff_base_ms"] / 1000,
            backoff_max=options["backoff_max_ms"] / 1000,
            gzip=options["gzip"],
        )
        self.recovered = len(self.client.pending()) + len(self.outcomes)

    def on_outcome(self, outcome: Outcome) -> None:
        with self.settled:
            self.outcomes.append(outcome)
            self.settled.notify_all()

    def do(self, step: Dict[str, Any]) -> None:
        kind = step["do"]
        seconds = step.get("timeout_ms", 0) / 1000
        if kind == "track":
            for i in range(step["count"]):
                payload = fill(step["payload"], i)
                if step.get("payload_bytes"):
                    payload["pad"] = "x" * step["payload_bytes"]
                self.track(step["user_id"], step["event_type"], payload, timestamp=step["timestamp"])
        elif kind == "track_raw":
            self.track(**step["event"])
        elif kind == "flush":
            self.flushes.append(self.client.flush(seconds))
        elif kind == "close":
            self.closed = self.client.close(seconds)
        elif kind == "wait_settled":
            count: int = step["count"]
            with self.settled:
                if not self.settled.wait_for(lambda: len(self.outcomes) >= count, seconds):
                    sys.exit(f"{len(self.outcomes)} events are settled after {seconds} s, not {count}")
        elif kind == "wait_retries":
            deadline = time.monotonic() + seconds
            while self.client.stats().retries < step["count"]:
                if time.monotonic() > deadline:
                    sys.exit(f"{self.client.stats().retries} retries after {seconds} s, not {step['count']}")
                time.sleep(0.001)
            open("retried", "w").close()
        elif kind == "crash":
            self.crash()
        else:
            sys.exit(f"there is no step {kind!r}")

    def track(self, *args: Any, **event: Any) -> None:
        self.tracked += 1
        self.client.track(*args, **event)

    def answer(self) -> Dict[str, Any]:
        """Return what became of everything, when no outcome is on its way to us."""
        deadline = time.monotonic() + 10
        while True:
            with self.settled:
                outcomes = list(self.outcomes)
            pending = self.client.pending()
            if len(outcomes) + len(pending) == self.tracked + self.recovered:
                break
            if time.monotonic() > deadline:
                sys.exit(f"{len(outcomes)} outcomes and {len(pending)} pending, of {self.tracked} + {self.recovered}")
            with self.settled:
                self.settled.wait(0.01)
        events = [{**o.event, "outcome": o.status, "code": o.code} for o in outcomes]
        events += [{**event, "outcome": "pending", "code": ""} for event in pending]
        stats = vars(self.client.stats())
        return {
            "sdk": "python",
            "events": events,
            "tracked": self.tracked,
            "flushes": self.flushes,
            "closed": self.closed,
            "stats": stats,
            "requests": stats["requests"],
        }

    def crash(self) -> NoReturn:
        print_answer(self.answer())
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("still alive")


def fill(payload: Any, i: int) -> Any:
    """Replace "$i" by a number, in a copy."""
    if payload == "$i":
        return i
    if isinstance(payload, dict):
        return {name: fill(value, i) for name, value in payload.items()}
    if isinstance(payload, list):
        return [fill(value, i) for value in payload]
    return payload


def print_answer(answer: Dict[str, Any]) -> None:
    sys.stdout.buffer.write(_json.encode(answer))  # which keeps every digit
    sys.stdout.buffer.flush()


def main() -> None:
    logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    scenario = json.load(sys.stdin)
    driver = Driver(scenario)
    for step in scenario["steps"]:
        driver.do(step)
    print_answer(driver.answer())


if __name__ == "__main__":
    main()
