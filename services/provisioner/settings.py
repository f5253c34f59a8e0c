"""What the provisioner's two processes are told. Only the worker holds cloud, SSH and full payment credentials."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from shared.settings import ServiceSettings

PLANS_FILE = Path(__file__).with_name("plans.toml")


def _words(value: object) -> object:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


class ApiSettings(ServiceSettings):
    plans_file: Path = PLANS_FILE
    stripe_url: str = "https://api.stripe.com"
    stripe_checkout_key: SecretStr
    """Restricted to Checkout sessions and the customer portal."""
    stripe_webhook_secret: SecretStr


class WorkerSettings(ServiceSettings):
    plans_file: Path = PLANS_FILE
    platform_zone: str
    """Our own signed zone: host names are `<label>.<platform_zone>`."""

    scaleway_url: str = "https://api.scaleway.com"
    scaleway_project: str
    scaleway_secret_key: SecretStr
    scaleway_image: str = "debian_trixie"
    scaleway_timeout: float = 10.0
    cloud_rate: float = 20.0
    """Calls per second to one zone, of all workers together; `cloud_burst` after a rest."""
    cloud_burst: int = 60
    breaker_failures: int = 5
    """After so many silences in a row nothing is sent to a zone for `breaker_seconds`; then one call tries."""
    breaker_seconds: float = 30.0

    stripe_url: str = "https://api.stripe.com"
    stripe_secret_key: SecretStr
    prices_seconds: float = 300.0
    """How often products and prices at Stripe are held against the plans."""

    compare_seconds: float = 600.0
    """How often it is looked whether the night's comparison with Stripe is still to be made."""
    dunning_seconds: float = 15.0
    """How often it is looked who owes something, and who has paid it."""

    refunds_seconds: float = 5.0
    """How often refunds are carried out, and collections held or resumed."""

    ssh_ca_key_file: Path
    """Private key (OpenSSH) of the authority whose certificates hosts accept."""
    host_key_secret: SecretStr
    """At least 32 characters; one-time host keys are derived from it, so that none is ever stored."""
    control_plane_v4: Annotated[list[str], NoDecode]
    """Networks from which hosts accept SSH."""
    control_plane_v6: Annotated[list[str], NoDecode] = Field(default_factory=list)

    acme_directory: str = "https://acme-v02.api.letsencrypt.org/directory"
    acme_contact: str

    self_test_egress: str
    """`address:port` of a mail exchanger that every host must reach on port 25."""
    self_test_ca_file: Path | None = None
    """Certificate authorities that the hosts' certificates may chain to, beside the system's."""
    reverse_signed: bool = False
    """Whether the clouds' reverse zones are signed."""

    lease_seconds: float = 30.0
    lease_margin_seconds: float = 2.0
    """A call that makes something is begun only when the lease outlasts the call's timeout by this much."""
    quiet_window_seconds: float = 180.0
    """How long after an intent the cloud may still carry out a create whose answer was lost."""
    poll_seconds: float = 1.0
    """How often to look for servers that are due: what is due sooner has a timer, and what happened a notification."""
    concurrency: int = 8
    passes_per_claim: int = 20
    """Passes that each change something may follow one another under one claim."""
    backoff_base: float = 2.0
    backoff_cap: float = 600.0
    deadline_factor: float = 1.0
    """Stretches the steps' deadlines, for slow machines."""
    address_attempts: int = 3
    refused_pause_seconds: float = 6 * 3600.0
    """After so many refused addresses in a row, how long until another one is tried, and then the next."""
    addresses_held: int = 10
    """So many refused addresses of one family are held for one server; what was given back may be offered again."""
    recheck_seconds: float = 6 * 3600.0
    """How often a Ready server is looked at on its own: certificates, self-test, the cloud's view. What changes at the
    cloud meanwhile is seen in the sweeper's lists, every `sweep_seconds`."""

    move_hold_seconds: float = 24 * 3600.0
    """How long the old server of a domain that has moved goes on putting its mail off, and keeps the old copy: longer
    than anybody remembers an MX record."""

    operator_socket: Path | None = None
    """Where operators may read over HTTP (ADR 10); the worker's own account alone can open it. None: nowhere."""

    timings_seconds: float = 300.0
    """How often the figures behind the ETA of jobs are made anew."""

    offers_seconds: float = 300.0
    """How often stock, prices and quotas are read from the cloud."""

    sweep_seconds: float = 300.0
    sweep_dry_run: bool = True
    """After a restore from backup the sweeper must not act on what the database has forgotten."""
    sweep_cap: int = 5
    sweep_quarantine_seconds: float = 600.0

    @field_validator("control_plane_v4", "control_plane_v6", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        return _words(value)

    @model_validator(mode="after")
    def _lease_outlasts_a_call(self) -> Self:
        if self.lease_seconds <= self.scaleway_timeout + self.lease_margin_seconds:
            raise ValueError(
                "lease_seconds must be longer than scaleway_timeout and lease_margin_seconds together"
            )
        return self

    def egress_target(self) -> tuple[str, int]:
        """Address and port of `self_test_egress`."""
        address, _, port = self.self_test_egress.rpartition(":")
        return address.strip("[]"), int(port)
