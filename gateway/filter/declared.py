"""What the services declare of each route, as checks: path ids, query parameters, headers, kind of body.

Made from their own OpenAPI documents, so that nothing is written down twice. Only what a document says without
doubt is checked here; bodies are judged member by member by the service's models.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote_plus

from gateway.filter.strict_json import Leaf
from gateway.openapi import Document, operations
from shared.errors import DomainError, Invalid, NotFound

JSON: Final = "application/json"
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_NUMBER = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")
FREE_TEXT: Final = frozenset(
    {"name", "display_name", "label", "reason", "confirm_name", "note", "description"}
)
"""Members in which people write what they like."""
_MAX_TEXT: Final = 2048
_SECRET_NAME = re.compile(r"password|passphrase|secret|token$|(^|_)codes?$|private")

Check = Callable[[str], bool]
Schema = Mapping[str, Any]


class UnsupportedMediaType(DomainError):
    status = 415
    code = "unsupported_media_type"
    title = "The body is of a kind that this route does not take"


class UnexpectedBody(DomainError):
    status = 400
    code = "unexpected_body"
    title = "This route takes no body"


@dataclass(frozen=True, slots=True)
class Declaration:
    """One operation. `media_types` is empty where no body is declared. A signed body (a webhook's) is judged by its
    signature, over its very bytes: it streams on unread."""

    ids: tuple[tuple[str, Check], ...] = ()
    query: Mapping[str, Check] = field(default_factory=dict)
    headers: tuple[tuple[bytes, Check], ...] = ()
    media_types: frozenset[str] = frozenset()
    signed_body: bool = False
    secrets: frozenset[str] = frozenset()
    """Members of the body that hold a password, a code or a token: never looked at, never logged."""

    @property
    def reads_json(self) -> bool:
        return self.media_types == {JSON} and not self.signed_body

    def to_judge(self, leaves: Iterable[Leaf]) -> Iterator[tuple[str, bool]]:
        """(text, is it free text) of all strings of a body that may be looked at. What is secret is known by its
        declaration, and by its name should that be forgotten. Ordinary names of members say nothing."""
        for leaf in leaves:
            if leaf.is_name:
                if not leaf.text.isidentifier() or leaf.text.startswith("__"):
                    yield leaf.text, False
            elif leaf.member not in self.secrets and not _SECRET_NAME.search(leaf.member):
                yield leaf.text, leaf.member in FREE_TEXT

    def check_path(self, params: Mapping[str, str]) -> None:
        """A malformed id names nothing: the same 404 as an unknown one."""
        for name, matches in self.ids:
            if not matches(params[name]):
                raise NotFound()

    def check_query(self, query: bytes) -> dict[str, str]:
        """The values given that may be looked at, by name. `query` has passed the protocol's checks: escapes are
        well-formed and each name is there once."""
        values: dict[str, str] = {}
        for part in query.split(b"&"):
            raw_name, _, raw_value = part.partition(b"=")
            name = _decoded(raw_name)
            matches = self.query.get(name)
            if matches is None or name in values:
                raise Invalid(
                    "This route has no such parameter, or it is given twice.", field=f"query.{name[:64]}",
                    next_action="Leave it out; /v1/docs lists the parameters of each route.",
                )  # fmt: skip
            value = _decoded(raw_value)
            if not matches(value):
                raise Invalid(
                    "The value is not of the declared kind.", field=f"query.{name[:64]}",
                    next_action="See /v1/docs for the parameter's kind and limits.",
                )  # fmt: skip
            values[name] = value
        return {name: value for name, value in values.items() if not _SECRET_NAME.search(name)}

    def check_headers(self, headers: Mapping[bytes, bytes]) -> None:
        for name, matches in self.headers:
            value = headers.get(name)
            if value is not None and not matches(value.decode("latin-1")):
                raise Invalid("The value is not of the declared kind.", field=f"header.{name.decode()}")

    def check_media_type(self, content_type: bytes | None) -> None:
        """Raises UnsupportedMediaType. Called when there is a body."""
        kind, _, parameters = (content_type or b"").decode("latin-1").lower().partition(";")
        wanted = " or ".join(sorted(self.media_types))
        if kind.strip() not in self.media_types:
            raise UnsupportedMediaType(next_action=f"Send Content-Type: {wanted}.")
        if kind.strip() == JSON and parameters.replace(" ", "").replace('"', "") not in ("", "charset=utf-8"):
            raise UnsupportedMediaType(next_action="Send UTF-8.")


def declarations(documents: Mapping[str, Document]) -> dict[tuple[str, str], Declaration]:
    """(METHOD, path) → what is declared, of every public operation."""
    return {
        (method, path): _declaration(document, operation)
        for document in documents.values()
        for method, path, operation in operations(document)
    }


def _declaration(document: Document, operation: Document) -> Declaration:
    by_place: dict[str, dict[str, Check]] = {"path": {}, "query": {}, "header": {}, "cookie": {}}
    for parameter in operation.get("parameters", []):
        by_place[parameter["in"]][parameter["name"]] = check_of(parameter.get("schema", {}))
    content = operation.get("requestBody", {}).get("content", {})
    return Declaration(
        ids=tuple(by_place["path"].items()),
        query=by_place["query"],
        headers=tuple((name.lower().encode(), check) for name, check in by_place["header"].items()),
        media_types=frozenset(kind.lower() for kind in content),
        signed_body=bool(operation.get("x-signed-body")),
        secrets=frozenset(_secrets(document, [item.get("schema", {}) for item in content.values()])),
    )


def _secrets(document: Document, schemas: list[Any]) -> set[str]:
    """Names of members that are passwords or write-only, at any depth."""
    components = document.get("components", {}).get("schemas", {})
    found: set[str] = set()
    seen: set[str] = set()
    while schemas:
        schema = schemas.pop()
        if not isinstance(schema, dict):
            continue
        name = str(schema.get("$ref", "")).rpartition("/")[2]
        if name and name not in seen:
            seen.add(name)
            schemas.append(components.get(name, {}))
        for member, item in schema.get("properties", {}).items():
            if _is_secret(item):
                found.add(member)
            schemas.append(item)
        schemas.append(schema.get("items"))
        schemas += [part for key in ("anyOf", "oneOf", "allOf") for part in schema.get(key, [])]
    return found


def _is_secret(schema: Any) -> bool:
    """A SecretStr, an optional one, or a list of them."""
    if not isinstance(schema, dict):
        return False
    if schema.get("format") == "password" or schema.get("writeOnly") is True:
        return True
    return any(_is_secret(item) for item in [schema.get("items"), *schema.get("anyOf", [])])


# -- one value ---------------------------------------------------------------------------------------------------


def check_of(schema: Schema) -> Check:
    """A check for values of `schema` as they stand in a URL or a header. What is not understood lets pass."""
    if "enum" in schema:
        allowed = frozenset(map(str, schema["enum"]))
        return lambda value: value in allowed
    if "const" in schema:
        only = str(schema["const"])
        return lambda value: value == only
    if "anyOf" in schema:
        checks = [check_of(item) for item in schema["anyOf"] if item.get("type") != "null"]
        return lambda value: any(check(value) for check in checks)
    kind = schema.get("type")
    if kind in ("integer", "number"):
        return _number_check(schema, _INTEGER if kind == "integer" else _NUMBER)
    if kind == "boolean":
        return lambda value: value in ("true", "false", "1", "0")
    if kind == "string":
        return _text_check(schema)
    return lambda value: len(value) <= _MAX_TEXT


def _number_check(schema: Schema, form: re.Pattern[str]) -> Check:
    low = float(schema.get("minimum", "-inf"))
    high = float(schema.get("maximum", "inf"))
    return lambda value: form.fullmatch(value) is not None and low <= float(value) <= high


def _text_check(schema: Schema) -> Check:
    shortest, longest = int(schema.get("minLength", 0)), int(schema.get("maxLength", _MAX_TEXT))
    pattern = re.compile(schema["pattern"]) if "pattern" in schema else None

    def check(value: str) -> bool:
        if not shortest <= len(value) <= longest:
            return False
        # `$` of ECMA-262, the dialect of JSON Schema, does not match before a final newline; Python's does.
        return pattern is None or (pattern.search(value) is not None and not value.endswith("\n"))

    return check


def _decoded(raw: bytes) -> str:
    try:
        return unquote_plus(raw.decode("ascii"), errors="strict")
    except UnicodeDecodeError:
        raise Invalid("The query is not UTF-8.", field="query") from None
