"""Turns desired state into the complete set of files of a host: path, content, owner, mode, and who must reread it.

Every file is rendered here, in the control plane; the host only compares, replaces by rename and reloads what
changed. Nothing rendered is a plaintext secret.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import BaseModel, ConfigDict, Field

from services.provisioner.hosts.desired import DomainOnHost, HostDesired, MailboxLimits, MailboxVerifier

TEMPLATES = Path(__file__).parent / "templates"


class HostFile(BaseModel):
    """One file on the host. `effect` names what has to be done when its content changes."""

    model_config = ConfigDict(frozen=True)

    path: str
    content: str = Field(repr=False)
    owner: str = "root"
    group: str = "root"
    mode: int = 0o644
    effect: str = ""


class Tls(NamedTuple):
    """What internet.nl calls good or sufficient, and nothing else."""

    ciphers: tuple[str, ...] = (
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-RSA-CHACHA20-POLY1305",
        "ECDHE-RSA-AES128-GCM-SHA256",
    )
    curves: tuple[str, ...] = ("X25519", "prime256v1", "secp384r1")
    signature_algorithms: tuple[str, ...] = (
        "ECDSA+SHA256",
        "ECDSA+SHA384",
        "ECDSA+SHA512",
        "ed25519",
        "RSA-PSS+SHA256",
        "RSA-PSS+SHA384",
        "RSA-PSS+SHA512",
        "RSA+SHA256",
        "RSA+SHA384",
        "RSA+SHA512",
    )


# Roundcube needs inline scripts and eval; what can be forbidden beside that is.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "frame-src 'self'",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    )
)


class _Place(NamedTuple):
    template: str
    path: str
    effect: str = ""
    group: str = "root"
    mode: int = 0o644


_RSPAMD = "/etc/rspamd/local.d"
_DISABLED_RSPAMD = (
    "asn",
    "fuzzy_check",
    "greylist",
    "neural",
    "phishing",
    "rbl",
    "reputation",
    "url_redirector",
)

PLACES: tuple[_Place, ...] = (
    _Place("system/nftables.conf", "/etc/nftables.conf", "nftables", mode=0o600),
    _Place("system/resolv.conf", "/etc/resolv.conf", "postfix"),
    _Place("system/unbound.conf", "/etc/unbound/unbound.conf.d/sendchief.conf", "unbound"),
    _Place("system/redis.conf", "/etc/redis/redis.conf", "redis", group="redis", mode=0o640),
    _Place("system/sshd.conf", "/etc/ssh/sshd_config.d/00-sendchief.conf", "ssh", mode=0o600),
    _Place("system/sudoers", "/etc/sudoers.d/sendchief", mode=0o440),
    _Place("system/20auto-upgrades", "/etc/apt/apt.conf.d/20auto-upgrades"),
    _Place("system/52unattended-upgrades-sendchief", "/etc/apt/apt.conf.d/52unattended-upgrades-sendchief"),
    _Place("system/sysctl.conf", "/etc/sysctl.d/80-sendchief.conf", "sysctl"),
    _Place("system/journald.conf", "/etc/systemd/journald.conf.d/sendchief.conf", "journald"),
    _Place("system/tmpfiles.conf", "/etc/tmpfiles.d/sendchief.conf", "tmpfiles"),
    _Place(
        "system/sendchief-certificates.service", "/etc/systemd/system/sendchief-certificates.service", "units"
    ),
    _Place(
        "system/sendchief-certificates.timer", "/etc/systemd/system/sendchief-certificates.timer", "units"
    ),
    _Place(
        "system/sendchief-certificates-boot.timer",
        "/etc/systemd/system/sendchief-certificates-boot.timer",
        "units",
    ),
    _Place("system/rspamd.service", "/etc/systemd/system/rspamd.service.d/sendchief.conf", "units"),
    _Place("sso/sc-ssod.service", "/etc/systemd/system/sc-ssod.service", "sso"),
    _Place("postfix/main.cf", "/etc/postfix/main.cf", "postfix"),
    _Place("postfix/master.cf", "/etc/postfix/master.cf", "postfix"),
    _Place("postfix/openssl.cnf", "/etc/postfix/openssl.cnf", "postfix"),
    _Place("postfix/submission_header_checks", "/etc/postfix/submission_header_checks", "postfix"),
    _Place("postfix/domains", "/etc/sendchief/postfix/domains", "postmap"),
    _Place("postfix/mailboxes", "/etc/sendchief/postfix/mailboxes", "postmap"),
    _Place("postfix/senders", "/etc/sendchief/postfix/senders", "postmap"),
    _Place("postfix/paused_senders", "/etc/sendchief/postfix/paused_senders", "postmap"),
    _Place("postfix/paused_recipients", "/etc/sendchief/postfix/paused_recipients", "postmap"),
    _Place("postfix/paused_transports", "/etc/sendchief/postfix/paused_transports", "postmap"),
    # Restarted, although the maps are read anew: its processes remember where an address was delivered when they were
    # asked last, and would go on refusing for good what is served here now.
    _Place("postfix/elsewhere_recipients", "/etc/sendchief/postfix/elsewhere_recipients", "postfix"),
    _Place("postfix/elsewhere_transports", "/etc/sendchief/postfix/elsewhere_transports", "postfix"),
    _Place("postfix/aliases", "/etc/sendchief/postfix/aliases", "postmap"),
    _Place("dovecot/dovecot.conf", "/etc/dovecot/dovecot.conf", "dovecot"),
    _Place("dovecot/sendchief.lua", "/etc/dovecot/sendchief.lua", "dovecot"),
    _Place("rspamd/options.inc", f"{_RSPAMD}/options.inc", "rspamd"),
    _Place("rspamd/worker-proxy.inc", f"{_RSPAMD}/worker-proxy.inc", "rspamd"),
    _Place("rspamd/worker-normal.inc", f"{_RSPAMD}/worker-normal.inc", "rspamd"),
    _Place("rspamd/worker-fuzzy.inc", f"{_RSPAMD}/worker-fuzzy.inc", "rspamd"),
    _Place("rspamd/worker-controller.inc", f"{_RSPAMD}/worker-controller.inc", "rspamd"),
    _Place("rspamd/redis.conf", f"{_RSPAMD}/redis.conf", "rspamd"),
    _Place("rspamd/actions.conf", f"{_RSPAMD}/actions.conf", "rspamd"),
    _Place("rspamd/dmarc.conf", f"{_RSPAMD}/dmarc.conf", "rspamd"),
    _Place("rspamd/milter_headers.conf", f"{_RSPAMD}/milter_headers.conf", "rspamd"),
    _Place("rspamd/dkim_signing.conf", f"{_RSPAMD}/dkim_signing.conf", "rspamd"),
    _Place("rspamd/ratelimit.conf", f"{_RSPAMD}/ratelimit.conf", "rspamd"),
    _Place("rspamd/limits.lua", "/etc/rspamd/sendchief_limits.lua", "rspamd"),
    _Place("rspamd/rspamd.local.lua", "/etc/rspamd/rspamd.local.lua", "rspamd"),
    *(_Place("rspamd/disabled.conf", f"{_RSPAMD}/{name}.conf", "rspamd") for name in _DISABLED_RSPAMD),
    _Place("nginx/nginx.conf", "/etc/nginx/nginx.conf", "nginx"),
    _Place("nginx/headers.conf", "/etc/nginx/snippets/sendchief-headers.conf", "nginx"),
    _Place("nginx/host.conf", "/etc/nginx/sendchief/00-host.conf", "nginx"),
    _Place(
        "roundcube/config.inc.php", "/etc/roundcube/config.inc.php", "php", group="sc-webmail", mode=0o640
    ),
    _Place("roundcube/sc_sso.php", "/var/lib/roundcube/plugins/sc_sso/sc_sso.php", "php"),
    _Place("roundcube/pool.conf", "/etc/php/8.4/fpm/pool.d/sendchief.conf", "php"),
)

MANAGED_DIRECTORIES: tuple[str, ...] = (
    "/etc/sendchief/auth",
    "/etc/sendchief/webmail-ended",
    "/etc/sendchief/vhosts",
    "/var/lib/sendchief/web",
)
"""Below these a file that is not rendered any more is removed."""


def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - configuration files, from validated fields
        keep_trailing_newline=True,
    )


def aliases(desired: HostDesired) -> Iterator[tuple[str, str]]:
    """Addresses that RFC 2142 and our report records promise, and where they end up."""
    reports = desired.reports.address
    yield from ((alias, reports) for alias in desired.reports.aliases)
    yield from ((f"{name}@{desired.hostname}", reports) for name in ("postmaster", "abuse", "root"))
    taken = {box.address for box in desired.served_mailboxes}
    for domain in desired.served_domains:
        if f"postmaster@{domain.name}" not in taken:
            own = [box.address for box in desired.served_mailboxes if box.address.endswith(f"@{domain.name}")]
            yield f"postmaster@{domain.name}", own[0] if own else reports


def _context(desired: HostDesired) -> dict[str, Any]:
    boxes = [box.address for box in desired.served_mailboxes]
    return {
        "d": desired,
        "tls": Tls(),
        "csp": CONTENT_SECURITY_POLICY,
        "usual_limits": MailboxLimits(),
        "local_addresses": [desired.selftest_address, desired.reports.address, *boxes],
        "sending_addresses": [desired.selftest_address, *boxes],
        "aliases": list(aliases(desired)),
        "signing": [
            (desired.hostname, desired.host_dkim),
            *((domain.name, domain.dkim_selectors) for domain in desired.domains),
        ],
    }


def _domain_files(domain: DomainOnHost, render: Any) -> Iterator[HostFile]:
    web = f"/var/lib/sendchief/web/{domain.name}"
    for template, path, effect in (
        ("nginx/domain.conf", f"/etc/sendchief/vhosts/{domain.name}.conf", "nginx"),
        ("nginx/mta-sts.txt", f"{web}/.well-known/mta-sts.txt", ""),
        ("nginx/autoconfig.xml", f"{web}/mail/config-v1.1.xml", ""),
        ("nginx/autodiscover.xml", f"{web}/autodiscover.xml", ""),
    ):
        yield HostFile(path=path, content=render(template, {"domain": domain}), effect=effect)


def _sign_in_files(desired: HostDesired) -> Iterator[HostFile]:
    """One file per mailbox; an empty one is a mailbox that receives and lets nobody in."""
    closed: tuple[MailboxVerifier, ...] = ()
    boxes = [(desired.selftest_address, closed), (desired.reports.address, closed)]
    served = desired.served_mailboxes
    boxes += [(box.address, box.verifiers if box in served else closed) for box in desired.mailboxes]
    for address, verifiers in boxes:
        lines = (f"{v.version} {{{v.scheme}}}{v.hash} {v.selector or ''}".rstrip() + "\n" for v in verifiers)
        yield HostFile(
            path=f"/etc/sendchief/auth/{address}", content="".join(lines), group="dovecot", mode=0o640
        )


def _webmail_files(desired: HostDesired) -> Iterator[HostFile]:
    """One file per mailbox: the ids of webmail sign-ins that are refused. Without its file none is accepted."""
    for box in desired.served_mailboxes:
        content = "".join(f"{sign_in}\n" for sign_in in box.webmail_ended)
        yield HostFile(path=f"/etc/sendchief/webmail-ended/{box.address}", content=content)


def render_files(desired: HostDesired) -> tuple[HostFile, ...]:
    """All files of the host, in the order in which they are to be written."""
    environment = _environment()
    context = _context(desired)

    def render(template: str, extra: Mapping[str, Any]) -> str:
        return environment.get_template(f"{template}.j2").render(**context, **extra)

    # Sign-in files first: a mailbox must exist for delivery before Postfix accepts mail for it.
    files = [*_sign_in_files(desired), *_webmail_files(desired)]
    files.extend(
        HostFile(
            path=place.path,
            content=render(place.template, {}),
            effect=place.effect,
            group=place.group,
            mode=place.mode,
        )
        for place in PLACES
    )
    for domain in desired.domains:
        files.extend(_domain_files(domain, render))
    return tuple(files)
