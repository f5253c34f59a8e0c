"""Lists: `{"items": […], "next_cursor": null | "…"}`, `?limit=` up to 100, `?cursor=` from the page before.

A cursor is the sort key of the last item seen, opaque to callers, with a mark of the list that it was given for: its
path, its filters, its workspace or person. In any other list it is refused. It grants nothing, so it is not signed
(docs/adr/0007): rows are still chosen by the caller's own rights.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final, Generic, TypeVar

from fastapi import Depends, Query, Request
from pydantic import BaseModel

from shared.errors import DomainError
from shared.identity.model import Identity

T = TypeVar("T")
R = TypeVar("R")
_PAGING: Final = ("limit", "cursor")


class CursorRefused(DomainError):
    status = 422
    code = "cursor_refused"
    title = "The cursor is not one of ours"


class Page(BaseModel, Generic[T]):
    items: list[T]
    next_cursor: str | None = None


def encode_cursor(mark: str, *values: str | int) -> str:
    raw = json.dumps((mark, *values), separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def decode_cursor(mark: str, cursor: str) -> list[str | int]:
    """The values given to `encode_cursor` with this mark; `CursorRefused` (field `query.cursor`) for anything else."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        values = json.loads(raw)
    except (ValueError, binascii.Error, RecursionError) as error:
        raise _bad_cursor() from error
    if not isinstance(values, list) or not all(type(value) in (str, int) for value in values):
        raise _bad_cursor()
    if len(values) < 2 or values[0] != mark:
        raise _bad_cursor("It was given for another list, or for other filters.")
    return values[1:]


def mark_of(request: Request) -> str:
    """Of one list: its path and filters, and for lists outside of a workspace whose it is."""
    identity: Identity | None = getattr(request.state, "identity", None)
    whose = (identity.workspace_id or identity.subject) if identity else None
    filters = sorted(item for item in request.query_params.multi_items() if item[0] not in _PAGING)
    place = json.dumps([whose, request.url.path, filters]).encode()
    return hashlib.sha256(place).hexdigest()[:16]


def _text(value: str | int) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise _bad_cursor()
    return value


def _bad_cursor(detail: str = "") -> CursorRefused:
    return CursorRefused(detail, field="query.cursor", next_action="Start at the first page.")


@dataclass(frozen=True)
class PageRequest:
    """`after` is the decoded cursor: the sort key of the last item that the caller has."""

    limit: int
    after: list[str | int] | None
    mark: str

    @property
    def after_id(self) -> str | None:
        """The cursor of lists that are sorted by id alone."""
        texts = self.after_texts(1)
        return None if texts is None else texts[0]

    def after_texts(self, count: int) -> tuple[str, ...] | None:
        """The cursor of lists that are sorted by `count` texts. Raises CursorRefused."""
        if self.after is None:
            return None
        if len(self.after) != count:
            raise _bad_cursor()
        return tuple(_text(value) for value in self.after)

    def after_moment(self) -> tuple[datetime, str] | None:
        """The cursor of lists that are sorted by a moment, then by id. Raises CursorRefused."""
        texts = self.after_texts(2)
        if texts is None:
            return None
        try:
            moment = datetime.fromisoformat(texts[0])
        except ValueError as error:
            raise _bad_cursor() from error
        if moment.tzinfo is None:
            raise _bad_cursor()
        return moment, texts[1]

    def page(self, rows: Sequence[R], view: Callable[[R], T], key: Callable[[R], Any]) -> Page[T]:
        """A page from up to `limit + 1` rows: the extra one only says that there are more."""
        shown = rows[: self.limit]
        more = len(rows) > self.limit
        last = key(shown[-1]) if more else None
        cursor = None if last is None else self._cursor_of(last)
        return Page(items=[view(row) for row in shown], next_cursor=cursor)

    def _cursor_of(self, key: Any) -> str:
        return encode_cursor(self.mark, *(key if isinstance(key, tuple) else (key,)))


async def _page_request(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    cursor: Annotated[str | None, Query(min_length=1, max_length=512, pattern=r"^[A-Za-z0-9_-]+$")] = None,
) -> PageRequest:
    mark = mark_of(request)
    return PageRequest(limit, None if cursor is None else decode_cursor(mark, cursor), mark)


PageDep = Annotated[PageRequest, Depends(_page_request)]
