"""Our DKIM verifier against another implementation's signatures and against tampering."""

from __future__ import annotations

import base64

import dkim as reference
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from services.provisioner.hosts.self_test.dkim import verify

KEY = rsa.generate_private_key(65537, 2048)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
)
PUBLIC = base64.b64encode(
    KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
).decode()
KEYS = {("example.test", "s1"): PUBLIC}
MESSAGE = (
    b"From: Alice <alice@example.test>\r\nTo: bob@example.test\r\nSubject: a  folded\r\n\tsubject\r\n"
    b"Date: Sun, 22 Nov 2026 12:00:00 +0000\r\n\r\nHello,  world \r\n\r\n.\r\nend\r\n\r\n\r\n"
)


def signed(style: str) -> bytes:
    head, body = style.encode().split(b"/")
    header = reference.sign(MESSAGE, b"s1", b"example.test", PEM, canonicalize=(head, body))
    return bytes(header) + MESSAGE


@pytest.mark.parametrize("style", ["relaxed/relaxed", "simple/simple", "relaxed/simple", "simple/relaxed"])
def test_accepts_what_another_implementation_signed(style: str) -> None:
    assert [verdict.reason for verdict in verify(signed(style), KEYS)] == [""]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b"Hello", b"Hullo", "the body was changed"),
        (b"alice@example.test>", b"mallory@example.test>", "the signature does not match"),
    ],
)
def test_refuses_tampering(old: bytes, new: bytes, reason: str) -> None:
    assert [verdict.reason for verdict in verify(signed("relaxed/relaxed").replace(old, new), KEYS)] == [
        reason
    ]


def test_unknown_key_is_no_pass() -> None:
    assert [verdict.ok for verdict in verify(signed("relaxed/relaxed"), {})] == [False]


def test_unsigned_message_has_no_verdict() -> None:
    assert verify(MESSAGE, KEYS) == []
