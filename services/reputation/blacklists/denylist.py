"""Lists that are dead: switched off, emptied, parked, or listing the whole world. They must not come back."""

from __future__ import annotations

from typing import Final

DEAD: Final = (
    "sorbs.net",  # switched off 2024-06-05
    "ix.dnsbl.manitu.net",  # emptied 2025-01-16
    "cbl.abuseat.org",  # folded into XBL, answers errors
    "ahbl.org",  # listed the world in 2015
    "njabl.org",
    "dsbl.org",
    "ordb.org",
    "spamcannibal.org",  # parked, wildcard answers
    "emailbasura.org",  # parked, wildcard answers
    "five-ten-sg.com",
    "wpbl.info",
    "cyberlogic.net",
    "virbl.bit.nl",
    "msrbl.net",
    "inps.de",
    "spam.abuse.ch",
    "drone.abuse.ch",
    "combined.abuse.ch",
    "rfc-ignorant.org",
    "habeas.com",
    "ubl.unsubscore.com",
    "lashback.com",
    "dynip.rothen.com",
    "korea.services.net",
    "drand.net",  # listed the world in 2024
    "spamdown.org",  # parked in 2026
    "spamrbl.imp.ch",  # renamed to spamrbl.swinog.ch
)


def dead(zone: str) -> str | None:
    """The entry under which `zone` is known to be dead, or None."""
    name = zone.lower().rstrip(".")
    return next((entry for entry in DEAD if name == entry or name.endswith("." + entry)), None)
