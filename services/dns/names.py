"""Domain names as this service writes them: lower-case A-labels, no trailing dot."""

from __future__ import annotations

import re

import idna

_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")
_MAX_NAME = 253  # RFC 1035 section 2.3.4: 255 octets on the wire


class BadName(ValueError):
    """The text is not a host-like domain name; the message says why."""


def domain_name(text: str) -> str:
    """The name in canonical form; U-labels become A-labels (IDNA 2008 after UTS 46). Raises `BadName`.

    At least two labels are wanted, since nobody is handed a top-level domain, and letters, digits and hyphens
    only (RFC 1123 section 2.1): names with underscores are made by us, never given by a customer.
    """
    stripped = text.strip().removesuffix(".")
    if not stripped:
        raise BadName("The name is empty.")
    try:
        name = idna.encode(stripped, uts46=True).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError) as error:
        raise BadName("This is not a domain name.") from error
    labels = name.split(".")
    if len(name) > _MAX_NAME or not all(_LABEL.fullmatch(label) for label in labels):
        raise BadName("This is not a domain name.")
    if len(labels) < 2:
        raise BadName("A domain name has at least two labels, such as company.com.")
    if labels[-1].isdigit():
        raise BadName("This is an address, not a domain name.")
    return name


def fqdn(text: str) -> str:
    """A name from DNS or from a provider: lower case, without its trailing dot; the root is `.`."""
    return text.lower().removesuffix(".") or "."


def is_within(name: str, ancestor: str) -> bool:
    """Whether `name` is `ancestor` or lies under it."""
    return name == ancestor or name.endswith("." + ancestor)
