"""Prefixed identifiers: `<prefix>_` and the 32 hex digits of a UUIDv7 (RFC 9562 section 5.7).

They sort by time of birth, say in a log line what they name, and are stored as `text`.
"""

from __future__ import annotations

import os
import re
import time
from typing import Annotated, Final

from pydantic import StringConstraints

_PREFIX: Final = re.compile(r"[a-z]{2,4}")


def uuid7_hex(milliseconds: int | None = None, randomness: bytes | None = None) -> str:
    """32 lower-case hex digits. `milliseconds` since the epoch and 10 bytes of `randomness` fix the result."""
    moment = time.time_ns() // 1_000_000 if milliseconds is None else milliseconds
    noise = (os.urandom(10) if randomness is None else randomness[:10]).hex()
    variant = "89ab"[int(noise[4], 16) & 3]
    return f"{moment & 0xFFFF_FFFF_FFFF:012x}7{noise[:3]}{variant}{noise[5:]}"


def new_id(prefix: str) -> str:
    """A fresh identifier. A prefix is two to four lower-case letters."""
    if not _PREFIX.fullmatch(prefix):
        raise ValueError(f"{prefix!r} is not an id prefix")
    return f"{prefix}_{uuid7_hex()}"


def derived_id(prefix: str, of: str) -> str:
    """The id of the one thing that belongs to `of`, known again without having been written down."""
    if not _PREFIX.fullmatch(prefix):
        raise ValueError(f"{prefix!r} is not an id prefix")
    return f"{prefix}_{of.partition('_')[2]}"


def id_pattern(prefix: str) -> str:
    """The grammar of one kind of id, as an anchored regular expression."""
    return rf"^{prefix}_[0-9a-f]{{32}}$"


AccountId = Annotated[str, StringConstraints(pattern=id_pattern("usr"))]
WorkspaceId = Annotated[str, StringConstraints(pattern=id_pattern("ws"))]
MemberId = Annotated[str, StringConstraints(pattern=id_pattern("mem"))]
InvitationId = Annotated[str, StringConstraints(pattern=id_pattern("inv"))]
ApiKeyId = Annotated[str, StringConstraints(pattern=id_pattern("key"))]
SessionId = Annotated[str, StringConstraints(pattern=id_pattern("ses"))]
SubscriptionId = Annotated[str, StringConstraints(pattern=id_pattern("sub"))]
ServerId = Annotated[str, StringConstraints(pattern=id_pattern("srv"))]
AddressId = Annotated[str, StringConstraints(pattern=id_pattern("adr"))]
DomainId = Annotated[str, StringConstraints(pattern=id_pattern("dom"))]
MailboxId = Annotated[str, StringConstraints(pattern=id_pattern("mbx"))]
JobId = Annotated[str, StringConstraints(pattern=id_pattern("job"))]
ZoneId = Annotated[str, StringConstraints(pattern=id_pattern("zon"))]
PlanId = Annotated[str, StringConstraints(pattern=id_pattern("pln"))]
ProviderTokenId = Annotated[str, StringConstraints(pattern=id_pattern("ptk"))]
ExportId = Annotated[str, StringConstraints(pattern=id_pattern("exp"))]
SecretId = Annotated[str, StringConstraints(pattern=id_pattern("sec"))]
EventId = Annotated[str, StringConstraints(pattern=id_pattern("evt"))]
AuditId = Annotated[str, StringConstraints(pattern=id_pattern("aud"))]
RequestId = Annotated[str, StringConstraints(pattern=id_pattern("req"))]
AppPasswordId = Annotated[str, StringConstraints(pattern=id_pattern("apw"))]
RotationId = Annotated[str, StringConstraints(pattern=id_pattern("rot"))]
WebhookId = Annotated[str, StringConstraints(pattern=id_pattern("whk"))]
DeliveryId = Annotated[str, StringConstraints(pattern=id_pattern("whd"))]
