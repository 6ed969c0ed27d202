"""Every operation of the contract, as generated, against a real server."""

from __future__ import annotations

import http.server
import inspect
import json
import threading
import unittest
from decimal import Decimal
from typing import Any, Dict, List, Set, Type
from unittest import mock

from analytics_client import ApiError, Client, DecodeError, Operations
from analytics_client.models import Event

from .support import TestCase, free_port, real_server

T = 1690000000
EVENTS: List[Event] = [
    {"user_id": 1, "event_type": "signup", "timestamp": T},
    {"user_id": 1, "event_type": "purchase", "timestamp": T + 60, "payload": {"price": Decimal("0.1"), "plan": "pro"}},
    {"user_id": 2, "event_type": "signup", "timestamp": T + 10},
    {"user_id": 2, "event_type": "purchase", "timestamp": T + 20, "payload": {"price": Decimal("0.20")}},
    {
        "user_id": 2,
        "event_type": "purchase",
        "timestamp": T + 86400,
        "payload": {"price": Decimal("9007199254740993.000001"), "plan": "pro"},
    },
]


class OperationsTest(TestCase):
    url: str
    called: Set[str] = set()

    @classmethod
    def setUpClass(cls) -> None:
        server = real_server(QUERY_MAX_EVENTS="50")
        cls.url = server.__enter__()
        cls.addClassCleanup(server.__exit__, None, None, None)
        client = Client(cls.url)
        receipt = client.api.send_events(EVENTS)
        assert (receipt.received, receipt.results) == (5, []), receipt
        client.close()

    @classmethod
    def tearDownClass(cls) -> None:
        missing = {
            name for name, _ in inspect.getmembers(Operations, inspect.isfunction) if name[0] != "_"
        } - cls.called
        assert not missing, f"no test calls {missing}"

    def setUp(self) -> None:
        super().setUp()
        self.client = Client(self.url, logger=self.logger)
        self.addCleanup(self.client.close)
        watched = mock.Mock(wraps=self.client.api)
        watched.__class__ = Operations  # type: ignore[assignment]
        self.api: Operations = watched
        self.addCleanup(lambda: self.called.update(name.partition(".")[0] for name, _, _ in watched.method_calls))

    def test_send_event(self) -> None:
        event: Event = {"user_id": 9, "event_type": "sent", "timestamp": T, "payload": {"é": None}}
        key = "01890a5d-ac96-774b-bcce-b302099a8057"
        self.assertEqual(self.api.send_event(event, idempotency_key=key).status, "received")
        self.assertEqual(self.api.send_event(event, idempotency_key=key).status, "received")
        (stored,) = self.api.list_user_events(9).events
        self.assertEqual((stored.event_id, stored.payload), (key, {"é": None}))

    def test_send_events(self) -> None:
        batch: List[Event] = [
            {"user_id": 8, "event_type": "batch", "timestamp": T},
            {"user_id": 0, "event_type": "batch", "timestamp": T},
        ]
        receipt = self.api.send_events(batch, verbose=True)
        self.assertEqual((receipt.received, receipt.rejected), (1, 1))
        first, second = receipt.results
        self.assertEqual((first.status, second.status), ("received", "rejected"))
        self.assertIsNotNone(first.event_id)
        assert second.errors is not None
        self.assertEqual((second.errors[0].pointer, second.errors[0].code), ("/user_id", "minimum"))
        self.assertEqual(self.api.send_events({"events": batch[:1]}).received, 1)
        lines = b"\n".join(json.dumps(event).encode() for event in batch[:1] * 2)
        self.assertEqual(self.api.send_events(lines).received, 2)
        with self.assertRaises(ApiError) as raised:
            self.api.send_events(batch, atomic=True)
        self.assertEqual((raised.exception.status, raised.exception.violations[0].pointer), (422, "/1/user_id"))

    def test_events(self) -> None:
        pages, cursor = [], None
        while True:
            page = self.api.list_events(event_type="purchase", limit=2, cursor=cursor)
            pages.append([event.user_id for event in page.events])
            cursor = page.next_cursor
            if cursor is None:
                break
        self.assertEqual(pages, [[2, 1], [2]])
        filters = '[{"field":"payload.plan","op":"eq","value":"pro"}]'
        self.assertEqual(len(self.api.list_events(filters=filters, match="any", from_=T, to=T + 100).events), 1)
        self.assertEqual([e.timestamp for e in self.api.list_user_events(1).events], [T + 60, T])
        self.assertEqual(self.api.list_user_events(1).events[0].payload, {"price": Decimal("0.1"), "plan": "pro"})

    def test_limits_and_counts(self) -> None:
        self.assertEqual(self.api.get_limits().max_batch_events, 5000)
        page = self.api.list_event_type_stats(prefix="purch")
        self.assertEqual([(stats.event_type, stats.count) for stats in page.event_types], [("purchase", 3)])
        self.assertEqual(self.api.get_event_type_stats("purchase").count, 3)
        self.assertEqual(self.api.get_event_type_stats("purchase", from_=T, to=T + 60).count, 1)
        series = self.api.get_event_type_series(
            "purchase", interval="day", tz="Europe/Berlin", from_=T, to=T + 86401, compare="previous"
        )
        self.assertEqual(([p.count for p in series.points], series.count, series.points[0].partial), ([2, 1], 3, True))
        assert series.previous is not None
        self.assertEqual(series.previous.count, 0)

    def test_query(self) -> None:
        result = self.api.query_events(
            {
                "event_types": ["purchase"],
                "metric": "sum",
                "value": "payload.price",
                "from": T,
                "to": T + 100_000,
                "group_by": ["payload.plan"],
                "interval": "day",
                "filters": [{"field": "payload.price", "op": "gt", "value": Decimal("0.1")}],
            }
        )
        self.assertEqual([group.key for group in result.groups], [["pro"], [None]])
        self.assertEqual(str(result.groups[0].value), "9007199254740993.000001")
        self.assertEqual(result.groups[0].values, [None, Decimal("9007199254740993.000001")])
        self.assertEqual(result.groups[1].value, Decimal("0.2"))
        result = self.api.query_events({"metric": "avg", "value": "payload.none", "from": T, "to": T + 1})
        self.assertIsNone(result.groups[0].value)

    def test_funnel_and_retention(self) -> None:
        funnel = self.api.query_funnel(
            {"steps": [{"event_type": "signup"}, {"event_type": "purchase"}], "window": 30, "from": T, "to": T + 100}
        )
        self.assertEqual([(step.users, step.median_seconds) for step in funnel.steps], [(2, None), (1, 10)])
        self.assertEqual(funnel.steps[1].conversion, 0.5)
        retention = self.api.query_retention(
            {
                "first": {"event_type": "signup"},
                "returning": {"event_type": "purchase"},
                "interval": "day",
                "from": T,
                "to": T + 2 * 86400,
            }
        )
        self.assertEqual((retention.cohorts[0].users, retention.cohorts[0].returned[:2]), (2, [2, 1]))
        self.assertEqual(retention.cohorts[0].shares[:2], [1.0, 0.5])

    def test_export(self) -> None:
        with self.api.export_events(format="csv", event_type="purchase") as stream:
            lines = list(stream)
        self.assertEqual((lines[0], len(lines)), (b"user_id,event_type,timestamp,event_id,payload", 4))
        with self.api.export_events() as stream:
            next(iter(stream))  # and no more: the connection isn't used again
        exported = list(
            self.client.export(event_type="purchase", filters=[{"field": "user_id", "op": "eq", "value": 2}])
        )
        self.assertEqual([event.timestamp for event in exported], [T + 20, T + 86400])
        assert exported[1].payload is not None
        self.assertEqual(exported[1].payload["price"], Decimal("9007199254740993.000001"))
        self.assertEqual(list(self.client.export(event_type="nothing")), [])

    def test_problems(self) -> None:
        with self.assertRaises(ApiError) as raised:
            self.api.query_events({"metric": "sum", "from": 5, "to": 1, "tz": "Mars", "interval": "day"})
        error = raised.exception
        self.assertEqual((error.status, error.code, error.retry_after), (422, "validation_failed", None))
        self.assertIn("/tz", [violation.pointer for violation in error.violations])
        self.assertIn("/tz: ", str(error))
        with self.assertRaises(ApiError) as raised:
            self.api.get_event_type_stats("a/../b%00")
        self.assertEqual(raised.exception.status, 422)

    def test_calls_at_once(self) -> None:
        counts: List[int] = []

        def ask() -> None:
            for _ in range(10):
                counts.append(self.client.api.get_event_type_stats("purchase").count)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(counts, [3] * 80)


class Script(http.server.BaseHTTPRequestHandler):
    """Answers GET with what the test has put into the class, one after the other."""

    protocol_version = "HTTP/1.1"
    answers: List[bytes] = []
    paths: List[str] = []

    def do_GET(self) -> None:
        self.paths.append(self.path)
        self.wfile.write(self.answers.pop(0))
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


def line(n: int) -> bytes:
    event: Dict[str, Any] = {"user_id": n, "event_type": "a", "timestamp": T + n, "event_id": f"id-{n}"}
    return json.dumps(event).encode() + b"\n"


def chunked(*chunks: bytes, end: bool = True) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: application/x-ndjson\r\n\r\n"
    return head + b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in chunks) + (b"0\r\n\r\n" if end else b"")


class BrokenAnswersTest(TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Script)
        thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.client = Client(url, logger=self.logger, request_timeout=2, backoff_base=0.001, backoff_max=0.001)
        self.addCleanup(self.client.close)

    def test_an_export_that_breaks_off_goes_on(self) -> None:
        Script.paths = []
        Script.answers = [
            chunked(line(1) + line(2)[:9], line(2)[9:] + line(3)[:20], end=False),
            b"",
            chunked(end=False),
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
            chunked(line(3), line(4).rstrip()),
        ]
        self.assertEqual([event.user_id for event in self.client.export(event_type="a")], [1, 2, 3, 4])
        self.assertEqual(
            Script.paths, ["/events/export?event_type=a"] + [f"/events/export?event_type=a&cursor={T + 2}_id-2_2"] * 4
        )

    def test_an_export_that_gets_nowhere_ends(self) -> None:
        Script.answers = [chunked(line(1), end=False)] + [chunked(end=False)] * 5
        got = []
        with self.assertRaises(OSError):
            for event in self.client.export():
                got.append(event)
        self.assertEqual((len(got), len(Script.answers)), (1, 1))

    def test_answers_that_are_not_the_servers(self) -> None:
        ok = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"
        Script.answers = [
            ok % (5, b"<html"),
            ok % (2, b"{}"),
            ok % (50, b'{"event_type":"a"'),
            b"HTTP/1.1 502 Bad Gateway\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nOops",
            b"garbage\r\n\r\n",
        ]
        wanted: List[Type[Exception]] = [DecodeError, DecodeError, OSError, ApiError, OSError]
        for want in wanted:
            with self.assertRaises(want) as raised:
                self.client.api.get_event_type_stats("a")
            if isinstance(raised.exception, ApiError):
                error = raised.exception
                self.assertEqual((error.status, error.code, error.retry_after, error.problem), (502, "", 7.0, None))

    def test_a_kept_connection_that_is_closed_as_it_is_used(self) -> None:
        count = b'{"event_type":"a","count":1}'
        for _ in range(50):
            Script.answers = [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(count), count)] * 2
            self.assertEqual(self.client.api.get_event_type_stats("a").count, 1)
            self.assertEqual(self.client.api.get_event_type_stats("a").count, 1)

    def test_no_server(self) -> None:
        client = Client(f"http://127.0.0.1:{free_port()}")
        with self.assertRaises(OSError):
            client.api.get_limits(timeout=5)


if __name__ == "__main__":
    unittest.main()
