"""What the provisioner may ask of a host, and how that can fail. `driver.SshHost` is the real one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, SecretBytes

from services.provisioner.hosts.desired import CertificateFacts, HostDesired, HostFacts


class HostError(Exception):
    """A call to a host did not succeed. The message never holds a secret."""


class HostUnreachable(HostError):
    """No answer on port 22, or the connection broke before the answer: the outcome is unknown, ask again."""


class HostKeyChanged(HostError):
    """The host showed another key than the pinned one. Nothing was sent; a person has to look."""


class HostRefused(HostError):
    """The host is there and has the right key, but does not accept our certificate."""


class HostCommandFailed(HostError):
    """The helper answered with an error. `code` is its stable word for it (`stale_generation`, `busy`, …)."""

    def __init__(self, command: str, code: str, detail: str) -> None:
        super().__init__(f"{command}: {code}: {detail}")
        self.command = command
        self.code = code
        self.detail = detail


@dataclass(frozen=True)
class HostAddress:
    """Where a host is, and the key it must show (`ssh-ed25519 AAAA…`)."""

    server_id: str
    address: str
    pinned_host_key: str
    port: int = 22


class InstallStep(BaseModel):
    """One step of the install run on the host; times are seconds."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str
    started_at: datetime
    seconds: float
    ok: bool
    message: str = ""


class InstallStatus(BaseModel):
    """`unknown` = the host has never heard of this run id; `lost` = it began, and ended without a result."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    run_id: str
    state: Literal["unknown", "running", "ok", "failed", "lost"]
    bundle_version: str = ""
    steps: tuple[InstallStep, ...] = ()
    error: str = ""
    log_tail: str = ""


class ProbeCheck(BaseModel):
    """One local check of the host's own state."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str
    ok: bool
    evidence: str


class ProbeResult(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    ok: bool
    checks: tuple[ProbeCheck, ...]

    def check(self, check_id: str) -> ProbeCheck | None:
        return next((check for check in self.checks if check.id == check_id), None)


class QueueEntry(BaseModel):
    """One message in the Postfix queue."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    queue_id: str
    queue_name: str
    arrival_time: datetime
    sender: str
    recipients: tuple[str, ...]
    reason: str = ""


class CertificatesResult(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    certificates: tuple[CertificateFacts, ...]
    issued: tuple[str, ...] = ()

    def of(self, name: str) -> CertificateFacts | None:
        return next((entry for entry in self.certificates if entry.name == name), None)


class MailCopy(BaseModel):
    """One look at a mailbox on two hosts. `complete`: all that was found to differ was sent; with `sent` and `deleted`
    at 0 both have the same. `entries`: files and folders at the giver; `bytes`: of what was sent."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    complete: bool
    sent: int
    bytes: int
    deleted: int
    entries: int

    @property
    def same(self) -> bool:
        return self.complete and not self.sent and not self.deleted


class SelfTestPassword(BaseModel):
    """A password of the internal self-test mailbox that the host forgets by itself at `expires_at`."""

    model_config = ConfigDict(frozen=True)

    verifier: str = Field(repr=False)
    expires_at: datetime


class HostPort(Protocol):
    """Every call but one carries the pinned key by `HostAddress`. All raise the errors above and nothing else."""

    async def shown_key(self, address: str, port: int = 22) -> str:
        """The key that whoever answers there shows now, `ssh-ed25519 AAAA…`: it proves nothing, and nothing is sent.
        For a person to compare."""
        ...

    async def first_contact(self, host: HostAddress) -> str:
        """Has the host make a key of its own; returns the public key, the same one until it is adopted.

        Record it as the next pin before `adopt_host_key`: a crash in between then loses nothing.
        """
        ...

    async def adopt_host_key(self, host: HostAddress, new_public_key: str) -> None:
        """The host shows the new key from now on. `host` carries the old pin; repeating it after success is fine."""
        ...

    async def upload_and_start_install(
        self, host: HostAddress, run_id: str, desired: HostDesired
    ) -> InstallStatus:
        """Sends the bundle and starts the run. The same run id twice starts once. Run id: `[a-z0-9_-]{1,64}`."""
        ...

    async def install_status(self, host: HostAddress, run_id: str) -> InstallStatus: ...

    async def apply(self, host: HostAddress, desired: HostDesired) -> HostFacts: ...

    async def facts(self, host: HostAddress) -> HostFacts: ...

    async def certificates(self, host: HostAddress, *, retry_now: bool = False) -> CertificatesResult:
        """Issues what is missing, expiring, or does not chain to the host's trust store any more."""
        ...

    async def probe(self, host: HostAddress, connect_to: tuple[str, int] | None = None) -> ProbeResult:
        """Local checks; `connect_to` (address, port) proves egress by a real connection of the mail user."""
        ...

    async def mail_log(
        self,
        host: HostAddress,
        *,
        queue_id: str | None = None,
        message_id: str | None = None,
        lines: int = 100,
    ) -> tuple[str, ...]: ...

    async def queue(self, host: HostAddress, *, flush: bool = False) -> tuple[QueueEntry, ...]: ...

    async def copy_mail(self, giver: HostAddress, taker: HostAddress, address: str) -> MailCopy:
        """Makes the mailbox at `taker`, where its domain is not served, what it is at `giver`; what has no time is left
        for the next call. It passes through this process in pieces, and neither host can reach the other's store."""
        ...

    async def mail_quiet(self, host: HostAddress, domain: str) -> bool:
        """Whether nothing more can be written to the mailboxes of a domain that the host does not serve any more; who
        is still connected is disconnected."""
        ...

    async def forget_mail(self, host: HostAddress, domain: str) -> None:
        """Removes the mail of a domain that the host does not have any more. Again is fine."""
        ...

    async def set_webmail_key(self, host: HostAddress, key: SecretBytes, version: int) -> None: ...

    async def set_selftest_password(self, host: HostAddress, password: SelfTestPassword | None) -> None:
        """None forgets it now."""
        ...


def helper_error(command: str, answer: dict[str, Any]) -> HostCommandFailed:
    error = answer.get("error") or {}
    return HostCommandFailed(command, str(error.get("code", "unknown")), str(error.get("detail", ""))[:2000])
