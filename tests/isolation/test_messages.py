"""Messages of a foreign workspace change nothing; those that contradict themselves are parked."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from shared.bus.binding import Binding
from shared.bus.consumer import decode
from shared.bus.errors import Permanent
from shared.bus.testing import envelope_for
from shared.contracts.envelope import EventData
from shared.contracts.provisioner_events import ServerReady
from shared.ids import new_id
from tests.fixtures.database import ServiceDatabases
from tests.fixtures.identity import Trust
from tests.isolation.messages import BINDINGS, BY_ID, check, check_mails
from tests.isolation.world import World, world


@pytest.fixture
async def stage(service_database: ServiceDatabases, trust: Trust, tmp_path: Path) -> AsyncIterator[World]:
    async with world(service_database, trust, tmp_path) as made:
        yield made


@pytest.mark.parametrize("binding", BY_ID, ids=lambda binding: f"{binding.queue} {binding.event.type}")
async def test_a_message_of_another_workspace_changes_nothing(stage: World, binding: Binding) -> None:
    assert not await check(stage, binding)


async def test_what_happens_in_a_workspace_is_told_to_its_own_people_alone(stage: World) -> None:
    binding = next(each for each in BINDINGS if (each.service, each.event) == ("auth", ServerReady))
    assert not await check_mails(stage, binding)


@pytest.mark.parametrize("binding", BINDINGS, ids=lambda binding: f"{binding.queue} {binding.event.type}")
async def test_a_message_whose_inside_names_another_workspace_than_its_envelope_is_parked(
    binding: Binding,
) -> None:
    event = _any(binding.event)
    envelope = envelope_for(event)
    inside = {**envelope.data, "workspace_id": new_id("ws")}
    for data, refused in ((envelope.data, False), (inside, True)):
        body = envelope.model_copy(update={"data": data}).model_dump_json().encode()
        message: Any = SimpleNamespace(body=body, exchange="events", routing_key=binding.event.type)
        if refused:
            with pytest.raises(Permanent, match="workspace"):
                decode(message, {binding.event.type: binding})
        else:
            decode(message, {binding.event.type: binding})


def _any(event: type[EventData]) -> EventData:
    """An event of this type; its values mean nothing, but for the workspace."""
    schema = event.model_json_schema()
    values = {name: _value(spec, schema) for name, spec in schema["properties"].items()}
    return event.model_validate_json(json.dumps({**values, "workspace_id": new_id("ws")}))


def _value(spec: dict[str, Any], schema: dict[str, Any]) -> Any:
    if "$ref" in spec:
        return _value(schema["$defs"][spec["$ref"].rpartition("/")[2]], schema)
    if "anyOf" in spec:
        return None
    if "enum" in spec:
        return spec["enum"][0]
    if spec.get("format") == "date-time":
        return datetime.now(UTC).isoformat()
    empty = {"string": "x", "integer": 1, "boolean": False, "array": [], "object": {}}
    return spec.get("const", empty[spec["type"]])
