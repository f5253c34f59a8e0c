"""What stays true of a workspace whatever its people do to each other, one after the other and at once.

Hypothesis draws the deeds; the service carries them out on the real database. Everybody claims to be an owner with
all permissions, as if the gateway were wrong about each of them: the service has to know better by itself. The oracle
is the audit log: its rows are in the order of the commits, so replaying them shows at each one what its actor was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import select

from gateway.routes import RouteTable
from gateway.settings import GatewaySettings
from services.auth.models import Account, ApiKey, Invitation, Member
from services.auth.workspaces import service
from shared.contracts.auth_events import MembershipChanged
from shared.db.kit_tables import audit_entry
from shared.ids import new_id
from tests.auth.stage import Person, Stage, staged
from tests.auth.test_api_keys import introspect
from tests.fixtures.database import ServiceDatabases
from tests.fixtures.identity import Trust

TABLE = RouteTable.load(GatewaySettings.model_fields["permissions_file"].default)
RANK = {"member": 0, "admin": 1, "owner": 2}
SCOPES = ("servers:read", "domains:write", "members:write", "billing:write")
PEOPLE = 5
Deed = tuple[Any, ...]

person = st.integers(0, PEOPLE - 1)
some_role = st.sampled_from(sorted(RANK))
deed = st.one_of(
    st.tuples(st.just("invite"), person, person, st.sampled_from(["admin", "member"])),
    st.tuples(st.just("accept"), person),
    st.tuples(st.just("set_role"), person, person, st.sampled_from(["admin", "member"])),
    st.tuples(st.just("transfer"), person, person, some_role),
    st.tuples(st.just("remove"), person, person),
    st.tuples(st.just("leave"), person),
    st.tuples(st.just("make_key"), person, st.sets(st.sampled_from(SCOPES), min_size=1)),
    st.tuples(st.just("rotate_key"), person, st.integers(0, 3)),
)


class World:
    """A workspace, its people, and what they hold: links from mails, and keys."""

    def __init__(self, stage: Stage, people: list[Person]) -> None:
        self.stage = stage
        self.people = people
        self.workspace_id = ""
        self.keys: dict[str, str] = {}
        self.dead_keys: set[str] = set()

    async def begin(self) -> None:
        """Two owners and an admin, with keys and open invitations of theirs: something to quarrel about."""
        self.workspace_id = await self.stage.workspace(self.people[0])
        for who in (1, 2):
            await self.carry_out(("invite", 0, who, "admin"))
            await self.carry_out(("accept", who))
        await self.carry_out(("transfer", 0, 1, "owner"))
        assert sorted((await self.roles()).values()) == ["admin", "owner", "owner"]
        for who, whom in ((1, 3), (2, 4)):
            assert await self.carry_out(("invite", who, whom, "admin")) == 201
            assert await self.carry_out(("make_key", who, {"servers:read", "members:write"})) == 201

    async def carry_out(self, wish: Deed) -> int:
        status: int = await getattr(self, wish[0])(*wish[1:])
        assert status < 500, (wish, status)
        return status

    async def _ask(self, method: str, path: str, who: int, body: Any = None) -> Any:
        headers = self.stage.as_user(
            self.people[who].id, self.workspace_id, role="owner", permissions=TABLE.permissions_of("owner")
        ) | {"If-Match": "*"}
        path = f"/v1/workspaces/{self.workspace_id}{path}"
        return await self.stage.client.request(method, path, json=body, headers=headers)

    async def _member(self, who: int) -> str:
        """The id of his membership, or one that names nothing."""
        async with self.stage.worker.database.transaction() as session:
            found = await session.execute(
                select(Member.id).where(
                    Member.workspace_id == self.workspace_id, Member.account_id == self.people[who].id
                )
            )
            return found.scalar_one_or_none() or new_id("mem")

    async def invite(self, who: int, whom: int, role: str) -> int:
        body = {"email": self.people[whom].email, "role": role}
        return int((await self._ask("POST", "/invitations", who, body)).status_code)

    async def accept(self, who: int) -> int:
        """With a link such as the mail has, made for the last invitation of his address here, open or not."""
        async with self.stage.worker.database.transaction() as session:
            found = await session.execute(
                select(Invitation)
                .where(
                    Invitation.workspace_id == self.workspace_id, Invitation.email == self.people[who].email
                )
                .order_by(Invitation.id.desc())
                .limit(1)
            )
            row = found.scalar_one_or_none()
        if row is None:
            return 0
        token = self.stage.worker.links.sign(
            "invite+jwt", row.id, expires_at=row.expires_at, ws=row.workspace_id, email=row.email,
            role=row.role, n=str(row.sends),
        )  # fmt: skip
        headers = self.stage.as_user(self.people[who].id)
        answer = await self.stage.client.post(
            "/v1/invitations/accept", json={"token": token}, headers=headers
        )
        return answer.status_code

    async def set_role(self, who: int, whom: int, role: str) -> int:
        path = f"/members/{await self._member(whom)}"
        return int((await self._ask("PATCH", path, who, {"role": role})).status_code)

    async def transfer(self, who: int, whom: int, your_role: str) -> int:
        body = {"member_id": await self._member(whom), "your_role": your_role}
        return int((await self._ask("POST", "/transfer", who, body)).status_code)

    async def remove(self, who: int, whom: int) -> int:
        return int((await self._ask("DELETE", f"/members/{await self._member(whom)}", who)).status_code)

    async def leave(self, who: int) -> int:
        return int((await self._ask("POST", "/leave", who)).status_code)

    async def make_key(self, who: int, scopes: set[str]) -> int:
        answer = await self._ask("POST", "/api-keys", who, {"name": "k", "scopes": sorted(scopes)})
        return self._keep(answer)

    async def rotate_key(self, who: int, number: int) -> int:
        if not self.keys:
            return 0
        key_id = sorted(self.keys)[number % len(self.keys)]
        return self._keep(await self._ask("POST", f"/api-keys/{key_id}/rotate", who, {}))

    def _keep(self, answer: Any) -> int:
        if answer.status_code == 201:
            self.keys[answer.json()["id"]] = answer.json()["key"]
        return int(answer.status_code)

    # -- what has to hold ------------------------------------------------------------------------------------

    async def roles(self) -> dict[str, str]:
        return await self.stage.roles(self.workspace_id)

    async def check(self) -> None:
        roles = await self.roles()
        assert "owner" in roles.values(), "a workspace without owner"
        assert await self._replayed_log() == roles
        assert await self._heard_by_gateways() == roles
        await self._check_invitations(roles)
        await self._check_keys(roles)

    async def _replayed_log(self) -> dict[str, str]:
        """account → role, from the audit log. At each row its actor must have been entitled to it."""
        async with self.stage.worker.database.transaction() as session:
            statement = select(audit_entry).where(audit_entry.c.workspace_id == self.workspace_id)
            rows = (await session.execute(statement.order_by(audit_entry.c.sequence))).all()
        roles: dict[str, str] = {}
        for row in rows:
            acting = RANK.get(roles.get(row.actor_id, ""), -1)
            if row.action == "auth.workspace.created":
                roles[row.actor_id] = "owner"
            elif row.action == "auth.invitation.created":
                assert acting >= max(RANK["admin"], RANK[row.data["role"]]), "granted above himself"
            elif row.action == "auth.invitation.accepted":
                assert row.actor_id not in roles, "joined twice"
                roles[row.actor_id] = row.data["role"]
            elif row.action == "auth.member.role_changed":
                before, after = row.data["before"], row.data["after"]
                assert roles[row.data["account_id"]] == before
                assert acting >= max(RANK["admin"], RANK[before], RANK[after]), "reached above himself"
                roles[row.data["account_id"]] = after
            elif row.action == "auth.member.removed":
                assert acting >= max(RANK["admin"], RANK[row.data["role"]]), "removed above himself"
                assert roles.pop(row.data["account_id"]) == row.data["role"]
            elif row.action == "auth.member.left":
                assert row.actor_id == row.data["account_id"]
                del roles[row.actor_id]
            elif row.action.startswith("auth.api_key."):
                assert acting >= RANK["admin"], "a key made by somebody who may not"
            assert "owner" in roles.values(), f"no owner after {row.action}"
        return roles

    async def _heard_by_gateways(self) -> dict[str, str]:
        """account → role, as a gateway has it that has heard every event."""
        heard: dict[str, str] = {}
        for event in sorted(
            await self.stage.bus.emitted(MembershipChanged), key=lambda event: event.sequence
        ):
            if event.workspace_id != self.workspace_id:
                continue
            if event.role is None:
                heard.pop(event.account_id, None)
            else:
                heard[event.account_id] = event.role
        return heard

    async def _check_invitations(self, roles: dict[str, str]) -> None:
        async with self.stage.worker.database.transaction() as session:
            found = await session.execute(
                select(Invitation).where(
                    Invitation.workspace_id == self.workspace_id,
                    Invitation.accepted_at.is_(None),
                    Invitation.revoked_at.is_(None),
                )
            )
            for row in found.scalars():
                assert RANK.get(roles.get(row.invited_by, ""), -1) >= max(1, RANK[row.role]), "orphaned offer"

    async def _check_keys(self, roles: dict[str, str]) -> None:
        async with self.stage.worker.database.transaction() as session:
            found = await session.execute(select(ApiKey).where(ApiKey.workspace_id == self.workspace_id))
            rows = list(found.scalars())
        for row in rows:
            assert row.revoked_at is not None or row.created_by in roles, (
                "a key outlived its maker's membership"
            )
            says = await introspect(self.stage, self.keys[row.id])
            if not says["active"]:
                self.dead_keys.add(row.id)
                continue
            assert row.id not in self.dead_keys, "a dead key came back"
            assert says["role"] == roles.get(row.created_by), "stronger or weaker than its maker"
            may = TABLE.permissions_for(says["role"], frozenset(says["scopes"]))
            assert may <= TABLE.permissions_of(roles[row.created_by])


def machine(runner: asyncio.Runner, stage: Stage, people: list[Person]) -> type[RuleBasedStateMachine]:
    """The state machine over this stage: each of its examples is a new workspace."""

    def run(work: Coroutine[Any, Any, Any]) -> Any:
        return runner.run(work)

    class Quarrel(RuleBasedStateMachine):
        @initialize()
        def begin(self) -> None:
            self.world = World(stage, people)
            run(self.world.begin())

        @rule(wish=deed)
        def one(self, wish: Deed) -> None:
            run(self.world.carry_out(wish))

        @rule(wishes=st.lists(deed, min_size=2, max_size=4))
        def several_at_once(self, wishes: list[Deed]) -> None:
            async def together() -> None:
                await asyncio.gather(*(self.world.carry_out(wish) for wish in wishes))

            run(together())

        @invariant()
        def holds(self) -> None:
            if getattr(self, "world", None) is not None:
                run(self.world.check())

    return Quarrel


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


async def admitted(stage: Stage) -> list[Person]:
    """Accounts, without the sign-up that is not the matter here."""
    people = [Person(new_id("usr"), f"{new_id('usr')}@people.test", new_id("ses"), "") for _ in range(PEOPLE)]
    async with stage.worker.database.transaction() as session:
        for one in people:
            session.add(
                Account(id=one.id, email=one.email, name="P", password_hash="!", created_at=stage.clock.now())
            )
    return people


def test_whatever_people_do_there_is_an_owner_and_nobody_reaches_above_himself(
    service_database: ServiceDatabases,
    trust: Trust,
    tmp_path: Path,
    runner: asyncio.Runner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        service, "WORKSPACES_PER_ACCOUNT", 10_000
    )  # one per example, and more while shrinking
    stack = AsyncExitStack()
    stage = runner.run(stack.enter_async_context(staged(service_database("auth"), trust, tmp_path)))
    try:
        people = runner.run(admitted(stage))
        run_state_machine_as_test(
            machine(runner, stage, people),
            settings=settings(
                max_examples=12,
                stateful_step_count=20,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                database=None,
            ),
        )
    finally:
        runner.run(stack.aclose())
