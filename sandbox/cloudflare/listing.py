"""Paging, filters and order of the list calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.datastructures import QueryParams

from sandbox.cloudflare.envelope import invalid

Record = dict[str, Any]
ORDERS = ("type", "name", "content", "ttl", "proxied")
_TESTS: dict[str, Callable[[str, str], bool]] = {
    "": lambda have, want: have == want,
    "exact": lambda have, want: have == want,
    "contains": lambda have, want: want in have,
    "startswith": lambda have, want: have.startswith(want),
    "endswith": lambda have, want: have.endswith(want),
}
_KNOWN = {"type", "match", "page", "per_page", "order", "direction", "search", "proxied", "tag_match"}


def paging(query: QueryParams, *, default: int, least: int, most: int) -> tuple[int, int]:
    """Page (from 1) and page size. Raises ApiError when outside the limits."""
    try:
        page, per_page = int(query.get("page", "1")), int(query.get("per_page", str(default)))
    except ValueError:
        raise invalid(9207, "page and per_page must be whole numbers.") from None
    if page < 1 or not least <= per_page <= most:
        raise invalid(9207, f"page begins at 1 and per_page must be between {least} and {most}.")
    return page, per_page


def select(records: list[Record], query: QueryParams) -> list[Record]:
    """The records that match the query's filters, in its order. Raises ApiError for a filter unknown here."""
    tests = [_test(key, value) for key, value in query.multi_items() if key not in ("page", "per_page")]
    active = [test for test in tests if test is not None]
    combine = any if query.get("match", "all") == "any" and active else all
    found = [record for record in records if combine(test(record) for test in active)]
    order = query.get("order")
    if order is not None:
        if order not in ORDERS:
            raise invalid(9207, f"order must be one of {', '.join(ORDERS)}.")
        found.sort(key=lambda record: record[order], reverse=query.get("direction") == "desc")
    return found


def _test(key: str, value: str) -> Callable[[Record], bool] | None:
    field, _, how = key.partition(".")
    if key == "type":
        return lambda record: record["type"] == value.upper()
    if key == "proxied":
        return lambda record: record["proxied"] == (value == "true")
    if key == "search":
        return lambda record: value in f"{record['name']} {record['content']} {record['comment'] or ''}"
    if key in _KNOWN:
        return None
    if field == "comment" and how in ("present", "absent"):
        return lambda record: (record["comment"] is not None) == (how == "present")
    if field in ("name", "content", "comment") and how in _TESTS:
        wanted = value.lower() if field == "name" else value
        return lambda record: _TESTS[how](record[field] or "", wanted)
    raise invalid(9207, f"unknown filter {key}.")
