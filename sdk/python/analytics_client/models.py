"""What is sent to the High-Load Analytics API and what it answers.

Requests are dictionaries (TypedDict), answers are frozen dataclasses. Members that
this version doesn't know are ignored in answers, and an enum may have values that
it doesn't list. Numbers of which the contract keeps every digit are int or Decimal.

Generated from version 0.1.0 of the contract by sdk/python/generate. Don't edit.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Dict, List, Literal, Mapping, Optional, Sequence, TypedDict, Union  # noqa: F401

from ._decode import (  # noqa: F401
    anything,
    array,
    boolean,
    choice,
    double,
    integer,
    nullable,
    number,
    optional,
    record,
    required,
    text,
)

# What kind of event: a letter or digit, then letters, digits and `_ . : -`.
EventType = str

# A UUID of any version in canonical form (36 characters, lower case), not the nil UUID.
# Together with `user_id` and `timestamp` it identifies the event. Without one the
# server makes a UUIDv7.
EventId = str

# Up to 5,000 events, as an array or in an object.
EventBatch = Union["Sequence[Event]", "EventEnvelope"]

# `received`: stored now; `duplicate`: stored before; `rejected`: breaks the contract,
# sending it again is of no use; `retry`: send it again.
EventResultStatus = Literal["received", "duplicate", "rejected", "retry"]

# The length of a bucket. Days, weeks (from Monday) and months are those of the calendar
# of a time zone.
Interval = Literal["minute", "hour", "day", "week", "month"]

# A name of the IANA time zone database.
TimeZone = str

# What to compare with: `previous`, the period before.
Comparison = Literal["previous"]

# `ndjson`: one event per line as JSON; `csv`: with a header line, and the payload as
# JSON text.
ExportFormat = Literal["ndjson", "csv"]

# A point in time, in Unix seconds; up to the year 9998.
Instant = int

# A point in time, in Unix seconds; before 1970 it is negative.
Moment = int

# The start in the time zone of the question (RFC 3339).
LocalTime = str

# What of an event is meant: `event_type`, `user_id`, or a place in the payload:
# `payload.plan`, nested as `payload.address.city`, the n-th item of an array from 0 as
# `payload.items[0]`. A name with dots, brackets or quotation marks is written as a JSON
# string in brackets: `payload["a.b"]`.
Field = str

# Any JSON value.
JSONValue = Any

# How to compare.
FilterOperator = Literal[
    "eq",
    "neq",
    "in",
    "not_in",
    "exists",
    "gt",
    "gte",
    "lt",
    "lte",
    "contains",
    "starts_with",
]

# How many of the filters have to fit: `all`, or `any`, at least one.
Match = Literal["all", "any"]

# What to work out. `count` counts events and `unique_users` users; the others need
# `value`: sum, mean, least and greatest number, and percentiles.
Metric = Literal[
    "count",
    "unique_users",
    "sum",
    "avg",
    "min",
    "max",
    "p50",
    "p90",
    "p95",
    "p99",
]

# The order of groups: by their number, or by their key. Groups of equal number follow
# in the order of their keys: null, false, true, numbers, strings by their bytes,
# arrays, objects. Groups without a number come last.
Order = Literal["value_desc", "value_asc", "key_asc", "key_desc"]

# The number over the whole range; null when there is none, as the mean of nothing. It
# may have more digits than a double can hold.
Number = Optional[Union[int, Decimal]]

# `loose`: other events may happen between two steps; `strict`: none of the funnel's
# steps may.
StepOrder = Literal["loose", "strict"]

# The length of a period.
CohortInterval = Literal["day", "week", "month"]

# The stable name of a kind of problem. `/problems` explains each. New versions may add
# some: a client goes by `status` where it doesn't know the code.
ProblemCode = Literal[
    "invalid_json",
    "invalid_encoding",
    "not_found",
    "method_not_allowed",
    "request_timeout",
    "content_too_large",
    "unsupported_media_type",
    "validation_failed",
    "query_too_expensive",
    "rate_limited",
    "internal",
    "overloaded",
    "unavailable",
]

# The stable name of a broken rule. New versions may add some. Named after the schema's
# keyword where there is one (`required`, `type`, `enum`, `minimum`, `maximum`,
# `min_length`, `max_length`, `pattern`, `format`, `max_properties`, `min_items`,
# `max_items`); the others are:
#
# * `unknown_field`: the schema has no such name; names are case-sensitive
# * `duplicate_field`: the same name twice in one object
# * `invalid_json`: an event of a batch isn't JSON
# * `too_large`: more bytes than allowed
# * `too_deep`: nested deeper than allowed
# * `nul_character`: text contains `\u0000`
# * `lone_surrogate`: text contains half of a surrogate pair
# * `number_out_of_range`: a number that can't be kept in full
# * `timestamp_in_future`: later than the clock allows
# * `timestamp_in_milliseconds`: looks like milliseconds; seconds are due
# * `duplicate_item`: the same item twice in one list
# * `not_applicable`: has no meaning beside the other values
# * `empty_range`: the end is before the beginning
# * `too_many_buckets`: the range has too many buckets of this interval
# * `unknown_time_zone`: no such time zone is known
# * `not_storable`: the database can't hold it, for a reason that no other code names
ViolationCode = Literal[
    "required",
    "type",
    "enum",
    "minimum",
    "maximum",
    "min_length",
    "max_length",
    "pattern",
    "format",
    "max_properties",
    "min_items",
    "max_items",
    "unknown_field",
    "duplicate_field",
    "invalid_json",
    "too_large",
    "too_deep",
    "nul_character",
    "lone_surrogate",
    "number_out_of_range",
    "timestamp_in_future",
    "timestamp_in_milliseconds",
    "duplicate_item",
    "not_applicable",
    "empty_range",
    "too_many_buckets",
    "unknown_time_zone",
    "not_storable",
]


_EventRequired = TypedDict(
    "_EventRequired",
    {
        # Who did it.
        "user_id": int,
        # What kind of event: a letter or digit, then letters, digits and `_ . : -`.
        "event_type": EventType,
        # When, in Unix seconds: from 2000-01-01 to an hour from now. Milliseconds are
        # refused.
        "timestamp": int,
    },
)
_EventOptional = TypedDict(
    "_EventOptional",
    {
        # A UUID of any version in canonical form (36 characters, lower case), not the
        # nil UUID. Together with `user_id` and `timestamp` it identifies the event.
        # Without one the server makes a UUIDv7.
        "event_id": EventId,
        # Whatever else is worth keeping: any JSON object of at most 64 KiB, at most 32
        # levels deep, with at most 256 names at the top. Numbers keep every digit; they
        # are at most 1,024 characters long and between 1e-308 and 1e308 in magnitude,
        # or 0. NUL characters (`\u0000`) can't be kept.
        "payload": Mapping[str, Any],
    },
    total=False,
)


class Event(_EventRequired, _EventOptional):
    """One thing that a user did."""


_EventEnvelopeRequired = TypedDict(
    "_EventEnvelopeRequired",
    {
        # Events, in any order.
        "events": "Sequence[Event]",
    },
)


class EventEnvelope(_EventEnvelopeRequired):
    """An object around the events."""


_FilterRequired = TypedDict(
    "_FilterRequired",
    {
        # What of an event is meant: `event_type`, `user_id`, or a place in the payload:
        # `payload.plan`, nested as `payload.address.city`, the n-th item of an array
        # from 0 as `payload.items[0]`. A name with dots, brackets or quotation marks is
        # written as a JSON string in brackets: `payload["a.b"]`.
        "field": Field,
        # How to compare.
        "op": FilterOperator,
    },
)
_FilterOptional = TypedDict(
    "_FilterOptional",
    {
        # Any JSON value.
        "value": JSONValue,
    },
    total=False,
)


class Filter(_FilterRequired, _FilterOptional):
    """A condition on an event. `null` stands for a field that isn't there; one that is
    there and null is no different.

    * `eq`, `neq`: equal to `value`, a string, number, boolean, or null; types are
      kept.
    * `in`, `not_in`: equal to one, or none, of the list `value`.
    * `exists`: there and not null; with the `value` false, the opposite.
    * `gt`, `gte`, `lt`, `lte`: compared with `value`, a number or a string; strings
      by their bytes. A field of another type never fits.
    * `contains`: a string that has the string `value` in it, or an array that has an
      item equal to `value`.
    * `starts_with`: a string that begins with the string `value`.
    """


_QueryRequired = TypedDict(
    "_QueryRequired",
    {
        # What to work out. `count` counts events and `unique_users` users; the others
        # need `value`: sum, mean, least and greatest number, and percentiles.
        "metric": Metric,
        # A point in time, in Unix seconds; up to the year 9998.
        "from": Instant,
        # A point in time, in Unix seconds; up to the year 9998.
        "to": Instant,
    },
)
_QueryOptional = TypedDict(
    "_QueryOptional",
    {
        # Event types; empty means all.
        "event_types": Sequence[EventType],
        # What of an event is meant: `event_type`, `user_id`, or a place in the payload:
        # `payload.plan`, nested as `payload.address.city`, the n-th item of an array
        # from 0 as `payload.items[0]`. A name with dots, brackets or quotation marks is
        # written as a JSON string in brackets: `payload["a.b"]`.
        "value": Field,
        # The length of a bucket. Days, weeks (from Monday) and months are those of the
        # calendar of a time zone.
        "interval": Interval,
        # A name of the IANA time zone database.
        "tz": TimeZone,
        # Up to three fields.
        "group_by": Sequence[Field],
        # Conditions on an event.
        "filters": "Sequence[Filter]",
        # How many of the filters have to fit: `all`, or `any`, at least one.
        "match": Match,
        # The order of groups: by their number, or by their key. Groups of equal number
        # follow in the order of their keys: null, false, true, numbers, strings by
        # their bytes, arrays, objects. Groups without a number come last.
        "order": Order,
        # How many groups to list at most; without it 100.
        "limit": int,
        # Whether the groups beyond `limit` are put together in `other`.
        "include_other": bool,
    },
    total=False,
)


class Query(_QueryRequired, _QueryOptional):
    """A question about events."""


_StepRequired = TypedDict(
    "_StepRequired",
    {
        # What kind of event: a letter or digit, then letters, digits and `_ . : -`.
        "event_type": EventType,
    },
)
_StepOptional = TypedDict(
    "_StepOptional",
    {
        # Conditions on an event.
        "filters": "Sequence[Filter]",
        # How many of the filters have to fit: `all`, or `any`, at least one.
        "match": Match,
    },
    total=False,
)


class Step(_StepRequired, _StepOptional):
    """A kind of event."""


_FunnelRequired = TypedDict(
    "_FunnelRequired",
    {
        # Two to ten steps.
        "steps": "Sequence[Step]",
        # How many seconds after the first step the last may be taken.
        "window": int,
        # A point in time, in Unix seconds; up to the year 9998.
        "from": Instant,
        # A point in time, in Unix seconds; up to the year 9998.
        "to": Instant,
    },
)
_FunnelOptional = TypedDict(
    "_FunnelOptional",
    {
        # `loose`: other events may happen between two steps; `strict`: none of the
        # funnel's steps may.
        "order": StepOrder,
        # Up to three fields.
        "group_by": Sequence[Field],
        # How many groups to list at most, those with the most users at the first step;
        # without it 100.
        "limit": int,
    },
    total=False,
)


class Funnel(_FunnelRequired, _FunnelOptional):
    """A question about a way that users go."""


_RetentionRequired = TypedDict(
    "_RetentionRequired",
    {
        # A kind of event.
        "first": "Step",
        # A kind of event.
        "returning": "Step",
        # The length of a period.
        "interval": CohortInterval,
        # A point in time, in Unix seconds; up to the year 9998.
        "from": Instant,
        # A point in time, in Unix seconds; up to the year 9998.
        "to": Instant,
    },
)
_RetentionOptional = TypedDict(
    "_RetentionOptional",
    {
        # A name of the IANA time zone database.
        "tz": TimeZone,
        # How many periods to follow a cohort, its own included; without it 12.
        "periods": int,
    },
    total=False,
)


class Retention(_RetentionRequired, _RetentionOptional):
    """A question about who comes back."""


@dataclass(frozen=True)
class Receipt:
    """The event was taken."""

    # Always `received`.
    status: Literal["received"]

    @classmethod
    def from_json(cls, value: object, at: str = "") -> "Receipt":
        """Read a JSON value; DecodeError tells what of it isn't as the contract says."""
        members = record(value, at)
        return cls(
            status=required(members, at, "status", choice),
        )


@dataclass(frozen=True)
class BatchReceipt:
    """What became of the events of a batch. The four numbers add up to the events sent.
    """

    # Events that this request stored.
    received: int
    # Events that were stored before, or stood in the batch before.
    duplicate: int
    # Events that break the contract.
    rejected: int
    # Events whose fate isn't known, because the database didn't answer in time.
    retry: int
    # The events that were not plainly received, in the order of the batch; with
    # `verbose=true` all of them.
    results: List[EventResult]

    @classmethod
    def from_json(cls, value: object, at: str = "") -> "BatchReceipt":
        """Read a JSON value; DecodeError tells what of it isn't as the contract says."""
        members = record(value, at)
        return cls(
            received=required(members, at, "received", integer),
            duplicate=required(members, at, "duplicate", integer),
            rejected=required(members, at, "rejected", integer),
            retry=required(members, at, "retry", integer),
            results=required(members, at, "results", array(EventResult.from_json)),
        )


@dataclass(frozen=True)
class EventResult:
    """What became of one event of a batch."""

    # The event's place in the batch, from 0.
    index: int
    # `received`: stored now; `duplicate`: stored before; `rejected`: breaks the
    # contract, sending it again is of no use; `retry`: send it again.
    status: EventResultStatus
    # A UUID of any version in canonical form (36 characters, lower case), not the nil
    # UUID. Together with `user_id` and `timestamp` it identifies the event. Without one
    # the server makes a UUIDv7.
    event_id: Optional[EventId] = None
    # Why it was rejected; pointers start at the event. At most 10 are listed.
    errors: Optional[List[Violation]] = None

    @classmethod
    def from_json(cls, value: object, at: str = "") -> "EventResult":
        """Read a JSON value; DecodeError tells what of it isn't as the contract says."""
        members = record(value, at)
        return cls(
            index=required(members, at, "index", integer),
            event_id=optional(members, at, "event_id", text),
            status=required(members, at, "status", choice),
            errors=optional(members, at, "errors", array(Violation.from_json)),
        )


@dataclass(frozen=True)
class Limits:
    """Bounds on what may be sent."""

    # The size of one event as JSON, alone or in a batch, in bytes.
    max_event_bytes: int
    # The size of an event's `payload` as JSON, in bytes.
    max_payload_bytes: int
    # Events in one request to `POST /events`.
    max_batch_events: int
    # The size of the body of `POST /events`, before and after decompression, in bytes.
    max_batch_bytes: int
    # How far ahead of the server's clock a `timestamp` may be, in seconds.
    max_future_skew_seconds: int
    # Requests of any size that one address may send in a minute; 0 means no limit.
    requests_per_minute: int

    @classmethod
    def from_json(cls, value: object, at: str = "") -> "Limits":
        """Read a JSON value; DecodeError tells what of it isn't as the contract says."""
        members = record(value, at)
        return cls(
            max_event_bytes=required(members, at, "max_event_bytes", integer),
            max_payload_bytes=required(members, at, "max_payload_bytes", integer),
            max_batch_events=required(members, at, "max_batch_events", integer),
            max_batch_bytes=required(members, at, "max_batch_bytes", integer),
            max_future_skew_seconds=required(members, at, "max_future_skew_seconds", integer),
            requests_per_minute=required(members, at, "requests_per_minute", integer),
        )


@dataclass(frozen=True)
class EventTypeStats:
    """How many events of a type there are."""

    # What kind of event: a letter or digit, then letters, digits and `_ . : -`.
    event_type: EventType
    # The number of events.
    count: int

    @classmethod
    def from_json(cls, value: object, at: str = "") -> "EventTypeStats":
        """Read a JSON value; DecodeError tells what of it isn't as the contract says."""
        members = record(value, at)
        return cls(
            event_type=required(members, at, "event_type", text),
            count=required(members, at, "count", integer),
        )


@dataclass(frozen=True)
class EventTypeStatsPage:
    """Event types and their counts."""

    # The most frequent first.
    event_types: List[EventTypeStats]
    # Where the next page begins; absent on the last.
    next_cursor: Optional[str] = None

    @classmethod
    def from_json(cls, value: object, at: str = "") -> "EventTypeStatsPage":
        """Read a JSON value; DecodeError tells what of it isn't as the contract says."""
        members = record(value, at)
        return cls(
            event_types=required(members, at, "event_types", array(EventTypeStats.from_json)),
            next_cursor=optional(members, at, "next_cursor", text),
        )


@dataclass(frozen=True)
class EventTypeSeries:
    """The counts of a type over time."""

    # What kind of event: a letter or digit, then letters, digits and `_ . : -`.
    event_type: EventType
    # The length of a bucket. Days, weeks (from Monday) and months are those of the
    # calendar of a time zone.
    interval: Interval
    # A name of the IANA time zone database.
    tz: TimeZone
    # A point in time, in Unix seconds; before 1970 it is negative.
    from_: Moment
    # A point in time, in Unix seconds; before 1970 it is negative.
    to: Moment
    # The number of events in the whole range.
    count: int
    # Every bucket that the range touches, the oldest first.
    points: List[Point]
    # The same for the period before, as many buckets long.
    previous: Optional[PreviousPeriod] = None

    @classmethod
    def from_json(cls, value: object, at: str = "") -> "EventTypeSeries":
        """Read a JSON value; DecodeError tells what of it isn't as the contract says."""
        members = record(value, at)
        return cls(
            event_type=required(members, at, "event_type", text),
            interval=required(members, at, "interval", choice),
            tz=required(members, at, "tz", text),
            from_=required(members, at, "from", integer),
            to=required(members, at, "to", integer),
            count=required(members, at, "count", integer),
            points=required(members, at, "points", array(Point.from_json)),
            previous=optional(members, at, "previous", PreviousPeriod.from_json),
        )


@dataclass(frozen=True)
class PreviousPeriod:
    """The same for the period before, as many buckets long."""

    # A point in time, in Unix seconds; before 1970 it is negative.
    from_: Moment
    # A point in time, in Unix seconds; before 1970 it is negative.
    to: Moment
    # The number of events in the period.
    count: int
    # Its buckets, one for each of the range's.
    points: List[Point]

    @classmethod
    def from_json(cls, value: object, at: str = "") -> "PreviousPeriod":
        """Read a JSON value; DecodeError tells what of it isn't as the contract says."""
        members = record(value, at)
        return cls(
            from_=required(members, at, "from", integer),
            to=required(members, at, "to", integer),
            count=required(members, at, "count", integer),
            points=required(members, at, "points", array(Point.from_json)),
        )


@dataclass(frozen=True)
class Point:
    """A bucket of time and how many events fell into it."""

    # A point in time, in Unix seconds; before 1970 it is negative.
    start: Moment
    # The start in the time zone of the question (RFC 3339).
    time: LocalTime
    # The number of events.
    count: int
    # Whether the count is not that of the whole bucket, because it isn't over yet or
    # the range cuts it.
    partial: bool

    @classmethod
    def from_json(cls, value: object, at: str = "") -> "Point":
        """Read a JSON value; DecodeError tells what of it isn't as the contract says."""
        members = record(value, at)
        return cls(
            start=required(members, at, "start", integer),
            time=required(members, at, "time", text),
            count=required(members, at, "count", integer),
            partial=required(members, at, "partial", boolean),
        )


@dataclass(frozen=True)
class QueryResult:
    """The answer to a question."""

    # What to work out. `count` counts events and `unique_users` users; the others need
    # `value`: sum, mean, least and greatest number, and percentiles.
    metric: Metric
    # A point in time, in Unix seconds; up to the year 9998.
    from_: Instant
    # A point in time, in Unix seconds; up to the year 9998.
    to: Instant
    # Up to three fields.
    group_by: List[Field]
    # The groups, in the order asked for. Without `group_by` there is one, with an empty
    # key.
    groups: List[Group]
    # The length of a bucket. Days, weeks (from Monday) and months are those of the
    # calendar of a time zone.
    interval: Optional[Interval] = None
    # A name of the IANA time zone database.
    tz: Optional[TimeZone] = None
    # With an `interval`, every bucket that the range touches, the oldest first.
    buckets: Optional[List[Bucket]] = None
    # All groups beyond the limit, together. Absent when there are none.
    other: Optional[OtherGroups] = None

    @classmethod
    def from_json(cls, value: object, at: str = "") -> "QueryResult":
        """Read a JSON value; DecodeError tells what of it isn't as the contract says."""
        members = record(value, at)
        return cls(
            metric=required(members, at, "metric", choice),
            from_=required(members, at, "from", integer),
            to=required(members, at, "to", integer),
            interval=optional(members, at, "interval", choice),
            tz=optional(members, at, "tz", text),
            group_by=required(members, at, "group_by", array(text)),
            buckets=optional(members, at, "buckets", array(Bucket.from_json)),
            groups=required(members, at, "groups", array(Group.from_json)),
            other=optional(members, at, "other", OtherGroups.from_json),
        )


@dataclass(frozen=True)
class Bucket:
    """A bucket of time."""

    # A point in time, in Unix seconds; before 1970 it is negative.
    start: Moment
    # The start in the time zone of the question (RFC 3339).
    time: LocalTime
    # Whether the bucket isn't over yet, or the range cuts it.
    partial: bool

    @classmethod
    def from_json(cls, value: object, at: str = "") -> "Bucket":
        """Read a JSON value; DecodeError tells what of it isn't as the contract says."""
        members = record(value, at)
        return cls(
            start=required(members, at, "start", integer),
            time=required(members, at, "time", text),
            partial=required(members, at, "partial", boolean),
        )


@dataclass(frozen=True)
class Group:
    """The events that are alike in what was grouped by."""

    # The value of each field of `group_by`, as it stands in the payload; null when
    # there is none.
    key: List[JSONValue]
    # The number over the whole range; null when there is none, as the mean of nothing.
    # It may have more digits than a double can hold.
    value: Number
    # With an `interval`, the number of each bucket.
    values: Optional[List[Number]] = None

    @classmethod
    def from_json(cls, value: object, at: str = "") -> "Group":
        """Read a JSON value; DecodeError tells what of it isn't as the contract says."""
        members = record(value, at)
        return cls(
            key=required(members, at, "key", array(anything)),
            value=required(members, at, "value", nullable(number)),
            values=optional(members, at, "values", array(nullable(number))),
        )


@dataclass(frozen=True)
class OtherGroups:
    """All groups beyond the limit, together. Absent when there are none."""

    # How many groups they are.
    groups: int
    # The number over the whole range; null when there is none, as the mean of nothing.
    # It may have more digits than a double can hold.
    value: Number
    # With an `interval`, the number of each bucket.
    values: Optional[List[Number]] = None

    @classmethod
    def from_json(cls, value: object, at: str = "") -> "OtherGroups":
        """Read a JSON value; DecodeError tells what of it isn't as the contract says."""
        members = record(value, at)
        return cls(
            groups=required(members, at, "groups", integer),
            value=required(members, at, "value", nullable(number)),
            values=optional(members, at, "values", array(nullable(number))),
        )


@dataclass(frozen=True)
class FunnelResult:
    """The users at each step."""

    # One entry for each step.
    steps: List[FunnelStep]
    # With `group_by`, the same for each group. A user belongs to that of their first
    # step.
    groups: Optional[List[FunnelGroup]] = None

    @classmethod
    def from_json(cls, value: object, at: str = "") -> "FunnelResult":
        """Read a JSON value; DecodeError tells what of it isn't as the contract says."""
        members = record(value, at)
        return cls(
            steps=required(members, at, "steps", array(FunnelStep.from_json)),
            groups=optional(members, at, "groups", array(FunnelGroup.from_json)),
        )


@dataclass(frozen=True)
class FunnelStep:
    """The users who took a step."""

    # How many users took it.
    users: int
    # Their share of the users who took the first step; 0 when nobody did.
    conversion: float
    # The median time since the step before, in seconds, of those who took this one
    # (nearest rank); null for the first step, and when nobody took it.
    median_seconds: Optional[int]

    @classmethod
    def from_json(cls, value: object, at: str = "") -> "FunnelStep":
        """Read a JSON value; DecodeError tells what of it isn't as the contract says."""
        members = record(value, at)
        return cls(
            users=required(members, at, "users", integer),
            conversion=required(members, at, "conversion", double),
            median_seconds=required(members, at, "median_seconds", nullable(integer)),
        )


@dataclass(frozen=True)
class FunnelGroup:
    """The funnel of one group."""

    # The value of each field of `group_by`, as it stands in the payload; null when
    # there is none.
    key: List[JSONValue]
    # One entry for each step.
    steps: List[FunnelStep]

    @classmethod
    def from_json(cls, value: object, at: str = "") -> "FunnelGroup":
        """Read a JSON value; DecodeError tells what of it isn't as the contract says."""
        members = record(value, at)
        return cls(
            key=required(members, at, "key", array(anything)),
            steps=required(members, at, "steps", array(FunnelStep.from_json)),
        )


@dataclass(frozen=True)
class RetentionResult:
    """Who came back."""

    # The length of a period.
    interval: CohortInterval
    # A name of the IANA time zone database.
    tz: TimeZone
    # One for each period that the range touches, the oldest first.
    cohorts: List[Cohort]

    @classmethod
    def from_json(cls, value: object, at: str = "") -> "RetentionResult":
        """Read a JSON value; DecodeError tells what of it isn't as the contract says."""
        members = record(value, at)
        return cls(
            interval=required(members, at, "interval", choice),
            tz=required(members, at, "tz", text),
            cohorts=required(members, at, "cohorts", array(Cohort.from_json)),
        )


@dataclass(frozen=True)
class Cohort:
    """The users who began in one period."""

    # A point in time, in Unix seconds; before 1970 it is negative.
    start: Moment
    # The start in the time zone of the question (RFC 3339).
    time: LocalTime
    # How many users it has.
    users: int
    # How many of them came back in the period itself, the next one, and so on, as far
    # as the range goes.
    returned: List[int]
    # The same as shares of `users`; 0 in an empty cohort.
    shares: List[float]

    @classmethod
    def from_json(cls, value: object, at: str = "") -> "Cohort":
        """Read a JSON value; DecodeError tells what of it isn't as the contract says."""
        members = record(value, at)
        return cls(
            start=required(members, at, "start", integer),
            time=required(members, at, "time", text),
            users=required(members, at, "users", integer),
            returned=required(members, at, "returned", array(integer)),
            shares=required(members, at, "shares", array(double)),
        )


@dataclass(frozen=True)
class StoredEvent:
    """An event as it is kept."""

    # Who did it.
    user_id: int
    # What kind of event: a letter or digit, then letters, digits and `_ . : -`.
    event_type: EventType
    # When, in Unix seconds.
    timestamp: int
    # A UUID of any version in canonical form (36 characters, lower case), not the nil
    # UUID. Together with `user_id` and `timestamp` it identifies the event. Without one
    # the server makes a UUIDv7.
    event_id: EventId
    # Equal to what was sent; the order of names may differ. Absent when there was none.
    payload: Optional[Dict[str, Any]] = None

    @classmethod
    def from_json(cls, value: object, at: str = "") -> "StoredEvent":
        """Read a JSON value; DecodeError tells what of it isn't as the contract says."""
        members = record(value, at)
        return cls(
            user_id=required(members, at, "user_id", integer),
            event_type=required(members, at, "event_type", text),
            timestamp=required(members, at, "timestamp", integer),
            event_id=required(members, at, "event_id", text),
            payload=optional(members, at, "payload", record),
        )


@dataclass(frozen=True)
class EventPage:
    """A page of events."""

    # The newest first.
    events: List[StoredEvent]
    # Where the next page begins; absent on the last.
    next_cursor: Optional[str] = None

    @classmethod
    def from_json(cls, value: object, at: str = "") -> "EventPage":
        """Read a JSON value; DecodeError tells what of it isn't as the contract says."""
        members = record(value, at)
        return cls(
            events=required(members, at, "events", array(StoredEvent.from_json)),
            next_cursor=optional(members, at, "next_cursor", text),
        )


@dataclass(frozen=True)
class Problem:
    """Why a request failed (RFC 9457)."""

    # Identifies the kind of problem; ends in `code`.
    type: str
    # The kind of problem in words; the same for every problem of this type.
    title: str
    # The HTTP status code.
    status: int
    # The stable name of a kind of problem. `/problems` explains each. New versions may
    # add some: a client goes by `status` where it doesn't know the code.
    code: ProblemCode
    # What went wrong this time, and what to do about it.
    detail: Optional[str] = None
    # Every violation, when `code` is `validation_failed`.
    errors: Optional[List[Violation]] = None

    @classmethod
    def from_json(cls, value: object, at: str = "") -> "Problem":
        """Read a JSON value; DecodeError tells what of it isn't as the contract says."""
        members = record(value, at)
        return cls(
            type=required(members, at, "type", text),
            title=required(members, at, "title", text),
            status=required(members, at, "status", integer),
            code=required(members, at, "code", choice),
            detail=optional(members, at, "detail", text),
            errors=optional(members, at, "errors", array(Violation.from_json)),
        )


@dataclass(frozen=True)
class Violation:
    """One value that breaks the contract."""

    # Where: a JSON Pointer (RFC 6901) into the body, or `#path/name`, `#query/name`,
    # `#header/name` for a parameter.
    pointer: str
    # The stable name of a broken rule. New versions may add some. Named after the
    # schema's keyword where there is one (`required`, `type`, `enum`, `minimum`,
    # `maximum`, `min_length`, `max_length`, `pattern`, `format`, `max_properties`,
    # `min_items`, `max_items`); the others are:
    #
    # * `unknown_field`: the schema has no such name; names are case-sensitive
    # * `duplicate_field`: the same name twice in one object
    # * `invalid_json`: an event of a batch isn't JSON
    # * `too_large`: more bytes than allowed
    # * `too_deep`: nested deeper than allowed
    # * `nul_character`: text contains `\u0000`
    # * `lone_surrogate`: text contains half of a surrogate pair
    # * `number_out_of_range`: a number that can't be kept in full
    # * `timestamp_in_future`: later than the clock allows
    # * `timestamp_in_milliseconds`: looks like milliseconds; seconds are due
    # * `duplicate_item`: the same item twice in one list
    # * `not_applicable`: has no meaning beside the other values
    # * `empty_range`: the end is before the beginning
    # * `too_many_buckets`: the range has too many buckets of this interval
    # * `unknown_time_zone`: no such time zone is known
    # * `not_storable`: the database can't hold it, for a reason that no other code
    #   names
    code: ViolationCode
    # The rule, in words.
    detail: str

    @classmethod
    def from_json(cls, value: object, at: str = "") -> "Violation":
        """Read a JSON value; DecodeError tells what of it isn't as the contract says."""
        members = record(value, at)
        return cls(
            pointer=required(members, at, "pointer", text),
            code=required(members, at, "code", choice),
            detail=required(members, at, "detail", text),
        )
