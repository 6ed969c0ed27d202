"""The parts that need no server: JSON, ids, decoders, the on-disk queue's files."""

from __future__ import annotations

import json
import os
import random
import re
import time
import unittest
from decimal import Decimal
from http.client import HTTPMessage
from pathlib import Path
from types import MappingProxyType
from typing import Any, Dict, List, Tuple
from unittest import mock

from analytics_client import DecodeError, QueueDirError, _journal, _json, models
from analytics_client._http import Origin, retry_after
from analytics_client._journal import Journal, Key
from analytics_client._uuid7 import uuid7

from .support import TestCase


class UUIDTest(unittest.TestCase):
    def test_form(self) -> None:
        before = time.time_ns() // 1_000_000
        made = uuid7()
        after = time.time_ns() // 1_000_000
        self.assertRegex(made, r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
        self.assertTrue(before <= int(made.replace("-", "")[:12], 16) <= after)

    def test_seed_of_the_application(self) -> None:
        made = []
        for _ in range(1000):
            random.seed(1)
            made.append(uuid7())
        self.assertEqual(len(set(made)), 1000)
        for bit in range(64, 128):  # of the random bits none is stuck, but the variant's
            values = {int(m.replace("-", ""), 16) >> (127 - bit) & 1 for m in made}
            self.assertEqual(values, {1} if bit == 64 else {0} if bit == 65 else {0, 1}, bit)


class JSONTest(unittest.TestCase):
    def test_numbers_keep_every_digit(self) -> None:
        text = b'{"a":0.1000,"b":9007199254740993,"c":[1E+3,-0.5],"d":1.7976931348623157e308}'
        value = _json.decode(text)
        self.assertEqual(value["a"], Decimal("0.1000"))
        self.assertEqual(str(value["a"]), "0.1000")
        self.assertEqual(_json.decode(_json.encode(value)), value)

    def test_both_encoders_agree(self) -> None:
        plain: Dict[Any, Any] = {
            'q"\\\n\u2028é😀': [1, -1.5, True, None, "x", (), {}, {"1": 2}],
            None: 3,
            True: 4,
            2: 5,
            1.5: 5,
            ":0}": 6,
        }
        exact = _json.encode({**plain, "decimal": Decimal("0.10")})
        self.assertEqual(exact, _json.encode(plain)[:-1] + b',"decimal":0.10}')

    def test_mappings_within(self) -> None:
        self.assertEqual(
            _json.encode({"a": MappingProxyType({"b": Decimal(1)}), "c": Decimal(2)}), b'{"a":{"b":1},"c":2}'
        )

    def test_refused(self) -> None:
        loop: List[object] = []
        loop.append(loop)
        for value in (
            float("nan"),
            float("inf"),
            Decimal("NaN"),
            Decimal("Infinity"),
            "\ud800",
            {1, 2},
            b"x",
            object(),
        ):
            with self.subTest(repr(value)), self.assertRaises((TypeError, ValueError)):
                _json.encode({"a": value})
        with self.assertRaises((ValueError, RecursionError)):
            _json.encode(loop)
        for text in (b"NaN", b"[1", b"\xff", b"", b"Infinity"):
            with self.subTest(text), self.assertRaises(ValueError):
                _json.decode(text)


class DecodeTest(unittest.TestCase):
    group: Dict[str, Any] = {"key": ["pro", None, Decimal("1.5")], "value": Decimal("0.30"), "values": [1, None]}

    def test_answer(self) -> None:
        decoded = models.Group.from_json({**self.group, "new": 1})
        self.assertEqual(decoded.value, Decimal("0.3"))
        self.assertEqual(decoded.values, [1, None])
        self.assertEqual(decoded.key, ["pro", None, Decimal("1.5")])
        self.assertIsInstance(
            models.FunnelStep.from_json({"users": 1, "conversion": 1, "median_seconds": None}).conversion, float
        )
        self.assertIsNone(models.EventPage.from_json({"events": []}).next_cursor)

    def test_not_as_the_contract_says(self) -> None:
        changes: Tuple[Tuple[Dict[str, Any], str], ...] = (
            ({"key": "pro"}, "/key"),
            ({"value": "1"}, "/value"),
            ({"value": True}, "/value"),
            ({"values": [1, "2"]}, "/values/1"),
        )
        for change, place in changes:
            with self.subTest(change), self.assertRaisesRegex(DecodeError, f"at {place} "):
                models.Group.from_json({**self.group, **change})
        with self.assertRaisesRegex(DecodeError, "at /value "):
            models.Group.from_json({"key": []})
        with self.assertRaisesRegex(DecodeError, "at / "):
            models.Group.from_json([])
        with self.assertRaisesRegex(DecodeError, "at /events/0/user_id "):
            models.EventPage.from_json({"events": [{"user_id": 1.0}]})


class HTTPTest(unittest.TestCase):
    def test_url(self) -> None:
        for url, host, port, prefix in (
            ("http://localhost:8000", "localhost", 8000, ""),
            ("https://analytics.example/a/b/", "analytics.example", 443, "/a/b"),
            ("http://[::1]:80", "::1", 80, ""),
        ):
            origin = Origin(url)
            self.assertEqual((origin.host, origin.port, origin.prefix), (host, port, prefix))
        for url in ("localhost:8000", "ftp://a", "http://", "http://me:secret@a", "http://a?b", "http://a#b"):
            with self.subTest(url), self.assertRaises(ValueError) as raised:
                Origin(url)
            self.assertNotIn("secret", str(raised.exception))

    def test_retry_after(self) -> None:
        def parse(value: str) -> object:
            headers = HTTPMessage()
            headers["Retry-After"] = value
            return retry_after(headers)

        self.assertEqual(parse("7"), 7.0)
        self.assertEqual(parse("Wed, 21 Oct 2015 07:28:00 GMT"), 0.0)
        later = parse("Fri, 01 Jan 2100 00:00:00 GMT")
        assert isinstance(later, float)
        self.assertAlmostEqual(later, 4102444800 - time.time(), delta=5)
        for riddle in ("soon", "-1", "²", "1.5", ""):
            self.assertIsNone(parse(riddle), riddle)


class JournalTest(TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.dir = self.folder()

    def open(self) -> Tuple[Journal, List[bytes], int]:
        journal = Journal(self.dir)
        events, unreadable = journal.recover()
        return journal, [data for _, data in events], unreadable

    def files(self) -> List[str]:
        return sorted(name for name in os.listdir(self.dir) if name != "lock")

    @staticmethod
    def crash(journal: Journal) -> None:
        """End as kill -9 does: nothing is tidied up, the lock is gone."""
        journal.abandon()

    def test_what_is_not_settled_is_there_again(self) -> None:
        journal, events, _ = self.open()
        self.assertEqual(events, [])
        keys = [journal.append(b'{"n":%d}' % n) for n in range(5)]
        journal.settle([keys[0], keys[3]])
        self.crash(journal)

        journal, events, unreadable = self.open()
        self.assertEqual((events, unreadable), ([b'{"n":1}', b'{"n":2}', b'{"n":4}'], 0))
        journal.append(b'{"n":5}')
        self.crash(journal)
        journal, events, _ = self.open()
        self.assertEqual(events, [b'{"n":1}', b'{"n":2}', b'{"n":4}', b'{"n":5}'])
        self.crash(journal)

    def test_equal_events_are_two(self) -> None:
        journal, _, _ = self.open()
        first = journal.append(b'{"event_id":"a"}')
        journal.append(b'{"event_id":"a"}')
        journal.settle([first])
        self.crash(journal)
        journal, events, _ = self.open()
        self.assertEqual(len(events), 1)
        self.crash(journal)

    def test_recovered_events_are_settled(self) -> None:
        journal, _, _ = self.open()
        for n in range(3):
            journal.append(b'{"n":%d}' % n)
        self.crash(journal)
        journal = Journal(self.dir)
        recovered, _ = journal.recover()
        journal.settle([key for key, _ in recovered][:2])
        self.crash(journal)
        journal, events, _ = self.open()
        self.assertEqual(events, [b'{"n":2}'])
        self.crash(journal)

    def test_torn_lines(self) -> None:
        journal, _, _ = self.open()
        journal.append(b'{"n":0}')
        journal.append(b'{"n":1}')
        self.crash(journal)
        path = os.path.join(self.dir, self.files()[0])
        whole = Path(path).read_bytes()
        for length in range(len(whole) + 1):
            with self.subTest(length):
                Path(path).write_bytes(whole[:length])
                journal, events, unreadable = self.open()
                # A line without its line feed is whole, if it is.
                self.assertEqual(len(events), whole[: length + 1].count(b"\n"))
                torn = whole[:length].rpartition(b"\n")[2]
                self.assertEqual(unreadable, int(bool(torn) and not torn.endswith(b"}")))
                self.crash(journal)
                for name in self.files()[1:]:
                    os.unlink(os.path.join(self.dir, name))

    def test_garbage(self) -> None:
        lines = [b"7", b"x {}", b"8 []", b"9 {", b"- x", b"\xff\xfe", b'10 {"n":10}', b""]
        Path(self.dir, "000000000001.ndjson").write_bytes(b"\n".join(lines))
        journal, events, unreadable = self.open()
        self.assertEqual((events, unreadable), ([b'{"n":10}'], 6))
        self.crash(journal)

    def test_disk_full(self) -> None:
        journal, _, _ = self.open()
        journal.append(b'{"n":0}')
        write = os.write
        with mock.patch("os.write", lambda file, line: write(file, line[:4])), self.assertRaises(OSError):
            journal.append(b'{"n":1}')
        with mock.patch("os.write", side_effect=OSError(28, "No space left on device")), self.assertRaises(OSError):
            journal.append(b'{"n":2}')
        journal.append(b'{"n":3}')
        self.crash(journal)
        journal, events, unreadable = self.open()
        self.assertEqual((events, unreadable), ([b'{"n":0}', b'{"n":3}'], 1))
        self.crash(journal)

    def test_files_are_bounded(self) -> None:
        data = b'{"n":"' + b"x" * 1000 + b'"}'
        with mock.patch.object(_journal, "FILE_BYTES", 10_000):
            journal, _, _ = self.open()
            oldest = journal.append(data)
            for _ in range(200):
                journal.settle([journal.append(data)])
            self.assertGreater(len(self.files()), 10)  # the oldest event holds them all
            journal.settle([oldest])
            self.assertEqual(len(self.files()), 1)
            keys: List[Key] = []
            for _ in range(50):
                keys.append(journal.append(data))
            journal.settle(keys[:40])
            self.crash(journal)
            journal, events, _ = self.open()
            self.assertEqual(len(events), 10)
            self.assertLess(len(self.files()), 4)
            self.crash(journal)

    def test_an_empty_queue_is_small(self) -> None:
        journal, _, _ = self.open()
        data = b'{"n":"' + b"x" * 1000 + b'"}'
        for _ in range(200):
            journal.settle([journal.append(data)])
        self.assertLess(sum(os.path.getsize(os.path.join(self.dir, name)) for name in self.files()), 100_000)
        journal.close()
        self.assertEqual(self.files(), [])

    def test_numbers_go_on_after_a_start(self) -> None:
        journal, _, _ = self.open()
        key = journal.append(b"{}")
        journal.append(b"{}")
        journal.settle([key])
        self.crash(journal)
        journal, _, _ = self.open()
        journal.append(b'{"new":1}')
        self.crash(journal)
        journal, events, _ = self.open()
        self.assertEqual(events, [b"{}", b'{"new":1}'])
        self.crash(journal)

    def test_one_process(self) -> None:
        journal, _, _ = self.open()
        with self.assertRaisesRegex(QueueDirError, re.escape(self.dir) + ".* is in use by another client"):
            Journal(self.dir)
        journal.close()
        Journal(self.dir).close()

    def test_unusable_folders(self) -> None:
        file = os.path.join(self.dir, "file")
        Path(file).write_text("")
        with self.assertRaisesRegex(QueueDirError, "can't be used"):
            Journal(file)

    def test_nobody_else_may_read(self) -> None:
        self.dir = os.path.join(self.dir, "new")
        journal, _, _ = self.open()
        journal.append(json.dumps({"secret": 1}).encode())
        self.assertEqual(os.stat(self.dir).st_mode & 0o077, 0)
        for name in os.listdir(self.dir):
            self.assertEqual(os.stat(os.path.join(self.dir, name)).st_mode & 0o077, 0)
        journal.close()


if __name__ == "__main__":
    unittest.main()
