"""The text of each mail. Plain text and a simple HTML twin; no pictures, no trackers, no remote content."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Letter:
    """Paragraphs of plain text. `link` stands on a line of its own after the first paragraph."""

    subject: str
    paragraphs: tuple[str, ...]
    link: str | None = None
    link_text: str = ""


def text_of(letter: Letter) -> str:
    first, *rest = letter.paragraphs
    parts = [first, *([letter.link] if letter.link else []), *rest, "SendChief"]
    return "\n\n".join(parts) + "\n"


def html_of(letter: Letter) -> str:
    first, *rest = (f"<p>{escape(paragraph)}</p>" for paragraph in letter.paragraphs)
    link = ""
    if letter.link:
        link = f'<p><a href="{escape(letter.link, quote=True)}">{escape(letter.link_text)}</a></p>'
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(letter.subject)}</title></head>"
        f'<body style="font-family:sans-serif;line-height:1.5">{first}{link}'
        f"{''.join(rest)}<p>SendChief</p></body></html>"
    )


def confirm_address(name: str, link: str) -> Letter:
    return Letter(
        "Confirm your address",
        (
            f"Hello {name}, please confirm that this is your address:",
            "The link works once, for 24 hours. If you did not ask for a SendChief account, do not open it: "
            "nothing happens then.",
        ),
        link,
        "Confirm this address",
    )


def already_registered(name: str, public_url: str) -> Letter:
    return Letter(
        "You have an account already",
        (
            f"Hello {name}, somebody, perhaps you, asked for a SendChief account with this address. "
            "You have one already; sign in here:",
            "If it was not you, there is nothing to do. Your account was not changed.",
        ),
        public_url,
        "Sign in",
    )


def invitation(workspace: str, inviter: str, role: str, link: str) -> Letter:
    by = f"{inviter} invites you" if inviter else "You are invited"
    return Letter(
        f"Invitation to {workspace}",
        (
            f"{by} to the workspace {workspace} at SendChief, as {role.capitalize()}:",
            "The link works once, for 72 hours, and only with an account of this address.",
        ),
        link,
        "Accept the invitation",
    )


def server_ready(workspace: str, hostname: str, ipv4: str, ipv6: str) -> Letter:
    return Letter(
        f"{hostname} is ready",
        (
            f"The mail server {hostname} of the workspace {workspace} is ready: its address is clean, its names are "
            "verified, its certificate is valid and the test from outside has passed.",
            f"IPv4 {ipv4}\nIPv6 {ipv6}",
        ),
    )


def subscription_activated(workspace: str, plan: str, zone: str) -> Letter:
    return Letter(
        "Your subscription is active",
        (
            f"The payment for the plan {plan} in {zone} has arrived. The server of the workspace {workspace} "
            "is being set up now; we write again when it is ready.",
        ),
    )


def address_listed(workspace: str, address: str, lists: str) -> Letter:
    return Letter(
        f"{address} is on a blacklist",
        (
            f"The address {address} of the workspace {workspace} was found on: {lists}. "
            "It was seen twice, so it is not a passing fault.",
            "Mail from this address may be refused until it is taken off. The server's reputation page says what "
            "each list means and how to get off it.",
        ),
    )
