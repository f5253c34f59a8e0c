"""Jobs, read once and live."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from services.provisioner.jobs import service
from services.provisioner.reconciler.outcomes import WAIT_OR_REFUND
from shared.ids import new_id
from shared.jobs import JobView
from tests.provisioner.api import Api

STEPS = [
    "choose_place", "reserve_addresses", "check_reputation", "security_group", "create_instance",
    "user_data", "bind", "power_on", "publish_addresses", "ssh_trust", "forget_user_data", "install",
    "publish_names", "reverse_names", "certificates", "webmail_key", "self_test", "observe", "ready",
]  # fmt: skip


async def provision_job(api: Api, server_id: str) -> str:
    jobs = (await api.get(f"{api.path}/servers/{server_id}/jobs")).json()["items"]
    return str(next(job["id"] for job in jobs if job["kind"] == "provision"))


async def stream(api: Api, job_id: str, last: str | None = None) -> list[tuple[int, str, dict[str, Any]]]:
    """(id, event, data) of a stream that ends by itself."""
    headers = api.headers() | ({"Last-Event-ID": last} if last else {})
    reply = await api.client.get(f"{api.path}/jobs/{job_id}/events", headers=headers)
    assert reply.headers["content-type"].startswith("text/event-stream")
    found = []
    for block in reply.text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            found.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return found


async def test_a_new_server_s_job_names_every_step_in_order(api: Api) -> None:
    server = await api.stage.paid(workspace_id=api.workspace_id)
    job = (await api.get(f"{api.path}/jobs/{await provision_job(api, server.id)}")).json()
    assert (job["state"], [step["name"] for step in job["steps"]]) == ("pending", STEPS)
    assert all(step["title"] for step in job["steps"])


async def test_a_finished_job_has_times_and_evidence(api: Api) -> None:
    server_id = await api.ready_server()
    job = (await api.get(f"{api.path}/jobs/{await provision_job(api, server_id)}")).json()
    assert job["state"] == "ok"
    assert job["finished_at"] is not None
    for step in job["steps"]:
        assert step["state"] == "ok", step
        assert step["started_at"] <= step["ended_at"]
    evidence = {step["name"]: step["evidence"] for step in job["steps"]}
    assert len(evidence["self_test"]["rows"]) == 5


async def test_the_stream_tells_each_step_and_ends_with_the_job(api: Api) -> None:
    api.stage.others.listed = {"198.51.100.16"}
    server = await api.stage.paid(workspace_id=api.workspace_id)
    job_id = await provision_job(api, server.id)
    streaming = asyncio.create_task(stream(api, job_id))
    await api.stage.ready(server.id)
    events = await asyncio.wait_for(streaming, 10)
    ids = [number for number, _, _ in events]
    assert ids == sorted(ids)
    oks = [data["name"] for _, event, data in events if event == "step" and data["state"] == "ok"]
    assert set(oks) == set(STEPS)
    retried = [data for _, event, data in events if event == "step" and data["state"] == "retrying"]
    assert any("zen.test" in (data["message"] or "") for data in retried)
    assert (events[-1][1], events[-1][2]["state"]) == ("job", "ok")


async def test_a_stream_goes_on_after_the_last_event_that_was_seen(api: Api) -> None:
    server_id = await api.ready_server()
    job_id = await provision_job(api, server_id)
    whole = await stream(api, job_id)
    middle = whole[len(whole) // 2][0]
    rest = await stream(api, job_id, str(middle))
    assert rest == [entry for entry in whole if entry[0] > middle]


async def test_a_client_that_missed_only_the_end_is_told_the_end(api: Api) -> None:
    server_id = await api.ready_server()
    job_id = await provision_job(api, server_id)
    last = (await stream(api, job_id))[-1][0]
    again = await stream(api, job_id, str(last))
    assert [(event, data["state"]) for _, event, data in again] == [("job", "ok")]


async def test_a_stalled_step_makes_the_job_stalled_until_it_goes_on(api: Api) -> None:
    api.stage.outside.cloud.stock.clear()
    server = await api.stage.paid(workspace_id=api.workspace_id)
    job_id = await provision_job(api, server.id)
    await api.stage.play(lambda: api.stage.is_true(server.id, "Stalled"))
    job = (await api.get(f"{api.path}/jobs/{job_id}")).json()
    assert job["state"] == "stalled"
    step = next(step for step in job["steps"] if step["name"] == "choose_place")
    assert (step["state"], step["next_action"]) == ("failed", WAIT_OR_REFUND)
    api.stage.outside.cloud.stock["DEV1-S"] = "available"
    await api.stage.due_now(server.id)
    await api.stage.ready(server.id)
    assert (await api.get(f"{api.path}/jobs/{job_id}")).json()["state"] == "ok"


async def test_what_breaks_after_ready_does_not_change_the_finished_job(api: Api) -> None:
    server_id = await api.ready_server()
    api.stage.outside.self_test.broken = {"dns.one"}
    await api.stage.due_now(server_id)

    async def degraded() -> bool:
        return not await api.stage.is_true(server_id, "Ready")

    await api.stage.play(degraded)
    job = (await api.get(f"{api.path}/jobs/{await provision_job(api, server_id)}")).json()
    assert job["state"] == "ok"


async def test_a_cancel_ends_the_job_that_was_making_the_server(api: Api) -> None:
    server = await api.stage.paid(workspace_id=api.workspace_id)
    job_id = await provision_job(api, server.id)
    await api.stage.engine.work_once()
    await api.stage.cancel(server.id)
    assert (await api.get(f"{api.path}/jobs/{job_id}")).json()["state"] == "failed"
    events = await stream(api, job_id)
    assert (events[-1][1], events[-1][2]["state"]) == ("job", "failed")


async def test_every_refused_address_is_told_with_the_lists_that_refused_it(api: Api) -> None:
    refused = [f"198.51.100.{n}" for n in (16, 17, 18)]
    api.stage.others.listed = set(refused)
    server = await api.stage.paid(workspace_id=api.workspace_id)
    await api.stage.play(lambda: api.stage.is_true(server.id, "Stalled"))
    job_id = await provision_job(api, server.id)
    events = [data for _, event, data in await stream_so_far(api, job_id) if event == "step"]
    told = [
        one["message"] for one in events if (one["name"], one["state"]) == ("check_reputation", "retrying")
    ]
    assert [text.split(" is on ")[0] for text in told] == refused
    assert all("zen.test" in text for text in told)
    job = (await api.get(f"{api.path}/jobs/{job_id}")).json()
    (stopped,) = [step for step in job["steps"] if step["state"] == "failed"]
    assert [one["address"] for one in stopped["evidence"]["refused"]] == refused
    assert {item["blacklist"] for one in stopped["evidence"]["refused"] for item in one["listings"]} == {
        "zen.test"
    }
    await api.stage.due_now(server.id)
    await api.stage.engine.work_once()
    again = [data for _, event, data in await stream_so_far(api, job_id) if event == "step"]
    assert again == events


async def stream_so_far(api: Api, job_id: str) -> list[tuple[int, str, dict[str, Any]]]:
    """What a stream would have told by now."""
    batch = await service.batch(api.app.state.database, api.workspace_id, job_id, 0)
    return [
        (one.id, "job" if isinstance(one.view, JobView) else "step", one.view.model_dump(mode="json"))
        for one in batch.events
    ]


async def test_another_workspace_s_job_is_not_found_nor_streamed(api: Api) -> None:
    server = await api.stage.paid(workspace_id=api.workspace_id)
    job_id = await provision_job(api, server.id)
    other = new_id("ws")
    for suffix in ("", "/events"):
        reply = await api.get(f"/v1/workspaces/{other}/jobs/{job_id}{suffix}", workspace_id=other)
        assert reply.status_code == 404


async def test_jobs_of_a_server_come_newest_first(api: Api) -> None:
    server_id = await api.ready_server()
    await api.stage.cancel(server_id)
    jobs = (await api.get(f"{api.path}/servers/{server_id}/jobs")).json()["items"]
    assert [job["kind"] for job in jobs] == ["cancel", "provision"]
    first = (await api.get(f"{api.path}/servers/{server_id}/jobs?limit=1")).json()
    second = (
        await api.get(f"{api.path}/servers/{server_id}/jobs?limit=1&cursor={first['next_cursor']}")
    ).json()
    assert [job["kind"] for job in second["items"]] == ["provision"]


async def test_a_batch_after_the_end_is_finished(api: Api) -> None:
    server_id = await api.ready_server()
    batch = await service.batch(
        api.app.state.database, api.workspace_id, await provision_job(api, server_id), 10**9
    )
    assert batch.finished
    (event,) = batch.events
    assert isinstance(event.view, JobView)
