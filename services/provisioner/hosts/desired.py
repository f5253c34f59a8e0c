"""What a host shall be, and what a host says it is: the two documents that pass between worker and host.

`HostDesired` is the whole truth for one host, growing by generation; the host's root helper takes it on stdin,
refuses a generation older than the one it holds, and answers with `HostFacts`. No plaintext password and no
private key is in either: verifiers go out, public keys come back.
"""

from __future__ import annotations

from datetime import datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

SCHEMA_VERSION: Literal[1] = 1

_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = rf"^({_LABEL}\.)+{_LABEL}$"


def _short_enough(name: str) -> str:
    if len(name) > 253:
        raise ValueError("a domain name has at most 253 characters")
    return name


DomainName = Annotated[str, StringConstraints(pattern=_DOMAIN), AfterValidator(_short_enough)]
"""Lower-case A-label form without the final dot (RFC 1035, RFC 5890)."""

MailAddress = Annotated[
    str,
    StringConstraints(
        pattern=rf"^[a-z0-9]([a-z0-9._-]{{0,62}}[a-z0-9])?@({_LABEL}\.)+{_LABEL}$", max_length=254
    ),
]
"""Lower-case address. The local part becomes a file name on the host, hence the narrow alphabet."""

Selector = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]{1,32}$")]
PasswordSelector = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{3}$")]
SignInId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{16,64}$")]
"""The `jti` of a webmail token."""
Sha256Hex = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
PhcHash = Annotated[
    str,
    StringConstraints(pattern=r"^\$argon2id\$v=19\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+$"),
]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Answer(BaseModel):
    """Said by a host, which may be newer than this code: unknown fields are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class DkimSelectors(_Document):
    """One selector per algorithm, `sc<yyyymm>r` and `sc<yyyymm>e`; both keys sign each message (RFC 8463).

    The n-th machine behind a name has `sc<yyyymm>n<n>r`: its keys are others, and the old ones may still be cached.
    """

    rsa: Selector
    ed25519: Selector

    @classmethod
    def of_month(cls, at: datetime, incarnation: int = 1) -> Self:
        stem = f"sc{at:%Y%m}" + (f"n{incarnation}" if incarnation > 1 else "")
        return cls(rsa=f"{stem}r", ed25519=f"{stem}e")


class MailboxVerifier(_Document):
    """A stored password verifier, as the vault hands it out. `selector` is what the password begins with: it is tried
    for such passwords only, so that a wrong one costs one hash however many app passwords there are."""

    version: int = Field(ge=1)
    scheme: Literal["ARGON2ID"] = "ARGON2ID"
    hash: PhcHash = Field(repr=False)
    selector: PasswordSelector | None = Field(default=None, repr=False)


class MailboxLimits(_Document):
    """Recipients (not messages) that one mailbox may address."""

    recipients_per_hour: int = Field(default=60, ge=1)
    recipients_per_day: int = Field(default=500, ge=1)


class MailboxDesired(_Document):
    """One mailbox. Every verifier listed signs in, so that a rotation has no gap; none = nobody signs in.

    Webmail sign-ins in `webmail_ended` are refused, their tokens and the sessions that came of them.
    """

    mailbox_id: str
    address: MailAddress
    display_name: str = Field(default="", max_length=120)
    verifiers: tuple[MailboxVerifier, ...] = ()
    webmail_ended: tuple[SignInId, ...] = ()
    limits: MailboxLimits = MailboxLimits()


class DomainOnHost(_Document):
    """A sending domain. The host holds a certificate for mta-sts., autoconfig. and autodiscover.<name>."""

    domain_id: str
    name: DomainName
    dkim_selectors: DkimSelectors
    mta_sts_mode: Literal["none", "testing", "enforce"] = "enforce"
    mta_sts_max_age: int = Field(default=1_209_600, ge=86_400, le=31_557_600)
    """Seconds (RFC 8461 section 3.2)."""
    served_by: DomainName | None = None
    """Another server, while the domain moves to or from this host: its keys and mail are here, but nobody signs in to
    its mailboxes, mail from outside is put off, and what others on this host write to it goes to that server."""

    def web_names(self) -> tuple[str, ...]:
        return tuple(f"{label}.{self.name}" for label in ("mta-sts", "autoconfig", "autodiscover"))


class ReportMailbox(_Document):
    """Where DMARC and TLS reports of this host's domains are stored; nobody signs in to it."""

    address: MailAddress
    aliases: tuple[MailAddress, ...]


class HostLimits(_Document):
    """Limits of the whole host."""

    message_size_bytes: int = Field(default=52_428_800, ge=1_048_576)
    recipients_per_message: int = Field(default=50, ge=1, le=1000)
    recipients_per_day: int = Field(default=2000, ge=1)


class HostDesired(_Document):
    """Everything that decides what a host is. `generation` grows with each change of any other field."""

    schema_version: Literal[1] = SCHEMA_VERSION
    generation: int = Field(ge=1)
    server_id: str = Field(pattern=r"^srv_[0-9a-f]{32}$")
    hostname: DomainName
    ipv4: IPv4Address
    ipv6: IPv6Address
    control_plane_v4: tuple[IPv4Network, ...]
    """The only sources that reach port 22."""
    control_plane_v6: tuple[IPv6Network, ...] = ()
    acme_directory: str = Field(pattern=r"^https://")
    acme_contact: str = Field(pattern=r"^[^@\s]+@[^@\s]+$")
    host_dkim: DkimSelectors
    """Keys of mail from the host name itself (self-test)."""
    reports: ReportMailbox
    webmail_key_version: int | None = None
    """The version of the sign-in key that the host should hold; the key itself goes by `set_webmail_key`."""
    mail_service: Literal["full", "outbound_paused", "read_only"] = "full"
    """Paused: what the customer's mailboxes submit is put off, what waits in the queue stays there, and no Sieve script
    runs, since it could redirect or answer. Read-only: their mail from outside is put off too, and over IMAP mail is
    read and marked as seen, nothing else. Signing in goes on; our own mailboxes are never concerned, so that the
    self-test still proves the machine."""
    domains: tuple[DomainOnHost, ...] = ()
    mailboxes: tuple[MailboxDesired, ...] = ()
    limits: HostLimits = HostLimits()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.control_plane_v4 and not self.control_plane_v6:
            raise ValueError("without a control-plane network nobody could reach the host again")
        names = [domain.name for domain in self.domains]
        if len(set(names)) != len(names) or self.hostname in names:
            raise ValueError("a domain is listed twice")
        addresses = [mailbox.address for mailbox in self.mailboxes]
        reserved = {self.selftest_address, self.reports.address, *self.reports.aliases}
        if len(set(addresses)) != len(addresses) or reserved & set(addresses):
            raise ValueError("an address is listed twice")
        homeless = [a for a in addresses if a.rpartition("@")[2] not in names]
        if homeless:
            raise ValueError(f"{homeless[0]} is in no domain of this host")
        return self

    @property
    def served_domains(self) -> tuple[DomainOnHost, ...]:
        """Those that are not on their way to or from another server."""
        return tuple(domain for domain in self.domains if domain.served_by is None)

    @property
    def served_mailboxes(self) -> tuple[MailboxDesired, ...]:
        names = {domain.name for domain in self.served_domains}
        return tuple(box for box in self.mailboxes if box.address.rpartition("@")[2] in names)

    @property
    def selftest_address(self) -> str:
        """The internal mailbox that the self-test reads and sends from; its password lives for one run."""
        return f"selftest@{self.hostname}"

    @staticmethod
    def reports_of(hostname: str) -> ReportMailbox:
        """The usual report addresses of a host name."""
        return ReportMailbox(
            address=f"reports@{hostname}", aliases=(f"dmarc@{hostname}", f"tlsrpt@{hostname}")
        )


class TlsFacts(_Answer):
    """Keys of the host name. TLSA `3 1 1` publishes current and next (RFC 7671 section 8.1)."""

    current_spki_sha256: Sha256Hex
    next_spki_sha256: Sha256Hex
    serving_spki_sha256: Sha256Hex
    certificate_sha256: Sha256Hex
    issuer: str
    not_after: datetime
    self_signed: bool
    chain_verifies: bool
    """Against the machine's own trust store, now."""


class CertificateFacts(_Answer):
    """State of one certificate: the host's own, or a domain's web names."""

    name: str
    names: tuple[str, ...]
    state: Literal["valid", "self_signed", "missing", "waiting_dns", "failed"]
    issuer: str = ""
    not_after: datetime | None = None
    spki_sha256: Sha256Hex | None = None
    error: str = ""
    retry_at: datetime | None = None


class DkimFacts(_Answer):
    """A public key born on the host. `public_key_b64` is what the `p=` tag holds (RFC 6376, RFC 8463)."""

    domain: str
    selector: str
    algorithm: Literal["rsa", "ed25519"]
    public_key_b64: str


class PasswordUse(_Answer):
    """When the password of this verifier last signed in, to the minute. Only passwords with a selector are noted."""

    version: int
    at: AwareDatetime


class MailboxFacts(_Answer):
    """`version` = highest verifier that the sign-in service itself reports for the mailbox now; 0 = none."""

    mailbox_id: str
    address: str
    version: int
    verified: bool
    """All verifiers asked for, and no other, are in use."""
    used: tuple[PasswordUse, ...] = ()


class Listener(_Answer):
    """A socket that something on the host listens on. `address` is as the kernel says it (`0.0.0.0`, `::`, …)."""

    address: str
    port: int
    process: str = ""


class HostFacts(_Answer):
    """What the host says about itself after apply, or when asked."""

    schema_version: Literal[1] = SCHEMA_VERSION
    server_id: str
    hostname: str
    generation: int
    bundle_version: str
    tls: TlsFacts
    certificates: tuple[CertificateFacts, ...] = ()
    dkim: tuple[DkimFacts, ...] = ()
    mailboxes: tuple[MailboxFacts, ...] = ()
    webmail_key_version: int | None = None
    listeners: tuple[Listener, ...] = ()
    packages: dict[str, str] = Field(default_factory=dict)
    ssh_host_key: str
    """`ssh-ed25519 AAAA…` without comment."""
    debian_version: str = ""
    kernel: str = ""

    def dkim_of(self, domain: str) -> tuple[DkimFacts, ...]:
        return tuple(key for key in self.dkim if key.domain == domain)

    def mailbox(self, mailbox_id: str) -> MailboxFacts | None:
        return next((box for box in self.mailboxes if box.mailbox_id == mailbox_id), None)
