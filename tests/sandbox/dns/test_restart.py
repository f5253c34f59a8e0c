"""Stopping and starting keeps zones, keys and trust anchor."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sandbox.settings import SandboxSettings
from tests.sandbox.conftest import claim
from tests.sandbox.dns.test_tree import ask, secure, values


@pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
async def test_zones_and_anchor_survive_a_restart(tmp_path: Path) -> None:
    settings = SandboxSettings(tmp_path, f"r{os.getpid() % 10_000_000}")
    first = await claim(settings)
    try:
        await first.start(lambda _text: None)
        await first.tree.create_zone("kept.test")
        await first.tree.set_records("kept.test", "A", ["198.51.100.9"])
        anchor = first.tree.anchor_file.read_text()
    finally:
        await first.stop()
    second = await claim(settings)
    try:
        await second.start(lambda _text: None)
        assert second.tree.anchor_file.read_text() == anchor
        answer = await ask(second, "kept.test", "A")
        assert (secure(answer), values(answer, "A")) == (True, {"198.51.100.9"})
    finally:
        await second.stop()
