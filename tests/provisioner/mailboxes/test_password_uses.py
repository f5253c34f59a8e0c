"""What the host says of passwords that signed in is told when its facts are written down anyway, each use once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from services.provisioner.hosts.desired import PasswordUse
from services.provisioner.models import Condition
from services.provisioner.reconciler.lease import wake
from shared.contracts.provisioner_events import MailboxPasswordsUsed
from tests.provisioner.api import Api
from tests.provisioner.mailboxes.test_credentials import with_mailbox

NOON = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)


async def rechecked(api: Api, server_id: str) -> None:
    """The recheck of the server's certificate is due, and done."""
    host = api.stage.outside.host
    before = host.calls["facts"]
    async with api.stage.database.transaction() as session:
        (await session.get_one(Condition, (server_id, "TlsReady"))).due_at = NOON - timedelta(days=400)
        await wake(session, server_id)

    async def asked() -> bool:
        return host.calls["facts"] > before

    await api.stage.play(asked)


async def told(api: Api) -> list[tuple[str, dict[int, datetime]]]:
    return [
        (event.mailbox_id, {use.version: use.at for use in event.used})
        for event in await api.stage.others.bus.emitted(MailboxPasswordsUsed)
        if event.workspace_id == api.workspace_id
    ]


async def test_a_use_is_told_at_the_next_recheck_and_once(api: Api) -> None:
    server_id, mailbox_id = await with_mailbox(api)
    host = api.stage.outside.host
    host.used[mailbox_id] = (PasswordUse(version=2, at=NOON),)
    assert await told(api) == []
    await rechecked(api, server_id)
    await rechecked(api, server_id)
    assert await told(api) == [(mailbox_id, {2: NOON})]
    host.used[mailbox_id] = (
        PasswordUse(version=2, at=NOON + timedelta(hours=6)), PasswordUse(version=3, at=NOON),
    )  # fmt: skip
    await rechecked(api, server_id)
    later = {2: NOON + timedelta(hours=6), 3: NOON}
    assert await told(api) == [(mailbox_id, {2: NOON}), (mailbox_id, later)]


async def test_no_connection_is_made_for_it(api: Api) -> None:
    server_id, mailbox_id = await with_mailbox(api)
    host = api.stage.outside.host
    await rechecked(api, server_id)
    quiet = host.calls.copy()
    await rechecked(api, server_id)
    usual = host.calls - quiet
    before = host.calls.copy()
    host.used[mailbox_id] = (PasswordUse(version=2, at=NOON),)
    await rechecked(api, server_id)
    assert host.calls - before == usual
    assert len(await told(api)) == 1
