"""What the key service is told, and what it does not start with."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from services.vault.errors import KeyServiceDenied
from services.vault.keyservice.providers.answers import MAX_BYTES
from services.vault.keyservice.settings import KeyServiceSettings
from services.vault.keyservice.wiring import build_stores, read_token
from shared.http import vendor_client

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
    found = KeyServiceSettings()  # type: ignore[call-arg]  # from the files
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


def test_a_kms_is_verified_and_its_answers_have_an_end() -> None:
    client = vendor_client("https://kms.test", None, 1.5, max_bytes=MAX_BYTES, max_seconds=1.5)
    transport = client._transport
    assert (transport._max_bytes, transport._max_seconds) == (64 * 1024, 1.5)  # type: ignore[attr-defined]
    inner = transport._inner  # type: ignore[attr-defined]
    assert isinstance(inner, httpx.AsyncHTTPTransport)
    assert inner._pool._ssl_context.verify_mode is ssl.CERT_REQUIRED  # type: ignore[union-attr]
