"""Reading the values of an answer, and saying where one isn't as the contract says.

A decoder takes a JSON value, as the module json makes it with parse_float=Decimal,
and its place in the answer as a JSON Pointer.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Callable, Dict, List, Mapping, Optional, TypeVar, Union

T = TypeVar("T")
Decoder = Callable[[object, str], T]


class DecodeError(ValueError):
    """The answer isn't what the contract says: is there a server of this kind?"""

    def __init__(self, at: str, want: str, value: object) -> None:
        super().__init__(f"the answer has at {at or '/'} no {want} but {type(value).__name__}")


def required(members: Mapping[str, object], at: str, name: str, decoder: Decoder[T]) -> T:
    if name not in members:
        raise DecodeError(f"{at}/{name}", "value", None)
    return decoder(members[name], f"{at}/{name}")


def optional(members: Mapping[str, object], at: str, name: str, decoder: Decoder[T]) -> Optional[T]:
    return required(members, at, name, decoder) if name in members else None


def nullable(decoder: Decoder[T]) -> Decoder[Optional[T]]:
    return lambda value, at: None if value is None else decoder(value, at)


def array(decoder: Decoder[T]) -> Decoder[List[T]]:
    def decode(value: object, at: str) -> List[T]:
        if not isinstance(value, list):
            raise DecodeError(at, "array", value)
        return [decoder(item, f"{at}/{i}") for i, item in enumerate(value)]

    return decode


def record(value: object, at: str) -> Dict[str, Any]:
    if not isinstance(value, dict):
        raise DecodeError(at, "object", value)
    return value


def text(value: object, at: str) -> str:
    if not isinstance(value, str):
        raise DecodeError(at, "string", value)
    return value


def choice(value: object, at: str) -> Any:
    """A string of an enum. Any string is taken: new versions may add some."""
    return text(value, at)


def integer(value: object, at: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise DecodeError(at, "integer", value)
    return value


def number(value: object, at: str) -> Union[int, Decimal]:
    if not isinstance(value, (int, Decimal)) or isinstance(value, bool):
        raise DecodeError(at, "number", value)
    return value


def double(value: object, at: str) -> float:
    return float(number(value, at))


def boolean(value: object, at: str) -> bool:
    if not isinstance(value, bool):
        raise DecodeError(at, "boolean", value)
    return value


def anything(value: object, at: str) -> Any:
    return value
