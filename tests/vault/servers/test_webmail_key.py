"""PUT /internal/servers/{id}/webmail-key: one key per host, sealed; a rebuild gets another."""

from __future__ import annotations

import asyncio
import base64
import hmac

import pytest

from services.vault import audited
from services.vault.models import Server
from services.vault.secret_bytes import SecretBytes
from services.vault.servers.host_key import stored
from shared.contracts.provisioner_events import ServerDeleted, ServerReady
from shared.ids import new_id
from tests.vault.conftest import Vault, Workspace
from tests.vault.exports.exporting import identity


async def test_the_key_is_32_bytes_and_stays_the_same(vault: Vault) -> None:
    workspace = vault.workspace()
    first = await workspace.put_webmail_key()
    assert first.status_code == 200
    assert first.headers["cache-control"] == "no-store"
    assert first.json()["version"] == 1
    assert len(base64.urlsafe_b64decode(first.json()["key"] + "=")) == 32
    assert (await workspace.put_webmail_key()).json() == first.json()


async def test_calls_at_once_get_one_key(vault: Vault) -> None:
    workspace = vault.workspace()
    responses = await asyncio.gather(*(workspace.put_webmail_key() for _ in range(10)))
    assert len({response.text for response in responses}) == 1


async def test_rekey_makes_another_and_forgets_the_old(vault: Vault) -> None:
    workspace = vault.workspace()
    old = (await workspace.put_webmail_key()).json()
    new = (await workspace.put_webmail_key(rekey=True)).json()
    assert new["version"] == 2
    assert new["key"] != old["key"]
    assert (await workspace.put_webmail_key()).json() == new
    stored = await vault.rows("select version from secret where owner_id = :s", s=workspace.server_id)
    assert stored == [{"version": 2}]


async def test_each_host_has_its_own(vault: Vault) -> None:
    workspace = vault.workspace()
    other = Workspace(vault, id=workspace.id)
    assert (await workspace.put_webmail_key()).json()["key"] != (await other.put_webmail_key()).json()["key"]


async def test_the_key_is_derived_for_its_host_and_is_not_what_is_stored(vault: Vault) -> None:
    workspace = vault.workspace()
    key = (await workspace.put_webmail_key()).json()["key"]
    async with vault.api_database.transaction(workspace_id=workspace.id) as session:
        secret = await stored(session, workspace.server_id)
        assert secret is not None
        store = vault.resources.servers._store
        access = await audited.grant(
            session, identity(workspace), workspace_id=workspace.id, purpose="webmail_key",
            action="vault.webmail_key.read", target=workspace.server_id, owners=[workspace.server_id],
        )  # fmt: skip
        seed = (await store.open(access, secret)).reveal()
    info = b"".join(
        len(part).to_bytes(4, "big") + part
        for part in (
            b"sc.webmail.v1",
            workspace.id.encode(),
            workspace.server_id.encode(),
            workspace.hostname.encode(),
        )
    )
    # RFC 5869 by hand: extract with a salt of zeros, then one block of expand.
    extracted = hmac.digest(bytes(32), seed, "sha256")
    assert base64.urlsafe_b64decode(key + "=") == hmac.digest(extracted, info + b"\x01", "sha256")
    other = (await workspace.put_webmail_key(hostname="renamed.mx.sendchief.test")).json()["key"]
    assert other != key


async def test_a_host_of_the_release_before_goes_on_with_its_key_until_it_is_keyed_anew(vault: Vault) -> None:
    workspace = vault.workspace()
    async with vault.api_database.transaction(workspace_id=workspace.id) as session:
        session.add(Server(id=workspace.server_id, workspace_id=workspace.id, hostname=workspace.hostname))
        await vault.resources.servers._store.seal(
            session, SecretBytes(b"k" * 32), workspace_id=workspace.id, owner_kind="server",
            owner_id=workspace.server_id, field="webmail_key", version=1, state="current",
            server_id=workspace.server_id,
        )  # fmt: skip
    before = (await workspace.put_webmail_key()).json()
    assert (before["version"], base64.urlsafe_b64decode(before["key"] + "=")) == (1, b"k" * 32)
    after = (await workspace.put_webmail_key(rekey=True)).json()
    assert after["version"] == 2
    assert after["key"] != before["key"]
    fields = await vault.rows("select field, version from secret where owner_id = :s", s=workspace.server_id)
    assert fields == [{"field": "webmail_seed", "version": 2}]


async def test_making_and_reading_are_on_record(vault: Vault) -> None:
    workspace = vault.workspace()
    await workspace.put_webmail_key()
    assert [(r["action"], r["actor_kind"], r["actor_id"]) for r in await workspace.audit()] == [
        ("vault.webmail_key.made", "service", "provisioner"),
        ("vault.webmail_key.read", "service", "provisioner"),
    ]


async def test_a_host_of_another_workspace_is_not_found(vault: Vault) -> None:
    workspace = vault.workspace()
    await workspace.put_webmail_key()
    stranger = vault.workspace(server_id=workspace.server_id)
    assert (await stranger.put_webmail_key(rekey=True)).status_code == 404


@pytest.mark.parametrize(
    "hostname", ["localhost", "a b.test", "x.test/path", "-a.test", "a..test", "A.test", ""]
)
async def test_what_is_no_host_name_is_refused(vault: Vault, hostname: str) -> None:
    workspace = vault.workspace()
    body = {"workspace_id": workspace.id, "hostname": hostname}
    response = await vault.client.put(
        f"/internal/servers/{workspace.server_id}/webmail-key",
        json=body,
        headers=workspace.service("provisioner"),
    )
    assert response.status_code == 422


async def test_a_deleted_server_loses_its_secrets_and_a_second_one_keeps_its_own(vault: Vault) -> None:
    first = vault.workspace()
    second = Workspace(vault, id=first.id, owner=first.owner)
    await first.server()
    await second.server()
    gone = await first.mailbox("a@example-a.test")
    kept = await second.mailbox("b@example-a.test")
    password = await second.password(kept)
    await vault.bus.deliver(ServerDeleted(workspace_id=first.id, server_id=first.server_id))
    left = await vault.rows("select owner_id from secret where workspace_id = :w order by 1", w=first.id)
    assert [row["owner_id"] for row in left] == sorted([kept, second.server_id])
    assert (await first.post(f"/mailboxes/{gone}/reveal", {"reason": "still there?"})).status_code == 404
    assert await second.password(kept) == password
    row = next(r for r in await first.audit() if r["action"] == "vault.secrets.deleted")
    assert (row["target"], row["data"], row["actor_id"]) == (first.server_id, {"secrets": 2}, "vault")


async def test_late_calls_and_events_do_not_bring_a_deleted_server_back(vault: Vault) -> None:
    workspace = vault.workspace()
    await workspace.server()
    await vault.bus.deliver(ServerDeleted(workspace_id=workspace.id, server_id=workspace.server_id))
    await vault.bus.deliver(
        ServerReady(
            workspace_id=workspace.id, server_id=workspace.server_id, hostname=workspace.hostname,
            ipv4="198.51.100.16", ipv6="2001:db8:5c::1", zone="fr-par-1",
        )
    )  # fmt: skip
    assert (await workspace.put_webmail_key()).status_code == 404
    assert (await workspace.put_mailbox(new_id("mbx"))).status_code == 404
    rows = await vault.rows("select hostname from server where id = :s", s=workspace.server_id)
    assert rows == [{"hostname": None}]


async def test_deleting_a_server_that_was_never_seen_is_remembered(vault: Vault) -> None:
    workspace = vault.workspace()
    await vault.bus.deliver(ServerDeleted(workspace_id=workspace.id, server_id=workspace.server_id))
    assert (await workspace.put_webmail_key()).status_code == 404
    assert all(row["action"] != "vault.secrets.deleted" for row in await workspace.audit())


async def test_the_ready_event_teaches_the_host_name(vault: Vault) -> None:
    workspace = vault.workspace()
    await vault.bus.deliver(
        ServerReady(
            workspace_id=workspace.id, server_id=workspace.server_id, hostname="s1.mx.sendchief.test",
            ipv4="198.51.100.16", ipv6="2001:db8:5c::1", zone="fr-par-1",
        )
    )  # fmt: skip
    rows = await vault.rows("select hostname from server where id = :s", s=workspace.server_id)
    assert rows == [{"hostname": "s1.mx.sendchief.test"}]


async def test_an_event_of_one_workspace_cannot_end_anothers_server(vault: Vault) -> None:
    workspace = vault.workspace()
    await workspace.server()
    await vault.bus.deliver(ServerDeleted(workspace_id=new_id("ws"), server_id=workspace.server_id))
    assert (await workspace.put_webmail_key()).status_code == 200
