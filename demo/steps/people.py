"""What a person does to get in: sign up, confirm by mail, sign in."""

from __future__ import annotations

import re
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


async def sign_in_again(story: Story) -> None:
    """Fresh sessions for the Owners: access tokens live ten minutes, and a step-up wants a recent sign-in."""
    for party in (story.a, story.b):
        if party.owner is not None:
            credentials = {"email": party.email, "password": party.password}
            session = await story.api.expect(201, "POST", "/v1/auth/sessions", credentials)
            party.owner = story.api.as_bearer(session["access_token"])
