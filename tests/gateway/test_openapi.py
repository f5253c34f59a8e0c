"""One public document, and a table that agrees with the services."""

from __future__ import annotations

import copy
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from gateway.documentation import Documentation
from gateway.openapi import disagreements, merge, operations
from gateway.pool import ServiceDown
from gateway.routes import RouteTable
from gateway.settings import GatewaySettings
from tests.fixtures.identity import Trust
from tests.isolation.services import available, documents_of

TABLE = RouteTable.load(GatewaySettings.model_fields["permissions_file"].default)


@pytest.fixture(scope="session")
def documents(trust: Trust, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return documents_of(available(), trust, tmp_path_factory.mktemp("documents"))


def test_the_table_and_the_services_agree(documents: dict[str, Any]) -> None:
    assert disagreements(TABLE, documents) == []


def test_a_disagreement_of_any_kind_is_found(documents: dict[str, Any]) -> None:
    auth = {"auth": documents["auth"]}
    path = "/v1/workspaces/{workspace_id}/audit"

    def changed(change: Any) -> list[str]:
        copied = copy.deepcopy(auth)
        change(copied["auth"]["paths"])
        return disagreements(TABLE, copied)

    assert disagreements(TABLE, auth) == []
    assert len(changed(lambda paths: paths.pop(path))) == 1
    assert len(changed(lambda paths: paths.update({"/v1/backdoor": {"get": {}}}))) == 1
    assert (
        len(changed(lambda paths: paths[path]["get"].update({"x-access": {"permission": "audit.all"}}))) == 1
    )
    assert len(changed(lambda paths: paths["/v1/me"]["get"].update({"x-access": {"public": True}}))) == 1
    delete = "/v1/workspaces/{workspace_id}"
    assert len(changed(lambda paths: paths[delete]["delete"]["x-access"].pop("step_up"))) == 1
    create = "/v1/workspaces"
    assert len(changed(lambda paths: paths[create]["post"].update({"parameters": []}))) == 1


def test_the_public_document_has_every_route_of_the_table_and_no_inner_one(documents: dict[str, Any]) -> None:
    merged = merge(TABLE, documents, "/")
    assert merged["openapi"].startswith("3.1")
    listed = {(method, path) for method, path, _ in operations(merged)}
    assert listed == {(route.method, route.path) for route in TABLE.routes if route.service in documents}
    assert not any(path.startswith("/internal") for path in merged["paths"])
    assert "x-access" not in str(merged)


def test_every_reference_in_the_public_document_leads_somewhere(documents: dict[str, Any]) -> None:
    merged = merge(TABLE, documents, "/")
    names = set(merged["components"]["schemas"])

    def references(node: Any) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
            return own + [item for value in node.values() for item in references(value)]
        if isinstance(node, list):
            return [item for value in node for item in references(value)]
        return []

    assert {reference.rpartition("/")[2] for reference in references(merged)} <= names


def test_schemas_of_one_name_and_two_shapes_are_kept_apart() -> None:
    def document(kind: str) -> dict[str, Any]:
        return {
            "paths": {},
            "components": {
                "schemas": {
                    "View": {"type": kind},
                    "Use": {"$ref": "#/components/schemas/View"},
                }
            },
        }

    merged = merge(TABLE, {"auth": document("object"), "dns": document("string")}, "/")
    schemas = merged["components"]["schemas"]
    assert schemas["View"] == {"type": "object"}
    assert schemas["DnsView"] == {"type": "string"}
    assert schemas["Use"] == {"$ref": "#/components/schemas/View"}
    assert schemas["DnsUse"] == {"$ref": "#/components/schemas/DnsView"}


def test_public_routes_need_nothing_and_others_a_bearer(documents: dict[str, Any]) -> None:
    merged = merge(TABLE, documents, "/")
    assert merged["paths"]["/v1/auth/sessions"]["post"]["security"] == []
    assert merged["paths"]["/v1/me"]["get"]["security"] == [{"access_token": []}]
    audit = merged["paths"]["/v1/workspaces/{workspace_id}/audit"]["get"]
    assert audit["security"] == [{"access_token": []}, {"api_key": []}]
    assert audit["x-scope"] == "audit:read"


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


async def test_the_page_for_people_loads_nothing_from_anywhere(
    documents: dict[str, Any], tmp_path: Path
) -> None:
    async def fetch(service: str, path: str) -> Any:
        if service not in documents:
            return {"paths": {}}
        return documents[service]

    documentation = Documentation(TABLE, fetch)
    await documentation.load()
    page = documentation.page()
    tags = Tags()
    tags.feed(page.html)
    assert not [
        tag
        for tag, attributes in tags.found
        if tag in ("script", "link", "img", "iframe") or "src" in attributes
    ]
    assert "default-src 'none'" in page.policy
    assert "/v1/workspaces/{workspace_id}/audit" in page.html
    assert "<summary>Answer 200, application/json</summary>" in page.html


async def test_a_service_that_is_away_leaves_the_check_open_and_a_contradiction_fails_it() -> None:
    down = True

    async def fetch(service: str, path: str) -> Any:
        if down:
            raise ServiceDown("away")
        return {"paths": {}}

    documentation = Documentation(TABLE, fetch)
    assert await documentation.check() is False
    assert documentation.state == "pending"
    down = False
    assert await documentation.check() is False
    assert documentation.state == "failed"


async def test_a_gateway_that_has_agreed_stays_ready_while_a_service_is_being_replaced(
    documents: dict[str, Any],
) -> None:
    now = 0.0
    served = copy.deepcopy(documents)

    async def fetch(service: str, path: str) -> Any:
        return served[service]

    documentation = Documentation(TABLE, fetch, lambda: now)
    assert await documentation.check() is True
    served["auth"]["paths"]["/v1/newer"] = {"get": {}}
    now = 61.0
    assert await documentation.check() is False
    assert documentation.contradictions == ["GET /v1/newer of auth is not in the table"]
    assert documentation.state == "ok"
