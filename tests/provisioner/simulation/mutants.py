"""What others got wrong, planted into our own code: the walk has to find each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from services.provisioner.hosts.desired import HostDesired
from services.provisioner.models import CloudResource, Condition, Domain
from services.provisioner.ports import CloudError, CloudInstance, CloudNotFound
from services.provisioner.reconciler import creation, tags
from services.provisioner.reconciler.failures import outcome_of
from services.provisioner.reconciler.lease import Lease
from services.provisioner.reconciler.outcomes import Done, Outcome, Wait
from services.provisioner.reconciler.work import Work
from services.provisioner.steps import apply_host, delete_instance, tombstone
from services.provisioner.steps.apply_host import ApplyHost
from services.provisioner.steps.boot import Boot
from services.provisioner.steps.desired import host_desired
from services.provisioner.steps.observe import Observe
from services.provisioner.steps.remove_domains import RemoveDomains
from shared.crashpoint import crashpoint
from shared.ids import new_id
from tests.provisioner.simulation.memory import MemoryHeld, MemoryStore

Patch = pytest.MonkeyPatch


def list_by_tag_then_create(patch: Patch) -> None:
    """What most code does: what is not in the list was not made. No quiet window."""
    observe = creation._observe

    async def at_once(work: Work, recipe: Any, row: CloudResource) -> Outcome | None:
        outcome = await observe(work, recipe, row)
        return None if isinstance(outcome, Wait) and outcome.reason == "UnknownOutcome" else outcome

    patch.setattr(creation, "_observe", at_once)


def id_stored_only_after_the_call(patch: Patch) -> None:
    """No intent: a worker that dies, or gets no answer, leaves no trace of what it has asked for."""

    async def make(work: Work, recipe: creation.Recipe[Any]) -> Outcome:
        row = CloudResource(
            id=new_id("res"), workspace_id=work.server.workspace_id, server_id=work.server.id, kind=recipe.kind,
            slot=recipe.slot, zone=work.server.zone, attempt=1, request=recipe.request, state="planned",
            intent_at=work.now(), details={},
        )  # fmt: skip
        await work.need_lease(work.settings.scaleway_timeout)
        try:
            made = await recipe.call(recipe.request, tags.of(work.settings.environment, row))
        except CloudError as error:
            return outcome_of(error)
        crashpoint(f"{recipe.kind}.after_post")
        async with work.write() as write:
            write.session.add(row)
            row.state, row.bound_at = "bound", write.now
            row.external_id, row.details = recipe.identify(made)[0], recipe.details(made)
            if recipe.on_bound is not None:
                await recipe.on_bound(write, row, made)
        return Wait(0, "Made")

    for module in ("create_instance", "reserve_addresses", "security_group"):
        patch.setattr(f"services.provisioner.steps.{module}.make", make)


def no_fence(patch: Patch) -> None:
    """Who once had a lease may write for ever."""

    @asynccontextmanager
    async def hold(self: MemoryStore, lease: Lease) -> AsyncIterator[MemoryHeld]:
        held = MemoryHeld(self, lease)
        yield held
        held.commit()

    patch.setattr(MemoryStore, "hold", hold)


def a_404_is_believed(patch: Patch) -> None:
    """A server that the cloud does not show is made anew, mail or no mail."""
    run = Observe.run

    async def anew(self: Observe, work: Work) -> Outcome:
        row = work.bound("instance")
        try:
            await work.ports.cloud.get_instance(work.server.zone, str(row.external_id))
        except CloudNotFound:
            await creation.forget(work, row)
            async with work.write() as write:
                for name in ("InstanceCreated", "InstanceBound", "Running"):
                    (await write.session.get_one(Condition, (work.server.id, name))).status = "unknown"
            return Wait(0, "MadeAnew")
        return await run(self, work)

    patch.setattr(Observe, "run", anew)


def a_server_is_buried_at_once(patch: Patch) -> None:
    """An unanswered create may still come to pass, and then belongs to nobody."""
    for module in (tombstone, delete_instance):
        patch.setattr(module, "window_left", lambda work: 0.0)


def a_restart_is_not_remembered(patch: Patch) -> None:
    """Stopped and started, and nobody wrote down for which order."""

    async def stop(self: Boot, work: Work, instance: CloudInstance) -> Outcome:
        cloud = work.ports.cloud
        if instance.state == "running":
            await cloud.stop_in_place(work.server.zone, instance.id)
        elif instance.state == "stopped":
            await cloud.power_on(work.server.zone, instance.id)
        return Wait(0.5, "Restarting")

    patch.setattr(Boot, "_stop", stop)


def who_owes_is_served_as_ever(patch: Patch) -> None:
    """The ladder is climbed in the books alone."""

    def full(work: Work) -> HostDesired:
        return host_desired(work).model_copy(update={"mail_service": "full"})

    patch.setattr(apply_host, "host_desired", full)


def a_domain_is_removed_in_the_books_alone(patch: Patch) -> None:
    """The host goes on serving it."""
    patch.setattr(RemoveDomains, "needs", ())
    patch.setattr(RemoveDomains, "satisfied", lambda self, work: True)

    async def leave(self: ApplyHost, work: Work) -> Outcome:
        async with work.write() as write:
            for row in work.known.domains:
                if row.state == "removing":
                    await write.session.delete(await write.session.get_one(Domain, row.id))
        if any(row.state == "removing" for row in work.known.domains):
            return Done("as if it had been applied")
        return await run(self, work)

    run = ApplyHost.run
    patch.setattr(ApplyHost, "run", leave)


ALL: Sequence[Callable[[Patch], None]] = (
    list_by_tag_then_create,
    id_stored_only_after_the_call,
    no_fence,
    a_404_is_believed,
    a_server_is_buried_at_once,
    a_restart_is_not_remembered,
    who_owes_is_served_as_ever,
    a_domain_is_removed_in_the_books_alone,
)
