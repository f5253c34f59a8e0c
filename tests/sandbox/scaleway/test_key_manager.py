"""The official SDK drives Key Manager's stand-in; what a KMS refuses is refused; keys survive a restart."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from scaleway import Client
from scaleway.key_manager.v1alpha1 import KeyManagerV1Alpha1API, KeyUsage
from scaleway.key_manager.v1alpha1.types import KeyAlgorithmSymmetricEncryption
from scaleway_core.api import ScalewayException

from sandbox.faults import Fault, Faults
from tests.fixtures.kms import REGION, Kms, scaleway_cloud, serving


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


PLAIN, CONTEXT = b64(bytes(range(32))), b64(b"which key this is")


@pytest.fixture
async def kms(tmp_path: Path) -> AsyncIterator[Kms]:
    async with serving(tmp_path) as made:
        yield made


@pytest.fixture
def sdk(kms: Kms, monkeypatch: pytest.MonkeyPatch) -> KeyManagerV1Alpha1API:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(kms.ca_file))
    return sdk_with(kms, kms.scaleway.secret_key.get_secret_value())


def sdk_with(kms: Kms, secret_key: str) -> KeyManagerV1Alpha1API:
    client = Client(
        access_key="SCWXXXXXXXXXXXXXXXXX",
        secret_key=secret_key,
        api_url=kms.scaleway_url,
        default_project_id=kms.scaleway.project_id,
        default_region=REGION,
    )
    return KeyManagerV1Alpha1API(client)


async def new_key(sdk: KeyManagerV1Alpha1API, **more: Any) -> Any:
    usage = KeyUsage(
        symmetric_encryption=KeyAlgorithmSymmetricEncryption.AES_256_GCM,
        asymmetric_encryption=None,
        asymmetric_signing=None,
    )
    return await asyncio.to_thread(sdk.create_key, unprotected=True, usage=usage, **more)


async def test_the_sdk_seals_and_opens_with_associated_data(sdk: KeyManagerV1Alpha1API) -> None:
    key = await new_key(sdk, name="root")
    assert (key.state, key.rotation_count, key.usage.symmetric_encryption) == ("enabled", 0, "aes_256_gcm")
    sealed = await asyncio.to_thread(sdk.encrypt, key_id=key.id, plaintext=PLAIN, associated_data=CONTEXT)
    assert sealed.key_id == key.id
    arguments = {"key_id": key.id, "ciphertext": sealed.ciphertext}
    opened = await asyncio.to_thread(sdk.decrypt, **arguments, associated_data=CONTEXT)
    assert (opened.plaintext, opened.ciphertext) == (PLAIN, None)
    for other in (None, b64(b"another key")):
        with pytest.raises(ScalewayException) as refused:
            await asyncio.to_thread(sdk.decrypt, **arguments, associated_data=other)
        assert refused.value.status_code == 400


async def test_after_a_rotation_the_old_ciphertext_opens_and_comes_back_sealed_anew(
    sdk: KeyManagerV1Alpha1API,
) -> None:
    key = await new_key(sdk)
    old = await asyncio.to_thread(sdk.encrypt, key_id=key.id, plaintext=PLAIN, associated_data=CONTEXT)
    assert (await asyncio.to_thread(sdk.rotate_key, key_id=key.id)).rotation_count == 1
    opened = await asyncio.to_thread(
        sdk.decrypt, key_id=key.id, ciphertext=old.ciphertext, associated_data=CONTEXT
    )
    assert opened.plaintext == PLAIN
    again = await asyncio.to_thread(
        sdk.decrypt, key_id=key.id, ciphertext=opened.ciphertext, associated_data=CONTEXT
    )
    assert (again.plaintext, again.ciphertext) == (PLAIN, None)


async def test_a_disabled_key_does_nothing_until_it_is_enabled(sdk: KeyManagerV1Alpha1API) -> None:
    key = await new_key(sdk)
    sealed = await asyncio.to_thread(sdk.encrypt, key_id=key.id, plaintext=PLAIN)
    assert (await asyncio.to_thread(sdk.disable_key, key_id=key.id)).state == "disabled"
    for call, arguments in (
        (sdk.encrypt, {"plaintext": PLAIN}),
        (sdk.decrypt, {"ciphertext": sealed.ciphertext}),
        (sdk.rotate_key, {}),
    ):
        with pytest.raises(ScalewayException) as refused:
            await asyncio.to_thread(call, key_id=key.id, **arguments)
        assert refused.value.status_code == 412
    await asyncio.to_thread(sdk.enable_key, key_id=key.id)
    opened = await asyncio.to_thread(sdk.decrypt, key_id=key.id, ciphertext=sealed.ciphertext)
    assert opened.plaintext == PLAIN


async def test_a_key_is_deleted_only_unprotected_and_can_be_restored(sdk: KeyManagerV1Alpha1API) -> None:
    key = await new_key(sdk)
    await asyncio.to_thread(sdk.protect_key, key_id=key.id)
    with pytest.raises(ScalewayException):
        await asyncio.to_thread(sdk.delete_key, key_id=key.id)
    await asyncio.to_thread(sdk.unprotect_key, key_id=key.id)
    await asyncio.to_thread(sdk.delete_key, key_id=key.id)
    assert (await asyncio.to_thread(sdk.get_key, key_id=key.id)).state == "scheduled_for_deletion"
    assert (await asyncio.to_thread(sdk.restore_key, key_id=key.id)).state == "enabled"


async def test_keys_are_listed_and_renamed_in_their_region(sdk: KeyManagerV1Alpha1API) -> None:
    key = await new_key(sdk, name="one")
    await asyncio.to_thread(sdk.update_key, key_id=key.id, name="renamed", tags=["a"])
    listed = await asyncio.to_thread(sdk.list_keys_all, scheduled_for_deletion=False)
    assert [(each.name, each.tags) for each in listed] == [("renamed", ["a"])]
    with pytest.raises(ScalewayException) as refused:
        await asyncio.to_thread(sdk.get_key, key_id=key.id, region="nl-ams")
    assert refused.value.status_code == 404


async def test_a_generated_data_key_opens_without_associated_data(sdk: KeyManagerV1Alpha1API) -> None:
    key = await new_key(sdk)
    made = await asyncio.to_thread(sdk.generate_data_key, key_id=key.id, without_plaintext=False)
    opened = await asyncio.to_thread(sdk.decrypt, key_id=key.id, ciphertext=made.ciphertext)
    assert opened.plaintext == made.plaintext


@pytest.mark.parametrize(
    ("action", "body", "argument"),
    [
        ("encrypt", {}, "plaintext"),
        ("encrypt", {"plaintext": ""}, "plaintext"),
        ("encrypt", {"plaintext": "?"}, "plaintext"),
        ("encrypt", {"plaintext": b64(bytes(65_536))}, "plaintext"),
        ("encrypt", {"plaintext": PLAIN, "associated_data": "?"}, "associated_data"),
        ("decrypt", {}, "ciphertext"),
        ("decrypt", {"ciphertext": PLAIN}, "ciphertext"),
        ("decrypt", {"ciphertext": b64(b"short")}, "ciphertext"),
        ("decrypt", {"ciphertext": b64(bytes(131_072))}, "ciphertext"),
    ],
)
async def test_a_bad_argument_is_named(kms: Kms, action: str, body: Any, argument: str) -> None:
    key = await kms.new_scaleway_key()
    answer = await kms.ask_scaleway("POST", f"/{key}/{action}", body)
    assert answer.status_code == 400
    assert answer.json()["type"] == "invalid_arguments"
    assert [detail["argument_name"] for detail in answer.json()["details"]] == [argument]


async def test_only_symmetric_keys_of_the_one_kind_are_made(kms: Kms) -> None:
    for usage in ({}, {"symmetric_encryption": "aes_128"}, {"asymmetric_signing": "ec_p256_sha256"}):
        assert (await kms.ask_scaleway("POST", "", {"usage": usage})).status_code == 400


@pytest.mark.usefixtures("sdk")
async def test_without_the_secret_key_nothing_is_answered(kms: Kms) -> None:
    unknown = sdk_with(kms, "00000000-0000-0000-0000-000000000000")
    with pytest.raises(ScalewayException) as refused:
        await asyncio.to_thread(unknown.list_keys, scheduled_for_deletion=False)
    assert refused.value.status_code == 401


async def test_faults_strike_and_the_books_show_no_material(kms: Kms) -> None:
    key = await kms.new_scaleway_key()
    kms.faults.arm("scaleway", "keys.encrypt", Fault("error_before", status=503))
    answers = [
        (await kms.ask_scaleway("POST", f"/{key}/encrypt", {"plaintext": PLAIN})).status_code
        for _ in range(2)
    ]
    assert answers == [503, 200]
    (shown,) = kms.scaleway_cloud.books()["encryption_keys"]
    assert shown["id"] == key
    assert "material" not in shown


async def test_keys_survive_a_restart(kms: Kms, tmp_path: Path) -> None:
    key = await kms.new_scaleway_key()
    sealed = (await kms.ask_scaleway("POST", f"/{key}/encrypt", {"plaintext": PLAIN})).json()["ciphertext"]
    kms.scaleway_cloud = scaleway_cloud(tmp_path, Faults(quiet=True), kms.scaleway)
    opened = await kms.ask_scaleway("POST", f"/{key}/decrypt", {"ciphertext": sealed})
    assert opened.json()["plaintext"] == PLAIN
