"""Runs the rows side by side. A row that breaks is a row that failed, with the reason as its evidence."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import imaplib
import secrets
from collections.abc import Awaitable, Callable, Collection
from datetime import timedelta
from typing import NamedTuple

import asyncssh
import structlog

from services.provisioner.hosts.port import HostError, SelfTestPassword
from services.provisioner.hosts.self_test import encryption, inside, mail, names, network
from services.provisioner.hosts.self_test.checks import CheckResult, SelfTestTarget
from services.provisioner.hosts.self_test.rows import row

log = structlog.get_logger()

PASSWORD_LIFETIME = timedelta(minutes=5)

Find = Callable[[SelfTestTarget], Awaitable[list[CheckResult]]]


def ssha512(password: str) -> str:
    """A verifier for a random 256-bit password that lives for minutes: nothing slower is needed."""
    salt = secrets.token_bytes(16)
    digest = hashlib.sha512(password.encode() + salt).digest()
    return "{SSHA512}" + base64.b64encode(digest + salt).decode()


def _threaded(rows: Callable[[SelfTestTarget], list[CheckResult]]) -> Find:
    async def find_out(target: SelfTestTarget) -> list[CheckResult]:
        return await asyncio.to_thread(rows, target)

    return find_out


class _Part(NamedTuple):
    """Rows that are found out together: when it breaks, all of them have failed."""

    rows: tuple[str, ...]
    find_out: Find


def _parts(password: str) -> tuple[_Part, ...]:
    return (
        _Part(
            ("listeners_ipv4", "listeners_ipv6", "listeners_inside", "firewall_drops"), network.reachability
        ),
        _Part(("ssh_certificates_only",), network.ssh),
        _Part(("dns_a", "dns_aaaa", "dns_tlsa", "dns_ptr4", "dns_ptr6"), names.names),
        _Part(inside.CHECKS, inside.inside),
        _Part(("tls_versions",), _threaded(encryption.old_versions)),
        _Part(("tls_no_sha1",), _threaded(encryption.sha1)),
        _Part(("certificate_valid", "certificate_key_is_tlsa_current"), _threaded(encryption.certificates)),
        _Part(("web_redirects", "web_headers"), _threaded(encryption.web)),
        _Part(("smtp_banner",), _threaded(mail.banner)),
        _Part(("no_auth_on_25", "no_auth_before_tls"), _threaded(mail.auth_offers)),
        _Part(("no_relay",), _threaded(mail.relay)),
        _Part(("report_addresses", "unknown_recipient"), _threaded(mail.recipients)),
        _Part(("no_smuggling",), _threaded(mail.smuggling)),
        _Part(
            ("auth_after_tls", "sender_bound_to_mailbox", "from_bound_to_mailbox", "recipient_limit"),
            _threaded(lambda target: mail.authenticated(target, password)),
        ),
        _Part(
            ("imap_login", "mail_delivered", "mail_received", "dkim_signed_twice", "sender_privacy"),
            _threaded(lambda target: mail.delivery(target, password)),
        ),
    )


async def _guarded(part: _Part, target: SelfTestTarget) -> list[CheckResult]:
    try:
        return await part.find_out(target)
    except (OSError, TimeoutError, imaplib.IMAP4.error, asyncssh.Error, HostError, ValueError) as error:
        evidence = f"could not be tried: {type(error).__name__}: {error}"
        log.warning(
            "self_test_part_broke", rows=part.rows, hostname=target.hostname, evidence=evidence[:1000]
        )
        return [row(row_id, ok=False, evidence=evidence) for row_id in part.rows]


async def run_self_test(target: SelfTestTarget, only: Collection[str] | None = None) -> list[CheckResult]:
    """All rows, in a fixed order, or the parts that hold the rows named in `only`.

    Needs about five seconds; sends nothing to anybody but the host itself. Raises HostError when the host cannot
    be given the run's password: then nothing was tested.
    """
    password = secrets.token_urlsafe(32)
    expires_at = target.clock.now() + PASSWORD_LIFETIME
    await target.port.set_selftest_password(
        target.host, SelfTestPassword(verifier=ssha512(password), expires_at=expires_at)
    )
    wanted = [part for part in _parts(password) if only is None or set(only) & set(part.rows)]
    try:
        parts = await asyncio.gather(*(_guarded(part, target) for part in wanted))
    finally:
        await target.port.set_selftest_password(target.host, None)
    return [result for results in parts for result in results]
