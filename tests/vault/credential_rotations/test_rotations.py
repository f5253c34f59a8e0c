"""POST …/credential-reads/rotate: one call after which nothing that somebody saw opens a mailbox."""

from __future__ import annotations

import time
from typing import Any

import pytest
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from shared.contracts.provisioner_events import MailboxRemoved
from shared.ids import new_id
from tests.vault.app_passwords.test_app_passwords import create as create_app_password
from tests.vault.audit.test_credential_reads import reads
from tests.vault.conftest import Vault, Workspace
from tests.vault.exports.exporting import ready


async def rotate(workspace: Workspace, actor_id: str, *, key: str | None = None, **more: Any) -> Any:
    claims = more.pop("claims", {})
    body = {"actor_id": actor_id, "reason": "the colleague has left"} | more
    return await workspace.post("/credential-reads/rotate", body, key=key or new_id("req"), **claims)


async def job(workspace: Workspace, job_id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await workspace.get(f"/credential-rotations/{job_id}")).raise_for_status().json()
    return found


async def seen_by(workspace: Workspace, colleague: str, mailbox_id: str) -> str:
    answer = await workspace.post(
        f"/mailboxes/{mailbox_id}/reveal", {"reason": "because"}, account_id=colleague
    )
    return str(answer.json()["password"])


def opens(verifiers: list[dict[str, Any]], password: str) -> bool:
    for verifier in verifiers:
        try:
            return PasswordHasher().verify(verifier["hash"], password)
        except VerifyMismatchError:
            continue
    return False


async def test_no_copy_of_the_colleague_opens_anything_once_it_is_applied(vault: Vault) -> None:
    workspace, ids = await ready(vault, 4)
    for mailbox_id in ids:
        await workspace.applied(mailbox_id)
    colleague = new_id("usr")
    copies = {mailbox_id: [await seen_by(workspace, colleague, mailbox_id)] for mailbox_id in ids[:2]}
    app = (await create_app_password(workspace, ids[2], account_id=colleague)).json()
    copies[ids[2]] = [app["password"]]
    own = (await create_app_password(workspace, ids[2])).json()
    others = await workspace.password(ids[3])

    accepted = await rotate(workspace, colleague)

    assert accepted.status_code == 202
    counts = {name: accepted.json()[name] for name in ("mailboxes", "passwords", "app_passwords")}
    assert counts == {"mailboxes": 3, "passwords": 2, "app_passwords": 1}
    for number, mailbox_id in enumerate(ids[:3]):
        view = await job(workspace, accepted.json()["job_id"])
        assert (view["state"], view["steps"][0]["evidence"]["applied"]) == ("running", number)
        assert mailbox_id in view["steps"][0]["evidence"]["waiting"]
        await workspace.applied(mailbox_id)
        verifiers = await workspace.verifiers(mailbox_id)
        assert not any(opens(verifiers, copy) for copy in copies[mailbox_id])
    done = await job(workspace, accepted.json()["job_id"])
    assert (done["state"], done["steps"][0]["message"]) == (
        "ok", "3 of 3 mailboxes are opened by new passwords only.",
    )  # fmt: skip
    assert done["finished_at"] is not None
    assert opens(await workspace.verifiers(ids[2]), own["password"])
    assert opens(await workspace.verifiers(ids[3]), others)
    assert not any(row["still_valid"] for row in await reads(workspace, f"?actor_id={colleague}"))


async def test_what_was_seen_opens_until_the_hosts_have_applied_it_and_the_report_says_so(
    vault: Vault,
) -> None:
    workspace, (mailbox_id,) = await ready(vault, 1)
    app = (await create_app_password(workspace, mailbox_id)).json()
    await workspace.applied(mailbox_id)
    await rotate(workspace, workspace.owner)
    (row,) = await reads(workspace)
    assert (row["ways"], row["app_password_ids"], row["still_valid"]) == (["app_password"], [app["id"]], True)
    await workspace.applied(mailbox_id)
    assert (await reads(workspace))[0]["still_valid"] is False


async def test_a_repeated_call_is_the_same_rotation(vault: Vault) -> None:
    workspace, (mailbox_id,) = await ready(vault, 1)
    await workspace.password(mailbox_id)
    first, second = [await rotate(workspace, workspace.owner, key="once") for _ in range(2)]
    assert first.json() == second.json()
    changes = await vault.rows("select credentials_version from mailbox where id = :m", m=mailbox_id)
    assert changes == [{"credentials_version": 2}]


async def test_reads_before_the_given_time_and_of_others_stay_as_they_are(vault: Vault) -> None:
    workspace, (mailbox_id,) = await ready(vault, 1)
    await workspace.password(mailbox_id)
    later = await rotate(workspace, workspace.owner, since="2999-01-01T00:00:00Z")
    other = await rotate(workspace, new_id("usr"))
    for accepted in (later, other):
        assert accepted.json()["mailboxes"] == 0
        assert (await job(workspace, accepted.json()["job_id"]))["state"] == "ok"


async def test_a_mailbox_that_ends_meanwhile_holds_nothing_up(vault: Vault) -> None:
    workspace, (mailbox_id,) = await ready(vault, 1)
    await workspace.password(mailbox_id)
    accepted = (await rotate(workspace, workspace.owner)).json()
    await vault.bus.deliver(MailboxRemoved(workspace_id=workspace.id, mailbox_id=mailbox_id))
    assert (await job(workspace, accepted["job_id"]))["state"] == "ok"


async def test_it_is_on_record_whose_reads_were_made_worthless_and_why(vault: Vault) -> None:
    workspace, (mailbox_id,) = await ready(vault, 1)
    await workspace.password(mailbox_id)
    accepted = (await rotate(workspace, workspace.owner)).json()
    row = (await workspace.audit())[-1]
    assert (row["action"], row["target"], row["reason"]) == (
        "vault.credentials.rotated", accepted["job_id"], "the colleague has left",
    )  # fmt: skip
    assert row["data"] == {
        "actor_id": workspace.owner, "since": None, "mailboxes": 1, "passwords": 1, "app_passwords": 0,
    }  # fmt: skip


async def test_nothing_is_decrypted_for_it(vault: Vault) -> None:
    workspace, (mailbox_id,) = await ready(vault, 1)
    await workspace.password(mailbox_id)
    before = await workspace.decrypts()
    await rotate(workspace, workspace.owner)
    await workspace.applied(mailbox_id)
    assert await workspace.decrypts() == before


@pytest.mark.parametrize(
    ("claims", "status"),
    [({"permissions": ("audit.read",)}, 403), ({"auth_time": int(time.time()) - 301}, 401)],
)
async def test_it_needs_the_permission_and_a_fresh_sign_in(
    vault: Vault, claims: dict[str, Any], status: int
) -> None:
    workspace, (mailbox_id,) = await ready(vault, 1)
    await workspace.password(mailbox_id)
    assert (await rotate(workspace, workspace.owner, claims=claims)).status_code == status
    assert (await workspace.audit())[-1]["outcome"] == "denied"


async def test_another_workspaces_rotation_is_out_of_sight(vault: Vault) -> None:
    workspace, _ = await ready(vault, 1)
    accepted = (await rotate(workspace, workspace.owner)).json()
    answer = await vault.workspace().get(f"/credential-rotations/{accepted['job_id']}")
    assert answer.status_code == 404
