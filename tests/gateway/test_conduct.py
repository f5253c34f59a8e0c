"""From what senders do to what they meet, through the gateway; and who hears of it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.filter import guard as guard_module
from gateway.filter.declared import declarations
from gateway.filter.honeytokens import is_trap
from gateway.filter.threats import MAX_KEPT, PER_WORKSPACE, Threat, ThreatLog
from infra.local.nginx import TRAPS_LOCATION
from services.auth.api_keys.format import public_id_of
from shared.contracts.gateway_events import ThreatObserved
from shared.ids import new_id
from tests.fixtures.identity import Trust
from tests.gateway.edge import KEY, Echo, Edge, edge, partner, served
from tests.isolation.services import documents_of

ROOT = Path(__file__).parents[2]
ATTACKER, VICTIM = "198.51.100.66", "192.0.2.10"


@pytest.fixture(scope="session")
def documents(trust: Trust, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return documents_of(("auth", "provisioner"), trust, tmp_path_factory.mktemp("documents"))


class Stage:
    def __init__(self, made: Edge, echo: Echo) -> None:
        self.made, self.echo, self.client = made, echo, made.client
        self.account, self.workspace = new_id("usr"), new_id("ws")
        self.roles = {(self.account, self.workspace): "owner"}
        made.know(self.roles)
        self.path = f"/v1/workspaces/{self.workspace}"
        self.slept: list[float] = []

        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)

        made.gateway.guard._sleep = sleep

    def of(self, address: str, **headers: str) -> dict[str, str]:
        return {"X-Forwarded-For": address, **headers}

    def owner(self, address: str = VICTIM) -> dict[str, str]:
        return {**self.made.person(self.account), "X-Forwarded-For": address, "Idempotency-Key": "1"}

    async def get(self, path: str, headers: dict[str, str]) -> httpx.Response:
        return await self.client.get(path, headers=headers)

    def told(self) -> list[ThreatObserved]:
        return self.made.gateway.guard.threats.take()


@pytest.fixture
async def stage(trust: Trust, tmp_path: Path, documents: dict[str, Any]) -> AsyncIterator[Stage]:
    echo = Echo()
    async with (
        served(echo, tmp_path / "auth.sock"),
        served(echo, tmp_path / "provisioner.sock"),
        edge(trust, tmp_path, rate_limit_signed_in=10**9, rate_limit_public=10**9) as made,
    ):
        made.gateway.documentation.declared = declarations(documents)
        yield Stage(made, echo)


async def test_a_scanner_meets_delay_challenge_and_block_and_his_neighbours_nothing(stage: Stage) -> None:
    seen = [(await stage.get(f"/v1/admin{n}", stage.of(ATTACKER))).status_code for n in range(200)]
    assert [status for n, status in enumerate(seen) if n == 0 or seen[n - 1] != status] == [404, 429, 403]
    assert 15 <= len(stage.slept) <= 25
    blocked = await stage.get("/v1/auth/jwks", stage.of(ATTACKER))
    assert (blocked.status_code, blocked.json()["code"]) == (403, "blocked")
    assert int(blocked.headers["retry-after"]) > 800
    assert {"instance", "next_action"} <= set(blocked.json())
    assert (await stage.get("/v1/auth/jwks", stage.of(VICTIM))).status_code == 200
    assert [threat.action for threat in stage.told()] == ["delayed", "challenged", "blocked"]


async def test_who_is_signed_in_works_on_behind_a_blocked_address(stage: Stage) -> None:
    await stage.get("/.env", stage.of(VICTIM))
    assert (await stage.get("/v1/auth/jwks", stage.of(VICTIM))).status_code == 403
    assert (await stage.get(stage.path, stage.owner(VICTIM))).status_code == 200
    refused = await stage.get(stage.path, stage.of(VICTIM, Authorization="Bearer x"))
    assert (refused.status_code, refused.json()["code"]) == (403, "blocked")


async def test_nobody_without_the_credential_can_have_an_account_blocked(stage: Stage) -> None:
    for number in range(300):
        await stage.get(stage.path, stage.of(ATTACKER, Authorization=f"Bearer {number}"))
    assert (await stage.get(stage.path, stage.owner(VICTIM))).status_code == 200


async def test_who_holds_a_session_that_has_ended_cannot_have_its_account_blocked(stage: Stage) -> None:
    """While the bus is silent auth is asked, and only its answer says that the session is over."""
    stolen, present = new_id("ses"), new_id("ses")
    stage.made.gateway.authority.doubt()
    stage.made.answers[stolen] = {"active": False}
    stage.made.answers[present] = {"active": True, "role": "owner"}
    headers = stage.of(ATTACKER, **stage.made.person(stage.account, session_id=stolen))
    refused = {(await stage.get(stage.path, headers)).status_code for _ in range(300)}
    own = stage.of(VICTIM, **stage.made.person(stage.account, session_id=present))
    assert 401 in refused
    assert 200 not in refused
    assert (await stage.get(stage.path, own)).status_code == 200


@pytest.mark.asvs("2.4.1")
async def test_an_account_that_searches_for_ids_is_stopped_wherever_it_comes_from(stage: Stage) -> None:
    statuses = [
        (
            await stage.get(f"/v1/workspaces/{new_id('ws')}/servers", stage.owner(f"192.0.2.{n % 250}"))
        ).status_code
        for n in range(120)
    ]
    assert statuses[0] == 404
    assert statuses[-1] in (429, 403)
    strangers = [threat for threat in stage.told() if threat.kind == "stranger"]
    assert strangers
    assert all(threat.subject is None and threat.source.endswith(("/24", "many")) for threat in strangers)


async def test_a_stale_link_is_no_threat(stage: Stage) -> None:
    await stage.get(f"{stage.path}/servers/1", stage.owner())
    await stage.get(stage.path, stage.of(VICTIM, Authorization="Bearer old"))
    assert stage.told() == []


async def test_polling_for_what_is_gone_is_no_search(stage: Stage) -> None:
    path = f"{stage.path}/servers/1"
    statuses = {(await stage.get(path, stage.owner())).status_code for _ in range(200)}
    assert statuses == {404}
    assert stage.slept == []


@pytest.mark.parametrize("path", ["/.env", "/.git/config", "/wp-login.php", "/v1/.env", "/v1/actuator/env"])
async def test_a_trap_answers_like_any_unknown_path_and_blocks(stage: Stage, path: str) -> None:
    plain = await stage.get("/v1/.nothing" if "/." in path else "/v1/nothing", stage.of(VICTIM))
    answer = await stage.get(path, stage.of(ATTACKER))
    assert answer.status_code == plain.status_code
    assert answer.json().get("code") == plain.json().get("code")
    assert (await stage.get("/v1/auth/jwks", stage.of(ATTACKER))).status_code == 403
    assert [(threat.kind, threat.action) for threat in stage.told() if threat.kind == "honeytoken"] == [
        ("honeytoken", "blocked")
    ]


async def test_a_page_elsewhere_cannot_have_its_visitors_blocked(stage: Stage) -> None:
    for path in ("/.env", "/v1/.env", *(f"/v1/x{n}" for n in range(300))):
        answer = await stage.get(path, stage.of(VICTIM, **{"Sec-Fetch-Site": "cross-site"}))
        assert (answer.status_code, answer.json()["code"]) == (403, "cross_site")
    assert (await stage.get("/v1/auth/jwks", stage.of(VICTIM))).status_code == 200
    assert stage.told() == []


def test_nginx_passes_exactly_the_traps_on() -> None:
    template = (ROOT / "infra/nginx/nginx.conf.template").read_text()
    assert re.search(r"location ~\* @TRAPS@ \{\s+# Traps", template)
    location = re.compile(TRAPS_LOCATION, re.IGNORECASE)
    for path in (
        "/.env",
        "/.git/config",
        "/.aws/credentials",
        "/wp-login.php",
        "/phpMyAdmin/",
        "/actuator/env",
    ):
        assert location.search(path)
        assert is_trap(path.encode())
    for path in (
        "/",
        "/status/",
        "/confirm",
        "/invitation",
        "/favicon.ico",
        "/robots.txt",
        "/.well-known/security.txt",
    ):
        assert not location.search(path)
        assert not is_trap(path.encode())


def published_key() -> str:
    found = re.search(r"sc_live_\w{8}_\w{32}_\w{6}", (ROOT / "docs/request-filter.md").read_text())
    assert found is not None
    return found[0]


async def test_the_key_that_lies_about_opens_nothing_and_blocks_who_shows_it(stage: Stage) -> None:
    key = published_key()
    assert public_id_of(key) is not None, "a thief's tool would see that it is none"
    thief = stage.of(ATTACKER, Authorization=f"Bearer {key}")
    first = await stage.get(f"{stage.path}/servers", thief)
    other = await stage.get(f"{stage.path}/servers", stage.of(VICTIM, Authorization=f"Bearer {KEY}"))
    assert (
        (first.status_code, first.json()["code"])
        == (other.status_code, other.json()["code"])
        == (401, "unauthenticated")
    )
    assert [question["key"] for question in stage.made.introspections] == [KEY]
    assert (await stage.get("/v1/auth/jwks", stage.of(ATTACKER))).status_code == 403
    told = [threat for threat in stage.told() if threat.kind == "honeytoken"]
    assert [(threat.workspace_id, threat.source) for threat in told] == [(None, "198.51.100.0/24")]


async def test_a_key_that_is_used_from_elsewhere_is_told_to_its_workspace(stage: Stage) -> None:
    found = stage.made.answers[KEY] = partner(stage.account, stage.workspace, "servers:read")
    for address in ("192.0.2.1", "192.0.2.200", "203.0.113.5", "203.0.113.6"):
        answer = await stage.get(f"{stage.path}/servers", stage.of(address, Authorization=f"Bearer {KEY}"))
        assert answer.status_code == 200
    told = [(threat.workspace_id, threat.kind, threat.source, threat.subject) for threat in stage.told()]
    assert told == [(stage.workspace, "new_network", "203.0.113.5", found["key_id"])]


async def test_an_attack_in_a_body_goes_on_is_told_and_repeated_leads_up_the_ladder(stage: Stage) -> None:
    async def send(text: str) -> int:
        answer = await stage.client.post(f"{stage.path}/api-keys", json={"name": text, "scopes": ["servers:read"]},
                                         headers=stage.owner())  # fmt: skip
        return answer.status_code

    assert await send("<script>alert(1)</script>") == 200
    (threat,) = stage.told()
    assert (threat.workspace_id, threat.kind, threat.action, threat.count) == (
        stage.workspace,
        "signature",
        "observed",
        1,
    )
    assert (threat.subject, threat.source) == (stage.account, VICTIM)
    assert threat.route == "POST /v1/workspaces/{workspace_id}/api-keys"
    assert "xss.script" in threat.signatures
    assert "alert(1)" not in threat.model_dump_json()
    statuses = [await send("' union select 1") for _ in range(40)]
    assert statuses[-1] == 429
    assert len(stage.echo.seen) < 20


async def test_passwords_and_tokens_are_never_looked_at(stage: Stage) -> None:
    body = {"email": "ada@people.test", "password": "<script>' union select 1;cat /etc/passwd"}
    assert (
        await stage.client.post("/v1/auth/sessions", json=body, headers=stage.of(VICTIM))
    ).status_code == 200
    token = {"token": "../../../../etc/passwd"}
    assert (
        await stage.client.post("/v1/auth/confirm", json=token, headers=stage.of(VICTIM))
    ).status_code == 200
    assert stage.told() == []


async def test_in_observation_everything_is_told_and_nothing_refused(
    trust: Trust, tmp_path: Path, documents: dict[str, Any]
) -> None:
    echo = Echo()
    async with served(echo, tmp_path / "auth.sock"), edge(trust, tmp_path, filter_action="observe") as made:
        stage = Stage(made, echo)
        for number in range(200):
            await stage.get(f"/v1/x{number}", stage.of(ATTACKER))
        assert (await stage.get("/v1/auth/jwks", stage.of(ATTACKER))).status_code == 200
        assert stage.slept == []
        assert stage.told()


async def test_not_too_many_wait_at_one_time(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard_module, "MAX_DELAYED", 0)
    statuses = [(await stage.get(f"/v1/x{n}", stage.of(ATTACKER))).status_code for n in range(30)]
    assert statuses[-1] == 429


def test_threats_are_summed_up_and_bounded() -> None:
    log = ThreatLog()
    workspace = new_id("ws")
    for number in range(500):
        log.add(Threat(workspace, "stranger", "observed", f"10.0.{number % 250}.0/24"), ("a", "b"))
    told = log.take()
    assert len(told) == PER_WORKSPACE + 1
    assert sum(threat.count for threat in told) == 500
    assert {threat.source for threat in told} >= {"many"}
    assert log.take() == []
    for _ in range(MAX_KEPT + 50):
        log.add(Threat(new_id("ws"), "stranger", "observed", "10.0.0.0/24"))
    assert len(log.take()) == MAX_KEPT
