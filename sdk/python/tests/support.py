"""What tests share: real servers, a server that answers what a test wants, waiting."""

from __future__ import annotations

import contextlib
import gzip
import http.server
import json
import logging
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.request
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

FOLDER = Path(__file__).resolve().parent.parent


def wait_for(condition: Callable[[], object], what: str, timeout: float = 20.0) -> None:
    """Wait until a condition holds, which another thread or process brings about."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"after {timeout} s there is no {what}")
        time.sleep(0.002)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


@contextlib.contextmanager
def real_server(**settings: str) -> Iterator[str]:
    """Start an analytics server with a database of its own, and yield its URL.

    The program is ANALYTICS_BIN, or the repository's bin/analytics (`make build`).
    """
    binary = os.environ.get("ANALYTICS_BIN") or str(FOLDER.parent.parent / "bin" / "analytics")
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as log:
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "ADDR": "127.0.0.1:0",  # the system chooses the port when the server listens
            "DATA_DIR": folder,
            "RATE_LIMIT": "0",
            "LOG_LEVEL": "WARN",
            **settings,
        }
        process = subprocess.Popen([binary, "serve"], env=environment, stdout=log, stderr=log)
        urls: List[str] = []

        def printed() -> str:
            # pread: the server writes where the file's position is.
            return os.pread(log.fileno(), 1 << 20, 0).decode()

        def ready() -> bool:
            urls[:] = re.findall(r"^ *API +(http:\S+)\n", printed(), re.MULTILINE)
            return process.poll() is not None or (bool(urls) and is_ready(urls[0]))

        try:
            wait_for(ready, "server that is ready", timeout=90)
            if process.poll() is not None:
                raise AssertionError(f"the server ended: {printed()}")
            yield urls[0]
        finally:
            process.send_signal(signal.SIGINT)  # unlike SIGTERM it doesn't wait for load balancers
            code = process.wait(60)
        if code != 0:
            raise AssertionError(f"the server exited with {code}: {printed()}")


def is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url + "/readyz", timeout=10):
            return True
    except OSError:
        return False


def rows(url: str) -> List[Dict[str, Any]]:
    """Return all events of a real server, without the SDK."""
    with urllib.request.urlopen(url + "/events/export", timeout=30) as answer:
        return [json.loads(line) for line in answer]


Answer = Tuple[int, Dict[str, str], bytes]


class Reception:
    """One POST /events: what came, and in which connection."""

    def __init__(self, handler: http.server.BaseHTTPRequestHandler, body: bytes) -> None:
        self.headers = handler.headers
        self.connection = handler.connection
        self.wfile = handler.wfile
        self.body = body
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.events: List[Dict[str, Any]] = [json.loads(line) for line in body.splitlines()]

    @property
    def ids(self) -> List[str]:
        return [event["event_id"] for event in self.events]

    def receipt(self, **changes: Any) -> Answer:
        """The answer that all was stored, but for the changes."""
        receipt = {"received": len(self.events), "duplicate": 0, "rejected": 0, "retry": 0, "results": []}
        receipt.update(changes)
        return 202, {}, json.dumps(receipt).encode()

    def cut(self) -> None:
        """Reset the connection."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        raise ConnectionAbortedError


Behaviour = Callable[[Reception], Optional[Answer]]


def problem(status: int, code: str, **headers: str) -> Answer:
    body = {"type": f"/problems/{code}", "title": "Oh", "status": status, "code": code}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return status, {"Content-Type": "application/problem+json", **named}, json.dumps(body).encode()


class FakeServer:
    """A server that does with the n-th request what the n-th behaviour says, and takes
    all further ones."""

    def __init__(self, *behaviours: Behaviour) -> None:
        self.receptions: List[Reception] = []
        self.connections = 0
        self.let_go = threading.Event()  # for behaviours that hang
        fake = self
        lock = threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                fake.connections += 1

            def do_POST(self) -> None:
                reception = Reception(self, self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    number = len(fake.receptions)
                    fake.receptions.append(reception)
                behaviour: Behaviour = behaviours[number] if number < len(behaviours) else lambda r: r.receipt()
                try:
                    answer = behaviour(reception)
                except ConnectionAbortedError:
                    self.connection.close()
                    self.close_connection = True
                    return
                if answer is None:
                    self.close_connection = True
                    return
                status, headers, body = answer
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)
                if headers.get("Connection") == "close":
                    self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # clients that go away are the point of it

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def hang(self, reception: Reception) -> None:
        self.let_go.wait(60)
        reception.cut()

    def wrap(self, context: ssl.SSLContext) -> None:
        """Speak TLS from now on."""
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    @property
    def ids(self) -> List[str]:
        return [event_id for reception in self.receptions for event_id in reception.ids]

    def __enter__(self) -> FakeServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Memory(logging.Handler):
    def __init__(self, lines: List[str]) -> None:
        super().__init__()
        self.lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


class TestCase(unittest.TestCase):
    """A test that says nothing on stderr, and leaves no thread of a client behind."""

    def setUp(self) -> None:
        self.logger = logging.getLogger(self.id())
        self.logger.propagate = False
        self.log: List[str] = []
        self.logger.addHandler(Memory(self.log))
        self._threads = set(threading.enumerate())
        self.addCleanup(self.check_threads)

    def check_threads(self) -> None:
        new = [thread for thread in threading.enumerate() if thread not in self._threads]
        self.assertEqual([thread for thread in new if thread.name == "analytics-client"], [])

    def folder(self) -> str:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return folder.name


def run_program(code: str, *arguments: str, timeout: float = 60, **environment: str) -> Tuple[int, str, str]:
    """Run a Python program, and return its exit code and what it said."""
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": str(FOLDER), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        timeout=timeout,
        check=False,
    )
    return process.returncode, process.stdout.decode(), process.stderr.decode()
