"""Schemathesis, a judge from outside, reads the OpenAPI documents and tries to prove them wrong.

All its checks run, `object_level_authorization` among them: it needs two peers, or it is skipped without a word.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from tests.fixtures.database import ServiceDatabases
from tests.fixtures.identity import Trust
from tests.fuzz.house import House, gateway_house, leaky_house, service_house
from tests.isolation.services import ROOT, SERVICES

EXAMPLES = int(os.environ.get("SC_FUZZ_EXAMPLES", "5"))
"""Cases per operation and phase. More of them: `SC_FUZZ_EXAMPLES=500`."""
SEED = 1
REFUSALS = [*map(str, (*range(400, 416), 422, 428, 429)), "5xx"]
"""Answers to malformed requests."""
ACCEPTABLE = ["2xx", "303", "401", "402", "403", "404", "409", "410", "412", "422", "429", "503"]
"""Answers to well-formed requests: whether a 422 was about meaning is `hooks.valid_data_breaks_no_shape`."""

SIGNS_OUT = (
    "--exclude-path",
    "/v1/auth/sessions/current",
    "--exclude-path",
    "/v1/auth/sessions/{session_id}",
)
"""Left to the run against auth itself: after it the gateway would refuse all that follows with 401."""

LIVES_AND_ENDS = "ensure_resource_availability,use_after_free"
"""Left to the run against the gateway: it lets A into the workspaces that she makes, and out of those that she ends."""


@pytest.mark.asvs("4.1.1")
async def test_the_gateway_does_what_its_document_says(
    service_database: ServiceDatabases, trust: Trust, tmp_path: Path
) -> None:
    async with gateway_house(service_database, trust, tmp_path) as house:
        status, report = await attack(house, "/v1/openapi.json", tmp_path, *SIGNS_OUT)
    assert status == 0, report


@pytest.mark.asvs("2.1.1", "2.2.2")
@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_does_what_its_document_says(
    service: str, service_database: ServiceDatabases, trust: Trust, tmp_path: Path
) -> None:
    async with service_house(service, service_database, trust, tmp_path) as house:
        status, report = await attack(house, "/openapi.json", tmp_path, "--exclude-checks", LIVES_AND_ENDS)
    assert status == 0, report


async def test_a_thing_that_is_shown_to_the_other_customer_is_noticed(tmp_path: Path) -> None:
    """The check that compares the two customers is really made."""
    async with leaky_house() as house:
        status, report = await attack(house, "/openapi.json", tmp_path, examples=25)
    assert status == 1
    assert "owns" in report, report


async def attack(
    house: House, document: str, directory: Path, *options: str, examples: int = EXAMPLES
) -> tuple[int, str]:
    """Exit status and schemathesis' report, which names a curl command for each failure."""
    (directory / "peers.json").write_text(json.dumps(_wfc(house)))
    (directory / "schemathesis.toml").write_text(_configuration(house, document))
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("st"), "--no-color", "run", house.url + document,
        "--checks", "all", "--max-examples", str(examples), "--suppress-health-check", "all", *options,
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()[-30_000:]


def _wfc(house: House) -> dict[str, object]:
    """Both customers, in the Web Fuzzing Commons format for authentication."""
    return {
        "auth": [
            {"name": name, "fixedHeaders": [{"name": "Authorization", "value": f"Bearer {bearer}"}]}
            for name, bearer in house.bearers.items()
        ]
    }


def _configuration(house: House, document: str) -> str:
    """A asks, B is the peer who must not see what is A's. Behind the gateway A finds her workspace herself."""
    lines = [
        f"seed = {SEED}",
        'hooks = "tests.fuzz.hooks"',
        "continue-on-failure = true",
        "max-failures = 1000",
        "[phases.examples]",
        "enabled = false  # tests/examples tries them, with things that exist",
        "[checks.positive_data_acceptance]",
        f"expected-statuses = {json.dumps(ACCEPTABLE)}",
        "[checks.negative_data_rejection]",
        f"expected-statuses = {json.dumps(REFUSALS)}",
        "[checks.missing_required_header]",
        f"expected-statuses = {json.dumps(REFUSALS)}",
        "[auth.wfc]",
        'path = "peers.json"',
        f"user = {json.dumps(house.a.name)}",
        f"peers = {json.dumps(list(house.bearers))}",
    ]
    lines += [
        "[[operations]]",
        'include-path-regex = "^/v1/(webhooks/|secret-scanning/)"',
        'checks.positive_data_acceptance.expected-statuses = ["2xx", "400"]  # nothing here is signed by the sender',
    ]
    if document == "/openapi.json":
        lines += ["[parameters]", f'"path.workspace_id" = "{house.a.workspace_id}"']
    return "\n".join(lines) + "\n"
