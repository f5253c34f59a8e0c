"""An application whose routes do not say who may use them does not start."""

from typing import Any

import pytest
from fastapi import APIRouter, FastAPI

from shared.settings import ServiceSettings
from shared.web import build_app, internal, public, requires, signed_in
from shared.web.access import MissingAccessRule
from tests.fixtures.identity import Trust


def build(trust: Trust, path: str, rules: list[Any], service: str = "vault", method: str = "GET") -> FastAPI:
    async def handler() -> None:
        return None

    router = APIRouter()
    router.add_api_route(path, handler, methods=[method], dependencies=rules)
    return build_app(service, trust.settings(ServiceSettings, service, "api"), [router])


@pytest.mark.parametrize(
    ("path", "rules"),
    [
        ("/v1/things", [requires("things.read")]),
        ("/v1/workspaces/{workspace_id}/things", [requires("things.read", step_up=300)]),
        ("/v1/me", [signed_in()]),
        ("/v1/webhooks/stripe", [public()]),
        ("/internal/provider-tokens/{token_id}", [internal("dns")]),
    ],
)
def test_one_rule_that_fits_is_enough(trust: Trust, path: str, rules: list[Any]) -> None:
    document = build(trust, path, rules).openapi()
    assert "x-access" in document["paths"][path]["get"]


@pytest.mark.parametrize(
    ("path", "rules"),
    [
        ("/v1/things", []),
        ("/v1/things", [public(), requires("things.read")]),
        ("/v1/things", [requires("a.b"), requires("c.d")]),
        ("/v1/workspaces/{workspace_id}/things", [signed_in()]),
        ("/v1/workspaces/{workspace_id}/things", [public()]),
        ("/v1/things", [internal("dns")]),
        ("/internal/provider-tokens/{token_id}", [public()]),
        ("/internal/provider-tokens/{token_id}", [internal("auth")]),
        ("/internal/provider-tokens/{token_id}", [internal("dns", "auth")]),
        ("/internal/anything", [internal("dns")]),
    ],
)
def test_anything_else_fails_at_start(trust: Trust, path: str, rules: list[Any]) -> None:
    with pytest.raises(MissingAccessRule):
        build(trust, path, rules)


def test_a_rule_on_the_router_counts(trust: Trust) -> None:
    async def handler() -> None:
        return None

    router = APIRouter(prefix="/v1", dependencies=[public()])
    router.add_api_route("/a", handler)
    outer = APIRouter()
    outer.include_router(router)
    settings = trust.settings(ServiceSettings, "vault", "api")
    assert build_app("vault", settings, [outer])
    router.add_api_route("/b", handler, dependencies=[public()])
    with pytest.raises(MissingAccessRule, match="/v1/b"):
        build_app("vault", settings, [outer])


def test_a_mounted_application_cannot_slip_in(trust: Trust) -> None:
    router = APIRouter()
    router.mount("/v1/files", FastAPI())
    with pytest.raises(MissingAccessRule):
        build_app("vault", trust.settings(ServiceSettings, "vault", "api"), [router])
