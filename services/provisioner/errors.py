"""Expected conflicts of the provisioner, each with a stable code."""

from __future__ import annotations

from shared.errors import Conflict, Invalid, Unavailable


class UnknownPlan(Invalid):
    code = "unknown_plan"
    title = "There is no such plan"


class UnknownZone(Invalid):
    code = "unknown_zone"
    title = "There is no such zone"


class NoRoom(Conflict):
    code = "no_room"
    title = "There is no room for this server now"


class NameMismatch(Invalid):
    code = "confirm_name_mismatch"
    title = "The name typed is not the server's"


class ServerEnding(Conflict):
    code = "server_ending"
    title = "The server is being cancelled"


class ServerBusy(Conflict):
    code = "server_busy"
    title = "An earlier order for this server is still being carried out"


class ServerNotReady(Conflict):
    code = "server_not_ready"
    title = "The server is not ready yet"


class ServerReadOnly(Conflict):
    code = "server_read_only"
    title = "The server is read-only"


class ZoneNotProven(Conflict):
    code = "zone_not_proven"
    title = "Control of this domain has not been proven"


class DomainTaken(Conflict):
    code = "domain_exists"
    title = "This domain is already on a server"


class DomainNotEmpty(Conflict):
    code = "domain_not_empty"
    title = "The domain still has mailboxes"


class DomainEnding(Conflict):
    code = "domain_ending"
    title = "The domain is being removed"


class DomainBusy(Conflict):
    code = "domain_busy"
    title = "The domain is being set up or moved"


class MailboxTaken(Conflict):
    code = "mailbox_exists"
    title = "This mailbox exists already"


class PlanLimit(Conflict):
    code = "plan_limit"
    title = "The plan does not allow more"


class WorkspaceEnding(Conflict):
    code = "workspace_ending"
    title = "The workspace is being deleted"


class NothingPaid(Conflict):
    code = "nothing_paid"
    title = "Nothing has been paid in this workspace yet"


class NotRefundable(Conflict):
    code = "not_refundable"
    title = "This subscription is not refunded"


class PaymentUnavailable(Unavailable):
    code = "payment_unavailable"
    title = "The payment provider does not answer"
