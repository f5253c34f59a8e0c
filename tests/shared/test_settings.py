from pathlib import Path

import pytest
from pydantic import ValidationError

from shared.settings import ServiceSettings

REQUIRED = {
    "SC_SERVICE": "dns",
    "SC_ROLE": "worker",
    "SC_SOCKET": "/run/x.sock",
    "SC_IDENTITY_TRUST_DIR": "/run/trust",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name, value in REQUIRED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SC_SECRETS_DIR", str(tmp_path))
    (tmp_path / "sc_database_url").write_text("postgresql+asyncpg://u:hunter2@/d\n")
    return tmp_path


def test_secrets_are_files_and_other_settings_variables(environment: Path) -> None:
    settings = ServiceSettings()
    assert settings.service == "dns"
    assert settings.database_url.get_secret_value() == "postgresql+asyncpg://u:hunter2@/d"


def test_a_secret_does_not_show_in_repr(environment: Path) -> None:
    assert "hunter2" not in repr(ServiceSettings())


def test_an_invalid_value_is_not_echoed(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SC_ROLE", "s3cret-typo")
    with pytest.raises(ValidationError) as caught:
        ServiceSettings()
    assert "s3cret-typo" not in str(caught.value)


@pytest.mark.parametrize("text", ["198.51.100.3,198.51.100.4", '["198.51.100.3", "198.51.100.4"]'])
def test_resolvers_are_a_list_in_either_spelling(
    environment: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("SC_RESOLVER", text)
    assert ServiceSettings().resolver == ["198.51.100.3", "198.51.100.4"]


def test_the_direct_dsn_falls_back_to_the_ordinary_one(environment: Path) -> None:
    settings = ServiceSettings()
    assert settings.direct_url() == settings.database_url
    (environment / "sc_database_direct_url").write_text("postgresql+asyncpg://direct")
    assert ServiceSettings().direct_url().get_secret_value().endswith("direct")
