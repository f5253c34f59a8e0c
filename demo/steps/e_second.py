"""e. A second, unrelated workspace B does the same in another country."""

from __future__ import annotations

from demo.steps import servers
from demo.steps.c_server import ready, ready_checks
from demo.steps.d_domain import settle, settled_checks
from demo.steps.people import sign_up
from demo.story import Check, Evidence, Step, Story


async def collect(story: Story) -> Evidence:
    b = story.b
    b.owner, account = await sign_up(story, "Bob Owner", b.email, b.password)
    made = await b.api.send("POST", "/v1/workspaces", {"name": b.workspace_name})
    b.workspace_id = made.json["id"]
    bought = await servers.buy(story, b)
    server = await ready(story, b)
    return {
        "account": account,
        "workspace": made.shown,
        "bought": bought,
        "ready": server,
        "domain": await settle(story, b),
    }


def judge(evidence: Evidence) -> list[Check]:
    zone = evidence["ready"]["server"]["zone"]
    return [
        Check("B's server is in the Netherlands", zone == "nl-ams-1", zone),
        *ready_checks(evidence["ready"]),
        *settled_checks(evidence["domain"]),
    ]


STEP = Step("e", "Workspace B: the same in nl-ams-1", collect, judge)
