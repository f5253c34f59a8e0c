"""The ladder that follows a payment that is owed, on a held clock."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import select, text, update

from services.provisioner.billing.dunning import Dunning
from services.provisioner.models import Server, Subscription
from services.provisioner.plans import Catalogue
from shared.clock import FixedClock
from shared.contracts.envelope import EventData
from shared.contracts.provisioner_events import DunningAdvanced, DunningAnnounced, SubscriptionRestored
from tests.provisioner.api import Api
from tests.provisioner.stage import Stage

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@dataclass
class Ladder:
    """One server whose payment may be owed, and the time."""

    stage: Stage
    clock: FixedClock
    server_id: str
    subscription_id: str

    def dunning(self) -> Dunning:
        return Dunning(self.stage.database, self.stage.ports.catalogue, self.clock)

    async def days(self, days: float) -> None:
        """Time goes on, and the schedule looks once a day and at the end."""
        while days > 0:
            self.clock.advance(timedelta(days=min(days, 1.0)))
            days -= 1
            await self.dunning().run()

    async def money_is(self, status: str) -> None:
        async with self.stage.database.transaction() as session:
            await session.execute(
                update(Subscription).where(Subscription.id == self.subscription_id).values(status=status)
            )
        await self.dunning().run()

    async def row(self) -> Subscription:
        async with self.stage.database.transaction() as session:
            return await session.get_one(Subscription, self.subscription_id)

    async def server(self) -> Server:
        return await self.stage.server(self.server_id)

    async def told(self, kind: type[EventData]) -> list[Any]:
        events = await self.stage.others.bus.emitted(kind)
        return [event for event in events if event.subscription_id == self.subscription_id]  # type: ignore[attr-defined]


async def on_a_ladder(stage: Stage, *, ready: bool = True, workspace_id: str | None = None) -> Ladder:
    server = await stage.paid(workspace_id=workspace_id)
    async with stage.database.transaction() as session:
        await session.execute(update(Server).where(Server.id == server.id).values(ever_ready=ready))
    return Ladder(stage, FixedClock(START), server.id, server.subscription_id)


@pytest.fixture
async def ladder(stage: Stage) -> Ladder:
    return await on_a_ladder(stage)


async def test_each_step_comes_at_its_time_and_is_announced_before(ladder: Ladder) -> None:
    await ladder.money_is("past_due")
    seen: list[tuple[str, int]] = []
    for day in range(50):
        row, server = await ladder.row(), await ladder.server()
        state = "absent" if server.desired == "absent" else f"{server.mail_service}/{row.announced}"
        if not seen or seen[-1][0] != state:
            seen.append((state, day))
        await ladder.days(1)
    assert seen == [
        ("full/None", 0),
        ("full/outbound_paused", 4),
        ("outbound_paused/None", 7),
        ("outbound_paused/read_only", 11),
        ("read_only/None", 14),
        ("read_only/destroyed", 37),
        ("absent", 44),
    ]
    announced, taken = await ladder.told(DunningAnnounced), await ladder.told(DunningAdvanced)
    assert [event.step for event in announced] == ["outbound_paused", "read_only", "destroyed"]
    assert [event.step for event in taken] == ["outbound_paused", "read_only", "destroyed"]
    assert [event.at for event in announced] == [START + timedelta(days=days) for days in (7, 14, 44)]


@pytest.mark.asvs("2.3.1")
async def test_a_schedule_that_was_away_for_months_skips_no_notice(ladder: Ladder) -> None:
    await ladder.money_is("past_due")
    ladder.clock.advance(timedelta(days=120))
    await ladder.dunning().run()
    row = await ladder.row()
    assert (row.dunning, row.announced) == ("past_due", "outbound_paused")
    await ladder.days(2.75)
    assert (await ladder.row()).dunning == "past_due"
    await ladder.days(0.25)
    assert (await ladder.row()).dunning == "outbound_paused"
    assert (await ladder.server()).desired == "present"


@pytest.mark.parametrize("days", [1, 5, 8, 12, 43.75])
async def test_payment_at_any_step_before_the_last_restores_all(ladder: Ladder, days: float) -> None:
    await ladder.money_is("past_due")
    await ladder.days(days)
    await ladder.money_is("active")
    row, server = await ladder.row(), await ladder.server()
    assert (row.dunning, row.announced, server.mail_service, server.desired) == (
        None,
        None,
        "full",
        "present",
    )
    assert len(await ladder.told(SubscriptionRestored)) == 1
    await ladder.days(9)
    assert (await ladder.server()).desired == "present"
    assert len(await ladder.told(SubscriptionRestored)) == 1


async def test_five_workers_take_each_step_once(ladder: Ladder) -> None:
    await ladder.money_is("past_due")
    for _ in range(45):
        ladder.clock.advance(timedelta(days=1))
        await asyncio.gather(*(ladder.dunning().run() for _ in range(5)))
    assert [event.step for event in await ladder.told(DunningAdvanced)] == [
        "outbound_paused",
        "read_only",
        "destroyed",
    ]
    assert len(await ladder.told(DunningAnnounced)) == 3


async def test_a_step_that_cannot_be_written_whole_is_not_taken_at_all(
    ladder: Ladder, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ladder.money_is("past_due")
    await ladder.days(6.75)
    before = await ladder.server()

    async def dies(*_: Any, **__: Any) -> None:
        raise RuntimeError("killed")

    ladder.clock.advance(timedelta(days=1))
    with monkeypatch.context() as patch:
        patch.setattr("services.provisioner.billing.dunning.audit.record", dies)
        with pytest.raises(RuntimeError):
            await ladder.dunning().run()
    after = await ladder.server()
    assert (after.mail_service, after.generation) == ("full", before.generation)
    await ladder.dunning().run()
    assert (await ladder.server()).generation == before.generation + 1
    assert len(await ladder.told(DunningAdvanced)) == 1


async def test_a_subscription_that_ended_leaves_thirty_days_for_the_export(ladder: Ladder) -> None:
    await ladder.money_is("ended")
    assert (await ladder.server()).mail_service == "read_only"
    await ladder.days(29.75)
    assert (await ladder.server()).desired == "present"
    await ladder.days(0.25)
    assert (await ladder.server()).desired == "absent"


async def test_a_server_that_never_worked_goes_at_once_with_its_subscription(stage: Stage) -> None:
    ladder = await on_a_ladder(stage, ready=False)
    await ladder.money_is("ended")
    assert (await ladder.server()).desired == "absent"


async def test_the_host_learns_of_each_step_and_of_the_way_back(stage: Stage) -> None:
    server = await stage.paid()
    await stage.ready(server.id)
    ladder = Ladder(stage, FixedClock(START), server.id, server.subscription_id)

    async def host_has(service: str) -> None:
        async def applied() -> bool:
            desired = stage.outside.host.machines[server.id].desired
            return desired is not None and desired.mail_service == service

        await stage.play(applied)

    await ladder.money_is("past_due")
    await ladder.days(7)
    await host_has("outbound_paused")
    await ladder.days(7)
    await host_has("read_only")
    await ladder.money_is("active")
    await host_has("full")
    await ladder.money_is("past_due")
    await ladder.days(44)
    await stage.gone(server.id)
    assert stage.outside.billing.ended.total() == 1
    assert stage.owned() == {"instance": [], "ip": [], "volume": [], "security_group": []}


async def test_the_subscription_shows_where_it_is_what_comes_next_and_the_receipt(api: Api) -> None:
    ladder = await on_a_ladder(api.stage, workspace_id=api.workspace_id)
    path = f"{api.path}/subscriptions/{ladder.subscription_id}"
    await ladder.money_is("past_due")
    await ladder.days(7)
    view = (await api.get(path)).json()
    assert view["dunning"] == {
        "step": "outbound_paused",
        "since": "2026-03-08T12:00:00Z",
        "announced": None,
    }
    assert view["next"] == {"what": "read_only", "at": "2026-03-15T12:00:00Z"}
    assert view["receipt"] is None
    await ladder.days(37)
    await api.stage.gone(ladder.server_id)
    receipt = (await api.get(path)).json()["receipt"]
    assert (receipt["server_id"], receipt["reason"]) == (ladder.server_id, "the payment was not made")
    assert receipt["destroyed_at"] >= receipt["ordered_at"]


async def test_every_step_is_in_the_audit_log(ladder: Ladder) -> None:
    await ladder.money_is("past_due")
    await ladder.days(14)
    await ladder.money_is("active")
    async with ladder.stage.database.transaction() as session:
        rows = await session.execute(
            text("select action, data->>'step' from audit_entry where target = :id order by sequence"),
            {"id": ladder.subscription_id},
        )
        assert [tuple(row) for row in rows] == [
            ("provisioner.dunning.announced", "outbound_paused"),
            ("provisioner.dunning.advanced", "outbound_paused"),
            ("provisioner.dunning.announced", "read_only"),
            ("provisioner.dunning.advanced", "read_only"),
            ("provisioner.dunning.restored", "read_only"),
        ]


async def test_nothing_new_is_put_on_a_read_only_server(api: Api) -> None:
    server_id = await api.ready_server()
    async with api.stage.database.transaction() as session:
        await session.execute(update(Server).where(Server.id == server_id).values(mail_service="read_only"))
    reply = await api.post(f"{api.path}/domains", {"server_id": server_id, "name": "example-a.test"})
    assert (reply.status_code, reply.json()["code"]) == (409, "server_read_only")


async def test_who_owes_nothing_is_left_alone(stage: Stage) -> None:
    ladder = await on_a_ladder(stage)
    await ladder.days(9)
    async with stage.database.transaction() as session:
        assert (await session.scalars(select(Subscription.dunning))).all() == [None]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda steps: steps[:2], "in this order"),
        (lambda steps: (steps[1], steps[0], steps[2]), "in this order"),
        (lambda steps: (*steps[:2], steps[2].model_copy(update={"after_days": 29})), "at least 30 days"),
    ],
)
def test_a_ladder_without_thirty_days_of_export_or_out_of_order_is_refused(change: Any, words: str) -> None:
    from services.provisioner.settings import PLANS_FILE

    catalogue = Catalogue.load(PLANS_FILE)
    with pytest.raises(ValidationError, match=words):
        Catalogue.model_validate(catalogue.model_dump() | {"dunning": change(catalogue.dunning)})
