"""One suite for all stores of root keys: the keyring, Scaleway Key Manager, and Vault's or OpenBao's transit."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import logging
import os
import traceback
from collections.abc import Awaitable, Callable

import pytest
from structlog.testing import capture_logs

from sandbox.faults import Fault
from services.vault.envelope import check_value
from services.vault.errors import KeyRefused, KeyServiceDenied, KeyServiceUnavailable, RootKeyDisabled
from services.vault.keyservice.settings import KeyServiceSettings
from services.vault.keyservice.wiring import build_stores
from services.vault.ports import KeyContext, WrappedKey
from services.vault.secret_bytes import SecretBytes
from tests.vault.keyservice.conftest import Provider

CONTEXT = KeyContext("test", "ws_a", 1)
PATIENCE = 20


def new_key() -> SecretBytes:
    return SecretBytes(os.urandom(32))


async def test_a_key_comes_back_as_it_was_wrapped(provider: Provider) -> None:
    key = new_key()
    wrapped = await provider.service.wrap(key, CONTEXT)
    assert key.reveal() not in wrapped.ciphertext
    assert await provider.service.unwrap(wrapped, CONTEXT) == key


async def test_a_key_that_is_made_opens_and_has_its_check_value(provider: Provider) -> None:
    wrapped, value = await provider.service.make(CONTEXT)
    assert check_value(await provider.service.unwrap(wrapped, CONTEXT)) == value


async def test_the_same_key_is_wrapped_differently_each_time(provider: Provider) -> None:
    key = new_key()
    assert len({(await provider.service.wrap(key, CONTEXT)).ciphertext for _ in range(5)}) == 5


@pytest.mark.parametrize(
    "other",
    [
        dataclasses.replace(CONTEXT, environment="production"),
        dataclasses.replace(CONTEXT, scope="ws_b"),
        dataclasses.replace(CONTEXT, version=2),
    ],
)
async def test_another_context_opens_nothing(provider: Provider, other: KeyContext) -> None:
    wrapped = await provider.service.wrap(new_key(), CONTEXT)
    with pytest.raises(KeyRefused):
        await provider.service.unwrap(wrapped, other)


async def test_each_changed_byte_is_refused(provider: Provider) -> None:
    wrapped = await provider.service.wrap(new_key(), CONTEXT)
    for position in range(len(wrapped.ciphertext)):
        changed = bytearray(wrapped.ciphertext)
        changed[position] ^= 1
        with pytest.raises(KeyRefused):
            await provider.service.unwrap(WrappedKey(wrapped.root_key_id, bytes(changed)), CONTEXT)


async def test_a_cut_ciphertext_is_refused(provider: Provider) -> None:
    wrapped = await provider.service.wrap(new_key(), CONTEXT)
    for length in (0, 1, 12, len(wrapped.ciphertext) - 1):
        cut = WrappedKey(wrapped.root_key_id, wrapped.ciphertext[:length])
        with pytest.raises(KeyRefused):
            await provider.service.unwrap(cut, CONTEXT)


UNKNOWN = {
    "keyring": ("rk_ffffffffffffffffffffffffffffffff", "rk_", "somebody-elses:1", ""),
    "scaleway": ("scaleway:ffffffff-ffff-4fff-8fff-ffffffffffff:0", "scaleway:../../x:0", "rk_a", ""),
    "transit": ("transit:transit/sendchief:7", "transit:a/../../b:1", "transit:transit/sendchief:x", "rk_a"),
}


async def test_a_root_key_that_is_not_there_opens_nothing(provider: Provider) -> None:
    wrapped = await provider.service.wrap(new_key(), CONTEXT)
    for root_key_id in UNKNOWN[provider.kind]:
        with pytest.raises(KeyRefused):
            await provider.service.unwrap(WrappedKey(root_key_id, wrapped.ciphertext), CONTEXT)


Ask = Callable[[Provider], Awaitable[object]]


async def test_who_may_not_is_denied_and_nothing_is_called_damaged(provider: Provider) -> None:
    wrapped = await provider.service.wrap(new_key(), CONTEXT)
    denied = await provider.denied()
    for asked in (
        denied.check(),
        denied.wrap(new_key(), CONTEXT),
        denied.unwrap(wrapped, CONTEXT),
        denied.rewrap(wrapped, CONTEXT),
        denied.make(CONTEXT),
    ):
        with pytest.raises(KeyServiceDenied):
            await asked


async def test_one_that_is_away_is_unavailable(provider: Provider) -> None:
    wrapped = await provider.service.wrap(new_key(), CONTEXT)
    away = await provider.away()
    for asked in (away.check(), away.unwrap(wrapped, CONTEXT), away.wrap(new_key(), CONTEXT)):
        with pytest.raises(KeyServiceUnavailable) as caught:
            await asked
        assert (type(caught.value), caught.value.retry_after) == (KeyServiceUnavailable, 5)


async def test_one_that_takes_thirty_seconds_is_not_waited_for(provider: Provider) -> None:
    wrapped = await provider.service.wrap(new_key(), CONTEXT)
    slow = await provider.slow()
    async with asyncio.timeout(PATIENCE):
        for asked in (slow.check(), slow.unwrap(wrapped, CONTEXT)):
            with pytest.raises(KeyServiceUnavailable):
                await asked


@pytest.mark.parametrize(
    "fault",
    [
        Fault("error_before", status=500),
        Fault("error_before", status=503),
        Fault("rate_limit", seconds=3),
        Fault("malformed"),
        Fault("error_after_commit", status=504),
    ],
    ids=lambda fault: f"{fault.kind}-{fault.status}",
)
async def test_a_kms_that_stumbles_is_unavailable_once(provider: Provider, fault: Fault) -> None:
    wrapped = await provider.service.wrap(key := new_key(), CONTEXT)
    if provider.fault is None:
        pytest.skip("not applicable: a keyring is in the key service's own memory")
    provider.fault(fault)
    with pytest.raises(KeyServiceUnavailable):
        await provider.service.unwrap(wrapped, CONTEXT)
    assert await provider.service.unwrap(wrapped, CONTEXT) == key


async def test_a_disabled_root_key_does_nothing_until_it_is_enabled(provider: Provider) -> None:
    wrapped = await provider.service.wrap(key := new_key(), CONTEXT)
    if provider.kind == "keyring":
        pytest.skip("not applicable: a key of a keyring is there or not")
    await provider.disable()
    service = provider.service
    for asked in (service.check(), service.unwrap(wrapped, CONTEXT), service.wrap(key, CONTEXT)):
        with pytest.raises(RootKeyDisabled):
            await asked
    await provider.enable()
    assert await provider.service.unwrap(wrapped, CONTEXT) == key


async def test_after_a_rotation_the_old_opens_and_the_new_is_the_primary(provider: Provider) -> None:
    wrapped = await provider.service.wrap(key := new_key(), CONTEXT)
    before = await provider.service.root_keys()
    assert before.primary == wrapped.root_key_id
    await provider.rotate()
    after = await provider.service.root_keys()
    assert after.primary != before.primary
    assert before.primary in after.ids
    assert await provider.service.unwrap(wrapped, CONTEXT) == key
    again = await provider.service.rewrap(wrapped, CONTEXT)
    assert again.root_key_id == after.primary == (await provider.service.wrap(key, CONTEXT)).root_key_id
    assert await provider.service.unwrap(again, CONTEXT) == key
    with pytest.raises(KeyRefused):
        await provider.service.rewrap(wrapped, dataclasses.replace(CONTEXT, version=2))


async def test_a_wrapped_key_under_another_versions_name_does_not_open(provider: Provider) -> None:
    """The name tells which key opens; it cannot make another open it, nor open it under another context."""
    wrapped = await provider.service.wrap(key := new_key(), CONTEXT)
    await provider.rotate()
    renamed = WrappedKey((await provider.service.root_keys()).primary, wrapped.ciphertext)
    if provider.kind == "scaleway":  # where the ciphertext itself says which rotation sealed it
        assert await provider.service.unwrap(renamed, CONTEXT) == key
        return
    with pytest.raises(KeyRefused):
        await provider.service.unwrap(renamed, CONTEXT)


async def test_no_secret_is_in_a_log_line_an_exception_or_a_repr(
    provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    """At the lowest level, of the HTTP library's too; through success and every failure."""
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore"):
        monkey = logging.getLogger(name)
        monkey.setLevel(logging.DEBUG)
    key, told = new_key(), list[str]()

    async def tell(asked: Awaitable[object]) -> None:
        try:
            told.append(repr(await asked))
        except Exception as failure:
            told.append("".join(traceback.format_exception(failure)) + repr(failure))

    with capture_logs() as lines:
        wrapped = await provider.service.wrap(key, CONTEXT)
        await tell(provider.service.unwrap(wrapped, CONTEXT))
        await tell(provider.service.unwrap(wrapped, dataclasses.replace(CONTEXT, version=2)))
        denied, away, slow = await provider.denied(), await provider.away(), await provider.slow()
        for service in (slow, denied, away):
            await tell(service.wrap(key, CONTEXT))
            await tell(service.unwrap(wrapped, CONTEXT))
    settings = KeyServiceSettings(
        socket=provider.keys.socket, allowed_uids=frozenset({1}), **provider.settings
    )
    stores, _ = build_stores(settings)
    told += [repr(settings), str(settings), repr(stores), *(repr(vars(each)) for each in stores._stores)]
    await stores.aclose()
    read = "\n".join([caplog.text, str(lines), *told])
    assert len(told) >= 12
    material = [key.reveal().hex(), base64.b64encode(key.reveal()).decode(), repr(key.reveal())[2:-1]]
    for secret in [*provider.secrets, *material]:
        assert secret not in read
