"""hvac, the Python client of Vault, drives the stand-in; what transit refuses is refused in its own words."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import hvac
import pytest
from hvac.exceptions import Forbidden, InvalidPath, InvalidRequest, VaultDown

from sandbox.faults import Fault
from sandbox.store import Store
from sandbox.transit import Books
from sandbox.transit.books import open_sealed
from tests.fixtures.kms import NAMESPACE, Kms, serving


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


PLAIN, CONTEXT = b64(bytes(range(32))), b64(b"which key this is")


@pytest.fixture
async def kms(tmp_path: Path) -> AsyncIterator[Kms]:
    async with serving(tmp_path) as made:
        yield made


def client(kms: Kms, token: str | None = None, namespace: str | None = None) -> hvac.Client:
    return hvac.Client(
        url=kms.transit_url, token=token or kms.transit_root, verify=str(kms.ca_file), namespace=namespace
    )


def raw_client(kms: Kms) -> httpx.AsyncClient:
    trust = ssl.create_default_context(cafile=str(kms.ca_file))
    return httpx.AsyncClient(
        base_url=kms.transit_url, verify=trust, headers={"X-Vault-Token": kms.transit_root}
    )


class Transit:
    """hvac blocks; the stand-in answers on this loop."""

    def __init__(self, made: hvac.Client) -> None:
        self._api = made.secrets.transit

    async def __call__(self, method: str, **arguments: Any) -> Any:
        answer = await asyncio.to_thread(getattr(self._api, method), **arguments)
        return answer["data"] if isinstance(answer, dict) else answer


@pytest.fixture
async def transit(kms: Kms) -> Transit:
    made = Transit(client(kms))
    await made("create_key", name="sendchief", key_type="aes256-gcm96")
    return made


async def sealed(transit: Transit, name: str = "sendchief") -> str:
    answer = await transit("encrypt_data", name=name, plaintext=PLAIN, associated_data=CONTEXT)
    return str(answer["ciphertext"])


async def opened(transit: Transit, ciphertext: str, associated: str | None = CONTEXT, **more: Any) -> str:
    arguments = {"name": "sendchief", "ciphertext": ciphertext, "associated_data": associated} | more
    return str((await transit("decrypt_data", **arguments))["plaintext"])


async def test_hvac_seals_and_opens_with_associated_data(transit: Transit) -> None:
    ciphertext = await sealed(transit)
    assert ciphertext.startswith("vault:v1:")
    assert await opened(transit, ciphertext) == PLAIN
    for other in (None, b64(b"another key")):
        with pytest.raises(InvalidRequest, match="message authentication failed"):
            await opened(transit, ciphertext, other)


async def test_a_rotated_key_seals_with_the_new_version_and_opens_the_old(transit: Transit) -> None:
    old = await sealed(transit)
    await transit("rotate_key", name="sendchief")
    new = await sealed(transit)
    assert new.startswith("vault:v2:")
    assert [await opened(transit, each) for each in (old, new)] == [PLAIN, PLAIN]
    key = await transit("read_key", name="sendchief")
    assert (key["latest_version"], sorted(key["keys"]), key["type"]) == (2, ["1", "2"], "aes256-gcm96")


async def test_a_version_below_the_least_is_not_opened_until_it_is_allowed_again(transit: Transit) -> None:
    old = await sealed(transit)
    await transit("rotate_key", name="sendchief")
    await transit("update_key_configuration", name="sendchief", min_decryption_version=2)
    assert sorted((await transit("read_key", name="sendchief"))["keys"]) == ["2"]
    with pytest.raises(InvalidRequest, match="too old"):
        await opened(transit, old)
    await transit("update_key_configuration", name="sendchief", min_decryption_version=1)
    assert await opened(transit, old) == PLAIN


async def test_rewrap_does_not_know_associated_data(transit: Transit) -> None:
    with pytest.raises(InvalidRequest, match="message authentication failed"):
        await transit("rewrap_data", name="sendchief", ciphertext=await sealed(transit))
    bare = await transit("encrypt_data", name="sendchief", plaintext=PLAIN)
    await transit("rotate_key", name="sendchief")
    again = await transit("rewrap_data", name="sendchief", ciphertext=bare["ciphertext"])
    assert again["ciphertext"].startswith("vault:v2:")
    assert await opened(transit, again["ciphertext"], None) == PLAIN


async def test_a_key_is_deleted_only_when_that_is_allowed(transit: Transit) -> None:
    with pytest.raises(InvalidRequest, match="not allowed"):
        await transit("delete_key", name="sendchief")
    await transit("update_key_configuration", name="sendchief", deletion_allowed=True)
    await transit("delete_key", name="sendchief")
    with pytest.raises(InvalidPath):
        await transit("read_key", name="sendchief")
    with pytest.raises(InvalidRequest, match="encryption key not found"):
        await sealed(transit)


@pytest.mark.parametrize(
    ("ciphertext", "message"),
    [
        ("", "missing ciphertext"),
        ("nothing", "no prefix"),
        ("vault:v1", "wrong number of fields"),
        ("vault:vx:AAAA", "version number"),
        ("vault:v9:AAAA", "too new"),
        ("vault:v1:?", "base64"),
        ("vault:v1:AAAA", "length"),
    ],
)
async def test_a_bad_ciphertext_is_refused_in_transits_words(
    transit: Transit, ciphertext: str, message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message):
        await opened(transit, ciphertext)


async def test_bad_bodies_are_refused(transit: Transit, kms: Kms) -> None:
    async with raw_client(kms) as raw:
        for path, body in (
            ("encrypt/sendchief", b"{}"),
            ("encrypt/sendchief", b"[]"),
            ("encrypt/sendchief", b"{,"),
            ("encrypt/sendchief", b'{"plaintext": "?"}'),
            ("encrypt/sendchief", b'{"plaintext": "AAAA", "key_version": 7}'),
            ("encrypt/sendchief", b'{"plaintext": "AAAA", "associated_data": 7}'),
            ("keys/other", b'{"type": "rsa-2048"}'),
            ("keys/other", b'{"derived": true}'),
            ("keys/sendchief/config", b'{"min_decryption_version": 2}'),
        ):
            answer = await raw.post(f"/v1/transit/{path}", content=body)
            assert (answer.status_code, len(answer.json()["errors"])) == (400, 1), (path, body)
        assert (await raw.get("/v1/other/keys/sendchief")).status_code == 404
        assert (await raw.get("/v1/transit/keys?list=true")).json()["data"] == {"keys": ["sendchief"]}
        assert (await raw.delete("/v1/transit/keys/other")).status_code == 400


async def test_the_clients_token_may_use_its_key_and_nothing_else(transit: Transit, kms: Kms) -> None:
    await transit("create_key", name="another")
    limited = Transit(client(kms, kms.transit_token))
    assert await opened(limited, await sealed(limited)) == PLAIN
    for method, arguments in (
        ("rotate_key", {"name": "sendchief"}),
        ("update_key_configuration", {"name": "sendchief", "min_decryption_version": 1}),
        ("encrypt_data", {"name": "another", "plaintext": PLAIN}),
    ):
        with pytest.raises(Forbidden, match="permission denied"):
            await limited(method, **arguments)
    with pytest.raises(Forbidden):
        await Transit(client(kms, "hvs.wrong"))("read_key", name="sendchief")


async def test_a_namespace_has_keys_of_its_own(transit: Transit, kms: Kms) -> None:
    inside = Transit(client(kms, namespace=NAMESPACE))
    with pytest.raises(InvalidRequest, match="not found"):
        await sealed(inside)
    await inside("create_key", name="sendchief")
    with pytest.raises(InvalidRequest, match="message authentication failed"):
        await opened(transit, await sealed(inside))
    with pytest.raises(InvalidPath):
        await Transit(client(kms, namespace="elsewhere"))("read_key", name="sendchief")


async def test_a_soft_deleted_key_does_nothing_until_it_is_restored(transit: Transit, kms: Kms) -> None:
    """OpenBao's; hvac has no call for it."""
    ciphertext = await sealed(transit)
    url = "/v1/transit/keys/sendchief/soft-delete"
    async with raw_client(kms) as raw:
        assert (await raw.delete(url)).json()["data"]["soft_deleted"] is True
        with pytest.raises(InvalidRequest):
            await opened(transit, ciphertext)
        (await raw.post(f"{url}-restore")).raise_for_status()
    assert await opened(transit, ciphertext) == PLAIN


async def test_faults_strike(transit: Transit, kms: Kms) -> None:
    kms.faults.arm("transit", "encrypt", Fault("error_before", status=503))
    with pytest.raises(VaultDown, match="sealed"):
        await sealed(transit)
    await sealed(transit)


async def test_keys_survive_a_restart_and_the_books_show_no_material(
    transit: Transit, kms: Kms, tmp_path: Path
) -> None:
    ciphertext = await sealed(transit)
    books = Books(Store(tmp_path / "transit.sqlite3"))
    key = books.usable("", "sendchief")
    assert open_sealed(key, ciphertext, base64.b64decode(CONTEXT)) == base64.b64decode(PLAIN)
    assert key["material"]["1"]["key"] not in str(books.view())
