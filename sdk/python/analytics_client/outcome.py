"""What became of events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List, Literal, Optional

from . import _json
from .models import Violation

Status = Literal["accepted", "duplicate", "rejected", "dropped", "failed"]


@dataclass(frozen=True)
class Outcome:
    """What became of one event.

    * `accepted`: the server stored it.
    * `duplicate`: the server had stored it before, when an answer got lost.
    * `rejected`: it breaks the contract; `violations` tell why. `code` is the first
      one's, or `content_too_large` if no request is large enough for the event.
    * `dropped`: it was never stored, or that isn't known; `code` is `queue_full`, or
      `closed` when the client was closed before it could be delivered.
    * `failed`: the server refused the whole request, for a reason that doesn't go away
      by sending it again; `http_status` and `code` tell which.
    """

    status: Status
    code: str = ""
    violations: List[Violation] = field(default_factory=list)
    http_status: Optional[int] = None
    data: bytes = field(default=b"", repr=False)
    """The event as JSON; empty if it couldn't be made into JSON."""

    @property
    def event(self) -> Dict[str, Any]:
        """The event as it was sent; empty if it couldn't be made into JSON."""
        event = _json.decode(self.data) if self.data else {}
        assert isinstance(event, dict)
        return event


@dataclass(frozen=True)
class Stats:
    """How many events of this process had which outcome, and what it took."""

    queued: int
    """Events that have no outcome yet, those in a request under way among them."""
    accepted: int
    duplicate: int
    rejected: int
    dropped: int
    failed: int
    requests: int
    """Tries to send a batch, also those that found no server."""
    retries: int
    """Tries after which something had to be sent again."""
