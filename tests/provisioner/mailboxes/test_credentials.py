"""The vault says that other passwords open a mailbox: its host gets the verifiers anew, and says when it has them."""

from __future__ import annotations

import asyncio
from typing import Any

from services.provisioner.models import Mailbox, Server
from shared.contracts.provisioner_events import MailboxCredentialApplied
from shared.contracts.vault_events import MailboxCredentialsChanged
from shared.ids import new_id
from tests.provisioner.api import Api
from tests.provisioner.domains.test_domains import finish, job_is, settled


async def with_mailbox(api: Api) -> tuple[str, str]:
    """(server, mailbox); the mailbox is active with version 1."""
    server_id, domain_id = await settled(api)
    made = (await api.post(f"{api.path}/domains/{domain_id}/mailboxes", {"local_part": "anna"})).json()
    await finish(api, made["job_id"])
    return server_id, made["id"]


async def tell(api: Api, mailbox_id: str, version: int, **changes: Any) -> str:
    """Delivers the vault's event; returns the job that it names."""
    job_id = new_id("job")
    values = {
        "workspace_id": api.workspace_id, "mailbox_id": mailbox_id, "version": version, "job_id": job_id,
        "requested_by": "usr_ada",
    }  # fmt: skip
    event = MailboxCredentialsChanged.model_validate(values | changes)
    await api.stage.others.bus.deliver(event, subject=mailbox_id)
    return job_id


def on_host(api: Api, server_id: str) -> list[int]:
    """Versions that open the server's one mailbox."""
    desired = api.stage.outside.host.machines[server_id].desired
    assert desired is not None
    (box,) = desired.mailboxes
    return [verifier.version for verifier in box.verifiers]


async def applied(api: Api) -> list[int]:
    return [event.version for event in await api.stage.others.bus.emitted(MailboxCredentialApplied)]


async def test_a_changed_password_is_fetched_applied_and_confirmed_as_a_job(api: Api) -> None:
    server_id, mailbox_id = await with_mailbox(api)
    api.stage.outside.vault.change(mailbox_id, 2)
    job = await finish(api, await tell(api, mailbox_id, 2))
    assert on_host(api, server_id) == [2]
    assert await applied(api) == [1, 2]
    assert (job["kind"], job["subject_id"]) == ("change_credentials", mailbox_id)
    assert [(step["name"], step["state"]) for step in job["steps"]] == [
        ("mailbox_password", "ok"), ("apply_mailbox", "ok"),
    ]  # fmt: skip
    view = (await api.get(f"{api.path}/mailboxes/{mailbox_id}")).json()
    assert (view["state"], view["credential_version"]) == ("active", 2)


async def test_a_revoked_app_password_leaves_the_host(api: Api) -> None:
    server_id, mailbox_id = await with_mailbox(api)
    vault = api.stage.outside.vault
    vault.versions[mailbox_id] = (3, (1, 2, 3))
    await finish(api, await tell(api, mailbox_id, 3))
    assert on_host(api, server_id) == [1, 2, 3]
    vault.versions[mailbox_id] = (4, (1, 3))
    await finish(api, await tell(api, mailbox_id, 4))
    assert on_host(api, server_id) == [1, 3]
    assert (await applied(api))[-1] == 4


async def test_of_many_changes_at_once_each_job_ends_with_the_newest_set(api: Api) -> None:
    server_id, mailbox_id = await with_mailbox(api)
    api.stage.outside.vault.change(mailbox_id, 9)
    jobs = await asyncio.gather(*(tell(api, mailbox_id, version) for version in range(2, 10)))
    for job_id in jobs:
        await finish(api, job_id)
    assert on_host(api, server_id) == [9]


async def test_a_change_that_was_fetched_before_it_was_heard_of_still_ends_its_job(api: Api) -> None:
    server_id, mailbox_id = await with_mailbox(api)
    api.stage.outside.vault.change(mailbox_id, 3)
    await finish(api, await tell(api, mailbox_id, 2))
    assert on_host(api, server_id) == [3]
    await finish(api, await tell(api, mailbox_id, 3))
    assert (await applied(api))[-1] == 3


async def test_the_old_password_stays_until_the_vault_answers(api: Api) -> None:
    server_id, mailbox_id = await with_mailbox(api)
    api.stage.outside.vault.change(mailbox_id, 2)
    api.stage.outside.vault.away = 2
    job_id = await tell(api, mailbox_id, 2)
    await api.stage.play(lambda: _away_is(api, 0))
    assert on_host(api, server_id) == [1]
    await finish(api, job_id)
    assert on_host(api, server_id) == [2]


async def _away_is(api: Api, left: int) -> bool:
    return api.stage.outside.vault.away == left


async def test_what_the_host_does_not_confirm_is_not_told_as_applied(api: Api) -> None:
    server_id, mailbox_id = await with_mailbox(api)
    api.stage.outside.vault.change(mailbox_id, 2)
    api.stage.outside.host.forget_mailboxes = True
    job_id = await tell(api, mailbox_id, 2)

    async def failing() -> bool:
        found = await api.stage.condition(server_id, "HostApplied")
        return found is not None and found.failures > 1

    await api.stage.play(failing)
    assert await applied(api) == [1]
    assert not await job_is(api, job_id, "ok")
    api.stage.outside.host.forget_mailboxes = False
    await finish(api, job_id)


async def test_an_event_of_another_workspace_or_about_nothing_changes_nothing(api: Api) -> None:
    server_id, mailbox_id = await with_mailbox(api)
    before = (await api.stage.server(server_id)).generation
    await tell(api, mailbox_id, 2, workspace_id=new_id("ws"))
    await tell(api, new_id("mbx"), 2)
    assert (await api.stage.server(server_id)).generation == before


async def test_a_mailbox_or_server_that_is_leaving_is_left_alone(api: Api) -> None:
    server_id, mailbox_id = await with_mailbox(api)
    async with api.stage.database.transaction() as session:
        (await session.get_one(Mailbox, mailbox_id)).state = "removing"
    before = (await api.stage.server(server_id)).generation
    await tell(api, mailbox_id, 2)
    async with api.stage.database.transaction() as session:
        (await session.get_one(Mailbox, mailbox_id)).state = "active"
        (await session.get_one(Server, server_id)).desired = "absent"
    await tell(api, mailbox_id, 3)
    assert (await api.stage.server(server_id)).generation == before
