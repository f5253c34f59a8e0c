"""The public OpenAPI document, gathered from the services, and a plain page for people to read it."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from html import escape
from typing import Any, Final

from gateway.examples import Examples
from gateway.filter.declared import Declaration, declarations
from gateway.openapi import Document, disagreements, merge, operations
from gateway.pool import ServiceDown
from gateway.routes import RouteTable
from shared.observability.logging import get_logger

CACHE_SECONDS: Final = 60.0
_STYLE: Final = (
    "body{font:16px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "code{background:#eee;padding:0 .25em}h2{margin-top:2.5rem}article{border-top:1px solid #ccc;padding:.5rem 0}"
    "pre{background:#f6f6f6;padding:.5rem;overflow:auto;font-size:.85rem}"
    "dt{font-family:monospace}dd{margin:0 0 .25rem 1.5rem;color:#444}"
)
_log = get_logger("documentation")

FetchDocument = Callable[[str, str], Awaitable[Any]]


@dataclass(frozen=True)
class HtmlPage:
    """`policy` is the Content-Security-Policy that lets exactly this page's style through, and nothing else."""

    html: str
    policy: str


class Documentation:
    """`state` is `ok` once every service's routes were seen to agree with the table, and `failed` when one was seen to
    contradict it before that. Afterwards a contradiction is logged only: while services are being replaced, one may
    be ahead of a gateway that runs. `contradictions` are those of the last look.

    `declared` is what the request filter knows of each route. A service that cannot be asked keeps the document that
    it had; what it says anew counts within a minute.
    """

    def __init__(
        self, table: RouteTable, fetch: FetchDocument, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._table = table
        self._fetch = fetch
        self._monotonic = monotonic
        self._loaded_at = float("-inf")
        self._documents: dict[str, Document] = {}
        self._examples = Examples.load()
        self.declared: dict[tuple[str, str], Declaration] = {}
        self.document: Document = merge(table, {}, "/")
        self.state = "pending"
        self.contradictions: list[str] = []

    async def load(self) -> dict[str, Document]:
        """Fetches what is older than a minute. Raises ServiceDown when a service did not answer; what the others said
        is kept all the same."""
        if self._monotonic() - self._loaded_at < CACHE_SECONDS:
            return {}
        down: ServiceDown | None = None
        for service in sorted({route.service for route in self._table.routes}):
            try:
                self._documents[service] = await self._fetch(service, "/openapi.json")
            except ServiceDown as error:
                down = error
        self.declared = self._declarations()
        if down is not None:
            raise down
        document = merge(self._table, self._documents, "/")
        self._examples.add_to(document)
        self.document = document
        self._loaded_at = self._monotonic()
        return dict(self._documents)

    def _declarations(self) -> dict[tuple[str, str], Declaration]:
        """A service declares its own routes only: what it says of another's is nobody's business."""
        services: dict[tuple[str, str], str] = {
            (route.method, route.path): route.service for route in self._table.routes
        }
        return {
            key: declaration
            for service, document in self._documents.items()
            for key, declaration in declarations({service: document}).items()
            if services.get(key) == service
        }

    async def check(self) -> bool:
        """Whether table and services agree; False while a service cannot be asked."""
        complete = True
        try:
            await self.load()
        except ServiceDown as error:
            _log.info("documents incomplete", reason=error.reason)
            complete = False
        self.contradictions = disagreements(self._table, self._documents)
        for line in self.contradictions:
            _log.error("the route table and a service disagree", detail=line)
        if self.contradictions:
            self.state = "ok" if self.state == "ok" else "failed"
        elif complete:
            self.state = "ok"
        return complete and not self.contradictions

    def page(self) -> HtmlPage:
        style = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
        policy = f"default-src 'none'; style-src 'sha256-{style}'; frame-ancestors 'none'; base-uri 'none'"
        body = "".join(_sections(self.document))
        html = (
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>SendChief API</title>'
            f"<style>{_STYLE}</style></head><body><h1>SendChief API</h1>"
            '<p>The same as data: <a href="/v1/openapi.json">OpenAPI 3.1</a>. Every list answers '
            "<code>{items, next_cursor}</code>, every failure is a problem document (RFC 9457).</p>"
            f"{body}</body></html>"
        )
        return HtmlPage(html, policy)


def _sections(document: Document) -> Iterator[str]:
    by_tag: dict[str, list[str]] = {}
    for method, path, operation in operations(document):
        tag = (operation.get("tags") or ["Other"])[0]
        by_tag.setdefault(tag, []).append(_operation(document, method, path, operation))
    for tag in sorted(by_tag):
        yield f"<h2>{escape(tag)}</h2>" + "".join(by_tag[tag])


def _operation(document: Document, method: str, path: str, operation: Document) -> str:
    needs = "everybody"
    if operation.get("security"):
        needs = escape(operation.get("x-permission", "a signed-in person"))
        if "x-scope" in operation:
            needs += f", API key with {escape(operation['x-scope'])}"
    text = escape(operation.get("description") or operation.get("summary") or "")
    fields = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(_type(schema))}</dd>"
        for name, schema in _fields(document, operation)
    )
    return (
        f"<article><h3><code>{method} {escape(path)}</code></h3><p>{text}</p><p>For: {needs}.</p>"
        f"{'<dl>' + fields + '</dl>' if fields else ''}{''.join(_examples(operation))}</article>"
    )


def _examples(operation: Document) -> Iterator[str]:
    """What was asked and answered when it was tried."""
    parts = {"Request": operation.get("requestBody", {})}
    parts |= {f"Answer {status}": response for status, response in operation["responses"].items()}
    for title, part in parts.items():
        for media_type, content in part.get("content", {}).items():
            if "example" in content:
                shown = content["example"]
                text = shown if isinstance(shown, str) else json.dumps(shown, indent=1, ensure_ascii=False)
                yield (
                    f"<details><summary>{title}, {escape(media_type)}</summary>"
                    f"<pre>{escape(text)}</pre></details>"
                )


def _fields(document: Document, operation: Document) -> list[tuple[str, Document]]:
    """Members of a JSON request body."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    schema = content.get("schema", {})
    name = schema.get("$ref", "").rpartition("/")[2]
    schema = document["components"]["schemas"].get(name, schema)
    required = set(schema.get("required", []))
    return [
        (name if name in required else f"{name}?", item)
        for name, item in schema.get("properties", {}).items()
    ]


def _type(schema: Document) -> str:
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "anyOf" in schema:
        return " or ".join(_type(item) for item in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return str(schema.get("type", "any"))
