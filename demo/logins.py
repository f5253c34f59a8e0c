"""What a newcomer needs to look around by hand after the story, and what a test needs to go on with it.

The accounts exist in this sandbox alone; the file is readable by its owner alone.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from demo.api import Api
from demo.mail import Mailbox
from demo.story import Party, Story
from demo.world import World
from infra.local.stack import Stack


def keep(story: Story, file: Path) -> None:
    """Writes down who the parties are and how they sign in."""
    file.touch(mode=0o600)
    file.write_text(json.dumps({party.name: _kept(party) for party in (story.a, story.b)}, indent=2))


def _kept(party: Party) -> dict[str, Any]:
    kept = {name: value for name, value in vars(party).items() if name not in ("owner", "opened")}
    kept["opened"] = {address: asdict(mailbox) for address, mailbox in party.opened.items()}
    return kept


async def resume(stack: Stack) -> Story:
    """The story as `keep` left it, its people signed in anew."""
    known = json.loads((stack.layout.var / "logins.json").read_text())
    api, world = Api(stack.public_url, stack.ca_file), World(stack.endpoints_file)
    a, b = [await _signed_in(api, known[name]) for name in ("A", "B")]
    return Story(api, world, stack.layout.var, a, b, stack.operate)


async def _signed_in(api: Api, kept: dict[str, Any]) -> Party:
    opened = {address: Mailbox(**mailbox) for address, mailbox in kept.pop("opened").items()}
    party = Party(**kept, opened=opened)
    credentials = {"email": party.email, "password": party.password}
    session = await api.expect(201, "POST", "/v1/auth/sessions", credentials)
    party.owner = api.as_bearer(session["access_token"])
    return party
