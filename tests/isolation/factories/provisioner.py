"""What the provisioner holds of a customer."""

from __future__ import annotations

import importlib
import secrets
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from shared.ids import new_id
from tests.isolation.factories.customers import NOW, models_of
from tests.isolation.world import Customer, Made, World


async def subscription(world: World, one: Customer) -> Made:
    models = models_of("provisioner")
    row = models.Subscription(
        id=new_id("sub"),
        workspace_id=one.workspace_id,
        plan=_plan(),
        zone="fr-par-1",
        status="active",
        stripe_customer_id="cus_of_nobody",
        created_by=one.account_id,
    )
    await world.add("provisioner", row)
    return Made(row.id)


async def priced_plan(world: World) -> str:
    """A plan that can be bought: the payment provider has its price."""
    plan = _first_plan()
    values = {
        "plan": plan.id,
        "price_id": "price_of_nobody",
        "amount_cents": plan.amount_cents,
        "currency": plan.currency,
        "seen_at": datetime.now(UTC),
    }
    async with world.databases["provisioner"].transaction() as session:
        await session.execute(insert(models_of("provisioner").Price).values(values).on_conflict_do_nothing())
    return str(plan.id)


async def invoice(world: World, one: Customer) -> Made:
    bought = await subscription(world, one)
    row = models_of("provisioner").Invoice(
        id=f"in_{new_id('req')[4:]}",
        workspace_id=one.workspace_id,
        subscription_id=bought.id,
        status="paid",
        amount_due=2900,
        amount_paid=2900,
        currency="eur",
        created_at=datetime.now(UTC),
        look=1,
    )
    await world.add("provisioner", row)
    return Made(row.id)


async def server(world: World, one: Customer) -> Made:
    """Paid for and ready, with the job that provisioned it."""
    models = models_of("provisioner")
    create = importlib.import_module("services.provisioner.servers.service").create
    bought = await subscription(world, one)
    async with world.databases["provisioner"].transaction(workspace_id=one.workspace_id) as session:
        row = await create(session, await session.get_one(models.Subscription, bought.id), "sendchief.test")
        row.ever_ready = True
        job = (await session.scalars(select(models.Job).where(models.Job.server_id == row.id))).first()
        assert job is not None
        session.add(_begun(models, job))
        return Made(row.id, {"hostname": row.hostname, "job_id": job.id})


def _begun(models: Any, job: Any) -> Any:
    """The first line of a job's log."""
    return models.StepLog(
        workspace_id=job.workspace_id,
        server_id=job.server_id,
        subject_id=job.subject_id,
        step="reserve_addresses",
        outcome="started",
        attempt=1,
        generation=job.generation,
        fence=1,
        at=NOW,
        message=f"for {job.server_id}",
    )


async def job(world: World, one: Customer) -> Made:
    return Made((await server(world, one)).extra["job_id"])


async def domain(world: World, one: Customer) -> Made:
    host = await server(world, one)
    row = models_of("provisioner").Domain(
        id=new_id("dom"),
        workspace_id=one.workspace_id,
        server_id=host.id,
        zone_id=new_id("zon"),
        name=f"{secrets.token_hex(4)}.example-a.test",
        state="ready",
        generation=1,
        dkim_rsa_selector="r1",
        dkim_ed25519_selector="e1",
        mta_sts_id="1",
    )
    await world.add("provisioner", row)
    return Made(row.id, {"server_id": host.id, "name": row.name})


async def mailbox(world: World, one: Customer) -> Made:
    of = await domain(world, one)
    local_part = secrets.token_hex(4)
    row = models_of("provisioner").Mailbox(
        id=new_id("mbx"),
        workspace_id=one.workspace_id,
        server_id=of.extra["server_id"],
        domain_id=of.id,
        address=f"{local_part}@{of.extra['name']}",
        local_part=local_part,
        display_name="",
        state="active",
        generation=1,
    )
    await world.add("provisioner", row)
    return Made(row.id)


async def proven_name(world: World, one: Customer) -> str:
    """A zone that the provisioner knows the customer has proven."""
    name = f"{secrets.token_hex(6)}.test"
    row = models_of("provisioner").ProvenZone(
        zone_id=new_id("zon"), workspace_id=one.workspace_id, name=name, proven=True, version=1
    )
    await world.add("provisioner", row)
    return name


def _plan() -> str:
    return str(_first_plan().id)


def _first_plan() -> Any:
    plans = importlib.import_module("services.provisioner.plans")
    settings = importlib.import_module("services.provisioner.settings")
    return plans.Catalogue.load(settings.PLANS_FILE).plans[0]
