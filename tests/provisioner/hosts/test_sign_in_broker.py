"""Webmail tokens at the host: once, in time, for this host, signed with its key."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest

from services.provisioner.hosts.bundle.host.ssod import Broker, Invalid

KEY = b"k" * 32
HOST = "s1.mx.example.test"
NOW = 1_800_000_000.0


def encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def token(key: bytes = KEY, **changes: Any) -> str:
    claims = {
        "jti": "j" * 22,
        "sub": "alice@example-a.test",
        "aud": HOST,
        "iat": int(NOW),
        "exp": int(NOW) + 60,
    }
    payload = encode(json.dumps(claims | changes).encode())
    return f"v1.{payload}.{encode(hmac.new(key, f'v1.{payload}'.encode(), hashlib.sha256).digest())}"


@pytest.fixture
def broker(tmp_path: Path) -> Broker:
    sessions = tmp_path / "u"
    sessions.mkdir()
    return Broker(KEY, HOST, tmp_path / "used.db", sessions)


def test_token_opens_one_session(broker: Broker, tmp_path: Path) -> None:
    answer = broker.redeem(token(), NOW)
    expires, verifier = (tmp_path / "u" / "alice@example-a.test").read_text().split()
    assert answer["user"] == "alice@example-a.test"
    assert int(expires) == answer["expires"] == int(NOW) + 1800
    assert verifier == "{SHA512.HEX}" + hashlib.sha512(answer["secret"].encode()).hexdigest()


def test_second_use_is_refused(broker: Broker) -> None:
    broker.redeem(token(), NOW)
    with pytest.raises(Invalid, match="used"):
        broker.redeem(token(), NOW + 1)


def test_used_tokens_survive_a_restart(broker: Broker, tmp_path: Path) -> None:
    broker.redeem(token(), NOW)
    with pytest.raises(Invalid, match="used"):
        Broker(KEY, HOST, tmp_path / "used.db", tmp_path / "u").redeem(token(), NOW + 1)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (token(key=b"x" * 32), "signature"),
        (token(aud="other.example.test"), "audience"),
        (token(exp=int(NOW)), "expired"),
        (token(exp=int(NOW) + 61), "expired"),
        (token(iat=int(NOW) + 30, exp=int(NOW) + 60), "expired"),
        (token(iat=int(NOW) - 100, exp=int(NOW) - 50), "expired"),
        (token(sub="../../etc/x@example.test"), "subject"),
        (token(sub="Alice@Example.Test"), "subject"),
        (token(sub="a..b@example.test"), "subject"),
        (token(jti="short"), "subject"),
        ("v2." + token().split(".", 1)[1], "form"),
        ("nonsense", "form"),
        ("v1.!!.!!", "signature"),
    ],
)
def test_refuses(broker: Broker, text: str, reason: str) -> None:
    with pytest.raises(Invalid, match=reason):
        broker.redeem(text, NOW)


def test_ended_sessions_are_swept(broker: Broker, tmp_path: Path) -> None:
    broker.redeem(token(), NOW)
    broker.sweep(NOW + 10)
    assert (tmp_path / "u" / "alice@example-a.test").exists()
    broker.sweep(NOW + 1800)
    assert not (tmp_path / "u" / "alice@example-a.test").exists()
