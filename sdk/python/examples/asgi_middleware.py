"""Records an event for every request to an ASGI application: FastAPI, Starlette,
Quart, Litestar or one of your own. It needs none of them, so copy it as it is.

    app = FastAPI()
    app.add_middleware(AnalyticsMiddleware, client=analytics_client.Client(), user_id=who)

See fastapi_app.py for the rest of such an application.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Awaitable, Callable, MutableMapping, Optional

from analytics_client import Client

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class AnalyticsMiddleware:
    """An ASGI application around another one.

    `user_id` finds out who sent a request, when the request has been answered, so that
    what inner middleware put into scope["state"] is there; None means nobody, and no
    event. The event's payload has the method, the route's pattern (not the path, which
    may carry anything), the status and the time it took.

    The client is closed, and what is queued delivered, at the application's shutdown:
    in a thread, so that the event loop goes on.
    """

    def __init__(
        self,
        app: App,
        *,
        client: Client,
        user_id: Callable[[Scope], Optional[int]],
        event_type: str = "http_request",
        close_timeout: float = 10.0,
    ) -> None:
        self.app = app
        self.client = client
        self.user_id = user_id
        self.event_type = event_type
        self.close_timeout = close_timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self.request(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self.lifespan(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def request(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        status = 500  # what servers answer when the application raises

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, watch)
        finally:
            self.track(scope, status, time.perf_counter() - started)

    def track(self, scope: Scope, status: int, seconds: float) -> None:
        user_id = self.user_id(scope)
        if user_id is None:
            return
        route = scope.get("route")  # Starlette and FastAPI put it there
        # Nothing here waits or raises, so that it may be called in the event loop. With
        # on_full="block" it could wait: leave that to programs without one.
        self.client.track(
            user_id,
            self.event_type,
            {
                "method": scope["method"],
                "route": getattr(route, "path", None),
                "status": status,
                "milliseconds": round(seconds * 1000, 3),
            },
        )

    async def lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def watch(message: Message) -> None:
            if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(None, self.client.close, self.close_timeout)
            await send(message)

        await self.app(scope, receive, watch)
