"""One-time exports: asked for with a reason, redeemed once, on record before the first byte."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import time
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from services.vault import metrics
from services.vault.audited import AuditedAccess
from services.vault.exports import repository
from services.vault.exports.service import ExportIncomplete, Redeemed
from services.vault.models import Secret
from shared.audit import first_break
from shared.contracts.auth_events import WorkspaceDeleted
from shared.contracts.provisioner_events import MailboxRemoved
from shared.identity import Identity
from shared.ids import new_id
from tests.vault.conftest import Vault, Workspace


async def ready(vault: Vault, mailboxes: int = 2) -> tuple[Workspace, list[str]]:
    workspace = vault.workspace()
    await workspace.server()
    return workspace, [await workspace.mailbox(f"m{n}@example-a.test") for n in range(mailboxes)]


async def create(workspace: Workspace, **body: Any) -> dict[str, Any]:
    body = {"format": "csv", "reason": "load into the sending tool", "main_password": True} | body
    response = await workspace.post("/exports", body, key=new_id("req"))
    assert response.status_code == 201, response.text
    created: dict[str, Any] = response.json()
    return created


async def download(workspace: Workspace, created: dict[str, Any], **claims: Any) -> Any:
    return await workspace.post(f"/exports/{created['id']}/download", {"token": created["token"]}, **claims)


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


async def test_more_rows_than_the_target_takes_are_refused(vault: Vault) -> None:
    workspace, _ = await ready(vault, 1)
    await vault.run(
        "insert into mailbox (id, workspace_id, server_id, address) "
        "select 'mbx_' || md5(n::text || :w), :w, :s, 'x' || n || '@example-a.test' from generate_series(1, 200) n",
        w=workspace.id,
        s=workspace.server_id,
    )
    body = {"format": "woodpecker", "reason": "because"}
    response = await workspace.post("/exports", body, key=new_id("req"))
    assert (response.status_code, response.json()["code"]) == (422, "too_many_for_format")
    assert response.json()["next_action"] == "Name at most 200 mailboxes in each export."


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


async def test_of_twenty_downloads_at_once_one_succeeds(vault: Vault) -> None:
    workspace, _ = await ready(vault)
    created = await create(workspace)
    responses = await asyncio.gather(*(download(workspace, created) for _ in range(20)))
    assert sorted(response.status_code for response in responses) == [200] + [410] * 19
    rows = [row for row in await workspace.audit() if row["action"] == "vault.export.redeemed"]
    assert sorted(row["outcome"] for row in rows) == ["denied"] * 19 + ["ok"]
    assert (await workspace.decrypts())["export"] == 2


async def test_the_second_use_says_what_to_do_and_is_on_record(vault: Vault) -> None:
    workspace, _ = await ready(vault)
    created = await create(workspace)
    await download(workspace, created)
    response = await download(workspace, created)
    assert (response.status_code, response.json()["code"]) == (410, "export_used")
    assert response.json()["next_action"] == "Ask for a new export."
    row = (await workspace.audit())[-1]
    assert (row["action"], row["outcome"], row["reason"]) == (
        "vault.export.redeemed",
        "denied",
        "export_used",
    )
    assert (row["target"], row["actor_id"]) == (created["id"], workspace.owner)


async def test_the_audit_names_who_why_and_each_credential(vault: Vault) -> None:
    workspace, ids = await ready(vault)
    created = await create(workspace)
    colleague = new_id("usr")
    await download(workspace, created, account_id=colleague)
    made, redeemed, credentials = [r for r in await workspace.audit() if "export" in r["action"]]
    assert (made["action"], made["actor_id"]) == ("vault.export.created", workspace.owner)
    assert made["reason"] == redeemed["reason"] == "load into the sending tool"
    assert redeemed["actor_id"] == colleague
    assert redeemed["data"] == {"format": "csv", "mailboxes": 2, "main_password": True}
    assert credentials["action"] == "vault.export.redeemed.credentials"
    assert sorted(credentials["data"]["mailbox_ids"]) == sorted(ids)


async def test_an_export_of_one_mailbox_names_it_too(vault: Vault) -> None:
    workspace, ids = await ready(vault, 1)
    await download(workspace, await create(workspace))
    assert (await workspace.audit())[-1]["data"] == {"mailbox_ids": ids, "versions": [1]}


async def test_the_link_expires_after_fifteen_minutes(vault: Vault) -> None:
    workspace, _ = await ready(vault)
    created = await create(workspace)
    vault.clock.advance(timedelta(minutes=15))
    response = await download(workspace, created)
    assert (response.status_code, response.json()["code"]) == (410, "export_expired")
    assert (await workspace.get(f"/exports/{created['id']}")).json()["state"] == "expired"
    assert "export" not in await workspace.decrypts()


async def test_the_link_lives_until_then(vault: Vault) -> None:
    workspace, _ = await ready(vault)
    created = await create(workspace)
    vault.clock.advance(timedelta(minutes=14, seconds=59))
    assert (await download(workspace, created)).status_code == 200


async def test_a_wrong_token_opens_nothing_and_uses_nothing_up(vault: Vault) -> None:
    workspace, _ = await ready(vault)
    created = await create(workspace)
    wrong = await download(workspace, created | {"token": "x" * 43})
    assert (wrong.status_code, wrong.json()["code"]) == (403, "export_token_wrong")
    assert (await workspace.audit())[-1]["outcome"] == "denied"
    assert (await download(workspace, created)).status_code == 200


async def test_unknown_foreign_and_malformed_exports_answer_alike(vault: Vault) -> None:
    workspace, _ = await ready(vault)
    other, _ = await ready(vault)
    foreign = await create(other)
    answers = {
        (await download(workspace, {"id": export_id, "token": foreign["token"]})).content
        for export_id in (foreign["id"], new_id("exp"), "nonsense")
    }
    assert len(answers) == 1
    assert (await workspace.get(f"/exports/{foreign['id']}")).status_code == 404
    assert (await download(other, foreign)).status_code == 200


async def test_the_view_tells_the_state_and_never_the_token(vault: Vault) -> None:
    workspace, _ = await ready(vault)
    created = await create(workspace)
    path = f"/exports/{created['id']}"
    before = (await workspace.get(path)).json()
    assert (before["state"], before["mailboxes"], before["redeemed_by"]) == ("open", 2, None)
    await download(workspace, created)
    after = await workspace.get(path)
    assert (after.json()["state"], after.json()["redeemed_by"]) == ("used", workspace.owner)
    assert created["token"] not in after.text


async def test_the_token_is_stored_nowhere(vault: Vault) -> None:
    workspace, _ = await ready(vault)
    created = await create(workspace)
    for table in ("export", "idempotency_key", "outbox", "audit_entry"):
        for row in await vault.rows(f"select t::text as row from {table} t"):  # noqa: S608 (fixed names)
            assert created["token"] not in row["row"]


async def test_a_repeated_request_makes_no_second_link(vault: Vault) -> None:
    workspace, _ = await ready(vault)
    body, key = {"format": "csv", "reason": "twice"}, new_id("req")
    first = await workspace.post("/exports", body, key=key)
    second = await workspace.post("/exports", body, key=key)
    assert second.headers["idempotency-replayed"] == "true"
    assert second.json() == first.json() | {"token": None}
    assert first.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("claims", "status"),
    [({"permissions": ("credentials.reveal",)}, 403), ({"auth_time": int(time.time()) - 301}, 401)],
)
async def test_creating_needs_the_permission_and_a_fresh_sign_in(
    vault: Vault, claims: dict[str, Any], status: int
) -> None:
    workspace, _ = await ready(vault)
    response = await workspace.post(
        "/exports", {"format": "csv", "reason": "because"}, key=new_id("req"), **claims
    )
    assert response.status_code == status
    row = (await workspace.audit())[-1]
    assert (row["action"], row["outcome"]) == ("vault.export.created", "denied")


async def test_downloading_needs_the_permission(vault: Vault) -> None:
    workspace, _ = await ready(vault)
    created = await create(workspace)
    assert (await download(workspace, created, permissions=())).status_code == 403
    assert (await workspace.audit())[-1]["outcome"] == "denied"


@pytest.mark.parametrize(
    "change",
    [
        {"format": "xlsx"},
        {"reason": "x"},
        {"mailbox_ids": []},
        {"mailbox_ids": ["nonsense"]},
        {"mailbox_ids": [new_id("mbx")] * 10_001},
        {"columns": ["password"]},
        {"reason": "nul \0 byte"},
        {"reason": "half \ud83d pair"},
    ],
)
async def test_a_bad_request_is_refused_with_one_audit_row(vault: Vault, change: dict[str, Any]) -> None:
    workspace, _ = await ready(vault, 1)
    before = len(await workspace.audit())
    body = json.dumps({"format": "csv", "reason": "because"} | change)
    response = await vault.client.post(
        f"/v1/workspaces/{workspace.id}/exports",
        content=body,
        headers=workspace.headers() | {"Idempotency-Key": new_id("req"), "Content-Type": "application/json"},
    )
    assert response.status_code == 422
    (row,) = (await workspace.audit())[before:]
    assert (row["action"], row["outcome"]) == ("vault.export.created", "failed")


async def test_a_mailbox_of_another_workspace_cannot_be_asked_for(vault: Vault) -> None:
    workspace, ids = await ready(vault)
    _, foreign = await ready(vault)
    response = await workspace.post(
        "/exports",
        {"format": "csv", "reason": "because", "mailbox_ids": [ids[0], foreign[0]]},
        key=new_id("req"),
    )
    assert (response.status_code, response.json()["code"]) == (422, "unknown_mailbox")


async def test_a_workspace_without_mailboxes_has_nothing_to_export(vault: Vault) -> None:
    workspace = vault.workspace()
    response = await workspace.post("/exports", {"format": "csv", "reason": "because"}, key=new_id("req"))
    assert (response.status_code, response.json()["code"]) == (422, "nothing_to_export")


async def test_a_server_without_a_name_is_not_ready_for_exports(vault: Vault) -> None:
    workspace = vault.workspace()
    await workspace.mailbox()
    response = await workspace.post("/exports", {"format": "csv", "reason": "because"}, key=new_id("req"))
    assert (response.status_code, response.json()["code"]) == (409, "server_not_ready")


async def test_a_key_service_that_is_down_leaves_the_link_unused(vault: Vault) -> None:
    workspace, _ = await ready(vault)
    created = await create(workspace)
    vault.resources.cache.purge(workspace.id)
    await vault.keys.stop()
    response = await download(workspace, created)
    assert (response.status_code, response.json()["code"]) == (503, "key_service_unavailable")
    assert (await workspace.audit())[-1]["outcome"] == "failed"
    await vault.keys.start()
    assert (await download(workspace, created)).status_code == 200


def identity(workspace: Workspace) -> Identity:
    return Identity(
        kind="user", subject=workspace.owner, workspace_id=workspace.id, role="owner",
        permissions=frozenset(workspace.permissions), scopes=frozenset(), session_id=None, auth_time=None,
        issuer="gateway", request_id=new_id("req"),
    )  # fmt: skip


async def redeem(workspace: Workspace, created: dict[str, Any]) -> Redeemed:
    async with workspace.vault.api_database.transaction(workspace_id=workspace.id) as session:
        return await workspace.vault.resources.exports.redeem(
            session, identity(workspace), created["id"], created["token"]
        )


async def recorded(workspace: Workspace) -> list[list[str]]:
    """Ids of mailboxes, a list for each page."""
    return [row["data"]["mailbox_ids"] for row in await workspace.audit() if "credentials" in row["action"]]


@pytest.fixture
def pages_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
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


async def test_a_link_of_the_release_before_counts_as_expired(vault: Vault) -> None:
    workspace, ids = await ready(vault)
    created = await create(workspace)
    await vault.run("delete from export_page where export_id = :e", e=created["id"])
    await vault.run(
        "update export set mailboxes = null, mailbox_ids = :m where id = :e", m=ids, e=created["id"]
    )
    assert (await download(workspace, created)).json()["code"] == "export_expired"
    assert (await workspace.get(f"/exports/{created['id']}")).json()["mailboxes"] == 2


async def test_an_opener_opens_only_what_its_audit_row_covers(vault: Vault) -> None:
    workspace, ids = await ready(vault)
    redeemed = await redeem(workspace, await create(workspace, mailbox_ids=[ids[0]]))
    async with vault.api_database.transaction(workspace_id=workspace.id) as session:
        other = await session.scalar(select(Secret).where(Secret.owner_id == ids[1]))
        assert other is not None
        with pytest.raises(PermissionError):
            redeemed.first.opener.open([other])
        with pytest.raises(PermissionError):
            AuditedAccess(session, workspace.id, "export", frozenset(ids), object())
