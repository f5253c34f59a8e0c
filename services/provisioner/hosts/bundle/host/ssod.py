#!/usr/bin/python3 -I
"""Webmail sign-in broker: turns a one-time token into a session secret, exactly once.

A token is `v1.<base64url payload>.<base64url HMAC-SHA256 over "v1.<payload>">`, payload JSON
{jti, sub, aud, iat, exp}, exp - iat <= 60. Only this process reads the key. Only the webmail's uid may ask.
It answers {user, secret, expires, id} or {error}; the secret opens IMAP and submission from loopback until `expires`,
or until `id`, the token's jti, is among those that the control plane has ended.
"""

import argparse
import base64
import contextlib
import fcntl
import hashlib
import hmac
import json
import os
import pathlib
import pwd
import re
import secrets
import socket
import socketserver
import sqlite3
import struct
import tempfile
import time
from typing import Any

KEY = pathlib.Path("/etc/sendchief/sso/key.json")
SOCKET = pathlib.Path("/run/sc-ssod/sock")
SESSIONS = pathlib.Path("/run/sc-sso/u")
ENDED = pathlib.Path("/etc/sendchief/webmail-ended")
"""One file per mailbox, one jti a line. Without its file a mailbox is not of this host."""
USED = pathlib.Path("/var/lib/sc-sso/used.db")
TOKEN_SECONDS = 60
SKEW_SECONDS = 5
SESSION_SECONDS = 1800
KEEP_USED_SECONDS = 7200
ADDRESS = re.compile(r"^[a-z0-9][a-z0-9._-]{0,63}@[a-z0-9][a-z0-9.-]{0,188}$")
JTI = re.compile(r"^[A-Za-z0-9_-]{16,64}$")


class Invalid(Exception):
    """A token that does not sign in; the message is the reason, for the log."""


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def claims_of(token: str, key: bytes, audience: str, now: float) -> dict[str, Any]:
    """Checks form, MAC, audience and times; raises Invalid. Use of the `jti` is the caller's to record."""
    parts = token.split(".")
    if len(parts) != 3 or parts[0] != "v1":
        raise Invalid("form")
    try:
        given = _decode(parts[2])
        expected = hmac.new(key, f"{parts[0]}.{parts[1]}".encode(), hashlib.sha256).digest()
        if not hmac.compare_digest(expected, given):
            raise Invalid("signature")
        claims = json.loads(_decode(parts[1]))
        issued, expires = int(claims["iat"]), int(claims["exp"])
        subject, jti = str(claims["sub"]), str(claims["jti"])
    except (ValueError, KeyError, TypeError) as error:
        raise Invalid("form") from error
    if claims.get("aud") != audience:
        raise Invalid("audience")
    if not 0 < expires - issued <= TOKEN_SECONDS or issued > now + SKEW_SECONDS or expires <= now:
        raise Invalid("expired")
    if not ADDRESS.match(subject) or ".." in subject or not JTI.match(jti):
        raise Invalid("subject")
    return {"sub": subject, "jti": jti, "exp": expires}


class Broker:
    """Holds the key and the table of used tokens."""

    def __init__(
        self, key: bytes, audience: str, database: pathlib.Path, sessions: pathlib.Path, ended: pathlib.Path
    ) -> None:
        self._key = key
        self._audience = audience
        self._sessions = sessions
        self._ended = ended
        self._used = sqlite3.connect(database, isolation_level=None)
        self._used.execute(
            "create table if not exists used (jti text primary key, until integer) without rowid"
        )

    def redeem(self, token: str, now: float) -> dict[str, Any]:
        """{user, secret, expires, id}; raises Invalid, also for a token that was seen before or was ended."""
        claims = claims_of(token, self._key, self._audience, now)
        if self._is_ended(claims["sub"], claims["jti"]):
            raise Invalid("ended")
        self._used.execute("delete from used where until < ?", (int(now),))
        try:
            self._used.execute(
                "insert into used values (?, ?)", (claims["jti"], int(now) + KEEP_USED_SECONDS)
            )
        except sqlite3.IntegrityError:
            raise Invalid("used") from None
        secret = secrets.token_urlsafe(32)
        expires = int(now) + SESSION_SECONDS
        self._publish(claims, secret, expires, int(now))
        return {"user": claims["sub"], "secret": secret, "expires": expires, "id": claims["jti"]}

    def _is_ended(self, user: str, jti: str) -> bool:
        try:
            return jti in (self._ended / user).read_text().splitlines()
        except OSError:
            return True

    def _publish(self, claims: dict[str, Any], secret: str, expires: int, now: int) -> None:
        """Adds the session to the file that the sign-in service reads, and drops what has ended."""
        path = self._sessions / str(claims["sub"])
        lines = []
        with contextlib.suppress(FileNotFoundError):
            lines = [line for line in path.read_text().splitlines() if int(line.split()[0]) > now]
        verifier = hashlib.sha512(secret.encode()).hexdigest()
        lines.append(f"{expires} {{SHA512.HEX}}{verifier} {claims['jti']}")
        handle, name = tempfile.mkstemp(dir=self._sessions, prefix=".")
        with os.fdopen(handle, "w") as file:
            file.write("\n".join(lines) + "\n")
            os.fchmod(file.fileno(), 0o640)
        os.rename(name, path)

    def sweep(self, now: float) -> None:
        """Removes session files in which everything has ended."""
        for path in self._sessions.iterdir():
            if path.name.startswith("."):
                continue
            lines = path.read_text().splitlines()
            if all(int(line.split()[0]) <= now for line in lines):
                path.unlink(missing_ok=True)


class _Handler(socketserver.StreamRequestHandler):
    timeout = 3
    server: "_Server"

    def handle(self) -> None:
        answer: dict[str, Any]
        credentials = self.request.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        _, uid, _ = struct.unpack("3i", credentials)
        try:
            token = self.rfile.readline(4200).decode("ascii").strip()
            if uid != self.server.webmail_uid:
                raise Invalid(f"uid {uid} may not ask")
            answer = self.server.broker.redeem(token, time.time())
            print(f"signed in {answer['user']}", flush=True)
        except (Invalid, ValueError, OSError) as error:
            print(f"refused: {error}", flush=True)
            answer = {"error": "refused"}
        self.wfile.write(json.dumps(answer).encode() + b"\n")


class _Server(socketserver.UnixStreamServer):
    """One request at a time: sign-ins are rare, and order makes single use plain."""

    request_queue_size = 128  # of five, the default, the sixth who comes at once is turned away
    broker: Broker
    webmail_uid: int

    def service_actions(self) -> None:
        if time.time() - getattr(self, "_swept", 0) > 300:
            self._swept = time.time()
            self.broker.sweep(self._swept)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--audience", required=True)
    audience = parser.parse_args().audience
    lock = open(USED.with_suffix(".lock"), "w")  # noqa: SIM115 - held for the life of the process
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        key = _decode(json.loads(KEY.read_text())["key"])
    except FileNotFoundError:
        # Until a key comes every token is refused; the helper restarts this service when it stores one.
        key = secrets.token_bytes(32)
    SOCKET.unlink(missing_ok=True)
    with _Server(str(SOCKET), _Handler) as server:
        SOCKET.chmod(0o666)  # the peer's uid is what counts
        server.broker = Broker(key, audience, USED, SESSIONS, ENDED)
        server.webmail_uid = pwd.getpwnam("sc-webmail").pw_uid
        server.serve_forever()


if __name__ == "__main__":
    main()
