"""The two processes come up from their environment alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.dns.settings import ApiSettings, WorkerSettings
from services.dns.wiring import build_resources
from shared.special_use import REFUSED_NETWORKS
from tests.fixtures.identity import Trust

COMMON = {
    "SC_SERVICE": "dns", "SC_ROLE": "worker", "SC_SOCKET": "/run/x.sock", "SC_PLATFORM_ZONE": "mail-platform.net",
    "SC_DATABASE_URL": "postgresql+asyncpg://dns_worker@/sc_dns?host=/nonexistent",
}  # fmt: skip


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, trust: Trust, tmp_path: Path) -> Path:
    """A process's environment; the directory is for its secrets."""
    for name, value in COMMON.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SC_IDENTITY_TRUST_DIR", str(trust.directory))
    monkeypatch.setenv("SC_IDENTITY_KEY_FILE", str(trust.key_file("dns")))
    monkeypatch.setenv("SC_SECRETS_DIR", str(tmp_path))
    return tmp_path


async def test_the_worker_takes_its_token_from_a_file_and_lists_from_text(
    environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (environment / "sc_platform_zone_token").write_text("the-platform-token")
    monkeypatch.setenv("SC_SPECIAL_USE_NAMES", "localhost, invalid")
    monkeypatch.setenv("SC_CAA_ISSUERS", '["ca.net"]')
    settings = WorkerSettings()
    assert settings.platform_zone_token.get_secret_value() == "the-platform-token"
    assert "the-platform-token" not in repr(settings)
    assert settings.special_use_names == ("localhost", "invalid")
    assert settings.caa_issuers == ("ca.net",)
    assert settings.refused_networks == REFUSED_NETWORKS
    resources = build_resources(settings)
    await resources.aclose()
    await resources.database.dispose()


def test_the_worker_does_not_start_without_the_token_of_its_zone(environment: Path) -> None:
    with pytest.raises(ValueError, match="platform_zone_token"):
        WorkerSettings()


def test_networks_that_are_none_are_refused_at_the_start(
    environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (environment / "sc_platform_zone_token").write_text("t")
    monkeypatch.setenv("SC_REFUSED_NETWORKS", "10.0.0.0/33")
    with pytest.raises(ValueError, match="refused_networks"):
        WorkerSettings()


def test_the_api_has_no_place_for_a_providers_credential() -> None:
    secrets = {name for name, field in ApiSettings.model_fields.items() if "Secret" in str(field.annotation)}
    assert secrets == {"database_url", "database_direct_url", "amqp_url"}
