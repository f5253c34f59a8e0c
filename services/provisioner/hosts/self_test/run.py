"""Runs the rows side by side. A row that breaks is a row that failed, with the reason as its evidence."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import imaplib
import secrets
from collections.abc import Awaitable, Callable
from datetime import timedelta

import asyncssh
import structlog

from services.provisioner.hosts.port import HostError, SelfTestPassword
from services.provisioner.hosts.self_test import encryption, inside, mail, names, network
from services.provisioner.hosts.self_test.checks import CheckResult, Layer, SelfTestTarget

log = structlog.get_logger()

PASSWORD_LIFETIME = timedelta(minutes=5)

Part = Callable[[SelfTestTarget], Awaitable[list[CheckResult]]]


def ssha512(password: str) -> str:
    """A verifier for a random 256-bit password that lives for minutes: nothing slower is needed."""
    salt = secrets.token_bytes(16)
    digest = hashlib.sha512(password.encode() + salt).digest()
    return "{SSHA512}" + base64.b64encode(digest + salt).decode()


def _threaded(rows: Callable[[SelfTestTarget], list[CheckResult]]) -> Part:
    async def part(target: SelfTestTarget) -> list[CheckResult]:
        return await asyncio.to_thread(rows, target)

    return part


def _parts(password: str) -> tuple[tuple[str, Layer, Part], ...]:
    """(name of the part when it breaks, its layer, the part)."""
    return (
        ("reachability", "hardening", network.reachability),
        ("ssh", "hardening", network.ssh),
        ("names", "dns", names.names),
        ("inside", "hardening", inside.inside),
        ("tls_versions", "encryption", _threaded(encryption.old_versions)),
        ("tls_no_sha1", "encryption", _threaded(encryption.sha1)),
        ("certificates", "encryption", _threaded(encryption.certificates)),
        ("web", "encryption", _threaded(encryption.web)),
        ("smtp_banner", "compliance", _threaded(mail.banner)),
        ("auth_offers", "authentication", _threaded(mail.auth_offers)),
        ("no_relay", "authentication", _threaded(mail.relay)),
        ("recipients", "compliance", _threaded(mail.recipients)),
        ("no_smuggling", "hardening", _threaded(mail.smuggling)),
        ("authenticated", "authentication", _threaded(lambda target: mail.authenticated(target, password))),
        ("delivery", "compliance", _threaded(lambda target: mail.delivery(target, password))),
    )


async def _guarded(name: str, layer: Layer, part: Part, target: SelfTestTarget) -> list[CheckResult]:
    try:
        return await part(target)
    except (OSError, TimeoutError, imaplib.IMAP4.error, asyncssh.Error, HostError, ValueError) as error:
        evidence = f"{type(error).__name__}: {error}"[:1000]
        log.warning("self_test_part_broke", part=name, hostname=target.hostname, evidence=evidence)
        words = "This part of the self-test could not be carried out."
        return [CheckResult(id=name, layer=layer, ok=False, evidence=evidence, words=words)]


async def run_self_test(target: SelfTestTarget) -> list[CheckResult]:
    """All rows, in a fixed order. Needs about five seconds; sends nothing to anybody but the host itself.

    Raises HostError when the host cannot be given the run's password: then nothing was tested.
    """
    password = secrets.token_urlsafe(32)
    expires_at = target.clock.now() + PASSWORD_LIFETIME
    await target.port.set_selftest_password(
        target.host, SelfTestPassword(verifier=ssha512(password), expires_at=expires_at)
    )
    try:
        parts = await asyncio.gather(*(_guarded(*entry, target) for entry in _parts(password)))
    finally:
        await target.port.set_selftest_password(target.host, None)
    return [row for rows in parts for row in rows]
