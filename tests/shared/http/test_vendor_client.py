"""Other people's APIs: failures by what can be done about them, and TLS with the peer verified."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from shared.http import (
    VendorAuthFailed,
    VendorError,
    VendorRateLimited,
    VendorRejected,
    VendorUnavailable,
    vendor_client,
    vendor_request,
)


async def ask(answer: httpx.Response | Exception) -> httpx.Response:
    def handler(_: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with httpx.AsyncClient(
        transport=httpx.MockTransport(handler), base_url="https://vendor.test"
    ) as client:
        return await vendor_request(client, "GET", "/things", vendor="vendor")


async def test_a_success_is_returned() -> None:
    assert (await ask(httpx.Response(204))).status_code == 204


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx.Response(429, headers={"Retry-After": "12"}), VendorRateLimited),
        (httpx.Response(401), VendorAuthFailed),
        (httpx.Response(403), VendorAuthFailed),
        (httpx.Response(404, json={"type": "not_found"}), VendorRejected),
        (httpx.Response(500), VendorUnavailable),
        (httpx.Response(504), VendorUnavailable),
        (httpx.ConnectError("no"), VendorUnavailable),
        (httpx.ReadTimeout("no"), VendorUnavailable),
        (httpx.RemoteProtocolError("no"), VendorUnavailable),
    ],
)
async def test_each_failure_has_its_type(answer: Any, kind: type[VendorError]) -> None:
    with pytest.raises(kind) as caught:
        await ask(answer)
    assert caught.value.vendor == "vendor"


@pytest.mark.parametrize(
    ("header", "seconds"), [("12", 12), ("0.5", 0.5), ("Wed, 21 Oct 2026 07:28:00 GMT", 1), ("", 1)]
)
async def test_how_long_to_wait(header: str, seconds: float) -> None:
    with pytest.raises(VendorRateLimited) as caught:
        await ask(httpx.Response(429, headers={"Retry-After": header}))
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"type": "quotas_exceeded", "message": "x"}, "quotas_exceeded"),
        ({"error": {"type": "card_error", "code": "card_declined"}}, "card_declined"),
        ({"success": False, "errors": [{"code": 81057, "message": "x"}]}, "81057"),
        ({"name": "validation_error"}, "validation_error"),
        ("not JSON", ""),
    ],
)
async def test_the_word_to_branch_on_is_found_in_each_vendors_shape(body: Any, code: str) -> None:
    answer = httpx.Response(400, text=body) if isinstance(body, str) else httpx.Response(400, json=body)
    with pytest.raises(VendorRejected) as caught:
        await ask(answer)
    assert (caught.value.status, caught.value.code, caught.value.body) == (400, code, body)


def certificate(directory: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    paths = directory / "ca.pem", directory / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return paths


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[tuple[str, Path]]:
    """An HTTPS server's URL and the authority that vouches for it."""
    ca, key = certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(ca, key)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: https://elsewhere.test/\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    port = listener.sockets[0].getsockname()[1]
    yield f"https://127.0.0.1:{port}", ca
    listener.close()


@pytest.mark.asvs("12.3.2")
async def test_an_unknown_authority_is_refused(server: tuple[str, Path]) -> None:
    async with vendor_client(server[0]) as client:
        with pytest.raises(VendorUnavailable):
            await vendor_request(client, "GET", "/", vendor="vendor")


@pytest.mark.asvs("1.3.6", "15.3.2")
async def test_a_named_authority_is_trusted_and_redirects_are_not_followed(server: tuple[str, Path]) -> None:
    async with vendor_client(server[0], server[1]) as client:
        assert (await vendor_request(client, "GET", "/", vendor="vendor")).status_code == 302


async def test_another_name_than_the_certificates_is_refused(server: tuple[str, Path]) -> None:
    async with vendor_client(server[0].replace("127.0.0.1", "localhost"), server[1]) as client:
        with pytest.raises(VendorUnavailable):
            await vendor_request(client, "GET", "/", vendor="vendor")
