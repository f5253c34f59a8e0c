"""What is written of every request, and how much of it is counted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from gateway.access_log import FLUSH_SECONDS, MAX_HELD, AccessLog
from shared.ids import new_id
from tests.fixtures.identity import Trust
from tests.gateway.edge import Echo, Edge, edge, eventually, served


def note(log: AccessLog, status: int = 200, seconds: float = 0.012) -> None:
    log.note(new_id("req"), "GET", "/v1/me", status, seconds, "usr_1", None, "203.0.113.9")


@pytest.mark.asvs("16.2.1")
async def test_a_line_is_json_with_all_that_is_known_of_the_request() -> None:
    written: list[str] = []
    log = AccessLog(written.append)
    note(log)
    log.flush()
    line = json.loads(written[0])
    assert line.pop("request_id").startswith("req_")
    age = datetime.now(UTC) - datetime.fromisoformat(line.pop("timestamp"))
    assert 0 <= age.total_seconds() < 60
    assert line == {
        "method": "GET", "route": "/v1/me", "status": 200, "event": "request", "level": "info",
        "logger": "access", "service": "gateway", "milliseconds": 12.0, "subject": "usr_1", "workspace_id": None,
        "client_ip": "203.0.113.9",
    }  # fmt: skip


async def test_lines_are_written_together_after_a_moment_and_none_is_held_for_long() -> None:
    written: list[str] = []
    log = AccessLog(written.append)
    for _ in range(3):
        note(log)
    assert not written
    await asyncio.sleep(FLUSH_SECONDS * 1.2)
    assert [text.count("\n") for text in written] == [3]
    for _ in range(MAX_HELD):
        note(log)
    assert [text.count("\n") for text in written] == [3, MAX_HELD]


async def test_requests_are_counted_by_route_and_status_and_timed_by_route() -> None:
    log = AccessLog(lambda _: None)
    registry = CollectorRegistry()
    registry.register(log)
    for status, seconds in ((200, 0.001), (200, 0.3), (404, 99.0)):
        note(log, status, seconds)
    text = generate_latest(registry).decode()
    assert 'sc_gateway_requests_total{method="GET",route="/v1/me",status="200"} 2.0' in text
    assert 'sc_gateway_requests_total{method="GET",route="/v1/me",status="404"} 1.0' in text
    for limit, count in (("0.005", 1), ("0.25", 1), ("0.5", 2), ("30.0", 2), ("+Inf", 3)):
        assert f'sc_gateway_seconds_bucket{{le="{limit}",method="GET",route="/v1/me"}} {count}.0' in text
    assert 'sc_gateway_seconds_count{method="GET",route="/v1/me"} 3.0' in text
    log.flush()


@pytest.fixture
async def stage(trust: Trust, tmp_path: Path) -> AsyncIterator[tuple[Edge, list[str]]]:
    written: list[str] = []
    async with served(Echo(), tmp_path / "auth.sock"), edge(trust, tmp_path) as made:
        made.gateway.access_log = AccessLog(written.append)
        yield made, written


@pytest.mark.asvs("16.4.1")
async def test_nothing_that_a_caller_writes_gets_into_a_line(stage: tuple[Edge, list[str]]) -> None:
    """Lines are not escaped, so hostile bytes must never reach one."""
    made, written = stage
    evil = '"},{"a\\'
    requests: list[dict[str, Any]] = [
        {"method": "GET", "url": f"/v1/{evil}"},
        {"method": "GET", "url": "/v1/auth/jwks", "headers": {"X-Forwarded-For": evil, "X-Request-Id": evil}},
        {
            "method": "GET",
            "url": f"/v1/workspaces/{evil}/audit",
            "headers": {"Authorization": f"Bearer {evil}"},
        },
        {"method": "GET", "url": "/v1/me", "headers": {"Authorization": f"Bearer sc_live_{evil}"}},
    ]
    for request in requests:
        await made.client.request(**request)
    await eventually(lambda: sum(text.count("\n") for text in written) == len(requests))
    for line in "".join(written).splitlines():
        assert evil[:3] not in line
        assert json.loads(line)["event"] == "request"
