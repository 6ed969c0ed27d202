"""A FastAPI application that records an event per request, and one of its own.

pip install fastapi uvicorn, then: uvicorn fastapi_app:app
"""

from __future__ import annotations

from typing import Any, Dict, Optional

from asgi_middleware import AnalyticsMiddleware, Scope
from fastapi import FastAPI, Request

from analytics_client import Client

# Gunicorn with preload_app forks after this, which is fine: each worker's client is as
# new. What queue_dir would need, the docstring of Client tells.
client = Client()
app = FastAPI()


def who(scope: Scope) -> Optional[int]:
    """The user, whom your authentication has put into request.state."""
    user: Optional[int] = scope.get("state", {}).get("user_id")
    return user


app.add_middleware(AnalyticsMiddleware, client=client, user_id=who)


@app.post("/cart/{item}")
async def add_to_cart(item: str, request: Request) -> Dict[str, Any]:
    request.state.user_id = 42  # here: your authentication
    client.track(42, "cart_add", {"item": item})
    return {"added": item}
