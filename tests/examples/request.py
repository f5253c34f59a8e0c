"""A request that is going to succeed, and how it comes to be one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

from tests.examples.house import House
from tests.isolation.stage import Person

WORKSPACE: Final = "/v1/workspaces/{workspace_id}"


@dataclass(frozen=True)
class Request:
    """`path` as in the table, with ids in it. Headers replace those of the owner."""

    path: str
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


State = Callable[[House, Person], Awaitable[Request]]
