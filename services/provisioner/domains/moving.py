"""Orders to move a domain to another server of the workspace, and to take it back. The reconciler carries them out on
both servers (`steps/take_over_domains.py`, `steps/leave_domains.py`); the phases are in `models/mail.py`."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.domains import repository
from services.provisioner.domains.schemas import MoveAccepted, MoveDomain
from services.provisioner.domains.service import audited, check_limit, usable_server
from services.provisioner.errors import DomainBusy, DomainEnding, PlanLimit, ServerBusy
from services.provisioner.hosts.desired import DkimSelectors
from services.provisioner.jobs import repository as jobs
from services.provisioner.mailboxes import repository as mailboxes
from services.provisioner.models import BEFORE_OPENING, Domain, Mailbox, Server
from services.provisioner.plans import Catalogue
from services.provisioner.servers import repository as servers
from shared.errors import NotFound
from shared.identity import Identity


async def move(
    session: AsyncSession,
    identity: Identity,
    domain_id: str,
    request: MoveDomain,
    catalogue: Catalogue,
    now: datetime,
) -> MoveAccepted:
    """Raises NotFound, ServerEnding, ServerNotReady, ServerReadOnly, DomainEnding, DomainBusy, PlanLimit."""
    row = await repository.get(session, domain_id)
    if row is None:
        raise NotFound
    # In the order of their ids: two moves in opposite directions do not wait for one another.
    pair = sorted({row.server_id, request.server_id})
    back = row.moving_from == request.server_id
    held: dict[str, Server] = {}
    for one in pair:
        if back and one != request.server_id:  # nothing is asked of the one that gives it back
            await servers.lock(session, one)
        else:
            held[one] = await usable_server(session, one)
    row = await repository.fresh(session, domain_id)
    if row is None:
        raise NotFound
    if row.state == "removing":
        raise DomainEnding("It is being removed.")
    if row.server_id == request.server_id:
        raise DomainBusy("It is on this server already.", field="body.server_id")
    if row.moving_from == request.server_id and row.move_phase in BEFORE_OPENING and back:
        return await _take_back(session, identity, row, held[request.server_id], now)
    if row.moving_from is not None or row.state == "pending" or row.server_id not in held:
        raise DomainBusy(
            "Wait until its server has made its keys, or its last move has come to its end.",
            next_action="Follow the domain's last job.",
        )
    source, target = held[row.server_id], held[request.server_id]
    await check_limit(session, target, catalogue)
    await _check_mailboxes(session, row, target, catalogue)
    row.move_before = {"dkim": row.dkim, "mta_sts_id": row.mta_sts_id}
    row.moving_from, row.server_id, row.move_phase = source.id, target.id, "preparing"
    row.state, row.move_generation = "moving", None
    row.generation = await repository.next_generation(session, target)
    row.certified, row.dns_verified, row.ready_at = False, False, None
    selectors = _fresh_selectors(row, now)
    row.dkim_rsa_selector, row.dkim_ed25519_selector = selectors.rsa, selectors.ed25519
    row.mta_sts_id = f"{now:%Y%m%d%H%M%S}"  # its policy names another MX (RFC 8461 section 3.1)
    job = await jobs.begin(
        session, target, kind="move_domain", subject_id=row.id, requested_by=identity.subject
    )
    await repository.next_generation(session, source)
    await audited(session, identity, row, "moved")
    return MoveAccepted(job_id=job.id)


async def _check_mailboxes(session: AsyncSession, row: Domain, target: Server, catalogue: Catalogue) -> None:
    """Whether its mailboxes fit too; the target's row is locked, so nobody else counts now. Raises PlanLimit."""
    limit = catalogue.plan(target.plan).mailboxes
    coming = await mailboxes.count_of_domain(session, row.id)
    if await mailboxes.count(session, target.id) + coming > limit:
        raise PlanLimit(
            f"The plan {target.plan} has room for {limit} mailboxes, and the domain brings {coming}.",
            next_action="Choose a larger plan, or remove mailboxes.",
        )


def _fresh_selectors(row: Domain, now: datetime) -> DkimSelectors:
    """Others than those in use: the new server's keys are others, and the old ones may still be cached."""
    number = 1
    while (selectors := DkimSelectors.of_month(now, number)).rsa == row.dkim_rsa_selector:
        number += 1
    return selectors


async def _take_back(
    session: AsyncSession, identity: Identity, row: Domain, source: Server, now: datetime
) -> MoveAccepted:
    await return_to(session, row, source, now)
    job = await jobs.begin(
        session, source, kind="return_domain", subject_id=row.id, requested_by=identity.subject
    )
    await audited(session, identity, row, "returned")
    return MoveAccepted(job_id=job.id)


async def return_to(session: AsyncSession, row: Domain, source: Server, now: datetime) -> None:
    """As if it had never been ordered to move: the old server has everything still. Its keys are found there, and it is
    published for it again."""
    target = await session.get_one(Server, row.server_id)
    before = row.move_before or {"dkim": row.dkim}
    selector = {key["algorithm"]: key["selector"] for key in before["dkim"]}
    row.dkim = before["dkim"]
    row.dkim_rsa_selector, row.dkim_ed25519_selector = selector["rsa"], selector["ed25519"]
    row.server_id, row.state, row.dns_verified = source.id, "pending", False
    row.moving_from = row.move_phase = row.move_before = row.move_generation = None
    row.mta_sts_id = f"{now:%Y%m%d%H%M%S}"
    row.generation = await repository.next_generation(session, source)
    await repository.next_generation(session, target)
    # Whoever's passwords changed while nobody was let in is asked about anew.
    await session.execute(
        update(Mailbox)
        .where(Mailbox.domain_id == row.id)
        .values(generation=row.generation, copied=None)
        .execution_options(synchronize_session=False)
    )


async def nothing_moves(session: AsyncSession, server_id: str) -> None:
    """Raises ServerBusy while a domain comes to this server, or leaves it, and is not wholly at one of both yet."""
    query = select(Domain.id).where(
        or_(Domain.server_id == server_id, Domain.moving_from == server_id),
        Domain.move_phase.in_((*BEFORE_OPENING, "opened")),
    )
    if await session.scalar(query.limit(1)) is not None:
        raise ServerBusy(
            "A domain is moving to or from it.",
            next_action="Wait for the move's job, or take the domain back.",
        )


async def server_ends(session: AsyncSession, server_id: str, now: datetime) -> None:
    """A server of a move is going: what has not been opened elsewhere is still the old server's, and what has been is
    the new one's alone."""
    rows = await session.scalars(
        select(Domain)
        .where(or_(Domain.server_id == server_id, Domain.moving_from == server_id))
        .where(Domain.moving_from.is_not(None))
        .with_for_update()
    )
    for row in rows:
        if row.move_phase in BEFORE_OPENING:
            await return_to(session, row, await session.get_one(Server, row.moving_from), now)
        elif row.moving_from == server_id:
            row.moving_from = row.move_phase = row.move_before = row.move_generation = row.opened_at = None
