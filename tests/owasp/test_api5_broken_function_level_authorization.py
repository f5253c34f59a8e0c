"""API5:2023 Broken Function Level Authorization: what a role may not do, it cannot do by another name either.

`tests/gateway/test_authorize.py` and the isolation matrix hold every route to every role. Here are the ways round that.
"""

from __future__ import annotations

from gateway.openapi import operations
from shared.ids import new_id
from shared.web.problems import not_found
from tests.isolation.cases import TABLE
from tests.owasp.front import Front, W

NOTHING = bytes(not_found().body)
OWNERS_ONLY = [route for route in TABLE.routes if route.access == "workspace" and "member" not in route.roles]


async def test_a_member_cannot_do_what_is_for_those_in_charge(stage: Front) -> None:
    a = stage.world.a
    token = await stage.token(await stage.person((a, "member")))
    for route in OWNERS_ONLY:
        path, body = await stage.request_of(f"{route.method} {route.path}", a)
        answer = await stage.ask(token, route.method, path, body, If_Match='"1"')
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), path


async def test_a_method_in_a_header_is_not_the_method(stage: Front) -> None:
    a = stage.world.a
    key = await stage.made("auth", "key_id", a)
    token = await stage.owner(a)
    path = f"/v1/workspaces/{a.workspace_id}/api-keys"
    for header in ("X_HTTP_Method_Override", "X_Method_Override", "X_HTTP_Method"):
        answer = await stage.ask(token, "GET", path, None, **{header: "DELETE"})
        assert answer.status_code in (200, 400)
    assert key.id in (await stage.ask(token, "GET", path)).text


async def test_other_methods_do_not_get_round_the_table(stage: Front) -> None:
    a = stage.world.a
    token = await stage.token(await stage.person((a, "member")))
    for method in ("HEAD", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "PUT"):
        answer = await stage.ask(token, method, f"/v1/workspaces/{a.workspace_id}/audit")
        assert answer.status_code in (400, 405), method


async def test_roles_and_permissions_that_a_caller_claims_are_not_heard(stage: Front) -> None:
    a = stage.world.a
    member = await stage.token(await stage.person((a, "member")))
    forged = stage.world.trust.user(
        "auth",
        workspace_id=a.workspace_id,
        account_id=a.account_id,
        permissions=TABLE.permissions_of("owner"),
    )["X-SC-Identity"]
    path = f"/v1/workspaces/{a.workspace_id}/audit"
    for headers in (
        {"X_SC_Identity": forged},
        {"X_Role": "owner"},
        {"X_SC_Role": "owner", "X_SC_Permissions": "audit.read"},
        {"X_Forwarded_User": a.account_id, "X_Original_URL": "/v1/me", "X_Rewrite_URL": "/v1/me"},
    ):
        assert (await stage.ask(member, "GET", path, None, **headers)).status_code in (400, 403)
        alone = await stage.ask(None, "GET", path, None, **headers)
        assert alone.status_code in (400, 401)


async def test_inner_routes_of_the_services_do_not_exist_outside(stage: Front) -> None:
    """All paths of all services that are not public, in several spellings, as the owner."""
    a = stage.world.a
    token = await stage.owner(a)
    tried = 0
    for service, app in stage.world.apps.items():
        document = app.openapi()
        public = {path for _, path, _ in operations(document)}
        for path, item in document["paths"].items():
            if path in public:
                continue
            filled = path.replace("{mailbox_id}", new_id("mbx")).replace("{", "").replace("}", "")
            for spelled in (
                filled,
                f"/v1{filled}",
                f"/v1/..{filled}",
                f"/v1/{service}{filled}",
                f"/{service}{filled}",
            ):
                if spelled in ("/healthz", "/readyz", "/metrics"):
                    continue  # the gateway's own, which nginx does not pass on
                for method in item:
                    answer = await stage.ask(token, method.upper(), spelled, None)
                    assert answer.status_code in (400, 404), (method, spelled, answer.status_code)
                    tried += 1
    assert tried > 20


async def test_nobody_raises_himself(stage: Front) -> None:
    a = stage.world.a
    admin = await stage.person((a, "admin"))
    token = await stage.token(admin)
    members = (await stage.ask(token, "GET", f"/v1/workspaces/{a.workspace_id}/members")).json()["items"]
    mine = next(item for item in members if item["account_id"] == admin)
    owner = next(item for item in members if item["account_id"] == a.account_id)
    path = f"/v1/workspaces/{a.workspace_id}"
    attempts = [
        ("PATCH", f"{path}/members/{mine['id']}", {"role": "owner"}),
        ("PATCH", f"{path}/members/{owner['id']}", {"role": "member"}),
        ("DELETE", f"{path}/members/{owner['id']}", None),
        ("POST", f"{path}/transfer", {"member_id": mine["id"]}),
        ("POST", f"{path}/invitations", {"email": "second@people.test", "role": "owner"}),
    ]
    for method, at, body in attempts:
        assert (await stage.ask(token, method, at, body)).status_code in (403, 422), at
    after = (await stage.ask(token, "GET", f"{path}/members")).json()["items"]
    assert {item["id"]: item["role"] for item in after} == {item["id"]: item["role"] for item in members}


async def test_a_key_can_do_nothing_that_is_for_people(stage: Front) -> None:
    """Every route without a scope, with a key that has all scopes there are."""
    a = stage.world.a
    scopes = sorted({route.scope for route in TABLE.routes if route.scope and ":" in route.scope})
    made = await stage.ask(
        await stage.owner(a),
        "POST",
        f"/v1/workspaces/{a.workspace_id}/api-keys",
        {"name": "k", "scopes": scopes},
    )
    assert made.status_code == 201, made.text
    key = made.json()["key"]
    for route in TABLE.routes:
        if route.access == "public" or route.scope is not None or "{" in route.path.replace(W, ""):
            continue
        path, body = await stage.request_of(f"{route.method} {route.path}", a)
        answer = await stage.ask(key, route.method, path, body)
        assert answer.status_code == 403, (route.method, route.path, answer.status_code, answer.text)
