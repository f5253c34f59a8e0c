"""Refusals by their JSON `type`, and silence told apart from what was never sent."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from services.provisioner.ports import (
    CloudBusy,
    CloudDenied,
    CloudError,
    CloudNotFound,
    CloudOutOfStock,
    CloudQuota,
    CloudRateLimited,
    CloudRefused,
    CloudUnavailable,
)
from services.provisioner.providers.scaleway import Scaleway


def cloud(answer: Any) -> Scaleway:
    def handle(request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        response: httpx.Response = answer
        return response

    return Scaleway(
        httpx.AsyncClient(transport=httpx.MockTransport(handle), base_url="https://cloud.test"), "project"
    )


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (404, {"type": "not_found", "resource": "instance_ip"}, CloudNotFound),
        (404, None, CloudNotFound),
        (409, {"type": "transient_state", "current_state": "updating"}, CloudBusy),
        (412, {"type": "precondition_failed", "precondition": "resource_still_in_use"}, CloudBusy),
        (412, {"type": "out_of_stock", "resource": "DEV1-S"}, CloudOutOfStock),
        (403, {"type": "quotas_exceeded", "details": [{"resource": "ips"}]}, CloudQuota),
        (403, {"type": "invalid_request_error", "message": "Quota exceeded for this resource."}, CloudQuota),
        (403, {"type": "permissions_denied"}, CloudDenied),
        (401, {"type": "denied_authentication", "reason": "expired"}, CloudDenied),
        (403, None, CloudDenied),
        (400, {"type": "invalid_arguments", "details": [{"argument_name": "name"}]}, CloudRefused),
        (400, {"type": "invalid_arguments", "details": "odd"}, CloudRefused),
        (400, ["odd"], CloudRefused),
        (429, None, CloudRateLimited),
        (500, {"type": "unknown"}, CloudUnavailable),
        (504, None, CloudUnavailable),
    ],
)
async def test_each_refusal_has_its_type(status: int, body: Any, kind: type[CloudError]) -> None:
    response = httpx.Response(status, json=body) if body is not None else httpx.Response(status)
    with pytest.raises(CloudError) as error:
        await cloud(response).get_ip("fr-par-1", "x")
    assert type(error.value) is kind


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx.ConnectError("refused"), CloudBusy),
        (httpx.ConnectTimeout("slow"), CloudBusy),
        (httpx.ReadTimeout("slow"), CloudUnavailable),
        (httpx.RemoteProtocolError("reset"), CloudUnavailable),
    ],
)
async def test_only_what_was_never_sent_is_known_not_to_have_happened(
    error: Exception, kind: type[CloudError]
) -> None:
    with pytest.raises(CloudError) as caught:
        await cloud(error).reserve_ip("fr-par-1", 4, ())
    assert type(caught.value) is kind


@pytest.mark.parametrize("content", [b"<html>", b"[]"])
async def test_a_success_that_cannot_be_read_has_an_unknown_outcome(content: bytes) -> None:
    with pytest.raises(CloudUnavailable):
        await cloud(httpx.Response(201, content=content)).reserve_ip("fr-par-1", 4, ())
