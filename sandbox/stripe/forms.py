"""Stripe's request encoding: form fields whose names spell a structure, ``items[0][price]=price_1``.

Source: https://docs.stripe.com/api (requests are form-encoded; arrays and objects in bracket notation).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, cast
from urllib.parse import parse_qsl

from sandbox.stripe.errors import invalid, missing, unknown

_NAME = re.compile(r"^([^\[\]]+)((?:\[[^\[\]]*\])*)$")
Params = dict[str, Any]


def decode(text: str) -> Params:
    """The structure that a form body or query string spells; every leaf is text. Raises StripeError."""
    root: Params = {}
    for name, value in parse_qsl(text, keep_blank_values=True, max_num_fields=1000):
        match = _NAME.match(name)
        if match is None:
            raise invalid("Invalid request: a parameter name is malformed.", name)
        path = [match[1], *re.findall(r"\[([^\[\]]*)\]", match[2])]
        _place(root, path, value)
    return cast(Params, _with_lists(root))


def _place(root: Params, path: list[str], value: str) -> None:
    here = root
    for step in path[:-1]:
        inner = here.setdefault(step, {})
        if not isinstance(inner, dict):
            raise invalid("Invalid request: a parameter is both a value and an object.", path[0])
        here = inner
    last = path[-1]
    if last == "":
        last = str(len(here))
    here[last] = value


def _with_lists(node: Any) -> Any:
    """Objects whose keys are 0, 1, 2 … are arrays."""
    if not isinstance(node, dict):
        return node
    if node and all(key.isdigit() for key in node):
        return [_with_lists(node[key]) for key in sorted(node, key=int)]
    return {key: _with_lists(value) for key, value in node.items()}


def only(params: Params, known: Collection[str], prefix: str = "") -> None:
    """Refuse parameters that the call does not have. Raises StripeError."""
    for name in params:
        if name not in known:
            raise unknown(f"{prefix}[{name}]" if prefix else name)


def text(params: Params, name: str, *, most: int = 5000) -> str | None:
    """A text parameter; empty text means unset, as in Stripe. Raises StripeError."""
    value = params.get(name)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > most:
        raise invalid(f"Invalid string: {name}", name)
    return value


def required(params: Params, name: str) -> str:
    value = text(params, name)
    if value is None:
        raise missing(name)
    return value


def integer(params: Params, name: str, *, least: int = 0, most: int = 99_999_999) -> int | None:
    value = params.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not re.fullmatch(r"-?\d+", value):
        raise invalid(f"Invalid integer: {value}", name, code="parameter_invalid_integer")
    number = int(value)
    if not least <= number <= most:
        raise invalid(
            f"This value must be between {least} and {most}.", name, code="parameter_invalid_integer"
        )
    return number


def boolean(params: Params, name: str) -> bool | None:
    value = params.get(name)
    if value is None:
        return None
    if value not in ("true", "false"):
        raise invalid(f"Invalid boolean: {value}", name)
    return bool(value == "true")


def choice(params: Params, name: str, choices: Collection[str]) -> str | None:
    value = text(params, name)
    if value is not None and value not in choices:
        raise invalid(f"Invalid {name}: must be one of {', '.join(sorted(choices))}", name)
    return value


def structure(params: Params, name: str) -> Params:
    """An object parameter, empty when not given."""
    value = params.get(name)
    if value is None or value == "":
        return {}
    if not isinstance(value, dict):
        raise invalid(f"Invalid object: {name}", name)
    return value


def array(params: Params, name: str) -> list[Any]:
    value = params.get(name)
    if value is None or value == "":
        return []
    if not isinstance(value, list):
        raise invalid(f"Invalid array: {name}", name)
    return value


def metadata(params: Params, old: dict[str, str] | None = None) -> dict[str, str]:
    """``metadata``: at most 50 keys of 40 characters with values of 500; an empty value removes a key."""
    given = structure(params, "metadata")
    merged = dict(old or {})
    for key, value in given.items():
        if not isinstance(value, str) or len(key) > 40 or len(value) > 500:
            raise invalid(
                "Metadata keys have at most 40 characters and values at most 500.", f"metadata[{key}]"
            )
        if value == "":
            merged.pop(key, None)
        else:
            merged[key] = value
    if len(merged) > 50:
        raise invalid("Metadata may have at most 50 keys.", "metadata")
    return merged
