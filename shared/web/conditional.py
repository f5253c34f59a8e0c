"""Changes of what somebody else may have changed meanwhile: `ETag` and `If-Match` (RFC 9110, sections 8.8.3, 13.1.1).

A thing with a version answers with `ETag: "<version>"`. A route that depends on `IfMatchDep` wants that tag back: 428
without the header (RFC 6585), 412 when the thing has moved on. `*` matches any version.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import Depends, Header
from pydantic import WithJsonSchema

from shared.errors import DomainError

_TAGS: Final = re.compile(r'\s*(W/)?"([\x21\x23-\x7e]*)"\s*')


class PreconditionRequired(DomainError):
    status = 428
    code = "precondition_required"
    title = "This request needs an If-Match header"


class PreconditionFailed(DomainError):
    status = 412
    code = "precondition_failed"
    title = "It was changed in the meantime"


def etag(version: int | str) -> str:
    return f'"{version}"'


@dataclass(frozen=True)
class IfMatch:
    """What the caller has seen. `tags` None stands for `*`."""

    tags: frozenset[str] | None

    def check(self, version: int | str) -> None:
        """To be called under the thing's lock. Raises PreconditionFailed."""
        if self.tags is not None and etag(version) not in self.tags:
            raise PreconditionFailed(next_action="Read it again, then repeat the change with the new ETag.")


def parse(header: str) -> IfMatch:
    """Weak tags never match, since the comparison is the strong one. Raises PreconditionFailed for what is no tag."""
    if header.strip() == "*":
        return IfMatch(None)
    found = [_TAGS.fullmatch(part) for part in header.split(",")]
    if not all(found):
        raise PreconditionFailed("If-Match holds something that is no entity tag.")
    return IfMatch(frozenset(f'"{match[2]}"' for match in found if match and not match[1]))


async def _if_match(
    header: Annotated[
        str | None,
        WithJsonSchema({"type": "string", "maxLength": 512, "pattern": r'^(\*|"[!#-~]*")$'}),
        Header(alias="If-Match", max_length=512, description="ETag of what is to be changed"),
    ] = None,
) -> IfMatch:
    if header is None:
        raise PreconditionRequired(next_action="Read it first and send its ETag in If-Match.")
    return parse(header)


IfMatchDep = Annotated[IfMatch, Depends(_if_match)]
