"""The keyring file: readable by its owner alone, or nothing starts."""

from __future__ import annotations

import json
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.vault.aead import NotAuthentic
from services.vault.keyservice import keyring
from services.vault.keyservice.keyring import Keyring, KeyringUnsafe

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CONTEXT = b"which key this is"
DATA_KEY = bytes(range(32))


def ring() -> Keyring:
    key = keyring.new_root_key(NOW)
    return Keyring((key,), key.id)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keyring.json"


def test_a_new_file_is_readable_by_its_owner_alone_and_loads(path: Path) -> None:
    before = os.umask(0)
    try:
        keyring.create(path, made := ring())
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    loaded = keyring.load(path)
    key_id, wrapped = made.wrap(DATA_KEY, CONTEXT)
    assert loaded.unwrap(key_id, wrapped, CONTEXT) == DATA_KEY


def test_an_existing_file_is_never_overwritten(path: Path) -> None:
    keyring.create(path, ring())
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        keyring.create(path, ring())
    assert path.read_bytes() == before


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o644, 0o666])
def test_a_file_that_others_can_reach_is_refused(path: Path, mode: int) -> None:
    keyring.create(path, ring())
    path.chmod(mode)
    with pytest.raises(KeyringUnsafe, match=f"mode {mode:04o}"):
        keyring.load(path)


def test_a_link_to_a_good_file_is_refused(path: Path, tmp_path: Path) -> None:
    keyring.create(path, ring())
    link = tmp_path / "link"
    link.symlink_to(path)
    with pytest.raises(KeyringUnsafe):
        keyring.load(link)


def test_what_is_no_plain_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyringUnsafe, match="plain file"):
        keyring.load(tmp_path)
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(KeyringUnsafe, match="plain file"):
        keyring.load(tmp_path / "pipe")


def test_a_missing_file_is_named(path: Path) -> None:
    with pytest.raises(KeyringUnsafe, match=r"keyring\.json"):
        keyring.load(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_owner_is_refused(path: Path) -> None:
    keyring.create(path, ring(), owner=12345)
    assert path.stat().st_uid == 12345
    with pytest.raises(KeyringUnsafe, match="uid 12345"):
        keyring.load(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not json",
        b"[]",
        b"{}",
        b'{"format": 2, "primary": "a", "keys": []}',
        b'{"format": 1, "primary": "a", "keys": []}',
        b'{"format": 1, "primary": "a", "keys": [{"id": "a", "created_at": "", "key": "AAAA"}]}',
        b'{"format": 1, "primary": "a", "keys": [{"id": "a", "created_at": "", "key": "?"}]}',
        b'{"format": 1, "primary": "a", "keys": [{"id": "a"}]}',
    ],
)
def test_a_broken_file_is_refused_without_quoting_it(content: bytes) -> None:
    with pytest.raises(KeyringUnsafe) as caught:
        keyring.parse(content)
    assert "AAAA" not in str(caught.value)


def test_an_id_may_not_occur_twice() -> None:
    key = keyring.new_root_key(NOW)
    with pytest.raises(KeyringUnsafe):
        Keyring((key, key), key.id)


@pytest.mark.asvs("11.2.2")
def test_a_new_primary_wraps_and_the_old_one_still_opens(path: Path) -> None:
    keyring.create(path, old := ring())
    old_id, wrapped = old.wrap(DATA_KEY, CONTEXT)
    keyring.replace(path, old.with_new_primary(NOW))
    grown = keyring.load(path)
    new_id, again = grown.wrap(DATA_KEY, CONTEXT)
    assert new_id != old_id
    assert grown.unwrap(old_id, wrapped, CONTEXT) == DATA_KEY
    assert grown.unwrap(new_id, again, CONTEXT) == DATA_KEY
    assert set(grown.ids()) == {old_id, new_id}


def test_every_changed_byte_of_a_wrapped_key_is_refused() -> None:
    one = ring()
    key_id, wrapped = one.wrap(DATA_KEY, CONTEXT)
    for position in range(len(wrapped)):
        changed = bytearray(wrapped)
        changed[position] ^= 1
        with pytest.raises(NotAuthentic):
            one.unwrap(key_id, bytes(changed), CONTEXT)
    for length in range(len(wrapped)):
        with pytest.raises(NotAuthentic):
            one.unwrap(key_id, wrapped[:length], CONTEXT)


def test_another_context_or_root_key_opens_nothing() -> None:
    one = ring()
    key_id, wrapped = one.wrap(DATA_KEY, CONTEXT)
    with pytest.raises(NotAuthentic):
        one.unwrap(key_id, wrapped, CONTEXT + b"x")
    with pytest.raises(NotAuthentic, match="no such root key"):
        one.unwrap("rk_other", wrapped, CONTEXT)


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_it_wraps_data_keys_and_nothing_else(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        ring().wrap(bytes(length), CONTEXT)


def test_the_file_holds_what_init_promises(path: Path) -> None:
    keyring.create(path, made := ring())
    document = json.loads(path.read_text())
    assert document["format"] == 1
    assert document["primary"] == made.primary
    assert [entry["created_at"] for entry in document["keys"]] == [NOW.isoformat()]
