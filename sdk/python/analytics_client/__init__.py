"""Events to the High-Load Analytics API, and questions about them.

    import analytics_client

    client = analytics_client.Client("http://localhost:8000")
    client.track(42, "purchase", {"item": "book", "price": 12.5})

`Client` sends in the background, and never blocks, raises or loses an event in
silence. `Client.api` has a typed method for every operation of the contract, whose
types are in the module `models`.
"""

from . import models
from ._decode import DecodeError
from ._version import __version__
from .client import Client, OnFull
from .errors import AnalyticsError, ApiError, QueueDirError
from .operations import Operations
from .outcome import Outcome, Stats, Status

__all__ = [
    "AnalyticsError",
    "ApiError",
    "Client",
    "DecodeError",
    "OnFull",
    "Operations",
    "Outcome",
    "QueueDirError",
    "Stats",
    "Status",
    "__version__",
    "models",
]
