"""What is asked wrongly of a route that shows or changes secrets: a problem, nothing decrypted, one audit row."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple

import httpx
import pytest

from services.vault import refusals
from shared.contracts.provisioner_events import MailboxRemoved
from shared.ids import new_id
from tests.vault.conftest import Vault, Workspace

W = "/v1/workspaces/{workspace_id}"
REVEAL = f"POST {W}/mailboxes/{{mailbox_id}}/reveal"
WEBMAIL = f"POST {W}/mailboxes/{{mailbox_id}}/webmail-sessions"
END_WEBMAIL = f"DELETE {W}/mailboxes/{{mailbox_id}}/webmail-sessions"
EXPORT = f"POST {W}/exports"
DOWNLOAD = f"POST {W}/exports/{{export_id}}/download"
PROVIDER_TOKEN = "GET /internal/provider-tokens/{token_id}"
SET = f"POST {W}/mailboxes/{{mailbox_id}}/chosen-password"
RENEW = f"POST {W}/mailboxes/{{mailbox_id}}/password"
APP_PASSWORD = f"POST {W}/mailboxes/{{mailbox_id}}/app-passwords"
REVOKE = f"DELETE {W}/app-passwords/{{app_password_id}}"
ROTATE = f"POST {W}/credential-reads/rotate"
EXPORT_BODY = {"format": "csv", "reason": "because", "main_password": True}
NUL, KEY = "be\0cause", "\U0001f511"


@dataclass
class Scene:
    """A workspace with a mailbox and an open export, a stranger's, and what the request under test is made of."""

    vault: Vault
    own: Workspace
    stranger: Workspace
    ids: dict[str, str]
    token: str
    body: dict[str, Any] = field(default_factory=dict)
    workspace_id: str = ""

    async def send(self, route: str) -> httpx.Response:
        method, path = route.split(" ")
        internal = path.startswith("/internal/")
        headers = self.own.service("dns") if internal else self.own.headers()
        return await self.vault.client.request(
            method,
            path.format(workspace_id=self.workspace_id or self.own.id, **self.ids),
            content=None if route not in BODIES else json.dumps(BODIES[route](self) | self.body),
            params={"workspace_id": self.own.id} if internal else None,
            headers=headers | {"Idempotency-Key": new_id("req"), "Content-Type": "application/json"},
        )


BODIES: dict[str, Callable[[Scene], dict[str, Any]]] = {
    REVEAL: lambda _: {"reason": "because"},
    WEBMAIL: lambda _: {},
    EXPORT: lambda _: EXPORT_BODY,
    DOWNLOAD: lambda scene: {"token": scene.token},
    SET: lambda _: {"password": "nine purple tractors", "reason": "because"},
    RENEW: lambda _: {"reason": "because"},
    APP_PASSWORD: lambda _: {"name": "phone", "reason": "because"},
    ROTATE: lambda scene: {"actor_id": scene.own.owner, "reason": "because"},
}


async def furnished(vault: Vault) -> tuple[Workspace, dict[str, str], str]:
    workspace = vault.workspace()
    await workspace.server()
    mailbox_id = await workspace.mailbox()
    made = await workspace.post("/exports", EXPORT_BODY, key=new_id("req"))
    token = {"provider": "cloudflare", "token": "x" * 40, "label": "zone"}
    kept = await workspace.post("/provider-tokens", token, key=new_id("req"))
    wish = {"name": "tablet", "reason": "because"}
    app = await workspace.post(f"/mailboxes/{mailbox_id}/app-passwords", wish, key=new_id("req"))
    ids = {
        "mailbox_id": mailbox_id, "export_id": made.json()["id"], "token_id": kept.json()["id"],
        "app_password_id": app.json()["id"],
    }  # fmt: skip
    return workspace, ids, made.json()["token"]


async def set_scene(vault: Vault) -> Scene:
    (own, ids, token), (stranger, foreign, foreign_token) = await furnished(vault), await furnished(vault)
    ids |= {f"foreign_{name}": value for name, value in foreign.items()}
    return Scene(vault, own, stranger, ids | {"foreign_token": foreign_token}, token)


Spoil = Callable[[Scene], Awaitable[None]]


def other(name: str, value: str | None = None) -> Spoil:
    """Another id in the path: the stranger's, or `value`."""

    async def spoil(scene: Scene) -> None:
        scene.ids[name] = value or scene.ids[f"foreign_{name}"]

    return spoil


def body(**members: Any) -> Spoil:
    async def spoil(scene: Scene) -> None:
        scene.body = members

    return spoil


async def strangers_workspace(scene: Scene) -> None:
    scene.workspace_id = scene.stranger.id


async def strangers_mailbox_in_the_list(scene: Scene) -> None:
    scene.body = {"mailbox_ids": [scene.ids["mailbox_id"], scene.ids["foreign_mailbox_id"]]}


async def strangers_link(scene: Scene) -> None:
    scene.body = {"token": scene.ids["foreign_token"]}


async def deleted_mailbox(scene: Scene) -> None:
    await scene.vault.bus.deliver(
        MailboxRemoved(workspace_id=scene.own.id, mailbox_id=scene.ids["mailbox_id"])
    )


async def deleted_mailbox_in_the_list(scene: Scene) -> None:
    await deleted_mailbox(scene)
    scene.body = {"mailbox_ids": [scene.ids["mailbox_id"]]}


async def expired_link(scene: Scene) -> None:
    scene.vault.clock.advance(timedelta(minutes=15))


async def used_link(scene: Scene) -> None:
    assert (await scene.send(DOWNLOAD)).status_code == 200


async def revoked(scene: Scene) -> None:
    assert (await scene.send(REVOKE)).status_code == 202


class Case(NamedTuple):
    name: str
    route: str
    spoil: Spoil
    status: int
    code: str


BATCH = [f"mbx_{number:032x}" for number in range(10_001)]


PREFIXES = {"mailbox_id": "mbx", "export_id": "exp", "token_id": "ptk", "app_password_id": "apw"}


def ids_of(route: str, name: str) -> list[Case]:
    """What a path can name wrongly, the same for every route."""
    unknown = new_id(PREFIXES[name])
    return [
        Case("unknown id", route, other(name, unknown), 404, "not_found"),
        Case("a stranger's id", route, other(name), 404, "not_found"),
        Case("NUL in the id", route, other(name, "mbx_%00"), 404, "not_found"),
        Case("a four-byte character in the id", route, other(name, KEY), 404, "not_found"),
    ]


def reasons_of(route: str) -> list[Case]:
    return [
        Case("no reason", route, body(reason=""), 422, "invalid"),
        Case("NUL in the reason", route, body(reason=NUL), 422, "invalid"),
        Case("half a character in the reason", route, body(reason="be\ud83dcause"), 422, "invalid"),
        Case("reason too long", route, body(reason=KEY * 501), 422, "invalid"),
        Case("unknown member", route, body(purpose="because"), 422, "invalid"),
    ]


CASES = [
    *ids_of(REVEAL, "mailbox_id"),
    *reasons_of(REVEAL),
    Case("deleted mailbox", REVEAL, deleted_mailbox, 404, "not_found"),
    *(case for route in (WEBMAIL, END_WEBMAIL) for case in ids_of(route, "mailbox_id")),
    *(Case("deleted mailbox", route, deleted_mailbox, 404, "not_found") for route in (WEBMAIL, END_WEBMAIL)),
    *reasons_of(EXPORT),
    Case("unknown format", EXPORT, body(format="xlsx"), 422, "invalid"),
    Case("NUL in the format", EXPORT, body(format="csv\0"), 422, "invalid"),
    Case("a four-byte character in the format", EXPORT, body(format=KEY), 422, "invalid"),
    Case("oversized batch", EXPORT, body(mailbox_ids=BATCH), 422, "invalid"),
    Case("empty batch", EXPORT, body(mailbox_ids=[]), 422, "invalid"),
    Case("malformed id in the batch", EXPORT, body(mailbox_ids=["mbx_\0"]), 422, "invalid"),
    Case("unknown mailbox", EXPORT, body(mailbox_ids=[new_id("mbx")]), 422, "unknown_mailbox"),
    Case("a stranger's mailbox", EXPORT, strangers_mailbox_in_the_list, 422, "unknown_mailbox"),
    Case("deleted mailbox", EXPORT, deleted_mailbox_in_the_list, 422, "unknown_mailbox"),
    Case("no mailbox left", EXPORT, deleted_mailbox, 422, "nothing_to_export"),
    *ids_of(DOWNLOAD, "export_id"),
    Case("expired link", DOWNLOAD, expired_link, 410, "export_expired"),
    Case("reused link", DOWNLOAD, used_link, 410, "export_used"),
    Case("wrong token", DOWNLOAD, body(token="A" * 43), 403, "export_token_wrong"),
    Case("a stranger's token", DOWNLOAD, strangers_link, 403, "export_token_wrong"),
    Case("NUL in the token", DOWNLOAD, body(token=NUL), 403, "export_token_wrong"),
    Case("a four-byte character in the token", DOWNLOAD, body(token=KEY), 403, "export_token_wrong"),
    Case("oversized token", DOWNLOAD, body(token="A" * 129), 422, "invalid"),
    *ids_of(PROVIDER_TOKEN, "token_id"),
    *(case for route in (SET, RENEW, APP_PASSWORD) for case in ids_of(route, "mailbox_id")),
    *(case for route in (SET, RENEW, APP_PASSWORD, ROTATE) for case in reasons_of(route)),
    *(
        Case("deleted mailbox", route, deleted_mailbox, 404, "not_found")
        for route in (SET, RENEW, APP_PASSWORD, REVOKE)
    ),
    Case("NUL in the password", SET, body(password="nine purple\0tractors"), 422, "password_refused"),
    Case("a four-byte character in the password", SET, body(password=KEY * 12), 422, "password_refused"),
    Case("NUL in the name", APP_PASSWORD, body(name="pho\0ne"), 422, "invalid"),
    Case("half a character in the name", APP_PASSWORD, body(name="\ud83d"), 422, "invalid"),
    Case("name too long", APP_PASSWORD, body(name=KEY * 81), 422, "invalid"),
    *ids_of(REVOKE, "app_password_id"),
    Case("revoked before", REVOKE, revoked, 404, "not_found"),
    Case("malformed reader", ROTATE, body(actor_id=KEY), 422, "invalid"),
    Case("a moment without an offset", ROTATE, body(since="2026-01-01T00:00:00"), 422, "invalid"),
    *(
        Case("a stranger's workspace", route, strangers_workspace, 404, "not_found")
        for route in (REVEAL, WEBMAIL, END_WEBMAIL, EXPORT, DOWNLOAD, SET, RENEW, APP_PASSWORD, REVOKE, ROTATE)
    ),
]  # fmt: skip


ROUTES = sorted({case.route for case in CASES})
NAMES = [f"{route.split(' ')[0].lower()} {route.rsplit('/', 1)[1]}" for route in ROUTES]


@pytest.mark.asvs("16.3.2")
@pytest.mark.parametrize("route", ROUTES, ids=NAMES)
async def test_bad_input_decrypts_nothing_and_is_one_audit_row(vault: Vault, route: str) -> None:
    for case in (case for case in CASES if case.route == route):
        scene = await set_scene(vault)
        await case.spoil(scene)
        before, others = await scene.own.audit(), await scene.stranger.audit()
        decrypts = await scene.own.decrypts(), await scene.stranger.decrypts()

        answer = await scene.send(route)

        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (case.status, case.code), case.name
        assert answer.headers["content-type"] == "application/problem+json"
        assert problem["detail"]
        assert answer.status_code == 404 or problem["next_action"], (
            case.name
        )  # a 404 tells nobody more than that
        assert (await scene.own.decrypts(), await scene.stranger.decrypts()) == decrypts, case.name
        rows = (await scene.own.audit())[len(before) :]
        assert [(row["outcome"], row["reason"]) for row in rows] == [
            ("failed" if case.status == 422 else "denied", case.code)
        ], case.name
        assert await scene.stranger.audit() == others


def test_every_route_that_reads_has_its_cases() -> None:
    """Those of the provisioner make or rekey; what may be wrong with their bodies has tests beside them."""
    by_provisioner = {"PUT /internal/mailboxes/{mailbox_id}", "PUT /internal/servers/{server_id}/webmail-key"}
    reading = {f"{method} {path}" for method, path in refusals.WATCHED} - by_provisioner
    assert {case.route for case in CASES} == reading - {f"POST {W}/provider-tokens"}


async def test_four_byte_characters_in_a_reason_are_kept(vault: Vault) -> None:
    scene = await set_scene(vault)
    for route in (REVEAL, EXPORT):
        scene.body = {"reason": f"for the {KEY} rotation"}
        assert (await scene.send(route)).is_success
        assert (await scene.own.audit())[-1]["reason"] == f"for the {KEY} rotation"
