"""Format 1: the golden file never changes; nothing opens but what was sealed for exactly this binding."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.vault import associated_data, envelope
from services.vault.aead import NotAuthentic
from services.vault.secret_bytes import SecretBytes

GOLDEN = json.loads(Path(__file__).with_name("golden").joinpath("format1.json").read_text())
KEY = SecretBytes(bytes(range(32)))
BINDING = envelope.Binding("test", "ws_a", "mailbox", "mbx_a", "password", 3)


def sealed(binding: envelope.Binding = BINDING, *, plaintext: bytes = b"secret") -> bytes:
    return envelope.encrypt(
        SecretBytes(plaintext), data_key=KEY, data_key_version=9, binding=binding, random_bytes=os.urandom
    )


@pytest.mark.parametrize("case", GOLDEN["cases"])
def test_golden_ciphertext_opens(case: dict[str, Any]) -> None:
    opened = envelope.decrypt(
        bytes.fromhex(case["ciphertext"]),
        data_key=SecretBytes(bytes.fromhex(case["data_key"])),
        binding=envelope.Binding(**case["binding"]),
    )
    assert opened.reveal() == bytes.fromhex(case["plaintext"])


@pytest.mark.parametrize("case", GOLDEN["cases"])
def test_the_same_randomness_gives_the_golden_ciphertext(case: dict[str, Any]) -> None:
    randomness = iter(bytes.fromhex(value) for value in case["random"])
    made = envelope.encrypt(
        SecretBytes(bytes.fromhex(case["plaintext"])),
        data_key=SecretBytes(bytes.fromhex(case["data_key"])),
        data_key_version=case["data_key_version"],
        binding=envelope.Binding(**case["binding"]),
        random_bytes=lambda _: next(randomness),
    )
    assert made.hex() == case["ciphertext"]


@pytest.mark.parametrize("case", GOLDEN["cases"])
def test_check_value_is_golden(case: dict[str, Any]) -> None:
    assert envelope.check_value(SecretBytes(bytes.fromhex(case["data_key"]))).hex() == case["check_value"]


@pytest.mark.asvs("11.3.3")
def test_a_changed_byte_anywhere_does_not_open() -> None:
    good = sealed()
    for position in range(len(good)):
        for mask in (0x01, 0x80, 0xFF):
            bad = bytearray(good)
            bad[position] ^= mask
            with pytest.raises(NotAuthentic):
                envelope.decrypt(bytes(bad), data_key=KEY, binding=BINDING)


def test_a_cut_or_lengthened_ciphertext_does_not_open() -> None:
    good = sealed()
    for length in range(len(good)):
        with pytest.raises(NotAuthentic):
            envelope.decrypt(good[:length], data_key=KEY, binding=BINDING)
    with pytest.raises(NotAuthentic):
        envelope.decrypt(good + b"\0", data_key=KEY, binding=BINDING)


@pytest.mark.parametrize(
    "change",
    [
        {"environment": "production"},
        {"scope": "ws_b"},
        {"owner_kind": "server"},
        {"owner_id": "mbx_b"},
        {"field": "token"},
        {"version": 2},
        {"version": 4},
    ],
)
def test_a_row_moved_elsewhere_does_not_open(change: dict[str, Any]) -> None:
    with pytest.raises(NotAuthentic):
        envelope.decrypt(sealed(), data_key=KEY, binding=BINDING._replace(**change))


def test_two_rows_of_one_scope_cannot_be_swapped() -> None:
    other = BINDING._replace(owner_id="mbx_b")
    mine, theirs = sealed(), sealed(other)
    with pytest.raises(NotAuthentic):
        envelope.decrypt(theirs, data_key=KEY, binding=BINDING)
    # nor half of one: the wrap of one row with the payload of the other
    cut = len(mine) - len(b"secret") - 28
    with pytest.raises(NotAuthentic):
        envelope.decrypt(mine[:cut] + theirs[cut:], data_key=KEY, binding=BINDING)


def test_every_byte_of_the_associated_data_counts() -> None:
    data = BINDING.wrap_data(9)
    assert data.startswith(BINDING.secret_data())
    key, nonce = bytes(32), bytes(12)
    from services.vault.aead import open_sealed, seal

    made = seal(key, nonce, b"x", data)
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1
        with pytest.raises(NotAuthentic):
            open_sealed(key, nonce, made, bytes(changed))


def test_another_data_key_does_not_open() -> None:
    with pytest.raises(NotAuthentic):
        envelope.decrypt(sealed(), data_key=SecretBytes(bytes(32)), binding=BINDING)


def test_each_encryption_takes_fresh_nonces_and_a_fresh_key() -> None:
    made = {sealed() for _ in range(50)}
    assert len({envelope.wrap_nonce(one) for one in made}) == 50
    assert len({one[17:65] for one in made}) == 50


def test_the_header_tells_the_data_key_version() -> None:
    assert envelope.data_key_version(sealed()) == 9


def test_another_format_is_refused_before_anything_is_tried() -> None:
    with pytest.raises(NotAuthentic, match="known format"):
        envelope.data_key_version(b"\x02" + sealed()[1:])


fields = st.lists(st.one_of(st.text(max_size=6), st.integers(0, 2**64 - 1)), max_size=5)


@given(fields, fields)
def test_different_lists_never_encode_alike(left: list[str | int], right: list[str | int]) -> None:
    """A number and a text of the same eight bytes are the one coincidence; no field is ever both."""
    shape = [type(item) for item in left] == [type(item) for item in right]
    if left != right and shape:
        assert associated_data.encode(*left) != associated_data.encode(*right)
