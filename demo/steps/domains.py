"""Proving a domain, planning and applying its records, and making mailboxes: shared by both customers."""

from __future__ import annotations

from typing import Any

from demo.mail import Mailbox
from demo.steps import servers
from demo.steps.c_server import ask
from demo.story import Evidence, Party, Story
from demo.world import until

FOREIGN = [
    {"type": "TXT", "name": "@", "content": '"shop-verification=4711"'},
    {"type": "A", "name": "www", "content": "198.51.100.1"},
]


async def prove(story: Story, party: Party) -> Evidence:
    """The customer has the zone at Cloudflare with records of their own, and gives us a zone token."""
    zone = await story.world.call("POST", "/cloudflare/zones", {"name": party.domain, "records": FOREIGN})
    stored = await party.api.send(
        "POST",
        f"{party.path}/provider-tokens",
        {"provider": "cloudflare", "token": zone["token"], "label": party.domain},
    )
    asked = await party.api.send(
        "POST",
        f"{party.path}/zones",
        {"name": party.domain, "method": "token", "provider_token_id": stored.json["id"]},
    )
    party.zone_id = asked.json["id"]

    async def proven() -> dict[str, Any] | None:
        seen: dict[str, Any] = await party.api.get(f"{party.path}/zones/{party.zone_id}")
        return seen if seen["state"] == "proven" else None

    return {
        "cloudflare_zone": zone["zone_id"],
        "foreign_before": await foreign(story, party),
        "token": stored.shown,
        "zone": asked.shown,
        "proven": await until(f"the proof of control of {party.domain}", proven, 30),
    }


async def foreign(story: Story, party: Party) -> list[dict[str, Any]]:
    """The customer's own records as the stand-in's books have them: those without our mark."""
    books = await story.world.books("cloudflare")
    zone = next(z for z in books["zones"] if z["name"] == party.domain)
    return sorted(
        (
            {"type": r["type"], "name": r["name"], "content": r["content"]}
            for r in zone["records"]
            if not (r.get("comment") or "").startswith("sendchief:")
        ),
        key=str,
    )


async def publish(story: Story, party: Party) -> Evidence:
    """Adds the domain to the server, shows the plan, applies it, waits for its verification."""

    async def accepted() -> dict[str, Any] | None:
        reply = await party.api.send(
            "POST", f"{party.path}/domains", {"server_id": party.server_id, "name": party.domain}
        )
        return reply.json if reply.status == 202 else None

    # The proof reaches the provisioner as an event, a moment after dns has answered.
    added = await until(f"the domain {party.domain} to be accepted", accepted, 15)
    party.domain_id = added["id"]

    async def planned() -> dict[str, Any] | None:
        plan: dict[str, Any] = await party.api.get(f"{party.path}/zones/{party.zone_id}/plan")
        return plan if plan.get("state", "ready") == "ready" and plan["creates"] else None

    plan = await until(f"the DNS plan of {party.domain}", planned, 60)
    applied = await party.api.send(
        "POST", f"{party.path}/zones/{party.zone_id}/plan/apply", {"plan_id": plan["id"]}
    )
    job = await servers.wait_job(party.api, party, added["job_id"], 120)
    return {
        "plan": plan,
        "applied": applied.shown,
        "job": job,
        "domain": await party.api.get(f"{party.path}/domains/{party.domain_id}"),
        "records": await party.api.items(f"{party.path}/zones/{party.zone_id}/records"),
        "live": live(story, party),
        "foreign_after": await foreign(story, party),
    }


def live(story: Story, party: Party) -> list[dict[str, Any]]:
    """The domain's records as the resolver sees them."""
    d = party.domain
    wanted = [
        (d, "MX"),
        (d, "TXT"),
        (f"_dmarc.{d}", "TXT"),
        (f"_mta-sts.{d}", "TXT"),
        (f"_smtp._tls.{d}", "TXT"),
        (f"_submissions._tcp.{d}", "SRV"),
        (f"_imaps._tcp.{d}", "SRV"),
        (f"autoconfig.{d}", "CNAME"),
        (f"www.{d}", "A"),
    ]
    return [ask(story.world.endpoints["resolver"], name, kind) for name, kind in wanted]


async def mailboxes(party: Party, local_parts: tuple[str, ...]) -> Evidence:
    """Makes mailboxes and waits until the host accepts their passwords, which the vault made."""
    made = []
    for local_part in local_parts:
        reply = await party.api.expect(
            202,
            "POST",
            f"{party.path}/domains/{party.domain_id}/mailboxes",
            {"local_part": local_part, "display_name": local_part.capitalize()},
        )
        made.append(reply)
        party.mailboxes[reply["address"]] = reply["id"]
    jobs = [await servers.wait_job(party.api, party, reply["job_id"], 60) for reply in made]
    views = [await party.api.get(f"{party.path}/mailboxes/{reply['id']}") for reply in made]
    return {"made": made, "jobs": jobs, "mailboxes": views}


async def open_mailboxes(party: Party) -> None:
    """Reveals the passwords, so that the story's mail clients can sign in."""
    for address, mailbox_id in party.mailboxes.items():
        revealed = await party.api.expect(
            200,
            "POST",
            f"{party.path}/mailboxes/{mailbox_id}/reveal",
            {"reason": "setting up my mail client"},
        )
        party.opened[address] = Mailbox(address, revealed["password"], party.hostname)
