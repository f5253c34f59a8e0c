"""What the API shows, and to whom."""

from __future__ import annotations

from shared.ids import new_id
from tests.dns.caller import PERMISSIONS, Caller, proven
from tests.dns.samples import server
from tests.dns.stage import Stage


async def test_foreign_and_unknown_ids_look_the_same(stage: Stage, owner: Caller, stranger: Caller) -> None:
    zone_id = await proven(stage, owner)
    server_id = (await stage.bus.envelopes())[-1].data.get("server_id") or new_id("srv")
    plan = (await owner.get(f"/zones/{zone_id}/plan")).json()
    for method, path, body in (
        ("GET", "/zones/{}", None),
        ("GET", "/zones/{}/plan", None),
        ("GET", "/zones/{}/records", None),
        ("POST", "/zones/{}/proof", None),
        ("POST", "/zones/{}/plan/apply", {"plan_id": plan["id"]}),
    ):
        foreign = await stranger.call(method, path.format(zone_id), body)
        unknown = await stranger.call(method, path.format(new_id("zon")), body)
        assert foreign.status_code == unknown.status_code == 404
        assert foreign.content == unknown.content
    foreign = await stranger.get(f"/servers/{server_id}/names")
    assert (foreign.status_code, foreign.content) == (
        404,
        (await stranger.get(f"/servers/{new_id('srv')}/names")).content,
    )


async def test_each_route_needs_its_permission(owner: Caller) -> None:
    zone, body = new_id("zon"), {"name": "company.com", "method": "txt"}
    for method, path, sent, needed in (
        ("POST", "/zones", body, "zones.write"),
        ("GET", "/zones", None, "zones.read"),
        ("GET", f"/zones/{zone}", None, "zones.read"),
        ("POST", f"/zones/{zone}/proof", None, "zones.write"),
        ("GET", f"/zones/{zone}/plan", None, "zones.read"),
        ("POST", f"/zones/{zone}/plan/apply", {"plan_id": new_id("pln")}, "zones.write"),
        ("GET", f"/zones/{zone}/records", None, "zones.read"),
        ("GET", f"/servers/{new_id('srv')}/names", None, "servers.read"),
    ):
        others = tuple(item for item in PERMISSIONS if item != needed)
        refused = await owner.call(method, path, sent, permissions=others)
        assert (refused.status_code, refused.json().get("permission")) == (403, needed), path


async def test_a_servers_names_are_shown_with_what_was_seen(stage: Stage, owner: Caller) -> None:
    wanted = server(workspace_id=owner.workspace_id)
    await stage.want(wanted)
    await stage.work(2)
    names = (await owner.get(f"/servers/{wanted.server_id}/names")).json()
    assert (names["hostname"], names["state"], names["forward"], names["reverse"]) == (
        wanted.hostname, "pending", True, False,
    )  # fmt: skip
    tlsa = next(item for item in names["records"] if item["type"] == "TLSA")
    assert tlsa["expected"] == tlsa["observed"]


async def test_records_come_in_pages(stage: Stage, owner: Caller) -> None:
    zone_id = await proven(stage, owner)
    await stage.work(1)
    found: list[tuple[str, str]] = []
    cursor = ""
    while True:
        page = (await owner.get(f"/zones/{zone_id}/records?limit=5{cursor}")).json()
        found += [(item["name"], item["type"]) for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert len(found) == len(set(found)) == 14
    assert (await owner.get(f"/zones/{zone_id}/records?cursor=WyJhIl0")).status_code == 422
