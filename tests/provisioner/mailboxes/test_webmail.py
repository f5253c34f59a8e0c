"""The vault says which webmail sign-ins ended: the host refuses them, in whatever order it was told."""

from __future__ import annotations

from typing import Any

from shared.contracts.vault_events import MailboxWebmailEnded
from shared.ids import new_id
from tests.provisioner.api import Api
from tests.provisioner.domains.test_domains import finish
from tests.provisioner.mailboxes.test_credentials import on_host, with_mailbox
from tests.provisioner.servers.test_orders import rebuild

FIRST, SECOND = "a" * 22, "b" * 22


async def tell(api: Api, mailbox_id: str, version: int, *ended: str, **changes: Any) -> str:
    """Delivers the vault's event; returns the job that it names."""
    job_id = new_id("job")
    values = {
        "workspace_id": api.workspace_id, "mailbox_id": mailbox_id, "version": version, "ended": list(ended),
        "job_id": job_id, "requested_by": "usr_ada",
    }  # fmt: skip
    event = MailboxWebmailEnded.model_validate(values | changes)
    await api.stage.others.bus.deliver(event, subject=mailbox_id)
    return job_id


def refused(api: Api, server_id: str) -> tuple[str, ...]:
    """Sign-ins that the server's one mailbox refuses."""
    desired = api.stage.outside.host.machines[server_id].desired
    assert desired is not None
    (box,) = desired.mailboxes
    return box.webmail_ended


async def test_the_host_refuses_what_was_ended_and_the_job_says_when(api: Api) -> None:
    server_id, mailbox_id = await with_mailbox(api)
    assert refused(api, server_id) == ()
    job = await finish(api, await tell(api, mailbox_id, 1, FIRST))
    assert refused(api, server_id) == (FIRST,)
    assert (job["kind"], job["subject_id"]) == ("end_webmail", mailbox_id)
    assert [(step["name"], step["state"]) for step in job["steps"]] == [("apply_mailbox", "ok")]
    assert on_host(api, server_id) == [1]


async def test_what_arrives_late_takes_nothing_back_and_its_job_ends_too(api: Api) -> None:
    server_id, mailbox_id = await with_mailbox(api)
    newer = await tell(api, mailbox_id, 2, FIRST, SECOND)
    late = await tell(api, mailbox_id, 1, FIRST)
    for job_id in (newer, late):
        await finish(api, job_id)
    assert refused(api, server_id) == (FIRST, SECOND)


async def test_a_host_that_is_made_anew_refuses_it_still(api: Api) -> None:
    server_id, mailbox_id = await with_mailbox(api)
    await finish(api, await tell(api, mailbox_id, 1, FIRST))
    await finish(api, (await rebuild(api, server_id)).json()["job_id"])
    assert refused(api, server_id) == (FIRST,)


async def test_another_workspace_ends_nothing(api: Api) -> None:
    server_id, mailbox_id = await with_mailbox(api)
    before = (await api.stage.server(server_id)).generation
    await tell(api, mailbox_id, 1, FIRST, workspace_id=new_id("ws"))
    assert (await api.stage.server(server_id)).generation == before
    assert refused(api, server_id) == ()
