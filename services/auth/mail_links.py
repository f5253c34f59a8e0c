"""The links in our mails. The worker signs one when it sends the mail; the API checks it. Nothing is stored.

A link is good for one thing (`typ`), one row (`sub`) and until that row expires. That it works once is the
row's business: one atomic UPDATE there decides.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal, get_args

from services.auth.errors import LinkRefused
from shared.clock import Clock
from shared.identity import StrictVerifier, TokenRejected, TokenSigner, key_id

Purpose = Literal["confirm+jwt", "invite+jwt", "reset+jwt", "email+jwt", "undo+jwt", "unsubscribe+jwt"]
ISSUER: Final = "sendchief-mail"
AUDIENCE: Final = "sendchief-mail-link"
LONGEST: Final = timedelta(hours=72)
LONGER: Final[dict[Purpose, timedelta]] = {
    # Somebody may find the mail a year later; all that the link can do is to stop such mails.
    "unsubscribe+jwt": timedelta(days=366),
}


class MailLinkSigner:
    """Needs the private key, which only the worker has."""

    def __init__(self, private_pem: bytes | str, clock: Clock) -> None:
        self._signer = TokenSigner.from_pem(private_pem, ISSUER, clock=clock)
        self._clock = clock

    def sign(self, purpose: Purpose, row_id: str, *, expires_at: datetime, **claims: str) -> str:
        """A token that dies with its row. `claims` say more about the row and are signed with it."""
        ttl = int((expires_at - self._clock.now()).total_seconds())
        return self._signer.sign(
            {"aud": AUDIENCE, "sub": row_id, "jti": row_id, **claims}, typ=purpose, ttl=max(ttl, 1)
        )


class MailLinkVerifier:
    """Needs the public key only."""

    def __init__(self, public_key_file: Path, clock: Clock) -> None:
        pem = public_key_file.read_bytes()
        keys = {key_id(ISSUER, pem): pem}
        self._verifiers: dict[Purpose, StrictVerifier] = {
            purpose: StrictVerifier(
                keys, ISSUER, AUDIENCE, purpose,
                max_lifetime=int(LONGER.get(purpose, LONGEST).total_seconds()), strings=("sub", "jti"), clock=clock,
            )
            for purpose in get_args(Purpose)
        }  # fmt: skip

    def verify(self, purpose: Purpose, token: str) -> dict[str, Any]:
        """The claims. Raises LinkRefused for anything that we did not sign for this purpose, or that is too old."""
        try:
            return self._verifiers[purpose].verify(token)
        except TokenRejected:
            raise LinkRefused("The link is not valid any more.", next_action="Ask for a new one.") from None
