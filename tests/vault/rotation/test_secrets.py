"""After a new data key: secrets' keys are rewrapped, and no secret is opened."""

from __future__ import annotations

import asyncio
import signal
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from services.vault.data_keys.versions import MOST_ENCRYPTIONS
from services.vault.errors import KeyRefused, WorkspaceShredded
from services.vault.ports import KeyContext, SecretWrap, WrappedKey
from services.vault.providers.local_key_service import LocalKeyService
from services.vault.secret_bytes import SecretBytes
from services.vault.secrets import repository as secret_rows
from shared.contracts.auth_events import WorkspaceDeleted
from shared.identity import Identity
from shared.ids import new_id
from tests.vault.conftest import Vault
from tests.vault.rotation.conftest import Customer, admin, decrypted, rotation

PAYLOAD_AT = 65  # format 1: 1 + 4 + 12 + 48


async def payloads(customer: Customer) -> dict[str, bytes]:
    rows = await customer.vault.rows(
        "select id, ciphertext from secret where workspace_id = :w", w=customer.id
    )
    return {row["id"]: bytes(row["ciphertext"])[PAYLOAD_AT:] for row in rows}


async def test_every_secret_moves_to_the_new_key_and_none_is_opened(customer: Customer) -> None:
    await customer.add(25)
    before, counted = await payloads(customer), decrypted()
    rotating = rotation(customer.vault)
    assert await rotating.start_version(customer.id) == 2
    assert await customer.versions() == {1: 25}
    report = await rotating.run(customer.id)
    assert (report.secrets_rewrapped, report.damaged) == (25, [])
    assert await customer.versions() == {2: 25}
    assert await customer.keys() == [(1, "decrypt_only"), (2, "active")]
    assert await payloads(customer) == before
    assert decrypted() == counted
    assert await customer.workspace.decrypts() == {}
    assert await customer.all_open()


async def test_wraps_that_were_taken_over_are_counted_and_do_not_make_the_new_key_due(
    customer: Customer,
) -> None:
    await customer.add(3)
    rotating = rotation(customer.vault)
    await rotating.start_version(customer.id)
    await rotating.run(customer.id)
    (row,) = await customer.vault.rows(
        "select encryptions, rewraps from data_key where scope = :w and version = 2", w=customer.id
    )
    assert (row["encryptions"], row["rewraps"]) == (0, 3)
    await customer.vault.run(
        "update data_key set rewraps = :n where scope = :w", n=MOST_ENCRYPTIONS, w=customer.id
    )
    assert (await rotating.run(customer.id)).versions_started == 0


async def test_a_key_of_ninety_days_is_replaced_though_nobody_writes(customer: Customer) -> None:
    await customer.add(2)
    rotating = rotation(customer.vault)
    customer.vault.clock.advance(timedelta(days=89, hours=23))
    assert (await rotating.run(customer.id)).versions_started == 0
    customer.vault.clock.advance(timedelta(hours=2))
    report = await rotating.run(customer.id)
    assert (report.versions_started, report.secrets_rewrapped) == (1, 2)
    assert await customer.versions() == {2: 2}


async def test_an_old_key_is_destroyed_an_hour_after_the_last_secret_left_it(customer: Customer) -> None:
    await customer.add(2)
    rotating = rotation(customer.vault)
    await rotating.start_version(customer.id)
    await rotating.run(customer.id)
    customer.vault.clock.advance(timedelta(minutes=59))
    assert (await rotating.run(customer.id)).versions_retired == 0
    customer.vault.clock.advance(timedelta(minutes=2))
    assert (await rotating.run(customer.id)).versions_retired == 1
    assert await customer.keys() == [(1, "retired"), (2, "active")]
    (row,) = await customer.vault.rows(
        "select wrapped, check_value from data_key where scope = :w and version = 1", w=customer.id
    )
    assert (row["wrapped"], row["check_value"]) == (None, b"")
    assert await customer.all_open()


async def test_what_does_not_open_is_reported_and_keeps_its_key_from_being_destroyed(
    customer: Customer,
) -> None:
    await customer.add(3)
    (damaged, *_) = list(customer.passwords)
    await customer.vault.run(
        "update secret set ciphertext = set_byte(ciphertext, 30, get_byte(ciphertext, 30) # 1) "
        "where owner_id = :m",
        m=damaged,
    )
    rotating = rotation(customer.vault)
    await rotating.start_version(customer.id)
    report = await rotating.run(customer.id)
    assert (report.secrets_rewrapped, len(report.damaged)) == (2, 1)
    customer.vault.clock.advance(timedelta(hours=3))
    assert (await rotating.run(customer.id)).versions_retired == 0
    assert await customer.keys() == [(1, "decrypt_only"), (2, "active")]


async def test_one_workspace_is_rotated_without_touching_another(vault: Vault) -> None:
    one, other = Customer(vault.workspace(), {}), Customer(vault.workspace(), {})
    await one.add(2)
    await other.add(2)
    rotating = rotation(vault)
    await rotating.start_version(one.id)
    await rotating.start_version(other.id)
    await rotating.run(one.id)
    assert await one.versions() == {2: 2}
    assert await other.versions() == {1: 2}


@pytest.mark.parametrize("place", ["rotation-rewrapped:3", "rotation-moved:3"])
async def test_a_run_that_is_killed_is_resumed_by_the_next(customer: Customer, place: str) -> None:
    """The command as a process of the worker's uid, which the key service gives no key."""
    await customer.add(60)
    before = await payloads(customer)
    arguments = ["rotate", "--workspace", customer.id, "--batch", "10"]
    status, _ = await admin(customer.vault, [*arguments, "--new-key"], SC_CRASHPOINT=place)
    assert status == -signal.SIGKILL
    done = 20 if place.startswith("rotation-rewrapped") else 30
    assert await customer.versions() == {1: 60 - done, 2: done}
    assert await customer.all_open()
    status, report = await admin(customer.vault, arguments)
    assert (status, report["secrets_rewrapped"], report["damaged"]) == (0, 60 - done, [])
    assert await customer.versions() == {2: 60}
    assert await payloads(customer) == before
    assert await customer.all_open()


class Interfering(LocalKeyService):
    """Lets something else happen between the reading of a batch and its writing."""

    def __init__(self, vault: Vault, happens: Any) -> None:
        super().__init__(vault.keys.socket)
        self._happens = happens

    async def rewrap_secrets(
        self, old: tuple[WrappedKey, KeyContext], new: tuple[WrappedKey, KeyContext], wraps: Any
    ) -> list[bytes | None]:
        answer = await super().rewrap_secrets(old, new, wraps)
        await self._happens()
        return answer


async def change_password(customer: Customer, mailbox_id: str, password: str) -> None:
    store = customer.vault.resources.mailboxes._store
    async with customer.vault.api_database.transaction(workspace_id=customer.id) as session:
        await secret_rows.delete_older(session, "mailbox", mailbox_id, "password", than=2)
        await store.seal(
            session, SecretBytes(password.encode()), workspace_id=customer.id, owner_kind="mailbox",
            owner_id=mailbox_id, field="password", version=2, state="current",
        )  # fmt: skip
    customer.passwords[mailbox_id] = password


async def test_a_password_that_is_changed_meanwhile_stays_changed(customer: Customer) -> None:
    await customer.add(5)
    (changed, *_) = list(customer.passwords)
    rotating = rotation(
        customer.vault,
        key_service=Interfering(customer.vault, lambda: change_password(customer, changed, "a new one")),
    )
    await rotating.start_version(customer.id)
    assert (await rotating.run(customer.id)).secrets_rewrapped == 4
    rows = await customer.vault.rows(
        "select version, data_key_version from secret where owner_id = :m", m=changed
    )
    assert [(row["version"], row["data_key_version"]) for row in rows] == [(2, 2)]
    assert await customer.all_open()


async def test_a_row_that_another_run_has_moved_is_left_as_it_is(customer: Customer) -> None:
    await customer.add(5)
    other = rotation(customer.vault)
    await other.start_version(customer.id)

    async def moved_by_another() -> None:
        assert (await other.run(customer.id)).secrets_rewrapped == 5

    mine = rotation(customer.vault, key_service=Interfering(customer.vault, moved_by_another))
    assert (await mine.run(customer.id)).secrets_rewrapped == 0
    assert await customer.all_open()


async def test_nothing_moves_to_a_key_that_was_replaced_meanwhile(customer: Customer) -> None:
    await customer.add(5)
    other = rotation(customer.vault)
    await other.start_version(customer.id)
    mine = rotation(
        customer.vault, key_service=Interfering(customer.vault, lambda: other.start_version(customer.id))
    )
    assert (await mine.run(customer.id)).secrets_rewrapped == 0
    assert (await other.run(customer.id)).secrets_rewrapped == 5
    assert await customer.versions() == {3: 5}


async def test_runs_at_the_same_time_move_each_secret_once(customer: Customer) -> None:
    await customer.add(40)
    await rotation(customer.vault).start_version(customer.id)
    reports = await asyncio.gather(*(rotation(customer.vault, batch=7).run(customer.id) for _ in range(4)))
    left = (await rotation(customer.vault).run(customer.id)).secrets_rewrapped
    assert sum(report.secrets_rewrapped for report in reports) + left == 40
    assert await customer.versions() == {2: 40}
    assert await customer.all_open()


async def test_a_row_that_somebody_holds_is_not_waited_for(customer: Customer) -> None:
    await customer.add(5)
    (held, *_) = list(customer.passwords)
    rotating = rotation(customer.vault)
    await rotating.start_version(customer.id)
    async with customer.vault.api_database.transaction(workspace_id=customer.id) as session:
        await session.execute(text("select 1 from secret where owner_id = :m for update"), {"m": held})
        report = await asyncio.wait_for(rotating.run(customer.id), 20)
        assert report.secrets_rewrapped == 4
    assert (await rotating.run(customer.id)).secrets_rewrapped == 1
    assert await customer.all_open()


async def test_a_workspace_that_ends_meanwhile_stays_ended(customer: Customer) -> None:
    await customer.add(5)

    async def ends() -> None:
        await customer.vault.bus.deliver(WorkspaceDeleted(workspace_id=customer.id))

    rotating = rotation(customer.vault, key_service=Interfering(customer.vault, ends))
    await rotating.start_version(customer.id)
    assert (await rotating.run(customer.id)).secrets_rewrapped == 0
    assert await customer.versions() == {}
    assert await customer.keys() == [(1, "shredded"), (2, "shredded")]
    with pytest.raises(WorkspaceShredded):
        await rotating.start_version(customer.id)


async def test_an_export_that_was_redeemed_before_the_rotation_is_written_whole_after_it(
    customer: Customer,
) -> None:
    """More rows than a page has, so that the second is under the new data key and the first is not."""
    await customer.add(600)
    await customer.workspace.server()
    new = {"format": "json", "mailbox_ids": None, "reason": "in a test", "main_password": True}
    made = await customer.workspace.post("/exports", new, key=new_id("key"))
    link = made.raise_for_status().json()
    exports = customer.vault.resources.exports
    actor = Identity(
        "user", "usr_a", customer.id, "owner", frozenset(), frozenset(), None, None, "gateway", "req_a"
    )
    async with customer.vault.api_database.transaction(workspace_id=customer.id) as session:
        redeemed = await exports.redeem(session, actor, link["id"], link["token"])
    rotating = rotation(customer.vault, batch=500)
    await rotating.start_version(customer.id)
    await rotating.run(customer.id)
    customer.vault.resources.cache.purge(customer.id)
    written = b"".join([part async for part in exports.stream(customer.vault.api_database, redeemed)])
    assert written.count(b'"password-') >= 600
    assert all(f'"{password}"'.encode() in written for password in customer.passwords.values())


async def test_a_secret_of_another_workspace_is_not_rewrapped(vault: Vault) -> None:
    one, other = Customer(vault.workspace(), {}), Customer(vault.workspace(), {})
    await one.add(1)
    await other.add(1)
    rotating = rotation(vault)
    (row,) = await vault.rows("select * from data_key where scope = :w", w=one.id)
    key = WrappedKey(row["root_key_id"], row["wrapped"]), KeyContext(rotating._environment, one.id, 1)
    stolen = SecretWrap(b"whatever", bytes(60))
    with pytest.raises(KeyRefused, match="bad_request"):
        await LocalKeyService(vault.keys.socket).rewrap_secrets(key, key, [stolen])


async def test_a_data_key_that_does_not_open_keeps_no_other_from_being_emptied(vault: Vault) -> None:
    """In the order of their names, so that the damaged one comes first."""
    await vault.run("delete from data_key")
    one, other = sorted((Customer(vault.workspace(), {}) for _ in range(2)), key=lambda each: each.id)
    rotating = rotation(vault, batch=1)
    for each in (one, other):
        await each.add(3)
        await rotating.start_version(each.id)
    await vault.run(
        "update data_key set wrapped = set_byte(wrapped, 20, 255 - get_byte(wrapped, 20)) "
        "where scope = :w and version = 1",
        w=one.id,
    )
    report = await rotating.run()
    assert (report.secrets_rewrapped, report.damaged) == (3, [f"{one.id}/1"])
    assert (await one.versions(), await other.versions()) == ({1: 3}, {2: 3})
    assert await other.all_open()
