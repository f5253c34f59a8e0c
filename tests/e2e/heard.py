"""Every secret that a customer's program says or is told while the story goes on, to be looked for afterwards."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

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
                if name == "recovery_codes":
                    self._recovery_codes(item)
                elif name in SECRET and isinstance(item, str):
                    self._add(name, item)
                    self._authenticator(name, item)
                else:
                    self.take(item)

    def _authenticator(self, name: str, text: str) -> None:
        """The key of `otpauth://…?secret=…` as it is typed, and as bytes in a dump."""
        query = parse_qs(urlsplit(text).query) if name == "otpauth_uri" else {}
        for secret in query.get("secret", []):
            self.kinds[secret] = "authenticator key"
            self.kinds[base64.b32decode(secret).hex()] = "authenticator key, bytes"

    def _recovery_codes(self, codes: list[str]) -> None:
        """With and without dashes; shorter than other secrets, but nothing that is met by chance."""
        for code in codes:
            self.kinds |= dict.fromkeys((code, code.replace("-", "")), "recovery code")

    def _add(self, kind: str, secret: str) -> None:
        if len(secret) >= SHORTEST:
            self.kinds.setdefault(secret, kind)
