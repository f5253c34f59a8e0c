"""What a person does to get in: sign up, confirm by mail, sign in."""

from __future__ import annotations

import base64
import hmac
import re
import time
from typing import Any

from demo.api import Api
from demo.story import Story


def token_of(letter: str) -> str:
    """The token in the fragment of the link in a mail: it never reaches a server's log."""
    found = re.search(r"https://\S+#(?:token=)?([A-Za-z0-9_.~-]+)", letter)
    if found is None:
        raise ValueError(f"no link with a token in the mail: {letter[:200]!r}")
    return found.group(1)


async def sign_up(story: Story, name: str, email: str, password: str) -> tuple[Api, dict[str, Any]]:
    """A confirmed account, signed in; returns its client and the replies for evidence."""
    replies: dict[str, Any] = {}
    asked = await story.api.send(
        "POST", "/v1/auth/signup", {"email": email, "password": password, "name": name}
    )
    replies["signup"] = asked.shown
    early = await story.api.send("POST", "/v1/auth/sessions", {"email": email, "password": password})
    replies["sign_in_before_confirmation"] = early.shown
    token = token_of(await story.letter(email, "confirm"))
    replies["confirm"] = (await story.api.send("POST", "/v1/auth/confirm", {"token": token})).shown
    replies["confirm_again"] = (await story.api.send("POST", "/v1/auth/confirm", {"token": token})).shown
    session = await story.api.send("POST", "/v1/auth/sessions", {"email": email, "password": password})
    replies["sign_in"] = session.shown
    client = story.api.as_bearer(session.json["access_token"])
    replies["me"] = (await client.send("GET", "/v1/me")).shown
    return client, replies


def code_now(secret: str) -> str:
    """What an authenticator app shows for this key, base32 (RFC 6238: SHA-1, six digits, 30 seconds)."""
    step = int(time.time()) // 30
    digest = hmac.digest(base64.b32decode(secret), step.to_bytes(8, "big"), "sha1")
    at = digest[-1] & 15
    return f"{(int.from_bytes(digest[at : at + 4], 'big') & 0x7FFFFFFF) % 1_000_000:06d}"


async def second_factor(story: Story, client: Api, email: str, password: str) -> dict[str, Any]:
    """Turns it on, then signs in without and with a recovery code; returns the replies for evidence."""
    key = await client.send("POST", "/v1/me/second-factor", {"password": password})
    code = {"code": code_now(key.json["secret"])}
    codes = await client.send("POST", "/v1/me/second-factor/confirm", code)
    login = {"email": email, "password": password}
    without = await story.api.send("POST", "/v1/auth/sessions", login)
    recovery = {"code": codes.json["recovery_codes"][0]}
    with_code = await story.api.send("POST", "/v1/auth/sessions", login | recovery)
    return {
        "key": key.shown, "confirmed": codes.shown, "without_code": without.shown, "with_code": with_code.shown,
    }  # fmt: skip


async def sign_in_again(story: Story) -> None:
    """Fresh sessions for the Owners: access tokens live ten minutes, and a step-up wants a recent sign-in."""
    for party in (story.a, story.b):
        if party.owner is not None:
            credentials = {"email": party.email, "password": party.password}
            session = await story.api.expect(201, "POST", "/v1/auth/sessions", credentials)
            party.owner = story.api.as_bearer(session["access_token"])
