"""API keys that may come from some networks only: held to it by the address that the web server saw."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.authorize import comes_from
from shared.ids import new_id
from tests.fixtures.identity import Trust
from tests.gateway.edge import Echo, Edge, edge, served

KEY = "sc_live_networks_" + "n" * 32 + "_000000"


@pytest.fixture
async def stage(trust: Trust, tmp_path: Path) -> AsyncIterator[tuple[Edge, Echo, str]]:
    """A gateway that knows a key of one workspace, good from two networks."""
    echo = Echo()
    account, workspace = new_id("usr"), new_id("ws")
    async with served(echo, tmp_path / "provisioner.sock"), edge(trust, tmp_path) as made:
        made.know({(account, workspace): "owner"})
        made.answers[KEY] = {
            "active": True,
            "account_id": account,
            "role": "owner",
            "workspace_id": workspace,
            "key_id": new_id("key"),
            "scopes": ["servers:read"],
            "allowed_networks": ["192.0.2.0/28", "2001:db8:7::/48"],
            "expires_at": (datetime.now(UTC) + timedelta(days=1)).isoformat(),
        }
        yield made, echo, f"/v1/workspaces/{workspace}/servers"


async def ask(made: Edge, path: str, forwarded_for: str | None) -> httpx.Response:
    headers = {"Authorization": f"Bearer {KEY}"}
    if forwarded_for is not None:
        headers["X-Forwarded-For"] = forwarded_for
    return await made.client.get(path, headers=headers)


@pytest.mark.parametrize(
    "address", ["192.0.2.1", "192.0.2.15", "2001:db8:7::1", "::ffff:192.0.2.1", "8.8.8.8, 192.0.2.1"]
)
async def test_a_key_works_from_a_network_on_its_list(stage: tuple[Edge, Echo, str], address: str) -> None:
    made, echo, path = stage
    assert (await ask(made, path, address)).status_code == 200
    assert len(echo.seen) == 1


@pytest.mark.parametrize(
    "address",
    ["192.0.2.16", "2001:db8:8::1", "192.0.2.1, 8.8.8.8", "192.0.2.1,", "nonsense", None, "::ffff:8.8.8.8"],
)
async def test_from_anywhere_else_it_is_refused_whatever_the_caller_says_of_himself(
    stage: tuple[Edge, Echo, str], address: str | None
) -> None:
    """The web server appends the address that it saw; what stands before it is the caller's own invention."""
    made, echo, path = stage
    answer = await ask(made, path, address)
    assert (answer.status_code, answer.json()["code"]) == (403, "address_not_allowed")
    assert answer.json()["next_action"]
    assert not echo.seen


async def test_the_list_holds_while_the_key_is_remembered(stage: tuple[Edge, Echo, str]) -> None:
    made, echo, path = stage
    statuses = [
        (await ask(made, path, address)).status_code for address in ("192.0.2.1", "8.8.8.8", "192.0.2.2")
    ]
    assert statuses == [200, 403, 200]
    assert len(made.introspections) == 1
    assert len(echo.seen) == 2


async def test_who_tries_a_key_from_elsewhere_again_and_again_is_slowed_down(
    stage: tuple[Edge, Echo, str],
) -> None:
    made, _, path = stage
    statuses = {(await ask(made, path, "203.0.113.9")).status_code for _ in range(100)}
    assert statuses == {403, 429}


@given(
    st.ip_addresses(v=4),
    st.ip_addresses(v=4),
    st.integers(0, 32),
)
def test_an_address_is_inside_exactly_when_its_first_bits_are_the_networks(
    address: object, base: object, bits: int
) -> None:
    network = ip_network(f"{base}/{bits}", strict=False)
    same = (int(address) ^ int(network.network_address)) >> (32 - bits) == 0  # type: ignore[call-overload]
    assert comes_from((network,), str(address)) is same
    assert comes_from((network,), f"::ffff:{address}") is same


def test_without_a_list_every_address_will_do_and_with_one_an_unknown_address_does_not() -> None:
    assert comes_from((), None)
    assert not comes_from((ip_network("0.0.0.0/0"),), None)
