"""Buying a server and following it until it is Ready: shared by both customers."""

from __future__ import annotations

import time
from typing import Any

from demo.api import Api, StreamEvent, redact
from demo.story import Evidence, Party, Story
from demo.world import NeverHappened, until

# A generous end for waiting; how fast it has to be is measured and reported, not enforced by giving up.
PROVISION_SECONDS = 420


async def buy(story: Story, party: Party, plan: str = "starter") -> Evidence:
    """Checkout, payment at the Stripe stand-in, and the server that the payment brings."""
    order = {"plan": plan, "zone": party.zone}
    asked = await party.api.expect(201, "POST", f"{party.path}/subscriptions", order)
    subscription_id = asked["id"]
    unpaid = await party.api.get(f"{party.path}/servers")
    session = asked["checkout_url"].rstrip("/").rsplit("/", 1)[-1]
    party.paid_at = time.time()
    paid = await story.world.call("POST", f"/stripe/checkout/{session}/pay")

    async def server() -> dict[str, Any] | None:
        found = await party.api.get(f"{party.path}/servers")
        return next((s for s in found["items"] if s["subscription_id"] == subscription_id), None)

    bought = await until("the paid subscription's server", server, story.patience)
    party.server_id, party.hostname = bought["id"], bought["hostname"]
    party.job_id = await newest_job(party.api, party, "provision")
    return {
        "subscription": redact(asked),
        "servers_before_payment": unpaid["items"],
        "payment": paid,
        "server": bought,
        "subscription_after": await party.api.get(f"{party.path}/subscriptions/{subscription_id}"),
    }


async def newest_job(api: Api, party: Party, kind: str) -> str:
    """The id of the server's newest job of this kind."""

    async def look() -> str | None:
        jobs = await api.get(f"{party.path}/servers/{party.server_id}/jobs")
        return next((str(job["id"]) for job in jobs["items"] if job["kind"] == kind), None)

    return await until(f"a {kind} job of {party.server_id}", look)


async def follow(
    api: Api, party: Party, job_id: str, *, until_step: str | None = None, seconds: float = PROVISION_SECONDS
) -> list[StreamEvent]:
    """Events of the job's stream until it ends, or until the step named is ok: one that ends before it is an error."""
    events: list[StreamEvent] = []
    async for event in api.stream(f"{party.path}/jobs/{job_id}/events", seconds):
        events.append(event)
        if event.event == "job" and event.data["state"] in ("ok", "failed", "stalled"):
            if until_step is not None:
                raise NeverHappened(f"{until_step} of {party.server_id}: {_end(event.data)}")
            return events
        if (
            until_step
            and event.event == "step"
            and (event.data["name"], event.data["state"]) == (until_step, "ok")
        ):
            return events
    last = events[-1].data if events else "nothing"
    raise NeverHappened(
        f"job {job_id} of {party.server_id} did not get on within {seconds:.0f} s; last seen: {last}"
    )


def _end(job: dict[str, Any]) -> str:
    """How a job ended, and what its steps said."""
    said = [
        f"{step['title']}: {step['message']}"
        for step in job["steps"]
        if step["state"] != "ok" and step["message"]
    ]
    return f"the job ended as {job['state']}. " + " ".join(said)


def told(events: list[StreamEvent]) -> list[dict[str, Any]]:
    """Events as evidence."""
    return [{"event": e.event, "id": e.id, "at": e.at, "data": e.data} for e in events]


async def wait_job(api: Api, party: Party, job_id: str, seconds: float = 120) -> dict[str, Any]:
    """The job's final view, polled: for jobs whose stream is of no interest."""

    async def look() -> dict[str, Any] | None:
        job: dict[str, Any] = await api.get(f"{party.path}/jobs/{job_id}")
        return job if job["state"] in ("ok", "failed") else None

    return await until(f"the end of job {job_id}", look, seconds)
