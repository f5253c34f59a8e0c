"""A member says what he wants mails about; every mail that can be switched off carries the way to do it."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx
import pytest
from sqlalchemy import delete

from services.auth.models import Member
from services.auth.notifications.kinds import KINDS
from services.auth.ports import Mail
from shared.contracts.provisioner_events import ServerReady
from shared.ids import new_id
from tests.auth.stage import Person, Stage, seconds

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def ready(workspace_id: str) -> ServerReady:
    return ServerReady(
        workspace_id=workspace_id,
        server_id=new_id("srv"),
        hostname="s1.mx.sendchief.test",
        ipv4="198.51.100.16",
        ipv6="2001:db8:5c::1",
        zone="fr-par-1",
    )


async def owner_and_admin(auth: Stage) -> tuple[Person, Person, str]:
    owner, admin = await auth.person(), await auth.person("Ben")
    workspace_id = await auth.workspace(owner)
    await auth.join(owner, workspace_id, admin, "admin")
    auth.mail.mails.clear()
    return owner, admin, workspace_id


def url_of(mail: Mail) -> str:
    """Where the mail program posts."""
    assert mail.headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    found = re.fullmatch(r"<(https://\S+)>", mail.headers["List-Unsubscribe"])
    assert found is not None
    return found[1]


async def preferences(auth: Stage, person: Person, workspace_id: str, role: str) -> Any:
    headers = auth.as_user(person.id, workspace_id, role=role)
    answer = await auth.client.get(f"/v1/workspaces/{workspace_id}/notification-preferences", headers=headers)
    assert answer.status_code == 200, answer.text
    return {item["kind"]: item for item in answer.json()["items"]}


async def switch_off(
    auth: Stage,
    person: Person,
    workspace_id: str,
    kinds: list[str],
    role: str = "owner",
    if_match: str | None = "*",
) -> httpx.Response:
    headers = auth.as_user(person.id, workspace_id, role=role)
    return await auth.client.put(
        f"/v1/workspaces/{workspace_id}/notification-preferences",
        json={"off": kinds},
        headers=headers if if_match is None else {**headers, "If-Match": if_match},
    )


async def test_who_switches_a_kind_off_gets_no_more_of_it_and_others_still_do(auth: Stage) -> None:
    owner, admin, workspace_id = await owner_and_admin(auth)
    assert (await switch_off(auth, admin, workspace_id, ["server_ready"], "admin")).status_code == 200
    assert (await preferences(auth, admin, workspace_id, "admin"))["server_ready"]["mail"] is False
    assert (await preferences(auth, owner, workspace_id, "owner"))["server_ready"]["mail"] is True
    await auth.bus.deliver(ready(workspace_id))
    await auth.send_mail()
    assert [mail.to for mail in auth.mail.mails] == [owner.email]


async def test_two_windows_do_not_switch_over_each_other(auth: Stage) -> None:
    owner, _, workspace_id = await owner_and_admin(auth)
    seen = await auth.client.get(
        f"/v1/workspaces/{workspace_id}/notification-preferences",
        headers=auth.as_user(owner.id, workspace_id),
    )
    tag = seen.headers["etag"]
    assert (await switch_off(auth, owner, workspace_id, ["server_ready"], if_match=None)).status_code == 428
    wishes = [["server_ready"], ["address_listed"]] * 4
    answers = await asyncio.gather(
        *(switch_off(auth, owner, workspace_id, wish, if_match=tag) for wish in wishes)
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 7
    done = next(answer for answer in answers if answer.status_code == 200)
    shown = await preferences(auth, owner, workspace_id, "owner")
    assert sum(not item["mail"] for item in shown.values()) == 1
    assert done.headers["etag"] != tag
    again = await switch_off(auth, owner, workspace_id, [], if_match=done.headers["etag"])
    assert (again.status_code, again.headers["etag"]) == (200, tag)


async def test_one_click_in_a_mail_counts_against_a_window_that_was_open_before(auth: Stage) -> None:
    owner, _, workspace_id = await owner_and_admin(auth)
    seen = await auth.client.get(
        f"/v1/workspaces/{workspace_id}/notification-preferences",
        headers=auth.as_user(owner.id, workspace_id),
    )
    await auth.bus.deliver(ready(workspace_id))
    await auth.send_mail()
    link = url_of(next(mail for mail in auth.mail.mails if mail.to == owner.email))
    path = link.removeprefix("https://sendchief.test")
    assert (await auth.client.post(path, content="", headers=FORM)).status_code == 200
    late = await switch_off(auth, owner, workspace_id, [], if_match=seen.headers["etag"])
    assert (late.status_code, late.json()["code"]) == (412, "precondition_failed")


async def test_switching_on_again_is_leaving_it_out(auth: Stage) -> None:
    owner, _, workspace_id = await owner_and_admin(auth)
    await switch_off(auth, owner, workspace_id, ["server_ready", "address_listed"])
    await switch_off(auth, owner, workspace_id, ["address_listed"])
    shown = await preferences(auth, owner, workspace_id, "owner")
    assert (shown["server_ready"]["mail"], shown["address_listed"]["mail"]) == (True, False)


@pytest.mark.parametrize(
    "kind", ["no_such_kind", *(kind.name for kind in KINDS if not kind.optional)], ids=str
)
async def test_what_everybody_has_to_get_cannot_be_switched_off(auth: Stage, kind: str) -> None:
    owner = await auth.person()
    workspace_id = await auth.workspace(owner)
    answer = await switch_off(auth, owner, workspace_id, ["server_ready", kind])
    assert (answer.status_code, answer.json()["code"]) == (422, "mail_cannot_be_switched_off")
    assert (await preferences(auth, owner, workspace_id, "owner"))["server_ready"]["mail"] is True


async def test_one_click_in_the_mail_switches_that_kind_off_without_sign_in(auth: Stage) -> None:
    owner, admin, workspace_id = await owner_and_admin(auth)
    await auth.bus.deliver(ready(workspace_id))
    await auth.send_mail()
    url = url_of(auth.mail.last_to(owner.email))
    for _ in range(2):
        answer = await auth.client.post(url, content=b"List-Unsubscribe=One-Click", headers=FORM)
        assert answer.status_code == 200, answer.text
    shown = await preferences(auth, owner, workspace_id, "owner")
    assert (shown["server_ready"]["mail"], shown["address_listed"]["mail"]) == (False, True)
    assert (await preferences(auth, admin, workspace_id, "admin"))["server_ready"]["mail"] is True


@pytest.mark.asvs("3.5.3")
async def test_opening_the_address_changes_nothing_and_leads_to_a_page(auth: Stage) -> None:
    owner, _, workspace_id = await owner_and_admin(auth)
    await auth.bus.deliver(ready(workspace_id))
    await auth.send_mail()
    mail = auth.mail.last_to(owner.email)
    answer = await auth.client.get(url_of(mail))
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("https://sendchief.test/unsubscribe#token=")
    assert "https://sendchief.test/unsubscribe#token=" in mail.text
    assert (await preferences(auth, owner, workspace_id, "owner"))["server_ready"]["mail"] is True


async def test_the_link_works_for_a_year_and_only_as_it_was_signed(auth: Stage) -> None:
    owner, _, workspace_id = await owner_and_admin(auth)
    await auth.bus.deliver(ready(workspace_id))
    await auth.send_mail()
    url = url_of(auth.mail.last_to(owner.email))
    forged = url[:-8] + ("A" * 8 if not url.endswith("A" * 8) else "B" * 8)
    assert (await auth.client.post(forged)).status_code == 410
    assert (await auth.client.post("/v1/unsubscribe?token=x")).status_code == 410
    auth.clock.advance(seconds(364 * 86_400))
    assert (await auth.client.post(url)).status_code == 200
    auth.clock.advance(seconds(2 * 86_400))
    assert (await auth.client.post(url)).status_code == 410


async def test_an_invitation_link_does_not_unsubscribe(auth: Stage) -> None:
    owner = await auth.person()
    workspace_id = await auth.workspace(owner)
    await auth.client.post(
        f"/v1/workspaces/{workspace_id}/invitations",
        json={"email": "link@people.test"},
        headers=auth.as_user(owner.id, workspace_id),
    )
    await auth.send_mail()
    token = auth.link_token("link@people.test")
    assert (await auth.client.post(f"/v1/unsubscribe?token={token}")).status_code == 410


async def test_after_leaving_the_link_still_answers_and_leaves_nothing_behind(auth: Stage) -> None:
    owner, admin, workspace_id = await owner_and_admin(auth)
    await auth.bus.deliver(ready(workspace_id))
    await auth.send_mail()
    url = url_of(auth.mail.last_to(admin.email))
    members = await auth.client.get(
        f"/v1/workspaces/{workspace_id}/members", headers=auth.as_user(owner.id, workspace_id)
    )
    member_id = next(one["id"] for one in members.json()["items"] if one["email"] == admin.email)
    removed = await auth.client.delete(
        f"/v1/workspaces/{workspace_id}/members/{member_id}",
        headers=auth.as_user(owner.id, workspace_id, role="owner"),
    )
    assert removed.status_code == 204
    assert (await auth.client.post(url)).status_code == 200
    await auth.join(owner, workspace_id, admin, "admin")
    assert (await preferences(auth, admin, workspace_id, "admin"))["server_ready"]["mail"] is True


async def test_who_was_removed_before_the_mail_went_out_does_not_get_it(auth: Stage) -> None:
    owner, _, workspace_id = await owner_and_admin(auth)
    await auth.bus.deliver(ready(workspace_id))
    async with auth.worker.database.transaction() as session:
        await session.execute(
            delete(Member).where(Member.workspace_id == workspace_id, Member.role == "admin")
        )
    await auth.send_mail()
    assert {mail.to for mail in auth.mail.mails} == {owner.email}


async def test_mails_about_the_account_carry_no_way_out(auth: Stage) -> None:
    person = await auth.person()
    assert auth.mail.last_to(person.email).headers == {}
