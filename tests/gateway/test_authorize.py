"""The decision and the route table."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import routes
from gateway.authorize import Principal, decide
from gateway.routes import BadTable, Match, Route, RouteTable
from gateway.settings import GatewaySettings
from shared.ids import new_id

TABLE = RouteTable.load(GatewaySettings.model_fields["permissions_file"].default)
NOW = 1_800_000_000
WS, OTHER = "ws_" + "1" * 32, "ws_" + "2" * 32
ALL_SCOPES = frozenset(route.scope for route in TABLE.routes if route.scope)
ROLES = ("owner", "admin", "member")
WORKSPACE_ROUTES = [route for route in TABLE.routes if route.access == "workspace"]


def person(*, signed_in_ago: int = 0) -> Principal:
    return Principal("user", "usr_1", NOW + 600, session_id="ses_1", authenticated_at=NOW - signed_in_ago)


def key(*scopes: str, workspace_id: str = WS) -> Principal:
    return Principal(
        "api_key", "usr_1", NOW + 600, key_id="key_1", workspace_id=workspace_id, scopes=frozenset(scopes)
    )


def name(route: Route) -> str:
    return f"{route.method} {route.path}"


def route(text: str) -> Route:
    return next(item for item in TABLE.routes if name(item) == text)


SERVER = "GET /v1/workspaces/{workspace_id}/servers/{server_id}"
EXPORT = "POST /v1/workspaces/{workspace_id}/exports"
CANCEL = "POST /v1/workspaces/{workspace_id}/servers/{server_id}/cancel"
DELETE = "DELETE /v1/workspaces/{workspace_id}"
BUY = "POST /v1/workspaces/{workspace_id}/subscriptions"
AUDIT = "GET /v1/workspaces/{workspace_id}/audit"


@pytest.mark.asvs("8.2.1")
@pytest.mark.parametrize(
    ("wanted", "owner", "admin", "member"),
    [
        (SERVER, None, None, None),
        (EXPORT, None, None, "forbidden"),
        (CANCEL, None, None, "forbidden"),
        (BUY, None, "forbidden", "forbidden"),
        (DELETE, None, "forbidden", "forbidden"),
        (AUDIT, None, None, "forbidden"),
        ("POST /v1/workspaces/{workspace_id}/mailboxes/{mailbox_id}/reveal", None, None, "forbidden"),
        (
            "POST /v1/workspaces/{workspace_id}/mailboxes/{mailbox_id}/webmail-sessions",
            None,
            None,
            "forbidden",
        ),
        ("POST /v1/workspaces/{workspace_id}/invitations", None, None, "forbidden"),
        ("POST /v1/workspaces/{workspace_id}/api-keys", None, None, "forbidden"),
        ("GET /v1/workspaces/{workspace_id}/domains", None, None, None),
        ("GET /v1/workspaces/{workspace_id}/mailboxes", None, None, None),
        ("GET /v1/workspaces/{workspace_id}/servers/{server_id}/reputation", None, None, None),
        ("GET /v1/workspaces/{workspace_id}/zones", None, None, "forbidden"),
    ],
)
def test_what_each_role_may(wanted: str, owner: str | None, admin: str | None, member: str | None) -> None:
    outcomes = [decide(route(wanted), person(), WS, role, NOW).refusal for role in ROLES]
    assert outcomes == [owner, admin, member]


@pytest.mark.parametrize("wanted", WORKSPACE_ROUTES, ids=name)
def test_outside_of_a_workspace_nothing_exists(wanted: Route) -> None:
    for principal in (person(), key(*ALL_SCOPES)):
        assert decide(wanted, principal, WS, None, NOW).refusal == "not_found"
    assert decide(wanted, key(*ALL_SCOPES, workspace_id=OTHER), WS, "owner", NOW).refusal == "not_found"
    assert decide(wanted, None, WS, None, NOW).refusal == "unauthenticated"


@pytest.mark.asvs("10.3.2")
@pytest.mark.parametrize("wanted", WORKSPACE_ROUTES, ids=name)
def test_a_key_needs_the_scope_and_its_maker_the_role(wanted: Route) -> None:
    assert decide(wanted, key(), WS, "owner", NOW).refusal == (None if wanted.scope == "any" else "forbidden")
    everything = decide(wanted, key(*ALL_SCOPES), WS, "owner", NOW).refusal
    assert everything == (None if wanted.scope else "forbidden")
    for role in set(ROLES) - wanted.roles:
        assert decide(wanted, key(*ALL_SCOPES), WS, role, NOW).refusal == "forbidden"


def test_a_reading_key_reads_and_does_not_write() -> None:
    reader = key("servers:read")
    assert decide(route(SERVER), reader, WS, "owner", NOW).refusal is None
    assert decide(route(CANCEL), reader, WS, "owner", NOW).refusal == "forbidden"


@pytest.mark.asvs("10.3.4")
def test_step_up_asks_for_a_fresh_sign_in_of_a_person() -> None:
    assert decide(route(DELETE), person(signed_in_ago=300), WS, "owner", NOW).refusal is None
    assert decide(route(DELETE), person(signed_in_ago=301), WS, "owner", NOW).refusal == "step_up_required"
    assert decide(route(DELETE), person(signed_in_ago=301), WS, "member", NOW).refusal == "forbidden"
    assert decide(route(DELETE), key(*ALL_SCOPES), WS, "owner", NOW).refusal == "forbidden"


def test_routes_of_people_refuse_keys() -> None:
    for wanted in TABLE.routes:
        if wanted.access == "signed_in":
            assert decide(wanted, key(*ALL_SCOPES), None, None, NOW).refusal == "forbidden"
            assert decide(wanted, person(), None, None, NOW).refusal is None


def test_permissions_grow_with_the_role_and_never_by_scopes() -> None:
    owner, admin, member = (TABLE.permissions_of(role) for role in ROLES)
    assert member < admin < owner
    assert owner - admin == {"workspace.delete", "workspace.transfer", "billing.read", "billing.write"}
    for role, scope in itertools.product(ROLES, ALL_SCOPES):
        assert TABLE.permissions_for(role, frozenset({scope})) <= TABLE.permissions_of(role)
    assert TABLE.permissions_for("owner", frozenset()) == {"workspace.read"}
    reader = TABLE.permissions_for("owner", frozenset({"servers:read"}))
    assert reader == {"workspace.read", "servers.read", "subscriptions.read", "jobs.read"}
    assert TABLE.permissions_for("nobody", None) == frozenset()


@given(
    st.sampled_from(WORKSPACE_ROUTES), st.sampled_from(ROLES), st.sets(st.sampled_from(sorted(ALL_SCOPES)))
)
def test_a_key_that_passes_carries_the_permission_that_the_service_checks(
    wanted: Route, role: str, scopes: set[str]
) -> None:
    if decide(wanted, key(*scopes), WS, role, NOW).refusal is None:
        assert wanted.permission in TABLE.permissions_for(role, frozenset(scopes))


@given(
    st.sampled_from(WORKSPACE_ROUTES), st.sampled_from(ROLES), st.sets(st.sampled_from(sorted(ALL_SCOPES)))
)
def test_a_key_passes_nowhere_where_its_maker_would_not(wanted: Route, role: str, scopes: set[str]) -> None:
    if decide(wanted, key(*scopes), WS, role, NOW).refusal is None:
        assert decide(wanted, person(), WS, role, NOW).refusal is None
    assert TABLE.permissions_for(role, frozenset(scopes)) <= TABLE.permissions_of(role)


@given(st.sampled_from(WORKSPACE_ROUTES), st.integers(0, 2), st.integers(0, 2))
def test_a_higher_role_passes_wherever_a_lower_one_does(wanted: Route, one: int, other: int) -> None:
    high, low = ROLES[min(one, other)], ROLES[max(one, other)]
    if decide(wanted, person(), WS, low, NOW).refusal is None:
        assert decide(wanted, person(), WS, high, NOW).refusal is None


@pytest.mark.asvs("3.5.3", "13.4.4")
def test_every_route_matches_itself_and_only_with_its_methods() -> None:
    for wanted in TABLE.routes:
        path = "/".join(new_id("srv") if part.startswith("{") else part for part in wanted.path.split("/"))
        match = TABLE.match(wanted.method, path.encode())
        assert isinstance(match, Match)
        assert match.route == wanted
        others = TABLE.match("TRACE", path.encode())
        assert isinstance(others, frozenset)
        assert wanted.method in others


@pytest.mark.asvs("8.2.1")
@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/v1/",
        "/v1/me/",
        "/V1/me",
        "/internal/memberships",
        "/v1/internal/memberships",
        "/openapi.json",
        "/v1/workspaces//members",
        f"/v1/workspaces/{WS}/members/a/b",
        "/v1/workspaces/" + "a" * 200,
    ],
)
def test_what_is_not_listed_does_not_exist(path: str) -> None:
    assert TABLE.match("GET", path.encode()) == frozenset()


def test_a_path_that_is_known_means_the_same_and_with_its_own_method_only() -> None:
    path = f"/v1/workspaces/{WS}/members".encode()
    first = TABLE.match("GET", path)
    assert isinstance(first, Match)
    assert TABLE.matched("GET", path)
    assert TABLE.match("GET", path) == first
    assert not TABLE.matched("DELETE", path)
    assert isinstance(TABLE.match("DELETE", path), frozenset)


def test_no_more_paths_are_known_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "MAX_KNOWN", 3)
    table = RouteTable(TABLE.routes)
    paths = [f"/v1/workspaces/{new_id('ws')}/members".encode() for _ in range(10)]
    for path in paths:
        table.match("GET", path)
    assert sum(table.matched("GET", path) for path in paths) <= 3


ENTRY = {
    "method": "GET",
    "path": "/v1/workspaces/{workspace_id}/x",
    "service": "dns",
    "access": "workspace",
    "permission": "x.read",
    "roles": ["owner"],
}


@pytest.mark.parametrize(
    "change",
    [
        {"access": "signed_in"},
        {"permission": None},
        {"roles": []},
        {"path": "/v1/x"},
        {"path": "/internal/x"},
        {"scope": "x:read", "step_up": 60},
        {"method": "TRACE"},
        {"service": "mail"},
        {"surprise": 1},
    ],
)
def test_a_line_that_contradicts_itself_is_refused(change: dict[str, object]) -> None:
    Route.model_validate(ENTRY)
    with pytest.raises(ValueError, match="validation error"):
        Route.model_validate({**ENTRY, **change})


def test_a_table_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    one = Route.model_validate(ENTRY)
    other = Route.model_validate({**ENTRY, "path": "/v1/workspaces/{workspace_id}/y", "roles": ["admin"]})
    with pytest.raises(BadTable, match="twice"):
        RouteTable([one, one])
    with pytest.raises(BadTable, match="different roles"):
        RouteTable([one, other])
    (tmp_path / "bad.toml").write_text("[[route]]\nmethod = 'GET'\n")
    with pytest.raises(BadTable):
        RouteTable.load(tmp_path / "bad.toml")
