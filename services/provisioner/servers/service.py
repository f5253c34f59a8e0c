"""Making, showing and ending servers. The reconciler does the work; here is only what is wished."""

from __future__ import annotations

import secrets

from sqlalchemy import func, update
from sqlalchemy.ext.asyncio import AsyncSession

from services.provisioner.domains import moving
from services.provisioner.errors import NameMismatch, ServerEnding
from services.provisioner.jobs import repository as jobs
from services.provisioner.models import Job, Server, Subscription
from services.provisioner.reconciler.lease import wake
from services.provisioner.servers import repository, views
from services.provisioner.servers.schemas import CancelServer, ServerDetail, ServerView
from shared import audit
from shared.bus import outbox
from shared.contracts.provisioner_events import SubscriptionActivated
from shared.errors import NotFound
from shared.identity import Identity
from shared.ids import derived_id
from shared.web.pagination import Page, PageRequest


async def create(session: AsyncSession, subscription: Subscription, platform_zone: str) -> Server:
    """The server of a subscription that has just become active. All that names it is fixed here, once. Its id follows
    from the subscription's: a database that has forgotten the server gives it the same one again, and so finds by its
    tags what the cloud has of it (ADR 17)."""
    label = f"s{secrets.token_hex(4)}"
    server = Server(
        id=derived_id("srv", subscription.id),
        workspace_id=subscription.workspace_id,
        subscription_id=subscription.id,
        plan=subscription.plan,
        zone=subscription.zone,
        label=label,
        hostname=f"{label}.mx.{platform_zone}",
        desired="present",
        generation=1,
    )
    session.add(server)
    await session.flush()
    await jobs.begin(
        session, server, kind="provision", subject_id=server.id, requested_by=subscription.created_by
    )
    await outbox.emit(
        session,
        SubscriptionActivated(
            workspace_id=server.workspace_id,
            subscription_id=subscription.id,
            server_id=server.id,
            plan=server.plan,
            zone=server.zone,
        ),
        subject=subscription.id,
        workspace_id=server.workspace_id,
        aggregate_version=subscription.version,
    )
    await wake(session, server.id)
    return server


async def end(session: AsyncSession, server: Server, *, requested_by: str, reason: str) -> Job:
    """From now on the server shall not be. The row must be locked."""
    job = await jobs.begin(session, server, kind="cancel", subject_id=server.id, requested_by=requested_by)
    await moving.server_ends(session, server.id, job.created_at)
    await session.execute(
        update(Server)
        .where(Server.id == server.id)
        .values(
            desired="absent",
            generation=Server.generation + 1,
            cancelled_at=func.now(),
            cancel_reason=reason,
        )
        .execution_options(synchronize_session=False)
    )
    await wake(session, server.id)
    return job


def confirm_name(server: Server, typed: str, verb: str) -> None:
    """What cannot be undone needs the whole name. Raises NameMismatch."""
    if typed != server.hostname:
        raise NameMismatch(
            f"Type the server's full name to {verb} it.", field="body.confirm_name",
            next_action=f"Send confirm_name = {server.hostname}",
        )  # fmt: skip


async def cancel(session: AsyncSession, identity: Identity, server_id: str, request: CancelServer) -> Job:
    """Raises NotFound, NameMismatch, ServerEnding, ServerBusy."""
    server = await repository.lock(session, server_id)
    if server is None:
        raise NotFound
    confirm_name(server, request.confirm_name, "cancel")
    if server.desired == "absent":
        raise ServerEnding("It has been cancelled already.")
    await moving.nothing_moves(session, server.id)
    job = await end(session, server, requested_by=identity.subject, reason=request.reason)
    await audit.record(
        session,
        workspace_id=server.workspace_id,
        actor=identity,
        action="provisioner.server.cancelled",
        target=server.id,
        reason=request.reason,
    )
    return job


async def get(session: AsyncSession, server_id: str) -> ServerDetail:
    """Raises NotFound."""
    server = await repository.get(session, server_id)
    if server is None:
        raise NotFound
    conditions = await repository.conditions(session, [server.id])
    addresses = await repository.addresses(session, [server.id])
    return views.detail(server, conditions[server.id], addresses[server.id])


async def page(session: AsyncSession, workspace_id: str, request: PageRequest) -> Page[ServerView]:
    rows = await repository.page(session, workspace_id, request.after_id, request.limit + 1)
    ids = [row.id for row in rows]
    conditions = await repository.conditions(session, ids)
    addresses = await repository.addresses(session, ids)
    return request.page(
        rows, lambda row: views.summary(row, conditions[row.id], addresses[row.id]), lambda row: row.id
    )
