"""What the key service is told, and what it does not start with."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from sandbox.serve import HttpServers
from sandbox.tls import Authority
from services.vault.errors import KeyServiceDenied, KeyServiceUnavailable
from services.vault.keyservice.providers.answers import MAX_BYTES
from services.vault.keyservice.settings import KeyServiceSettings
from services.vault.keyservice.wiring import build_stores, read_token
from services.vault.ports import RootKeys

SCALEWAY = {
    "scaleway_key_id": "11111111-2222-4333-8444-555555555555",
    "scaleway_secret_key": "the-secret-key-of-scaleway",
}
TRANSIT = {"transit_url": "https://kms.test", "transit_key": "sendchief", "transit_token_file": "/t"}


def settings(**values: Any) -> KeyServiceSettings:
    return KeyServiceSettings(**{"socket": "/s", "allowed_uids": "1"} | values)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({}, "SC_KEYRING_FILE"),
        ({"root_keys": "scaleway"}, "SC_SCALEWAY_KEY_ID"),
        ({"root_keys": "scaleway"} | SCALEWAY | {"scaleway_key_id": None}, "SC_SCALEWAY_KEY_ID"),
        ({"root_keys": "transit"} | TRANSIT | {"transit_token_file": None}, "SC_TRANSIT_TOKEN_FILE"),
        ({"root_keys": "transit"} | TRANSIT | {"transit_url": "http://kms.test"}, "https only"),
        ({"root_keys": "scaleway", "scaleway_url": "http://kms.test"} | SCALEWAY, "https only"),
        ({"root_keys": "transit"} | TRANSIT | {"transit_key": "../x"}, "letters"),
        ({"root_keys": "transit", "transit_mount": "a/../b"} | TRANSIT, "letters"),
        ({"root_keys": "scaleway", "scaleway_region": "fr par"} | SCALEWAY, "letters"),
        ({"root_keys": "scaleway"} | SCALEWAY | {"scaleway_key_id": "no-uuid"}, "scaleway_key_id"),
        ({"root_keys": "aws"}, "root_keys"),
        ({"root_keys": "scaleway", "kms_timeout_seconds": 31} | SCALEWAY, "kms_timeout_seconds"),
    ],
)
def test_what_is_missing_or_wrong_is_named_and_no_secret_is(values: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(**values)
    assert named in str(refused.value)
    assert "the-secret-key-of-scaleway" not in str(refused.value)


def test_settings_and_secrets_are_files_of_the_secrets_directory_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As compose.yaml and the Kubernetes base mount them."""
    for name, value in ({"socket": "/s", "allowed_uids": "1,2", "root_keys": "scaleway"} | SCALEWAY).items():
        (tmp_path / f"sc_{name}").write_text(value)
    monkeypatch.setenv("SC_SECRETS_DIR", str(tmp_path))
    found = KeyServiceSettings()  # from the files
    assert found.allowed_uids == {1, 2}
    assert found.scaleway_secret_key is not None
    assert found.scaleway_secret_key.get_secret_value() == SCALEWAY["scaleway_secret_key"]
    assert SCALEWAY["scaleway_secret_key"] not in repr(found)


async def test_what_wraps_is_asked_first_and_the_others_open_what_is_theirs() -> None:
    for kind, own in (("scaleway", "scaleway:x:0"), ("transit", "transit:a/b:1")):
        stores, ring = build_stores(settings(root_keys=kind, **SCALEWAY, **TRANSIT))
        assert ring is None
        assert stores._stores[0].holds(own)
        assert all(stores.holds(each) for each in ("scaleway:x:0", "transit:a/b:1"))
        assert not stores.holds("rk_a")
        await stores.aclose()


def test_a_token_is_read_anew_each_time(tmp_path: Path) -> None:
    file = tmp_path / "token"
    for token in (b"hvs.first", b"hvs.renewed"):
        file.write_bytes(token + b"\n")
        assert read_token(file).reveal() == token


def write(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


@pytest.mark.parametrize(
    "make", [lambda path: None, Path.mkdir, write(b""), write(b" \n"), write(b"a\nb"), write(b"\xff\xfe")]
)
def test_a_token_that_is_none_is_denied_before_anybody_is_asked(
    tmp_path: Path, make: Callable[[Path], object]
) -> None:
    make(tmp_path / "token")
    with pytest.raises(KeyServiceDenied):
        read_token(tmp_path / "token")


async def endless(scope: Scope, _receive: Receive, send: Send) -> None:
    """Drips for ever, each byte long before any timeout of a library that begins anew with it."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(2000):
        await send({"type": "http.response.body", "body": b" ", "more_body": True})
        await asyncio.sleep(0.02)


async def long(scope: Scope, _: Receive, send: Send) -> None:
    """Right but for its length."""
    body = b'{"state": "enabled", "rotation_count": 0}' + b" " * MAX_BYTES
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


@contextlib.asynccontextmanager
async def kms_that(app: ASGIApp, directory: Path) -> AsyncIterator[dict[str, Any]]:
    """The settings of a key service that asks it."""
    authority = Authority(directory)
    pair = authority.issue("https", addresses=["127.0.0.1"])
    servers = HttpServers(directory, pair, grace_seconds=0)
    url = servers.reserve("kms")
    await servers.start("kms", app)
    try:
        yield {"root_keys": "scaleway", "scaleway_url": url, "kms_ca_file": authority.ca_file} | SCALEWAY
    finally:
        await servers.stop()


async def primary(**values: Any) -> RootKeys:
    stores, _ = build_stores(settings(**values))
    try:
        return await stores.root_keys()
    finally:
        await stores.aclose()


async def test_an_answer_that_drips_ends_with_the_patience(tmp_path: Path) -> None:
    async with kms_that(endless, tmp_path) as asked, asyncio.timeout(20):
        with pytest.raises(KeyServiceUnavailable):
            await primary(**asked, kms_timeout_seconds=0.3)


async def test_an_answer_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    async with kms_that(long, tmp_path) as asked:
        with pytest.raises(KeyServiceUnavailable):
            await primary(**asked, kms_timeout_seconds=15)


async def test_a_kms_whose_certificate_nobody_vouches_for_is_not_asked(tmp_path: Path) -> None:
    async with kms_that(long, tmp_path) as asked:
        with pytest.raises(KeyServiceUnavailable):
            await primary(**asked | {"kms_ca_file": None}, kms_timeout_seconds=15)
