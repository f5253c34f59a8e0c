"""The failures that routes have in common, each brought about once."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from starlette.requests import Request

from shared.identity import Identity
from shared.ids import new_id
from shared.web.idempotency import Idempotency
from tests.examples.house import House
from tests.examples.spelling import Spelling
from tests.isolation import people
from tests.isolation.caller import Answer, call
from tests.isolation.stage import gateway_for

Failure = Callable[[House], Awaitable[Answer]]
WORKSPACES: Final = "/v1/workspaces"
PUBLIC: Final = "/v1/auth/jwks"


async def problem(house: House, code: str) -> dict[str, Any]:
    """The problem document. Raises AssertionError when it is another."""
    now = datetime.now(UTC)
    answer = await PROBLEMS[code](house)
    told: dict[str, Any] = json.loads(answer.body)
    assert told["code"] == code, answer.body
    spelled: dict[str, Any] = Spelling(now).spell(told, "")
    return spelled | {"code": code}


async def _no_key(house: House) -> Answer:
    headers = (await house.stage.person()).headers
    return await house.stage.ask("POST", WORKSPACES, headers, {"name": "Mill"})


async def _nobody(house: House) -> Answer:
    return await house.ask("GET", "/v1/me")


async def _stale(house: House) -> Answer:
    person = await house.stage.person(signed_in=timedelta(hours=1))
    return await house.ask("DELETE", "/v1/auth/sessions", None, person.headers)


async def _member(house: House) -> Answer:
    owner, guest = await house.stage.person(), await house.stage.person()
    await people.join(house.world, owner.customer, guest.account_id, "member")
    await house.stage.learn()
    path = f"{WORKSPACES}/{owner.workspace_id}/invitations"
    return await house.ask("POST", path, {"email": "ada@people.test"}, guest.headers)


async def _unknown(house: House) -> Answer:
    return await house.ask("GET", f"{WORKSPACES}/{new_id('ws')}", None, (await house.stage.person()).headers)


async def _at_work(house: House) -> Answer:
    """The first request has not come to its end: it holds the key."""
    person, key = await house.stage.person(), new_id("req")
    identity = Identity(
        kind="user", subject=person.account_id, workspace_id=None, role=None, permissions=frozenset(),
        scopes=frozenset(), session_id=None, auth_time=None, issuer="gateway", request_id=new_id("req"),
    )  # fmt: skip
    scope = {"type": "http", "method": "POST", "path": WORKSPACES, "headers": [], "query_string": b""}
    first = Request({**scope, "server": ("auth", 80), "scheme": "http", "state": {"identity": identity}})
    async with house.world.databases["auth"].transaction() as session:
        guard = Idempotency(first, session, key)
        assert await guard._lock(guard._route, key)
        headers = {**person.headers, "Idempotency-Key": key}
        return await house.ask("POST", WORKSPACES, {"name": "Mill"}, headers)


async def _rename(house: House, **headers: str) -> Answer:
    owner = await house.stage.person()
    path = f"{WORKSPACES}/{owner.workspace_id}"
    said = owner.headers | {name.replace("_", "-"): value for name, value in headers.items()}
    return await house.stage.ask("PATCH", path, said, {"name": "Mill"})


async def _overwriting(house: House) -> Answer:
    return await _rename(house, If_Match='"1000"')


async def _unseen(house: House) -> Answer:
    return await _rename(house)


async def _misshapen(house: House) -> Answer:
    return await house.ask("POST", WORKSPACES, {}, (await house.stage.person()).headers)


async def _too_often(house: House) -> Answer:
    directory = Path(house.stage.gateway.settings.services_dir)
    return await _of_gateway(house, directory, times=2, rate_limit_public=1)


async def _away(house: House) -> Answer:
    """No service is there to be reached."""
    with TemporaryDirectory() as nothing:
        return await _of_gateway(house, Path(nothing))


async def _of_gateway(house: House, directory: Path, times: int = 1, **settings: Any) -> Answer:
    gateway = gateway_for(house.world.trust, directory, **settings)
    try:
        answers = [await call(gateway, "GET", PUBLIC, headers={}) for _ in range(times)]
    finally:
        await gateway.stop()
    return answers[-1]


PROBLEMS: dict[str, Failure] = {
    "idempotency_key_missing": _no_key,
    "unauthenticated": _nobody,
    "step_up_required": _stale,
    "forbidden": _member,
    "not_found": _unknown,
    "idempotency_in_flight": _at_work,
    "precondition_failed": _overwriting,
    "invalid": _misshapen,
    "precondition_required": _unseen,
    "too_many_requests": _too_often,
    "unavailable": _away,
}
