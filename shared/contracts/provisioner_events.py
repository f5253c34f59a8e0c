"""Facts that the provisioner publishes."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from shared.contracts.audit import AuditRecorded
from shared.contracts.envelope import EventData


class AddressReserved(EventData):
    """Subject: the address. `address` is what mail will leave from: the IPv4, or the chosen host of the prefix."""

    type: ClassVar[str] = "provisioner.address.reserved.v1"
    workspace_id: str
    server_id: str
    address_id: str
    address: str
    family: Literal[4, 6]
    attempt: int


class AddressReleased(EventData):
    """Subject: the address. Nobody need watch it any more."""

    type: ClassVar[str] = "provisioner.address.released.v1"
    workspace_id: str
    server_id: str
    address_id: str
    address: str


class Dkim(BaseModel):
    """One public key, born on the host. `public_key` is base64 of what the `p=` tag holds (RFC 6376, RFC 8463)."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    selector: str
    algorithm: Literal["rsa", "ed25519"]
    public_key: str


class DomainDesired(BaseModel):
    """A sending domain of the server, in the customer's zone."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    domain_id: str
    name: str
    dkim: tuple[Dkim, ...]
    dmarc_policy: Literal["none", "quarantine", "reject"] = "reject"
    mta_sts_id: str
    mta_sts_mode: Literal["none", "testing", "enforce"] = "enforce"


class ServerDnsDesired(EventData):
    """Subject: the server. The whole set of names it needs, growing by generation.

    `withdrawn` asks to remove every record of ours for this server; `domains` removed since the last
    generation lose theirs. `tlsa_spki_sha256` is current first, then next, as lower-case hex (RFC 7671, 3 1 1).
    """

    type: ClassVar[str] = "provisioner.server.dns_desired.v1"
    workspace_id: str
    server_id: str
    generation: int
    withdrawn: bool = False
    hostname: str
    ipv4: str | None
    ipv6: str | None
    tlsa_spki_sha256: tuple[str, ...] = ()
    domains: tuple[DomainDesired, ...] = ()


class ServerReady(EventData):
    """Subject: the server."""

    type: ClassVar[str] = "provisioner.server.ready.v1"
    workspace_id: str
    server_id: str
    hostname: str
    ipv4: str
    ipv6: str
    zone: str


class ServerStalled(EventData):
    """Subject: the server. A step of its making takes longer than it should, or cannot go on; it is still tried. With a
    `stop` nobody knows for how long: the customer may wait, unbilled, or have the payment refunded."""

    type: ClassVar[str] = "provisioner.server.stalled.v1"
    workspace_id: str
    server_id: str
    hostname: str
    step: str
    title: str
    stop: Literal["", "AddressesRefused", "OutOfStock", "QuotaExceeded"] = ""


class ServerDegraded(EventData):
    """Subject: the server. It was ready, and what `step` proves does not hold any more."""

    type: ClassVar[str] = "provisioner.server.degraded.v1"
    workspace_id: str
    server_id: str
    hostname: str
    step: str
    title: str


class ServerRecovered(EventData):
    """Subject: the server. It was degraded, and all that is promised holds again."""

    type: ClassVar[str] = "provisioner.server.recovered.v1"
    workspace_id: str
    server_id: str
    hostname: str


class ServerDeleted(EventData):
    """Subject: the server. Nothing of it is left at the cloud: the receipt of its destruction."""

    type: ClassVar[str] = "provisioner.server.deleted.v1"
    workspace_id: str
    server_id: str
    hostname: str = ""
    ordered_at: AwareDatetime | None = None


class JobStepChanged(EventData):
    """Subject: the job. One of its named steps is in another state; `job_state` is that of the whole job after it.
    `subject_id` is what the job works on: the server itself, a domain or a mailbox of it."""

    type: ClassVar[str] = "provisioner.job.step_changed.v1"
    workspace_id: str
    server_id: str
    job_id: str
    kind: str
    subject_id: str
    job_state: Literal["pending", "running", "ok", "failed", "stalled"]
    step: str
    title: str
    state: Literal["pending", "running", "ok", "failed", "retrying"]
    attempt: int
    started_at: AwareDatetime | None = None
    ended_at: AwareDatetime | None = None


class SubscriptionActivated(EventData):
    """Subject: the subscription."""

    type: ClassVar[str] = "provisioner.subscription.activated.v1"
    workspace_id: str
    subscription_id: str
    server_id: str
    plan: str
    zone: str


class PaymentFailed(EventData):
    """Subject: the subscription. The provider could not take the money for the next period."""

    type: ClassVar[str] = "provisioner.subscription.payment_failed.v1"
    workspace_id: str
    subscription_id: str
    plan: str


class SubscriptionEnded(EventData):
    """Subject: the subscription. Nothing more is charged."""

    type: ClassVar[str] = "provisioner.subscription.ended.v1"
    workspace_id: str
    subscription_id: str
    plan: str


class SubscriptionRefunded(EventData):
    """Subject: the subscription. All that was paid for it goes back, and it has ended. `amount` in cents."""

    type: ClassVar[str] = "provisioner.subscription.refunded.v1"
    workspace_id: str
    subscription_id: str
    plan: str
    amount: int
    currency: str


DunningStepName = Literal["outbound_paused", "read_only", "destroyed"]


class _Dunned(EventData):
    workspace_id: str
    subscription_id: str
    plan: str
    hostname: str


class DunningAnnounced(_Dunned):
    """Subject: the subscription. Unless it is paid, `step` is taken at `at`."""

    type: ClassVar[str] = "provisioner.subscription.dunning_announced.v1"
    step: DunningStepName
    at: AwareDatetime


class DunningAdvanced(_Dunned):
    """Subject: the subscription. `step` is taken; `next_step` follows at `next_at`, after it was announced."""

    type: ClassVar[str] = "provisioner.subscription.dunning_advanced.v1"
    step: DunningStepName
    next_step: DunningStepName | None = None
    next_at: AwareDatetime | None = None


class SubscriptionRestored(_Dunned):
    """Subject: the subscription. What was owed is paid, and the server does all again."""

    type: ClassVar[str] = "provisioner.subscription.restored.v1"


class MailboxRemoved(EventData):
    """Subject: the mailbox. Its secrets may go."""

    type: ClassVar[str] = "provisioner.mailbox.removed.v1"
    workspace_id: str
    mailbox_id: str


class MailboxMoved(EventData):
    """Subject: the mailbox. Another server serves it from now on, with the same passwords. Versions count moves."""

    type: ClassVar[str] = "provisioner.mailbox.moved.v1"
    workspace_id: str
    mailbox_id: str
    server_id: str


class MailboxCredentialApplied(EventData):
    """Subject: the mailbox. The host accepts this version of its passwords, and no other: pending ones become current,
    and what they replaced opens nothing any more."""

    type: ClassVar[str] = "provisioner.mailbox.credential_applied.v1"
    workspace_id: str
    mailbox_id: str
    version: int


class UsedPassword(BaseModel):
    """`version` is that of the password's verifier; `at` the minute of its last sign-in, by the host's clock."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    version: int
    at: AwareDatetime


class MailboxPasswordsUsed(EventData):
    """Subject: the mailbox. Passwords for tools that have signed in since the host was last asked."""

    type: ClassVar[str] = "provisioner.mailbox.passwords_used.v1"
    workspace_id: str
    mailbox_id: str
    used: list[UsedPassword]


class WorkspaceEmptied(EventData):
    """Subject: the workspace. Answer to its deletion request: no server, address or volume is left."""

    type: ClassVar[str] = "provisioner.workspace.emptied.v1"
    workspace_id: str


class ProvisionerAuditRecorded(AuditRecorded):
    type: ClassVar[str] = "provisioner.audit.recorded.v1"
