"""Who hears of it when members, roles or keys of a workspace change."""

from __future__ import annotations

from services.auth.ports import Mail
from shared.contracts.auth_events import AuthAuditRecorded
from tests.auth.stage import Person, Stage
from tests.auth.test_api_keys import make
from tests.auth.test_members import company, leave, remove, set_role, transfer


async def heard(auth: Stage, workspace_id: str, *actions: str) -> list[Mail]:
    """What goes out for the audit rows of these actions, and what was queued beside them."""
    for event in await auth.bus.emitted(AuthAuditRecorded):
        if event.workspace_id == workspace_id and event.action in actions:
            await auth.bus.deliver(event)
    await auth.send_mail()
    return auth.mail.mails


def of(mails: list[Mail], kind: str) -> dict[str, str]:
    """address → the texts, one after the other"""
    texts: dict[str, str] = {}
    for mail in mails:
        if mail.kind == kind:
            texts[mail.to] = texts.get(mail.to, "") + mail.text
    return texts


async def quiet_company(auth: Stage) -> tuple[Person, Person, Person, str]:
    made = await company(auth)
    await auth.send_mail()
    auth.mail.mails.clear()
    return made


async def test_a_person_hears_of_his_new_role_and_the_owners_of_the_change(auth: Stage) -> None:
    owner, _, member, workspace_id = await quiet_company(auth)
    assert (await set_role(auth, owner, workspace_id, member, "admin")).status_code == 200
    mails = await heard(auth, workspace_id, "auth.member.role_changed")
    assert set(of(mails, "role_changed")) == {member.email}
    assert "you are Admin now; you were Member" in of(mails, "role_changed")[member.email]
    assert set(of(mails, "members_changed")) == {owner.email}
    assert "A member who was Member is Admin now." in of(mails, "members_changed")[owner.email]


async def test_both_sides_hear_of_a_transfer(auth: Stage) -> None:
    owner, _, member, workspace_id = await quiet_company(auth)
    assert (await transfer(auth, owner, workspace_id, member)).status_code == 200
    mails = await heard(auth, workspace_id)
    assert set(of(mails, "role_changed")) == {owner.email, member.email}


async def test_who_is_removed_and_who_leaves_hears_that_his_keys_are_gone(auth: Stage) -> None:
    owner, admin, member, workspace_id = await quiet_company(auth)
    assert (
        await remove(auth, owner, workspace_id, await auth.member_id(workspace_id, member))
    ).status_code == 204
    assert (await leave(auth, admin, workspace_id)).status_code == 204
    mails = await heard(auth, workspace_id, "auth.member.removed", "auth.member.left")
    ended = of(mails, "membership_ended")
    assert set(ended) == {admin.email, member.email}
    assert "revoked" in ended[admin.email]
    assert set(of(mails, "members_changed")) == {owner.email}


async def test_the_owners_hear_who_joins(auth: Stage) -> None:
    owner, _, _, workspace_id = await quiet_company(auth)
    guest = await auth.person()
    await auth.join(owner, workspace_id, guest)
    auth.mail.mails.clear()
    mails = await heard(auth, workspace_id, "auth.invitation.accepted")
    assert "is Member now" in of(mails, "members_changed")[owner.email]


async def test_the_owners_hear_of_a_new_key_but_not_the_key(auth: Stage) -> None:
    owner, admin, _, workspace_id = await quiet_company(auth)
    key = await make(auth, admin, workspace_id)
    mails = await heard(auth, workspace_id, "auth.api_key.created")
    told = of(mails, "api_key_made")
    assert set(told) == {owner.email, admin.email}
    assert key["prefix"] in told[owner.email]
    assert key["key"] not in "".join(mail.text + mail.html for mail in mails)
