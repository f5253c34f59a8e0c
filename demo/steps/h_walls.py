"""h. What is not allowed: a Member exports nothing, B's server does not exist for A, a partner's key only reads."""

from __future__ import annotations

from demo.api import Api, Reply
from demo.story import Check, Evidence, Step, Story


def bytes_of(reply: Reply) -> dict[str, object]:
    """An answer whole, but for what differs by nature: the moment and the request's own id."""
    varying = {"date", "x-request-id", "traceparent", "ratelimit"}
    return {
        "status": reply.status,
        "body": reply.body.decode(),
        "headers": {k: v for k, v in sorted(reply.headers.items()) if k not in varying},
    }


def never_made(server_id: str) -> str:
    """A well-formed id of a server that nobody has."""
    return server_id[:-12] + "".join("0123456789abcdef"[15 - int(c, 16)] for c in server_id[-12:])


async def collect(story: Story) -> Evidence:
    a, b = story.a, story.b
    assert story.member is not None
    member_export = await story.member.send(
        "POST", f"{a.path}/exports", {"format": "csv", "reason": "curious"}
    )
    member_read = await story.member.send("GET", f"{a.path}/servers")
    foreign = await a.api.send("GET", f"{a.path}/servers/{b.server_id}")
    unknown = await a.api.send("GET", f"{a.path}/servers/{never_made(b.server_id)}")
    foreign_space = await a.api.send("GET", f"{b.path}/servers/{b.server_id}")
    unknown_space = await a.api.send(
        "GET", f"/v1/workspaces/{never_made(b.workspace_id)}/servers/{b.server_id}"
    )
    made = await a.api.send(
        "POST", f"{a.path}/api-keys", {"name": "Partner", "scopes": ["servers:read"], "expires_in_days": 30}
    )
    partner: Api = story.api.as_bearer(made.json["key"])
    return {
        "member_export": member_export.shown,
        "member_read": member_read.status,
        "foreign": bytes_of(foreign),
        "unknown": bytes_of(unknown),
        "foreign_space": bytes_of(foreign_space),
        "unknown_space": bytes_of(unknown_space),
        "key": made.shown,
        "partner_reads": (await partner.send("GET", f"{a.path}/servers/{a.server_id}")).status,
        "partner_cancels": (
            await partner.send(
                "POST",
                f"{a.path}/servers/{a.server_id}/cancel",
                {"confirm_name": a.hostname, "reason": "mischief"},
            )
        ).shown,
        "partner_exports": (
            await partner.send("POST", f"{a.path}/exports", {"format": "csv", "reason": "mischief"})
        ).status,
        "server_after": (await a.api.get(f"{a.path}/servers/{a.server_id}"))["state"],
    }


def judge(evidence: Evidence) -> list[Check]:
    return [
        Check(
            "a Member reads but may not export",
            evidence["member_read"] == 200 and evidence["member_export"]["status"] == 403,
            f"{evidence['member_read']}, {evidence['member_export']['status']}",
        ),
        Check(
            "B's server is, byte for byte, one that does not exist",
            evidence["foreign"] == evidence["unknown"] and evidence["foreign"]["status"] == 404,
            evidence["foreign"]["body"],
        ),
        Check(
            "so is B's workspace",
            evidence["foreign_space"] == evidence["unknown_space"]
            and evidence["foreign_space"]["status"] == 404,
            f"{evidence['foreign_space']['status']}",
        ),
        Check(
            "a partner's key with servers:read reads",
            evidence["partner_reads"] == 200,
            f"{evidence['partner_reads']}",
        ),
        Check(
            "and cannot write",
            evidence["partner_cancels"]["status"] == 403
            and evidence["partner_exports"] == 403
            and evidence["server_after"] == "ready",
            f"cancel {evidence['partner_cancels']['status']}, export {evidence['partner_exports']}",
        ),
    ]


STEP = Step("h", "Walls: Member, foreign workspace, partner key", collect, judge)
