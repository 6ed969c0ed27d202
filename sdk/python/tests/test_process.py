"""Forks, ends and crashes of the process, with a real server that keeps the score."""

from __future__ import annotations

import multiprocessing
import os
import signal
import ssl
import subprocess
import threading
import time
import unittest
from typing import Any, Callable, List

from analytics_client import Client, QueueDirError

from .support import FakeServer, TestCase, free_port, real_server, rows, run_program, wait_for


def in_child(code: Callable[[], Any]) -> int:
    """Fork, run code in the child, and return its process id."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            code()
            status = 0
        finally:
            os._exit(status)
    return pid


class ForkTest(TestCase):
    def wait(self, pid: int) -> None:
        done: List[int] = []

        def ended() -> bool:
            waited, status = os.waitpid(pid, os.WNOHANG)
            if waited:
                done.append(os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status))
            return bool(done)

        try:
            wait_for(ended, f"end of the child {pid}: a deadlock?", 60)
        except AssertionError:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise
        self.assertEqual(done, [0])

    def test_forks_under_load(self) -> None:
        """Children that are forked while threads track: nothing hangs, is doubled or lost."""
        forks, per_child = 30, 20
        with real_server() as url:
            client = Client(
                url, logger=self.logger, flush_interval=0.01, max_batch_events=50, max_queue_events=1_000_000
            )
            stop = threading.Event()
            tracked = [0, 0]

            def load(number: int) -> None:
                while not stop.is_set():
                    tracked[number] += client.track(number + 1, "parent", {"n": tracked[number]})
                    if tracked[number] % 20 == 0:
                        wait_for(lambda: client.stats().queued < 1000, "progress", 60)
                        time.sleep(0.002)  # leaves the others a part of the machine

            threads = [threading.Thread(target=load, args=(number,)) for number in range(2)]
            for thread in threads:
                thread.start()

            def child(number: int) -> None:
                assert client.stats().queued == 0
                for n in range(per_child):
                    assert client.track(1000 + number, "child", {"n": n})
                assert client.close(30)
                assert client.stats().accepted == per_child

            for number in range(forks):
                self.wait(in_child(lambda: child(number)))
            stop.set()
            for thread in threads:
                thread.join()
            self.assertTrue(client.close(30))
            stats = client.stats()
            self.assertEqual((stats.accepted, stats.duplicate, stats.dropped), (sum(tracked), 0, 0))
            stored = rows(url)
        self.assertEqual(len({row["event_id"] for row in stored}), len(stored))
        who = sorted((row["user_id"], row["payload"]["n"]) for row in stored)
        self.assertEqual(
            who,
            [(number + 1, n) for number in range(2) for n in range(tracked[number])]
            + [(1000 + number, n) for number in range(forks) for n in range(per_child)],
        )

    def test_what_is_queued_is_the_parents(self) -> None:
        with FakeServer() as server:
            client = Client(server.url, logger=self.logger, flush_interval=60)
            client.track(7, "before")

            def child() -> None:
                assert client.stats().queued == 0 and client.pending() == []
                assert client.close(30)

            self.wait(in_child(child))
            self.assertEqual(server.ids, [])
            self.assertTrue(client.close(30))
            self.assertEqual(len(server.ids), 1)

    def test_a_fork_of_a_closed_client(self) -> None:
        with FakeServer() as server:
            client = Client(server.url, logger=self.logger)
            client.track(7, "view")
            self.assertTrue(client.close())

            def child() -> None:
                assert not client.track(7, "view")
                assert client.close()

            self.wait(in_child(child))

    def test_questions_after_a_fork(self) -> None:
        with real_server() as url:
            client = Client(url, logger=self.logger)
            client.api.get_limits()  # leaves a connection

            def child() -> None:
                assert client._caller._idle == []
                for _ in range(20):
                    assert client.api.get_event_type_stats("child").count == 0

            pid = in_child(child)
            for _ in range(20):
                self.assertEqual(client.api.get_event_type_stats("parent").count, 0)
            self.wait(pid)
            client.close()

    def test_queue_dir_stays_the_parents(self) -> None:
        folder = self.folder()
        with FakeServer() as server:
            client = Client(server.url, logger=self.logger, queue_dir=folder, flush_interval=60)
            client.track(7, "parent")

            def child() -> None:
                assert client.track(7, "child")
                assert "queue_dir stays with the process" in self.log[0], self.log
                assert client.close(30)

            self.wait(in_child(child))
            self.assertEqual([e["event_type"] for r in server.receptions for e in r.events], ["child"])
            with self.assertRaises(QueueDirError):
                Client(server.url, queue_dir=folder)

            # A child that outlives its parent's client doesn't hold the lock.
            reader, writer = os.pipe()
            pid = in_child(lambda: os.read(reader, 1))
            self.assertTrue(client.close(30))
            Client(server.url, logger=self.logger, queue_dir=folder).close()
            os.write(writer, b"x")
            self.wait(pid)
            os.close(reader)
            os.close(writer)
        self.assertEqual([e["event_type"] for r in server.receptions for e in r.events], ["child", "parent"])

    def test_multiprocessing(self) -> None:
        with FakeServer() as server:
            client = Client(server.url, logger=self.logger)

            def work(number: int) -> None:
                client.track(number + 1, "child")
                client.close()

            workers = [multiprocessing.get_context("fork").Process(target=work, args=(n,)) for n in range(3)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join(30)
                self.assertEqual(worker.exitcode, 0)
            client.close()
            users = sorted(e["user_id"] for r in server.receptions for e in r.events)
        self.assertEqual(users, [1, 2, 3])


class EndTest(TestCase):
    program = """
import sys, threading
from analytics_client import Client
client = Client(sys.argv[1], flush_interval=60, exit_timeout=float(sys.argv[3]))
for n in range(10):
    client.track(7, "view", {"n": n})
exec(sys.argv[2])
"""

    def test_what_is_queued_is_delivered_at_the_end(self) -> None:
        for ending, code in (
            ("pass", 0),
            ("sys.exit(3)", 3),
            ("raise SystemExit", 0),
            ("import atexit; atexit.register(client.track, 7, 'late')", 0),
            ("import atexit; client.close(); atexit.register(client.track, 7, 'too late')", 0),
        ):
            with self.subTest(ending), FakeServer() as server:
                status, out, err = run_program(self.program, server.url, ending, "30")
                self.assertEqual((status, out, err), (code, "", ""))
                self.assertEqual(len(set(server.ids)), 11 if "'late'" in ending else 10)

    def test_an_exception_ends_the_program(self) -> None:
        with FakeServer() as server:
            status, _, err = run_program(self.program, server.url, "raise RuntimeError('of the application')", "30")
            self.assertEqual((status, "of the application" in err), (1, True))
            self.assertEqual(len(server.ids), 10)

    def test_the_first_event_comes_at_the_very_end(self) -> None:
        code = """
import atexit, sys
from analytics_client import Client
client = Client(sys.argv[1])
atexit.register(client.track, 7, "last words")
"""
        with FakeServer() as server:
            self.assertEqual(run_program(code, server.url), (0, "", ""))
            self.assertEqual(len(server.ids), 1)

    def test_no_thread_can_be_started(self) -> None:
        # As from Python 3.12 on at the end of the process.
        code = """
import sys, threading
from analytics_client import Client
def start(thread): raise RuntimeError("can't create new thread at interpreter shutdown")
threading.Thread.start = start
client = Client(sys.argv[1])
assert client.track(7, "view") and client.track(7, "view")
assert client.close() and client.close()
"""
        with FakeServer() as server:
            self.assertEqual(run_program(code, server.url), (0, "", ""))
            self.assertEqual(len(server.ids), 2)

    def test_a_server_that_is_away_holds_nobody_up(self) -> None:
        with FakeServer(lambda r: server.hang(r)) as server:
            started = time.monotonic()
            status, _, err = run_program(self.program, server.url, "pass", "0.3")
            self.assertEqual(status, 0)
            self.assertLess(time.monotonic() - started, 20)
            self.assertIn("close: the time is up, 10 events are dropped", err)

    def test_kill(self) -> None:
        folder = self.folder()
        code = """
import os, signal, sys
from analytics_client import Client
client = Client(sys.argv[1], queue_dir=sys.argv[2])
for n in range(1000):
    client.track(7, "view", {"n": n})
os.kill(os.getpid(), signal.SIGKILL)
"""
        status, _, _ = run_program(code, f"http://127.0.0.1:{free_port()}", folder)
        self.assertEqual(status, -signal.SIGKILL)
        with real_server() as url:
            client = Client(url, logger=self.logger, queue_dir=folder)
            self.assertTrue(client.close(30))
            self.assertEqual(client.stats().accepted, 1000)
            self.assertEqual(sorted(row["payload"]["n"] for row in rows(url)), list(range(1000)))


class TLSTest(TestCase):
    def test_tls(self) -> None:
        folder = self.folder()
        certificate, key = os.path.join(folder, "certificate"), os.path.join(folder, "key")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
            + ["-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
            check=True,
            capture_output=True,
        )
        with FakeServer() as server:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            server.wrap(context)
            url = server.url.replace("http://127.0.0.1", "https://localhost")

            trusting = ssl.create_default_context(cafile=certificate)
            client = Client(url, logger=self.logger, ssl_context=trusting, max_batch_events=2)
            for _ in range(10):
                client.track(7, "view")
            self.assertTrue(client.close(30))
            self.assertEqual((len(server.ids), client.stats().retries), (10, 0))

            client = Client(url, logger=self.logger, backoff_max=0.1)
            client.track(7, "view")
            self.assertFalse(client.close(1))
            self.assertIn("certificate verify failed", " ".join(self.log))
            self.assertEqual(len(server.ids), 10)

    def test_close_ends_a_handshake(self) -> None:
        with FakeServer() as silent:  # which waits for a request, and knows no TLS
            client = Client(silent.url.replace("http:", "https:"), logger=self.logger, request_timeout=60)
            client.track(7, "view")
            started = time.monotonic()
            self.assertFalse(client.close(0.3))
            self.assertLess(time.monotonic() - started, 20)
            self.check_threads()


if __name__ == "__main__":
    unittest.main()
