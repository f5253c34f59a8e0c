"""Every secret that a customer's program says or is told while the story goes on, to be looked for afterwards."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import dataclass, field
from typing import Any

import pytest

from demo.api import SECRET_FIELDS, Api, Reply

# A payment page's address is the customer's to pass on, and stands in our database on purpose.
SECRET = SECRET_FIELDS - {"checkout_url"}
SHORTEST = 16
"""What is shorter is no secret of ours, and would be found by chance."""
_COOKIE = re.compile(r"__Host-\w+=([^;,\s]+)")
_LINK = re.compile(r"#(?:\w+=)?([\w.-]{20,})")


@dataclass
class Heard:
    """`kinds`: secret -> the field it was in."""

    kinds: dict[str, str] = field(default_factory=dict, repr=False)

    def listen(self, patch: pytest.MonkeyPatch) -> None:
        """From now on every request and answer of the story's API clients is heard."""
        send = Api.send

        async def heard(api: Api, method: str, path: str, body: Any = None) -> Reply:
            reply = await send(api, method, path, body)
            self.take(body)
            self.answer(reply)
            return reply

        patch.setattr(Api, "send", heard)

    def answer(self, reply: Reply) -> None:
        for cookie in _COOKIE.findall(reply.headers.get("set-cookie", "")):
            self._add("cookie", cookie)
        kind = reply.headers.get("content-type", "")
        if "json" in kind:
            self.take(json.loads(reply.body) if reply.body else None)
        elif "csv" in kind:
            self.take(list(csv.DictReader(io.StringIO(reply.body.decode()))))

    def mails(self, books: Any) -> None:
        """The links of all mails that were sent."""
        for token in _LINK.findall(json.dumps(books)):
            self._add("link in a mail", token)

    def take(self, value: Any) -> None:
        if isinstance(value, list):
            for item in value:
                self.take(item)
        elif isinstance(value, dict):
            for name, item in value.items():
                if name in SECRET and isinstance(item, str):
                    self._add(name, item)
                else:
                    self.take(item)

    def _add(self, kind: str, secret: str) -> None:
        if len(secret) >= SHORTEST:
            self.kinds.setdefault(secret, kind)
