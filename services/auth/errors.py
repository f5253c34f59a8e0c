"""What auth refuses, with stable codes."""

from __future__ import annotations

from shared.errors import (
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)


class PasswordCheckBusy(Unavailable):
    code = "password_check_busy"
    title = "Too many sign-ins at once"


class EmailRefused(Invalid):
    code = "email_refused"
    title = "Not a usable e-mail address"


class TooManyEmailChanges(TooManyRequests):
    code = "too_many_email_changes"
    title = "Too many changes of the address within an hour"


class SignInFailed(Unauthenticated):
    """One answer for a wrong password and for an unknown address."""

    code = "sign_in_failed"
    title = "E-mail address or password is wrong"


class PasswordChangedMeanwhile(Conflict):
    code = "password_changed_meanwhile"
    title = "The password was changed by another request"


class SignInDelayed(TooManyRequests):
    code = "sign_in_delayed"
    title = "Too many failed sign-ins"


class SecondFactorRequired(Unauthenticated):
    """The password was right; the account asks for more."""

    code = "second_factor_required"
    title = "A code is needed beside the password"

    def __init__(self) -> None:
        super().__init__(
            field="code", next_action="Send the same request with `code`: from the app, or a recovery code."
        )


class CodeRefused(Unauthenticated):
    """One answer for a wrong code, an old one and one that was used."""

    code = "code_refused"
    title = "The code is wrong, too old or was used already"

    def __init__(self) -> None:
        super().__init__(
            field="code", next_action="Wait for the next code of the app, or use a recovery code."
        )


class CodeDelayed(TooManyRequests):
    code = "code_delayed"
    title = "Too many wrong codes"


class CodeMismatch(Invalid):
    """At enrolment: nothing is proved yet, so nobody is turned away."""

    code = "code_mismatch"
    title = "This is not the code that the app shows now"


class SecondFactorOn(Conflict):
    code = "second_factor_on"
    title = "The second factor is on already"


class SecondFactorOff(Conflict):
    code = "second_factor_off"
    title = "There is no second factor"


class SessionEnded(Unauthenticated):
    code = "session_ended"
    title = "The session has ended"


class CrossSiteRequest(Forbidden):
    code = "cross_site_request"
    title = "Only the application's own pages may use the refresh cookie"


class LinkRefused(Gone):
    """Used, replaced, expired, revoked or not ours: whoever holds such a link learns no more."""

    code = "link_refused"
    title = "This link cannot be used"


class InvitationForAnotherAddress(Forbidden):
    code = "invitation_for_another_address"
    title = "The invitation was sent to another address"


class AlreadyMember(Conflict):
    code = "already_member"
    title = "Already a member of the workspace"


class InvitationPending(Conflict):
    code = "invitation_pending"
    title = "This address has an open invitation"


class InvitationClosed(Conflict):
    code = "invitation_closed"
    title = "This invitation is not open any more"


class TooManyInvitations(Conflict):
    code = "too_many_invitations"
    title = "Too many invitations"


class LastOwner(Conflict):
    code = "last_owner"
    title = "A workspace always has an owner"


class AlreadyOwner(Conflict):
    code = "already_owner"
    title = "This member is an owner already"


class AboveOwnRole(Forbidden):
    code = "above_own_role"
    title = "Nobody grants or removes a role above his own"


class NetworkRefused(Invalid):
    code = "network_refused"
    title = "Not a network"


class ScopesRefused(Invalid):
    code = "scopes_refused"
    title = "A key can do no more than its maker"


class KeyClosed(Conflict):
    code = "key_closed"
    title = "This key cannot be rotated any more"


class NameMismatch(Invalid):
    code = "name_mismatch"
    title = "The typed name is not the name of the workspace"


class WorkspaceLimit(Conflict):
    code = "workspace_limit"
    title = "Too many workspaces"


class WorkspaceGone(NotFound):
    pass


class MailCannotBeSwitchedOff(Invalid):
    code = "mail_cannot_be_switched_off"
    title = "This kind of mail cannot be switched off"


class ComplaintStands(Conflict):
    code = "complaint_stands"
    title = "Only the person can lift this"


class WebhookUrlRefused(Invalid):
    code = "webhook_url_refused"
    title = "Nothing can be sent to this URL"


class WebhookDisabled(Conflict):
    code = "webhook_disabled"
    title = "The webhook is disabled"


class DeliveryPending(Conflict):
    code = "delivery_pending"
    title = "This delivery is being tried already"
