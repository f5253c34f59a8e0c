"""What an export's file holds."""

from __future__ import annotations

import csv
import io
import json

from shared.contracts.provisioner_events import MailboxRemoved
from tests.vault.conftest import Vault
from tests.vault.exports.exporting import create, download, ready


async def test_csv_holds_every_mailbox_once_with_crlf(vault: Vault) -> None:
    workspace, ids = await ready(vault)
    response = await download(workspace, await create(workspace))
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/csv")
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["content-disposition"].endswith('.csv"')
    lines = response.text.split("\r\n")
    assert lines[0] == (
        "address,display_name,smtp_host,smtp_port,smtp_security,imap_host,imap_port,imap_security,username,password"
    )
    assert len(lines) == 4
    assert lines[3] == ""
    rows = list(csv.DictReader(io.StringIO(response.text)))
    for number, mailbox_id in enumerate(ids):
        assert rows[number] == {
            "address": f"m{number}@example-a.test",
            "display_name": "",
            "smtp_host": workspace.hostname,
            "smtp_port": "465",
            "smtp_security": "tls",
            "imap_host": workspace.hostname,
            "imap_port": "993",
            "imap_security": "tls",
            "username": f"m{number}@example-a.test",
            "password": await workspace.password(mailbox_id),
        }


async def test_json_has_the_same_fields(vault: Vault) -> None:
    workspace, ids = await ready(vault)
    response = await download(workspace, await create(workspace, format="json"))
    assert response.headers["content-type"] == "application/json"
    rows = json.loads(response.content)
    assert [row["address"] for row in rows] == ["m0@example-a.test", "m1@example-a.test"]
    assert rows[0]["password"] == await workspace.password(ids[0])
    assert rows[0]["imap_port"] == 993


async def test_a_targets_format_is_written_with_the_names_of_the_mailboxes(vault: Vault) -> None:
    workspace, (mailbox_id,) = await ready(vault, 1)
    await workspace.put_mailbox(mailbox_id, "m0@example-a.test", display_name="Ada Lovelace")
    created = await create(workspace, format="instantly")
    response = await download(workspace, created)
    assert response.headers["content-disposition"].endswith('.csv"')
    (row,) = csv.DictReader(io.StringIO(response.text))
    password = await workspace.password(mailbox_id)
    assert (row["Email"], row["First Name"], row["Last Name"]) == ("m0@example-a.test", "Ada", "Lovelace")
    assert row["IMAP Password"] == row["SMTP Password"] == password
    assert created["verified_on"] is None
    assert "No file was imported" in created["unverified"]


async def test_a_name_stays_when_a_later_call_names_none_and_goes_with_its_mailbox(vault: Vault) -> None:
    workspace, (mailbox_id,) = await ready(vault, 1)
    await workspace.put_mailbox(mailbox_id, "m0@example-a.test", display_name="Ada")
    await workspace.put_mailbox(mailbox_id, "m0@example-a.test")
    query = "select display_name from mailbox where id = :m"
    assert (await vault.rows(query, m=mailbox_id))[0]["display_name"] == "Ada"
    await vault.bus.deliver(MailboxRemoved(workspace_id=workspace.id, mailbox_id=mailbox_id))
    assert (await vault.rows(query, m=mailbox_id))[0]["display_name"] == ""


async def test_chosen_mailboxes_only(vault: Vault) -> None:
    workspace, ids = await ready(vault, 3)
    created = await create(workspace, format="json", mailbox_ids=[ids[1], ids[1]])
    rows = json.loads((await download(workspace, created)).content)
    assert [row["address"] for row in rows] == ["m1@example-a.test"]


async def test_a_mailbox_made_after_the_request_is_not_handed_out(vault: Vault) -> None:
    workspace, _ = await ready(vault, 1)
    created = await create(workspace, format="json")
    await workspace.mailbox("late@example-a.test")
    rows = json.loads((await download(workspace, created)).content)
    assert [row["address"] for row in rows] == ["m0@example-a.test"]


async def test_a_mailbox_removed_after_the_request_is_left_out(vault: Vault) -> None:
    workspace, ids = await ready(vault, 2)
    created = await create(workspace, format="json")
    await vault.bus.deliver(MailboxRemoved(workspace_id=workspace.id, mailbox_id=ids[0]))
    rows = json.loads((await download(workspace, created)).content)
    assert [row["address"] for row in rows] == ["m1@example-a.test"]
