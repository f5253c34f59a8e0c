"""From HTTP to a handler and back: key, zone, faults, request id, pages, and errors in the vendor's shape."""

from __future__ import annotations

import hmac
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.faults import Fault, obey
from sandbox.scaleway import errors
from sandbox.scaleway.errors import ScalewayError
from sandbox.scaleway.habits import VENDOR
from sandbox.scaleway.world import World

Model = TypeVar("Model", bound=BaseModel)
MAX_PAGE = 100


@dataclass
class Call:
    """One authenticated call. `zone` is None where the path has none."""

    request: Request
    fault: Fault | None

    @property
    def zone(self) -> str:
        return str(self.request.path_params["zone"])

    def path(self, name: str) -> str:
        return str(self.request.path_params[name])

    def query(self, name: str) -> str | None:
        return self.request.query_params.get(name)

    async def body(self, model: type[Model]) -> Model:
        """The JSON body, checked. Raises invalid_arguments naming each bad argument."""
        try:
            content = await self.request.json()
        except ValueError:
            raise errors.invalid_request("the request body is not valid JSON") from None
        if not isinstance(content, dict):
            raise errors.invalid_request("the request body must be a JSON object")
        try:
            return model.model_validate(content)
        except ValidationError as error:
            raise errors.invalid_all([_detail(dict(each)) for each in error.errors()]) from None


Handler = Callable[[Call], Awaitable[Response]]


class Routing:
    """Collects routes; each has an operation name by which faults are armed (`servers.create`)."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.routes: list[Route] = []

    def add(self, method: str, path: str, operation: str, handler: Handler) -> None:
        async def endpoint(request: Request) -> Response:
            try:
                self._authenticate(request)
                self._check_place(request)
            except ScalewayError as error:
                return answered(refusal(error))
            fault = self._world.faults.take(VENDOR, operation)

            async def call() -> Response:
                try:
                    return await handler(Call(request, fault))
                except ScalewayError as error:
                    return refusal(error)

            return answered(await obey(fault, call, refused_by_fault))

        self.routes.append(Route(path, endpoint, methods=[method]))

    def _authenticate(self, request: Request) -> None:
        key = request.headers.get("x-auth-token", "")
        try:
            uuid.UUID(key)
        except ValueError:
            raise errors.denied_authentication("invalid_argument") from None
        if not hmac.compare_digest(key, self._world.settings.secret_key.get_secret_value()):
            raise errors.denied_authentication("not_found")

    def _check_place(self, request: Request) -> None:
        zone, region = request.path_params.get("zone"), request.path_params.get("region")
        if zone is not None and zone not in self._world.catalogue.zones:
            raise errors.invalid("zone", "constraint", f"unknown zone {zone}")
        if region is not None and region not in self._world.catalogue.regions:
            raise errors.invalid("region", "constraint", f"unknown region {region}")


def refused_by_fault(fault: Fault) -> Response:
    """A fault of the control API or a habit, in the vendor's words."""
    if fault.kind == "rate_limit":
        return refusal(errors.too_many_requests())
    if fault.kind == "not_found":
        return refusal(errors.not_found("resource", ""))
    if fault.kind == "error_before" and fault.status == 409:
        return refusal(errors.transient_state("resource", "", "updating"))
    return refusal(errors.internal(fault.status))


def refusal(error: ScalewayError) -> Response:
    return (
        Response(status_code=error.status) if error.body is None else JSONResponse(error.body, error.status)
    )


def answered(response: Response) -> Response:
    response.headers["X-Request-Id"] = str(uuid.uuid4())
    return response


def instance_page(call: Call, key: str, items: Sequence[Any]) -> Response:
    """A list as Instance v1 pages it: `page`, `per_page`, and totals in X-Total-Count and Link (RFC 8288)."""
    shown, headers = _page_with_link(call, items)
    return JSONResponse({key: shown}, headers=headers)


def instance_page_by_name(call: Call, key: str, items: Mapping[str, Any]) -> Response:
    """The same for the lists that are objects by name (machine types)."""
    shown, headers = _page_with_link(call, list(items.items()))
    return JSONResponse({key: dict(shown)}, headers=headers)


def _page_with_link(call: Call, items: Sequence[Any]) -> tuple[list[Any], dict[str, str]]:
    page, size = _paging(call, "per_page", 50)
    shown = [] if _emptied(call) else list(items[(page - 1) * size : page * size])
    headers = {"X-Total-Count": str(len(items))}
    last = max(1, -(-len(items) // size))
    if page < last:
        place = call.request.url.path.partition("/zones/")[2].partition("/")[2]
        links = (
            f'</{place}?page={n}&per_page={size}&>; rel="{rel}"'
            for rel, n in (("next", page + 1), ("last", last))
        )
        headers["Link"] = ",".join(links)
    return shown, headers


def counted_page(call: Call, key: str, items: Sequence[Any]) -> Response:
    """A list as the newer APIs page it: `page`, `page_size`, and `total_count` in the body."""
    page, size = _paging(call, "page_size", 20)
    shown = [] if _emptied(call) else list(items[(page - 1) * size : page * size])
    return JSONResponse({key: shown, "total_count": 0 if _emptied(call) else len(items)})


def _emptied(call: Call) -> bool:
    return call.fault is not None and call.fault.kind == "empty_list"


def _paging(call: Call, size_name: str, default: int) -> tuple[int, int]:
    numbers = []
    for name, fallback in (("page", 1), (size_name, default)):
        text = call.query(name) or str(fallback)
        if not text.isascii() or not text.isdigit() or int(text) < 1:
            raise errors.invalid(name, "format", "must be a positive number")
        numbers.append(int(text))
    return numbers[0], min(numbers[1], MAX_PAGE)


def _detail(error: dict[str, Any]) -> errors.Body:
    reason = "required" if error["type"] == "missing" else "constraint"
    name = ".".join(str(part) for part in error["loc"])
    return {"argument_name": name, "reason": reason, "help_message": str(error["msg"])}
