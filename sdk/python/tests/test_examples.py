"""The ASGI middleware of the examples, in a harness as servers are one."""

from __future__ import annotations

import asyncio
import compileall
import sys
import threading
import unittest
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict, List, MutableMapping, Optional
from unittest import mock

from analytics_client import Client

from .support import FOLDER, FakeServer, TestCase

sys.path.insert(0, str(FOLDER / "examples"))

from asgi_middleware import AnalyticsMiddleware, App, Message, Receive, Scope, Send  # noqa: E402


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """A small application, with a route as FastAPI tells it."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    elif scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
    else:
        scope["route"] = SimpleNamespace(path="/cart/{item}")
        scope["state"]["user_id"] = 42
        if scope["path"] == "/raise":
            raise RuntimeError("of the application")
        await send({"type": "http.response.start", "status": 201, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        await send({"type": "http.response.body", "body": b"b"})


class Harness:
    """Runs an application as an ASGI server does."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def call(self, scope: Dict[str, Any], *received: Dict[str, Any]) -> List[MutableMapping[str, Any]]:
        sent: List[MutableMapping[str, Any]] = []
        queue = list(received)

        async def receive() -> Message:
            return queue.pop(0)

        async def send(message: Message) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        return sent

    async def get(self, path: str) -> List[MutableMapping[str, Any]]:
        scope = {"type": "http", "method": "GET", "path": path, "headers": [], "state": {}}
        return await self.call(scope, {"type": "http.request", "body": b"", "more_body": False})


def who(scope: Scope) -> Optional[int]:
    user: Optional[int] = scope["state"].get("user_id")
    return None if scope["path"] == "/nobody" else user


class MiddlewareTest(TestCase):
    def test_requests(self) -> None:
        async def session(harness: Harness) -> None:
            lifespan = asyncio.ensure_future(
                harness.call({"type": "lifespan"}, {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
            )
            answers = await asyncio.gather(*[harness.get(f"/cart/{n}") for n in range(20)])
            for sent in answers:
                self.assertEqual([m["type"] for m in sent], ["http.response.start"] + ["http.response.body"] * 2)
            await harness.get("/nobody")
            with self.assertRaisesRegex(RuntimeError, "of the application"):
                await harness.get("/raise")
            self.assertEqual(await harness.call({"type": "websocket"}), [{"type": "websocket.accept"}])
            sent = await lifespan
            self.assertEqual([m["type"] for m in sent], ["lifespan.startup.complete", "lifespan.shutdown.complete"])

        with FakeServer() as server:
            client = Client(server.url, logger=self.logger, flush_interval=60)
            # The lifespan ends first here; what the requests tracked before is delivered.
            harness = Harness(AnalyticsMiddleware(application, client=client, user_id=who))
            with mock.patch.object(client, "close", lambda timeout: closed.append(threading.current_thread())):
                closed: List[threading.Thread] = []
                asyncio.run(session(harness))
            self.assertEqual(len(closed), 1)
            self.assertIsNot(closed[0], threading.main_thread())  # the event loop went on
            self.assertTrue(client.close())
            events = [event for reception in server.receptions for event in reception.events]
        self.assertEqual({(e["user_id"], e["event_type"]) for e in events}, {(42, "http_request")})
        self.assertEqual(sorted(e["payload"]["status"] for e in events), [201] * 20 + [500])
        self.assertEqual({e["payload"]["route"] for e in events}, {"/cart/{item}"})
        self.assertNotIn("/cart/1", str(events))

    def test_shutdown_delivers(self) -> None:
        async def session(harness: Harness) -> None:
            await harness.get("/cart/1")
            await harness.call({"type": "lifespan"}, {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})

        with FakeServer() as server:
            client = Client(server.url, logger=self.logger, flush_interval=60)
            asyncio.run(session(Harness(AnalyticsMiddleware(application, client=client, user_id=who))))
            self.assertEqual(len(server.ids), 1)
            self.assertFalse(client.track(42, "late"))

    def test_the_fastapi_application_compiles(self) -> None:
        # FastAPI itself isn't to be had where this runs.
        self.assertTrue(compileall.compile_file(str(Path(FOLDER, "examples", "fastapi_app.py")), quiet=1, force=True))


if __name__ == "__main__":
    unittest.main()
