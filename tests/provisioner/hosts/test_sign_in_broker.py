"""Webmail tokens at the host: once, in time, for this host, signed with its key."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from services.provisioner.hosts.bundle.host.ssod import Broker, Invalid, _Handler, _Server

KEY = b"k" * 32
HOST = "s1.mx.example.test"
NOW = 1_800_000_000.0


def encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def token(key: bytes = KEY, **changes: Any) -> str:
    claims = {
        "jti": "j" * 22,
        "sub": "alice@example-a.test",
        "aud": HOST,
        "iat": int(NOW),
        "exp": int(NOW) + 60,
    }
    payload = encode(json.dumps(claims | changes).encode())
    return f"v1.{payload}.{encode(hmac.new(key, f'v1.{payload}'.encode(), hashlib.sha256).digest())}"


@pytest.fixture
def broker(tmp_path: Path) -> Broker:
    for name in ("u", "ended"):
        (tmp_path / name).mkdir()
    (tmp_path / "ended/alice@example-a.test").touch()
    return made(tmp_path)


def made(place: Path) -> Broker:
    return Broker(KEY, HOST, place / "used.db", place / "u", place / "ended")


def test_token_opens_one_session(broker: Broker, tmp_path: Path) -> None:
    answer = broker.redeem(token(), NOW)
    expires, verifier, session_id = (tmp_path / "u" / "alice@example-a.test").read_text().split()
    assert answer["user"] == "alice@example-a.test"
    assert session_id == answer["id"] == "j" * 22
    assert int(expires) == answer["expires"] == int(NOW) + 1800
    assert verifier == "{SHA512.HEX}" + hashlib.sha512(answer["secret"].encode()).hexdigest()


def test_second_use_is_refused(broker: Broker) -> None:
    broker.redeem(token(), NOW)
    with pytest.raises(Invalid, match="used"):
        broker.redeem(token(), NOW + 1)


def test_used_tokens_survive_a_restart(broker: Broker, tmp_path: Path) -> None:
    broker.redeem(token(), NOW)
    with pytest.raises(Invalid, match="used"):
        made(tmp_path).redeem(token(), NOW + 1)


def test_a_token_that_was_ended_is_refused_and_others_of_the_mailbox_are_not(
    broker: Broker, tmp_path: Path
) -> None:
    (tmp_path / "ended/alice@example-a.test").write_text("x" * 22 + "\n" + "j" * 22 + "\n")
    with pytest.raises(Invalid, match="ended"):
        broker.redeem(token(), NOW)
    assert broker.redeem(token(jti="k" * 22), NOW)["id"] == "k" * 22


def test_a_mailbox_that_is_not_of_this_host_opens_with_no_token(broker: Broker) -> None:
    with pytest.raises(Invalid, match="ended"):
        broker.redeem(token(sub="bob@example-a.test"), NOW)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (token(key=b"x" * 32), "signature"),
        (token(aud="other.example.test"), "audience"),
        (token(exp=int(NOW)), "expired"),
        (token(exp=int(NOW) + 61), "expired"),
        (token(iat=int(NOW) + 30, exp=int(NOW) + 60), "expired"),
        (token(iat=int(NOW) - 100, exp=int(NOW) - 50), "expired"),
        (token(sub="../../etc/x@example.test"), "subject"),
        (token(sub="Alice@Example.Test"), "subject"),
        (token(sub="a..b@example.test"), "subject"),
        (token(jti="short"), "subject"),
        ("v2." + token().split(".", 1)[1], "form"),
        ("nonsense", "form"),
        ("v1.!!.!!", "signature"),
    ],
)
def test_refuses(broker: Broker, text: str, reason: str) -> None:
    with pytest.raises(Invalid, match=reason):
        broker.redeem(text, NOW)


def test_ended_sessions_are_swept(broker: Broker, tmp_path: Path) -> None:
    broker.redeem(token(), NOW)
    broker.sweep(NOW + 10)
    assert (tmp_path / "u" / "alice@example-a.test").exists()
    broker.sweep(NOW + 1800)
    assert not (tmp_path / "u" / "alice@example-a.test").exists()


def test_a_session_is_not_prolonged_by_another_sign_in(broker: Broker, tmp_path: Path) -> None:
    first = broker.redeem(token(), NOW)
    later = broker.redeem(token(jti="k" * 22, iat=int(NOW) + 1790, exp=int(NOW) + 1850), NOW + 1795)
    lines = (tmp_path / "u" / "alice@example-a.test").read_text().splitlines()
    assert [int(line.split()[0]) for line in lines] == [first["expires"], later["expires"]]
    broker.redeem(token(jti="l" * 22, iat=int(NOW) + 1790, exp=int(NOW) + 1850), NOW + 1800)
    assert str(first["expires"]) not in (tmp_path / "u" / "alice@example-a.test").read_text()


@pytest.fixture
def listening(broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[_Server]:
    """The broker behind its socket, as on a host."""
    monkeypatch.setattr(time, "time", lambda: NOW)
    with _Server(str(tmp_path / "sock"), _Handler) as server:
        server.broker, server.webmail_uid = broker, os.geteuid()
        server.broker._used.close()
        thread = threading.Thread(target=_serve, args=(server, tmp_path))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _serve(server: _Server, directory: Path) -> None:
    server.broker = made(directory)  # SQLite wants its own thread
    server.serve_forever(poll_interval=0.02)


def ask(path: str, text: str) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(path)
        client.sendall(text.encode() + b"\n")
        answer: dict[str, Any] = json.loads(client.makefile().readline())
    return answer


def test_of_twenty_who_ask_at_once_with_one_token_one_gets_a_session(
    listening: _Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: ask(str(tmp_path / "sock"), token()), range(20)))
    assert sorted("secret" in answer for answer in answers) == [False] * 19 + [True]
    assert [answer for answer in answers if "error" in answer] == [{"error": "refused"}] * 19
    said = capsys.readouterr().out
    assert said.count("signed in alice@example-a.test") == 1
    assert said.count("refused: used") == 19
    assert token() not in said
    assert not any(answer.get("secret", token()) in said for answer in answers)


def test_another_uid_gets_no_session_and_uses_nothing_up(listening: _Server, tmp_path: Path) -> None:
    listening.webmail_uid = os.geteuid() + 1
    assert ask(str(tmp_path / "sock"), token()) == {"error": "refused"}
    listening.webmail_uid = os.geteuid()
    assert ask(str(tmp_path / "sock"), token())["user"] == "alice@example-a.test"
