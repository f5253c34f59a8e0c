"""Nothing between components is said in the clear: every packet of a whole story, on every interface."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.capture import ROTATED
from tests.e2e.conftest import needs_real_hosts

pytestmark = pytest.mark.stack
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def captured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    needs_real_hosts()
    folder = tmp_path_factory.mktemp("capture")
    out = folder / "out.json"
    argv = ["unshare", "--net", "--", sys.executable, "-m", "tests.e2e.capture", "capture", str(out)]
    with (folder / "log").open("wb") as log:
        done = subprocess.run(argv, cwd=ROOT, stdout=log, stderr=log, check=False)
    text = (folder / "log").read_text()[-3000:]
    assert done.returncode == 0, text
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def test_the_sniffer_sees_what_is_in_the_clear(captured: dict[str, Any]) -> None:
    assert captured["planted_is_seen"]


def test_the_story_held_while_every_key_and_the_authority_were_replaced(captured: dict[str, Any]) -> None:
    assert set(captured["rotated"]) == set(ROTATED)
    assert len(captured["steps"]) == 9
    assert all(captured["steps"].values()), captured["steps"]


@pytest.mark.asvs("12.3.3")
def test_no_http_amqp_or_postgresql_was_readable_on_any_interface(captured: dict[str, Any]) -> None:
    assert captured["packets"] > 1000
    assert captured["drops"] == 0
    assert captured["begins"]["TLS"] > 50
    assert captured["clear"] == []


@pytest.mark.asvs("12.3.1")
def test_every_conversation_began_encrypted_or_is_a_named_exception(captured: dict[str, Any]) -> None:
    assert captured["unknown"] == []


def test_clients_without_tls_are_refused(captured: dict[str, Any]) -> None:
    assert "AMQP" not in captured["amqp"]
    assert len(captured["http"]) >= 3
    for port, answer in captured["http"].items():
        assert "HTTP/1.1 2" not in answer, f"port {port}: {answer}"
        assert "HTTP/1.0 2" not in answer, f"port {port}: {answer}"
    for port, answer in captured["postgres"].items():
        assert answer not in ("b'S'", "b'N'"), f"a PostgreSQL listens on port {port}: {answer}"
