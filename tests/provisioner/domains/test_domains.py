"""Domains and mailboxes of a ready server, from the request to the host's word."""

from __future__ import annotations

from typing import Any

import pytest

from services.provisioner.hosts.port import HostCommandFailed
from services.provisioner.models import MailboxVerifier
from shared.contracts.dns_events import ZoneProven, ZoneRemoved
from shared.contracts.provisioner_events import (
    MailboxCredentialApplied,
    MailboxRemoved,
    ServerDnsDesired,
)
from shared.ids import new_id
from tests.provisioner.api import Api

NAME = "example-a.test"


async def proven(api: Api, name: str = NAME, workspace_id: str | None = None) -> str:
    zone_id = new_id("zon")
    event = ZoneProven(workspace_id=workspace_id or api.workspace_id, zone_id=zone_id, name=name)
    await api.stage.others.bus.deliver(event, subject=zone_id)
    return zone_id


async def add(api: Api, server_id: str, name: str = NAME) -> dict[str, Any]:
    reply = await api.post(f"{api.path}/domains", {"server_id": server_id, "name": name})
    assert reply.status_code == 202, reply.text
    body: dict[str, Any] = reply.json()
    return body


async def job_is(api: Api, job_id: str, state: str) -> bool:
    return bool((await api.get(f"{api.path}/jobs/{job_id}")).json()["state"] == state)


async def finish(api: Api, job_id: str) -> dict[str, Any]:
    await api.stage.play(lambda: job_is(api, job_id, "ok"))
    body: dict[str, Any] = (await api.get(f"{api.path}/jobs/{job_id}")).json()
    return body


async def settled(api: Api) -> tuple[str, str]:
    """A ready server with a ready domain."""
    server_id = await api.ready_server()
    await proven(api)
    made = await add(api, server_id)
    await finish(api, made["job_id"])
    return server_id, made["id"]


async def test_a_domain_gets_keys_names_and_certificates(api: Api) -> None:
    server_id = await api.ready_server()
    await proven(api)
    made = await add(api, server_id)
    job = await finish(api, made["job_id"])
    assert [step["name"] for step in job["steps"]] == ["apply_domain", "publish_domain", "domain_certificate"]
    view = (await api.get(f"{api.path}/domains/{made['id']}")).json()
    assert view["state"] == "ready"
    assert sorted(key["algorithm"] for key in view["dkim"]) == ["ed25519", "rsa"]
    last = (await api.stage.others.bus.emitted(ServerDnsDesired))[-1]
    assert [(one.name, len(one.dkim)) for one in last.domains] == [(NAME, 2)]
    assert len(last.tlsa_spki_sha256) == 2


async def test_a_domain_waits_for_the_customer_without_holding_up_others(api: Api) -> None:
    server_id = await api.ready_server()
    await proven(api)
    api.stage.others.verify_domains = False
    made = await add(api, server_id)

    async def waiting() -> bool:
        view = (await api.get(f"{api.path}/domains/{made['id']}")).json()
        return bool(view["state"] == "awaiting_dns")

    await api.stage.play(waiting)
    job = (await api.get(f"{api.path}/jobs/{made['job_id']}")).json()
    step = next(step for step in job["steps"] if step["name"] == "publish_domain")
    assert (step["state"], job["state"]) == ("running", "running")
    assert "DNS plan" in step["next_action"]
    box = await api.post(f"{api.path}/domains/{made['id']}/mailboxes", {"local_part": "anna"})
    await finish(api, box.json()["job_id"])


@pytest.mark.asvs("2.3.1")
async def test_only_a_zone_proven_by_this_workspace_is_accepted(api: Api) -> None:
    server_id = await api.ready_server()
    body = {"server_id": server_id, "name": NAME}
    unproven = await api.post(f"{api.path}/domains", body)
    await proven(api, workspace_id=new_id("ws"))
    foreign = await api.post(f"{api.path}/domains", body)
    assert unproven.status_code == foreign.status_code == 409
    assert unproven.json()["code"] == foreign.json()["code"] == "zone_not_proven"


async def test_a_zone_that_was_removed_is_no_longer_accepted(api: Api) -> None:
    server_id = await api.ready_server()
    zone_id = await proven(api)
    removed = ZoneRemoved(workspace_id=api.workspace_id, zone_id=zone_id, name=NAME)
    await api.stage.others.bus.deliver(removed, subject=zone_id, aggregate_version=3)
    late = ZoneProven(workspace_id=api.workspace_id, zone_id=zone_id, name=NAME)
    await api.stage.others.bus.deliver(late, subject=zone_id, aggregate_version=2)
    reply = await api.post(f"{api.path}/domains", {"server_id": server_id, "name": NAME})
    assert reply.json()["code"] == "zone_not_proven"


async def test_a_domain_is_on_one_server_only(api: Api) -> None:
    server_id, _ = await settled(api)
    reply = await api.post(f"{api.path}/domains", {"server_id": server_id, "name": NAME.upper() + "."})
    assert (reply.status_code, reply.json()["code"]) == (409, "domain_exists")


@pytest.mark.asvs("2.3.2")
async def test_the_plan_limits_domains(api: Api) -> None:
    server_id = await api.ready_server()
    for number in range(4):
        await proven(api, f"example-{number}.test")
    for number in range(3):
        await add(api, server_id, f"example-{number}.test")
    reply = await api.post(f"{api.path}/domains", {"server_id": server_id, "name": "example-3.test"})
    assert (reply.status_code, reply.json()["code"]) == (409, "plan_limit")


@pytest.mark.asvs("2.3.1")
async def test_a_server_that_is_not_ready_takes_no_domain(api: Api) -> None:
    server = await api.stage.paid(workspace_id=api.workspace_id)
    await proven(api)
    reply = await api.post(f"{api.path}/domains", {"server_id": server.id, "name": NAME})
    assert reply.json()["code"] == "server_not_ready"


@pytest.mark.parametrize("name", ["", "no spaces.test", "-a.test", "a..test", "x" * 260 + ".test", 7, None])
async def test_what_is_no_domain_name_is_refused(api: Api, name: object) -> None:
    reply = await api.post(f"{api.path}/domains", {"server_id": new_id("srv"), "name": name})
    assert (reply.status_code, reply.json()["errors"][0]["field"]) == (422, "body.name")


async def test_a_mailbox_gets_its_verifiers_and_is_confirmed_by_the_host(api: Api) -> None:
    _, domain_id = await settled(api)
    reply = await api.post(
        f"{api.path}/domains/{domain_id}/mailboxes", {"local_part": "Anna", "display_name": "Anna A"}
    )
    made = reply.json()
    assert (reply.status_code, made["address"]) == (202, f"anna@{NAME}")
    job = await finish(api, made["job_id"])
    assert [step["state"] for step in job["steps"]] == ["ok", "ok"]
    view = (await api.get(f"{api.path}/mailboxes/{made['id']}")).json()
    assert view["state"] == "active"
    settings = view["client_settings"]
    assert (settings["submission"]["port"], settings["imap"]["port"]) == (465, 993)
    (applied,) = await api.stage.others.bus.emitted(MailboxCredentialApplied)
    assert (applied.mailbox_id, applied.version) == (made["id"], 1)
    assert "argon2" not in str(await api.stage.story())


async def test_the_vault_s_absence_is_waited_for(api: Api) -> None:
    _, domain_id = await settled(api)
    api.stage.outside.vault.away = 3
    made = (await api.post(f"{api.path}/domains/{domain_id}/mailboxes", {"local_part": "otto"})).json()
    await finish(api, made["job_id"])


async def test_a_mailbox_that_the_host_does_not_confirm_stays_pending(api: Api) -> None:
    _, domain_id = await settled(api)
    api.stage.outside.host.forget_mailboxes = True
    made = (await api.post(f"{api.path}/domains/{domain_id}/mailboxes", {"local_part": "otto"})).json()

    async def failing() -> bool:
        found = await api.stage.condition(
            (await api.get(f"{api.path}/servers")).json()["items"][0]["id"], "HostApplied"
        )
        return found is not None and found.failures > 1

    await api.stage.play(failing)
    assert (await api.get(f"{api.path}/mailboxes/{made['id']}")).json()["state"] == "pending"
    api.stage.outside.host.forget_mailboxes = False
    await finish(api, made["job_id"])


async def test_a_mailbox_exists_once(api: Api) -> None:
    _, domain_id = await settled(api)
    path = f"{api.path}/domains/{domain_id}/mailboxes"
    assert (await api.post(path, {"local_part": "anna"})).status_code == 202
    again = await api.post(path, {"local_part": "anna"})
    assert (again.status_code, again.json()["code"]) == (409, "mailbox_exists")


@pytest.mark.parametrize("local_part", ["", ".a", "a b", "a@b", "a/../b", "ü", "x" * 65, "a\x00"])
async def test_what_is_no_local_part_is_refused(api: Api, local_part: str) -> None:
    reply = await api.post(f"{api.path}/domains/{new_id('dom')}/mailboxes", {"local_part": local_part})
    assert reply.status_code == 422


async def test_a_removed_mailbox_is_gone_on_the_host_and_in_the_vault(api: Api) -> None:
    server_id, domain_id = await settled(api)
    made = (await api.post(f"{api.path}/domains/{domain_id}/mailboxes", {"local_part": "anna"})).json()
    await finish(api, made["job_id"])
    reply = await api.delete(f"{api.path}/mailboxes/{made['id']}")
    assert reply.status_code == 202
    await finish(api, reply.json()["job_id"])
    assert (await api.get(f"{api.path}/mailboxes/{made['id']}")).status_code == 404
    assert [event.mailbox_id for event in await api.stage.others.bus.emitted(MailboxRemoved)] == [made["id"]]
    desired = api.stage.outside.host.machines[server_id].desired
    assert desired is not None
    assert desired.mailboxes == ()
    async with api.stage.database.transaction() as session:
        assert await session.get(MailboxVerifier, made["id"]) is None


async def test_a_domain_with_mailboxes_is_not_removed(api: Api) -> None:
    _, domain_id = await settled(api)
    await api.post(f"{api.path}/domains/{domain_id}/mailboxes", {"local_part": "anna"})
    reply = await api.delete(f"{api.path}/domains/{domain_id}")
    assert (reply.status_code, reply.json()["code"]) == (409, "domain_not_empty")


async def test_a_removed_domain_is_withdrawn_from_dns_and_can_be_added_again(api: Api) -> None:
    server_id, domain_id = await settled(api)
    reply = await api.delete(f"{api.path}/domains/{domain_id}")
    await finish(api, reply.json()["job_id"])
    assert (await api.get(f"{api.path}/domains/{domain_id}")).status_code == 404
    assert (await api.stage.others.bus.emitted(ServerDnsDesired))[-1].domains == ()
    await add(api, server_id)


async def test_another_workspace_s_domain_and_mailbox_are_not_found(api: Api) -> None:
    _, domain_id = await settled(api)
    made = (await api.post(f"{api.path}/domains/{domain_id}/mailboxes", {"local_part": "anna"})).json()
    other = new_id("ws")
    for path in (f"domains/{domain_id}", f"mailboxes/{made['id']}", f"jobs/{made['job_id']}"):
        reply = await api.get(f"/v1/workspaces/{other}/{path}", workspace_id=other)
        assert reply.status_code == 404
    into = await api.post(
        f"/v1/workspaces/{other}/domains/{domain_id}/mailboxes", {"local_part": "eve"}, workspace_id=other
    )
    assert into.status_code == 404


async def test_a_host_with_an_older_bundle_is_installed_again_before_it_learns_anything(api: Api) -> None:
    server_id = await api.ready_server()
    await proven(api)
    api.stage.outside.host.fail["apply"] = [HostCommandFailed("apply", "bundle_mismatch", "runs b0")]
    made = await add(api, server_id)
    await finish(api, made["job_id"])
    assert api.stage.outside.host.installs_started[server_id] == 2
    assert (await api.get(f"{api.path}/servers/{server_id}")).json()["state"] == "ready"
