"""Auth's API process: wiring only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from services.auth.access_tokens import AccessTokens
from services.auth.account_parts import AccountParts
from services.auth.accounts.endpoints import router as accounts
from services.auth.api_keys.endpoints import router as api_keys
from services.auth.api_keys.format import KeyHasher
from services.auth.audit_log.endpoints import router as audit_log
from services.auth.authority.endpoints import router as authority
from services.auth.credentials.endpoints import router as credentials
from services.auth.credentials.service import Credentials
from services.auth.deletion.endpoints import router as deletion
from services.auth.deliverability.endpoints import router as deliverability
from services.auth.email_change.endpoints import router as email_change
from services.auth.email_change.service import EmailChanges
from services.auth.invitations.endpoints import router as invitations
from services.auth.mail_links import MailLinkVerifier
from services.auth.passwords import PasswordHasher
from services.auth.preferences.endpoints import router as preferences
from services.auth.providers.github_scanning import ScannerKeys
from services.auth.providers.resend_webhook import ResendWebhook
from services.auth.sealing import Sealing
from services.auth.second_factor.endpoints import router as second_factor
from services.auth.second_factor.enrolment import Enrolment
from services.auth.second_factor.service import SecondFactors
from services.auth.secret_scanning.endpoints import router as secret_scanning
from services.auth.secret_scanning.service import SecretScanning
from services.auth.security_events.endpoints import router as security_events
from services.auth.sessions.endpoints import router as sessions
from services.auth.sessions.service import Sessions
from services.auth.settings import ApiSettings
from services.auth.threats.endpoints import router as threats
from services.auth.webhooks.endpoints import router as webhooks
from services.auth.webhooks.service import Webhooks
from services.auth.wiring import ApiResources
from services.auth.workspaces.endpoints import router as workspaces
from shared.clock import Clock, SystemClock
from shared.db.database import Database
from shared.passwords import BreachedPasswords, PasswordPolicy
from shared.special_use import SPECIAL_USE_NAMES
from shared.web.app import build_app

ROUTERS = (
    accounts,
    sessions,
    second_factor,
    credentials,
    email_change,
    security_events,
    workspaces,
    deletion,
    invitations,
    api_keys,
    secret_scanning,
    audit_log,
    threats,
    authority,
    preferences,
    deliverability,
    webhooks,
)


def create_app(
    settings: ApiSettings | None = None, *, clock: Clock | None = None, database: Database | None = None
) -> FastAPI:
    settings = settings or ApiSettings()
    resources = build_resources(
        settings, clock or SystemClock(), database or Database.from_settings(settings)
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            resources.hasher.close()

    return build_app(
        "auth",
        settings,
        ROUTERS,
        resources=resources,
        lifespan=lifespan,
        database=resources.database,
    )


def build_resources(settings: ApiSettings, clock: Clock, database: Database) -> ApiResources:
    breached = settings.breached_passwords_file
    policy = PasswordPolicy(BreachedPasswords(breached) if breached else None)
    hasher = PasswordHasher(threads=settings.argon2_threads, queue=settings.argon2_queue)
    tokens = AccessTokens(settings.access_key_file, settings.public_url, clock, settings.access_published_dir)
    factors = SecondFactors(
        database,
        hasher,
        Sealing("second_factor", settings.second_factor_key, settings.second_factor_previous_key),
        clock,
        settings.api_key_pepper,
    )
    links = MailLinkVerifier(settings.mail_public_key_file, clock)
    sessions = Sessions(database, hasher, tokens, clock, settings.api_key_pepper, factors)
    keys = KeyHasher(settings.api_key_pepper)
    parts = AccountParts(database, hasher, policy, sessions, factors, links, clock)
    return ApiResources(
        settings=settings,
        database=database,
        clock=clock,
        hasher=hasher,
        policy=policy,
        tokens=tokens,
        links=links,
        sessions=sessions,
        credentials=Credentials(parts),
        email_changes=EmailChanges(parts),
        enrolment=Enrolment(database, hasher, clock, factors, sessions),
        keys=keys,
        secret_scanning=SecretScanning(
            database, clock, keys, ScannerKeys(settings.secret_scanning_keys_file)
        ),
        mail_webhook=ResendWebhook(settings.resend_webhook_secret),
        webhooks=Webhooks(
            clock,
            Sealing("webhook", settings.webhook_key, settings.webhook_previous_key),
            settings.webhook_ports,
            tuple(name for name in SPECIAL_USE_NAMES if name != "test" or not settings.allow_test_domain),
        ),
    )
