"""What changing a password and changing an address are both made of."""

from __future__ import annotations

from dataclasses import dataclass

from services.auth.mail_links import MailLinkVerifier
from services.auth.passwords import PasswordHasher
from services.auth.second_factor.service import SecondFactors
from services.auth.sessions.service import Sessions
from shared.clock import Clock
from shared.db.database import Database
from shared.passwords import PasswordPolicy


@dataclass(frozen=True)
class AccountParts:
    database: Database
    hasher: PasswordHasher
    policy: PasswordPolicy
    sessions: Sessions
    second_factors: SecondFactors
    links: MailLinkVerifier
    clock: Clock
