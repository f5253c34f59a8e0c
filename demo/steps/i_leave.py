"""i. B's Owner cancels at once and deletes the workspace; nothing of ours is left, the customer's own stays."""

from __future__ import annotations

import json
from typing import Any

import dns.reversename

from demo.steps import servers
from demo.steps.c_server import ask
from demo.steps.domains import foreign
from demo.story import Check, Evidence, Step, Story
from demo.world import until


async def ours(story: Story, hostname: str, server_id: str, domain: str) -> dict[str, Any]:
    """What the sandbox's books hold of this server."""
    cloud = await story.world.books("scaleway")
    names = await story.world.books("cloudflare")
    tagged = {
        kind: [r["id"] for r in cloud[kind] if f"sc-srv:{server_id}" in r.get("tags", [])]
        for kind in ("servers", "ips", "volumes", "security_groups")
    }
    marked = [
        f"{r['name']} {r['type']}"
        for zone in names["zones"]
        for r in zone["records"]
        if (r.get("comment") or "").startswith("sendchief:")
        and (r["name"].endswith(hostname) or zone["name"] == domain)
    ]
    return {"cloud": tagged, "records": sorted(marked)}


async def collect(story: Story) -> Evidence:
    b = story.b
    server = await b.api.get(f"{b.path}/servers/{b.server_id}")
    cancel = f"{b.path}/servers/{b.server_id}/cancel"
    before = await ours(story, b.hostname, b.server_id, b.domain)
    kept = await foreign(story, b)
    mistyped = await b.api.send("POST", cancel, {"confirm_name": "some other name", "reason": "moving away"})
    cancelled = await b.api.send("POST", cancel, {"confirm_name": b.hostname, "reason": "moving away"})
    job = await servers.wait_job(b.api, b, cancelled.json["job_id"], 180)
    deletion = await b.api.send("DELETE", b.path, {"confirm_name": b.workspace_name})

    async def gone() -> dict[str, Any] | None:
        reply = await b.api.send("GET", b.path)
        return reply.shown if reply.status == 404 else None

    after_workspace = await until("the workspace to be gone", gone, 90)

    async def shredded() -> list[dict[str, Any]] | None:
        argv = ["-m", "services.vault.admin", "keys", "--workspace", b.workspace_id]
        keys: list[dict[str, Any]] = json.loads(await story.operator("vault-worker", argv))["data_keys"]
        return keys if keys and not any(key["has_key_material"] for key in keys) else None

    reverse = [dns.reversename.from_address(server[f]).to_text() for f in ("ipv4", "ipv6")]
    return {
        "before": before,
        "mistyped": mistyped.shown,
        "cancelled": cancelled.shown,
        "job": job,
        "deletion": deletion.shown,
        "workspace_after": after_workspace,
        "after": await ours(story, b.hostname, b.server_id, b.domain),
        "reverse_after": [ask(story.world.endpoints["resolver"], name, "PTR") for name in reverse],
        "foreign_before": kept,
        "foreign_after": await foreign(story, b),
        "data_keys": await until("B's data keys to be shredded", shredded, 30),
        "a_still_ready": (await story.a.api.get(f"{story.a.path}/servers/{story.a.server_id}"))["state"],
    }


def judge(evidence: Evidence) -> list[Check]:
    before, after = evidence["before"], evidence["after"]
    return [
        Check(
            "a mistyped name cancels nothing",
            evidence["mistyped"]["status"] == 422,
            f"{evidence['mistyped']['status']}",
        ),
        Check("the cancellation ended", evidence["job"]["state"] == "ok", evidence["job"]["kind"]),
        Check(
            "instance, volume, addresses and security group are gone",
            all(before["cloud"].values()) and not any(after["cloud"].values()),
            ", ".join(
                f"{kind} {len(ids)}→{len(after['cloud'][kind])}" for kind, ids in before["cloud"].items()
            ),
        ),
        Check(
            "PTR records are gone",
            all(not answer["values"] for answer in evidence["reverse_after"]),
            "v4 and v6",
        ),
        Check(
            "our DNS records are gone",
            bool(before["records"]) and not after["records"],
            f"{len(before['records'])}→{len(after['records'])}",
        ),
        Check(
            "foreign records are still there",
            evidence["foreign_before"] == evidence["foreign_after"] != [],
            ", ".join(f"{r['name']} {r['type']}" for r in evidence["foreign_after"]),
        ),
        Check(
            "the workspace is gone",
            evidence["deletion"]["status"] == 202 and evidence["workspace_after"]["status"] == 404,
            "404 for its own Owner",
        ),
        Check(
            "the data keys are shredded",
            all(k["state"] == "shredded" and not k["has_key_material"] for k in evidence["data_keys"])
            and bool(evidence["data_keys"]),
            f"{len(evidence['data_keys'])} keys without material",
        ),
        Check("A's server is untouched", evidence["a_still_ready"] == "ready", evidence["a_still_ready"]),
    ]


STEP = Step("i", "Leaving: cancelled, deleted, shredded", collect, judge)
