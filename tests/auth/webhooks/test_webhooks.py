"""Webhooks of workspaces: who makes them, what is kept of their secrets, and what becomes of them."""

from __future__ import annotations

import asyncio
import base64
import time
from dataclasses import replace
from datetime import timedelta
from typing import Any, get_args

import pytest
from pydantic import SecretStr, ValidationError
from sqlalchemy import text

from services.auth.models import Webhook
from services.auth.sealing import Sealing
from services.auth.settings import ApiSettings, WorkerSettings
from services.auth.webhooks.events import OFFERED
from services.auth.webhooks.schemas import EventName
from services.auth.webhooks.service import WEBHOOKS_PER_WORKSPACE, Webhooks
from shared.contracts import dns_events, provisioner_events
from shared.contracts.auth_events import AuthAuditRecorded
from shared.contracts.reputation_events import AddressChecked
from shared.special_use import REFUSED_NETWORKS, without
from tests.auth.stage import Person, Stage
from tests.fixtures.identity import Trust

URL = "https://hooks.customer.com/in?token=abc"


async def ask(
    auth: Stage,
    owner: Person,
    workspace_id: str,
    method: str = "GET",
    path: str = "",
    body: Any = None,
    **headers: str,
) -> tuple[int, Any]:
    answer = await auth.client.request(
        method,
        f"/v1/workspaces/{workspace_id}/webhooks{path}",
        json=body,
        headers={
            **auth.as_user(owner.id, workspace_id),
            **{k.replace("_", "-"): v for k, v in headers.items()},
        },
    )
    return answer.status_code, answer.json() if answer.content else None


async def make(auth: Stage, owner: Person, workspace_id: str, url: str = URL, *events: str) -> dict[str, Any]:
    body = {"url": url, "events": list(events) or ["server.deleted"]}
    status, made = await ask(auth, owner, workspace_id, "POST", body=body)
    assert status == 201, made
    return dict(made)


@pytest.fixture
async def home(auth: Stage) -> tuple[Person, str]:
    owner = await auth.person()
    return owner, await auth.workspace(owner)


async def test_a_secret_is_shown_once(auth: Stage, home: tuple[Person, str]) -> None:
    owner, workspace_id = home
    body = {"url": URL, "events": ["server.ready", "server.ready"]}
    first = await ask(auth, owner, workspace_id, "POST", body=body, Idempotency_Key="the-same")
    again = await ask(auth, owner, workspace_id, "POST", body=body, Idempotency_Key="the-same")
    secret = first[1]["secret"]
    assert secret.startswith("whsec_")
    assert again == (201, {**first[1], "secret": None})
    _, listed = await ask(auth, owner, workspace_id)
    shown = {key: value for key, value in first[1].items() if key != "secret"}
    assert listed == {"items": [shown], "next_cursor": None}
    assert shown["events"] == ["server.ready"]
    assert await ask(auth, owner, workspace_id, path=f"/{shown['id']}") == (200, shown)


@pytest.mark.asvs("11.5.1", "13.3.1")
async def test_a_secret_is_in_no_table_and_a_urls_token_in_no_audit_row(
    auth: Stage, home: tuple[Person, str]
) -> None:
    made = await make(auth, *home)
    key = base64.b64decode(made["secret"].removeprefix("whsec_"))
    async with auth.worker.database.transaction() as session:
        for table in ("webhook", "webhook_delivery", "outbox", "idempotency_key", "audit_entry"):
            rows = (await session.execute(text(f"select t::text from {table} t"))).scalars().all()  # noqa: S608
            assert not any(made["secret"] in row or key.hex() in row for row in rows), table
            assert table not in ("outbox", "audit_entry") or "token=abc" not in "".join(rows), table


@pytest.mark.parametrize(
    "url", ["http://hooks.customer.com/", "https://127.0.0.1/", "https://0x7f.1/", "https://localhost/",
            "https://metadata.internal/", "https://hooks.customer.com:22/", "https://u:p@hooks.customer.com/"],
)  # fmt: skip
@pytest.mark.asvs("1.3.6")
async def test_what_is_no_place_on_the_internet_is_refused(
    auth: Stage, home: tuple[Person, str], url: str
) -> None:
    status, answer = await ask(auth, *home, "POST", body={"url": url, "events": ["server.ready"]})
    assert (status, answer["code"], answer["errors"][0]["field"]) == (422, "webhook_url_refused", "body.url")
    made = await make(auth, *home)
    path = f"/{made['id']}"
    status, answer = await ask(auth, *home, "PATCH", path, {"url": url, "enabled": False}, If_Match='"1"')
    assert (status, answer["code"]) == (422, "webhook_url_refused")
    assert (await ask(auth, *home, path=path))[1]["version"] == 1


async def test_unknown_events_and_fields_are_refused(auth: Stage, home: tuple[Person, str]) -> None:
    for body in (
        {"url": URL, "events": []},
        {"url": URL, "events": ["server.exploded"]},
        {"url": URL, "events": ["server.ready"], "secret": "whsec_mine"},
    ):
        assert (await ask(auth, *home, "POST", body=body))[0] == 422


async def test_making_and_changing_need_a_fresh_sign_in(auth: Stage, home: tuple[Person, str]) -> None:
    owner, workspace_id = home
    made = await make(auth, owner, workspace_id)
    path = f"/v1/workspaces/{workspace_id}/webhooks"
    stale = auth.as_user(owner.id, workspace_id, auth_time=int(time.time()) - 301)
    for method, where, body in (
        ("POST", path, {"url": URL, "events": ["server.ready"]}),
        ("PATCH", f"{path}/{made['id']}", {"enabled": False}),
        ("POST", f"{path}/{made['id']}/rotate", {}),
    ):
        answer = await auth.client.request(method, where, json=body, headers={**stale, "If-Match": "*"})
        assert (answer.status_code, answer.json()["code"]) == (401, "step_up_required")


async def test_who_is_no_admin_any_more_makes_none(auth: Stage, home: tuple[Person, str]) -> None:
    owner, workspace_id = home
    guest = await auth.person()
    await auth.join(owner, workspace_id, guest)
    status, _ = await ask(auth, guest, workspace_id, "POST", body={"url": URL, "events": ["server.ready"]})
    assert status == 403, "the permission that the gateway saw is not believed"


async def test_a_change_needs_the_version_that_was_seen(auth: Stage, home: tuple[Person, str]) -> None:
    made = await make(auth, *home)
    path = f"/{made['id']}"
    assert (await ask(auth, *home, "PATCH", path, {"enabled": False}))[0] == 428
    status, changed = await ask(
        auth, *home, "PATCH", path, {"enabled": False, "events": ["domain.broken"]}, If_Match='"1"'
    )
    assert (status, changed["enabled"], changed["disabled_reason"]) == (200, False, "by_hand")
    assert changed["events"] == ["domain.broken"]
    assert (await ask(auth, *home, "PATCH", path, {"enabled": True}, If_Match='"1"'))[0] == 412
    status, changed = await ask(auth, *home, "PATCH", path, {"enabled": True}, If_Match='"2"')
    assert (changed["enabled"], changed["disabled_reason"], changed["url"]) == (True, None, URL)


async def test_many_at_once_make_no_more_than_the_limit(auth: Stage, home: tuple[Person, str]) -> None:
    body = {"url": URL, "events": ["server.ready"]}
    answers = await asyncio.gather(
        *(ask(auth, *home, "POST", body=body) for _ in range(WEBHOOKS_PER_WORKSPACE + 4))
    )
    assert sorted(status for status, _ in answers) == [201] * WEBHOOKS_PER_WORKSPACE + [409] * 4
    _, first = await ask(auth, *home, path="?limit=6")
    _, second = await ask(auth, *home, path=f"?limit=6&cursor={first['next_cursor']}")
    assert len({item["id"] for item in first["items"] + second["items"]}) == WEBHOOKS_PER_WORKSPACE


async def test_a_deleted_webhook_is_gone_with_its_deliveries(auth: Stage, home: tuple[Person, str]) -> None:
    owner, workspace_id = home
    made = await make(auth, owner, workspace_id)
    await auth.bus.deliver(deleted(workspace_id))
    assert await rows(auth, workspace_id) == {"webhook": 1, "webhook_delivery": 1}
    assert (await ask(auth, owner, workspace_id, "DELETE", f"/{made['id']}"))[0] == 204
    assert (await ask(auth, owner, workspace_id, path=f"/{made['id']}"))[0] == 404
    assert (await ask(auth, owner, workspace_id, path=f"/{made['id']}/deliveries"))[0] == 404
    assert await rows(auth, workspace_id) == {"webhook": 0, "webhook_delivery": 0}


async def test_nothing_is_sent_for_a_workspace_that_ends(auth: Stage, home: tuple[Person, str]) -> None:
    owner, workspace_id = home
    await make(auth, owner, workspace_id)
    await auth.bus.deliver(deleted(workspace_id))
    answer = await auth.client.request(
        "DELETE",
        f"/v1/workspaces/{workspace_id}",
        json={"confirm_name": "Mill"},
        headers=auth.as_user(owner.id, workspace_id),
    )
    assert answer.status_code == 202
    assert await rows(auth, workspace_id) == {"webhook": 0, "webhook_delivery": 0}
    await auth.bus.deliver(deleted(workspace_id))
    assert await rows(auth, workspace_id) == {"webhook": 0, "webhook_delivery": 0}


async def test_every_change_is_on_the_record_without_the_path_of_the_url(
    auth: Stage, home: tuple[Person, str]
) -> None:
    owner, workspace_id = home
    made = await make(auth, owner, workspace_id)
    path = f"/{made['id']}"
    await ask(auth, owner, workspace_id, "PATCH", path, {"events": ["server.ready"]}, If_Match="*")
    await ask(auth, owner, workspace_id, "POST", path + "/rotate", {})
    await ask(auth, owner, workspace_id, "DELETE", path)
    recorded = [
        (event.action, event.data.get("host"))
        for event in await auth.bus.emitted(AuthAuditRecorded)
        if event.target == made["id"]
    ]
    assert recorded == [
        ("auth.webhook.created", "hooks.customer.com"),
        ("auth.webhook.changed", "hooks.customer.com"),
        ("auth.webhook.secret_rotated", None),
        ("auth.webhook.deleted", "hooks.customer.com"),
    ]


# -- what is queued ----------------------------------------------------------------------------------------------


def deleted(workspace_id: str) -> provisioner_events.ServerDeleted:
    return provisioner_events.ServerDeleted(workspace_id=workspace_id, server_id="srv_1", hostname="s1.test")


async def rows(auth: Stage, workspace_id: str) -> dict[str, int]:
    async with auth.worker.database.transaction() as session:
        return {
            table: await session.scalar(
                text(f"select count(*) from {table} where workspace_id = :id"),  # noqa: S608
                {"id": workspace_id},
            )
            or 0
            for table in ("webhook", "webhook_delivery")
        }


def test_every_event_that_can_be_chosen_is_offered_once() -> None:
    assert [offered.name for offered in OFFERED] == list(get_args(EventName))


async def test_an_event_waits_for_each_webhook_that_chose_it_and_for_no_other(
    auth: Stage, home: tuple[Person, str]
) -> None:
    owner, workspace_id = home
    stranger = await auth.person()
    elsewhere = await auth.workspace(stranger)
    await make(auth, stranger, elsewhere)
    wanted = await make(auth, owner, workspace_id)
    other = await make(auth, owner, workspace_id, URL, "domain.broken")
    off = await make(auth, owner, workspace_id)
    await ask(auth, owner, workspace_id, "PATCH", f"/{off['id']}", {"enabled": False}, If_Match="*")
    envelope = await auth.bus.deliver(deleted(workspace_id))
    await auth.bus.deliver(deleted(workspace_id), envelope=envelope)
    found = {
        made["id"]: (await ask(auth, owner, workspace_id, path=f"/{made['id']}/deliveries"))[1]["items"]
        for made in (wanted, other, off)
    }
    assert [len(items) for items in found.values()] == [1, 0, 0]
    item = found[wanted["id"]][0]
    assert (item["event_id"], item["event"]) == (envelope.id, "server.deleted")
    assert (item["state"], item["attempts"]) == ("pending", 0)
    assert (await rows(auth, elsewhere))["webhook_delivery"] == 0


async def test_an_event_about_nothing_is_not_told(auth: Stage, home: tuple[Person, str]) -> None:
    """A candidate address that is clean was not refused."""
    owner, workspace_id = home
    await make(auth, owner, workspace_id, URL, "address.refused")
    for verdict in ("clean", "unknown", "listed"):
        event = AddressChecked.model_validate(
            {
                "workspace_id": workspace_id,
                "server_id": "s",
                "address_id": "a",
                "address": "x",
                "verdict": verdict,
            }
        )
        await auth.bus.deliver(event)
    assert (await rows(auth, workspace_id))["webhook_delivery"] == 1


async def test_deliveries_come_in_pages_the_newest_first(auth: Stage, home: tuple[Person, str]) -> None:
    owner, workspace_id = home
    made = await make(auth, owner, workspace_id, URL, "domain.verified")
    for number in range(5):
        event = dns_events.DomainVerified(
            workspace_id=workspace_id, server_id="s", domain_id=str(number), name="customer.com"
        )
        await auth.bus.deliver(event)
    path = f"/{made['id']}/deliveries"
    _, first = await ask(auth, owner, workspace_id, path=path + "?limit=3")
    _, second = await ask(auth, owner, workspace_id, path=f"{path}?limit=3&cursor={first['next_cursor']}")
    ids = [item["id"] for item in first["items"] + second["items"]]
    assert (len(ids), second["next_cursor"]) == (5, None)
    assert ids == sorted(ids, reverse=True)


# -- settings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed",
    [{"webhook_refused_networks": without(REFUSED_NETWORKS, "127.0.0.1/32")}, {"webhook_refused_networks": ()},
     {"webhook_ports": (443, 8443, 22)}],
)  # fmt: skip
@pytest.mark.parametrize("kind", [ApiSettings, WorkerSettings])
@pytest.mark.asvs("1.3.6")
def test_production_takes_no_other_networks_or_ports(
    auth: Stage, trust: Trust, kind: type[ApiSettings] | type[WorkerSettings], changed: dict[str, Any]
) -> None:
    told = {
        **auth.settings.model_dump(),
        "mail_key_file": "x",
        "resend_api_key": "x",
        "mail_from": "x",
        **changed,
    }
    assert kind(**{**told, "environment": "sandbox"})
    with pytest.raises(ValidationError, match="production"):
        kind(**{**told, "environment": "production"})


async def test_a_new_key_takes_over_while_the_old_one_is_there(auth: Stage, home: tuple[Person, str]) -> None:
    made = await make(auth, *home)
    new = SecretStr("another " * 8)
    both = Webhooks(auth.clock, Sealing("webhook", new, auth.settings.webhook_key))
    alone = replace(both, sealing=Sealing("webhook", new))
    async with auth.worker.database.transaction() as session:
        row = await session.get_one(Webhook, made["id"])
        both.seal_anew(row)
        shown = [secret.get_secret_value() for secret in alone.secrets_of(row, auth.clock.now())]
    assert shown == [made["secret"]]


async def test_a_rotated_secret_signs_along_until_its_time_is_over(
    auth: Stage, home: tuple[Person, str]
) -> None:
    made = await make(auth, *home)
    status, rotated = await ask(auth, *home, "POST", f"/{made['id']}/rotate", {"overlap_hours": 2})
    assert (status, rotated["version"]) == (201, 2)
    webhooks = Webhooks(auth.clock, Sealing("webhook", auth.settings.webhook_key))
    for hours, expected in ((0, [rotated["secret"], made["secret"]]), (2, [rotated["secret"]])):
        async with auth.worker.database.transaction() as session:
            row = await session.get_one(Webhook, made["id"])
            found = webhooks.secrets_of(row, auth.clock.now() + timedelta(hours=hours))
        assert [secret.get_secret_value() for secret in found] == expected
    _, again = await ask(auth, *home, "POST", f"/{made['id']}/rotate", {"overlap_hours": 0})
    assert again["previous_secret_until"] is None
