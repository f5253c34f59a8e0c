"""b. The Owner buys a server; the first address the cloud offers is on two blacklists and is held."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from demo.steps import servers
from demo.story import Check, Evidence, Step, Story

BLACKLISTS_HIT = 2


async def collect(story: Story) -> Evidence:
    a = story.a
    offered = (await story.world.call("GET", "/scaleway/ip-pool"))["next"][0]
    async with listed(story, offered) as lists:
        bought = await servers.buy(story, a)
        events = await servers.follow(a.api, a, a.job_id, until_step="check_reputation")
    server = await a.api.get(f"{a.path}/servers/{a.server_id}")
    return {
        "offered_first": offered,
        "listed_on": lists,
        **bought,
        "stream": servers.told(events),
        "addresses": server["addresses"],
        "books": (await story.world.books("scaleway"))["ips"],
    }


@asynccontextmanager
async def listed(story: Story, address: str) -> AsyncIterator[list[str]]:
    """The lists that name the address meanwhile. Afterwards none does: the cloud gives an address that came back to it
    to the next customer, and a third run of the story would be offered three that earlier runs had listed."""
    tier_1 = [one["zone"] for one in await story.world.call("GET", "/dnsbl") if one["tier"] == 1]
    entries = [f"/dnsbl/{zone}/{address}" for zone in tier_1[:BLACKLISTS_HIT]]
    try:
        for entry in entries:
            await story.world.call("PUT", entry)
        yield tier_1[:BLACKLISTS_HIT]
    finally:
        for entry in entries:
            await story.world.call("DELETE", entry)


def judge(evidence: Evidence) -> list[Check]:
    by_address = {address["address"]: address for address in evidence["addresses"]}
    burned = by_address.get(evidence["offered_first"], {})
    refused_by = sorted(listing["blacklist"] for listing in burned.get("listings", []))
    chosen = [
        a for a in evidence["addresses"] if a["family"] == 4 and a["state"] in ("clean", "assigned", "live")
    ]
    held_at_cloud = evidence["offered_first"] in {ip["address"] for ip in evidence["books"]}
    steps = [event["data"]["name"] for event in evidence["stream"] if event["event"] == "step"]
    return [
        Check(
            "no server without payment", evidence["servers_before_payment"] == [], "none before the invoice"
        ),
        Check(
            "the paid invoice activates the subscription",
            evidence["subscription_after"]["status"] == "active",
            evidence["subscription_after"]["status"],
        ),
        Check(
            "the listed address is held",
            burned.get("state") == "burned" and held_at_cloud,
            f"{evidence['offered_first']} is {burned.get('state')}, still ours at the cloud: {held_at_cloud}",
        ),
        Check(
            "the lists that refused it are shown",
            len(refused_by) == len(evidence["listed_on"]) >= 2,
            ", ".join(refused_by),
        ),
        Check(
            "another address was checked clean",
            len(chosen) == 1 and not chosen[0]["listings"],
            chosen[0]["address"] if chosen else "none",
        ),
        Check(
            "named steps streamed live",
            "reserve_addresses" in steps and "check_reputation" in steps,
            " → ".join(dict.fromkeys(steps)),
        ),
    ]


STEP = Step("b", "A paid server; a blacklisted address is rotated", collect, judge)
