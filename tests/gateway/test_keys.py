"""Which keys of a JWKS are taken."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.keys import BadJwk, keys_of, pem_of
from services.auth.access_tokens import AccessTokens
from shared.clock import SystemClock
from shared.identity import StrictVerifier, generate_private_pem, public_pem_of


def tokens() -> AccessTokens:
    return AccessTokens(generate_private_pem(), "https://sendchief.test", SystemClock())


def test_a_published_key_is_the_signing_key() -> None:
    private = generate_private_pem()
    made = AccessTokens(private, "https://sendchief.test", SystemClock())
    assert list(keys_of(made.jwks()).values()) == [public_pem_of(private)]
    token = made.issue(account_id="usr_1", session_id="ses_1", authenticated_at=datetime.now(UTC))
    verifier = StrictVerifier(keys_of(made.jwks()), "https://sendchief.test", "sendchief-api", "at+jwt")
    assert verifier.verify(token)["sub"] == "usr_1"


def test_the_next_key_is_published_before_it_signs(tmp_path: Any) -> None:
    (tmp_path / "next.pem").write_bytes(public_pem_of(generate_private_pem()))
    made = AccessTokens(generate_private_pem(), "https://sendchief.test", SystemClock(), tmp_path)
    assert len(keys_of(made.jwks())) == 2


@pytest.mark.asvs("9.1.3")
@pytest.mark.parametrize(
    "change",
    [
        {"kty": "oct", "k": "AAAA"},
        {"kty": "RSA"},
        {"crv": "P-384"},
        {"alg": "HS256"},
        {"alg": "none"},
        {"use": "enc"},
        {"d": "AAAA"},
        {"x": "AAAA"},
        {"x": 5},
        {"y": "A" * 43},
        {"x": "!" * 43},
    ],
)
def test_any_other_key_is_refused(change: dict[str, Any]) -> None:
    key = tokens().jwks()["keys"][0]
    assert pem_of(key).startswith(b"-----BEGIN PUBLIC KEY-----")
    with pytest.raises(BadJwk):
        pem_of({**key, **change})


@pytest.mark.parametrize("change", [None, [], {}, {"keys": "x"}, {"keys": [5]}])
def test_what_is_no_key_set_is_refused(change: Any) -> None:
    with pytest.raises(BadJwk):
        keys_of(change)


def test_two_keys_of_one_name_are_refused() -> None:
    first, second = tokens().jwks()["keys"][0], tokens().jwks()["keys"][0]
    with pytest.raises(BadJwk, match="name"):
        keys_of({"keys": [first, {**second, "kid": first["kid"]}]})
    with pytest.raises(BadJwk, match="not a key set"):
        keys_of({"keys": [{**first, "kid": str(number)} for number in range(17)]})
