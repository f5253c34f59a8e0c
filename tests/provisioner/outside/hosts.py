"""Hosts in memory behind the provisioner's own port: machines that boot, install, apply and keep mail."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from pydantic import SecretBytes

from services.provisioner.hosts.desired import (
    CertificateFacts,
    DkimFacts,
    DomainOnHost,
    HostDesired,
    HostFacts,
    Listener,
    MailboxFacts,
    PasswordUse,
    TlsFacts,
)
from services.provisioner.hosts.port import (
    CertificatesResult,
    HostAddress,
    HostCommandFailed,
    HostError,
    HostKeyChanged,
    HostUnreachable,
    InstallStatus,
    MailCopy,
)
from services.provisioner.reconciler import tags
from tests.provisioner.outside.cloud import MemoryCloud


@dataclass
class Machine:
    """One booted machine."""

    instance: str = ""
    shown_key: str | None = None
    prepared: str | None = None
    runs: dict[str, int] = field(default_factory=dict)
    desired: HostDesired | None = None
    webmail_version: int | None = None
    next_key: str = "b" * 64
    certified_until: datetime = field(default_factory=lambda: datetime.now(UTC) + timedelta(days=90))
    mail: dict[str, dict[str, str]] = field(default_factory=dict)
    """Flags by message, by address."""

    def domain(self, name: str) -> DomainOnHost | None:
        domains = () if self.desired is None else self.desired.domains
        return next((one for one in domains if one.name == name), None)

    def lets_in(self, address: str) -> bool:
        return self.desired is not None and address in {one.address for one in self.desired.served_mailboxes}


class MemoryHosts:
    """Hosts answer while an instance of their server runs. The first key they show is the one in the user data."""

    def __init__(self, cloud: MemoryCloud) -> None:
        self.cloud = cloud
        self.machines: dict[str, Machine] = {}
        self.fail: dict[str, list[HostError]] = {}
        self.calls: Counter[str] = Counter()
        self.install_polls = 1
        self.installs_started: Counter[str] = Counter()
        self.certificate_state = "valid"
        self.forget_mailboxes = False
        self.used: dict[str, tuple[PasswordUse, ...]] = {}
        self.listeners: tuple[Listener, ...] = ()
        self.copied_at_once = 1000
        """So many messages one call has time for."""
        self.looks_until_quiet = 1

    def _machine(self, method: str, host: HostAddress) -> Machine:
        self.calls[method] += 1
        if self.fail.get(method):
            raise self.fail[method].pop(0)
        running = [
            one
            for one in self.cloud.living("instance")
            if f"sc-srv:{host.server_id}" in one.tags and self.cloud._instance(one).state == "running"
        ]
        if not running:
            raise HostUnreachable("no route")
        if running[0].data["boot_type"] == "rescue":
            raise HostKeyChanged("the rescue system's")
        machine = self._booted(host.server_id, running[0].id)
        if machine.shown_key != host.pinned_host_key:
            raise HostKeyChanged("another key")
        return machine

    def _booted(self, server_id: str, instance: str) -> Machine:
        """At its first boot it takes the key in the user data."""
        machine = self.machines.get(server_id)
        if machine is None or machine.instance != instance:
            machine = self.machines[server_id] = Machine(instance)
        if machine.shown_key is None:
            data = self.cloud.user_data.get(instance, b"").decode()
            machine.shown_key = next(
                line.split(":", 1)[1].strip() for line in data.splitlines() if "ed25519_public:" in line
            )
        return machine

    async def shown_key(self, address: str, port: int = 22) -> str:
        """Of whoever stands behind the address now."""
        self.calls["shown_key"] += 1
        for one in self.cloud.living("instance"):
            ips = [self.cloud.things[key].data.get("address") for key in one.data["ip_ids"]]
            if address in ips and self.cloud._instance(one).state == "running":
                return str(self._booted(str(tags.value(one.tags, "sc-srv")), one.id).shown_key)
        raise HostUnreachable("no route")

    async def first_contact(self, host: HostAddress) -> str:
        machine = self._machine("first_contact", host)
        if machine.prepared is None:
            key = hashlib.sha256(machine.instance.encode()).digest()
            blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + key
            machine.prepared = f"ssh-ed25519 {base64.b64encode(blob).decode()}"
        return machine.prepared

    async def adopt_host_key(self, host: HostAddress, new_public_key: str) -> None:
        self.calls["adopt_host_key"] += 1
        machine = self.machines[host.server_id]
        if machine.shown_key == new_public_key:
            return
        machine = self._machine("adopt_host_key", host)
        if machine.prepared != new_public_key:
            raise HostCommandFailed("adopt-host-key", "bad_request", "not prepared")
        machine.shown_key = new_public_key

    async def upload_and_start_install(
        self, host: HostAddress, run_id: str, desired: HostDesired
    ) -> InstallStatus:
        machine = self._machine("upload_and_start_install", host)
        if run_id not in machine.runs:
            machine.runs[run_id] = 0
            machine.desired = desired
            self.installs_started[host.server_id] += 1
        return InstallStatus(run_id=run_id, state="running")

    async def install_status(self, host: HostAddress, run_id: str) -> InstallStatus:
        machine = self._machine("install_status", host)
        if run_id not in machine.runs:
            return InstallStatus(run_id=run_id, state="unknown")
        machine.runs[run_id] += 1
        state = "ok" if machine.runs[run_id] > self.install_polls else "running"
        return InstallStatus(run_id=run_id, state=state, bundle_version="b1")

    def _facts(self, host: HostAddress, machine: Machine) -> HostFacts:
        desired = machine.desired
        assert desired is not None
        return HostFacts(
            server_id=host.server_id,
            hostname=desired.hostname,
            generation=desired.generation,
            bundle_version="b1",
            tls=TlsFacts(
                current_spki_sha256="a" * 64,
                next_spki_sha256=machine.next_key,
                serving_spki_sha256="a" * 64,
                certificate_sha256="c" * 64,
                issuer="Test",
                not_after=machine.certified_until,
                self_signed=False,
                chain_verifies=True,
            ),
            dkim=tuple(
                DkimFacts(
                    domain=one.name,
                    selector=selector,
                    algorithm=algorithm,
                    public_key_b64=base64.b64encode(machine.instance.encode()).decode(),
                )
                for one in desired.domains
                for selector, algorithm in (
                    (one.dkim_selectors.rsa, "rsa"),
                    (one.dkim_selectors.ed25519, "ed25519"),
                )
            ),
            mailboxes=()
            if self.forget_mailboxes
            else tuple(
                MailboxFacts(
                    mailbox_id=one.mailbox_id,
                    address=one.address,
                    version=max((v.version for v in one.verifiers), default=0),
                    verified=True,
                    used=self.used.get(one.mailbox_id, ()),
                )
                for one in desired.mailboxes
            ),
            listeners=self.listeners,
            ssh_host_key=machine.shown_key or "",
            debian_version="13.1",
        )

    async def apply(self, host: HostAddress, desired: HostDesired) -> HostFacts:
        machine = self._machine("apply", host)
        if machine.desired is not None and desired.generation < machine.desired.generation:
            raise HostCommandFailed("apply", "stale_generation", "older")
        machine.desired = desired
        return self._facts(host, machine)

    async def facts(self, host: HostAddress) -> HostFacts:
        return self._facts(host, self._machine("facts", host))

    async def certificates(self, host: HostAddress, *, retry_now: bool = False) -> CertificatesResult:
        machine = self._machine("certificates", host)
        assert machine.desired is not None
        names = [machine.desired.hostname, *(one.name for one in machine.desired.domains)]
        return CertificatesResult(
            certificates=tuple(
                CertificateFacts(
                    name=name,
                    names=(name,),
                    state=self.certificate_state,
                    issuer="Test CA",
                    not_after=machine.certified_until,
                )
                for name in names
            )
        )

    def deliver(self, address: str, message: str, server_id: str) -> bool:
        """What an MX record leads to that server. False: it is put off, and the sender has it still."""
        machine = self.machines[server_id]
        if not machine.lets_in(address):
            return False
        machine.mail.setdefault(address, {})[message] = ""
        return True

    async def copy_mail(self, giver: HostAddress, taker: HostAddress, address: str) -> MailCopy:
        """As long as the taker serves the domain, nothing is written there; the giver may be serving it still."""
        theirs, ours = self._machine("copy_mail", taker), self._machine("give_mail", giver)
        name = address.rpartition("@")[2]
        if ours.domain(name) is None:
            raise HostCommandFailed("mail-take", "giver_failed", "unknown_domain")
        arriving = theirs.domain(name)
        if arriving is None or arriving.served_by is None:
            raise HostCommandFailed("mail-take", "not_closed", name)
        have, want = theirs.mail.setdefault(address, {}), ours.mail.get(address, {})
        gone = [one for one in have if one not in want]
        missing = [one for one in want if have.get(one) != want[one]]
        for one in gone:
            del have[one]
        have.update({one: want[one] for one in missing[: self.copied_at_once]})
        sent = min(len(missing), self.copied_at_once)
        return MailCopy(
            complete=sent == len(missing), sent=sent, bytes=sent, deleted=len(gone), entries=len(want)
        )

    async def mail_quiet(self, host: HostAddress, domain: str) -> bool:
        machine = self._machine("mail_quiet", host)
        leaving = machine.domain(domain)
        if leaving is None or leaving.served_by is None:
            raise HostCommandFailed("mail-quiet", "not_closed", domain)
        return self.calls["mail_quiet"] > self.looks_until_quiet

    async def forget_mail(self, host: HostAddress, domain: str) -> None:
        machine = self._machine("forget_mail", host)
        if machine.domain(domain) is not None:
            raise HostCommandFailed("mail-forget", "still_here", domain)
        for address in [one for one in machine.mail if one.endswith(f"@{domain}")]:
            del machine.mail[address]

    async def set_webmail_key(self, host: HostAddress, key: SecretBytes, version: int) -> None:
        self._machine("set_webmail_key", host).webmail_version = version
