"""What auth's handlers are given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from services.auth.access_tokens import AccessTokens
from services.auth.api_keys.format import KeyHasher
from services.auth.credentials.service import Credentials
from services.auth.email_change.service import EmailChanges
from services.auth.mail_links import MailLinkSigner, MailLinkVerifier
from services.auth.passwords import PasswordHasher
from services.auth.ports import Mailer, MailWebhook
from services.auth.second_factor.enrolment import Enrolment
from services.auth.secret_scanning.service import SecretScanning
from services.auth.sessions.service import Sessions
from services.auth.settings import ApiSettings
from services.auth.webhooks.service import Webhooks
from shared.clock import Clock
from shared.db.database import Database
from shared.passwords import PasswordPolicy


@dataclass(frozen=True)
class ApiResources:
    settings: ApiSettings
    database: Database
    clock: Clock
    hasher: PasswordHasher
    policy: PasswordPolicy
    tokens: AccessTokens
    links: MailLinkVerifier
    sessions: Sessions
    credentials: Credentials
    email_changes: EmailChanges
    enrolment: Enrolment
    keys: KeyHasher
    secret_scanning: SecretScanning
    mail_webhook: MailWebhook
    webhooks: Webhooks


@dataclass(frozen=True)
class WorkerResources:
    database: Database
    clock: Clock
    mailer: Mailer
    links: MailLinkSigner
    public_url: str
    closing: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    async def aclose(self) -> None:
        for close in (*self.closing, self.mailer.aclose):
            await close()


def _api_resources(request: Request) -> ApiResources:
    resources: ApiResources = request.app.state.resources
    return resources


Wired = Annotated[ApiResources, Depends(_api_resources)]
