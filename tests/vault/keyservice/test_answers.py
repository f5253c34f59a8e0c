"""What is no answer of a KMS counts as none: of a proxy on the way, of another version, or of somebody else."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from services.vault.errors import KeyRefused, KeyServiceDenied, KeyServiceUnavailable, RootKeyDisabled
from services.vault.keyservice.providers.scaleway import ScalewayKeyManager
from services.vault.keyservice.providers.transit import Transit
from services.vault.ports import RootKeyStore, WrappedKey
from services.vault.secret_bytes import SecretBytes
from tests.vault.keyservice.conftest import answering

ID = "11111111-2222-4333-8444-555555555555"
KEY = SecretBytes(bytes(range(32)))
GOOD = base64.b64encode(KEY.reveal()).decode()

Answers = Callable[[httpx.Request], httpx.Response]


def scaleway(answers: Answers) -> tuple[RootKeyStore, WrappedKey]:
    store = ScalewayKeyManager(answering(answers), region="fr-par", key_id=ID)
    return store, WrappedKey(f"scaleway:{ID}:0", b"sealed")


def transit(answers: Answers) -> tuple[RootKeyStore, WrappedKey]:
    store = Transit(
        answering(answers), mount="transit", key="sendchief", token=lambda: SecretBytes(b"hvs.token")
    )
    return store, WrappedKey("transit:transit/sendchief:1", b"sealed")


def always(status: int = 200, **more: Any) -> Answers:
    return lambda _: httpx.Response(status, **more)


NONSENSE = {
    "html": always(text="<html>"),
    "nothing": always(text=""),
    "a list": always(json=[]),
    "a number": always(json=7),
    "deep": always(text="[" * 100_000),
    "an empty object": always(json={}),
    "another status": always(204),
    "elsewhere": always(307, headers={"Location": "https://other.test"}),
}


@pytest.mark.parametrize("name", NONSENSE)
@pytest.mark.parametrize("of", [scaleway, transit])
async def test_something_else_is_no_answer(of: Callable[[Answers], Any], name: str) -> None:
    store, wrapped = of(NONSENSE[name])
    for asked in (store.root_keys(), store.wrap(KEY, b"c"), store.unwrap(wrapped, b"c")):
        with pytest.raises(KeyServiceUnavailable) as caught:
            await asked
        assert type(caught.value) is KeyServiceUnavailable


@pytest.mark.parametrize(
    "plaintext",
    [
        None,
        7,
        "",
        "?",
        GOOD[:-4],
        GOOD + "AAAA",
        base64.b64encode(bytes(31)).decode(),
        GOOD[:-2] + "9=",
        " " + GOOD,
    ],
)
async def test_only_32_bytes_in_the_one_spelling_are_a_data_key(plaintext: Any) -> None:
    """`9=` in place of `8=` decodes to the same bytes."""
    for of, answer in (
        (scaleway, {"key_id": ID, "plaintext": plaintext}),
        (transit, {"data": {"plaintext": plaintext}}),
    ):
        store, wrapped = of(always(json=answer))
        with pytest.raises(KeyServiceUnavailable):
            await store.unwrap(wrapped, b"c")


async def test_the_right_answer_is_taken() -> None:
    for of, answer in (
        (scaleway, {"key_id": ID, "plaintext": GOOD, "ciphertext": None, "new": 1}),
        (transit, {"data": {"plaintext": GOOD}, "warnings": None}),
    ):
        store, wrapped = of(always(json=answer))
        assert await store.unwrap(wrapped, b"c") == KEY


async def test_an_answer_about_another_key_is_none() -> None:
    other = ID.replace("1", "2")
    store, wrapped = scaleway(always(json={"key_id": other, "plaintext": GOOD}))
    with pytest.raises(KeyServiceUnavailable):
        await store.unwrap(wrapped, b"c")


KEY_STATES = {
    "a text for a number": {"state": "enabled", "rotation_count": "1"},
    "a truth for a number": {"state": "enabled", "rotation_count": True},
    "below zero": {"state": "enabled", "rotation_count": -1},
    "absurd": {"state": "enabled", "rotation_count": 10**9},
    "no state": {"rotation_count": 1},
}


@pytest.mark.parametrize("name", KEY_STATES)
async def test_a_key_that_is_described_absurdly_is_not_used(name: str) -> None:
    store, _ = scaleway(always(json=KEY_STATES[name]))
    with pytest.raises(KeyServiceUnavailable) as caught:
        await store.root_keys()
    assert type(caught.value) is KeyServiceUnavailable


@pytest.mark.parametrize("state", ["disabled", "pending_key_material", "scheduled_for_deletion", "anything"])
async def test_only_an_enabled_key_is_used(state: str) -> None:
    store, _ = scaleway(always(json={"state": state, "rotation_count": 0}))
    for asked in (store.root_keys(), store.wrap(KEY, b"c")):
        with pytest.raises(RootKeyDisabled):
            await asked


TRANSIT_KEY = {"type": "aes256-gcm96", "derived": False, "latest_version": 3, "min_decryption_version": 1}


@pytest.mark.parametrize(
    "change",
    [
        {"type": "rsa-4096"},
        {"type": "aes256-cmac"},
        {"derived": True},
        {"soft_deleted": True},
        {"type": None},
    ],
)
async def test_a_transit_key_that_takes_no_associated_data_is_not_used(change: dict[str, Any]) -> None:
    store, _ = transit(always(json={"data": TRANSIT_KEY | change}))
    with pytest.raises(RootKeyDisabled):
        await store.root_keys()


@pytest.mark.parametrize(
    "change",
    [
        {"latest_version": 0},
        {"latest_version": "3"},
        {"min_decryption_version": 4},
        {"latest_version": 10**8},
    ],
)
async def test_absurd_versions_are_no_answer(change: dict[str, Any]) -> None:
    store, _ = transit(always(json={"data": TRANSIT_KEY | change}))
    with pytest.raises(KeyServiceUnavailable) as caught:
        await store.root_keys()
    assert type(caught.value) is KeyServiceUnavailable


@pytest.mark.parametrize(
    "ciphertext", ["", "vault:v0:", "vault:v1:?", "vault:vx:AAAA", "other:v1:AAAA", 7, "vault:v1:AAB="]
)
async def test_another_form_of_ciphertext_is_not_stored(ciphertext: Any) -> None:
    store, _ = transit(always(json={"data": {"ciphertext": ciphertext, "key_version": 1}}))
    with pytest.raises(KeyServiceUnavailable):
        await store.wrap(KEY, b"c")


@pytest.mark.parametrize("of", [scaleway, transit])
@pytest.mark.parametrize("status", [401, 403])
async def test_a_credential_that_is_not_accepted_is_denied(of: Callable[[Answers], Any], status: int) -> None:
    store, wrapped = of(always(status, json={"errors": ["permission denied"]}))
    for asked in (store.root_keys(), store.wrap(KEY, b"c"), store.unwrap(wrapped, b"c")):
        with pytest.raises(KeyServiceDenied):
            await asked


async def test_a_version_that_was_shut_off_is_told_from_what_does_not_open() -> None:
    def answers(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/keys/sendchief"):
            return httpx.Response(200, json={"data": TRANSIT_KEY | {"min_decryption_version": 2}})
        return httpx.Response(400, json={"errors": ["no"]})

    store, _ = transit(answers)
    with pytest.raises(RootKeyDisabled):
        await store.unwrap(WrappedKey("transit:transit/sendchief:1", b"sealed"), b"c")
    with pytest.raises(KeyRefused):
        await store.unwrap(WrappedKey("transit:transit/sendchief:2", b"sealed"), b"c")


async def test_a_node_that_is_behind_says_nothing_about_the_key() -> None:
    store, wrapped = transit(always(412, json={"errors": ["required index state not present"]}))
    with pytest.raises(KeyServiceUnavailable) as caught:
        await store.unwrap(wrapped, b"c")
    assert type(caught.value) is KeyServiceUnavailable


async def test_a_rotation_between_question_and_sealing_makes_a_key_look_old_and_never_new() -> None:
    rotations = iter([4, 5])

    def answers(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"state": "enabled", "rotation_count": next(rotations)})
        return httpx.Response(200, json={"key_id": ID, "ciphertext": GOOD})

    store, _ = scaleway(answers)
    wrapped = await store.wrap(KEY, b"c")
    assert wrapped.root_key_id == f"scaleway:{ID}:4"
    assert (await store.root_keys()).primary == f"scaleway:{ID}:5"
