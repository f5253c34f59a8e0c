"""Changes of a job's steps as events: what the stream tells, but each state once."""

from __future__ import annotations

from shared.contracts.provisioner_events import JobStepChanged
from tests.provisioner.api import Api
from tests.provisioner.jobs.test_jobs import STEPS, provision_job, stream


async def told(api: Api, job_id: str) -> list[JobStepChanged]:
    return [event for event in await api.stage.others.bus.emitted(JobStepChanged) if event.job_id == job_id]


async def test_events_tell_each_change_of_state_that_the_stream_tells_and_no_other(api: Api) -> None:
    api.stage.others.listed = {"198.51.100.16"}
    server_id = await api.ready_server()
    job_id = await provision_job(api, server_id)
    streamed, states = [], dict.fromkeys(STEPS, "pending")
    for _, kind, data in await stream(api, job_id):
        if kind == "step" and states[data["name"]] != data["state"]:
            states[data["name"]] = data["state"]
            streamed.append((data["name"], data["state"], data["attempt"]))
    events = await told(api, job_id)
    assert [(event.step, event.state, event.attempt) for event in events] == streamed
    assert ("check_reputation", "retrying") in {(event.step, event.state) for event in events}
    assert set(states.values()) == {"ok"}
    assert [event.job_state for event in events].count("ok") == 1
    assert (events[-1].step, events[-1].job_state) == ("ready", "ok")
    assert {(event.kind, event.server_id, event.subject_id) for event in events} == {
        ("provision", server_id, server_id)
    }


async def test_they_are_numbered_as_the_stream_s_events_are(api: Api) -> None:
    job_id = await provision_job(api, await api.ready_server())
    numbers = [
        envelope.aggregateversion
        for envelope in await api.stage.others.bus.envelopes()
        if envelope.type == JobStepChanged.type and envelope.subject == job_id
    ]
    assert numbers == sorted(set(numbers))
    assert set(numbers) <= {number for number, _, _ in await stream(api, job_id)}


async def test_what_happens_after_a_job_s_end_is_nobody_s_news(api: Api) -> None:
    server_id = await api.ready_server()
    job_id = await provision_job(api, server_id)
    before = await told(api, job_id)
    await api.stage.cancel(server_id)
    await api.stage.gone(server_id)
    assert await told(api, job_id) == before
    others = {
        event.kind
        for event in await api.stage.others.bus.emitted(JobStepChanged)
        if event.server_id == server_id
    }
    assert others == {"provision", "cancel"}


async def test_nothing_that_a_step_said_or_saw_is_in_an_event(api: Api) -> None:
    await api.ready_server()
    for event in await api.stage.others.bus.emitted(JobStepChanged):
        assert not {"message", "evidence", "next_action"} & set(event.model_dump())
