"""Schemas of the events as published, and what counts as breaking one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel

DIRECTORY = Path(__file__).parent
_PROSE = {"title", "description", "examples", "default", "deprecated"}


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def _resolve(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    return schema


def _properties(schema: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = schema.get("properties", {})
    return found


def breaks(golden: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What a consumer of `golden` could no longer rely on, as paths; empty when the schema only grew."""
    return _breaks(golden, now, golden, now, "$")


def _breaks(
    old: dict[str, Any], new: dict[str, Any], old_root: dict[str, Any], new_root: dict[str, Any], path: str
) -> list[str]:
    old, new = _resolve(old, old_root), _resolve(new, new_root)
    found: list[str] = []
    for name, was in _properties(old).items():
        if name not in _properties(new):
            found.append(f"{path}.{name} was removed")
        else:
            found += _breaks(was, _properties(new)[name], old_root, new_root, f"{path}.{name}")
    found += [
        f"{path}.{name} became required"
        for name in set(new.get("required", [])) - set(old.get("required", []))
    ]
    for part in ("items", "additionalProperties"):
        if isinstance(old.get(part), dict) and isinstance(new.get(part), dict):
            found += _breaks(old[part], new[part], old_root, new_root, f"{path}.{part}")
    if "anyOf" in old and "anyOf" in new and len(old["anyOf"]) == len(new["anyOf"]):
        for index, (was, now) in enumerate(zip(old["anyOf"], new["anyOf"], strict=True)):
            found += _breaks(was, now, old_root, new_root, f"{path}|{index}")
    elif ("anyOf" in old) != ("anyOf" in new) or len(old.get("anyOf", ())) != len(new.get("anyOf", ())):
        found.append(f"{path} was retyped")
    nested = {"properties", "required", "items", "additionalProperties", "anyOf", "$defs", *_PROSE}
    if {k: v for k, v in old.items() if k not in nested} != {k: v for k, v in new.items() if k not in nested}:
        found.append(f"{path} was retyped")
    return found
