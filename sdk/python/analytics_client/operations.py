"""A method for each operation of the High-Load Analytics API.

Generated from version 0.1.0 of the contract by sdk/python/generate. Don't edit.
"""

from typing import Optional, Sequence, Union  # noqa: F401

from ._http import Caller, Stream
from .models import (
    BatchReceipt,
    Comparison,
    Event,
    EventBatch,
    EventPage,
    EventType,
    EventTypeSeries,
    EventTypeStats,
    EventTypeStatsPage,
    ExportFormat,
    Funnel,
    FunnelResult,
    Instant,
    Interval,
    Limits,
    Match,
    Query,
    QueryResult,
    Receipt,
    Retention,
    RetentionResult,
    TimeZone,
)


class Operations:
    """The operations of the contract, one method each.

    A method raises ApiError when the server answers with a problem, DecodeError when
    the answer isn't what the contract says, and OSError when there is no answer. It
    may be called from several threads at once. `timeout` is in seconds and for the
    whole call, without one it is the client's.
    """

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    def send_event(
        self,
        body: Event,
        *,
        idempotency_key: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> Receipt:
        """Send one event.

        Stores one event and counts it. The answer comes after the commit: what was
        answered `202` survives any crash.

        Repeat the request after a time-out, a `5xx` or a broken connection: with an
        `event_id` in the body or an `Idempotency-Key` header the event is stored
        once, however often it is sent, and every repeat is answered `202` too. The
        `Event-Status` header tells the first from the repeats.

        The body may be sent with `Content-Encoding: gzip`; the size limit of 128 KiB
        holds before and after decompression.

        * `idempotency_key`: Used as `event_id` when the body has none. A load
          balancer that sets it makes its own retries safe.
        * `body`: The event.
        """
        answer = self._caller.call(
            "POST",
            "/event",
            timeout,
            headers={
                "Idempotency-Key": idempotency_key,
            },
            body=body,
        )
        return Receipt.from_json(answer)

    def list_events(
        self,
        *,
        event_type: Optional[EventType] = None,
        user_id: Optional[int] = None,
        from_: Optional[Instant] = None,
        to: Optional[Instant] = None,
        filters: Optional[str] = None,
        match: Optional[Match] = None,
        limit: Optional[int] = None,
        cursor: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> EventPage:
        """The latest events.

        Events, the newest first: by `timestamp`, then by `event_id` and `user_id`.
        Follow `next_cursor` for older ones. Pages are stable while events arrive:
        nothing is listed twice, and nothing is left out but events that arrive later
        than their place in the order was passed.

        * `event_type`: Only events of this type.
        * `user_id`: Only events of this user.
        * `from_`: The beginning of the range, in Unix seconds, included.
        * `to`: The end of the range, in Unix seconds, not included.
        * `filters`: Only events that fit: a JSON array of filters, as `POST /query`
          takes them.
        * `match`: How many of the filters have to fit: `all` (without it), or `any`.
        * `limit`: How many to list at most; without it 100.
        * `cursor`: Where to go on: the `next_cursor` of the page before, or the
          `timestamp`, `event_id` and `user_id` of the last event seen, joined by
          `_`.
        """
        answer = self._caller.call(
            "GET",
            "/events",
            timeout,
            query={
                "event_type": event_type,
                "user_id": user_id,
                "from": from_,
                "to": to,
                "filters": filters,
                "match": match,
                "limit": limit,
                "cursor": cursor,
            },
        )
        return EventPage.from_json(answer)

    def send_events(
        self,
        body: Union[EventBatch, bytes],
        *,
        idempotency_key: Optional[str] = None,
        verbose: Optional[bool] = None,
        atomic: Optional[bool] = None,
        timeout: Optional[float] = None,
    ) -> BatchReceipt:
        """Send many events.

        Stores up to 5,000 events and counts them. Each event is taken, found to be a
        repeat, or refused for itself: a bad one never harms its neighbours. The
        answer comes after the commit, as with `POST /event`.

        Send a JSON array, an object with the array in `events`, or
        `application/x-ndjson`: one event per line; blank lines don't count. The body
        may be sent with `Content-Encoding: gzip`. It is at most 8 MiB, before and
        after decompression, each event in it at most 128 KiB; `GET /limits` tells
        what this server takes, which may be less.

        `results` lists what was not plainly received: duplicates, events that break
        the contract (`rejected`, with `errors`; sending them again is of no use),
        and events whose fate isn't known (`retry`: the database didn't answer in
        time; send those again, and nothing else). When nothing at all could be
        stored the answer is a problem: `422` when every event was rejected, `503`
        when every one should be sent again. Repeats are recognised by the events'
        ids: give each an `event_id`, or the request an `Idempotency-Key`.

        * `idempotency_key`: Events without an `event_id` get one that follows from
          this key and their place in the batch, so that the same body sent again
          with the same key is recognised. A load balancer that sets it makes its own
          retries safe.
        * `verbose`: `true`: `results` lists every event, with the ids that the
          server made.
        * `atomic`: `true`: all events are stored, in one transaction, or none. One
          that breaks the contract then makes the answer `422`. Duplicates harm
          nobody.
        * `body`: The events. Bytes are sent as they are: an event per line, as JSON.
        """
        answer = self._caller.call(
            "POST",
            "/events",
            timeout,
            query={
                "verbose": verbose,
                "atomic": atomic,
            },
            headers={
                "Idempotency-Key": idempotency_key,
            },
            body=body,
        )
        return BatchReceipt.from_json(answer)

    def export_events(
        self,
        *,
        format: Optional[ExportFormat] = None,
        event_type: Optional[EventType] = None,
        user_id: Optional[int] = None,
        from_: Optional[Instant] = None,
        to: Optional[Instant] = None,
        filters: Optional[str] = None,
        match: Optional[Match] = None,
        cursor: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> Stream:
        """Download events.

        All events that fit, the oldest first, as JSON lines that `POST /events`
        takes, or as CSV. The answer is streamed, and compressed when asked for
        (`Accept-Encoding: gzip`). However many there are, neither side needs to hold
        them.

        If the connection breaks, go on from the last whole line: pass its
        `timestamp`, `event_id` and `user_id`, joined by `_`, as `cursor`. An answer
        that breaks off has no end of the chunked body: HTTP clients report it as an
        error.

        * `format`: What to send; without it `ndjson`.
        * `event_type`: Only events of this type.
        * `user_id`: Only events of this user.
        * `from_`: The beginning of the range, in Unix seconds, included.
        * `to`: The end of the range, in Unix seconds, not included.
        * `filters`: Only events that fit: a JSON array of filters, as `POST /query`
          takes them.
        * `match`: How many of the filters have to fit: `all` (without it), or `any`.
        * `cursor`: Where to go on: the `next_cursor` of the page before, or the
          `timestamp`, `event_id` and `user_id` of the last event seen, joined by
          `_`.
        """
        return self._caller.stream(
            "GET",
            "/events/export",
            timeout,
            query={
                "format": format,
                "event_type": event_type,
                "user_id": user_id,
                "from": from_,
                "to": to,
                "filters": filters,
                "match": match,
                "cursor": cursor,
            },
        )

    def list_user_events(
        self,
        user_id: int,
        *,
        event_type: Optional[EventType] = None,
        from_: Optional[Instant] = None,
        to: Optional[Instant] = None,
        filters: Optional[str] = None,
        match: Optional[Match] = None,
        limit: Optional[int] = None,
        cursor: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> EventPage:
        """What a user did.

        The events of one user, the newest first. Pages are stable while events
        arrive, as those of `GET /events`.

        * `user_id`: Who.
        * `event_type`: Only events of this type.
        * `from_`: The beginning of the range, in Unix seconds, included.
        * `to`: The end of the range, in Unix seconds, not included.
        * `filters`: Only events that fit: a JSON array of filters, as `POST /query`
          takes them.
        * `match`: How many of the filters have to fit: `all` (without it), or `any`.
        * `limit`: How many to list at most; without it 100.
        * `cursor`: Where to go on: the `next_cursor` of the page before, or the
          `timestamp`, `event_id` and `user_id` of the last event seen, joined by
          `_`.
        """
        answer = self._caller.call(
            "GET",
            "/users/{user_id}/events",
            timeout,
            path={"user_id": user_id},
            query={
                "event_type": event_type,
                "from": from_,
                "to": to,
                "filters": filters,
                "match": match,
                "limit": limit,
                "cursor": cursor,
            },
        )
        return EventPage.from_json(answer)

    def get_limits(
        self,
        *,
        timeout: Optional[float] = None,
    ) -> Limits:
        """How much may be sent at once.

        The bounds in force on this server, for clients that cut their batches to
        size. They change only when the server is restarted with other settings.
        """
        answer = self._caller.call(
            "GET",
            "/limits",
            timeout,
        )
        return Limits.from_json(answer)

    def list_event_type_stats(
        self,
        *,
        prefix: Optional[str] = None,
        limit: Optional[int] = None,
        cursor: Optional[str] = None,
        timeout: Optional[float] = None,
    ) -> EventTypeStatsPage:
        """Count every event type.

        Every event type that was ever sent with the number of its events, the most
        frequent first; types with equal counts in the order of their bytes. Follow
        `next_cursor` for more: while events arrive a type may move to a page that
        was read already.

        * `prefix`: Only the types that begin so.
        * `limit`: How many to list at most; without it 100.
        * `cursor`: Where to go on, the `next_cursor` of the page before.
        """
        answer = self._caller.call(
            "GET",
            "/stats",
            timeout,
            query={
                "prefix": prefix,
                "limit": limit,
                "cursor": cursor,
            },
        )
        return EventTypeStatsPage.from_json(answer)

    def get_event_type_stats(
        self,
        event_type: EventType,
        *,
        from_: Optional[Instant] = None,
        to: Optional[Instant] = None,
        timeout: Optional[float] = None,
    ) -> EventTypeStats:
        """Count the events of a type.

        The number of events of one type since the beginning, including every event
        that was accepted before the question. A type that no event has had yet is
        counted as 0, not an error.

        With `from` or `to` only the events in that range count, exact to the second.

        * `event_type`: The type to count; upper and lower case differ.
        * `from_`: The beginning of the range, in Unix seconds, included.
        * `to`: The end of the range, in Unix seconds, not included.
        """
        answer = self._caller.call(
            "GET",
            "/stats/{event_type}",
            timeout,
            path={"event_type": event_type},
            query={
                "from": from_,
                "to": to,
            },
        )
        return EventTypeStats.from_json(answer)

    def get_event_type_series(
        self,
        event_type: EventType,
        *,
        interval: Optional[Interval] = None,
        tz: Optional[TimeZone] = None,
        from_: Optional[Instant] = None,
        to: Optional[Instant] = None,
        compare: Optional[Comparison] = None,
        timeout: Optional[float] = None,
    ) -> EventTypeSeries:
        """Count the events of a type over time.

        The number of events of one type in every minute, hour, day, week or month of
        a range. Nothing is left out: a bucket without events has the count 0.
        Buckets follow the calendar of `tz`, so that a day may have 23 or 25 hours;
        weeks begin on Monday (ISO 8601).

        Without `from` and `to` it is the last 30 buckets, the current one included.
        With them only events in the range count, so that the first and the last
        bucket may be cut; such a bucket, and one that isn't over yet, is marked
        `partial`.

        * `event_type`: The type to count; upper and lower case differ.
        * `interval`: How long a bucket is; without it a day.
        * `tz`: The time zone whose calendar the buckets follow; without it UTC.
        * `from_`: The beginning of the range, in Unix seconds, included.
        * `to`: The end of the range, in Unix seconds, not included.
        * `compare`: `previous`: the answer has the same number of buckets before the
          range, too, in `previous`.
        """
        answer = self._caller.call(
            "GET",
            "/stats/{event_type}/series",
            timeout,
            path={"event_type": event_type},
            query={
                "interval": interval,
                "tz": tz,
                "from": from_,
                "to": to,
                "compare": compare,
            },
        )
        return EventTypeSeries.from_json(answer)

    def query_events(
        self,
        body: Query,
        *,
        timeout: Optional[float] = None,
    ) -> QueryResult:
        """Count, sum or rank by any property.

        One number per group, or per group and bucket of time: how many events or
        users, or the sum, mean, extreme or percentile of a number in the payload.
        Nothing has to be declared beforehand: any place in the payload can be
        grouped by, filtered by and summed.

        Groups are ranked by their number over the whole range; `limit` of them are
        listed, and with `include_other` all others together as one more. An event
        without a value at a place belongs to the group `null`, which is another than
        the string `"null"`. Types are kept: `1` is not `"1"`, but it is `1.0`.

        Numbers are exact. A `sum` is that of the decimals as sent, `avg` is the
        exact quotient rounded once, percentiles are values that occur (nearest
        rank). Only JSON numbers are summed; events with anything else at `value` are
        left out of the number, and a group without any has `null`.

        * `body`: The question.
        """
        answer = self._caller.call(
            "POST",
            "/query",
            timeout,
            body=body,
        )
        return QueryResult.from_json(answer)

    def query_funnel(
        self,
        body: Funnel,
        *,
        timeout: Optional[float] = None,
    ) -> FunnelResult:
        """How many users go all the way.

        How many users took the first step, how many of them the second after it, and
        so on, within `window` seconds of the first. Of a user's possible ways the
        one that gets furthest counts, and of those the one that begins first; each
        further step is the earliest event that fits.

        Events are in the order of `timestamp`, then of `event_id`: a step is taken
        by an event after that of the step before, perhaps in the same second. With
        the order `strict`, none of the user's events between two steps may be one of
        the funnel's: whoever goes back and forth has to begin again.

        * `body`: The funnel.
        """
        answer = self._caller.call(
            "POST",
            "/query/funnel",
            timeout,
            body=body,
        )
        return FunnelResult.from_json(answer)

    def query_retention(
        self,
        body: Retention,
        *,
        timeout: Optional[float] = None,
    ) -> RetentionResult:
        """How many users come back.

        Users are put into cohorts by the day, week or month of their first event of
        one kind within the range; then each later period tells how many of the
        cohort had an event of another kind (or of the same) in it. Period 0 is the
        cohort's own: there an event counts that comes after the first one. A user
        whose earlier events lie before `from` begins anew: choose a first event that
        happens once, such as a sign-up, or a range that has all.

        * `body`: The two kinds of events, and the range.
        """
        answer = self._caller.call(
            "POST",
            "/query/retention",
            timeout,
            body=body,
        )
        return RetentionResult.from_json(answer)
