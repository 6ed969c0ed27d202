"""One try to deliver a batch, and what to make of the answer."""

from __future__ import annotations

import gzip
import time
from dataclasses import dataclass, field, replace
from typing import Dict, List, Optional, Sequence, Tuple

from . import _json
from ._http import Connection, Origin, api_error, read_all, retry_after
from ._journal import Key
from .models import BatchReceipt, Violation
from .outcome import Outcome

# Bodies from this size on are compressed. The level is that of a third of the time
# for a tenth more bytes than gzip's own choice.
_GZIP_FROM = 1024
_GZIP_LEVEL = 3

# What a retry may help. So does it with every 5xx.
_RETRIED = frozenset([408, 429])


class Entry:
    """An event on its way."""

    __slots__ = ("number", "data", "since", "key", "was_tried")

    def __init__(self, data: bytes, since: float) -> None:
        self.number = 0  # counted by the client, in the order of tracking
        self.data = data
        self.since = since
        self.key: Optional[Key] = None
        self.was_tried = False


@dataclass
class Verdict:
    """What a try has brought."""

    settled: List[Tuple[Entry, Outcome]] = field(default_factory=list)
    again: List[Entry] = field(default_factory=list)
    is_too_large: bool = False  # send the same again, in halves
    retry_after: float = 0.0
    trouble: str = ""  # why something is to be sent again


class Sender:
    """Sends batches over one connection, one after the other."""

    def __init__(self, origin: Origin, use_gzip: bool) -> None:
        self._connection = Connection(origin)
        self._use_gzip = use_gzip

    def send(self, batch: Sequence[Entry], deadline: float) -> Verdict:
        """Send a batch and return what came of it, by the deadline at the latest."""
        body = b"\n".join([entry.data for entry in batch])
        headers = {"Content-Type": "application/x-ndjson"}
        if self._use_gzip and len(body) >= _GZIP_FROM:
            body = gzip.compress(body, _GZIP_LEVEL)
            headers["Content-Encoding"] = "gzip"
        try:
            response = self._connection.request("POST", "/events", headers, body, deadline)
            answer = read_all(response)
        except OSError as error:
            self._connection.close()
            trouble = "the time is up" if time.monotonic() >= deadline else str(error)
            return Verdict(again=list(batch), trouble=trouble)
        status = response.status
        after = retry_after(response.headers) or 0.0
        if 200 <= status < 300:
            try:
                return _read_receipt(batch, _json.decode(answer), after)
            except (ValueError, RecursionError) as error:
                self._connection.close()
                return Verdict(again=list(batch), retry_after=after, trouble=f"{status}, but {error}")
        if status in _RETRIED or status >= 500:
            error_answer = api_error(status, response.headers, answer)
            return Verdict(again=list(batch), retry_after=after, trouble=str(error_answer))
        if status == 413 and len(batch) > 1:
            return Verdict(again=list(batch), is_too_large=True)
        error_answer = api_error(status, response.headers, answer)
        code = error_answer.code or f"http_{status}"
        broken = _violations_by_event(error_answer.violations, len(batch))
        verdict = Verdict()
        for index, entry in enumerate(batch):
            violations = broken.get(index, [])
            if status == 413:
                outcome = Outcome("rejected", "content_too_large", http_status=status, data=entry.data)
            elif broken:
                outcome = Outcome("rejected", violations[0].code if violations else code, violations, data=entry.data)
            else:
                outcome = Outcome("failed", code, http_status=status, data=entry.data)
            verdict.settled.append((entry, outcome))
        return verdict

    def abort(self) -> None:
        """End the try that another thread is at."""
        self._connection.abort()

    def close(self) -> None:
        self._connection.close()

    def abandon(self) -> None:
        """In a forked child: leave the connection to the parent."""
        self._connection.abandon()


def _violations_by_event(violations: Sequence[Violation], events: int) -> Dict[int, List[Violation]]:
    """Sort the violations of a batch in which every event breaks the contract.

    Such an answer says how, of as many events as it has room for.
    """
    broken: Dict[int, List[Violation]] = {}
    for violation in violations:
        index, slash, within = violation.pointer[1:].partition("/")
        if violation.pointer[:1] == "/" and index.isdecimal() and int(index) < events:
            broken.setdefault(int(index), []).append(replace(violation, pointer=slash + within))
    return broken


def _read_receipt(batch: Sequence[Entry], answer: object, after: float) -> Verdict:
    """Give each event of a batch its outcome. Raises ValueError if that can't be."""
    receipt = BatchReceipt.from_json(answer)
    results = {result.index: result for result in receipt.results}
    verdict = Verdict(retry_after=after)
    tally = {"received": 0, "duplicate": 0, "rejected": 0, "retry": 0}
    for index, entry in enumerate(batch):
        result = results.pop(index, None)
        status = "received" if result is None else result.status
        if status not in tally:
            raise ValueError(f"the receipt has the unknown status {status!r}")
        tally[status] += 1
        if status == "retry":
            verdict.again.append(entry)
            verdict.trouble = "the server asks for a part again"
        elif status == "rejected":
            violations = (result.errors if result is not None else None) or []
            code = violations[0].code if violations else "validation_failed"
            verdict.settled.append((entry, Outcome("rejected", code, violations, data=entry.data)))
        elif status == "duplicate":
            verdict.settled.append((entry, Outcome("duplicate", data=entry.data)))
        else:
            verdict.settled.append((entry, Outcome("accepted", data=entry.data)))
    if results or any(tally[name] != getattr(receipt, name) for name in tally):
        raise ValueError("the receipt isn't that of the events sent")
    return verdict
