"""When a job ends, by our own history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text

from services.provisioner.jobs import timings
from services.provisioner.jobs.views import Fold
from services.provisioner.models import Job, StepTiming
from shared.ids import new_id
from shared.jobs import JobView
from tests.provisioner.api import Api
from tests.provisioner.jobs.test_jobs import provision_job, stream

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def timing(step: str, *, left: float, left_p90: float, samples: int = 9) -> StepTiming:
    return StepTiming(
        job_kind="provision", image="debian_trixie", step=step, samples=samples, median_seconds=3.0,
        p90_seconds=4.0, left_median_seconds=left, left_p90_seconds=left_p90, last_at=NOW,
    )  # fmt: skip


def job(*, done: tuple[str, ...] = (), ago: float = 0.0) -> JobView:
    """A provision job that began `ago` seconds before NOW, whose steps `done` ended ten seconds later."""
    began = NOW - timedelta(seconds=ago)
    row = Job(
        id="job_1", workspace_id="ws_1", server_id="srv_1", subject_id="srv_1", kind="provision", generation=1,
        after_log=0, requested_by="usr_1", created_at=began,
    )  # fmt: skip
    fold = Fold(row)
    for name in done:
        ended = began + timedelta(seconds=10)
        fold.steps[name] = fold.steps[name].model_copy(
            update={"state": "ok", "started_at": began, "ended_at": ended}
        )
    return fold.view()


def test_a_job_that_has_not_begun_ends_after_the_median_of_whole_jobs() -> None:
    known = {"created": timing("created", left=60, left_p90=90)}
    eta = timings.expect(job(), known, NOW).eta
    assert eta is not None
    assert (eta.median, eta.p90) == (NOW + timedelta(seconds=60), NOW + timedelta(seconds=90))


def test_the_time_left_counts_from_the_step_that_ended_last() -> None:
    known = {
        "created": timing("created", left=60, left_p90=90),
        "install": timing("install", left=20, left_p90=25),
    }
    eta = timings.expect(job(done=("install",), ago=15), known, NOW).eta
    assert eta is not None
    assert eta.median == NOW + timedelta(seconds=10 - 15 + 20)


def test_a_job_that_takes_longer_than_nine_of_ten_says_so_instead_of_guessing() -> None:
    known = {"created": timing("created", left=60, left_p90=90)}
    view = timings.expect(job(ago=91), known, NOW)
    assert view.eta is None
    assert "longer than nine of the last ten" in (view.eta_reason or "")


def test_between_median_and_p90_it_is_due_now() -> None:
    known = {"created": timing("created", left=60, left_p90=90)}
    eta = timings.expect(job(ago=70), known, NOW).eta
    assert eta is not None
    assert eta.median == NOW


def test_too_little_history_gives_a_reason_and_no_expectations() -> None:
    known = {name: timing(name, left=60, left_p90=90, samples=4) for name in ("created", "install")}
    view = timings.expect(job(), known, NOW)
    assert (view.eta, [step.expected for step in view.steps if step.expected]) == (None, [])
    assert view.eta_reason == "Too little history: 4 jobs of this kind have ended, 5 are needed."


@pytest.mark.parametrize(("count", "rank"), [(1, 1), (9, 9), (10, 9), (11, 10), (100, 90)])
def test_p90_is_the_nearest_rank(count: int, rank: int) -> None:
    assert timings.p90([float(n) for n in range(count, 0, -1)]) == rank


async def test_the_jobs_of_all_workspaces_are_the_history_of_each(api: Api) -> None:
    stage = api.stage
    for _ in range(timings.ENOUGH):
        await stage.ready((await stage.paid(workspace_id=new_id("ws"))).id)
    server = await stage.paid(workspace_id=api.workspace_id)
    job_id = await provision_job(api, server.id)
    before = (await api.get(f"{api.path}/jobs/{job_id}")).json()
    assert (before["eta"], "0 jobs" in before["eta_reason"]) == (None, True)
    await timings.collect(stage.database)
    found = (await api.get(f"{api.path}/jobs/{job_id}")).json()
    assert (found["eta"]["samples"], found["eta_reason"]) == (timings.ENOUGH, None)
    assert found["created_at"] < found["eta"]["median"] <= found["eta"]["p90"]
    assert all(step["expected"]["samples"] == timings.ENOUGH for step in found["steps"])
    await stage.ready(server.id)
    ended = (await api.get(f"{api.path}/jobs/{job_id}")).json()
    assert (ended["eta"], ended["eta_reason"]) == (None, None)
    jobs = [data for _, event, data in await stream(api, job_id) if event == "job"]
    assert jobs[-1]["eta"] is None


async def test_history_is_kept_by_image(api: Api) -> None:
    stage = api.stage
    for image in ("debian_trixie", "debian_next"):
        stage.settings.scaleway_image = image
        await stage.ready((await stage.paid()).id)
    await timings.collect(stage.database)
    async with stage.database.transaction() as session:
        rows = (await session.scalars(select(StepTiming).where(StepTiming.step == "install"))).all()
        assert {(row.image, row.samples) for row in rows} == {("debian_trixie", 1), ("debian_next", 1)}
        newest = await timings.of_kinds(session, ["provision"], None)
        assert newest["provision"]["install"].image == "debian_next"


async def test_unfinished_jobs_are_no_history(api: Api) -> None:
    server = await api.stage.paid()
    await api.stage.play(lambda: api.stage.is_true(server.id, "Running"))
    await timings.collect(api.stage.database)
    async with api.stage.database.transaction() as session:
        assert (await session.scalars(select(StepTiming))).all() == []


async def test_the_api_may_read_the_figures_and_not_write_them(api: Api) -> None:
    async with api.app.state.database.transaction(workspace_id=api.workspace_id) as session:
        allowed = await session.scalar(
            text("select has_table_privilege('step_timing', 'select') and "
                 "not has_table_privilege('step_timing', 'insert, update, delete')")
        )  # fmt: skip
    assert allowed is True
