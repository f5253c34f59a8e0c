"""The story's stage: who acts, what they know, and how each step is told, kept and judged.

A step first *collects* evidence (what the API, the hosts, DNS and the sandbox's books said), which is written to
`evidence/<step>.json`; then it is *judged* from that file alone, by a pure function, so that nothing but evidence
decides whether a step holds.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo.api import Api
from demo.mail import Mailbox, Post
from demo.web import Browser
from demo.world import World, until

Evidence = dict[str, Any]


def new_password() -> str:
    """A password that a policy accepts and that nobody has used before."""
    return "walk-" + secrets.token_urlsafe(18)


@dataclass(frozen=True)
class Check:
    """One thing that has to hold, with the proof in words."""

    what: str
    ok: bool
    proof: str = ""


@dataclass
class Party:
    """A customer: the Owner's account and what the workspace came to hold."""

    name: str
    domain: str
    zone: str
    email: str
    password: str = field(default_factory=new_password, repr=False)
    owner: Api | None = field(default=None, repr=False)
    workspace_id: str = ""
    workspace_name: str = ""
    server_id: str = ""
    job_id: str = ""
    paid_at: float = 0  # Unix time, seconds
    hostname: str = ""
    domain_id: str = ""
    zone_id: str = ""
    mailboxes: dict[str, str] = field(default_factory=dict)  # address -> mailbox id
    opened: dict[str, Mailbox] = field(default_factory=dict, repr=False)  # address -> with password

    @property
    def api(self) -> Api:
        if self.owner is None:
            raise RuntimeError(f"{self.name} has not signed in; the step before this one failed")
        return self.owner

    @property
    def path(self) -> str:
        return f"/v1/workspaces/{self.workspace_id}"


@dataclass
class Story:
    """Everything that the steps share."""

    api: Api
    world: World
    directory: Path
    a: Party
    b: Party
    operator: Callable[[str, list[str]], Awaitable[str]] = field(repr=False)  # (process, argv) -> stdout
    member_email: str = "mia@people.test"
    member: Api | None = field(default=None, repr=False)
    timings: dict[str, Any] = field(default_factory=dict)
    patience: float = 30  # seconds that a person waits for what should come about at once
    _post: Post | None = None

    async def post(self) -> Post:
        """Mail clients' view: the resolver and the root of the certificate authority of the sandbox."""
        if self._post is None:
            self._post = Post(self.world.endpoints["resolver"], await self.world.acme_root())
        return self._post

    async def browser(self) -> Browser:
        """A fresh browser, without cookies."""
        return Browser(self.world.endpoints["resolver"], await self.world.acme_root())

    async def letter(self, address: str, mark: str) -> str:
        """The text of the newest mail to `address` at the Resend stand-in that contains `mark`."""

        async def look() -> str | None:
            found = await self.world.call("GET", f"/resend/messages?to={address}")
            texts = [m.get("text") or m.get("html") or "" for m in found]
            return next((text for text in reversed(texts) if mark in text), None)

        return await until(f"a mail to {address} that contains {mark!r}", look, self.patience)


@dataclass(frozen=True)
class Step:
    """`collect` acts and gathers evidence; `judge` decides from it."""

    id: str
    title: str
    collect: Callable[[Story], Awaitable[Evidence]]
    judge: Callable[[Evidence], list[Check]]


@dataclass(frozen=True)
class Outcome:
    """How one step went; the shape is that of `report.json`."""

    id: str
    title: str
    ok: bool
    seconds: float
    proof: list[str]

    @property
    def document(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "title": self.title,
            "ok": self.ok,
            "seconds": round(self.seconds, 2),
            "proof": self.proof,
        }


async def tell(story: Story, step: Step) -> Outcome:
    """Plays one step and judges it by what was written down."""
    started = time.monotonic()
    file = story.directory / "evidence" / f"{step.id}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(await step.collect(story), indent=2, default=str))
    checks = step.judge(json.loads(file.read_text()))
    seconds = time.monotonic() - started
    lines = [f"{'ok  ' if check.ok else 'FAIL'} {check.what}: {check.proof}" for check in checks]
    # A step that found nothing to check has shown nothing.
    return Outcome(step.id, step.title, bool(checks) and all(check.ok for check in checks), seconds, lines)
