"""Calls every route as the owner of a workspace, and the shared failures, and spells what was said.

A call is made of what the isolation tests know: a fresh thing for the path, a body for the request, something in each
list; or of a state of `states.py`, where that is not enough for a success.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from tests.examples.house import House
from tests.examples.problems import PROBLEMS, problem
from tests.examples.request import Request
from tests.examples.spelling import Spelling
from tests.examples.states import STATES
from tests.isolation.caller import Answer
from tests.isolation.cases import CASES, Case
from tests.isolation.lists import LISTED
from tests.isolation.matrix import body_of, make
from tests.isolation.stage import Person


async def of_route(house: House, case: Case) -> dict[str, Any]:
    """The example of a route. Raises AssertionError when it is not a success."""
    owner = await house.stage.person()
    request = await (STATES[case.name](house, owner) if case.name in STATES else _fresh(house, case, owner))
    path = request.path.replace("{workspace_id}", owner.workspace_id)
    now = datetime.now(UTC)
    answer = await house.ask(case.method, path, request.body, {**owner.headers, **request.headers})
    assert answer.status < 400, f"{case.name}: {answer.status} {answer.body!r}"
    spelling = Spelling(now)
    spelling.spell(path)
    example: dict[str, Any] = {}
    if request.body is not None:
        example["request"] = {_media_type(request): spelling.spell(_said(request.body))}
    example["status"] = str(answer.status)
    example["answer"] = _told(answer, spelling)
    return example


async def _fresh(house: House, case: Case, owner: Person) -> Request:
    made = await make(house.world, case, owner.customer)
    body = await body_of(house.world, case, owner.customer, made)
    if case.name in LISTED:
        await LISTED[case.name](house.world, owner.customer)
    await house.stage.learn()
    return Request(case.at(owner.workspace_id, made.id if made else None), body)


def _media_type(request: Request) -> str:
    return request.headers.get("Content-Type", "application/json")


def _said(body: Any) -> Any:
    """The members of a form."""
    return dict(parse_qsl(body.decode())) if isinstance(body, bytes) else body


def _told(answer: Answer, spelling: Spelling) -> dict[str, Any]:
    media_type = answer.media_type.partition(";")[0]
    if not answer.body:
        return {}
    if media_type == "application/json":
        return {media_type: spelling.spell(json.loads(answer.body))}
    text = answer.body.decode()
    if media_type == "text/event-stream":  # up to the first event; its number counts what others did before
        text = re.sub(r"(?s)^(.*?)id: \d+(\n.*?\n\n).*", r"\1id: 1\2", text)
    return {media_type: spelling.spell(text)}


async def recorded(house: House) -> dict[str, Any]:
    """All of it, in the order of the route table."""
    return {
        "problems": {code: await problem(house, code) for code in PROBLEMS},
        "routes": {case.name: await of_route(house, case) for case in CASES},
    }
