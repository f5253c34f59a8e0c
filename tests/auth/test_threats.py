"""Threats: from the gateway's event to the page of the workspace that it concerns."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from services.auth.forgetting import KEEP
from shared.bus.housekeeping import sweep
from shared.contracts.gateway_events import ThreatObserved
from shared.ids import new_id
from tests.auth.stage import Stage

READS = ("threats.read",)


def threat(workspace_id: str | None, **fields: Any) -> ThreatObserved:
    now = datetime.now(UTC)
    return ThreatObserved.model_validate(
        {
            "threat_id": new_id("thr"),
            "workspace_id": workspace_id,
            "kind": "signature",
            "action": "observed",
            "source": "192.0.2.1",
            "subject": new_id("usr"),
            "route": "POST /v1/x",
            "signatures": ("xss.script",),
            "count": 3,
            "first_at": now,
            "last_at": now,
            **fields,
        }
    )


async def listed(auth: Stage, owner: str, workspace_id: str, query: str = "") -> Any:
    headers = auth.as_user(owner, workspace_id, permissions=READS)
    answer = await auth.client.get(f"/v1/workspaces/{workspace_id}/threats{query}", headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_workspace_sees_its_own_threats_newest_first_and_no_others(auth: Stage) -> None:
    ada, bob = await auth.person(), await auth.person()
    mine, foreign = await auth.workspace(ada), await auth.workspace(bob)
    now = datetime.now(UTC)
    events = [threat(mine, last_at=now + timedelta(seconds=second)) for second in range(3)]
    for event in (*events, threat(foreign), threat(None)):
        await auth.bus.deliver(event)
    page = await listed(auth, ada.id, mine)
    assert [item["id"] for item in page["items"]] == [event.threat_id for event in reversed(events)]
    assert page["items"][0]["signatures"] == ["xss.script"]
    assert page["items"][0]["count"] == 3
    first = await listed(auth, ada.id, mine, "?limit=2")
    rest = await listed(auth, ada.id, mine, f"?limit=2&cursor={first['next_cursor']}")
    assert [item["id"] for item in first["items"] + rest["items"]] == [item["id"] for item in page["items"]]


async def test_kinds_can_be_asked_for(auth: Stage) -> None:
    ada = await auth.person()
    mine = await auth.workspace(ada)
    await auth.bus.deliver(threat(mine))
    await auth.bus.deliver(threat(mine, kind="new_network"))
    found = await listed(auth, ada.id, mine, "?kind=new_network")
    assert [item["kind"] for item in found["items"]] == ["new_network"]


async def test_the_same_event_twice_is_one_row(auth: Stage) -> None:
    ada = await auth.person()
    mine = await auth.workspace(ada)
    event = threat(mine)
    for _ in range(2):
        await auth.bus.deliver(event)
    assert len((await listed(auth, ada.id, mine))["items"]) == 1


async def test_a_workspace_that_a_stranger_invented_gets_no_rows(auth: Stage) -> None:
    invented = new_id("ws")
    event = threat(invented, kind="stranger")
    await auth.bus.deliver(event)
    async with auth.worker.database.transaction() as session:
        row = await session.execute(
            text("select workspace_id from threat where id = :id"), {"id": event.threat_id}
        )
        assert row.scalar_one() is None


async def test_threats_are_forgotten_after_ninety_days(auth: Stage) -> None:
    ada = await auth.person()
    mine = await auth.workspace(ada)
    now = datetime.now(UTC)
    kept = timedelta(days=90)
    await auth.bus.deliver(threat(mine, last_at=now - kept - timedelta(minutes=1)))
    await auth.bus.deliver(young := threat(mine, last_at=now - kept + timedelta(minutes=5)))
    await sweep(auth.worker.database, KEEP)
    assert [item["id"] for item in (await listed(auth, ada.id, mine))["items"]] == [young.threat_id]


async def test_a_cursor_of_somebody_elses_making_is_refused(auth: Stage) -> None:
    ada = await auth.person()
    mine = await auth.workspace(ada)
    headers = auth.as_user(ada.id, mine, permissions=READS)
    answer = await auth.client.get(f"/v1/workspaces/{mine}/threats?cursor=WzFd", headers=headers)
    assert answer.status_code == 422
