"""Writes `docs/asyncapi.json` (AsyncAPI 3.0) from the event contracts: `python -m shared.bus.asyncapi [--check]`."""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import sys
from pathlib import Path
from typing import Any

import shared.contracts
from shared.bus.connection import EXCHANGE
from shared.contracts.envelope import EVENT_TYPES, Envelope

DEFAULT = Path(__file__).parents[2] / "docs" / "asyncapi.json"


def load_contracts() -> dict[str, Any]:
    """All event payloads by type, after importing every module of contracts."""
    for module in pkgutil.iter_modules(shared.contracts.__path__):
        importlib.import_module(f"shared.contracts.{module.name}")
    ours = {
        kind: model for kind, model in EVENT_TYPES.items() if model.__module__.startswith("shared.contracts.")
    }
    return dict(sorted(ours.items()))


def document() -> dict[str, Any]:
    """One channel per event type, and one sending operation of the service that produces it."""
    channels, operations, messages, schemas = {}, {}, {}, {}
    for kind, model in load_contracts().items():
        name = kind.replace(".", "_")
        schema = model.model_json_schema(ref_template=f"#/components/schemas/{name}/$defs/{{model}}")
        schemas[name] = schema
        messages[name] = {
            "name": kind,
            "title": model.__name__,
            "summary": (model.__doc__ or "").strip().split("\n", 1)[0],
            "contentType": "application/cloudevents+json",
            "payload": {
                "allOf": [
                    {"$ref": "#/components/schemas/Envelope"},
                    {
                        "properties": {
                            "type": {"const": kind},
                            "data": {"$ref": f"#/components/schemas/{name}"},
                        }
                    },
                ]
            },
        }
        channels[name] = {
            "address": kind,
            "messages": {name: {"$ref": f"#/components/messages/{name}"}},
            "bindings": {
                "amqp": {"is": "routingKey", "exchange": {"name": EXCHANGE, "type": "topic", "durable": True}}
            },
        }
        operations[f"send_{name}"] = {
            "action": "send",
            "channel": {"$ref": f"#/channels/{name}"},
            "tags": [{"name": model.producer()}],
        }
    schemas["Envelope"] = Envelope.model_json_schema()
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "SendChief events", "version": "1"},
        "defaultContentType": "application/cloudevents+json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": schemas},
    }


def render() -> str:
    return json.dumps(document(), indent=1, sort_keys=True) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m shared.bus.asyncapi", description=__doc__)
    parser.add_argument("--output", type=Path, default=DEFAULT)
    parser.add_argument("--check", action="store_true", help="fail when the file is not up to date")
    given = parser.parse_args()
    if given.check:
        sys.exit(
            0 if given.output.is_file() and given.output.read_text() == render() else f"{given.output} is old"
        )
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(render())


if __name__ == "__main__":
    main()
