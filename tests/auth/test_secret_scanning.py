"""Keys found in public: revoked by a signed report, and by nothing else."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.filter.honeytokens import Honeytokens
from services.auth.api_keys.format import PATTERN, checksum, generate
from services.auth.models import ApiKey
from services.auth.ports import SignatureRejected
from services.auth.providers.github_scanning import ScannerKeys, read_keys
from shared.contracts.auth_events import ApiKeyRevoked, AuthAuditRecorded
from tests.auth.stage import Stage, staged
from tests.auth.test_api_keys import introspect, make
from tests.fixtures.database import ServiceDatabases
from tests.fixtures.identity import Trust

DOCUMENT = Path(__file__).parents[2] / "docs/api-keys.md"
PATH = "/v1/secret-scanning/alerts"


@dataclass
class Scanner:
    """Stands for GitHub: signs reports with a key that it publishes."""

    key: ec.EllipticCurvePrivateKey
    identifier: str = "scanner-1"

    def published(self) -> dict[str, Any]:
        pem = self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        return {"public_keys": [{"key_identifier": self.identifier, "key": pem, "is_current": True}]}

    def headers(self, body: bytes) -> dict[str, str]:
        signature = base64.b64encode(self.key.sign(body, ec.ECDSA(SHA256()))).decode()
        return {
            "Content-Type": "application/json",
            "Github-Public-Key-Identifier": self.identifier,
            "Github-Public-Key-Signature": signature,
        }


def report(*tokens: str, url: str = "https://example.test/repo/blob/main/config.py") -> bytes:
    finds = [{"token": t, "type": "sendchief_api_key", "url": url, "source": "content"} for t in tokens]
    return json.dumps(finds).encode()


@pytest.fixture
def scanner() -> Scanner:
    return Scanner(ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture
async def auth(
    service_database: ServiceDatabases, trust: Trust, tmp_path: Path, scanner: Scanner
) -> AsyncIterator[Stage]:
    file = tmp_path / "scanners.json"
    file.write_text(json.dumps(scanner.published()))
    async with staged(service_database("auth"), trust, tmp_path, secret_scanning_keys_file=file) as stage:
        yield stage


async def send(auth: Stage, scanner: Scanner, body: bytes) -> httpx.Response:
    return await auth.client.post(PATH, content=body, headers=scanner.headers(body))


async def test_a_reported_key_is_dead_and_the_scanner_learns_that_it_was_one(
    auth: Stage, scanner: Scanner
) -> None:
    owner = await auth.person()
    workspace_id = await auth.workspace(owner)
    key = await make(auth, owner, workspace_id)
    answer = await send(auth, scanner, report(key["key"]))
    digest = base64.b64encode(hashlib.sha256(key["key"].encode()).digest()).decode()
    assert answer.json() == [
        {"token_hash": digest, "token_type": "sendchief_api_key", "label": "true_positive"}
    ]
    assert (await introspect(auth, key["key"]))["active"] is False
    assert key["id"] in [event.key_id for event in await auth.bus.emitted(ApiKeyRevoked)]
    async with auth.worker.database.transaction() as session:
        assert (await session.get_one(ApiKey, key["id"])).revoke_reason == "leaked"


async def test_one_report_ends_keys_of_many_workspaces(auth: Stage, scanner: Scanner) -> None:
    keys = []
    for _ in range(3):
        owner = await auth.person()
        keys.append((await make(auth, owner, await auth.workspace(owner)))["key"])
    answer = await send(auth, scanner, report(*keys))
    assert [verdict["label"] for verdict in answer.json()] == ["true_positive"] * 3
    assert [(await introspect(auth, key))["active"] for key in keys] == [False] * 3


async def test_what_is_no_key_of_ours_is_a_false_positive_and_ends_nothing(
    auth: Stage, scanner: Scanner
) -> None:
    """Not even with the public id of a live key, which is no secret."""
    owner = await auth.person()
    key = await make(auth, owner, await auth.workspace(owner))
    stem = f"{key['prefix']}_{'0' * 32}"
    forged = f"{stem}_{checksum(stem)}"
    strange = ["", "x", key["key"][:-1] + "!", generate().key.get_secret_value(), forged, key["prefix"]]
    answer = await send(auth, scanner, report(*strange))
    assert [verdict["label"] for verdict in answer.json()] == ["false_positive"] * len(strange)
    assert (await introspect(auth, key["key"]))["active"] is True


async def test_the_people_in_charge_get_a_mail_that_does_not_hold_the_key(
    auth: Stage, scanner: Scanner
) -> None:
    owner, admin, member = [await auth.person() for _ in range(3)]
    workspace_id = await auth.workspace(owner)
    await auth.join(owner, workspace_id, admin, "admin")
    await auth.join(owner, workspace_id, member)
    key = await make(auth, owner, workspace_id)
    url = f"https://example.test/?q=<b>{key['key']}"
    assert (await send(auth, scanner, report(key["key"], url=url))).status_code == 200
    for event in await auth.bus.emitted(AuthAuditRecorded):
        if event.action == "auth.api_key.leaked" and event.workspace_id == workspace_id:
            await auth.bus.deliver(event)
    await auth.send_mail()
    mails = [mail for mail in auth.mail.mails if mail.kind == "api_key_leaked"]
    assert {mail.to for mail in mails} == {owner.email, admin.email}
    for mail in mails:
        assert key["prefix"] in mail.text
        assert "https://example.test/" in mail.text
        assert key["key"] not in mail.text + mail.html + mail.subject
        assert "<b>" not in mail.html


async def test_the_same_report_at_once_and_again_ends_a_key_once(auth: Stage, scanner: Scanner) -> None:
    owner = await auth.person()
    key = await make(auth, owner, await auth.workspace(owner))
    body = report(key["key"])
    answers = await asyncio.gather(*(send(auth, scanner, body) for _ in range(8)))
    assert {answer.json()[0]["label"] for answer in answers} == {"true_positive"}
    events = [event.key_id for event in await auth.bus.emitted(ApiKeyRevoked)]
    assert events.count(key["id"]) == 1


async def test_a_report_that_no_known_scanner_signed_ends_nothing(auth: Stage, scanner: Scanner) -> None:
    owner = await auth.person()
    key = await make(auth, owner, await auth.workspace(owner))
    body = report(key["key"])
    good = scanner.headers(body)
    stranger = Scanner(ec.generate_private_key(ec.SECP256R1()))
    wrong: list[tuple[bytes, dict[str, str]]] = [
        (body, {}),
        (body, stranger.headers(body)),
        (body, {**good, "Github-Public-Key-Identifier": "another"}),
        (body, {**good, "Github-Public-Key-Signature": "!"}),
        (body, {**good, "Github-Public-Key-Signature": ""}),
        (body + b" ", good),
        (body, scanner.headers(b"[]")),
    ]
    for sent, headers in wrong:
        answer = await auth.client.post(PATH, content=sent, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_signature")
    assert (await introspect(auth, key["key"]))["active"] is True


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b'[{"type":"x"}]', b"[" * 5000])
async def test_a_signed_body_that_is_no_report_is_refused_plainly(
    auth: Stage, scanner: Scanner, body: bytes
) -> None:
    assert (await send(auth, scanner, body)).status_code == 422


async def test_a_report_is_bounded(auth: Stage, scanner: Scanner) -> None:
    assert (await send(auth, scanner, b"x" * (1024 * 1024 + 1))).status_code == 413


def test_without_keys_nobody_can_report() -> None:
    with pytest.raises(SignatureRejected):
        ScannerKeys(None).verify(b"[]", "scanner-1", "AA==")


def test_a_new_scanner_key_counts_without_a_restart(tmp_path: Path, scanner: Scanner) -> None:
    file = tmp_path / "keys.json"
    file.write_text(json.dumps(scanner.published()))
    keys = ScannerKeys(file)
    keys._keys._looked_at = float("-inf")
    following = Scanner(ec.generate_private_key(ec.SECP256R1()), "scanner-2")
    fresh = tmp_path / "fresh.json"
    fresh.write_text(json.dumps(following.published()))
    os.replace(fresh, file)
    headers = following.headers(b"[]")
    keys.verify(b"[]", "scanner-2", headers["Github-Public-Key-Signature"])


def test_only_keys_of_the_expected_kind_are_read(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    for key in (
        rsa.generate_private_key(public_exponent=65537, key_size=2048),
        ec.generate_private_key(ec.SECP384R1()),
    ):
        pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        file.write_text(json.dumps({"public_keys": [{"key_identifier": "x", "key": pem}]}))
        with pytest.raises(ValueError, match="P-256"):
            read_keys(file)


def published_expression() -> str:
    return DOCUMENT.read_text().partition("```regex\n")[2].partition("\n```")[0]


def test_the_published_expression_finds_keys_in_text_and_is_the_one_that_we_use() -> None:
    expression = published_expression()
    assert expression == rf"\b{PATTERN.pattern.replace('(', '').replace(')', '')}\b"
    keys = [generate().key.get_secret_value() for _ in range(200)]
    text = "\n".join(f'API_KEY = "{key}"; curl -H "Authorization: Bearer {key}"' for key in keys)
    assert re.findall(expression, text) == [key for key in keys for _ in range(2)]


def test_the_published_expression_finds_nothing_but_bait_in_our_own_source() -> None:
    root = Path(__file__).parents[2]
    expression = re.compile(published_expression())
    bait = Honeytokens()
    for folder in ("services", "gateway", "shared", "docs", "infra", "sandbox"):
        for file in (root / folder).rglob("*"):
            if file.suffix in (".py", ".md", ".toml", ".json", ".sh"):
                for found in expression.findall(file.read_text()):
                    assert bait.is_key(found.encode()), file
