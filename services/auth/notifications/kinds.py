"""Every mail that SendChief sends: one row each. A new one takes a row here and a letter in `mails.py`, no more.

A mail for one person is queued by whoever has something to tell, in the transaction of the thing itself:

    notifications.enqueue(session, "password_changed", account_id, now=now, account_id=account_id, data={…})

A mail to people of a workspace (`to`) is queued by the event named in `on`, which may be an event type or the action
of an audit row of any service; nobody else has to do anything. A mail with a link about a row (`row`) finds its
address and makes its token when it is sent (`linked.py`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal

from sqlalchemy.ext.asyncio import AsyncSession

from services.auth.models import Notification
from services.auth.notifications import account_mails, linked, mails, service_mails
from services.auth.notifications.letter import About, Letter
from shared.contracts.dns_events import DomainBroken, DomainVerified
from shared.contracts.envelope import EventData
from shared.contracts.provisioner_events import (
    AddressReserved,
    DunningAdvanced,
    DunningAnnounced,
    PaymentFailed,
    ServerDegraded,
    ServerDeleted,
    ServerReady,
    ServerRecovered,
    ServerStalled,
    SubscriptionActivated,
    SubscriptionEnded,
    SubscriptionRefunded,
    SubscriptionRestored,
)
from shared.contracts.reputation_events import AddressCleared, AddressListed

Topic = Literal["account", "security", "servers", "domains", "reputation", "billing", "secrets", "webhooks"]
"""`account` and `security` cannot be switched off: somebody asked for the mail, or has to know."""

Person = Literal["owner", "admin", "actor", "subject"]
"""Members by role; who did it; whom it was done to (`account_id` in the data of the audit row)."""

IN_CHARGE: Final[tuple[Person, ...]] = ("owner", "admin")
CERTIFICATES: Final = frozenset({"certificates", "domain_certificates"})
"""The provisioner's steps that get certificates."""


@dataclass(frozen=True)
class Fact:
    """An event that makes people of its workspace get a mail. `about` is the field that names the subject, `when`
    says of the event's data whether there is something to tell."""

    event: type[EventData]
    about: str
    when: Callable[[Mapping[str, Any]], bool] = lambda data: True


@dataclass(frozen=True)
class Kind:
    """One kind of mail. `what` is how a person sees it in the list of what can be switched off."""

    name: str
    topic: Topic
    what: str
    letter: Callable[[About], Letter]
    to: tuple[Person, ...] = ()
    on: tuple[Fact, ...] = ()
    on_audit: tuple[str, ...] = ()
    row: Callable[[AsyncSession, linked.Sending, Notification], Awaitable[linked.Addressed | None]] | None = (
        None
    )
    quiet: timedelta = timedelta(minutes=10)
    """After a mail that an event caused, further ones of this kind about the same subject become a single mail at the
    end of this time."""

    @property
    def optional(self) -> bool:
        return self.topic not in ("account", "security")


KINDS: Final[tuple[Kind, ...]] = (
    Kind(
        "confirm_address", "account", "The link that confirms an address",
        mails.confirm_address, row=linked.of_signup,
    ),
    Kind("already_registered", "account", "A sign-up with an address that has an account", mails.already_registered),
    Kind(
        "password_reset_link", "account", "The link that sets a new password",
        account_mails.password_reset_link, row=linked.of_password_reset,
    ),
    Kind(
        "email_change_link", "account", "The link that confirms a new address",
        account_mails.email_change_link, row=linked.of_email_change,
    ),
    Kind(
        "email_changed", "security", "The account moved to another address",
        account_mails.email_changed, row=linked.of_email_changed,
    ),
    Kind("email_change_undone", "security", "The account is back at this address", account_mails.email_change_undone),
    Kind("new_device", "security", "A sign-in from a new device", account_mails.new_device),
    Kind("password_changed", "security", "The password was changed", account_mails.password_changed),
    Kind("password_reset", "security", "The password was set by a link", account_mails.password_reset),
    Kind(
        "refresh_token_reused", "security", "A session was used from two places",
        account_mails.refresh_token_reused,
    ),
    Kind("invitation", "account", "An invitation to a workspace", mails.invitation, row=linked.of_invitation),
    Kind("role_changed", "security", "Your role in a workspace has changed", mails.role_changed),
    Kind("membership_ended", "security", "You are no longer a member of a workspace", mails.membership_ended),
    Kind(
        "members_changed", "security", "Somebody joined or left your workspace, or has another role",
        mails.members_changed, to=("owner",),
        on_audit=(
            "auth.invitation.accepted", "auth.member.role_changed", "auth.member.removed", "auth.member.left",
        ),
    ),
    Kind(
        "api_key_made", "security", "An API key was made",
        mails.api_key_made, to=("owner", "actor"), on_audit=("auth.api_key.created", "auth.api_key.rotated"),
    ),
    Kind(
        "api_key_leaked", "security", "An API key was found in public and revoked",
        mails.api_key_leaked, to=IN_CHARGE, on_audit=("auth.api_key.leaked",),
    ),
    Kind(
        "server_ready", "servers", "A server is ready",
        service_mails.server_ready, to=IN_CHARGE, on=(Fact(ServerReady, "server_id"),),
    ),
    Kind(
        "server_stalled", "servers", "A server takes longer than it should",
        service_mails.server_stalled, to=IN_CHARGE,
        on=(
            Fact(
                ServerStalled,
                "server_id",
                when=lambda data: data["step"] not in CERTIFICATES and not data["stop"],
            ),
        ),
    ),
    Kind(
        "server_stopped", "account", "A server cannot be made for now: wait, or have the payment refunded",
        service_mails.server_stopped, to=("owner",),
        on=(Fact(ServerStalled, "server_id", when=lambda data: bool(data["stop"])),),
    ),
    Kind(
        "subscription_refunded", "account", "A payment was refunded",
        service_mails.subscription_refunded, to=("owner",),
        on=(Fact(SubscriptionRefunded, "subscription_id"),),
    ),
    Kind(
        "server_degraded", "servers", "Something on a server does not hold any more",
        service_mails.server_degraded, to=IN_CHARGE,
        on=(Fact(ServerDegraded, "server_id", when=lambda data: data["step"] not in CERTIFICATES),),
    ),
    Kind(
        "certificate_trouble", "servers", "A certificate could not be got or is no longer good",
        service_mails.certificate_trouble, to=IN_CHARGE,
        on=(
            Fact(ServerStalled, "server_id", when=lambda data: data["step"] in CERTIFICATES),
            Fact(ServerDegraded, "server_id", when=lambda data: data["step"] in CERTIFICATES),
        ),
    ),
    Kind(
        "server_recovered", "servers", "A server is well again",
        service_mails.server_recovered, to=IN_CHARGE, on=(Fact(ServerRecovered, "server_id"),),
    ),
    Kind(
        "server_deleted", "servers", "A server has been removed",
        service_mails.server_deleted, to=IN_CHARGE, on=(Fact(ServerDeleted, "server_id"),),
    ),
    Kind(
        "address_rotated", "reputation", "A listed address was refused and another taken",
        service_mails.address_rotated, to=IN_CHARGE,
        on=(Fact(AddressReserved, "server_id", when=lambda data: data["attempt"] > 1),),
    ),
    Kind(
        "address_listed", "reputation", "A server's address was found on a blacklist",
        service_mails.address_listed, to=IN_CHARGE, on=(Fact(AddressListed, "address_id"),),
    ),
    Kind(
        "address_cleared", "reputation", "A server's address was taken off a blacklist",
        service_mails.address_cleared, to=IN_CHARGE, on=(Fact(AddressCleared, "address_id"),),
    ),
    Kind(
        "domain_verified", "domains", "A domain is verified",
        service_mails.domain_verified, to=IN_CHARGE, on=(Fact(DomainVerified, "domain_id"),),
    ),
    Kind(
        "domain_broken", "domains", "Records of a verified domain are missing or wrong",
        service_mails.domain_broken, to=IN_CHARGE, on=(Fact(DomainBroken, "domain_id"),),
    ),
    Kind(
        "subscription_activated", "billing", "A subscription has become active",
        service_mails.subscription_activated, to=IN_CHARGE, on=(Fact(SubscriptionActivated, "subscription_id"),),
    ),
    Kind(
        "payment_failed", "account", "A payment has failed",
        service_mails.payment_failed, to=("owner",), on=(Fact(PaymentFailed, "subscription_id"),),
    ),
    Kind(
        "subscription_ended", "account", "A subscription has ended",
        service_mails.subscription_ended, to=("owner",), on=(Fact(SubscriptionEnded, "subscription_id"),),
    ),
    Kind(
        "limits_announced", "account", "What happens unless a payment is made",
        service_mails.limits_announced, to=("owner",), on=(Fact(DunningAnnounced, "subscription_id"),),
    ),
    Kind(
        "limits_begun", "account", "A server was limited because a payment is owed",
        service_mails.limits_begun, to=IN_CHARGE, on=(Fact(DunningAdvanced, "subscription_id"),),
    ),
    Kind(
        "limits_over", "account", "What was owed is paid",
        service_mails.limits_over, to=IN_CHARGE, on=(Fact(SubscriptionRestored, "subscription_id"),),
    ),
    Kind(
        "credentials_exported", "security", "Passwords were exported",
        service_mails.credentials_exported, to=("owner", "admin", "actor"), on_audit=("vault.export.redeemed",),
    ),
    Kind(
        "credentials_revealed", "secrets", "A password was shown",
        service_mails.credentials_revealed, to=("owner",), on_audit=("vault.credential.revealed",),
        quiet=timedelta(hours=1),
    ),
    Kind(
        "webhook_disabled", "webhooks", "A webhook was disabled because its receiver takes nothing",
        mails.webhook_disabled, to=IN_CHARGE, on_audit=("auth.webhook.disabled",),
    ),
    Kind("workspace_ending", "account", "A workspace is being deleted", service_mails.workspace_ending),
    Kind("workspace_deleted", "account", "A workspace is deleted", service_mails.workspace_deleted),
    Kind("second_factor_on", "security", "The second factor was turned on", mails.second_factor_on),
    Kind("second_factor_off", "security", "The second factor was turned off", mails.second_factor_off),
    Kind("recovery_code_used", "security", "A recovery code was used", mails.recovery_code_used),
    Kind("recovery_codes_replaced", "security", "New recovery codes were made", mails.recovery_codes_replaced),
    Kind("code_guessed", "security", "Wrong codes after the right password", mails.code_guessed),
)  # fmt: skip

BY_NAME: Final[dict[str, Kind]] = {kind.name: kind for kind in KINDS}
