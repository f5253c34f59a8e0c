"""The worker against the sandbox's Cloudflare over HTTPS, a real signed DNS tree and a real validating resolver."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import select

from sandbox.cloudflare.customers import NewZone
from sandbox.faults import Fault
from sandbox.infrastructure import Infrastructure
from services.dns.bindings import BINDINGS
from services.dns.dns_observer import DnsObserver
from services.dns.models import RecordPlan, Zone
from services.dns.providers.cloudflare import Cloudflare
from services.dns.settings import WorkerSettings
from services.dns.wiring import Resources, assemble
from shared.bus.testing import RecordingBus
from shared.clock import SystemClock
from shared.contracts.dns_events import NamesetVerified
from shared.contracts.provisioner_events import ServerDnsDesired
from shared.db.database import Database
from shared.http.client import vendor_client
from shared.ids import new_id
from shared.special_use import REFUSED_NETWORKS, SPECIAL_USE_NAMES, parse_networks, without
from tests.dns.doubles import MemoryVault, World
from tests.dns.samples import digest, domain, server
from tests.fixtures.database import ServiceDatabase, ServiceDatabases
from tests.fixtures.identity import Trust
from tests.sandbox.cloudflare.conftest import PLATFORM_TOKEN, Cloud, cloud
from tests.sandbox.conftest import https, world

__all__ = ["cloud", "https", "world"]
pytestmark = pytest.mark.asyncio(loop_scope="module")

PLATFORM = "platform.test"


@dataclass
class Scene:
    """A worker in the sandbox's world."""

    cloud: Cloud
    world: Infrastructure
    database: Database
    resources: Resources
    bus: RecordingBus
    vault: World

    async def until(self, reached: Callable[[], Awaitable[Any]], seconds: float = 15) -> Any:
        """Runs the worker's loops until `reached` gives something true; fails with the last events otherwise."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            await self.resources.zones.drain()
            await self.resources.namesets.drain()
            if found := await reached():
                return found
            await asyncio.sleep(0.05)
        raise AssertionError((await self.bus.emitted(NamesetVerified))[-1:])

    async def want(self, event: ServerDnsDesired) -> None:
        await self.bus.deliver(event, subject=event.server_id, aggregate_version=event.generation)

    async def last(self, server_id: str) -> NamesetVerified | None:
        events = [item for item in await self.bus.emitted(NamesetVerified) if item.server_id == server_id]
        return events[-1] if events else None

    async def forward(self, wanted: ServerDnsDesired) -> NamesetVerified:
        async def there() -> NamesetVerified | None:
            last = await self.last(wanted.server_id)
            return last if last and last.forward and last.generation == wanted.generation else None

        found: NamesetVerified = await self.until(there)
        return found

    def host(self, offset: int, **fields: Any) -> ServerDnsDesired:
        addresses = self.world.addresses
        name = f"s{new_id('srv')[-8:]}.mx.{PLATFORM}"
        values = {
            "ipv4": str(addresses.v4_of(offset)),
            "ipv6": str(addresses.v6_of(offset)),
            "hostname": name,
        }
        return server(**{**values, **fields})

    def platform_records(self, hostname: str) -> list[dict[str, Any]]:
        zone = self.cloud.platform_zone_id
        return [item for item in self.cloud.books.records(zone) if item["name"].endswith(hostname)]

    async def register(self, workspace_id: str, name: str, token: str) -> str:
        token_id, now = new_id("ptk"), SystemClock().now()
        self.vault.tokens[workspace_id, token_id] = token
        row = Zone(
            id=new_id("zon"), workspace_id=workspace_id, name=name, method="token", challenge="x",
            provider_token_id=token_id, state="proving", name_servers=[], created_at=now, due_at=now,
        )  # fmt: skip
        async with self.database.transaction() as session:
            session.add(row)
        return row.id

    async def ready_plan(self, zone_id: str, creates: int) -> RecordPlan:
        async def there() -> RecordPlan | None:
            async with self.database.transaction() as session:
                query = select(RecordPlan).where(RecordPlan.zone_id == zone_id, RecordPlan.state == "ready")
                row: RecordPlan | None = await session.scalar(query)
            return row if row and len(row.content["creates"]) == creates else None

        found: RecordPlan = await self.until(there)
        return found

    async def approve(self, plan: RecordPlan, accept: list[str]) -> None:
        async with self.database.transaction() as session:
            row, zone = await session.get_one(RecordPlan, plan.id), await session.get_one(Zone, plan.zone_id)
            row.state, row.approved_by, row.accepted = "approved", "usr_1", accept
            zone.due_at = SystemClock().now()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(
    cloud: Cloud, world: Infrastructure, service_database: ServiceDatabases, trust: Trust
) -> AsyncIterator[Scene]:
    made: ServiceDatabase = service_database("dns")
    own = world.addresses
    networks = without(without(REFUSED_NETWORKS, str(own.v4)), str(own.v6))
    settings = trust.settings(
        WorkerSettings, "dns", "worker", made, platform_zone=PLATFORM, platform_zone_token=PLATFORM_TOKEN,
        special_use_names=tuple(name for name in SPECIAL_USE_NAMES if name != "test"), refused_networks=networks,
    )  # fmt: skip
    database, vault = Database(made.worker_url), World()
    observer = DnsObserver([str(world.resolver.address_v4)], parse_networks(networks))
    provider = Cloudflare(vendor_client(cloud.base_url, Path(cloud.ca_file)))
    resources = assemble(settings, database, observer, provider, MemoryVault(vault), SystemClock())
    yield Scene(cloud, world, database, resources, RecordingBus(database, BINDINGS, resources), vault)
    await provider.aclose()
    await database.dispose()


async def test_a_host_is_verified_forward_and_reverse_with_dnssec(scene: Scene) -> None:
    wanted = scene.host(20)
    began = time.monotonic()
    await scene.want(wanted)
    last = await scene.forward(wanted)
    assert time.monotonic() - began < 5
    assert not last.reverse
    assert all(item.dnssec for item in last.records if item.type != "PTR")
    await scene.world.set_ptr(ip_address(str(wanted.ipv4)), wanted.hostname)
    await scene.world.set_ptr(ip_address(str(wanted.ipv6)), wanted.hostname)

    async def reverse() -> bool:
        found = await scene.last(wanted.server_id)
        return found is not None and found.reverse and found.forward

    await scene.until(reverse)


async def test_nothing_is_written_when_nothing_differs(scene: Scene) -> None:
    wanted = scene.host(21)
    await scene.want(wanted)
    await scene.forward(wanted)
    before = {item["id"]: item["modified_on"] for item in scene.platform_records(wanted.hostname)}
    again = wanted.model_copy(update={"generation": 2})
    await scene.want(again)
    await scene.forward(again)
    assert {item["id"]: item["modified_on"] for item in scene.platform_records(wanted.hostname)} == before
    assert len(before) == 7


async def test_a_lost_answer_a_failing_edge_and_a_rate_limit_are_survived(scene: Scene) -> None:
    scene.cloud.faults.arm("cloudflare", "dns_records.batch", Fault("error_after_commit", status=504))
    scene.cloud.faults.arm("cloudflare", "dns_records.list", Fault("error_before", status=502, count=2))
    scene.cloud.faults.arm("cloudflare", "dns_records.list", Fault("rate_limit", seconds=1))
    wanted = scene.host(22)
    await scene.want(wanted)
    await scene.forward(wanted)
    assert len(scene.platform_records(wanted.hostname)) == 7


async def test_a_wrong_key_at_the_name_servers_is_seen_until_it_is_repaired(scene: Scene) -> None:
    wanted = scene.host(23)
    await scene.want(wanted)
    await scene.forward(wanted)
    name = f"_25._tcp.{wanted.hostname}"
    await scene.world.tree.set_records(f"{name}.", "TLSA", [f"3 1 1 {digest('evil')}"])
    changed = wanted.model_copy(update={"generation": 2})
    await scene.want(changed)

    async def wrong() -> bool:
        last = await scene.last(wanted.server_id)
        return last is not None and {item.state for item in last.records if item.type == "TLSA"} == {"wrong"}

    await scene.until(wrong)
    await scene.cloud.publisher.restore(name, "TLSA")
    await scene.forward(changed)


async def test_a_customers_zone_from_proof_to_withdrawal(scene: Scene) -> None:
    foreign: list[dict[str, Any]] = [
        {"name": "www", "type": "A", "content": str(scene.world.addresses.v4_of(8)), "proxied": True},
        {"name": "@", "type": "TXT", "content": "google-site-verification=unquoted"},
        {"name": "@", "type": "TXT", "content": '"v=spf1 include:_spf.elsewhere.test " "~all"'},
    ]
    made = await scene.cloud.customers.create(_new_zone("company-a.test", foreign))
    before = sorted(item["content"] for item in scene.cloud.books.records(made["zone_id"]))
    wanted = scene.host(24, domains=(domain("company-a.test"),))
    zone_id = await scene.register(wanted.workspace_id, "company-a.test", made["token"])
    await scene.want(wanted)
    plan = await scene.ready_plan(zone_id, creates=13)
    assert [item["id"] for item in plan.content["conflicts"]] == ["spf_merge:company-a.test"]
    scene.cloud.faults.arm("cloudflare", "dns_records.batch", Fault("error_after_commit", status=504))
    await scene.approve(plan, ["spf_merge:company-a.test"])

    async def verified() -> bool:
        last = await scene.last(wanted.server_id)
        return last is not None and last.forward and [item.verified for item in last.domains] == [True]

    async def applied() -> bool:
        async with scene.database.transaction() as session:
            return (await session.get_one(RecordPlan, plan.id)).state == "applied"

    await scene.until(verified)
    await scene.until(applied)
    async with scene.database.transaction() as session:
        assert (await session.get_one(Zone, zone_id)).dnssec is True
    await scene.ready_plan(zone_id, creates=0)
    gone = wanted.model_copy(update={"generation": 2, "withdrawn": True})
    await scene.want(gone)
    last = await scene.forward(gone)
    assert last.withdrawn
    after = sorted(item["content"] for item in scene.cloud.books.records(made["zone_id"]))
    assert [text.replace('" "', "") for text in after] == [text.replace('" "', "") for text in before]
    assert scene.platform_records(wanted.hostname) == []


async def test_an_unsigned_zone_works_and_says_that_it_is_unsigned(scene: Scene) -> None:
    made = await scene.cloud.customers.create(_new_zone("company-b.test", [], secure=False))
    wanted = scene.host(25, domains=(domain("company-b.test"),))
    zone_id = await scene.register(wanted.workspace_id, "company-b.test", made["token"])
    await scene.want(wanted)
    await scene.approve(await scene.ready_plan(zone_id, creates=14), [])

    async def verified() -> bool:
        last = await scene.last(wanted.server_id)
        return last is not None and [item.verified for item in last.domains] == [True]

    await scene.until(verified)
    last = await scene.last(wanted.server_id)
    assert last is not None
    assert {item.dnssec for item in last.records if item.name.endswith("company-b.test")} == {False}
    async with scene.database.transaction() as session:
        assert (await session.get_one(Zone, zone_id)).dnssec is False


async def test_a_zone_of_somebody_elses_account_is_not_proven(scene: Scene) -> None:
    await scene.cloud.customers.create(_new_zone("company-c.test", []))
    stranger = await scene.cloud.customers.create(_new_zone("company-d.test", []))
    zone_id = await scene.register(new_id("ws"), "company-c.test", stranger["token"])

    async def refused() -> str | None:
        async with scene.database.transaction() as session:
            return (await session.get_one(Zone, zone_id)).detail

    assert "does not reach" in str(await scene.until(refused))


async def test_no_name_server_in_a_refused_network_is_asked(scene: Scene) -> None:
    observer = DnsObserver([str(scene.world.resolver.address_v4)], parse_networks(REFUSED_NETWORKS))
    sighting = await observer.look(PLATFORM, PLATFORM, "NS", lambda _: True)
    assert sighting.problem == f"No name server of {PLATFORM} can be asked."
    assert sighting.answers == ()


def _new_zone(name: str, records: list[dict[str, Any]], *, secure: bool = True) -> NewZone:
    return NewZone(name=name, records=records, secure=secure)
