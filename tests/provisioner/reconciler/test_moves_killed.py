"""kill -9 at every gap of a domain's move with its mail: another worker goes on, and no message is lost or doubled."""

from __future__ import annotations

from multiprocessing.process import BaseProcess

from sqlalchemy import select

from services.provisioner.domains import repository as domains
from services.provisioner.models import Domain, Mailbox, Server
from tests.provisioner.reconciler.crashpoints import ALL, HANDING_OVER, HANDING_OVER_STEPS
from tests.provisioner.stage import Stage
from tests.provisioner.workers import Workers

ADDRESS = "anna@coming.test"


async def order(stage: Stage, source_id: str, target_id: str) -> None:
    """As the API does."""
    async with stage.database.transaction() as session:
        source = await session.get_one(Server, source_id, with_for_update=True)
        target = await session.get_one(Server, target_id, with_for_update=True)
        row = await session.get_one(Domain, "dom_coming.test")
        row.move_before = {"dkim": row.dkim, "mta_sts_id": row.mta_sts_id}
        row.server_id, row.moving_from, row.move_phase, row.state = (
            target_id,
            source_id,
            "preparing",
            "moving",
        )
        row.dkim_rsa_selector, row.dkim_ed25519_selector, row.dns_verified = "r2", "e2", False
        row.generation = await domains.next_generation(session, target)
        await domains.next_generation(session, source)


async def moved(stage: Stage) -> bool:
    async with stage.database.transaction() as session:
        row = await session.get_one(Domain, "dom_coming.test")
        boxes = (await session.scalars(select(Mailbox))).all()
    at_home = {box.server_id for box in boxes} == {row.server_id}
    return row.moving_from is None and row.state == "ready" and at_home


async def test_a_move_in_which_workers_die_at_every_gap(workers: Workers) -> None:
    stage, gaps = workers.stage, {*HANDING_OVER, *HANDING_OVER_STEPS}
    source = await stage.paid()
    target = await stage.paid(workspace_id=source.workspace_id)
    for server in (source, target):
        await stage.ready(server.id)
    await stage.wish_for_domains(source.id)
    await stage.play(lambda: stage.domains_as_wished(source.id))
    machines = stage.outside.host.machines
    messages = {f"message {number}": "" for number in range(9)}
    machines[source.id].mail[ADDRESS] = dict(messages)
    stage.outside.host.copied_at_once = 4
    deaths = workers.directory / "deaths"
    deaths.write_text("\n".join(sorted(set(ALL) - gaps)) + "\n")
    await order(stage, source.id, target.id)
    while not await moved(stage):
        worker = workers.start(deaths=str(deaths))

        async def over(worker: BaseProcess = worker) -> bool:
            return worker.exitcode is not None or await moved(stage)

        await workers.until(over)
    workers.end()
    assert gaps <= set(deaths.read_text().splitlines())
    assert machines[target.id].mail[ADDRESS] == messages
    assert machines[source.id].mail == {}
    assert (machines[source.id].lets_in(ADDRESS), machines[target.id].lets_in(ADDRESS)) == (False, True)
