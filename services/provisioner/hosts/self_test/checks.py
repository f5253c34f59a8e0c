"""What the self-test is given and what it answers."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from services.provisioner.hosts.desired import HostFacts
from services.provisioner.hosts.port import HostAddress, HostPort
from shared.clock import Clock

Layer = Literal["encryption", "authentication", "dns", "hardening", "compliance"]

OPEN_PORTS = (22, 25, 80, 443, 465, 587, 993)
CLOSED_PORTS = (21, 23, 53, 110, 111, 139, 143, 445, 2000, 3306, 4190, 5432, 6379, 8080, 11332, 11334)


class CheckResult(BaseModel):
    """One row. `words` says what was checked, for a person; `evidence` is what was seen, raw."""

    model_config = ConfigDict(frozen=True)

    id: str
    layer: Layer
    ok: bool
    evidence: str = Field(max_length=4000)
    words: str


class ExpectedRecord(BaseModel):
    """A record set that has to be seen through the validating resolver, exactly and with its signature checked."""

    model_config = ConfigDict(frozen=True)

    name: str
    type: Literal["A", "AAAA", "PTR", "TLSA", "TXT", "MX", "CAA", "CNAME"]
    values: frozenset[str]
    """Presentation format, names absolute, TXT without quotes."""
    among: bool = False
    """True: others may be there as well (TXT)."""
    signed: bool = True
    """False where the zone cannot be signed, such as a cloud's reverse zone."""


@dataclass(frozen=True)
class SelfTestTarget:
    """One host, seen from the control plane. `port` makes the few calls that only the host can answer."""

    host: HostAddress
    hostname: str
    ipv4: str
    ipv6: str
    facts: HostFacts
    port: HostPort
    resolvers: tuple[str, ...]
    egress_target: tuple[str, int]
    """A mail exchanger that the host has to reach on port 25, and other users of the host must not."""
    clock: Clock
    report_addresses: tuple[str, ...]
    ca_file: Path | None = None
    """Certificate authorities to trust beside the system's."""
    expected_records: tuple[ExpectedRecord, ...] = ()
    reverse_signed: bool = True
    foreign_recipient: str = "relay-test@example.com"
    """An address that no host of ours is responsible for; nothing is ever sent to it."""
    recipients_per_message: int = 50
    timeout_seconds: float = 10.0
    delivery_seconds: float = 20.0
    """How long a message may take from acceptance to the mailbox."""

    @property
    def selftest_address(self) -> str:
        return f"selftest@{self.hostname}"

    def trust(self) -> ssl.SSLContext:
        """Verifies chain and name; TLS 1.2 at least."""
        context = ssl.create_default_context()
        if self.ca_file is not None:
            context.load_verify_locations(cafile=self.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context
