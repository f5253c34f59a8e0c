"""The events that others rely on: within a major version a schema may only grow by optional fields.

The golden files are the schemas as published. `python -m tests.contracts.golden` writes those of new types and of
grown ones; a removal or a retyping is not a reason to run it but to make a new major version.
"""

import copy
import json
import re
from typing import Any

import pytest
from pydantic import BaseModel

from shared.bus import asyncapi
from shared.contracts.envelope import Envelope, EventData
from tests.contracts.golden import DIRECTORY, breaks, schema_of

EVENTS: dict[str, type[EventData]] = asyncapi.load_contracts()


@pytest.mark.parametrize("kind", EVENTS)
def test_nothing_was_removed_or_retyped(kind: str) -> None:
    file = DIRECTORY / f"{kind}.json"
    assert file.is_file(), f"{kind} is new: run python -m tests.contracts.golden and commit the file"
    assert breaks(json.loads(file.read_text()), schema_of(EVENTS[kind])) == []


def test_no_published_type_has_vanished() -> None:
    published = {file.stem for file in DIRECTORY.glob("*.json")}
    assert published - set(EVENTS) == set()


@pytest.mark.parametrize("kind", EVENTS)
def test_the_type_is_a_fact_of_its_producer_with_a_major_version(kind: str) -> None:
    assert re.fullmatch(r"(auth|vault|provisioner|dns|reputation|gateway)\.[a-z_]+\.[a-z_]+\.v[1-9]", kind)
    assert EVENTS[kind].__module__.endswith((f"{EVENTS[kind].producer()}_events", ".audit"))


SECRET_NAME = re.compile(r"password|secret(?!s$)|private|verifier|token(?!_id)|(^|_)pin$|passphrase")


def names(schema: Any) -> set[str]:
    if isinstance(schema, dict):
        own = set(schema.get("properties", {}))
        return own.union(*(names(value) for value in schema.values())) if schema else own
    if isinstance(schema, list):
        return set().union(*(names(item) for item in schema)) if schema else set()
    return set()


@pytest.mark.parametrize("kind", EVENTS)
def test_no_field_is_named_like_a_secret(kind: str) -> None:
    assert [name for name in names(schema_of(EVENTS[kind])) if SECRET_NAME.search(name)] == []


class Sample(BaseModel):
    number: int
    name: str | None = None
    tags: tuple[str, ...] = ()


GOLDEN = schema_of(Sample)


def changed(change: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    schema = copy.deepcopy(GOLDEN)
    schema["properties"] |= change
    schema["required"] = required or schema["required"]
    schema["properties"] = {name: value for name, value in schema["properties"].items() if value is not None}
    return schema


@pytest.mark.parametrize(
    ("name", "schema", "breaking"),
    [
        ("the same", changed({}), False),
        ("a new optional field", changed({"more": {"type": "string", "default": ""}}), False),
        ("another description", changed({"number": {"type": "integer", "description": "new"}}), False),
        ("a removed field", changed({"tags": None}), True),
        ("a retyped field", changed({"number": {"type": "string"}}), True),
        ("another item type", changed({"tags": {"type": "array", "items": {"type": "integer"}}}), True),
        ("no longer nullable", changed({"name": {"type": "string"}}), True),
        ("a new required field", changed({"more": {"type": "string"}}, ["number", "more"]), True),
    ],
)
def test_the_comparison_tells_growth_from_breakage(name: str, schema: dict[str, Any], breaking: bool) -> None:
    assert bool(breaks(GOLDEN, schema)) is breaking, name


def test_the_asyncapi_file_is_up_to_date() -> None:
    assert asyncapi.DEFAULT.read_text() == asyncapi.render(), "run python -m shared.bus.asyncapi"


def test_every_reference_in_the_asyncapi_file_leads_somewhere() -> None:
    document = asyncapi.document()

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                target: Any = document
                for part in node["$ref"].removeprefix("#/").split("/"):
                    target = target[part.replace("~1", "/").replace("~0", "~")]
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for item in node:
                walk(item)

    walk(document)
    assert set(document["channels"]) == {kind.replace(".", "_") for kind in EVENTS}


def test_the_envelope_has_the_required_attributes_of_cloudevents() -> None:
    assert {"id", "source", "specversion", "type"} <= set(Envelope.model_fields)
    assert all(re.fullmatch(r"[a-z0-9]{1,20}", name) for name in Envelope.model_fields)
