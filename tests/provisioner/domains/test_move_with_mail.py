"""A domain moves with its mailboxes and their mail: no message is lost, and nobody is let in at two places."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import select

from services.provisioner.hosts.port import HostCommandFailed, HostUnreachable
from services.provisioner.models import Domain, Mailbox, MailboxVerifier, Server
from services.provisioner.servers import service as servers
from shared.contracts.provisioner_events import (
    MailboxCredentialApplied,
    MailboxMoved,
    MailboxRemoved,
    ServerDnsDesired,
)
from shared.contracts.vault_events import MailboxCredentialsChanged
from shared.ids import new_id
from tests.provisioner.api import Api
from tests.provisioner.domains.test_domains import NAME, finish, settled
from tests.provisioner.domains.test_move import move
from tests.provisioner.outside.hosts import Machine

ANNA, BERT = f"anna@{NAME}", f"bert@{NAME}"


@dataclass
class Scene:
    """A domain with two mailboxes on a server, and another server."""

    api: Api
    source: str
    target: str
    domain_id: str
    boxes: dict[str, str]
    accepted: list[str] = field(default_factory=list)
    put_off: list[str] = field(default_factory=list)

    def machine(self, server_id: str) -> Machine:
        return self.api.stage.outside.host.machines[server_id]

    async def domain(self) -> Domain:
        async with self.api.stage.database.transaction() as session:
            return await session.get_one(Domain, self.domain_id)

    async def in_phase(self, *phases: str | None) -> bool:
        return (await self.domain()).move_phase in phases

    async def until(self, *phases: str | None) -> None:
        await self.api.stage.play(lambda: self.in_phase(*phases))

    async def order(self, server_id: str | None = None) -> str:
        reply = await move(self.api, self.domain_id, server_id or self.target)
        assert reply.status_code == 202, reply.text
        return str(reply.json()["job_id"])

    async def records_applied(self) -> None:
        """The customer applies the plan, and the name servers show it."""
        others = self.api.stage.others
        others.verify_domains = True
        last = [one for one in await others.bus.emitted(ServerDnsDesired) if one.server_id == self.target][-1]
        await others.bus.deliver(others.names(last), aggregate_version=10_000)

    async def mx(self) -> str:
        """The server that mail is sent to: the old one until the records of the new one are visible."""
        row = await self.domain()
        arrived = row.server_id == self.target and (row.dns_verified or row.state == "ready")
        return self.target if arrived else self.source

    async def someone_writes(self, message: str, address: str = ANNA) -> None:
        taken = self.api.stage.outside.host.deliver(address, message, await self.mx())
        (self.accepted if taken else self.put_off).append(message)

    def let_in_at(self, address: str = ANNA) -> list[str]:
        return [one for one in (self.source, self.target) if self.machine(one).lets_in(address)]


@pytest.fixture
async def scene(api: Api) -> Scene:
    source, domain_id = await settled(api)
    boxes = {}
    for name in ("anna", "bert"):
        path = f"{api.path}/domains/{domain_id}/mailboxes"
        made = (await api.post(path, {"local_part": name})).json()
        await finish(api, made["job_id"])
        boxes[made["address"]] = made["id"]
    return Scene(api, source, await api.ready_server(), domain_id, boxes)


async def test_mailboxes_move_with_what_came_before_and_what_came_meanwhile(scene: Scene) -> None:
    stage = scene.api.stage
    await scene.someone_writes("before")
    stage.others.verify_domains = False
    job_id = await scene.order()
    await scene.until("switching")
    await scene.someone_writes("during")
    assert not stage.outside.host.deliver(BERT, "too early", scene.target)
    scene.machine(scene.source).mail[ANNA]["before"] = "seen"
    view = (await scene.api.get(f"{scene.api.path}/domains/{scene.domain_id}")).json()
    assert (view["state"], view["server_id"], view["moving_from"]) == ("moving", scene.target, scene.source)
    await scene.records_applied()
    job = await finish(scene.api, job_id)
    assert {step["state"] for step in job["steps"]} == {"ok"}
    assert next(one for one in job["steps"] if one["name"] == "copy_mail")["evidence"]["copied"] == 2
    await scene.until(None)
    assert scene.machine(scene.target).mail[ANNA] == {"before": "seen", "during": ""}
    assert scene.machine(scene.source).mail == {}
    assert scene.let_in_at() == [scene.target]
    for mailbox_id in scene.boxes.values():
        box = (await scene.api.get(f"{scene.api.path}/mailboxes/{mailbox_id}")).json()
        assert (box["server_id"], box["state"]) == (scene.target, "active")
    moved = await stage.others.bus.emitted(MailboxMoved)
    assert {(one.mailbox_id, one.server_id) for one in moved} == {
        (mailbox_id, scene.target) for mailbox_id in scene.boxes.values()
    }
    assert await stage.others.bus.emitted(MailboxRemoved) == []


async def test_whatever_is_accepted_at_any_time_is_there_in_the_end(scene: Scene) -> None:
    """Between any two passes somebody writes, and looks where he is let in."""
    stage = scene.api.stage
    stage.outside.host.copied_at_once = 2
    for number in range(5):
        await scene.someone_writes(f"early {number}")
    job_id = await scene.order()
    number = 0
    while not await scene.in_phase(None):
        number += 1
        assert number < 400, await stage.story()
        await scene.someone_writes(f"mail {number}")
        assert len(scene.let_in_at()) <= 1
        await stage.others.step()
        await stage.engine.work_once()
    await finish(scene.api, job_id)
    assert scene.put_off, "there is a moment in which nobody takes mail"
    for message in scene.put_off:
        assert stage.outside.host.deliver(ANNA, message, await scene.mx())
    assert sorted(scene.machine(scene.target).mail[ANNA]) == sorted([*scene.accepted, *scene.put_off])


async def test_a_copy_that_does_not_succeed_leaves_all_as_it_was(scene: Scene) -> None:
    stage = scene.api.stage
    stage.outside.host.fail["copy_mail"] = [HostUnreachable("no route")] * 1000
    before = len(await stage.others.bus.emitted(ServerDnsDesired))
    job_id = await scene.order()

    async def failing() -> bool:
        return stage.outside.host.calls["copy_mail"] > 3

    await stage.play(failing)
    assert scene.let_in_at() == [scene.source]
    sets = (await stage.others.bus.emitted(ServerDnsDesired))[before:]
    assert [one for one in sets if one.server_id == scene.target and one.domains] == []
    await finish(scene.api, await scene.order(scene.source))
    job = (await scene.api.get(f"{scene.api.path}/jobs/{job_id}")).json()
    assert job["state"] == "failed"
    row = await scene.domain()
    assert (row.server_id, row.moving_from, row.state) == (scene.source, None, "ready")
    await scene.someone_writes("afterwards")
    assert scene.accepted == ["afterwards"]


@pytest.mark.parametrize("phase", ["switching", "closed"])
async def test_until_it_is_opened_it_can_be_taken_back(scene: Scene, phase: str) -> None:
    stage = scene.api.stage
    await scene.someone_writes("before")
    selectors = {key["selector"] for key in (await scene.domain()).dkim}
    stage.others.verify_domains = phase != "switching"
    await scene.order()
    await scene.until(phase)
    stage.others.verify_domains = True
    await finish(scene.api, await scene.order(scene.source))
    assert scene.let_in_at() == [scene.source]
    assert scene.machine(scene.source).mail[ANNA] == {"before": ""}
    row = await scene.domain()
    assert (row.state, {key["selector"] for key in row.dkim}) == ("ready", selectors)
    await finish(scene.api, await scene.order())
    assert scene.machine(scene.target).mail[ANNA] == {"before": ""}


async def test_a_password_that_changes_while_nobody_is_let_in_opens_the_new_server(scene: Scene) -> None:
    stage = scene.api.stage
    stage.outside.host.looks_until_quiet = 1_000_000
    job_id = await scene.order()

    async def closing() -> bool:
        return (await scene.domain()).move_generation is not None

    await stage.play(closing)
    stage.outside.vault.change(scene.boxes[ANNA], 7)
    change = new_id("job")
    await stage.others.bus.deliver(
        MailboxCredentialsChanged(
            workspace_id=scene.api.workspace_id, mailbox_id=scene.boxes[ANNA], job_id=change,
            requested_by="usr_1", version=7,
        ),
        subject=scene.boxes[ANNA],
    )  # fmt: skip
    stage.outside.host.looks_until_quiet = 0
    await finish(scene.api, job_id)
    await finish(scene.api, change)
    async with stage.database.transaction() as session:
        assert (await session.get_one(MailboxVerifier, scene.boxes[ANNA])).version == 7
    applied = await stage.others.bus.emitted(MailboxCredentialApplied)
    assert [one.version for one in applied if one.mailbox_id == scene.boxes[ANNA]][-1] == 7


async def test_the_old_server_keeps_its_copy_until_the_vault_knows_the_new_one(scene: Scene) -> None:
    stage = scene.api.stage
    await scene.someone_writes("before")
    stage.outside.vault.away = 1_000_000
    await scene.order()
    await scene.until("opened")

    async def asked() -> bool:
        return stage.outside.vault.away < 1_000_000 - 3

    await stage.play(asked)
    assert scene.let_in_at() == [scene.target], "passwords that we know need no vault"
    assert scene.machine(scene.source).mail[ANNA] == {"before": ""}
    stage.outside.vault.away = 0
    await scene.until(None)
    assert scene.machine(scene.source).mail == {}


async def test_nothing_else_is_done_to_what_moves(scene: Scene) -> None:
    api = scene.api
    api.stage.others.verify_domains = False
    await scene.order()
    await scene.until("switching")
    hostname = (await api.stage.server(scene.source)).hostname
    wish = {"confirm_name": hostname, "reason": "test"}
    replies = {
        "add": await api.post(f"{api.path}/domains/{scene.domain_id}/mailboxes", {"local_part": "carl"}),
        "remove mailbox": await api.delete(f"{api.path}/mailboxes/{scene.boxes[ANNA]}"),
        "remove": await api.delete(f"{api.path}/domains/{scene.domain_id}"),
        "move on": await move(api, scene.domain_id, await api.ready_server()),
        "cancel": await api.post(f"{api.path}/servers/{scene.source}/cancel", wish),
        "rebuild": await api.post(
            f"{api.path}/servers/{scene.source}/rebuild", wish | {"mail_is_lost": True}
        ),
    }
    assert {what: (one.status_code, one.json()["code"]) for what, one in replies.items()} == {
        **dict.fromkeys(("add", "remove mailbox", "remove", "move on"), (409, "domain_busy")),
        **dict.fromkeys(("cancel", "rebuild"), (409, "server_busy")),
    }


async def test_mailboxes_count_where_they_go_to(scene: Scene) -> None:
    api = scene.api
    async with api.stage.database.transaction() as session:
        row = await session.get_one(Mailbox, scene.boxes[ANNA])
        session.add(other := Domain(**{**_columns(await session.get_one(Domain, scene.domain_id)),
                                       "id": "dom_full", "name": "full.test", "server_id": scene.target}))  # fmt: skip
        await session.flush()
        for number in range(24):
            session.add(Mailbox(**{**_columns(row), "id": f"mbx_{number}", "server_id": scene.target,
                                   "domain_id": other.id, "address": f"box{number}@full.test"}))  # fmt: skip
    reply = await move(api, scene.domain_id, scene.target)
    assert (reply.status_code, reply.json()["code"]) == (409, "plan_limit")
    assert "brings 2" in reply.json()["detail"]


def _columns(row: Any) -> dict[str, Any]:
    return {column.key: getattr(row, column.key) for column in row.__table__.columns}


async def test_a_new_server_that_ends_before_it_opens_gives_the_domain_back(scene: Scene) -> None:
    stage = scene.api.stage
    stage.others.verify_domains = False
    await scene.someone_writes("before")
    await scene.order()
    await scene.until("switching")
    stage.others.verify_domains = True
    await _end(scene, scene.target)
    await stage.gone(scene.target)

    async def back() -> bool:
        return (await scene.domain()).state == "ready"

    await stage.play(back)
    assert (await scene.domain()).server_id == scene.source
    assert scene.machine(scene.source).lets_in(ANNA)
    assert scene.machine(scene.source).mail[ANNA] == {"before": ""}


async def test_an_old_server_that_ends_after_the_opening_takes_nothing_along(scene: Scene) -> None:
    stage = scene.api.stage
    stage.settings.move_hold_seconds = 3600.0
    await finish(scene.api, await scene.order())
    await scene.until("leaving")
    await _end(scene, scene.source)
    await stage.gone(scene.source)
    row = await scene.domain()
    assert (row.server_id, row.moving_from, row.move_phase) == (scene.target, None, None)
    async with stage.database.transaction() as session:
        boxes = (await session.scalars(select(Mailbox))).all()
    assert {box.server_id for box in boxes} == {scene.target}
    assert await stage.others.bus.emitted(MailboxRemoved) == []


async def _end(scene: Scene, server_id: str) -> None:
    """As when its subscription has ended: nobody is asked."""
    async with scene.api.stage.database.transaction() as session:
        server = await session.get_one(Server, server_id, with_for_update=True)
        await servers.end(session, server, requested_by="stripe", reason="ended")


async def test_for_a_day_the_old_server_puts_off_what_old_records_bring(scene: Scene) -> None:
    stage = scene.api.stage
    stage.settings.move_hold_seconds = 3600.0
    await finish(scene.api, await scene.order())
    await scene.until("leaving")
    leaving = scene.machine(scene.source).domain(NAME)
    assert leaving is not None
    assert leaving.served_by == (await stage.server(scene.target)).hostname
    assert not stage.outside.host.deliver(ANNA, "late", scene.source)
    assert stage.outside.host.calls["forget_mail"] == 0
    stage.settings.move_hold_seconds = 0.0
    await stage.due_now(scene.source)
    await scene.until(None)
    assert scene.machine(scene.source).domain(NAME) is None


async def test_a_full_disk_stops_the_copy_and_nothing_else(scene: Scene) -> None:
    stage = scene.api.stage
    full = HostCommandFailed("mail-take", "disk_full", "there is no room for the mail on this host's disk")
    stage.outside.host.fail["copy_mail"] = [full] * 3
    job_id = await scene.order()
    await finish(scene.api, job_id)
    retried = [row for row in await stage.log(scene.target) if row.outcome == "retrying"]
    assert {row.evidence["code"] for row in retried} == {"disk_full"}
