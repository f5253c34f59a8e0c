"""JSON that has one meaning (RFC 8259 section 4 leaves duplicate names open; RFC 7493, I-JSON, does not).

A service's parser sees the very bytes that were read here: nothing is rewritten. What two parsers may understand
differently, or what costs them more than it is worth, goes no further.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

MAX_DEPTH: Final = 32
MAX_MEMBERS: Final = 1000
MAX_VALUES: Final = 20_000
MAX_STRING: Final = 64 * 1024
MAX_INTEGER: Final = 2**53 - 1
"""Beyond it some parsers round (RFC 7493 section 2.2)."""
_SURROGATE: Final = re.compile(rb"\\u[dD][89a-fA-F]")


class BadJson(ValueError):
    """`reason` is for the caller and holds nothing of the body."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Leaf:
    """One string of a document. `member` is the name that it stands under, the nearest one for a list's items;
    `is_name` tells a member's name itself."""

    member: str
    text: str = field(repr=False)
    is_name: bool = False


def read(body: bytes) -> tuple[Any, list[Leaf]]:
    """The value and all strings in it. Raises BadJson."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise BadJson("The body is not UTF-8.") from None
    try:
        value = _DECODER.decode(text)
    except BadJson:
        raise
    except RecursionError:
        raise BadJson(f"The body is nested deeper than {MAX_DEPTH} levels.") from None
    except ValueError:
        raise BadJson("The body is not JSON.") from None
    if _SURROGATE.search(body):
        _refuse_lone_surrogates(value)
    return value, list(_leaves(value))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MAX_MEMBERS:
        raise BadJson(f"The body has more than {MAX_MEMBERS} members.")
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadJson("A member is named twice.")
    return found


def _integer(text: str) -> int:
    if len(text) > 17 or abs(int(text)) > MAX_INTEGER:
        raise BadJson("A whole number is beyond 2^53 - 1; send it as a string.")
    return int(text)


def _float(text: str) -> float:
    number = float(text) if len(text) <= 64 else float("inf")
    if number in (float("inf"), float("-inf")):
        raise BadJson("A number is too long or too large.")
    return number


def _constant(text: str) -> NoReturn:
    raise BadJson(f"{text} is not JSON.")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant, strict=True
)


def _leaves(root: Any) -> Iterator[Leaf]:
    """All strings, in no promised order, without recursion; counts members, values and levels on the way."""
    members = values = 0
    stack: list[tuple[str, Any, int]] = [("", root, 1)]
    while stack:
        name, value, depth = stack.pop()
        values += 1
        if isinstance(value, str):
            yield Leaf(name, _bounded(value))
            continue
        if not isinstance(value, dict | list):
            continue
        if depth > MAX_DEPTH:
            raise BadJson(f"The body is nested deeper than {MAX_DEPTH} levels.")
        if isinstance(value, dict):
            members += len(value)
            for key, item in value.items():
                yield Leaf(key, _bounded(key), is_name=True)
                stack.append((key, item, depth + 1))
        else:
            stack += [(name, item, depth + 1) for item in value]
        if members > MAX_MEMBERS or len(stack) + values > MAX_VALUES:
            raise BadJson(f"The body has more than {MAX_MEMBERS} members or {MAX_VALUES} values.")


def _bounded(text: str) -> str:
    if len(text) > MAX_STRING:
        raise BadJson(f"A string has more than {MAX_STRING} characters.")
    if "\0" in text:
        raise BadJson("A string holds the character U+0000.")
    return text


def _refuse_lone_surrogates(value: Any) -> None:
    """Half a character (RFC 8259 section 8.2) cannot be written as UTF-8 again."""
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise BadJson("A string holds half of a surrogate pair.") from None
