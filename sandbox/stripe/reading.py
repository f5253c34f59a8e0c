"""Lists with cursors, and ``expand``.

Source: https://docs.stripe.com/api/pagination, https://docs.stripe.com/api/expanding_objects
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandbox.stripe import forms
from sandbox.stripe.books import Books, Document
from sandbox.stripe.checkout import line_items
from sandbox.stripe.errors import invalid
from sandbox.stripe.forms import Params

EXPANDABLE = {
    "customer": "customer",
    "subscription": "subscription",
    "latest_invoice": "invoice",
    "invoice": "invoice",
    "product": "product",
}
PAGING = ("limit", "starting_after", "ending_before", "expand", "created")
DEPTH_MAX = 4


def list_page(
    books: Books,
    kind: str,
    params: Params,
    url: str,
    filters: Mapping[str, str],
    *,
    rows: list[Document] | None = None,
) -> Document:
    """One page, newest first. `filters` maps a parameter to the field that it must equal. Raises StripeError."""
    forms.only(params, (*PAGING, *filters))
    found = books.list(kind) if rows is None else rows
    for param, field in filters.items():
        wanted = params.get(param)
        if wanted is None:
            continue
        accepted = wanted if isinstance(wanted, list) else [wanted]
        found = [each for each in found if _text(_at(each, field)) in accepted]
    for bound, value in forms.structure(params, "created").items():
        found = [each for each in found if _in_bound(each["created"], bound, int(value))]
    limit = forms.integer(params, "limit", least=1, most=100) or 10
    found, more = _cut(found, params, limit)
    return {"object": "list", "data": found, "has_more": more, "url": url}


def _cut(found: list[Document], params: Params, limit: int) -> tuple[list[Document], bool]:
    ids = [each["id"] for each in found]
    for param in ("starting_after", "ending_before"):
        if param in params and params[param] not in ids:
            raise invalid(f"No such object: '{params[param]}'", param, code="resource_missing")
    if "ending_before" in params:
        end = ids.index(params["ending_before"])
        return found[max(0, end - limit) : end], end > limit
    start = ids.index(params["starting_after"]) + 1 if "starting_after" in params else 0
    return found[start : start + limit], len(found) > start + limit


def _in_bound(created: int, bound: str, value: int) -> bool:
    match bound:
        case "gt":
            return created > value
        case "gte":
            return created >= value
        case "lt":
            return created < value
        case "lte":
            return created <= value
    raise invalid(f"Received unknown parameter: created[{bound}]", f"created[{bound}]")


def expand(books: Books, body: Document, params: Params) -> Document:
    """`body` with the objects of ``expand`` in place of their ids. Raises StripeError."""
    for path in forms.array(params, "expand"):
        steps = str(path).split(".")
        if len(steps) > DEPTH_MAX:
            raise invalid("You cannot expand more than 4 levels.", "expand")
        body = _expand(books, body, steps, str(path))
    return body


def _expand(books: Books, node: Any, steps: list[str], path: str) -> Any:
    if isinstance(node, list):
        return [_expand(books, each, steps, path) for each in node]
    if node is None or not steps:
        return node
    step, rest = steps[0], steps[1:]
    if not isinstance(node, dict):
        raise invalid(f"This property cannot be expanded ({path}).", "expand")
    value = node.get(step)
    if step == "line_items" and node.get("object") == "checkout.session":
        rows = line_items(books, node["id"])
        value = {
            "object": "list",
            "data": rows,
            "has_more": False,
            "url": f"/v1/checkout/sessions/{node['id']}/line_items",
        }
    elif step == "payments" and node.get("object") == "invoice":
        rows = [each for each in books.list("invoice_payment") if each["invoice"] == node["id"]]
        value = {"object": "list", "data": rows, "has_more": False, "url": "/v1/invoice_payments"}
    elif step not in node:
        raise invalid(f"This property cannot be expanded ({path}).", "expand")
    elif isinstance(value, str):
        if step not in EXPANDABLE:
            raise invalid(f"This property cannot be expanded ({path}).", "expand")
        value = books.get(EXPANDABLE[step], value)
    return node | {step: _expand(books, value, rest, path)}


def _at(body: Document, field: str) -> Any:
    value: Any = body
    for step in field.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
