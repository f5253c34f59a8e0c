"""The five services' API processes, in this process: each with settings as its own process would have them."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from shared.identity import generate_private_pem, public_pem_of
from tests.fixtures.database import ServiceDatabase
from tests.fixtures.identity import Trust

SERVICES = ("auth", "vault", "provisioner", "dns", "reputation")
ROOT = Path(__file__).parents[2]
MAIL_KEY = "mail-private.pem"
"""The worker's key: what signs links in mails."""


def available() -> tuple[str, ...]:
    """Services that have an API."""
    return tuple(name for name in SERVICES if (ROOT / "services" / name / "app.py").is_file())


def _fields(service: str, directory: Path) -> dict[str, Any]:
    if service == "auth":
        access, mail = directory / "access.pem", directory / "mail.pem"
        if not access.exists():
            access.write_bytes(generate_private_pem())
            (directory / MAIL_KEY).write_bytes(generate_private_pem())
            mail.write_bytes(public_pem_of((directory / MAIL_KEY).read_bytes()))
        return {
            "access_key_file": access,
            "mail_public_key_file": mail,
            "api_key_pepper": "pepper" * 8,
            "second_factor_key": "factor" * 8,
            "webhook_key": "webhook" * 8,
            "resend_webhook_secret": "whsec_c2VjcmV0",
            "allow_test_domain": True,
        }
    if service == "vault":
        return {"key_service_socket": directory / "keys.sock"}
    if service == "provisioner":
        nobody = "https://127.0.0.1:1"  # the payment provider is not asked from here
        return {"stripe_checkout_key": "rk_test_x", "stripe_webhook_secret": "whsec_x", "stripe_url": nobody}
    if service == "dns":
        return {"platform_zone": "sendchief.test", "special_use_names": ()}
    return {}


def settings_of(
    service: str, trust: Trust, directory: Path, database: ServiceDatabase | None = None, **fields: Any
) -> Any:
    kind = importlib.import_module(f"services.{service}.settings").ApiSettings
    return trust.settings(kind, service, "api", database, **{**_fields(service, directory), **fields})


def app_of(
    service: str, trust: Trust, directory: Path, database: ServiceDatabase | None = None, **fields: Any
) -> FastAPI:
    settings = settings_of(service, trust, directory, database, **fields)
    app: FastAPI = importlib.import_module(f"services.{service}.app").create_app(settings)
    return app


def documents_of(names: Iterable[str], trust: Trust, directory: Path) -> dict[str, Any]:
    """service → its OpenAPI document."""
    return {name: app_of(name, trust, directory).openapi() for name in names}
