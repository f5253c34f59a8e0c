"""Part two: what a fleet costs to which nothing happens.

One server is built as in part one, then copied row by row, at the cloud too. Looks at the copies fall due evenly over
the recheck interval, as they do in a fleet that grew over months.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace

from sqlalchemy import select

from bench.provisioner.building import build, waiting
from bench.provisioner.stage import Bench
from services.provisioner.models import Server
from services.provisioner.steps import names
from shared.contracts.provisioner_events import ServerDnsDesired
from tests.provisioner.outside.cloud import Thing

# Ids keep their form: the last eight digits are the copy's number.
_COPIES = """
begin;
create function copied(id text, n bigint) returns text language sql immutable
as $$ select left(id, -8) || lpad(to_hex(n), 8, '0') $$;
insert into subscription select (jsonb_populate_record(s, jsonb_build_object('id', copied(s.id, n),
  'stripe_subscription_id', copied(s.stripe_subscription_id, n)))).*
  from subscription s, generate_series(1, {copies}) n;
insert into server select (jsonb_populate_record(s, jsonb_build_object('id', copied(s.id, n),
  'subscription_id', copied(s.subscription_id, n), 'label', s.label || n, 'hostname', n || s.hostname,
  'facts', s.facts || jsonb_build_object('server_id', copied(s.id, n), 'hostname', n || s.hostname),
  'next_at', now() + random() * interval '{every} seconds'))).*
  from server s, generate_series(1, {copies}) n;
insert into cloud_resource select (jsonb_populate_record(r, jsonb_build_object('id', copied(r.id, n),
  'server_id', copied(r.server_id, n), 'external_id', r.external_id || '-' || n, 'request',
  case r.kind when 'instance' then jsonb_set(r.request, '{{ip_ids}}', (select jsonb_agg(ip || '-' || n)
    from jsonb_array_elements_text(r.request->'ip_ids') ip)) else r.request end))).*
  from cloud_resource r, generate_series(1, {copies}) n;
insert into address select (jsonb_populate_record(a, jsonb_build_object('id', copied(a.id, n),
  'server_id', copied(a.server_id, n), 'resource_id', copied(a.resource_id, n)))).*
  from address a, generate_series(1, {copies}) n;
insert into condition select (jsonb_populate_record(c, jsonb_build_object('server_id', s.id,
  'due_at', case when c.due_at is not null then s.next_at end))).*
  from condition c, generate_series(1, {copies}) n join server s on true where s.id = copied(c.server_id, n);
update server set names_digest = digest from (values {digests}) copy (id, digest) where server.id = copy.id;
commit;
analyze;
"""


@dataclass(frozen=True)
class Idle:
    servers: int
    seconds: float
    passes: float
    statements: int
    cpu_seconds: float
    commonest: list[str]

    @property
    def queries_a_second(self) -> float:
        return self.statements / self.seconds

    @property
    def cores(self) -> float:
        return self.cpu_seconds / self.seconds


def copied(name: str, number: int) -> str:
    return f"{name[:-8]}{number:08x}"


async def idle(one: Bench, servers: int, seconds: float) -> Idle:
    """What `servers` servers cost one worker in `seconds` seconds."""
    await build(one, 1)
    if servers > 1:
        await _copy(one, servers - 1)
    await asyncio.sleep(5)  # connections, plans and caches
    one.forget_statements()
    cpu, passes = one.workers.cpu_seconds(), await one.workers.counted("sc_reconcile_passes_total")
    began = time.perf_counter()
    await asyncio.sleep(seconds)
    took = time.perf_counter() - began
    await _all_well(one)
    return Idle(
        servers=servers,
        seconds=took,
        passes=await one.workers.counted("sc_reconcile_passes_total") - passes,
        statements=one.statements(),
        cpu_seconds=one.workers.cpu_seconds() - cpu,
        commonest=one.commonest(),
    )


async def _all_well(one: Bench) -> None:
    """Raises RuntimeError when a server is not as it should be: the fleet was not idle then."""
    found = await waiting(one)
    if found:
        log = (one.workers.directory / "worker0.log").read_text()[:4000]
        raise RuntimeError(f"the fleet was not idle: {'; '.join(found)}\n{log}")


async def _copy(one: Bench, copies: int) -> None:
    async with one.stage.database.transaction() as session:
        server = (await session.scalars(select(Server))).one()
    _copy_outside(one, server, copies)
    published = (await one.stage.others.bus.emitted(ServerDnsDesired))[-1]
    digests = ", ".join(_digest(published, server, number) for number in range(1, copies + 1))
    statements = _COPIES.format(copies=copies, every=one.stage.settings.recheck_seconds, digests=digests)
    one.database.postgres.psql(statements, one.database.name)


def _digest(published: ServerDnsDesired, server: Server, number: int) -> str:
    """The SQL row that says of a copy that its names are published."""
    server_id = copied(server.id, number)
    document = published.model_dump(exclude={"generation"})
    digest = names.digest({**document, "server_id": server_id, "hostname": f"{number}{server.hostname}"})
    return f"('{server_id}', '{digest}')"


def _copy_outside(one: Bench, server: Server, copies: int) -> None:
    cloud, hosts = one.stage.outside.cloud, one.stage.outside.host
    machine = hosts.machines[server.id]
    assert machine.desired is not None
    things = list(cloud.things.values())
    for number in range(1, copies + 1):
        for thing in things:
            copy = _copy_thing(thing, number)
            cloud.things[copy.id] = copy
        name, server_id = f"{number}{server.hostname}", copied(server.id, number)
        desired = machine.desired.model_copy(update={"hostname": name, "server_id": server_id})
        hosts.machines[server_id] = replace(machine, instance=f"{machine.instance}-{number}", desired=desired)


def _copy_thing(thing: Thing, number: int) -> Thing:
    def same(key: str, value: object) -> object:
        if key == "security_group_id":
            return f"{value}-{number}"
        return tuple(f"{one}-{number}" for one in value) if key in ("ip_ids", "volume_ids") else value  # type: ignore[attr-defined]

    return replace(
        thing,
        id=f"{thing.id}-{number}",
        tags=tuple(
            copied(tag, number) if tag.startswith(("sc-srv:", "sc-res:")) else tag for tag in thing.tags
        ),
        data={key: same(key, value) for key, value in thing.data.items()},
    )
