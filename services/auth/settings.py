"""What auth's two processes are told. Only the API can sign sessions; only the worker can send mail and webhooks."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import SecretStr, model_validator

from shared.http.public import PORTS
from shared.settings import ServiceSettings
from shared.special_use import REFUSED_NETWORKS, parse_networks


class _WebhookSettings(ServiceSettings):
    webhook_key: SecretStr
    """At least 32 characters; the secrets of customers' webhooks are sealed under it. API and worker have the same."""

    webhook_previous_key: SecretStr | None = None
    """The one before, for an hour after it was replaced: until the worker has sealed every secret anew."""

    webhook_ports: tuple[int, ...] = PORTS
    """Where webhooks may be sent to, as a JSON list."""

    webhook_refused_networks: tuple[str, ...] = REFUSED_NETWORKS
    """Where webhooks are never sent to, as a JSON list. An environment with a closed network takes its own out."""

    @model_validator(mode="after")
    def _closed_networks_are_not_production(self) -> Self:
        parse_networks(self.webhook_refused_networks)
        changed = (self.webhook_ports, self.webhook_refused_networks) != (PORTS, REFUSED_NETWORKS)
        if changed and self.environment == "production":
            raise ValueError("in production webhooks go to the internet only, at the usual ports")
        return self


class ApiSettings(_WebhookSettings):
    access_key_file: Path
    """ES256 private key (PEM) that signs access tokens. May be replaced while the process runs."""

    access_published_dir: Path | None = None
    """Public keys (`*.pem`) beside the signing one in the JWKS: the next, and the previous until it ages out."""

    mail_public_key_file: Path
    """Public half of the worker's `mail_key_file`: proves that a link came out of one of our mails."""

    api_key_pepper: SecretStr
    """At least 32 characters; the stored hashes of API keys are worthless without it."""

    second_factor_key: SecretStr
    """At least 32 characters; the keys of authenticators are sealed under it."""

    second_factor_previous_key: SecretStr | None = None
    """The one before, until every key has been used once and is sealed under the present one."""

    secret_scanning_keys_file: Path | None = None
    """Public keys of who may report leaked API keys, as GitHub publishes its own; without it nobody may."""

    resend_webhook_secret: SecretStr
    """`whsec_…`: proves that what is told about our mails comes from the provider."""

    allow_test_domain: bool = False
    """Accept addresses under `.test` (RFC 6761), which no real mail system uses."""

    breached_passwords_file: Path | None = None
    """Filter of leaked passwords, made by `python -m shared.passwords.breached`."""

    argon2_threads: int = 2
    argon2_queue: int = 50


class WorkerSettings(_WebhookSettings):
    mail_key_file: Path
    """ES256 private key (PEM) that signs the links in mails, at the moment of sending."""

    resend_url: str = "https://api.resend.com"
    resend_api_key: SecretStr
    mail_from: str
    """Sender of every notification, `Name <address>`."""

    mail_poll_seconds: float = 0.5

    webhook_poll_seconds: float = 0.5
    webhook_timeout: float = 15.0
    """Seconds that one attempt has, from the name's resolution to the answer's status."""
