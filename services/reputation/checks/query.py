"""Names to ask for, and what an answer means (RFC 5782).

An answer is trusted only when the list proves itself: its test point 127.0.0.2 (::ffff:7f00:2) must be listed and
127.0.0.1 (::ffff:7f00:1) must not. That catches parked domains, lists of the whole world and emptied zones.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from services.reputation.blacklists.catalogue import POLICY, REFUSALS, Blacklist
from services.reputation.ports import Answer

MUST_LIST: Final = {4: IPv4Address("127.0.0.2"), 6: IPv6Address("::ffff:7f00:2")}
MUST_NOT_LIST: Final = {4: IPv4Address("127.0.0.1"), 6: IPv6Address("::ffff:7f00:1")}


@dataclass(frozen=True)
class Listed:
    """The list lists it. `counted` is false for policy entries, which are shown only."""

    codes: tuple[str, ...]
    meaning: str
    counted: bool = True


@dataclass(frozen=True)
class Clean:
    """The list knows nothing against it. `note` holds a good or a policy word that it had."""

    note: str = ""


@dataclass(frozen=True)
class Unknown:
    """The list said nothing that can be believed; `reason` says why."""

    reason: str


Result = Listed | Clean | Unknown


def query_name(address: str | IPv4Address | IPv6Address, zone: str) -> str:
    """Reversed octets, or reversed nibbles, in front of the zone; absolute (RFC 5782 sections 2.1 and 2.4)."""
    parsed = ip_address(address) if isinstance(address, str) else address
    labels = str(parsed).split(".") if parsed.version == 4 else list(f"{int(parsed):032x}")
    return f"{'.'.join(reversed(labels))}.{zone.rstrip('.')}."


def interpret(blacklist: Blacklist, answer: Answer) -> Result:
    """What one answer says about the address asked for."""
    if answer.rcode == "NXDOMAIN" or (answer.rcode == "NOERROR" and not answer.records):
        return Clean()
    if answer.rcode != "NOERROR":
        return Unknown(f"answered {answer.rcode}")
    codes = [IPv4Address(record) for record in answer.records]
    if strange := [code for code in codes if not code.is_loopback]:
        return Unknown(f"answered {strange[0]}, outside 127.0.0.0/8")
    if refused := [code for code in codes if code in REFUSALS or code in blacklist.refused]:
        return Unknown(f"refused to answer ({refused[0]})")
    named = {code: blacklist.codes[code] for code in sorted(codes) if code in blacklist.codes}
    if not named:
        if all(code in blacklist.white for code in codes):
            return Clean("white")
        stray = next(code for code in codes if code not in blacklist.white)
        return Unknown(f"answered {stray}, which has no meaning here")
    counted = any(not meaning.startswith(POLICY) for meaning in named.values())
    return Listed(tuple(map(str, named)), "; ".join(dict.fromkeys(named.values())), counted)


def distrust(blacklist: Blacklist, must_list: Result, must_not_list: Result) -> Unknown | None:
    """Why the list is not to be believed, by what it said of its test points; None when it is sound.

    A list whose good word is 127.0.0.1 may give that for the point that must not be listed.
    """
    for result in (must_list, must_not_list):
        if isinstance(result, Unknown):
            return Unknown(f"test point: {result.reason}")
    if not isinstance(must_list, Listed):
        return Unknown("does not list its test point: emptied or switched off")
    if isinstance(must_not_list, Listed):
        return Unknown("lists what must never be listed: parked or listing everything")
    return None
