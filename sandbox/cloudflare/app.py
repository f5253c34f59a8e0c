"""The endpoints of API v4 that a DNS client uses, below ``/client/v4``.

Source: https://developers.cloudflare.com/api/resources/ (zones, dns, user tokens).
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.cloudflare.access import status_of, token_of, zone_for
from sandbox.cloudflare.books import DNS_EDIT, DNS_READ, ZONE_READ, Books, Document, Token
from sandbox.cloudflare.edit import Edit
from sandbox.cloudflare.envelope import NO_ROUTE, ApiError, Detail, invalid, ok, page_of, refusal
from sandbox.cloudflare.listing import paging, select
from sandbox.cloudflare.publish import Publisher
from sandbox.cloudflare.rate import RateLimit
from sandbox.cloudflare.zones import Zones
from sandbox.faults import Fault, Faults, obey

PREFIX = "/client/v4"
Handler = Callable[[Request, Token, Fault | None], Awaitable[Response]]


class Api:
    """Endpoints over the books; writes go to the DNS tree first, then into the books."""

    def __init__(self, books: Books, publisher: Publisher, faults: Faults, limit: RateLimit) -> None:
        self._books = books
        self._publisher = publisher
        self._faults = faults
        self._limit = limit
        self._zones = Zones(books, publisher)
        self._write = asyncio.Lock()

    def route(self, method: str, path: str, operation: str, handler: Handler) -> Route:
        """A route behind token, rate limit and faults; `operation` names it to the control API."""

        async def endpoint(request: Request) -> Response:
            try:
                token = token_of(request, self._books)
            except ApiError as error:
                return refusal(error.status, error.details)
            wait = self._limit.admit(token.id)
            if wait is not None:
                return _too_many(wait)
            fault = self._faults.take("cloudflare", operation)

            async def call() -> Response:
                try:
                    return await handler(request, token, fault)
                except ApiError as error:
                    return refusal(error.status, error.details)

            response = await obey(fault, call, _refuse)
            response.headers.update(self._limit.headers(token.id))
            return response

        return Route(PREFIX + path, endpoint, methods=[method])

    def routes(self) -> list[Route]:
        """All endpoints with the operation names by which faults are armed."""
        zone, record = "/zones/{zone_id}", "/zones/{zone_id}/dns_records/{record_id}"
        return [
            self.route("GET", "/user/tokens/verify", "tokens.verify", self.verify_token),
            self.route("GET", "/accounts/{account_id}/tokens/verify", "tokens.verify", self.verify_token),
            self.route("GET", "/zones", "zones.list", self.list_zones),
            self.route("POST", "/zones", "zones.create", self.create_zone),
            self.route("GET", zone, "zones.get", self.get_zone),
            self.route("DELETE", zone, "zones.delete", self.delete_zone),
            self.route("PUT", f"{zone}/activation_check", "zones.activation_check", self.activate_zone),
            self.route("GET", f"{zone}/dnssec", "dnssec.get", self.get_dnssec),
            self.route("PATCH", f"{zone}/dnssec", "dnssec.edit", self.edit_dnssec),
            self.route("GET", f"{zone}/dns_records", "dns_records.list", self.list_records),
            self.route("POST", f"{zone}/dns_records", "dns_records.create", self.create_record),
            self.route("POST", f"{zone}/dns_records/batch", "dns_records.batch", self.batch),
            self.route("GET", record, "dns_records.get", self.get_record),
            self.route("PUT", record, "dns_records.update", self.put_record),
            self.route("PATCH", record, "dns_records.edit", self.patch_record),
            self.route("DELETE", record, "dns_records.delete", self.delete_record),
        ]

    async def verify_token(self, request: Request, token: Token, _fault: Fault | None) -> Response:
        account_id = request.path_params.get("account_id")
        if account_id is not None and account_id != token.account_id:
            raise ApiError(401, Detail(1000, "Invalid API Token"))
        result: Document = {"id": token.id, "status": status_of(token)}
        if token.expires_on is not None:
            result["expires_on"] = token.expires_on
        response = json.loads(bytes(ok(result).body))
        response["messages"] = [
            {"code": 10000, "message": "This API Token is valid and active", "type": None}
        ]
        return JSONResponse(response)

    async def list_zones(self, request: Request, token: Token, fault: Fault | None) -> Response:
        query = request.query_params
        page, per_page = paging(query, default=20, least=5, most=50)
        found = [zone for zone in self._books.zones() if token.may(ZONE_READ, zone)]
        for key, field in (("name", "name"), ("status", "status")):
            if key in query:
                found = [zone for zone in found if zone[field] == query[key].lower()]
        if "account.id" in query:
            found = [zone for zone in found if zone["account"]["id"] == query["account.id"]]
        if fault is not None and fault.kind == "empty_list":
            found = []
        shown, info = page_of(found, page, per_page)
        return ok(shown, info=info)

    async def create_zone(self, request: Request, token: Token, _fault: Fault | None) -> Response:
        return ok(await self._zones.create(token, await _body(request)))

    async def get_zone(self, request: Request, token: Token, _fault: Fault | None) -> Response:
        return ok(self._zone(request, token, ZONE_READ))

    async def delete_zone(self, request: Request, token: Token, _fault: Fault | None) -> Response:
        async with self._write:
            return ok(await self._zones.delete(token, request.path_params["zone_id"]))

    async def activate_zone(self, request: Request, token: Token, _fault: Fault | None) -> Response:
        async with self._write:
            zone = await self._zones.activate(token, request.path_params["zone_id"])
        return ok({"id": zone["id"]})

    async def get_dnssec(self, request: Request, token: Token, _fault: Fault | None) -> Response:
        return ok(await self._zones.dnssec(self._zone(request, token, DNS_READ)))

    async def edit_dnssec(self, request: Request, token: Token, _fault: Fault | None) -> Response:
        zone = self._zone(request, token, DNS_EDIT)
        return ok(await self._zones.edit_dnssec(zone, await _body(request)))

    async def list_records(self, request: Request, token: Token, fault: Fault | None) -> Response:
        zone = self._zone(request, token, DNS_READ)
        page, per_page = paging(request.query_params, default=100, least=5, most=5000)
        found = select(self._books.records(zone["id"]), request.query_params)
        if fault is not None and fault.kind == "empty_list":
            found = []
        shown, info = page_of([_shown(each) for each in found], page, per_page)
        return ok(shown, info=info)

    async def get_record(self, request: Request, token: Token, _fault: Fault | None) -> Response:
        zone = self._zone(request, token, DNS_READ)
        for record in self._books.records(zone["id"]):
            if record["id"] == request.path_params["record_id"]:
                return ok(_shown(record))
        raise ApiError(404, Detail(81044, "Record does not exist."))

    async def create_record(self, request: Request, token: Token, _fault: Fault | None) -> Response:
        body = await _body(request)
        return ok(_shown(await self._change(request, token, lambda edit: edit.post(body))))

    async def put_record(self, request: Request, token: Token, _fault: Fault | None) -> Response:
        body, record_id = await _body(request), request.path_params["record_id"]
        return ok(_shown(await self._change(request, token, lambda edit: edit.put(record_id, body))))

    async def patch_record(self, request: Request, token: Token, _fault: Fault | None) -> Response:
        body, record_id = await _body(request), request.path_params["record_id"]
        return ok(_shown(await self._change(request, token, lambda edit: edit.patch(record_id, body))))

    async def delete_record(self, request: Request, token: Token, _fault: Fault | None) -> Response:
        record_id = request.path_params["record_id"]
        return ok({"id": (await self._change(request, token, lambda edit: edit.delete(record_id)))["id"]})

    async def batch(self, request: Request, token: Token, _fault: Fault | None) -> Response:
        body = await _body(request)
        result = await self._change(request, token, lambda edit: edit.batch(body))
        return ok({key: [_shown(each) for each in group] for key, group in result.items()})

    async def _change(self, request: Request, token: Token, change: Callable[[Edit], Any]) -> Any:
        """Run one change on a copy of the zone, serve it, then write it into the books."""
        zone = self._zone(request, token, DNS_EDIT)
        async with self._write:
            before = self._books.records(zone["id"])
            edit = Edit(zone, before)
            result = change(edit)
            if zone["status"] == "active":
                await self._publisher.publish(zone["name"], before, edit.records.values())
            self._books.replace_records(zone["id"], edit.records)
        return result

    def _zone(self, request: Request, token: Token, permission: str) -> Document:
        return zone_for(self._books, token, request.path_params["zone_id"], permission)


def create_app(
    books: Books,
    publisher: Publisher,
    faults: Faults,
    *,
    monotonic: Callable[[], float] = time.monotonic,
    quota: int = 1200,
) -> Starlette:
    """The ASGI application of the stand-in."""
    api = Api(books, publisher, faults, RateLimit(monotonic, quota=quota))

    async def no_route(request: Request, _error: Exception) -> Response:
        message = f"Could not route to {request.url.path}, perhaps your object identifier is invalid?"
        return refusal(404, [Detail(NO_ROUTE, message)])

    async def no_method(_request: Request, _error: Exception) -> Response:
        return refusal(405, [Detail(10405, "Method not allowed for this endpoint")])

    return Starlette(routes=api.routes(), exception_handlers={404: no_route, 405: no_method})


async def _body(request: Request) -> Any:
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise ApiError(415, Detail(10415, "Content-Type must be application/json."))
    try:
        return json.loads(await request.body())
    except ValueError:
        raise invalid(9207, "Request body is invalid.") from None


def _shown(record: Document) -> Document:
    return {key: value for key, value in record.items() if key != "zone_id"}


def _too_many(seconds: float) -> Response:
    detail = Detail(971, "Please wait and consider throttling your request speed")
    return refusal(429, [detail], {"retry-after": str(max(1, round(seconds)))})


def _refuse(fault: Fault) -> Response:
    if fault.kind == "rate_limit":
        return _too_many(fault.seconds or 1)
    if fault.kind == "not_found":
        return refusal(
            404, [Detail(NO_ROUTE, "Could not route to the object, perhaps its identifier is invalid?")]
        )
    if fault.status >= 500:
        # The edge answers in HTML when what is behind it does not.
        text = f"<html><head><title>{fault.status}</title></head><body>cloudflare</body></html>"
        return Response(text, status_code=fault.status, media_type="text/html")
    return refusal(fault.status, [Detail(10000, "Authentication error")])
