"""One world and one installed server per test module that asks for them."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Collection
from pathlib import Path

import pytest
import pytest_asyncio

from services.provisioner.hosts.self_test import CheckResult, SelfTestTarget, run_self_test
from shared.clock import SystemClock
from tests.provisioner.hosts.world import Server, World, world


def _why_not() -> str:
    if os.geteuid() != 0:
        return "needs root"
    missing = [
        name
        for name in ("systemd-nspawn", "pdns_server", "unbound", "pebble", "rbldnsd")
        if shutil.which(name) is None
    ]
    return f"missing: {', '.join(missing)}" if missing else ""


def need_real_hosts() -> None:
    """Skips where there can be none; with CI=true that is a failure."""
    reason = _why_not()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def made_world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    need_real_hosts()
    async with world(tmp_path_factory.mktemp("hosts")) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def server(made_world: World) -> Server:
    """Installed, with its certificate, TLSA published and one domain with two mailboxes."""
    return await ready_server(made_world, 0, "example-a.test")


async def ready_server(made: World, number: int, domain: str) -> Server:
    server = await made.boot(number)
    status = await made.install(server)
    assert status.state == "ok", status
    await made.publish(server)
    await made.add_domain(server, domain, {f"alice@{domain}": "secret-a", f"bob@{domain}": "secret-b"})
    result = await made.ssh.certificates(server.address)
    assert {entry.state for entry in result.certificates} == {"valid"}, result
    server.facts = await made.ssh.facts(server.address)
    return server


def roots(made: World, directory: Path) -> Path:
    file = directory / "roots.pem"
    file.write_text("".join(made.certificate_authorities()))
    return file


async def self_test(
    made: World, server: Server, directory: Path, only: Collection[str] | None = None
) -> dict[str, CheckResult]:
    """The rows by id, from fresh facts. Port 25 outwards is proven at the world's outside mail host."""
    facts = await made.ssh.facts(server.address)
    rows = await run_self_test(
        SelfTestTarget(
            host=server.address,
            hostname=server.hostname,
            ipv4=server.ipv4,
            ipv6=server.ipv6,
            facts=facts,
            port=made.ssh,
            resolvers=(str(made.addresses.resolver),),
            egress_target=(str(made.infrastructure.outside.address_v4), 25),
            clock=SystemClock(),
            report_addresses=server.desired.reports.aliases,
            ca_file=roots(made, directory),
            delivery_seconds=20 if only is None else 4,
        ),
        only,
    )
    assert len({row.id for row in rows}) == len(rows)
    return {row.id: row for row in rows}
