"""Webmail by the panel's link: once, for whom it was made, until it is ended."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import secrets
import ssl
import time
from typing import Any

import pytest
from pydantic import SecretBytes

from tests.provisioner.hosts.clients import SSO, Browser
from tests.provisioner.hosts.on_host.wishes import with_mailboxes
from tests.provisioner.hosts.test_sign_in_broker import encode
from tests.provisioner.hosts.world import Server, World

pytestmark = [pytest.mark.host, pytest.mark.asyncio(loop_scope="package")]


@pytest.fixture
def keys() -> bytes:
    return secrets.token_bytes(32)


def mint(key: bytes, server: Server, subject: str, **changes: Any) -> str:
    now = int(time.time())
    claims = {
        "jti": secrets.token_urlsafe(16),
        "sub": subject,
        "aud": server.hostname,
        "iat": now,
        "exp": now + 60,
    }
    payload = encode(json.dumps(claims | changes).encode())
    return f"v1.{payload}.{encode(hmac.new(key, f'v1.{payload}'.encode(), hashlib.sha256).digest())}"


async def test_webmail_link_signs_in_once(
    made_world: World, server: Server, trust: ssl.SSLContext, keys: bytes
) -> None:
    trust.load_verify_locations(cadata="".join(made_world.certificate_authorities()))
    await made_world.ssh.set_webmail_key(server.address, SecretBytes(encode(keys).encode()), 4)
    assert (await made_world.ssh.facts(server.address)).webmail_key_version == 4
    token = mint(keys, server, "alice@example-a.test")
    browser, other = Browser(server, trust), Browser(server, trust)
    status, location, text = await asyncio.to_thread(browser.request, SSO, {"token": token})
    assert status == 302, text
    assert "_task=mail" in location
    status, _, page = await asyncio.to_thread(browser.request, "/?_task=mail")
    assert status == 200
    assert "alice@example-a.test" in page
    status, _, _ = await asyncio.to_thread(other.request, SSO, {"token": token})
    assert status == 401
    for bad in (
        mint(secrets.token_bytes(32), server, "alice@example-a.test"),
        mint(keys, server, "alice@example-a.test", aud="other.mx.sendchief.test"),
        mint(keys, server, "alice@example-a.test", exp=1),
        mint(keys, server, "nobody@example-a.test"),
    ):
        status, _, _ = await asyncio.to_thread(Browser(server, trust).request, SSO, {"token": bad})
        assert status == 401
    status, _, _ = await asyncio.to_thread(other.request, f"{SSO}&token={token}")
    assert status == 405


async def test_of_twenty_tries_at_once_one_signs_in(
    made_world: World, server: Server, trust: ssl.SSLContext, keys: bytes
) -> None:
    trust.load_verify_locations(cadata="".join(made_world.certificate_authorities()))
    await made_world.ssh.set_webmail_key(server.address, SecretBytes(encode(keys).encode()), 5)
    token = mint(keys, server, "alice@example-a.test")
    tries = [asyncio.to_thread(Browser(server, trust).request, SSO, {"token": token}) for _ in range(20)]
    statuses = [status for status, _, _ in await asyncio.gather(*tries)]
    # Some may be turned away by the limit on sign-ins before the broker sees them.
    assert statuses.count(302) == 1
    assert set(statuses) <= {302, 401, 429}
    assert statuses.count(401) >= 2
    assert token not in await server.inside(
        "journalctl -o cat --no-pager; cat /var/log/nginx/* 2>/dev/null || true"
    )


HOLD = """
import imaplib, json, pathlib, socket, sys
with socket.socket(socket.AF_UNIX) as broker:
    broker.connect("/run/sc-ssod/sock")
    broker.sendall(sys.argv[1].encode() + b"\\n")
    answer = json.loads(broker.makefile().readline())
import ssl
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
session = imaplib.IMAP4_SSL("127.0.0.1", 993, ssl_context=context, timeout=60)
session.login(answer["user"], answer["secret"])
session.select("INBOX")
pathlib.Path("/tmp/held").touch()
print("ended:", session.readline())
try:
    again = imaplib.IMAP4_SSL("127.0.0.1", 993, ssl_context=context, timeout=60)
    again.login(answer["user"], answer["secret"])
    print("signed in again")
except imaplib.IMAP4.error as error:
    print("refused:", error)
"""
"""Signs in to IMAP as webmail does, and waits for the connection's end."""


async def test_ended_webmail_is_out_at_once_and_that_of_others_goes_on(
    made_world: World, server: Server, trust: ssl.SSLContext, keys: bytes
) -> None:
    trust.load_verify_locations(cadata="".join(made_world.certificate_authorities()))
    await made_world.ssh.set_webmail_key(server.address, SecretBytes(encode(keys).encode()), 6)
    assert (await made_world.ssh.facts(server.address)).webmail_key_version == 6
    alice, bob = "alice@example-a.test", "bob@example-a.test"
    used, held, unused, others = (secrets.token_urlsafe(16) for _ in range(4))
    browser, other = Browser(server, trust), Browser(server, trust)
    for one, who, jti in ((browser, alice, used), (other, bob, others)):
        status, text = await _opens(one, mint(keys, server, who, jti=jti))
        assert status == 302, text
    script = HOLD.replace("'", '"')
    token = mint(keys, server, alice, jti=held)
    holding = asyncio.create_task(
        server.inside(
            f"setpriv --reuid sc-webmail --regid sc-webmail --clear-groups python3 -c '{script}' {token}"
        )
    )
    while not (await server.inside("ls /tmp/held 2>/dev/null || true")).strip():
        assert not holding.done(), holding.result()
        await asyncio.sleep(0.1)

    box = next(box for box in server.desired.mailboxes if box.address == alice)
    ended = box.model_copy(update={"webmail_ended": (used, held, unused)})
    await with_mailboxes(made_world, server, ended)

    said = await holding
    assert "ended:" in said
    assert "refused:" in said
    for path in ("/?_task=mail", "/?_task=settings&_action=about", "/?_task=mail"):
        _, location, page = await asyncio.to_thread(browser.request, path)
        assert alice not in page
        assert "_task=login" in location + page
    token = mint(keys, server, alice, jti=unused)
    assert (await _opens(Browser(server, trust), token))[0] == 401
    status, _, page = await asyncio.to_thread(other.request, "/?_task=mail")
    assert status == 200
    assert bob in page
    assert (await _opens(Browser(server, trust), mint(keys, server, alice)))[0] == 302


async def _opens(browser: Browser, token: str) -> tuple[int, str]:
    """Status and page of a sign-in, once nginx has forgotten those that the tests before made at once."""
    while True:
        status, _, page = await asyncio.to_thread(browser.request, SSO, {"token": token})
        if status != 429:
            return status, page
        await asyncio.sleep(1)


async def test_only_webmail_s_user_may_ask_the_broker(server: Server) -> None:
    script = (
        "import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/sc-ssod/sock'); "
        "s.sendall(b'v1.x.y\\n'); print(s.recv(100).decode())"
    )
    said = await server.inside(f'setpriv --reuid www-data --clear-groups python3 -c "{script}"')
    assert "refused" in said
    assert "uid" in await server.inside("journalctl -u sc-ssod -n 5 -o cat --no-pager")


async def test_webmail_s_user_reads_neither_keys_nor_verifiers(server: Server) -> None:
    for path in ("/etc/sendchief/sso/key.json", "/etc/sendchief/tls/cur.key", "/etc/sendchief/auth"):
        said = await server.inside(
            f"setpriv --reuid sc-webmail --regid sc-webmail --clear-groups cat {path}/* {path} || true"
        )
        assert "Permission denied" in said
