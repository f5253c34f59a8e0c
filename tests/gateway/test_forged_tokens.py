"""Tokens that nobody of ours has signed, mutants of good ones, and what becomes of them when signing keys change."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from services.auth.access_tokens import AccessTokens
from shared.clock import FixedClock, SystemClock
from shared.identity import TokenSigner, generate_private_pem, public_pem_of
from shared.ids import new_id
from tests.fixtures.identity import Trust
from tests.gateway.edge import ISSUER, Echo, Edge, edge, served


def b64(data: bytes | dict[str, Any]) -> str:
    raw = json.dumps(data, separators=(",", ":")).encode() if isinstance(data, dict) else data
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    head, body, signature = token.split(".")
    pad = "=="
    return (
        json.loads(base64.urlsafe_b64decode(head + pad)),
        json.loads(base64.urlsafe_b64decode(body + pad)),
        signature,
    )


def attack_tokens(made: Edge, private_pem: bytes) -> dict[str, str]:
    good = made.person()["Authorization"].removeprefix("Bearer ")
    header, claims, signature = parts(good)
    kid = header["kid"]
    pem = public_pem_of(private_pem)
    signer = TokenSigner(private_pem, kid, ISSUER)
    base = {name: value for name, value in claims.items() if name not in ("iss", "iat", "nbf", "exp")}

    def hs(key: bytes, head: dict[str, Any]) -> str:
        text = f"{b64(head)}.{b64(claims)}"
        return f"{text}.{b64(hmac.digest(key, text.encode(), hashlib.sha256))}"

    def signed(
        changes: dict[str, Any], *, typ: str = "at+jwt", ttl: int = 600, by: TokenSigner = signer
    ) -> str:
        return by.sign({**base, **changes}, typ=typ, ttl=ttl)

    old = TokenSigner(private_pem, kid, ISSUER, clock=FixedClock(datetime.now(UTC) - timedelta(hours=1)))
    future = TokenSigner(private_pem, kid, ISSUER, clock=FixedClock(datetime.now(UTC) + timedelta(hours=1)))
    stranger = TokenSigner(generate_private_pem(), kid, ISSUER)
    body = good.split(".")[1]
    return {
        "empty": "",
        "dots": "..",
        "alg none": f"{b64({**header, 'alg': 'none'})}.{body}.",
        "alg None": f"{b64({**header, 'alg': 'None'})}.{body}.{signature}",
        "hs256 with the public key": hs(pem, {**header, "alg": "HS256"}),
        "hs256 under our header": hs(pem, header),
        "rs256": f"{b64({**header, 'alg': 'RS256'})}.{body}.{signature}",
        "no kid": f"{b64({'alg': 'ES256', 'typ': 'at+jwt'})}.{body}.{signature}",
        "unknown kid": f"{b64({**header, 'kid': 'auth-0000000000000000'})}.{body}.{signature}",
        "path kid": f"{b64({**header, 'kid': '../../dev/null'})}.{body}.{signature}",
        "jku": f"{b64({**header, 'jku': 'https://evil.test/jwks'})}.{body}.{signature}",
        "embedded jwk": f"{b64({**header, 'jwk': {'kty': 'EC'}})}.{body}.{signature}",
        "crit": f"{b64({**header, 'crit': ['x'], 'x': 1})}.{body}.{signature}",
        "b64 false": f"{b64({**header, 'b64': False})}.{body}.{signature}",
        "header order": f"{b64(dict(reversed(header.items())))}.{body}.{signature}",
        "header spaces": f"{b64(json.dumps(header).encode())}.{body}.{signature}",
        "nested header": f"{b64(b'[' * 5000)}.{body}.{signature}",
        "nested payload": f"{good.split('.')[0]}.{b64(b'[' * 5000)}.{signature}",
        "payload changed": f"{good.split('.')[0]}.{b64({**claims, 'sub': new_id('usr')})}.{signature}",
        "no signature": good.rpartition(".")[0] + ".",
        "padded signature": good + "==",
        "junk in the signature": good[:-10] + "!!!!" + good[-10:],
        "trailing newline": good + "\n",
        "four parts": good + ".x",
        "zero signature": good.rpartition(".")[0] + "." + b64(b"\0" * 64),
        "short signature": good.rpartition(".")[0] + "." + b64(b"\1" * 63),
        "refresh as access": signed({}, typ="rt+jwt"),
        "internal as access": signed({}, typ="svc+jwt"),
        "invitation as access": signed({}, typ="invite+jwt"),
        "other audience": signed({"aud": "other"}),
        "audience list": signed({"aud": ["sendchief-api"]}),
        "other issuer": TokenSigner(private_pem, kid, "https://evil.test").sign(base, typ="at+jwt", ttl=600),
        "stranger's key": signed({}, by=stranger),
        "expired": signed({}, by=old),
        "not yet": signed({}, by=future),
        "too long": signed({}, ttl=86400),
        "exp as text": signed({"nbf": "0"}),
        "nbf in the future": signed({"nbf": int(time.time()) + 600}),
        "sub as number": signed({"sub": 1}),
        "sub as list": signed({"sub": ["usr_1"]}),
        "sub of another kind": signed({"sub": "root"}),
        "sub injected": signed({"sub": "usr_1' or '1'='1"}),
        "no session": signed({"sid": None}),
        "another form": signed({"ver": 2}),
        "no form": signed({"ver": None}),
        "form as truth": signed({"ver": True}),
        "huge": "a" * 9000 + ".b.c",
        "latin": "é.è.à",
        "an api key": "sc_live_x",
        "basic": "dXNlcjpwYXNz",
    }


async def test_no_attack_token_gets_in(trust: Trust, tmp_path: Path) -> None:
    echo = Echo()
    private = generate_private_pem()
    async with (
        served(echo, tmp_path / "auth.sock"),
        edge(trust, tmp_path, rate_limit_public=100_000) as made,
    ):
        made.tokens = AccessTokens(private, ISSUER, SystemClock())

        async def keys() -> dict[str, bytes]:
            from gateway.keys import keys_of

            return keys_of(made.tokens.jwks())

        made.gateway.tokens._fetch = keys
        await made.gateway.tokens.refresh()
        made.know({})
        assert (await made.client.get("/v1/me", headers=made.person())).status_code == 200
        tokens = attack_tokens(made, private)
        assert len(tokens) >= 43
        for name, token in tokens.items():
            headers = [(b"authorization", b"Bearer " + token.encode("latin-1", "replace"))]
            answer = await made.client.get("/v1/me", headers=headers)
            assert answer.status_code == 401, name
        assert len(echo.seen) == 1


async def test_no_mutant_of_a_good_token_gets_in(stage: tuple[Edge, Echo]) -> None:
    made, _ = stage
    made.know({})
    good = made.person()["Authorization"].removeprefix("Bearer ").encode()
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ "
    source = random.Random(7)
    accepted = 0
    for _ in range(4000):
        position = source.randrange(len(good) + 1)
        character = bytes([source.choice(alphabet)])
        kind = source.randrange(3)
        if kind == 0:
            mutant = good[:position] + character + good[position + 1 :]
        elif kind == 1:
            mutant = good[:position] + character + good[position:]
        else:
            mutant = good[:position] + good[position + 1 :]
        if mutant != good and await made.gateway.tokens.principal(mutant) is not None:
            accepted += 1
    assert accepted == 0
    assert await made.gateway.tokens.principal(good) is not None


async def test_a_new_key_is_found_without_a_failed_request_and_a_withdrawn_one_ends(
    stage: tuple[Edge, Echo],
) -> None:
    made, _ = stage
    made.know({})
    before = made.person()
    assert (await made.client.get("/v1/me", headers=before)).status_code == 200
    made.tokens = AccessTokens(generate_private_pem(), ISSUER, SystemClock())

    async def keys() -> dict[str, bytes]:
        from gateway.keys import keys_of

        return keys_of(made.tokens.jwks())

    made.gateway.tokens._fetch = keys
    made.gateway.tokens._fetched_at = float("-inf")
    assert (await made.client.get("/v1/me", headers=made.person())).status_code == 200
    assert (await made.client.get("/v1/me", headers=before)).status_code == 401
