"""A zone is used only by the one workspace that has shown control of it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from shared.contracts.dns_events import ZoneProven
from shared.ids import new_id
from tests.dns.samples import server
from tests.dns.stage import Stage


async def test_a_token_of_the_account_that_the_zone_is_delegated_to_proves_it(stage: Stage) -> None:
    stage.world.zone("company.com", "zone-token")
    workspace = new_id("ws")
    zone_id = await stage.register(workspace, "company.com")
    await stage.work(1)
    zone = await stage.zone(zone_id)
    assert (zone.state, zone.dnssec, zone.provider_zone_id) == ("proven", True, "zone-company.com")
    assert [(item.workspace_id, item.name) for item in await stage.bus.emitted(ZoneProven)] == [
        (workspace, "company.com")
    ]


async def test_a_zone_that_is_only_added_to_an_account_proves_nothing(stage: Stage) -> None:
    """Anybody can add anybody's name to an account; the delegation is what counts."""
    stage.world.zone("company.com", "zone-token", active=False)
    zone_id = await stage.register(new_id("ws"), "company.com")
    await stage.work(2)
    zone = await stage.zone(zone_id)
    assert zone.state == "proving"
    assert "not delegated" in str(zone.detail)
    assert await stage.bus.emitted(ZoneProven) == []


async def test_a_token_for_another_zone_proves_nothing(stage: Stage) -> None:
    stage.world.zone("company.com", "other-token")
    stage.world.zone("elsewhere.com", "zone-token")
    zone_id = await stage.register(new_id("ws"), "company.com")
    await stage.work(1)
    assert "does not reach" in str((await stage.zone(zone_id)).detail)


async def test_a_token_that_the_vault_does_not_hold_proves_nothing(stage: Stage) -> None:
    stage.world.zone("company.com", "zone-token")
    zone_id = await stage.register(new_id("ws"), "company.com")
    stage.world.tokens.clear()
    await stage.work(1)
    assert "token is not there" in str((await stage.zone(zone_id)).detail)


async def test_a_challenge_at_all_name_servers_proves_it(stage: Stage) -> None:
    hosted = stage.world.zone("company.com", "unknown-to-us")
    workspace = new_id("ws")
    zone_id = await stage.register(workspace, "company.com", method="txt")
    await stage.work(1)
    assert (await stage.zone(zone_id)).state == "proving"
    stage.world.add(hosted, "_sendchief-challenge.company.com", "TXT", f"challenge-{workspace}")
    stage.world.lagging = {"ns1.provider.net"}
    await stage.work(10)
    assert (await stage.zone(zone_id)).state == "proving"
    stage.world.lagging = set()
    await stage.work(10)
    assert (await stage.zone(zone_id)).state == "proven"


async def test_the_challenge_of_another_workspace_proves_nothing(stage: Stage) -> None:
    hosted = stage.world.zone("company.com", "unknown-to-us")
    first, second = new_id("ws"), new_id("ws")
    stage.world.add(hosted, "_sendchief-challenge.company.com", "TXT", f"challenge-{first}")
    zone_id = await stage.register(second, "company.com", method="txt")
    await stage.work(10)
    assert (await stage.zone(zone_id)).state == "proving"


async def test_a_name_without_name_servers_is_no_zone(stage: Stage) -> None:
    zone_id = await stage.register(new_id("ws"), "company.com", method="txt")
    await stage.work(1)
    assert "no name servers" in str((await stage.zone(zone_id)).detail)


async def test_two_workspaces_that_prove_one_name_at_once_do_not_both_get_it(stage: Stage) -> None:
    stage.world.zone("company.com", "zone-token")
    ids = [await stage.register(new_id("ws"), "company.com") for _ in range(2)]
    await asyncio.gather(*(stage.resources.zones.drain() for _ in range(2)))
    states = {(await stage.zone(zone_id)).state for zone_id in ids}
    assert states == {"proven", "proving"}
    assert len(await stage.bus.emitted(ZoneProven)) == 1
    details = {(await stage.zone(zone_id)).detail for zone_id in ids}
    assert "This zone is in use in another workspace." in details


async def test_a_proof_that_never_comes_fails_and_may_be_asked_for_again(stage: Stage) -> None:
    workspace = new_id("ws")
    zone_id = await stage.register(workspace, "company.com", method="txt")
    stage.clock.advance(timedelta(days=8))
    await stage.work(1)
    assert (await stage.zone(zone_id)).state == "failed"
    hosted = stage.world.zone("company.com", "unknown-to-us")
    stage.world.add(hosted, "_sendchief-challenge.company.com", "TXT", f"challenge-{workspace}")
    async with stage.database.transaction() as session:
        from services.dns.zones import repository

        await repository.wake(session, zone_id, stage.clock.now())
    await stage.work(1)
    assert (await stage.zone(zone_id)).state == "proven"


async def test_an_unsigned_zone_is_proven_and_says_so(stage: Stage) -> None:
    stage.world.zone("company.com", "zone-token", signed=False)
    zone_id = await stage.register(new_id("ws"), "company.com")
    await stage.work(2)
    assert (await stage.zone(zone_id)).dnssec is False


async def test_a_name_set_hears_of_a_zone_that_was_proven_later(stage: Stage) -> None:
    from tests.dns.samples import domain

    wanted = server(domains=(domain("company.com"),))
    await stage.want(wanted)
    await stage.work(2)
    last = await stage.last(wanted.server_id)
    assert {item.state for item in last.records if item.name.endswith("company.com")} == {"missing"}
    stage.world.zone("company.com", "zone-token")
    zone_id = await stage.register(wanted.workspace_id, "company.com")
    await stage.work(3)
    assert len((await stage.ready_plan(zone_id)).content["creates"]) == 14
