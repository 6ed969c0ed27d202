"""JSON that keeps every digit: numbers with a fraction are Decimal, both ways."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, Mapping


class NotJSON(TypeError):
    """A value of a type that JSON doesn't have. The text names the type, and no value."""


class _HasDecimal(Exception):
    """The encoder of the standard library met what only ours can write."""


def _refuse(value: object) -> Any:
    if isinstance(value, Decimal):
        raise _HasDecimal
    if isinstance(value, Mapping):
        return dict(value)
    raise NotJSON(f"{type(value).__name__} is nothing that JSON has")


# Written in C, unlike an encoder that is told to write Decimals.
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_refuse).encode


def encode(value: object) -> bytes:
    """Return a value as JSON in UTF-8, compact.

    Raises TypeError, ValueError or RecursionError for what JSON can't say.
    """
    try:
        return _encode(value).encode("utf-8")
    except _HasDecimal:
        return _encode_exactly(value).encode("utf-8")


def _encode_exactly(value: object) -> str:
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise ValueError(f"{value} is no number that JSON has")
        return str(value)
    if isinstance(value, Mapping):
        members = []
        for name, member in value.items():
            if not isinstance(name, str):
                (name,) = json.loads(_encode({name: None}))  # as the other encoder does
            members.append(_encode(name) + ":" + _encode_exactly(member))
        return "{" + ",".join(members) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(_encode_exactly, value)) + "]"
    return _encode(value)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} isn't JSON")


def decode(text: bytes) -> Any:
    """Return the value of a JSON text. Raises ValueError if it isn't one."""
    return json.loads(text.decode("utf-8"), parse_float=Decimal, parse_constant=_no_constant)
