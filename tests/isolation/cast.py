"""Who asks: every kind of principal, as data, with real credentials.

Each is one row of `PRINCIPALS`: a name and the column of `expected.csv` that says what becomes of its requests.
`cast` makes all of them for two fresh customers A and B (and C, whose workspace is being deleted).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import update

from services.auth.access_tokens import AUDIENCE, AccessTokens
from services.auth.mail_links import MailLinkSigner
from shared.clock import SystemClock
from shared.identity import (
    HEADER,
    TokenSigner,
    generate_private_pem,
    key_id,
    mint_internal,
    public_pem_of,
)
from shared.ids import new_id
from tests.isolation import factories, people
from tests.isolation.cases import TABLE
from tests.isolation.world import Customer, World

PRINCIPALS: Mapping[str, str] = {
    "anonymous": "nobody",
    "expired access token": "nobody",
    "access token for another audience": "nobody",
    "access token of an unknown key": "nobody",
    "access token of an ended session": "nobody",
    "refresh token as access token": "nobody",
    "invitation as access token": "nobody",
    "internal token as access token": "nobody",
    "forged X-SC-Identity": "nobody",
    "expired key": "nobody",
    "revoked key": "nobody",
    "key whose maker has left": "nobody",
    "owner of B": "stranger",
    "owner of B with A's X-SC-Identity": "stranger",
    "removed owner of A": "stranger",
    "owner of A": "owner",
    "admin of A": "admin",
    "member of A": "member",
    "member of A, admin of B": "member",
    "key with just the scope": "key",
    "key with all but the scope": "other_key",
    "key of B with every scope": "foreign_key",
    "owner of A, signed in an hour ago": "stale_owner",
    "owner of a workspace that is being deleted": "ending_owner",
}
OF_B = frozenset({"owner of B", "owner of B with A's X-SC-Identity", "key of B with every scope"})
"""Those for whom B is not foreign; also the member of both."""
MEMBER_OF_BOTH = "member of A, admin of B"
COLUMNS = tuple(dict.fromkeys(PRINCIPALS.values()))


@dataclass(frozen=True)
class Cast:
    a: Customer
    b: Customer
    c: Customer
    credentials: dict[str, dict[str, str]]
    """principal → headers."""

    def home(self, principal: str) -> Customer:
        """Whose workspace the principal's requests are about."""
        return self.c if PRINCIPALS[principal] == "ending_owner" else self.a


@dataclass(frozen=True)
class _Person:
    account_id: str
    session_id: str


async def cast(world: World, scope: str | None) -> Cast:
    """`scope` is what opens the route to API keys."""
    a, b, c = (factories.customers.customer(name) for name in "ABC")
    for one in (a, b, c):
        await factories.customers.admit(world, one)
    issuer = world.apps["auth"].state.settings.public_url
    tokens = AccessTokens(
        world.apps["auth"].state.settings.access_key_file.read_bytes(), issuer, SystemClock()
    )

    async def person(account_id: str | None = None, **roles: str) -> _Person:
        found = account_id or await people.account(world)
        for name, role in roles.items():
            await people.join(world, {"a": a, "b": b}[name], found, role)
        return _Person(found, await people.session(world, found))

    def bearer(
        one: _Person, issued_by: AccessTokens = tokens, age: timedelta = timedelta()
    ) -> dict[str, str]:
        token = issued_by.issue(
            account_id=one.account_id, session_id=one.session_id, authenticated_at=datetime.now(UTC) - age
        )
        return {"Authorization": f"Bearer {token}"}

    owner = await person(a.account_id)
    admin, member = await person(a="admin"), await person(a="member")
    both = await person(a="member", b="admin")
    removed = await person(a="owner")
    ended = _Person(a.account_id, await people.session(world, a.account_id, revoked_at=datetime.now(UTC)))
    pem = world.apps["auth"].state.settings.access_key_file.read_bytes()
    owner_identity = world.trust.user("auth", workspace_id=a.workspace_id, account_id=a.account_id)
    scopes = set(people.scopes())
    keys = _Keys(world)
    credentials: dict[str, dict[str, str]] = {
        "anonymous": {},
        "expired access token": bearer(owner, AccessTokens(pem, issuer, _Past())),
        "access token for another audience": _bearer(_other_audience(pem, issuer, owner)),
        "access token of an unknown key": bearer(
            owner, AccessTokens(generate_private_pem(), issuer, SystemClock())
        ),
        "access token of an ended session": bearer(ended),
        "refresh token as access token": _bearer("sc_rt_" + "A" * 43),
        "invitation as access token": _bearer(
            MailLinkSigner(world.mail_key, SystemClock()).sign(
                "invite+jwt",
                new_id("inv"),
                expires_at=datetime.now(UTC) + timedelta(days=1),
                ws=a.workspace_id,
            )
        ),
        "internal token as access token": _bearer(owner_identity[HEADER]),
        "forged X-SC-Identity": {HEADER: _forged(a)},
        "expired key": await keys.expired(a),
        "revoked key": await keys.revoked(a),
        "key whose maker has left": await keys.make(replace(a, account_id=removed.account_id), scopes),
        "owner of B": bearer(await person(b.account_id)),
        "owner of B with A's X-SC-Identity": {**bearer(await person(b.account_id)), **owner_identity},
        "removed owner of A": bearer(removed),
        "owner of A": bearer(owner),
        "admin of A": bearer(admin),
        "member of A": bearer(member),
        MEMBER_OF_BOTH: bearer(both),
        "key with just the scope": await keys.make(a, {scope} if scope in scopes else scopes),
        "key with all but the scope": await keys.make(a, scopes - {scope}),
        "key of B with every scope": await keys.make(b, scopes),
        "owner of A, signed in an hour ago": bearer(await person(a.account_id), age=timedelta(hours=1)),
        "owner of a workspace that is being deleted": bearer(await person(c.account_id)),
    }
    await people.part(world, a, removed.account_id)
    assert list(credentials) == list(PRINCIPALS), "each principal of the list gets a credential here"
    return Cast(a, b, c, credentials)


class _Keys:
    """API keys, made as owners make them."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def make(self, one: Customer, scopes: set[str]) -> dict[str, str]:
        return _bearer((await self._create(one, scopes))["key"])

    async def revoked(self, one: Customer) -> dict[str, str]:
        made = await self._create(one, set(people.scopes()))
        path = f"/v1/workspaces/{one.workspace_id}/api-keys/{made['id']}"
        answer = await self._world.ask("auth", "DELETE", path, one)
        assert answer.status == 204, answer.body
        return _bearer(made["key"])

    async def expired(self, one: Customer) -> dict[str, str]:
        made = await self._create(one, set(people.scopes()))
        model = people.models("auth").ApiKey
        async with self._world.databases["auth"].transaction() as session:
            past = datetime.now(UTC) - timedelta(minutes=1)
            await session.execute(update(model).where(model.id == made["id"]).values(expires_at=past))
        return _bearer(made["key"])

    async def _create(self, one: Customer, scopes: set[str]) -> dict[str, Any]:
        path = f"/v1/workspaces/{one.workspace_id}/api-keys"
        body = {"name": "partner", "scopes": sorted(scopes)}
        granted = TABLE.permissions_of("owner") | {scope.replace(":", ".") for scope in scopes}
        answer = await self._world.ask("auth", "POST", path, one, body, permissions=frozenset(granted))
        assert answer.status == 201, answer.body
        made: dict[str, Any] = json.loads(answer.body)
        return made


class _Past(SystemClock):
    def now(self) -> datetime:
        return datetime.now(UTC) - timedelta(hours=1)


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _other_audience(pem: bytes, issuer: str, one: _Person) -> str:
    signer = TokenSigner(pem, key_id("auth", public_pem_of(pem)), issuer)
    now = int(datetime.now(UTC).timestamp())
    claims = {
        "aud": f"{AUDIENCE}-2", "sub": one.account_id, "sid": one.session_id, "jti": new_id("req"), "auth_time": now,
        "ver": 1,
    }  # fmt: skip
    return signer.sign(claims, typ="at+jwt", ttl=600)


def _forged(a: Customer) -> str:
    """What the gateway says of A's owner, signed with a key that nobody trusts."""
    signer = TokenSigner.from_pem(generate_private_pem(), "gateway")
    return mint_internal(
        signer, "auth", subject=a.account_id, kind="user", workspace_id=a.workspace_id, role="owner",
        permissions=TABLE.permissions_of("owner"), auth_time=datetime.now(UTC),
    )  # fmt: skip
