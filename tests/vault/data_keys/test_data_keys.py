"""Data keys: cached briefly, replaced when due, never used unchecked; and the key service being away."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from services.vault import metrics
from services.vault.app import create_app
from services.vault.data_keys import repository
from services.vault.data_keys.versions import MOST_ENCRYPTIONS
from services.vault.secret_bytes import SecretBytes
from services.vault.wiring import build_resources
from shared.contracts.auth_events import WorkspaceDeleted
from shared.ids import new_id
from tests.vault.conftest import Vault, Workspace, eventually


async def keys(vault: Vault, workspace: Workspace) -> list[tuple[int, str, int]]:
    rows = await vault.rows(
        "select version, state, encryptions from data_key where scope = :w order by version", w=workspace.id
    )
    return [(row["version"], row["state"], row["encryptions"]) for row in rows]


async def reveal(workspace: Workspace, mailbox_id: str) -> Any:
    return await workspace.post(f"/mailboxes/{mailbox_id}/reveal", {"reason": "in a test"})


async def test_a_key_service_that_is_away_is_bridged_for_five_minutes_then_503(vault: Vault) -> None:
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    await vault.keys.stop()
    vault.clock.advance(timedelta(minutes=4, seconds=59))
    assert (await reveal(workspace, mailbox_id)).status_code == 200
    vault.clock.advance(timedelta(seconds=1))
    response = await reveal(workspace, mailbox_id)
    assert response.status_code == 503
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["retry-after"] == "5"
    assert response.json()["code"] == "key_service_unavailable"
    assert [(r["outcome"], r["reason"]) for r in await workspace.audit()][-2:] == [
        ("ok", "in a test"),
        ("failed", "key_service_unavailable"),
    ]
    assert await workspace.decrypts() == {"reveal": 1}
    await vault.keys.start()
    assert (await reveal(workspace, mailbox_id)).status_code == 200


async def test_without_the_key_service_no_password_is_made_for_a_new_workspace(vault: Vault) -> None:
    workspace = vault.workspace()
    await vault.keys.stop()
    mailbox_id = new_id("mbx")
    assert (await workspace.put_mailbox(mailbox_id)).status_code == 503
    assert await keys(vault, workspace) == []
    await vault.keys.start()
    assert (await workspace.put_mailbox(mailbox_id)).status_code == 200


async def test_stored_verifiers_need_no_key_service(vault: Vault) -> None:
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    vault.resources.cache.purge(workspace.id)
    await vault.keys.stop()
    assert (await workspace.put_mailbox(mailbox_id)).status_code == 200


async def test_one_unwrap_serves_many_requests(vault: Vault) -> None:
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    before = metrics.DATA_KEYS_UNWRAPPED._value.get()
    for _ in range(5):
        await reveal(workspace, mailbox_id)
    assert metrics.DATA_KEYS_UNWRAPPED._value.get() == before


@pytest.mark.parametrize(
    "change",
    [
        "update data_key set encryptions = 1048576",
        "update data_key set created_at = created_at - interval '90 days'",
    ],
)
async def test_a_key_that_is_due_is_replaced_and_still_opens_what_it_sealed(
    vault: Vault, change: str
) -> None:
    workspace = vault.workspace()
    old = await workspace.mailbox("old@example-a.test")
    await vault.run(f"{change} where scope = :w", w=workspace.id)
    new = await workspace.mailbox("new@example-a.test")
    states = [(version, state) for version, state, _ in await keys(vault, workspace)]
    assert states == [(1, "decrypt_only"), (2, "active")]
    assert (await reveal(workspace, old)).status_code == 200
    assert (await reveal(workspace, new)).status_code == 200


async def test_writers_at_the_same_time_replace_it_once(vault: Vault) -> None:
    workspace = vault.workspace()
    await workspace.mailbox()
    await vault.run(
        "update data_key set encryptions = :n where scope = :w", n=MOST_ENCRYPTIONS, w=workspace.id
    )
    await asyncio.gather(*(workspace.mailbox(f"m{n}@example-a.test") for n in range(8)))
    assert await keys(vault, workspace) == [(1, "decrypt_only", MOST_ENCRYPTIONS), (2, "active", 8)]


async def test_a_version_retired_while_it_is_taken_is_not_used(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = vault.workspace()
    await workspace.mailbox()
    count = repository.count_encryption

    async def too_late(session: Any, scope: str, number: int) -> bool:
        monkeypatch.setattr(repository, "count_encryption", count)
        await repository.retire(session, scope, number)
        return await count(session, scope, number)

    monkeypatch.setattr(repository, "count_encryption", too_late)
    mailbox_id = await workspace.mailbox("late@example-a.test")
    assert await keys(vault, workspace) == [(1, "decrypt_only", 1), (2, "active", 1)]
    assert (await reveal(workspace, mailbox_id)).status_code == 200


async def test_a_version_started_by_another_while_waiting_is_taken_over(
    vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = vault.workspace()
    await workspace.mailbox()
    active = repository.active

    async def not_yet_seen(_: Any, __: str) -> None:
        monkeypatch.setattr(repository, "active", active)

    monkeypatch.setattr(repository, "active", not_yet_seen)
    await workspace.mailbox("late@example-a.test")
    assert await keys(vault, workspace) == [(1, "active", 2)]


async def test_the_platform_has_a_scope_of_its_own(vault: Vault) -> None:
    data_keys = vault.resources.mailboxes._store._data_keys
    async with vault.worker_database.transaction(workspace_id="platform") as session:
        made = await data_keys.for_encryption(session, "platform")
        assert await data_keys.for_decryption(session, "platform", made.version) == made.key
    workspace = vault.workspace()
    async with vault.api_database.transaction(workspace_id=workspace.id) as session:
        assert await repository.active(session, "platform") is None


async def test_a_wrapped_key_of_another_workspace_opens_nothing(vault: Vault) -> None:
    workspace, other = vault.workspace(), vault.workspace()
    mailbox_id = await workspace.mailbox()
    await other.mailbox()
    await vault.run(
        "update data_key set wrapped = (select wrapped from data_key where scope = :o) where scope = :w",
        o=other.id, w=workspace.id,
    )  # fmt: skip
    vault.resources.cache.purge(workspace.id)
    assert (await reveal(workspace, mailbox_id)).status_code == 500
    assert await workspace.decrypts() == {}


async def test_a_key_that_fails_its_check_value_is_not_used(vault: Vault) -> None:
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    await vault.run("update data_key set check_value = '\\x00' where scope = :w", w=workspace.id)
    vault.resources.cache.purge(workspace.id)
    assert (await reveal(workspace, mailbox_id)).status_code == 500


async def test_another_installations_environment_opens_nothing(vault: Vault) -> None:
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    settings = vault.settings.model_copy(update={"environment": "staging"})
    import httpx

    app = create_app(settings, build_resources(settings, clock=vault.clock))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://vault") as client:
        response = await client.post(
            f"/v1/workspaces/{workspace.id}/mailboxes/{mailbox_id}/reveal",
            json={"reason": "in a test"},
            headers=workspace.headers(),
        )
    await app.state.database.dispose()
    assert response.status_code == 500


async def test_a_rolled_back_key_is_never_taken_for_the_one_that_was_kept(vault: Vault) -> None:
    workspace = vault.workspace()

    class Interrupted(Exception):
        pass

    async def interrupted() -> None:
        async with vault.api_database.transaction(workspace_id=workspace.id) as session:
            await vault.resources.mailboxes._store._data_keys.for_encryption(session, workspace.id)
            raise Interrupted

    with pytest.raises(Interrupted):
        await interrupted()
    assert await keys(vault, workspace) == []
    mailbox_id = await workspace.mailbox()
    vault.resources.cache.purge(workspace.id)
    assert (await reveal(workspace, mailbox_id)).status_code == 200


async def test_a_repeated_nonce_under_one_key_raises_the_alarm(vault: Vault) -> None:
    from sqlalchemy.exc import IntegrityError

    workspace = vault.workspace()
    store = build_resources(
        vault.settings, clock=vault.clock, random_bytes=lambda count: b"\x07" * count
    ).mailboxes._store

    async def seal_two() -> None:
        async with vault.api_database.transaction(workspace_id=workspace.id) as session:
            for number in (1, 2):
                await store.seal(
                    session, SecretBytes(b"x"), workspace_id=workspace.id, owner_kind="mailbox",
                    owner_id=f"mbx_{number}", field="password", version=1, state="pending",
                )  # fmt: skip

    with pytest.raises(IntegrityError, match="wrap_nonce"):
        await seal_two()


async def test_a_cached_key_does_not_outlive_a_shredding_by_another_process(vault: Vault) -> None:
    """The API process hears of it, and if it did not, the row tells."""
    workspace = vault.workspace()
    mailbox_id = await workspace.mailbox()
    cached = vault.resources.cache.get(workspace.id, 1, await check_value(vault, workspace))
    assert cached is not None
    await vault.run("update data_key set state = 'shredded', wrapped = null where scope = :w", w=workspace.id)
    response = await reveal(workspace, mailbox_id)
    assert (response.status_code, response.json()["code"]) == (410, "workspace_shredded")
    assert workspace.id not in vault.resources.cache.scopes()


async def check_value(vault: Vault, workspace: Workspace) -> bytes:
    rows = await vault.rows("select check_value from data_key where scope = :w", w=workspace.id)
    return bytes(rows[0]["check_value"])


async def test_the_running_api_drops_shredded_keys_at_once(vault: Vault) -> None:
    """With the application's lifespan: LISTEN in the API, NOTIFY in the worker's transaction."""
    worker = build_resources(vault.settings, clock=vault.clock)
    vault.bus.resources = worker
    async with vault.app.router.lifespan_context(vault.app):
        await listening(vault)
        workspace = vault.workspace()
        await workspace.mailbox()
        assert workspace.id in vault.resources.cache.scopes()
        await vault.bus.deliver(WorkspaceDeleted(workspace_id=workspace.id))
        await eventually(lambda: workspace.id not in vault.resources.cache.scopes())


LISTENERS = (
    "from pg_stat_activity where datname = current_database() and lower(query) like 'listen%vault_shredded%'"
)


async def listening(vault: Vault) -> None:
    def found() -> bool:
        return bool(vault.database.postgres.psql(f"select 1 {LISTENERS}", vault.database.name))

    await eventually(found)


async def test_the_api_listens_again_after_a_lost_connection_and_forgets_what_it_knew(vault: Vault) -> None:
    async with vault.app.router.lifespan_context(vault.app):
        await listening(vault)
        workspace = vault.workspace()
        await workspace.mailbox()
        end = f"select pg_terminate_backend(pid) {LISTENERS}"
        vault.database.postgres.psql(end, vault.database.name)
        await eventually(lambda: workspace.id not in vault.resources.cache.scopes())
        await listening(vault)


async def test_memory_is_emptied_when_the_api_stops(vault: Vault) -> None:
    async with vault.app.router.lifespan_context(vault.app):
        await vault.workspace().mailbox()
        assert vault.resources.cache.scopes()
    assert not vault.resources.cache.scopes()
