"""Letters about a person's own account: links that he asked for, and what he has to know at once."""

from __future__ import annotations

from services.auth.notifications.letter import About, Letter


def password_reset_link(about: About) -> Letter:
    return Letter(
        "Set a new password",
        (
            f"Hello {about.name}, somebody, perhaps you, asked to set a new password for your SendChief account:",
            "The link works once, for 30 minutes, and only if it is the newest. If it was not you, there is nothing "
            "to do: your password has not been changed.",
        ),
        about.link,
        "Set a new password",
    )


def email_change_link(about: About) -> Letter:
    if about.data["taken"]:
        return Letter(
            "This address has an account already",
            (
                "Somebody, perhaps you, asked to move another SendChief account to this address. It has an account "
                "of its own, so nothing was changed. Sign in here:",
            ),
            about.link,
            "Sign in",
        )
    return Letter(
        "Confirm your new address",
        (
            f"Hello {about.name}, please confirm that your SendChief account shall move to this address:",
            "The link works once, for two hours. If you did not ask for it, do not open it: nothing happens then.",
        ),
        about.link,
        "Move my account here",
    )


def email_changed(about: About) -> Letter:
    return Letter(
        "Your account moved to another address",
        (
            f"Hello {about.name}, your SendChief account now belongs to {about.data['new_email']}. If that was not "
            "you, take it back here:",
            "The link works for 72 hours. It sets a new password and ends all sessions. If it was you, there is "
            "nothing to do.",
        ),
        about.link,
        "Take my account back",
    )


def email_change_undone(about: About) -> Letter:
    return Letter(
        "Your account is back",
        (
            f"Hello {about.name}, your SendChief account is back at this address, with a new password"
            f"{_where(about)}. All sessions have been ended.",
            "Whoever moved it knew your old password. Change it wherever else you use it.",
        ),
    )


def new_device(about: About) -> Letter:
    return Letter(
        "A sign-in from a new device",
        (
            f"Hello {about.name}, somebody, most likely you, signed in to your SendChief account from a device that "
            f"had not been used for it before{_where(about)}.",
            "If it was not you, set a new password now: that ends all sessions.",
        ),
    )


def password_changed(about: About) -> Letter:
    return Letter(
        "Your password was changed",
        (
            f"Hello {about.name}, the password of your SendChief account was changed{_where(about)}. "
            "All other sessions have been ended.",
            'If it was not you, set a new password now: choose "forgotten password" where you sign in.',
        ),
    )


def password_reset(about: About) -> Letter:
    return Letter(
        "Your password was set anew",
        (
            f"Hello {about.name}, a new password was set by a link from a mail to this address{_where(about)}. "
            "All sessions have been ended.",
            "If it was not you, somebody else can read your mail. Secure your mailbox, then set a new password.",
        ),
    )


def refresh_token_reused(about: About) -> Letter:
    return Letter(
        "We ended one of your sessions",
        (
            f"Hello {about.name}, the key of one of your sessions was used a second time{_where(about)}. That happens "
            "when somebody has copied it, so the session has been ended on all sides.",
            "Sign in again. If you do not know what this may have been, change your password and look through the "
            "list of your sessions.",
        ),
    )


def _where(about: About) -> str:
    data = about.data
    return f", on {data['at']}, by {data['device']} from {data['network']}"
