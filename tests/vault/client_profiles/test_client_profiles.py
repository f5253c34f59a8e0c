"""Files that set up mail programs, without passwords."""

from __future__ import annotations

import plistlib
from xml.etree import ElementTree

import httpx
import pytest

from services.vault.client_profiles import documents
from shared.ids import new_id
from tests.vault.conftest import Vault, Workspace

READER = ("mailboxes.read",)


async def profile(workspace: Workspace, mailbox_id: str, client: str = "apple") -> httpx.Response:
    path = f"/mailboxes/{mailbox_id}/client-profile?client={client}"
    return await workspace.get(path, permissions=READER)


async def test_apple_gets_a_profile_of_one_account(vault: Vault) -> None:
    workspace = vault.workspace()
    await workspace.server()
    mailbox_id = await workspace.mailbox()
    await workspace.put_mailbox(mailbox_id, display_name="Ada <&> Lovelace")
    response = await profile(workspace, mailbox_id)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/x-apple-aspen-config"
    assert response.headers["content-disposition"].endswith('.mobileconfig"')
    document = plistlib.loads(response.content)
    (account,) = document["PayloadContent"]
    assert (document["PayloadType"], account["PayloadType"]) == ("Configuration", "com.apple.mail.managed")
    assert document["PayloadUUID"] != account["PayloadUUID"]
    assert account["EmailAccountName"] == "Ada <&> Lovelace"
    assert account["EmailAddress"] == account["IncomingMailServerUsername"] == "ada@example-a.test"
    assert account["OutgoingMailServerUsername"] == "ada@example-a.test"
    for direction, port in (("Incoming", 993), ("Outgoing", 465)):
        assert account[f"{direction}MailServerHostName"] == workspace.hostname
        assert account[f"{direction}MailServerPortNumber"] == port
        assert account[f"{direction}MailServerUseSSL"] is True


async def test_thunderbird_gets_the_settings_of_the_domain(vault: Vault) -> None:
    workspace = vault.workspace()
    await workspace.server()
    response = await profile(workspace, await workspace.mailbox(), "thunderbird")
    assert response.headers["content-type"].startswith("application/xml")
    root = ElementTree.fromstring(response.text)  # noqa: S314 (our own answer)
    assert (root.tag, root.get("version")) == ("clientConfig", "1.1")
    assert root.findtext("emailProvider/domain") == "example-a.test"
    for server, port in (("incomingServer[@type='imap']", "993"), ("outgoingServer[@type='smtp']", "465")):
        found = {part.tag: part.text for part in root.find(f"emailProvider/{server}") or ()}
        assert found == {
            "hostname": workspace.hostname,
            "port": port,
            "socketType": "SSL",
            "authentication": "password-cleartext",
            "username": "%EMAILADDRESS%",
        }


@pytest.mark.parametrize("client", ["apple", "thunderbird"])
async def test_no_password_is_in_it_and_none_is_decrypted(vault: Vault, client: str) -> None:
    workspace = vault.workspace()
    await workspace.server()
    mailbox_id = await workspace.mailbox()
    before = await workspace.decrypts()
    response = await profile(workspace, mailbox_id, client)
    assert response.status_code == 200
    assert await workspace.decrypts() == before
    assert await workspace.password(mailbox_id) not in response.text


def test_the_same_settings_make_the_same_profile() -> None:
    one = documents.apple("mbx_1", "a@example.test", "A", "h.example.test")
    assert one == documents.apple("mbx_1", "a@example.test", "A", "h.example.test")
    assert one != documents.apple("mbx_1", "a@example.test", "A", "other.example.test")


async def test_unknown_and_foreign_mailboxes_are_not_found(vault: Vault) -> None:
    theirs = vault.workspace()
    await theirs.server()
    foreign = await theirs.mailbox()
    answers = [await profile(vault.workspace(), mailbox_id) for mailbox_id in (foreign, new_id("mbx"))]
    assert [answer.status_code for answer in answers] == [404, 404]


async def test_a_mailbox_on_a_server_without_a_name_is_not_ready(vault: Vault) -> None:
    workspace = vault.workspace()
    response = await profile(workspace, await workspace.mailbox())
    assert (response.status_code, response.json()["code"]) == (409, "server_not_ready")


async def test_another_program_is_refused(vault: Vault) -> None:
    assert (await profile(vault.workspace(), new_id("mbx"), "pine")).status_code == 422


async def test_it_needs_the_permission(vault: Vault) -> None:
    workspace = vault.workspace()
    response = await workspace.get(f"/mailboxes/{new_id('mbx')}/client-profile", permissions=())
    assert response.status_code == 403
