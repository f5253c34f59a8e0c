"""Adding and removing mailboxes."""

from __future__ import annotations

from sqlalchemy import Row
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.domains import repository as domains
from services.provisioner.domains.service import still_there, usable_server
from services.provisioner.errors import DomainEnding, MailboxTaken, PlanLimit
from services.provisioner.jobs import repository as jobs
from services.provisioner.mailboxes import repository
from services.provisioner.mailboxes.schemas import (
    ClientSettings,
    CreateMailbox,
    Endpoint,
    MailboxAccepted,
    MailboxView,
    RemovalAccepted,
)
from services.provisioner.models import Mailbox, Server
from services.provisioner.plans import Catalogue
from shared import audit
from shared.errors import Conflict, NotFound
from shared.identity import Identity
from shared.ids import new_id
from shared.web.pagination import Page, PageRequest


async def create(
    session: AsyncSession, identity: Identity, domain_id: str, request: CreateMailbox, catalogue: Catalogue
) -> MailboxAccepted:
    """Raises NotFound, DomainEnding, DomainBusy, ServerEnding, ServerNotReady, PlanLimit, MailboxTaken."""
    domain = await domains.get(session, domain_id)
    if domain is None:
        raise NotFound
    server = await usable_server(session, domain.server_id)
    domain = await still_there(session, domain.id, server)
    if domain.state == "removing":
        raise DomainEnding("The domain is being removed.")
    limit = catalogue.plan(server.plan).mailboxes
    if await repository.count(session, server.id) >= limit:
        raise PlanLimit(
            f"The plan {server.plan} has room for {limit} mailboxes.", next_action="Choose a larger plan."
        )
    row = Mailbox(
        id=new_id("mbx"),
        workspace_id=server.workspace_id,
        server_id=server.id,
        domain_id=domain.id,
        address=f"{request.local_part}@{domain.name}",
        local_part=request.local_part,
        display_name=request.display_name,
        state="pending",
        generation=await domains.next_generation(session, server),
    )
    session.add(row)
    try:
        await session.flush()
    except IntegrityError as error:
        raise MailboxTaken(f"{row.address} exists already.", field="body.local_part") from error
    job = await jobs.begin(
        session, server, kind="add_mailbox", subject_id=row.id, requested_by=identity.subject
    )
    await _audit(session, identity, row, "added")
    return MailboxAccepted(id=row.id, address=row.address, job_id=job.id)


async def remove(session: AsyncSession, identity: Identity, mailbox_id: str) -> RemovalAccepted:
    """Raises NotFound, ServerEnding, DomainBusy, Conflict."""
    found = await repository.get(session, mailbox_id)
    if found is None:
        raise NotFound
    row = found[0]
    server = await usable_server(session, row.server_id)
    await still_there(session, row.domain_id, server)
    if row.state == "removing":
        raise Conflict("It is being removed already.")
    row.state = "removing"
    row.generation = await domains.next_generation(session, server)
    job = await jobs.begin(
        session, server, kind="remove_mailbox", subject_id=row.id, requested_by=identity.subject
    )
    await _audit(session, identity, row, "removed")
    return RemovalAccepted(job_id=job.id)


async def _audit(session: AsyncSession, identity: Identity, row: Mailbox, what: str) -> None:
    await audit.record(
        session,
        workspace_id=row.workspace_id,
        actor=identity,
        action=f"provisioner.mailbox.{what}",
        target=row.id,
        data={"address": row.address, "server_id": row.server_id},
    )


async def get(session: AsyncSession, mailbox_id: str) -> MailboxView:
    """Raises NotFound."""
    found = await repository.get(session, mailbox_id)
    if found is None:
        raise NotFound
    return view(found)


async def page(session: AsyncSession, workspace_id: str, request: PageRequest) -> Page[MailboxView]:
    rows = await repository.page(session, workspace_id, request.after_id, request.limit + 1)
    return request.page(rows, view, lambda row: row[0].id)


def client_settings(address: str, hostname: str) -> ClientSettings:
    return ClientSettings(
        username=address,
        imap=Endpoint(host=hostname, port=993, security="tls"),
        submission=Endpoint(host=hostname, port=465, security="tls"),
        submission_fallback=Endpoint(host=hostname, port=587, security="starttls"),
        webmail_url=f"https://{hostname}/",
    )


def view(found: Row[Mailbox, Server]) -> MailboxView:
    row, server = found[0], found[1]
    return MailboxView.model_validate(
        {
            "id": row.id,
            "server_id": row.server_id,
            "domain_id": row.domain_id,
            "address": row.address,
            "display_name": row.display_name,
            "state": row.state,
            "credential_version": row.credential_version,
            "client_settings": client_settings(row.address, server.hostname),
            "created_at": row.created_at,
            "active_at": row.active_at,
        }
    )
