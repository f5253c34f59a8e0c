"""No answer with a secret in it is kept by anybody on its way: generated from the application's own document."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.ids import new_id
from tests.vault.conftest import Vault
from tests.vault.test_bad_input import APP_PASSWORD, DOWNLOAD, EXPORT, REVEAL, WEBMAIL, Scene, set_scene

SECRET_MEMBERS = frozenset({"password", "token", "key", "verifiers", "hash"})
"""Names of members that hold one; of strings only, so that no number or date is meant."""


def secret_bearing(document: dict[str, Any]) -> set[str]:
    """Routes whose good answer has such a member, or is a file."""
    found = set()
    for path, item in document["paths"].items():
        for method, operation in item.items():
            for status, response in operation["responses"].items():
                content = response.get("content", {})
                if status.startswith("2") and ("text/csv" in content or _names(document, content)):
                    found.add(f"{method.upper()} {path}")
    return found


def _names(document: dict[str, Any], node: Any) -> set[str]:
    """Secret members anywhere below, following references."""
    if isinstance(node, list):
        return set().union(*(_names(document, part) for part in node))
    if not isinstance(node, dict):
        return set()
    if "$ref" in node:
        name = node["$ref"].rsplit("/", 1)[1]
        return _names(document, document["components"]["schemas"][name])
    own = set(node.get("properties", {})) & SECRET_MEMBERS
    return own.union(*(_names(document, part) for part in node.values()))


async def answer(scene: Scene, route: str) -> Any:
    workspace = scene.own
    match route.split(" ")[1]:
        case "/internal/mailboxes/{mailbox_id}":
            return await workspace.put_mailbox(new_id("mbx"))
        case "/internal/servers/{server_id}/webmail-key":
            return await workspace.put_webmail_key()
        case _:
            return await scene.send(route)


@pytest.mark.asvs("14.2.2")
async def test_every_answer_with_a_secret_says_no_store(vault: Vault) -> None:
    routes = secret_bearing(vault.app.openapi())
    assert routes >= {REVEAL, EXPORT, DOWNLOAD, WEBMAIL, APP_PASSWORD}
    for route in sorted(routes):
        got = await answer(await set_scene(vault), route)
        assert got.is_success, f"{route}: {got.text}"
        assert got.headers.get("cache-control") == "no-store", route


def test_the_search_finds_a_secret_behind_a_reference() -> None:
    document = {
        "paths": {"/x": {"get": {"responses": {"200": {"content": {"a": {"$ref": "#/components/schemas/X"}}}}}}},
        "components": {"schemas": {"X": {"properties": {"list": {"items": {"properties": {"password": {}}}}}}}},
    }  # fmt: skip
    assert secret_bearing(json.loads(json.dumps(document))) == {"GET /x"}
