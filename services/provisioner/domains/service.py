"""Adding and removing sending domains of a server."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.domains import repository
from services.provisioner.domains.schemas import (
    CreateDomain,
    DomainAccepted,
    DomainView,
    RemovalAccepted,
)
from services.provisioner.errors import (
    DomainBusy,
    DomainEnding,
    DomainNotEmpty,
    DomainTaken,
    PlanLimit,
    ServerEnding,
    ServerNotReady,
    ServerReadOnly,
    ZoneNotProven,
)
from services.provisioner.hosts.desired import DkimSelectors
from services.provisioner.jobs import repository as jobs
from services.provisioner.models import Domain, Server
from services.provisioner.plans import Catalogue
from services.provisioner.servers import repository as servers
from shared import audit
from shared.errors import NotFound
from shared.identity import Identity
from shared.ids import new_id
from shared.web.pagination import Page, PageRequest


async def usable_server(session: AsyncSession, server_id: str) -> Server:
    """The server, locked. Raises NotFound, ServerEnding, ServerNotReady, ServerReadOnly."""
    server = await servers.lock(session, server_id)
    if server is None:
        raise NotFound
    if server.desired == "absent":
        raise ServerEnding("Nothing can be added to it any more.")
    if not server.ever_ready:
        raise ServerNotReady("Wait until the server is ready.", next_action="Follow its provision job.")
    if server.mail_service == "read_only":
        raise ServerReadOnly(
            "A payment for it is overdue.", next_action="Pay the open invoice; the server is then as it was."
        )
    return server


async def create(
    session: AsyncSession, identity: Identity, request: CreateDomain, catalogue: Catalogue, now: datetime
) -> DomainAccepted:
    """Raises NotFound, ServerEnding, ServerNotReady, ZoneNotProven, PlanLimit, DomainTaken."""
    server = await usable_server(session, request.server_id)
    zone = await repository.proven_zone(session, request.name)
    if zone is None:
        raise ZoneNotProven(
            f"{request.name} is not a zone that this workspace controls.", field="body.name",
            next_action="Add the zone and prove your control of it, then send this request again.",
        )  # fmt: skip
    await check_limit(session, server, catalogue)
    generation = await repository.next_generation(session, server)
    selectors = DkimSelectors.of_month(now)
    row = Domain(
        id=new_id("dom"),
        workspace_id=server.workspace_id,
        server_id=server.id,
        zone_id=zone.zone_id,
        name=request.name,
        state="pending",
        generation=generation,
        dkim_rsa_selector=selectors.rsa,
        dkim_ed25519_selector=selectors.ed25519,
        mta_sts_id=f"{now:%Y%m%d%H%M%S}",
    )
    session.add(row)
    try:
        await session.flush()
    except IntegrityError as error:
        raise DomainTaken(f"{request.name} is on a server already.", field="body.name") from error
    job = await jobs.begin(
        session, server, kind="add_domain", subject_id=row.id, requested_by=identity.subject
    )
    await audited(session, identity, row, "added")
    return DomainAccepted(id=row.id, job_id=job.id)


async def still_there(session: AsyncSession, domain_id: str, server: Server) -> Domain:
    """The domain, now that its server is locked. Raises NotFound, DomainBusy when it moves or has moved meanwhile."""
    row = await repository.fresh(session, domain_id)
    if row is None:
        raise NotFound
    if row.server_id != server.id:
        raise DomainBusy("It has just been moved to another server.", next_action="Send this request again.")
    if row.moving_from is not None and row.move_phase not in ("leaving", "forgetting"):
        raise DomainBusy(
            "It moves to another server at present.",
            next_action="Follow the job of its move, or move it back to the server that it comes from.",
        )
    return row


async def check_limit(session: AsyncSession, server: Server, catalogue: Catalogue) -> None:
    """Whether one more domain fits; the server's row is locked, so nobody else counts now. Raises PlanLimit."""
    limit = catalogue.plan(server.plan).domains
    if await repository.count(session, server.id) >= limit:
        raise PlanLimit(
            f"The plan {server.plan} has room for {limit} domains.", next_action="Choose a larger plan."
        )


async def remove(session: AsyncSession, identity: Identity, domain_id: str) -> RemovalAccepted:
    """Raises NotFound, ServerEnding, DomainEnding, DomainBusy, DomainNotEmpty."""
    row = await repository.get(session, domain_id)
    if row is None:
        raise NotFound
    server = await usable_server(session, row.server_id)
    row = await still_there(session, row.id, server)
    if row.state == "removing":
        raise DomainEnding("It is being removed already.")
    if row.moving_from is not None:
        raise DomainBusy(
            "The server that it comes from has not forgotten it yet.",
            next_action="Wait until moving_from is null, a day after its move.",
        )
    if await repository.has_mailboxes(session, row.id):
        raise DomainNotEmpty("Remove its mailboxes first; their mail would be lost without a word.")
    row.state = "removing"
    row.generation = await repository.next_generation(session, server)
    job = await jobs.begin(
        session, server, kind="remove_domain", subject_id=row.id, requested_by=identity.subject
    )
    await audited(session, identity, row, "removed")
    return RemovalAccepted(job_id=job.id)


async def audited(session: AsyncSession, identity: Identity, row: Domain, what: str) -> None:
    await audit.record(
        session,
        workspace_id=row.workspace_id,
        actor=identity,
        action=f"provisioner.domain.{what}",
        target=row.id,
        data={"name": row.name, "server_id": row.server_id},
    )


async def get(session: AsyncSession, domain_id: str) -> DomainView:
    """Raises NotFound."""
    row = await repository.get(session, domain_id)
    if row is None:
        raise NotFound
    return view(row)


async def page(session: AsyncSession, workspace_id: str, request: PageRequest) -> Page[DomainView]:
    rows = await repository.page(session, workspace_id, request.after_id, request.limit + 1)
    return request.page(rows, view, lambda row: row.id)


def view(row: Domain) -> DomainView:
    return DomainView.model_validate(
        {
            "id": row.id,
            "server_id": row.server_id,
            "moving_from": row.moving_from,
            "zone_id": row.zone_id,
            "name": row.name,
            "state": row.state,
            "dns_verified": row.dns_verified,
            "dkim": row.dkim,
            "dmarc_policy": row.dmarc_policy,
            "created_at": row.created_at,
            "ready_at": row.ready_at,
        }
    )
