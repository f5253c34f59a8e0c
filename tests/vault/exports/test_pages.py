"""A file of several pages: each is on record before it is decrypted, and one that is not does not leave."""

from __future__ import annotations

import asyncio
import json

import pytest
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from services.vault import metrics
from services.vault.audited import AuditedAccess
from services.vault.exports import repository
from services.vault.exports.service import ExportIncomplete
from services.vault.models import Secret
from shared.audit import first_break
from shared.contracts.auth_events import WorkspaceDeleted
from shared.contracts.provisioner_events import MailboxRemoved
from tests.vault.conftest import Vault
from tests.vault.exports.exporting import create, download, ready, recorded, redeem


@pytest.fixture
def pages_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repository, "FIRST_PAGE", 2)
    monkeypatch.setattr(repository, "MAILBOXES_PER_PAGE", 2)


@pytest.mark.usefixtures("pages_of_two")
async def test_a_file_of_several_pages_is_whole_and_in_the_order_of_addresses(vault: Vault) -> None:
    workspace, ids = await ready(vault, 5)
    rows = json.loads((await download(workspace, await create(workspace, format="json"))).content)
    assert [row["address"] for row in rows] == [f"m{number}@example-a.test" for number in range(5)]
    assert await recorded(workspace) == [ids[:2], ids[2:4], ids[4:]]
    assert (await workspace.decrypts())["export"] == 5


@pytest.mark.usefixtures("pages_of_two")
async def test_a_page_is_on_record_before_it_is_decrypted_and_one_is_read_ahead_at_most(vault: Vault) -> None:
    workspace, ids = await ready(vault, 5)
    pages = [ids[:2], ids[2:4], ids[4:]]
    stream = vault.resources.exports.stream(
        vault.api_database, await redeem(workspace, await create(workspace))
    )
    assert (await anext(stream)).startswith(b"address,")
    assert (await recorded(workspace), (await workspace.decrypts())["export"]) == (pages[:1], 2)
    assert b"m1@" in await anext(stream)
    assert await recorded(workspace) in (pages[:1], pages[:2])
    assert b"m3@" in await anext(stream)
    assert await recorded(workspace) in (pages[:2], pages)


@pytest.mark.usefixtures("pages_of_two")
async def test_a_stream_that_breaks_off_has_on_record_what_left(vault: Vault) -> None:
    workspace, ids = await ready(vault, 5)
    created = await create(workspace)
    stream = vault.resources.exports.stream(vault.api_database, await redeem(workspace, created))
    assert b"m1@" in await anext(stream) + await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]
    redeemed, *pages = [row for row in await workspace.audit() if "redeemed" in row["action"]]
    assert redeemed["data"] == {"format": "csv", "mailboxes": 5, "main_password": True}
    assert [page["data"]["mailbox_ids"] for page in pages] in ([ids[:2]], [ids[:2], ids[2:4]])
    assert (await workspace.decrypts())["export"] == 2 * len(pages)
    assert (await download(workspace, created)).status_code == 410


@pytest.mark.usefixtures("pages_of_two")
async def test_a_page_that_cannot_be_recorded_does_not_leave(vault: Vault) -> None:
    workspace, ids = await ready(vault, 3)
    redeemed = await redeem(workspace, await create(workspace))
    decrypted = metrics.DECRYPTED.labels("export")._value.get()
    vault.database.postgres.psql("revoke insert on audit_entry from vault_app", vault.database.name)
    left: list[bytes] = []

    async def read() -> None:
        async for part in vault.resources.exports.stream(vault.api_database, redeemed):
            left.append(part)

    try:
        with pytest.raises(DBAPIError):
            await read()
    finally:
        vault.database.postgres.psql("grant insert on audit_entry to vault_app", vault.database.name)
    assert b"m1@" in b"".join(left)
    assert b"m2@" not in b"".join(left)
    assert metrics.DECRYPTED.labels("export")._value.get() == decrypted + 2
    assert (await recorded(workspace), (await workspace.decrypts())["export"]) == ([ids[:2]], 2)


@pytest.mark.usefixtures("pages_of_two")
async def test_the_rows_of_pages_written_beside_one_another_make_one_chain(vault: Vault) -> None:
    workspace, ids = await ready(vault, 5)
    links = [await create(workspace) for _ in range(3)]
    answers = await asyncio.gather(*(download(workspace, link) for link in links))
    assert {answer.status_code for answer in answers} == {200}
    assert sorted(await recorded(workspace)) == sorted([ids[:2], ids[2:4], ids[4:]] * 3)
    chain = await vault.rows(
        "select * from audit_entry where workspace_id = :w order by sequence", w=workspace.id
    )
    assert first_break(chain) is None


@pytest.mark.usefixtures("pages_of_two")
async def test_no_transaction_is_open_while_the_reader_takes_his_time(vault: Vault) -> None:
    workspace, _ = await ready(vault, 5)
    stream = vault.resources.exports.stream(
        vault.api_database, await redeem(workspace, await create(workspace))
    )
    await anext(stream)
    assert b"m1@" in await anext(stream)
    pool = vault.api_database.engine.pool
    async with asyncio.timeout(10):
        while pool.checkedout():  # type: ignore[attr-defined]  # noqa: ASYNC110 (the page that is read ahead)
            await asyncio.sleep(0.01)


@pytest.mark.usefixtures("pages_of_two")
async def test_a_mailbox_removed_while_the_file_is_written_is_left_out_of_file_and_record(
    vault: Vault,
) -> None:
    workspace, ids = await ready(vault, 3)
    redeemed = await redeem(workspace, await create(workspace))
    await vault.bus.deliver(MailboxRemoved(workspace_id=workspace.id, mailbox_id=ids[2]))
    written = b"".join([part async for part in vault.resources.exports.stream(vault.api_database, redeemed)])
    assert written.count(b"@example-a.test,") == 2 * 2
    assert await recorded(workspace) == [ids[:2], []]


@pytest.mark.usefixtures("pages_of_two")
async def test_a_workspace_that_ends_in_between_breaks_the_stream(vault: Vault) -> None:
    workspace, _ = await ready(vault, 3)
    redeemed = await redeem(workspace, await create(workspace))
    await vault.bus.deliver(WorkspaceDeleted(workspace_id=workspace.id))
    with pytest.raises(ExportIncomplete):
        _ = [part async for part in vault.resources.exports.stream(vault.api_database, redeemed)]


async def test_an_opener_opens_only_what_its_audit_row_covers(vault: Vault) -> None:
    workspace, ids = await ready(vault)
    redeemed = await redeem(workspace, await create(workspace, mailbox_ids=[ids[0]]))
    async with vault.api_database.transaction(workspace_id=workspace.id) as session:
        other = await session.scalar(select(Secret).where(Secret.owner_id == ids[1]))
        assert other is not None
        with pytest.raises(PermissionError):
            redeemed.first.opener.open([(other.owner_id, other.version, other.ciphertext)])
        with pytest.raises(PermissionError):
            AuditedAccess(session, workspace.id, "export", frozenset(ids), object())
