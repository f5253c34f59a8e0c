"""Reboot, rescue and rebuild: orders that the reconciler carries out, each once, each proven."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from services.provisioner.models import Address, CloudResource, Domain, Mailbox
from services.provisioner.ports import CloudBusy, CloudNotFound, CloudUnavailable
from shared.contracts.provisioner_events import MailboxCredentialApplied, ServerDegraded, ServerDnsDesired
from shared.ids import new_id
from tests.provisioner.api import Api
from tests.provisioner.domains.test_domains import finish, settled
from tests.provisioner.owned import ONE_OF_EACH


async def order(api: Api, server_id: str, verb: str, **body: Any) -> httpx.Response:
    return await api.post(f"{api.path}/servers/{server_id}/{verb}", {"reason": "it hangs", **body})


async def rebuild(api: Api, server_id: str) -> httpx.Response:
    name = (await api.stage.server(server_id)).hostname
    return await order(api, server_id, "rebuild", confirm_name=name, mail_is_lost=True)


async def followed(api: Api, reply: httpx.Response) -> dict[str, Any]:
    """The job of an accepted order, at its end."""
    assert reply.status_code == 202, reply.text
    path = f"{api.path}/jobs/{reply.json()['job_id']}"

    async def ended() -> bool:
        return (await api.get(path)).json()["finished_at"] is not None

    await api.stage.play(ended)
    found: dict[str, Any] = (await api.get(path)).json()
    return found


def instance(api: Api) -> Any:
    (one,) = api.stage.outside.cloud.living("instance")
    return one


async def state(api: Api, server_id: str) -> str:
    return str((await api.get(f"{api.path}/servers/{server_id}")).json()["state"])


async def test_a_reboot_stops_the_server_starts_it_and_proves_it_again(api: Api) -> None:
    server_id = await api.ready_server()
    machine, tests = instance(api), api.stage.outside.self_test.runs
    reply = await order(api, server_id, "reboot")
    assert await state(api, server_id) == "ready"
    await api.stage.engine.work_once()
    assert await state(api, server_id) == "restarting"
    job = await followed(api, reply)
    assert (job["kind"], job["state"]) == ("reboot", "ok")
    assert [(step["name"], step["state"]) for step in job["steps"]] == [
        ("boot", "ok"), ("self_test", "ok"), ("observe", "ok"), ("ready", "ok"),
    ]  # fmt: skip
    calls = api.stage.outside.cloud.calls
    assert (calls["stop_in_place"], api.stage.outside.cloud.powered[machine.id]) == (1, 2)
    assert api.stage.outside.self_test.runs == tests + 1
    assert await state(api, server_id) == "ready"
    assert await api.stage.others.bus.emitted(ServerDegraded) == []


async def test_of_many_callers_one_is_given_the_reboot(api: Api) -> None:
    server_id = await api.ready_server()
    replies = await asyncio.gather(*(order(api, server_id, "reboot") for _ in range(8)))
    assert sorted(reply.status_code for reply in replies) == [202] + [409] * 7
    assert {reply.json()["code"] for reply in replies if reply.status_code == 409} == {"server_busy"}
    await followed(api, next(reply for reply in replies if reply.status_code == 202))
    assert api.stage.outside.cloud.calls["stop_in_place"] == 1


@pytest.mark.parametrize(
    ("method", "error"),
    [
        ("stop_in_place", CloudUnavailable("504")),
        ("power_on", CloudBusy("409")),
        ("get_instance", CloudNotFound("404")),
    ],
)
async def test_a_passing_refusal_is_outlived_while_rebooting(api: Api, method: str, error: Exception) -> None:
    server_id = await api.ready_server()
    api.stage.outside.cloud.faults.refuse[method] = [error]  # type: ignore[list-item]
    job = await followed(api, await order(api, server_id, "reboot"))
    assert job["state"] == "ok"
    assert api.stage.outside.cloud.powered[instance(api).id] == 2


async def test_the_rescue_system_runs_until_a_reboot(api: Api) -> None:
    server_id = await api.ready_server()
    job = await followed(api, await order(api, server_id, "rescue"))
    assert ([step["name"] for step in job["steps"]], job["state"]) == (["boot"], "ok")
    assert instance(api).data["boot_type"] == "rescue"
    assert await state(api, server_id) == "rescue"
    calls = dict(api.stage.outside.host.calls)
    await api.stage.due_now(server_id)
    for _ in range(10):
        await api.stage.engine.work_once()
    assert dict(api.stage.outside.host.calls) == calls, "nothing is asked of a host that runs another system"
    assert not await api.stage.is_true(server_id, "Ready")
    back = await followed(api, await order(api, server_id, "reboot"))
    assert (back["state"], instance(api).data["boot_type"]) == ("ok", "local")
    assert await state(api, server_id) == "ready"
    conditions = (await api.get(f"{api.path}/servers/{server_id}")).json()["conditions"]
    (own,) = [one for one in conditions if one["type"] == "OwnSystem"]
    assert (own["status"], "rescue" in own["message"]) == ("true", False)
    assert await api.stage.others.bus.emitted(ServerDegraded) == []


async def test_a_rebuild_makes_another_machine_behind_the_same_name_and_addresses(api: Api) -> None:
    server_id = await api.ready_server()
    before, shown, machine = await api.stage.server(server_id), await _view(api, server_id), instance(api)
    job = await followed(api, await rebuild(api, server_id))
    assert (job["kind"], job["state"]) == ("rebuild", "ok")
    assert {step["state"] for step in job["steps"]} == {"ok"}
    assert {"retire_instance", "ssh_trust", "install", "self_test"} <= {step["name"] for step in job["steps"]}
    after = await api.stage.server(server_id)
    assert instance(api).id != machine.id
    assert {kind: len(ids) for kind, ids in api.stage.owned().items()} == ONE_OF_EACH
    again = await _view(api, server_id)
    assert (again["hostname"], again["ipv4"], again["ipv6"]) == (
        shown["hostname"], shown["ipv4"], shown["ipv6"],
    )  # fmt: skip
    assert again["ssh_host_key_sha256"] != shown["ssh_host_key_sha256"]
    assert (before.webmail_key_version, after.webmail_key_version) == (1, 2)
    assert after.install_run_id != before.install_run_id
    assert await state(api, server_id) == "ready"
    async with api.stage.database.transaction() as session:
        rows = (await session.scalars(select(Address))).all()
        assert {row.reverse for row in rows} == {after.hostname}
        made = (await session.scalars(select(CloudResource).where(CloudResource.kind == "instance"))).all()
    assert sorted(row.state for row in made) == ["bound", "gone"]
    assert await api.stage.others.bus.emitted(ServerDegraded) == []


async def _view(api: Api, server_id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await api.get(f"{api.path}/servers/{server_id}")).json()
    return found


async def test_the_one_time_key_of_the_next_machine_is_another(api: Api) -> None:
    server_id = await api.ready_server()
    await followed(api, await rebuild(api, server_id))
    keys = api.stage.ports.one_time_keys
    assert keys.public(server_id, 1) != keys.public(server_id, 2)
    assert keys.public(server_id) == keys.public(server_id, 1)


async def test_domains_and_mailboxes_come_back_with_new_keys_and_old_passwords(api: Api) -> None:
    server_id, domain_id = await settled(api)
    made = (await api.post(f"{api.path}/domains/{domain_id}/mailboxes", {"local_part": "ada"})).json()
    await finish(api, made["job_id"])
    mailbox_id = made["id"]
    async with api.stage.database.transaction() as session:
        old = await session.get_one(Domain, domain_id)
    passwords = dict(api.stage.outside.vault.made)
    await followed(api, await rebuild(api, server_id))

    async def back() -> bool:
        async with api.stage.database.transaction() as session:
            domain, mailbox = (
                await session.get_one(Domain, domain_id),
                await session.get_one(Mailbox, mailbox_id),
            )
            return (domain.state, mailbox.state) == ("ready", "active")

    await api.stage.play(back)
    async with api.stage.database.transaction() as session:
        new = await session.get_one(Domain, domain_id)
    assert {key["selector"] for key in new.dkim}.isdisjoint({key["selector"] for key in old.dkim})
    assert {key["public_key"] for key in new.dkim}.isdisjoint({key["public_key"] for key in old.dkim})
    assert dict(api.stage.outside.vault.made) == passwords
    assert {event.version for event in await api.stage.others.bus.emitted(MailboxCredentialApplied)} == {1}
    published = await api.stage.others.bus.emitted(ServerDnsDesired)
    with_domain = next(n for n, event in enumerate(published) if event.domains)
    assert all(event.domains for event in published[with_domain:]), "the domain is never without records"


async def test_a_rebuild_needs_the_full_name_and_a_word_about_the_mail(api: Api) -> None:
    server_id = await api.ready_server()
    name = (await api.stage.server(server_id)).hostname
    wrong = await order(api, server_id, "rebuild", confirm_name="another", mail_is_lost=True)
    assert (wrong.status_code, wrong.json()["code"]) == (422, "confirm_name_mismatch")
    silent = await order(api, server_id, "rebuild", confirm_name=name)
    unwilling = await order(api, server_id, "rebuild", confirm_name=name, mail_is_lost=False)
    assert (silent.status_code, unwilling.status_code) == (422, 422)
    assert (await api.stage.server(server_id)).incarnation == 1


async def test_of_many_callers_one_is_given_the_rebuild(api: Api) -> None:
    server_id = await api.ready_server()
    replies = await asyncio.gather(*(rebuild(api, server_id) for _ in range(6)))
    assert sorted(reply.status_code for reply in replies) == [202] + [409] * 5
    await followed(api, next(reply for reply in replies if reply.status_code == 202))
    assert (await api.stage.server(server_id)).incarnation == 2
    assert api.stage.outside.cloud.calls["create_instance"] == 2


async def test_nothing_is_deleted_while_no_machine_could_follow(api: Api) -> None:
    server_id = await api.ready_server()
    machine = instance(api)
    stock = dict(api.stage.outside.cloud.stock)
    api.stage.outside.cloud.stock.clear()
    reply = await rebuild(api, server_id)
    await api.stage.play(lambda: api.stage.is_true(server_id, "Stalled"))
    assert instance(api).data["state"] == "running"
    assert instance(api).id == machine.id
    api.stage.outside.cloud.stock.update(stock)
    await api.stage.due_now(server_id)
    assert (await followed(api, reply))["state"] == "ok"


async def test_a_rebuild_ends_a_reboot_that_does_not_succeed(api: Api) -> None:
    server_id = await api.ready_server()
    api.stage.outside.cloud.faults.refuse["stop_in_place"] = [CloudBusy("locked")] * 50
    reboot = (await order(api, server_id, "reboot")).json()["job_id"]
    await api.stage.engine.work_once()
    job = await followed(api, await rebuild(api, server_id))
    assert job["state"] == "ok"
    assert (await api.get(f"{api.path}/jobs/{reboot}")).json()["state"] == "failed"
    assert await state(api, server_id) == "ready"


async def test_a_server_that_is_rebuilt_can_be_cancelled(api: Api) -> None:
    server_id = await api.ready_server()
    await rebuild(api, server_id)
    for _ in range(3):
        await api.stage.engine.work_once()
    await api.stage.cancel(server_id)
    await api.stage.gone(server_id)
    assert {kind: len(ids) for kind, ids in api.stage.owned().items()} == dict.fromkeys(ONE_OF_EACH, 0)


async def test_only_a_server_that_was_ready_takes_orders(api: Api) -> None:
    server = await api.stage.paid(workspace_id=api.workspace_id)
    for verb, body in (("reboot", {}), ("rescue", {}),
                       ("rebuild", {"confirm_name": server.hostname, "mail_is_lost": True})):  # fmt: skip
        reply = await order(api, server.id, verb, **body)
        assert (reply.status_code, reply.json()["code"]) == (409, "server_not_ready")
    await api.stage.cancel(server.id)
    assert (await order(api, server.id, "reboot")).json()["code"] == "server_ending"


async def test_orders_of_another_workspace_s_server_find_nothing(api: Api) -> None:
    server_id = await api.ready_server()
    other = new_id("ws")
    for verb in ("reboot", "rescue"):
        path = f"/v1/workspaces/{other}/servers/{server_id}/{verb}"
        assert (await api.post(path, {"reason": "x"}, workspace_id=other)).status_code == 404
    assert (await api.stage.server(server_id)).boots == 0
