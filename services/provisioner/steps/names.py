"""The set of names that a server needs, as one document, and its publication when it differs from the last one."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from services.provisioner.models import Domain, Server
from services.provisioner.reconciler.work import Work, Write
from shared.contracts.provisioner_events import Dkim, DomainDesired, ServerDnsDesired
from shared.crashpoint import crashpoint

WITHDRAWN = "withdrawn"
BEFORE_ANNOUNCING = ("preparing", "copying")
BEFORE_SWITCHING = (*BEFORE_ANNOUNCING, "announcing")


def wanted(work: Work) -> dict[str, Any]:
    """The document without its number. TLSA digests come with the host's facts, domains with their DKIM keys."""
    tls = (work.server.facts or {}).get("tls")
    return {
        "workspace_id": work.server.workspace_id,
        "server_id": work.server.id,
        "hostname": work.server.hostname,
        "ipv4": work.address(4),
        "ipv6": work.address(6),
        "tlsa_spki_sha256": (tls["current_spki_sha256"], tls["next_spki_sha256"]) if tls else (),
        "domains": tuple(
            _domain(work, row) for row in (*work.known.domains, *work.known.leaving) if _shown(work, row)
        ),
    }


def _shown(work: Work, row: Domain) -> bool:
    """A domain that moves is published for the server that it comes from until its mail has been copied and the new
    one's set is out: it is never without records. Additions are written only when their owner has approved them, so
    that for the moment in which both sets have it there is still one of each."""
    if not row.dkim or row.state == "removing":
        return False
    if row.moving_from == work.server.id:
        return row.move_phase in (None, *BEFORE_SWITCHING)
    return row.moving_from is None or row.move_phase not in (None, *BEFORE_ANNOUNCING)


def _domain(work: Work, row: Domain) -> DomainDesired:
    """Of one that has moved the old server's DKIM keys stay published until that one has forgotten it: what it has sent
    is still on its way."""
    before = row.move_before or {"dkim": [], "mta_sts_id": row.mta_sts_id}
    here = row.server_id == work.server.id or row.move_before is None
    return DomainDesired(
        domain_id=row.id,
        name=row.name,
        dkim=tuple(Dkim.model_validate(key) for key in (*(row.dkim if here else ()), *before["dkim"])),
        dmarc_policy=row.dmarc_policy,
        mta_sts_id=row.mta_sts_id if here else before["mta_sts_id"],
    )


def digest(document: dict[str, Any]) -> str:
    """Equal for equal documents."""
    event = ServerDnsDesired(generation=0, **document)
    return hashlib.sha256(json.dumps(event.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def is_published(work: Work) -> bool:
    """Whether the last published set is the one that is wanted now."""
    return work.server.names_digest == digest(wanted(work))


async def publish(work: Work) -> None:
    """Announces the present set under the next number."""
    document = wanted(work)
    crashpoint("names.before_emit")
    async with work.write() as write:
        _next(write.server, digest(document))
        await write.emit(ServerDnsDesired(generation=write.server.names_generation, **document))
    crashpoint("names.after_emit")


async def withdraw(work: Work) -> None:
    """Asks for the removal of every record of ours for this server."""
    async with work.write() as write:
        await emit_withdrawal(write)


async def emit_withdrawal(write: Write) -> None:
    server = write.server
    _next(server, WITHDRAWN)
    await write.emit(
        ServerDnsDesired(
            workspace_id=server.workspace_id,
            server_id=server.id,
            generation=server.names_generation,
            withdrawn=True,
            hostname=server.hostname,
            ipv4=None,
            ipv6=None,
        )
    )


def _next(server: Server, new_digest: str) -> None:
    server.names_generation += 1
    server.names_digest = new_digest


def forward_verified(server: Server) -> bool:
    """The host's own names of the last published set are visible everywhere."""
    return server.names_forward and server.names_seen_generation >= server.names_generation
