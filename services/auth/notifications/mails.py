"""The text of each mail: one function per kind. `kinds.py` says which kind is which and who gets it."""

from __future__ import annotations

from services.auth.notifications.letter import About, Letter

# -- mails with a link, for somebody who may not have an account yet ---------------------------------------------


def confirm_address(about: About) -> Letter:
    return Letter(
        "Confirm your address",
        (
            f"Hello {about.name}, please confirm that this is your address:",
            "The link works once, for 24 hours. If you did not ask for a SendChief account, do not open it: "
            "nothing happens then.",
        ),
        about.link,
        "Confirm this address",
    )


def already_registered(about: About) -> Letter:
    return Letter(
        "You have an account already",
        (
            f"Hello {about.name}, somebody, perhaps you, asked for a SendChief account with this address. "
            "You have one already; sign in here:",
            "If it was not you, there is nothing to do. Your account was not changed.",
        ),
        about.link,
        "Sign in",
    )


def invitation(about: About) -> Letter:
    inviter, role = about.data["inviter"], about.data["role"]
    by = f"{inviter} invites you" if inviter else "You are invited"
    return Letter(
        f"Invitation to {about.workspace}",
        (
            f"{by} to the workspace {about.workspace} at SendChief, as {role.capitalize()}:",
            "The link works once, for 72 hours, and only with an account of this address.",
        ),
        about.link,
        "Accept the invitation",
    )


# -- who may do what in a workspace ------------------------------------------------------------------------------

_NOT_YOU = "If you did not expect this, speak to the other owners and look at the workspace's audit log."


def role_changed(about: About) -> Letter:
    before, after = about.data["before"], about.data["after"]
    return Letter(
        f"Your role in {about.workspace}",
        (
            f"In the workspace {about.workspace} you are {after.capitalize()} now; you were {before.capitalize()}.",
            "What you may do has changed with it, and so has what the API keys that you made may do.",
        ),
    )


def membership_ended(about: About) -> Letter:
    return Letter(
        f"You have left {about.workspace}",
        (
            f"You are no longer a member of the workspace {about.workspace}.",
            "The API keys that you made there are revoked, and so are your invitations that nobody had accepted yet.",
        ),
    )


def members_changed(about: About) -> Letter:
    after = about.data.get("after")
    if after is not None:
        what = f"A member who was {about.data['before'].capitalize()} is {after.capitalize()} now."
    elif "account_id" in about.data:
        what = f"Somebody who was {about.data['role'].capitalize()} is no longer a member."
    else:
        what = f"Somebody has accepted an invitation and is {about.data['role'].capitalize()} now."
    return Letter(f"Members of {about.workspace}", (what, _NOT_YOU))


def api_key_made(about: About) -> Letter:
    name, prefix = about.data["name"], about.data["prefix"]
    return Letter(
        f"A new API key in {about.workspace}",
        (
            f"The API key {name} ({prefix}…) was made in the workspace {about.workspace}.",
            f"{_NOT_YOU} The key can be revoked there at any time.",
        ),
    )


def api_key_leaked(about: About) -> Letter:
    name, prefix, url = about.data["name"], about.data["prefix"], about.data["url"]
    return Letter(
        f"API key {name} was found in public",
        (
            f"The API key {name} ({prefix}…) of the workspace {about.workspace} was found in public and has been "
            "revoked. Whatever used it is refused now.",
            f"It was found here: {url or 'the scanner did not say where'}",
            "Make a new key for the program that used it, keep it out of the code, and look through the audit log for "
            "what was done with the old one.",
        ),
    )


def webhook_disabled(about: About) -> Letter:
    host = about.data["host"]
    why = (
        f"The server {host} answered 410: what we sent is not wanted there any more."
        if about.data["reason"] == "gone"
        else f"The server {host} took nothing for more than three days, however often we tried."
    )
    return Letter(
        f"The webhook to {host} was disabled",
        (
            why,
            f"The webhook of the workspace {about.workspace} is disabled, and events are not kept for it. When the "
            "server is well, enable the webhook again; what was missed in the last thirty days can be sent again from "
            "its list of deliveries.",
        ),
    )


# -- the second factor -------------------------------------------------------------------------------------------

_NOT_YOU = "If it was not you: change your password now, end all other sessions, and write to us."


def second_factor_on(about: About) -> Letter:
    return Letter(
        "The second factor is on",
        (
            f"Hello {about.name}, from now on your SendChief account asks for a code of your authenticator app beside "
            "the password. All your other sessions were ended.",
            "Keep the recovery codes where the app is not: each of them stands in for it once.",
            _NOT_YOU,
        ),
    )


def second_factor_off(about: About) -> Letter:
    return Letter(
        "The second factor is off",
        (f"Hello {about.name}, your SendChief account asks for nothing but the password now.", _NOT_YOU),
    )


def recovery_code_used(about: About) -> Letter:
    left = about.data["left"]
    return Letter(
        "A recovery code was used",
        (
            f"Hello {about.name}, one of your recovery codes was used instead of your authenticator app. "
            f"{left} of them are left.",
            "You can make ten new ones at any time; the old ones are worthless then.",
            _NOT_YOU,
        ),
    )


def recovery_codes_replaced(about: About) -> Letter:
    return Letter(
        "You have new recovery codes",
        (f"Hello {about.name}, ten new recovery codes were made. The old ones are worthless now.", _NOT_YOU),
    )


def code_guessed(about: About) -> Letter:
    return Letter(
        "Somebody knows your password",
        (
            f"Hello {about.name}, your password was entered correctly several times, followed by wrong codes, "
            f"by {about.data['device']} at {about.data['network']}. Nobody got in.",
            "If it was not you, somebody knows your password: change it now.",
        ),
    )
