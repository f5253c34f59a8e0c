"""Tokens that nobody of ours minted, and what becomes of them."""

import base64
import hashlib
import hmac
import json
import random
import string
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from shared.clock import FixedClock
from shared.identity import (
    StrictVerifier,
    TokenRejected,
    TokenSigner,
    generate_private_pem,
    key_id,
    public_pem_of,
)
from shared.identity.tokens import BadKey

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
PRIVATE = generate_private_pem()
PUBLIC = public_pem_of(PRIVATE)
KID = key_id("gateway", PUBLIC)
CLAIMS: dict[str, Any] = {"aud": "vault", "sub": "usr_1"}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def sign_raw(header: str, payload: str, private: bytes = PRIVATE) -> str:
    key = serialization.load_pem_private_key(private, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    signed = f"{header}.{payload}"
    r, s = decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signed}.{b64(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def header(**members: Any) -> str:
    fields = {"alg": "ES256", "kid": KID, "typ": "svc+jwt"} | members
    return b64(json.dumps(fields, separators=(",", ":"), sort_keys=True).encode())


def payload(raw: str | None = None, **claims: Any) -> str:
    stamp = int(NOW.timestamp())
    fields = {"aud": "vault", "exp": stamp + 60, "iat": stamp, "iss": "gateway", "sub": "usr_1"} | claims
    return b64((raw or json.dumps({k: v for k, v in fields.items() if v is not ...})).encode())


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
def verifier(clock: FixedClock) -> StrictVerifier:
    return StrictVerifier({KID: PUBLIC}, "gateway", "vault", "svc+jwt", clock=clock)


@pytest.fixture
def token(clock: FixedClock) -> str:
    return TokenSigner(PRIVATE, KID, "gateway", clock=clock).sign(CLAIMS, typ="svc+jwt", ttl=60)


def test_our_own_token_is_accepted(verifier: StrictVerifier, token: str) -> None:
    assert verifier.verify(token)["sub"] == "usr_1"


def test_a_token_built_by_hand_in_our_form_is_accepted(verifier: StrictVerifier) -> None:
    assert verifier.verify(sign_raw(header(), payload()))["aud"] == "vault"


@pytest.mark.asvs("9.2.1")
def test_it_is_not_valid_before_its_time(clock: FixedClock, verifier: StrictVerifier) -> None:
    later = int(NOW.timestamp()) + 30
    early = TokenSigner(PRIVATE, KID, "gateway", clock=clock).sign(
        {**CLAIMS, "nbf": later}, typ="svc+jwt", ttl=60
    )
    with pytest.raises(TokenRejected, match="not yet valid"):
        verifier.verify(early)
    clock.advance(timedelta(seconds=30))
    assert verifier.verify(early)["nbf"] == later


@pytest.mark.asvs("9.2.1")
def test_it_expires(verifier: StrictVerifier, token: str, clock: FixedClock) -> None:
    clock.advance(timedelta(seconds=59))
    verifier.verify(token)
    clock.advance(timedelta(seconds=1))
    with pytest.raises(TokenRejected, match="expired"):
        verifier.verify(token)


HEADERS: dict[str, Callable[[], str]] = {
    "alg none": lambda: header(alg="none"),
    "alg HS256": lambda: header(alg="HS256"),
    "alg ES384": lambda: header(alg="ES384"),
    "alg lower case": lambda: header(alg="es256"),
    "unknown kid": lambda: header(kid="gateway-0000000000000000"),
    "no kid": lambda: b64(b'{"alg":"ES256","typ":"svc+jwt"}'),
    "typ of access tokens": lambda: header(typ="at+jwt"),
    "no typ": lambda: b64(json.dumps({"alg": "ES256", "kid": KID}, separators=(",", ":")).encode()),
    "crit": lambda: header(crit=["exp"]),
    "b64 false": lambda: header(b64=False, crit=["b64"]),
    "embedded jwk": lambda: header(jwk={"kty": "EC"}),
    "jku": lambda: header(jku="https://example.org/keys"),
    "other spacing": lambda: b64(json.dumps({"alg": "ES256", "kid": KID, "typ": "svc+jwt"}).encode()),
    "other order": lambda: b64(f'{{"typ":"svc+jwt","alg":"ES256","kid":"{KID}"}}'.encode()),
    "padded": lambda: header() + "=",
    "a list": lambda: b64(b'["ES256"]'),
    "nested deep": lambda: b64(b"[" * 3000),
    "empty": lambda: "",
}


@pytest.mark.asvs("9.1.2", "9.1.3", "9.2.2")
@pytest.mark.parametrize("name", HEADERS)
def test_any_other_header_is_refused(verifier: StrictVerifier, name: str) -> None:
    with pytest.raises(TokenRejected):
        verifier.verify(sign_raw(HEADERS[name](), payload()))


PAYLOADS: dict[str, Callable[[], str]] = {
    "other audience": lambda: payload(aud="dns"),
    "audience list": lambda: payload(aud=["vault"]),
    "no audience": lambda: payload(aud=...),
    "other issuer": lambda: payload(iss="auth"),
    "no issuer": lambda: payload(iss=...),
    "expired": lambda: payload(exp=int(NOW.timestamp())),
    "no exp": lambda: payload(exp=...),
    "exp string": lambda: payload(exp=str(int(NOW.timestamp()) + 60)),
    "exp float": lambda: payload(exp=NOW.timestamp() + 60.5),
    "exp bool": lambda: payload(exp=True),
    "exp list": lambda: payload(exp=[int(NOW.timestamp()) + 60]),
    "exp infinite": lambda: payload(raw='{"aud":"vault","iss":"gateway","sub":"u","iat":1,"exp":Infinity}'),
    "exp 1e400": lambda: payload(raw='{"aud":"vault","iss":"gateway","sub":"u","iat":1,"exp":1e400}'),
    "exp NaN": lambda: payload(raw='{"aud":"vault","iss":"gateway","sub":"u","iat":1,"exp":NaN}'),
    "lives too long": lambda: payload(exp=int(NOW.timestamp()) + 3601),
    "no iat": lambda: payload(iat=...),
    "iat tomorrow": lambda: payload(iat=int(NOW.timestamp()) + 86400, exp=int(NOW.timestamp()) + 86460),
    "not yet valid": lambda: payload(nbf=int(NOW.timestamp()) + 30),
    "nbf string": lambda: payload(nbf="0"),
    "no subject": lambda: payload(sub=...),
    "subject number": lambda: payload(sub=1),
    "subject empty": lambda: payload(sub=""),
    "subject too long": lambda: payload(sub="u" * 129),
    "a list": lambda: payload(raw="[1,2,3,4,5,6,7,8,9]"),
    "a string": lambda: payload(raw='"abcdefghijklmnop"'),
    "not JSON": lambda: payload(raw="{this is not json at all}"),
    "nested deep": lambda: payload(raw="[" * 4400),
    "not UTF-8": lambda: b64(b'{"sub":"\xff\xfe\xfd\xfc\xfb"}'),
    "duplicate claim": lambda: payload(raw=duplicate()),
    "oversized": lambda: payload(filler="x" * 6000),
}


def duplicate() -> str:
    stamp = int(NOW.timestamp())
    return f'{{"aud":"dns","aud":"vault","iss":"gateway","sub":"u","iat":{stamp},"exp":{stamp + 60}}}'


@pytest.mark.parametrize("name", PAYLOADS)
def test_ill_typed_or_foreign_claims_are_refused_even_when_signed(
    verifier: StrictVerifier, name: str
) -> None:
    with pytest.raises(TokenRejected):
        verifier.verify(sign_raw(header(), PAYLOADS[name]()))


def respelled_last_character(segment: str) -> str:
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    return segment[:-1] + alphabet[alphabet.index(segment[-1]) + 1]


def test_another_spelling_of_the_same_signature_is_refused(verifier: StrictVerifier, token: str) -> None:
    head, body, signature = token.split(".")
    for spelling in (
        signature + "==",
        signature + "=",
        respelled_last_character(signature),
        signature + "AAAA",
    ):
        with pytest.raises(TokenRejected):
            verifier.verify(f"{head}.{body}.{spelling}")


def test_another_spelling_of_the_same_payload_is_refused(verifier: StrictVerifier) -> None:
    text = json.dumps({"aud": "vault", "iss": "gateway", "sub": "u" * 3, "iat": int(NOW.timestamp())})
    for filler in range(3):
        body = payload(filler="x" * filler)
        if len(body) % 4 == 0:
            continue
        with pytest.raises(TokenRejected, match="form"):
            verifier.verify(sign_raw(header(), respelled_last_character(body)))
    assert text


@pytest.mark.parametrize("suffix", [".x", "\n", " ", ".", "\0", "é"])
def test_anything_after_a_token_is_refused(verifier: StrictVerifier, token: str, suffix: str) -> None:
    with pytest.raises(TokenRejected):
        verifier.verify(token + suffix)


@pytest.mark.asvs("9.1.2")
def test_a_public_key_does_not_become_a_shared_secret(verifier: StrictVerifier) -> None:
    key = serialization.load_pem_public_key(PUBLIC)
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    signed = f"{header(alg='HS256')}.{payload()}"
    for secret in (PUBLIC, PUBLIC.strip(), der):
        mac = hmac.digest(secret, signed.encode(), hashlib.sha256)
        with pytest.raises(TokenRejected):
            verifier.verify(f"{signed}.{b64(mac)}")


def test_another_key_cannot_sign_under_a_known_kid(verifier: StrictVerifier) -> None:
    with pytest.raises(TokenRejected, match="signature"):
        verifier.verify(sign_raw(header(), payload(), generate_private_pem()))


@pytest.mark.parametrize("pair", [(0, 0), (1, 0), (0, 1)])
def test_null_signatures_are_refused(verifier: StrictVerifier, pair: tuple[int, int]) -> None:
    raw = pair[0].to_bytes(32, "big") + pair[1].to_bytes(32, "big")
    with pytest.raises(TokenRejected):
        verifier.verify(f"{header()}.{payload()}.{b64(raw)}")


@pytest.mark.asvs("9.1.1")
def test_no_mutant_with_one_edit_is_accepted(verifier: StrictVerifier, token: str) -> None:
    source = random.Random(7)
    alphabet = string.ascii_letters + string.digits + "-_.=+/ \n"
    for _ in range(11_000):
        place = source.randrange(len(token))
        letter = source.choice(alphabet)
        edit = source.randrange(3)
        mutant = (
            token[:place] + letter + token[place + 1 :],
            token[:place] + token[place + 1 :],
            token[:place] + letter + token[place:],
        )[edit]
        if mutant == token:
            continue
        with pytest.raises(TokenRejected):
            verifier.verify(mutant)


def bad_public_keys() -> dict[str, bytes]:
    spki = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    p256 = serialization.load_pem_public_key(PUBLIC)
    return {
        "DER": p256.public_bytes(serialization.Encoding.DER, spki[1]),
        "JWK": b'{"kty":"EC","crv":"P-256","x":"","y":""}',
        "P-384": ec.generate_private_key(ec.SECP384R1()).public_key().public_bytes(*spki),
        "RSA": rsa.generate_private_key(65537, 2048).public_key().public_bytes(*spki),
        "private": PRIVATE,
        "empty": b"",
        "garbage": b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    }


@pytest.mark.asvs("11.6.1")
@pytest.mark.parametrize("name", ["DER", "JWK", "P-384", "RSA", "private", "empty", "garbage"])
def test_only_p256_public_keys_in_pem_are_taken(name: str) -> None:
    with pytest.raises(BadKey):
        StrictVerifier({"k": bad_public_keys()[name]}, "gateway", "vault", "svc+jwt")


def test_a_signer_needs_a_p256_private_key() -> None:
    with pytest.raises(BadKey):
        TokenSigner(PUBLIC, "k", "gateway")
    other = ec.generate_private_key(ec.SECP384R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(BadKey):
        TokenSigner(other, "k", "gateway")
