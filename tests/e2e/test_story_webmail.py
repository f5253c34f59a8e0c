"""An open webmail session is ended: by a call at the gateway, over vault, bus and reconciler, on the real server."""

from __future__ import annotations

from typing import Any

import pytest

from demo.steps.g_secrets import signed_in
from demo.story import Party, Story
from demo.web import Browser
from demo.world import until
from tests.e2e.conftest import Told
from tests.e2e.going_on import going_on, patient

pytestmark = pytest.mark.stack


async def link(party: Party, mailbox_id: str) -> dict[str, str]:
    made: dict[str, str] = await party.api.expect(
        201, "POST", f"{party.path}/mailboxes/{mailbox_id}/webmail-sessions", {}
    )
    return made


async def opened(story: Story, made: dict[str, str]) -> Browser:
    """A browser in which the link was used."""
    browser = await story.browser()
    answer = await browser.send("POST", made["action_url"], {"token": made["token"]})
    assert (answer.status, "_task=mail" in answer.headers["location"]) == (302, True)
    return browser


async def finished(party: Party, job_id: str) -> dict[str, Any]:
    """The job's end. It is the vault that names it, and the provisioner that hears of it a moment later."""

    async def look() -> dict[str, Any] | None:
        reply = await party.api.send("GET", f"{party.path}/jobs/{job_id}")
        return reply.json if reply.status == 200 and reply.json["state"] in ("ok", "failed") else None

    return await until(f"the end of job {job_id}", look, 60)


async def test_webmail_that_is_ended_is_signed_out_at_once_and_that_of_another_mailbox_goes_on(
    told: Told,
) -> None:
    async with going_on(told) as story:
        a = patient(story).a
        anna, otto = a.mailboxes.values()
        unused = await link(a, anna)
        url = unused["action_url"]
        browser, others = await opened(story, await link(a, anna)), await opened(story, await link(a, otto))
        assert (await signed_in(browser, url), await signed_in(others, url)) == (True, True)
        ended = await a.api.expect(202, "DELETE", f"{a.path}/mailboxes/{anna}/webmail-sessions")
        job = await finished(a, ended["job_id"])
        assert (await signed_in(browser, url), await signed_in(others, url)) == (False, True)
        late = await browser.send("POST", url, {"token": unused["token"]})
        for each in (browser, others):
            await each.close()
    assert (job["kind"], job["subject_id"]) == ("end_webmail", anna)
    assert [(step["name"], step["state"]) for step in job["steps"]] == [("apply_mailbox", "ok")]
    assert late.status == 401
