from datetime import UTC, datetime

from shared.jobs import JobBatch, JobEvent, JobView, StepView, job_stream

CREATED = datetime(2026, 11, 22, tzinfo=UTC)


def job(state: str) -> JobView:
    return JobView.model_validate(
        {
            "id": "job_1",
            "kind": "provision",
            "state": state,
            "subject_id": "srv_1",
            "generation": 1,
            "created_at": CREATED,
        }
    )


LOG = [
    JobEvent(3, StepView(name="reserve", title="Reserve an address", state="running")),
    JobEvent(5, StepView(name="reserve", title="Reserve an address", state="ok")),
    JobEvent(9, job("ok")),
]


async def read(last_event_id: int, shown_at_once: int) -> str:
    """The whole stream of a job whose log grows by `shown_at_once` rows at each look."""
    looks = 0

    async def load(after: int) -> JobBatch:
        nonlocal looks
        looks += 1
        known = LOG[: looks * shown_at_once]
        return JobBatch([event for event in known if event.id > after], finished=len(known) == len(LOG))

    response = job_stream(load, last_event_id, poll_seconds=0.01)
    chunks = [chunk async for chunk in response.body_iterator]
    return b"".join(chunk.encode() if isinstance(chunk, str) else bytes(chunk) for chunk in chunks).decode()


async def test_steps_and_job_come_in_order_and_the_stream_ends() -> None:
    text = await read(0, 1)
    assert [line for line in text.splitlines() if line.startswith(("id:", "event:"))] == [
        "id: 3", "event: step", "id: 5", "event: step", "id: 9", "event: job",
    ]  # fmt: skip


async def test_a_stream_goes_on_after_the_last_event_seen() -> None:
    text = await read(3, 3)
    assert "id: 3\n" not in text
    assert "id: 5\n" in text


async def test_a_client_that_has_seen_everything_is_let_go() -> None:
    assert "id:" not in await read(9, 3)
