"""Servers as a customer sees them, and the typed cancel."""

from __future__ import annotations

from sqlalchemy import select

from shared.contracts.provisioner_events import ProvisionerAuditRecorded
from shared.db.kit_tables import audit_entry
from shared.ids import new_id
from tests.provisioner.api import Api


async def test_a_ready_server_shows_its_evidence_in_five_layers(api: Api) -> None:
    api.stage.others.listed = {"198.51.100.16"}
    server_id = await api.ready_server()
    body = (await api.get(f"{api.path}/servers/{server_id}")).json()
    assert body["state"] == "ready"
    assert (body["ipv4"], body["ipv6"] is not None) == ("198.51.100.17", True)
    assert {row["layer"] for row in body["evidence"]["self_test"]} == {
        "encryption", "authentication", "dns", "hardening", "compliance",
    }  # fmt: skip
    assert all(counts == {"passed": 1, "failed": 0} for counts in body["evidence"]["layers"].values())
    assert body["ssh_host_key_sha256"].startswith("SHA256:")
    by_address = {row["address"]: row for row in body["addresses"]}
    assert by_address["198.51.100.16"]["state"] == "burned"
    assert by_address["198.51.100.16"]["listings"][0]["blacklist"] == "zen.test"
    assert by_address["198.51.100.17"]["state"] == "live"
    conditions = {row["type"]: row["status"] for row in body["conditions"]}
    assert conditions["SshTrusted"] == conditions["Ready"] == "true"
    assert body["evidence"]["steps"]["install"]["bundle_version"] == "b1"


async def test_no_secret_is_shown(api: Api) -> None:
    server_id = await api.ready_server()
    text = (await api.get(f"{api.path}/servers/{server_id}")).text
    assert "PRIVATE KEY" not in text
    assert "x" * 40 not in text


async def test_a_stalled_server_says_what_and_why(api: Api) -> None:
    api.stage.outside.cloud.stock.clear()
    server = await api.stage.paid(workspace_id=api.workspace_id)
    await api.stage.play(lambda: api.stage.is_true(server.id, "Stalled"))
    body = (await api.get(f"{api.path}/servers/{server.id}")).json()
    assert body["state"] == "stalled"
    assert "no server of this size" in body["message"]


async def test_a_server_whose_test_fails_later_is_degraded(api: Api) -> None:
    server_id = await api.ready_server()
    api.stage.outside.self_test.broken = {"dns.one"}
    await api.stage.due_now(server_id)

    async def degraded() -> bool:
        body = (await api.get(f"{api.path}/servers/{server_id}")).json()
        return bool(body["state"] == "degraded")

    await api.stage.play(degraded)
    layers = (await api.get(f"{api.path}/servers/{server_id}")).json()["evidence"]["layers"]
    assert layers["dns"] == {"passed": 0, "failed": 1}


async def test_cancel_needs_the_full_name(api: Api) -> None:
    server_id = await api.ready_server()
    path = f"{api.path}/servers/{server_id}/cancel"
    wrong = await api.post(path, {"confirm_name": "some other name", "reason": "moving"})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "confirm_name_mismatch")
    assert (await api.get(f"{api.path}/servers/{server_id}")).json()["state"] == "ready"


async def test_cancel_is_followed_to_its_end_and_audited(api: Api) -> None:
    server_id = await api.ready_server()
    hostname = (await api.get(f"{api.path}/servers/{server_id}")).json()["hostname"]
    path = f"{api.path}/servers/{server_id}/cancel"
    reply = await api.post(path, {"confirm_name": hostname, "reason": "moving away"})
    assert reply.status_code == 202
    again = await api.post(path, {"confirm_name": hostname, "reason": "moving away"})
    assert (again.status_code, again.json()["code"]) == (409, "server_ending")
    assert (await api.get(f"{api.path}/servers/{server_id}")).json()["state"] == "cancelling"
    await api.stage.gone(server_id)
    job = (await api.get(f"{api.path}/jobs/{reply.json()['job_id']}")).json()
    assert (job["kind"], job["state"]) == ("cancel", "ok")
    assert {step["state"] for step in job["steps"]} == {"ok"}
    assert (await api.get(f"{api.path}/servers")).json()["items"] == []
    async with api.stage.database.transaction() as session:
        rows = (await session.execute(select(audit_entry).where(audit_entry.c.target == server_id))).all()
    assert {(row.action, row.reason) for row in rows} >= {("provisioner.server.cancelled", "moving away")}
    events = await api.stage.others.bus.emitted(ProvisionerAuditRecorded)
    assert "provisioner.server.deleted" in {event.action for event in events}


async def test_foreign_unknown_and_deleted_servers_answer_the_same(api: Api) -> None:
    server_id = await api.ready_server()
    other = new_id("ws")
    foreign = await api.get(f"/v1/workspaces/{other}/servers/{server_id}", workspace_id=other)
    unknown = await api.get(f"{api.path}/servers/{new_id('srv')}")
    malformed = await api.get(f"{api.path}/servers/nonsense")
    await api.stage.cancel(server_id)
    await api.stage.gone(server_id)
    deleted = await api.get(f"{api.path}/servers/{server_id}")
    assert {reply.status_code for reply in (foreign, unknown, malformed, deleted)} == {404}
    assert len({reply.content for reply in (foreign, unknown, malformed, deleted)}) == 1


async def test_each_permission_is_needed(api: Api) -> None:
    server_id = await api.ready_server()
    read_only = ("subscriptions.read",)
    assert (await api.get(f"{api.path}/servers/{server_id}", permissions=read_only)).status_code == 403
    reply = await api.post(
        f"{api.path}/servers/{server_id}/cancel",
        {"confirm_name": "x", "reason": "y"},
        permissions=("servers.read",),
    )
    assert reply.status_code == 403
