import json

import pytest
import structlog

from shared.observability.logging import configure_logging, get_logger, redact
from shared.observability.trace import current_causation, current_traceparent, trace


@pytest.mark.asvs("16.2.5")
@pytest.mark.parametrize(
    "key", ["password", "admin_password", "secret", "client_secret_id", "access_token", "Authorization", "cookie",
            "private_key", "api_key", "key", "database_url", "passphrase"],
)  # fmt: skip
def test_values_under_secret_names_are_masked(key: str) -> None:
    assert redact({"outer": {key: "hunter2"}}) == {"outer": {key: "***"}}


@pytest.mark.parametrize("key", ["key_id", "token_id", "workspace_id", "monkey", "kind", "passed"])
def test_other_names_are_left_alone(key: str) -> None:
    assert redact({key: "value"}) == {key: "value"}


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgresql+asyncpg://app:hunter2@/db", "postgresql+asyncpg://app:***@/db"),
        ("got eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ1c3JfMSJ9.c2lnbmF0dXJlLWJ5dGVz here", "got *** here"),
        ("key sc_live_ab12cd34_0123456789", "key ***"),
        ("-----BEGIN PRIVATE KEY-----\nMIG\n-----END", "***"),
        ("nothing to see", "nothing to see"),
    ],
)
def test_secrets_inside_texts_are_masked(text: str, masked: str) -> None:
    assert redact([text]) == [masked]


def test_bytes_show_their_length_only() -> None:
    assert redact(b"hunter2") == "<7 bytes>"


@pytest.mark.asvs("16.2.4")
def test_a_line_is_json_with_its_context_and_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("dns", "INFO", "api")
    with structlog.contextvars.bound_contextvars(request_id="req_1"), trace(None):
        get_logger("test").info("hello", password="hunter2", count=1)
    line = json.loads(capsys.readouterr().err.strip().splitlines()[-1])
    assert (line["event"], line["service"], line["role"], line["level"]) == ("hello", "dns", "api", "info")
    assert (line["request_id"], line["count"], line["password"]) == ("req_1", 1, "***")
    assert len(line["trace_id"]) == 32


def test_an_exceptions_text_is_masked_too(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("dns")
    try:
        raise RuntimeError("amqps://dns:hunter2@localhost failed")
    except RuntimeError:
        get_logger("test").exception("broken")
    output = capsys.readouterr().err
    assert "hunter2" not in output
    assert "RuntimeError" in output


def test_a_valid_trace_is_continued_and_a_malformed_one_replaced() -> None:
    given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with trace(given, "evt_1"):
        assert (current_traceparent(), current_causation()) == (given, "evt_1")
        with trace("00-" + "0" * 32 + "-b7ad6b7169203331-01") as other:
            assert other != given
            assert current_causation() is None
    assert current_traceparent() is None
