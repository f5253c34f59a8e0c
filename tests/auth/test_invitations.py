"""Invitations: bound to an address, once, for 72 hours."""

from __future__ import annotations

import asyncio
import re

import httpx
import pytest

from services.auth.mail_links import MailLinkSigner
from services.auth.models import Invitation
from shared.identity import generate_private_pem
from shared.ids import new_id
from tests.auth.stage import Person, Stage, seconds


async def invite(auth: Stage, owner: Person, workspace_id: str, email: str) -> str:
    answer = await auth.client.post(
        f"/v1/workspaces/{workspace_id}/invitations",
        json={"email": email, "role": "member"},
        headers=auth.as_user(owner.id, workspace_id),
    )
    assert answer.status_code == 201, answer.text
    await auth.send_mail()
    return str(answer.json()["id"])


async def accept(auth: Stage, guest: Person, token: str) -> int:
    answer = await auth.client.post(
        "/v1/invitations/accept", json={"token": token}, headers=auth.as_user(guest.id)
    )
    return answer.status_code


@pytest.mark.asvs("2.3.4")
async def test_fifty_who_accept_at_once_make_one_member(auth: Stage) -> None:
    owner, guest = await auth.person(), await auth.person()
    workspace_id = await auth.workspace(owner)
    await invite(auth, owner, workspace_id, guest.email)
    token = auth.link_token(guest.email)
    statuses = await asyncio.gather(*(accept(auth, guest, token) for _ in range(50)))
    assert sorted(statuses) == [200] + [410] * 49
    members = await auth.client.get(
        f"/v1/workspaces/{workspace_id}/members", headers=auth.as_user(owner.id, workspace_id)
    )
    assert len(members.json()["items"]) == 2


async def test_an_invitation_is_for_its_address_only(auth: Stage) -> None:
    owner, guest, stranger = await auth.person(), await auth.person(), await auth.person()
    workspace_id = await auth.workspace(owner)
    await invite(auth, owner, workspace_id, guest.email)
    assert await accept(auth, stranger, auth.link_token(guest.email)) == 403
    assert await accept(auth, guest, auth.link_token(guest.email)) == 200


async def test_a_revoked_invitation_is_dead(auth: Stage) -> None:
    owner, guest = await auth.person(), await auth.person()
    workspace_id = await auth.workspace(owner)
    invitation_id = await invite(auth, owner, workspace_id, guest.email)
    answer = await auth.client.delete(
        f"/v1/workspaces/{workspace_id}/invitations/{invitation_id}",
        headers=auth.as_user(owner.id, workspace_id),
    )
    assert answer.status_code == 204
    assert await accept(auth, guest, auth.link_token(guest.email)) == 410


async def test_an_invitation_dies_after_72_hours_and_makes_room_for_another(auth: Stage) -> None:
    owner, guest = await auth.person(), await auth.person()
    workspace_id = await auth.workspace(owner)
    await invite(auth, owner, workspace_id, guest.email)
    old = auth.link_token(guest.email)
    auth.clock.advance(seconds(72 * 3600 + 1))
    assert await accept(auth, guest, old) == 410
    await invite(auth, owner, workspace_id, guest.email)
    assert await accept(auth, guest, auth.link_token(guest.email)) == 200


async def test_an_open_invitation_is_not_sent_twice(auth: Stage) -> None:
    owner = await auth.person()
    workspace_id = await auth.workspace(owner)
    await invite(auth, owner, workspace_id, "twice@people.test")
    answer = await auth.client.post(
        f"/v1/workspaces/{workspace_id}/invitations",
        json={"email": "Twice@people.test"},
        headers=auth.as_user(owner.id, workspace_id),
    )
    assert (answer.status_code, answer.json()["code"]) == (409, "invitation_pending")


async def test_nobody_is_invited_as_owner(auth: Stage) -> None:
    owner = await auth.person()
    workspace_id = await auth.workspace(owner)
    answer = await auth.client.post(
        f"/v1/workspaces/{workspace_id}/invitations",
        json={"email": "boss@people.test", "role": "owner"},
        headers=auth.as_user(owner.id, workspace_id),
    )
    assert answer.status_code == 422


async def test_a_token_that_we_did_not_sign_for_this_is_refused(auth: Stage) -> None:
    owner, guest = await auth.person(), await auth.person()
    workspace_id = await auth.workspace(owner)
    invitation_id = await invite(auth, owner, workspace_id, guest.email)
    expires = auth.clock.now() + seconds(3600)
    claims = {"ws": workspace_id, "email": guest.email, "role": "member"}
    stranger = MailLinkSigner(generate_private_pem(), auth.clock)
    forged = stranger.sign("invite+jwt", invitation_id, expires_at=expires, **claims)
    wrong_purpose = auth.worker.links.sign("confirm+jwt", invitation_id, expires_at=expires, **claims)
    other_workspace = auth.worker.links.sign(
        "invite+jwt", invitation_id, expires_at=expires, **{**claims, "ws": new_id("ws")}
    )
    assert await accept(auth, guest, forged) == 410
    assert await accept(auth, guest, wrong_purpose) == 410
    assert await accept(auth, guest, other_workspace) == 404
    assert await accept(auth, guest, guest.access_token) == 410


async def test_invitations_are_listed_with_their_state(auth: Stage) -> None:
    owner, guest = await auth.person(), await auth.person()
    workspace_id = await auth.workspace(owner)
    await auth.join(owner, workspace_id, guest)
    revoked = await invite(auth, owner, workspace_id, "revoked@people.test")
    headers = auth.as_user(owner.id, workspace_id)
    await auth.client.delete(f"/v1/workspaces/{workspace_id}/invitations/{revoked}", headers=headers)
    await invite(auth, owner, workspace_id, "open@people.test")
    auth.clock.advance(seconds(1))
    path = f"/v1/workspaces/{workspace_id}/invitations"
    first = (await auth.client.get(path, params={"limit": 2}, headers=headers)).json()
    rest = (await auth.client.get(path, params={"cursor": first["next_cursor"]}, headers=headers)).json()
    assert [item["state"] for item in first["items"] + rest["items"]] == ["open", "revoked", "accepted"]


async def test_a_member_is_not_invited_again(auth: Stage) -> None:
    owner, guest = await auth.person(), await auth.person()
    workspace_id = await auth.workspace(owner)
    await auth.join(owner, workspace_id, guest)
    answer = await auth.client.post(
        f"/v1/workspaces/{workspace_id}/invitations",
        json={"email": guest.email},
        headers=auth.as_user(owner.id, workspace_id),
    )
    assert (answer.status_code, answer.json()["code"]) == (409, "already_member")


async def test_an_invitation_revoked_before_it_was_sent_is_not_mailed(auth: Stage) -> None:
    owner = await auth.person()
    workspace_id = await auth.workspace(owner)
    headers = auth.as_user(owner.id, workspace_id)
    answer = await auth.client.post(
        f"/v1/workspaces/{workspace_id}/invitations", json={"email": "never@people.test"}, headers=headers
    )
    path = f"/v1/workspaces/{workspace_id}/invitations/{answer.json()['id']}"
    assert (await auth.client.delete(path, headers=headers)).status_code == 204
    await auth.send_mail()
    assert not any(mail.to == "never@people.test" for mail in auth.mail.mails)


async def test_of_an_acceptance_and_a_revocation_at_once_one_counts(auth: Stage) -> None:
    owner, guest = await auth.person(), await auth.person()
    workspace_id = await auth.workspace(owner)
    for _ in range(6):
        invitation_id = await invite(auth, owner, workspace_id, guest.email)
        token = auth.link_token(guest.email)
        accepted, revoked = await asyncio.gather(
            accept(auth, guest, token),
            auth.client.delete(
                f"/v1/workspaces/{workspace_id}/invitations/{invitation_id}",
                headers=auth.as_user(owner.id, workspace_id),
            ),
        )
        assert (accepted, revoked.status_code) in [(200, 404), (410, 204)]
        is_member = guest.id in await auth.roles(workspace_id)
        assert is_member is (accepted == 200)
        if is_member:
            member_id = await auth.member_id(workspace_id, guest)
            path = f"/v1/workspaces/{workspace_id}/members/{member_id}"
            await auth.client.delete(path, headers=auth.as_user(owner.id, workspace_id))


async def resend(auth: Stage, owner: Person, workspace_id: str, invitation_id: str) -> httpx.Response:
    return await auth.client.post(
        f"/v1/workspaces/{workspace_id}/invitations/{invitation_id}/resend",
        headers=auth.as_user(owner.id, workspace_id),
    )


async def test_an_invitation_sent_again_has_a_new_link_and_the_old_one_is_dead(auth: Stage) -> None:
    owner, guest = await auth.person(), await auth.person()
    workspace_id = await auth.workspace(owner)
    invitation_id = await invite(auth, owner, workspace_id, guest.email)
    old = auth.link_token(guest.email)
    auth.clock.advance(seconds(71 * 3600))
    answer = await resend(auth, owner, workspace_id, invitation_id)
    assert (answer.status_code, answer.json()["sends"]) == (200, 2)
    await auth.send_mail()
    new = auth.link_token(guest.email)
    assert new != old
    assert await accept(auth, guest, old) == 410
    auth.clock.advance(seconds(71 * 3600))
    assert await accept(auth, guest, new) == 200


async def test_an_expired_invitation_comes_back_to_life_when_it_is_sent_again(auth: Stage) -> None:
    owner, guest = await auth.person(), await auth.person()
    workspace_id = await auth.workspace(owner)
    invitation_id = await invite(auth, owner, workspace_id, guest.email)
    auth.clock.advance(seconds(73 * 3600))
    assert (await resend(auth, owner, workspace_id, invitation_id)).json()["state"] == "open"
    await auth.send_mail()
    assert await accept(auth, guest, auth.link_token(guest.email)) == 200


async def test_nobodys_mailbox_is_flooded_with_one_invitation(auth: Stage) -> None:
    owner = await auth.person()
    workspace_id = await auth.workspace(owner)
    invitation_id = await invite(auth, owner, workspace_id, "patient@people.test")
    answers = await asyncio.gather(*(resend(auth, owner, workspace_id, invitation_id) for _ in range(5)))
    assert {answer.status_code for answer in answers} == {429}
    assert answers[0].headers["retry-after"] == "60"
    statuses = []
    for _ in range(5):
        auth.clock.advance(seconds(61))
        statuses.append((await resend(auth, owner, workspace_id, invitation_id)).status_code)
    assert statuses == [200, 200, 200, 200, 409]
    await auth.send_mail()


async def test_of_many_who_send_it_again_at_once_one_does(auth: Stage) -> None:
    owner, guest = await auth.person(), await auth.person()
    workspace_id = await auth.workspace(owner)
    invitation_id = await invite(auth, owner, workspace_id, guest.email)
    auth.clock.advance(seconds(61))
    answers = await asyncio.gather(*(resend(auth, owner, workspace_id, invitation_id) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [200] + [429] * 9


async def test_an_accepted_and_a_revoked_invitation_are_not_sent_again(auth: Stage) -> None:
    owner, guest = await auth.person(), await auth.person()
    workspace_id = await auth.workspace(owner)
    accepted = await invite(auth, owner, workspace_id, guest.email)
    assert await accept(auth, guest, auth.link_token(guest.email)) == 200
    revoked = await invite(auth, owner, workspace_id, "revoked-again@people.test")
    await auth.client.delete(
        f"/v1/workspaces/{workspace_id}/invitations/{revoked}", headers=auth.as_user(owner.id, workspace_id)
    )
    auth.clock.advance(seconds(61))
    for closed in (accepted, revoked):
        answer = await resend(auth, owner, workspace_id, closed)
        assert (answer.status_code, answer.json()["code"]) == (409, "invitation_closed")


@pytest.mark.asvs("14.2.1")
async def test_the_link_carries_its_token_in_the_fragment_only(auth: Stage) -> None:
    """A fragment is never sent to a server, so it stands in no access log and in no Referer."""
    owner = await auth.person()
    workspace_id = await auth.workspace(owner)
    await invite(auth, owner, workspace_id, "fragment@people.test")
    mail = auth.mail.last_to("fragment@people.test")
    links = re.findall(r"https://[^\s\"<]+", mail.text + mail.html)
    token = auth.link_token("fragment@people.test")
    assert token
    for link in links:
        before, _, _ = link.partition("#")
        assert token not in before
    assert any(token in link.partition("#")[2] for link in links)


async def test_no_more_than_a_hundred_invitations_are_open(auth: Stage) -> None:
    owner = await auth.person()
    workspace_id = await auth.workspace(owner)
    now = auth.clock.now()
    async with auth.worker.database.transaction() as session:
        for number in range(100):
            session.add(
                Invitation(
                    id=new_id("inv"), workspace_id=workspace_id, email=f"n{number}@people.test", role="member",
                    invited_by=owner.id, created_at=now, expires_at=now + seconds(60),
                )
            )  # fmt: skip
    body = {"email": "one-more@people.test"}
    path = f"/v1/workspaces/{workspace_id}/invitations"
    answer = await auth.client.post(path, json=body, headers=auth.as_user(owner.id, workspace_id))
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_invitations")
    auth.clock.advance(seconds(61))
    answer = await auth.client.post(path, json=body, headers=auth.as_user(owner.id, workspace_id))
    assert answer.status_code == 201
