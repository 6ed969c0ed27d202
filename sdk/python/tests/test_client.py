"""What the client does with what it is given, and with a server that misbehaves."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import threading
import time
import unittest
from decimal import Decimal
from email.utils import formatdate
from types import MappingProxyType
from typing import Any, Dict, Iterator, List, Mapping, Tuple
from unittest import mock

from analytics_client import Client, Outcome, QueueDirError
from analytics_client._journal import Journal
from analytics_client._sender import Entry, Verdict

from .support import FakeServer, Reception, TestCase, free_port, problem, wait_for

SECRET = "what-nobody-may-read"


class ClientTest(TestCase):
    def client(self, url: str, **options: Any) -> Client:
        options.setdefault("flush_interval", 60.0)
        options.setdefault("backoff_base", 0.01)
        options.setdefault("backoff_max", 0.05)
        client = Client(url, logger=self.logger, **options)
        self.addCleanup(client.close, 0.0)
        return client

    def recording(self, url: str, **options: Any) -> Tuple[Client, List[Outcome]]:
        outcomes: List[Outcome] = []
        return self.client(url, on_outcome=outcomes.append, **options), outcomes


class TrackTest(ClientTest):
    def test_event(self) -> None:
        with FakeServer() as server:
            client = self.client(server.url)
            payload = {"list": [1], "price": Decimal("0.10")}
            before = int(time.time())
            self.assertTrue(client.track(7, "view", payload))
            payload["list"].append(2)  # type: ignore[attr-defined]
            self.assertTrue(client.track(8, "view", timestamp=1690000000, event_id="e"))
            self.assertTrue(client.track(9, "view", MappingProxyType({"a": 1})))
            self.assertEqual([event["user_id"] for event in client.pending()], [7, 8, 9])
            self.assertTrue(client.flush())
            first, second, third = server.receptions[0].events
        self.assertIn('"price":0.10}', server.receptions[0].body.decode())
        self.assertEqual(first["payload"], {"list": [1], "price": 0.1})
        self.assertTrue(before <= first["timestamp"] <= time.time())
        self.assertRegex(first["event_id"], "^[0-9a-f]{8}-[0-9a-f]{4}-7")
        self.assertEqual(second, {"user_id": 8, "event_type": "view", "timestamp": 1690000000, "event_id": "e"})
        self.assertEqual(third["payload"], {"a": 1})
        self.assertEqual(client.pending(), [])

    def test_what_is_no_event_is_rejected_and_raises_nothing(self) -> None:
        class Evil:
            def __str__(self) -> str:
                raise RuntimeError(SECRET)

            __repr__ = __str__

        class EvilMapping(Dict[str, Any]):
            def items(self) -> Any:
                raise RuntimeError(SECRET)

        class EvilView(Mapping[str, Any]):
            def __getitem__(self, _: str) -> Any:
                raise RuntimeError(SECRET)

            def __iter__(self) -> Iterator[str]:
                return iter(["a"])

            def __len__(self) -> int:
                return 1

        loop: Dict[str, Any] = {}
        loop["loop"] = loop
        bad: List[Any] = [
            [1],
            "text",
            {"a": Evil()},
            {"a": {1, 2}},
            {"a": b"bytes"},
            {"a": float("nan")},
            {"a": "\ud800"},
            {("tuple",): 1},
            {"a": "x" * (129 << 10)},
            loop,
            EvilMapping(a=1),
            EvilView(),
        ]
        with FakeServer() as server:
            client, outcomes = self.recording(server.url)
            for payload in bad:
                self.assertFalse(client.track(7, "view", payload))
            self.assertFalse(client.track(Evil(), "view"))  # type: ignore[arg-type]
            self.assertTrue(client.flush())
            self.assertEqual(server.receptions, [])
        self.assertEqual({outcome.status for outcome in outcomes}, {"rejected"})
        self.assertEqual(len(outcomes), len(bad) + 1)
        self.assertEqual(client.stats().rejected, len(bad) + 1)
        self.assertEqual([outcome.code for outcome in outcomes].count("too_large"), 1)
        self.assertEqual(outcomes[0].violations[0].pointer, "/payload")
        self.assertIn("set is nothing that JSON has", " ".join(self.log))
        self.assertNotIn(SECRET, " ".join(self.log))
        self.assertEqual(outcomes[0].event, {})

    def test_a_defect_of_ours_raises_nothing(self) -> None:
        client = self.client("http://127.0.0.1:9")
        with mock.patch("analytics_client.client.uuid7", side_effect=RuntimeError("defect")):
            self.assertFalse(client.track(7, "view"))
        self.assertIn("by a defect", self.log[0])

    def test_it_waits_for_nobody(self) -> None:
        with FakeServer(lambda r: server.hang(r)) as server:
            client = self.client(server.url, max_batch_events=1)
            client.track(7, "view")
            wait_for(lambda: server.receptions, "request")
            started = time.monotonic()
            for _ in range(1000):
                self.assertTrue(client.track(7, "view"))
            self.assertLess(time.monotonic() - started, 5)  # of a request that takes 10
            self.assertEqual(client.stats().queued, 1001)
            client.close(0)

    def test_in_a_signal_handler(self) -> None:
        with FakeServer() as server:
            client = self.client(server.url, max_queue_events=1_000_000)
            by_handler: List[bool] = []  # to which appending is safe here
            by_loop: List[bool] = []

            def handler(_: int, __: object) -> None:
                by_handler.append(client.track(7, "signal"))

            previous = signal.signal(signal.SIGALRM, handler)
            signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
            try:
                while len(by_handler) < 200:
                    by_loop.append(client.track(7, "view"))
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, previous)
            self.assertTrue(client.flush())
            self.assertTrue(all(by_handler + by_loop))
            self.assertEqual(len(set(server.ids)), len(by_handler + by_loop))
            self.assertEqual(client.stats().accepted, len(by_handler + by_loop))

    def test_in_a_log_handler(self) -> None:
        """A handler that has its lock and wants ours, while the client's thread logs."""
        tracked = threading.Event()

        class Handler(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                if record.getMessage() == "of the application":
                    client.track(7, "view")
                    wait_for(lambda: client.stats().retries, "failure, which is logged")
                    client.track(7, "log")
                    tracked.set()

        with FakeServer(lambda r: problem(503, "unavailable")) as server:
            client = self.client(server.url, max_batch_events=1)
            self.logger.addHandler(Handler())
            threading.Thread(target=self.logger.warning, args=("of the application",), daemon=True).start()
            wait_for(tracked.is_set, "way out of the handler: a deadlock?")
            self.assertTrue(client.close())
            self.assertEqual(client.stats().accepted, 2)

    def test_options(self) -> None:
        bad: List[Dict[str, Any]] = [
            {"max_queue_events": 0},
            {"max_queue_bytes": -1},
            {"max_batch_events": 5001},
            {"max_batch_bytes": (8 << 20) + 1},
            {"flush_interval": -1.0},
            {"request_timeout": 0.0},
            {"backoff_base": 0.0},
            {"backoff_base": 2.0, "backoff_max": 1.0},
            {"on_full": "panic"},
            {"url": "localhost:8000"},
        ]
        for options in bad:
            with self.subTest(options), self.assertRaises(ValueError) as raised:
                Client(**options)
            self.assertIn(str(list(options.values())[-1]), str(raised.exception).replace("8.38861e+06", ""))

    def test_url_of_the_environment(self) -> None:
        with FakeServer() as server, mock.patch.dict(os.environ, ANALYTICS_URL=server.url):
            with Client(logger=self.logger) as client:
                client.track(7, "view")
            self.assertEqual(len(server.ids), 1)


class DeliveryTest(ClientTest):
    def test_one_connection_is_kept(self) -> None:
        with FakeServer() as server:
            client = self.client(server.url, max_batch_events=2)
            for _ in range(20):
                client.track(7, "view")
            self.assertTrue(client.flush())
            self.assertEqual((len(server.receptions), server.connections), (10, 1))
            self.assertEqual(server.receptions[0].headers["User-Agent"], "analytics-python/0.1.0")

    def test_a_connection_that_the_server_closed_meanwhile(self) -> None:
        def closing(reception: Reception) -> Any:
            reception.connection.shutdown(socket.SHUT_RD)  # ends the handler after this one
            return reception.receipt()

        with FakeServer(closing) as server:
            client = self.client(server.url)
            client.track(7, "view")
            self.assertTrue(client.flush())
            wait_for(lambda: not client._sender._connection._http.is_usable(), "end")  # type: ignore[union-attr]
            client.track(7, "view")
            self.assertTrue(client.flush())
            self.assertEqual(client.stats().retries, 0)
            self.assertEqual(server.connections, 2)

    def test_headers_and_a_path(self) -> None:
        with FakeServer() as server:
            client = self.client(server.url + "/analytics/", headers={"Authorization": "Bearer x"})
            client.track(7, "view")
            self.assertTrue(client.flush())
            self.assertEqual(server.receptions[0].headers["Authorization"], "Bearer x")

    def test_the_request_timeout_is_for_all_of_it(self) -> None:
        def dribble(reception: Reception) -> Any:
            for byte in b"HTTP/1.1 202 Accepted\r\nContent-Length: 10\r\n\r\n{" + b" " * 10_000:
                if server.let_go.wait(0.02):
                    break
                reception.wfile.write(bytes([byte]))

        with FakeServer(dribble) as server:
            client = self.client(server.url, request_timeout=0.3)
            client.track(7, "view")
            started = time.monotonic()
            self.assertTrue(client.flush())
            self.assertLess(time.monotonic() - started, 10)
            self.assertIn("the time is up", " ".join(self.log))
            self.assertEqual(len(server.receptions), 2)

    def test_answers_that_are_no_receipts(self) -> None:
        answers: List[Any] = [
            (202, {}, b""),
            (202, {}, b"[]"),
            (202, {}, b'{"received":1}'),
            (200, {}, b"<html>Please log in</html>"),
            (204, {}, b""),
            lambda r: r.receipt(received=2),
            lambda r: r.receipt(received=0, duplicate=1),
            lambda r: r.receipt(received=0, retry=1, results=[{"index": 0, "status": "perhaps"}]),
            lambda r: r.receipt(results=[{"index": 1, "status": "received"}]),
            lambda r: r.receipt(results=[{"index": -1, "status": "received"}]),
            (202, {"Content-Length": "100"}, b"{"),
            (202, {"Content-Encoding": "gzip"}, b"?"),
        ]
        behaviours = [answer if callable(answer) else lambda _, answer=answer: answer for answer in answers]
        with FakeServer(*behaviours) as server:
            client = self.client(server.url, request_timeout=1)
            client.track(7, "view")
            self.assertTrue(client.flush(30))
            self.assertEqual(len(set(server.ids)), 1)
            stats = client.stats()
        self.assertEqual((stats.accepted, stats.requests, stats.retries), (1, len(answers) + 1, len(answers)), self.log)

    def test_retry_after_as_a_date(self) -> None:
        with FakeServer(
            lambda r: problem(429, "rate_limited", Retry_After=formatdate(time.time() + 2, usegmt=True))
        ) as server:
            client = self.client(server.url)
            client.track(7, "view")
            started = time.monotonic()
            self.assertTrue(client.flush())
            self.assertGreater(time.monotonic() - started, 0.9)  # a date has whole seconds

    def test_pauses(self) -> None:
        client = self.client("http://127.0.0.1:9", backoff_base=0.1, backoff_max=30.0)
        entry = Entry(b"{}", 0.0)
        for failures, most in ((1, 0.1), (2, 0.2), (5, 1.6), (9, 25.6), (10, 30.0), (10_000, 30.0)):
            pauses = [client._backoff(failures) for _ in range(200)]
            self.assertTrue(0 <= min(pauses) < most / 2 < max(pauses) <= most, failures)
        with client._lock:
            client._apply(Verdict(again=[entry], retry_after=1e9))
            self.assertAlmostEqual(client._not_before - time.monotonic(), 300, delta=1)
            client._waiting.clear()

    def test_redirects_are_not_followed(self) -> None:
        with FakeServer(lambda r: (302, {"Location": "/elsewhere"}, b"")) as server:
            client, outcomes = self.recording(server.url)
            client.track(7, "view")
            self.assertTrue(client.flush())
        self.assertEqual([(o.status, o.code, o.http_status) for o in outcomes], [("failed", "http_302", 302)])

    def test_violations_of_a_batch_without_a_good_event(self) -> None:
        def refuse(reception: Reception) -> Any:
            status, headers, _ = problem(422, "validation_failed")
            body = (
                b'{"type":"/problems/validation_failed","title":"No","status":422,"code":"validation_failed",'
                b'"errors":[{"pointer":"/0/user_id","code":"minimum","detail":"must be at least 1"}]}'
            )
            return status, headers, body

        with FakeServer(refuse) as server:
            client, outcomes = self.recording(server.url)
            client.track(0, "view")
            self.assertTrue(client.flush())
        self.assertEqual((outcomes[0].status, outcomes[0].code), ("rejected", "minimum"))
        self.assertEqual(outcomes[0].violations[0].pointer, "/user_id")
        self.assertEqual(outcomes[0].violations[0].detail, "must be at least 1")

    def test_halves_and_drop_oldest(self) -> None:
        """The batch of a 413 is in the queue again when the oldest are dropped."""
        with FakeServer() as server:
            client = self.client(server.url, max_queue_events=8, max_batch_events=8, on_full="drop_oldest")
            with client._lock:
                for _ in range(8):
                    client.track(7, "view")
                client._apply(Verdict(again=client._take(), is_too_large=True))
                for _ in range(5):
                    client.track(7, "late")
                self.assertEqual(list(client._halves), [3])
            self.assertTrue(client.flush())
            self.assertEqual([len(r.events) for r in server.receptions], [3, 5])
            self.assertEqual((client.stats().accepted, client.stats().dropped), (8, 5))

    def test_payloads_are_never_logged(self) -> None:
        with FakeServer(
            lambda r: problem(503, "unavailable"),
            lambda r: r.receipt(
                received=0,
                rejected=1,
                results=[
                    {
                        "index": 0,
                        "status": "rejected",
                        "errors": [{"pointer": "/payload", "code": "type", "detail": "x"}],
                    }
                ],
            ),
            lambda r: problem(400, "invalid_json"),
        ) as server:
            client = self.client(server.url, max_queue_events=1)
            client.track(7, "view", {SECRET: SECRET})
            client.track(7, "view", {SECRET: SECRET})
            client.flush()
            client.track(7, "view", {SECRET: SECRET, "a": object()})
            client.track(7, "view", {SECRET: SECRET})
            client.flush()
            client.close()
        said = "\n".join(self.log)
        for word in ("sent again", "queue is full", "rejected", "failed"):
            self.assertIn(word, said)
        self.assertNotIn(SECRET, said)


class OutcomeTest(ClientTest):
    def test_off_the_callers_path(self) -> None:
        threads = set()

        def on_outcome(_: Outcome) -> None:
            threads.add(threading.current_thread().name)

        with FakeServer() as server:
            client = self.client(server.url, on_outcome=on_outcome, max_queue_events=1)
            client.track(7, "view")
            client.track(7, "view")  # dropped
            client.track(7, "view", {"a": object()})  # rejected
            self.assertTrue(client.flush())
        self.assertEqual(threads, {"analytics-client"})

    def test_a_callback_that_raises(self) -> None:
        seen = []

        def on_outcome(outcome: Outcome) -> None:
            seen.append(outcome)
            raise RuntimeError("of the application")

        with FakeServer() as server:
            client = self.client(server.url, on_outcome=on_outcome)
            for _ in range(3):
                client.track(7, "view")
            self.assertTrue(client.flush())
        self.assertEqual(len(seen), 3)
        self.assertEqual(sum("on_outcome raised" in line for line in self.log), 3)

    def test_a_callback_that_calls_back(self) -> None:
        results: List[Any] = []

        def on_outcome(outcome: Outcome) -> None:
            if outcome.event["event_type"] == "view":
                results.append(client.track(7, "again"))
                results.append(client.flush(60))
                results.append(client.close(60))
                results.append(client.track(7, "too late"))

        with FakeServer() as server:
            client = self.client(server.url, on_outcome=on_outcome, max_batch_events=1)
            client.track(7, "view")
            wait_for(lambda: len(results) == 4, "end of the callback")
            self.assertTrue(client.close())
            self.assertEqual(results, [True, False, False, False])
            self.assertEqual([e["event_type"] for r in server.receptions for e in r.events], ["view", "again"])

    def test_a_callback_that_tracks_each_outcome(self) -> None:
        calls: List[bool] = []

        def on_outcome(_: Outcome) -> None:
            calls.append(client.track(7, "echo"))

        with FakeServer() as server:
            client = self.client(server.url, on_outcome=on_outcome)
            client.track(7, "view")
            client.close(5)
            self.assertEqual(calls, [False])  # after close it is counted, and no more
            self.assertEqual((client.stats().accepted, client.stats().dropped), (1, 1))

    def test_a_callback_that_is_too_slow(self) -> None:
        with FakeServer(lambda r: server.hang(r)) as server:
            client, outcomes = self.recording(server.url, max_queue_events=1, max_batch_events=1)
            with mock.patch("analytics_client.client._MAX_REPORTS", 10):
                client.track(7, "view")
                wait_for(lambda: server.receptions, "request")
                for _ in range(100):
                    client.track(7, "view")
                self.assertEqual(client.stats().dropped, 100)
                server.let_go.set()
                self.assertTrue(client.flush())
        self.assertEqual(len(outcomes), 11)
        self.assertIn("90 outcomes are only counted", " ".join(self.log))


class WaitTest(ClientTest):
    def test_flush_is_for_what_was_tracked_before(self) -> None:
        def late(reception: Reception) -> Any:
            server.let_go.wait(60)
            return reception.receipt()

        with FakeServer(late) as server:
            client = self.client(server.url, max_batch_events=1)
            self.assertTrue(client.flush(0))
            client.track(7, "first")
            done = threading.Event()
            thread = threading.Thread(target=lambda: done.set() if client.flush(60) else None)
            thread.start()
            wait_for(lambda: server.receptions, "request")
            client._max_batch_events = 100  # so that what comes now stays
            client.track(7, "second")
            server.let_go.set()
            thread.join(20)
            self.assertTrue(done.is_set())
            self.assertEqual(client.stats().queued, 1)

    def test_flush_says_how_many_are_left(self) -> None:
        client = self.client(f"http://127.0.0.1:{free_port()}")
        for _ in range(3):
            client.track(7, "view")
        self.assertFalse(client.flush(0.05))
        self.assertIn("flush: 3 events have no outcome", " ".join(self.log))
        client.close(0)

    def test_close_twice_and_at_once(self) -> None:
        with FakeServer() as server:
            client = self.client(server.url)
            for _ in range(100):
                client.track(7, "view")
            results: List[bool] = []
            threads = [threading.Thread(target=lambda: results.append(client.close())) for _ in range(5)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(20)
            self.assertEqual(results, [True] * 5)
            self.assertTrue(client.close())
            self.assertEqual(len(server.ids), 100)
        self.assertFalse(client.track(7, "view"))
        self.assertEqual((client.stats().accepted, client.stats().dropped, client.stats().queued), (100, 1, 0))

    def test_close_of_a_client_that_did_nothing(self) -> None:
        client, outcomes = self.recording("http://127.0.0.1:9")
        self.assertTrue(client.close())
        self.assertTrue(client.close())
        self.assertFalse(client.track(7, "view"))
        self.assertEqual([(o.status, o.code) for o in outcomes], [("dropped", "closed")])
        self.assertTrue(client.flush(0))

    def test_close_ends_a_connection_that_is_being_made(self) -> None:
        with socket.socket() as listener:  # whose queue of connections is full
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            others = []
            for _ in range(8):
                other = socket.socket()
                other.setblocking(False)
                other.connect_ex(listener.getsockname())
                others.append(other)
            client = self.client(
                f"http://127.0.0.1:{listener.getsockname()[1]}", request_timeout=60, max_batch_events=1
            )
            client.track(7, "view")
            wait_for(lambda: client.stats().requests, "try")
            started = time.monotonic()
            self.assertFalse(client.close(0.2))
            self.assertLess(time.monotonic() - started, 10)
            self.check_threads()
            for other in others:
                other.close()
        self.assertEqual(client.stats().dropped, 1)

    def test_block(self) -> None:
        with FakeServer(lambda r: server.hang(r)) as server:
            client = self.client(server.url, max_queue_events=1, on_full="block", block_timeout=60)
            client.track(7, "view")
            results: List[bool] = []
            thread = threading.Thread(target=lambda: results.append(client.track(7, "view")))
            thread.start()
            wait_for(lambda: any("queue is full" in line for line in self.log) or client._sayings, "wait")
            self.assertFalse(client.close(0))  # wakes those who wait for room, too
            thread.join(20)
            self.assertEqual(results, [False])


class QueueDirTest(ClientTest):
    def test_second_client(self) -> None:
        folder = self.folder()
        client = self.client("http://127.0.0.1:9", queue_dir=folder)
        with self.assertRaisesRegex(QueueDirError, re.escape(folder)):
            Client("http://127.0.0.1:9", queue_dir=folder)
        client.close(0)

    def test_what_close_leaves_is_sent_at_the_next_start(self) -> None:
        folder = self.folder()
        client, outcomes = self.recording(f"http://127.0.0.1:{free_port()}", queue_dir=folder)
        for i in range(10):
            client.track(7, "view", {"i": i})
        left = client.pending()
        self.assertFalse(client.close(0.1))
        self.assertEqual(outcomes, [])
        self.assertEqual(client.pending(), left)
        self.assertFalse(client.track(7, "view"))
        with FakeServer() as server:
            client, outcomes = self.recording(server.url, queue_dir=folder)
            self.assertTrue(client.flush())
            self.assertEqual(server.receptions[0].events, left)
            self.assertTrue(client.close())
        self.assertEqual([outcome.event for outcome in outcomes], left)
        self.assertEqual(os.listdir(folder), ["lock"])

    def test_a_folder_that_cannot_be_read_is_free_again(self) -> None:
        folder = self.folder()
        os.mkdir(os.path.join(folder, "000000000001.ndjson"))
        for _ in range(2):
            with self.assertRaisesRegex(QueueDirError, "can't be read"):
                Client("http://127.0.0.1:9", queue_dir=folder)

    def test_a_torn_line_is_skipped_and_said(self) -> None:
        folder = self.folder()
        journal = Journal(folder)
        journal.append(b'{"user_id":7,"event_type":"view","timestamp":1690000000,"event_id":"a"}')
        with open(os.path.join(folder, "000000000001.ndjson"), "ab") as file:
            file.write(b'2 {"user_id":')
        journal.abandon()
        with FakeServer() as server:
            client = self.client(server.url, queue_dir=folder)
            self.assertTrue(client.close())
            self.assertEqual(server.ids, ["a"])
        self.assertIn("1 lines of the on-disk queue were cut", self.log[0])

    def test_a_disk_that_is_full(self) -> None:
        with FakeServer() as server:
            client = self.client(server.url, queue_dir=self.folder())
            with mock.patch("os.write", side_effect=OSError(28, "No space left on device")):
                self.assertTrue(client.track(7, "view"))
                self.assertTrue(client.flush())
            self.assertEqual(len(server.ids), 1)
        self.assertIn("kept in memory only", self.log[0])

    def test_drops_are_not_sent_later(self) -> None:
        folder = self.folder()
        client = self.client(
            f"http://127.0.0.1:{free_port()}", queue_dir=folder, max_queue_events=2, on_full="drop_oldest"
        )
        for i in range(5):
            client.track(7, "view", {"i": i})
        client.close(0)
        with FakeServer() as server:
            client = self.client(server.url, queue_dir=folder)
            self.assertTrue(client.close())
            self.assertEqual([e["payload"]["i"] for e in server.receptions[0].events], [3, 4])


if __name__ == "__main__":
    unittest.main()
