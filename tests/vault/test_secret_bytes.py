from __future__ import annotations

import copy
import json
import logging
import pickle

import pytest

from services.vault.secret_bytes import SecretBytes

VALUE = b"correct horse battery staple"


@pytest.mark.parametrize("shown", [repr, str, "{}".format, "{!r:>40}".format, "%s".__mod__])
def test_it_is_never_shown(shown: object) -> None:
    assert "horse" not in shown(SecretBytes(VALUE))  # type: ignore[operator]


def test_it_does_not_get_into_a_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        logging.getLogger("x").info("key=%s %r", SecretBytes(VALUE), {"key": SecretBytes(VALUE)})
    assert "horse" not in caplog.text


@pytest.mark.parametrize("leak", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps, bytes, hash])
def test_it_cannot_be_copied_or_serialised_by_accident(leak: object) -> None:
    with pytest.raises(TypeError):
        leak(SecretBytes(VALUE))  # type: ignore[operator]


def test_reveal_gives_the_value_and_wipe_takes_it() -> None:
    secret = SecretBytes(VALUE)
    assert secret.reveal() == VALUE
    assert len(secret) == len(VALUE)
    secret.wipe()
    with pytest.raises(ValueError, match="wiped"):
        secret.reveal()
    assert bytes(secret._buffer) == bytes(len(VALUE))


def test_it_equals_its_like_and_nothing_else() -> None:
    assert SecretBytes(b"a") == SecretBytes(b"a")
    assert SecretBytes(b"a") != SecretBytes(b"b")
    assert SecretBytes(b"a") != b"a"
