"""What webhooks are told: one row each. An event of the bus becomes a message of ours, with the fields that are named
here and no others, so that nothing leaves the house because somebody adds a field to an event."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from services.auth.webhooks.schemas import EventName
from shared.contracts import dns_events, provisioner_events, reputation_events
from shared.contracts.envelope import Envelope, EventData

VERSION: Final = 1
"""Of the messages. Within one version fields are only added."""


class _Data(BaseModel):
    model_config = ConfigDict(extra="ignore")


class JobStepData(_Data):
    """`state` is the step's, `job_state` the whole job's after it. What the step said is in the job itself:
    `GET /v1/workspaces/{workspace_id}/jobs/{job_id}`."""

    job_id: str
    kind: str
    server_id: str
    subject_id: str
    job_state: Literal["pending", "running", "ok", "failed", "stalled"]
    step: str
    title: str
    state: Literal["pending", "running", "ok", "failed", "retrying"]
    attempt: int
    started_at: datetime | None
    ended_at: datetime | None


class ServerData(_Data):
    server_id: str
    hostname: str


class ServerReadyData(ServerData):
    ipv4: str
    ipv6: str
    zone: str


class ServerTroubleData(ServerData):
    """`step` is the name of the step that does not go on or does not hold, as in the server's job; `title` says it in
    words."""

    step: str
    title: str


class ServerStalledData(ServerTroubleData):
    """With a `stop` nobody knows for how long: you may wait, unbilled, or have the payment refunded."""

    stop: Literal["", "AddressesRefused", "OutOfStock", "QuotaExceeded"]


class ServerDeletedData(ServerData):
    ordered_at: datetime | None


class ListingData(_Data):
    blacklist: str
    meaning: str
    delist_url: str


class AddressData(_Data):
    server_id: str
    address_id: str
    address: str


class ListedData(AddressData):
    listings: list[ListingData]


class ClearedData(AddressData):
    """Lists that do not have the address any more, and those that still do."""

    cleared: list[str]
    remaining: list[str]


class DomainData(_Data):
    server_id: str
    domain_id: str
    name: str


class DomainBrokenData(DomainData):
    """`records`: name and type of each that is missing or wrong."""

    records: list[str]


class SubscriptionData(_Data):
    subscription_id: str
    plan: str


class SubscriptionActivatedData(SubscriptionData):
    server_id: str


class RefundedData(SubscriptionData):
    """`amount` in cents."""

    amount: int
    currency: str


class DunningAnnouncedData(SubscriptionData):
    """Unless it is paid, `step` is taken at `at`."""

    hostname: str
    step: Literal["outbound_paused", "read_only", "destroyed"]
    at: datetime


class DunningAdvancedData(SubscriptionData):
    """`step` is taken; `next_step` follows at `next_at`."""

    hostname: str
    step: Literal["outbound_paused", "read_only", "destroyed"]
    next_step: Literal["outbound_paused", "read_only", "destroyed"] | None
    next_at: datetime | None


class RestoredData(SubscriptionData):
    hostname: str


D = TypeVar("D", bound=_Data)


class Message(BaseModel, Generic[D]):
    """The body of a delivery. `id` is the `webhook-id`: the same whenever this event is sent, so that a receiver can
    leave out what it has seen. `timestamp` is when it happened."""

    id: str
    type: EventName
    version: Literal[1] = VERSION
    timestamp: datetime
    workspace_id: str
    data: D


@dataclass(frozen=True)
class Offered:
    """`when` says of the bus's event whether there is something to tell."""

    name: EventName
    what: str
    event: type[EventData]
    data: type[_Data]
    when: Callable[[Any], bool] = lambda event: True


_P, _R, _D = provisioner_events, reputation_events, dns_events
OFFERED: Final[tuple[Offered, ...]] = (
    Offered("job.step", "A named step of a job is in another state", _P.JobStepChanged, JobStepData),
    Offered("server.ready", "A server is ready", _P.ServerReady, ServerReadyData),
    Offered("server.stalled", "A server takes longer than it should", _P.ServerStalled, ServerStalledData),
    Offered("server.degraded", "Something on a server does not hold any more", _P.ServerDegraded, ServerTroubleData),
    Offered("server.recovered", "A server is well again", _P.ServerRecovered, ServerData),
    Offered("server.deleted", "A server has been removed", _P.ServerDeleted, ServerDeletedData),
    Offered(
        "address.refused", "An address was refused because it is on blacklists; another is taken", _R.AddressChecked,
        ListedData, when=lambda event: event.verdict == "listed",
    ),
    Offered("address.listed", "A server's address was found on a blacklist", _R.AddressListed, ListedData),
    Offered("address.cleared", "A server's address was taken off a blacklist", _R.AddressCleared, ClearedData),
    Offered("domain.verified", "A domain is verified", _D.DomainVerified, DomainData),
    Offered("domain.broken", "Records of a verified domain are missing or wrong", _D.DomainBroken, DomainBrokenData),
    Offered(
        "subscription.activated", "A subscription has become active", _P.SubscriptionActivated,
        SubscriptionActivatedData,
    ),
    Offered("subscription.payment_failed", "A payment has failed", _P.PaymentFailed, SubscriptionData),
    Offered(
        "subscription.dunning_announced", "What happens unless a payment is made", _P.DunningAnnounced,
        DunningAnnouncedData,
    ),
    Offered(
        "subscription.dunning_advanced", "A server was limited because a payment is owed", _P.DunningAdvanced,
        DunningAdvancedData,
    ),
    Offered("subscription.restored", "What was owed is paid", _P.SubscriptionRestored, RestoredData),
    Offered("subscription.refunded", "A payment was refunded", _P.SubscriptionRefunded, RefundedData),
    Offered("subscription.ended", "A subscription has ended", _P.SubscriptionEnded, SubscriptionData),
)  # fmt: skip


def message_of(offered: Offered, envelope: Envelope, event: EventData) -> bytes:
    """The bytes that are signed and sent: JSON, the same at each attempt."""
    message = Message[offered.data](  # type: ignore[name-defined]
        id=envelope.id,
        type=offered.name,
        timestamp=envelope.time,
        workspace_id=envelope.workspaceid,
        data=offered.data.model_validate(event.model_dump()),
    )
    body: str = message.model_dump_json()
    return body.encode()
