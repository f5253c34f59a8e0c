"""How a sandbox is started, and the credentials that its vendors gave out."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import uuid
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, SecretStr, field_serializer

PLATFORM_ZONE = "sendchief.test"
IMAGE_LABELS = {"golden": "sendchief_golden_trixie", "stock": "debian_trixie"}
CHECKOUT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class SandboxSettings:
    """`directory` holds all state; `identifier` names the network namespace (``sc-<identifier>``)."""

    directory: Path
    identifier: str
    image: Literal["golden", "stock"] = "golden"
    seed: int = 0
    quiet_faults: bool = False
    images: Path = CHECKOUT / "var" / "images"
    apt_cache: Path = CHECKOUT / "var" / "apt"
    certificate_days: int = 90
    nonce_reject_percent: int = 5
    apt_proxy: bool = True


def parse(argv: Sequence[str] | None = None) -> SandboxSettings:
    """Settings from the command line; exits with usage on wrong ones."""
    parser = argparse.ArgumentParser(
        prog="python -m sandbox",
        description="Run the outside world on this machine: clouds, DNS, certificates, blacklists, mail. Needs root.",
    )
    parser.add_argument("--dir", type=Path, required=True, help="where all state is kept")
    parser.add_argument(
        "--id", required=True, help="letters and digits, at most 12: names the network namespace"
    )
    parser.add_argument(
        "--image", choices=sorted(IMAGE_LABELS), default="golden", help="what servers boot from"
    )
    parser.add_argument("--images", type=Path, default=SandboxSettings.images, help="cache of server images")
    parser.add_argument(
        "--apt-cache", type=Path, default=SandboxSettings.apt_cache, help="cache of Debian packages"
    )
    parser.add_argument("--no-apt-proxy", action="store_true", help="servers install no packages")
    parser.add_argument("--seed", type=int, default=0, help="where the default misbehaviours strike")
    parser.add_argument("--quiet-faults", action="store_true", help="no misbehaviour by default")
    parser.add_argument("--certificate-days", type=int, default=90, help="validity of ACME certificates")
    parser.add_argument(
        "--nonce-reject", type=int, default=5, help="percent of ACME requests met by badNonce"
    )
    given = parser.parse_args(argv)
    if not given.id.isalnum() or len(given.id) > 12:
        parser.error("--id takes letters and digits, 12 at most")
    return SandboxSettings(
        directory=given.dir.resolve(),
        identifier=given.id,
        image=given.image,
        seed=given.seed,
        quiet_faults=given.quiet_faults,
        images=given.images.resolve(),
        apt_cache=given.apt_cache.resolve(),
        certificate_days=given.certificate_days,
        nonce_reject_percent=given.nonce_reject,
        apt_proxy=not given.no_apt_proxy,
    )


class Credentials(BaseModel):
    """What the vendors gave the product, and the control API's token. Made at the first start, then kept."""

    scaleway_secret_key: SecretStr
    scaleway_organization_id: str
    scaleway_project_id: str
    cloudflare_account_id: str
    cloudflare_platform_token: SecretStr
    stripe_secret_key: SecretStr
    stripe_restricted_key: SecretStr
    stripe_webhook_secret: SecretStr
    resend_api_key: SecretStr
    resend_webhook_secret: SecretStr
    transit_root_token: SecretStr
    transit_token: SecretStr
    control_token: SecretStr

    @field_serializer(
        "scaleway_secret_key",
        "cloudflare_platform_token",
        "stripe_secret_key",
        "stripe_restricted_key",
        "stripe_webhook_secret",
        "resend_api_key",
        "resend_webhook_secret",
        "transit_root_token",
        "transit_token",
        "control_token",
        when_used="json",
    )
    def _reveal(self, secret: SecretStr) -> str:
        return secret.get_secret_value()

    @classmethod
    def load_or_create(cls, path: Path) -> Credentials:
        """The credentials in `path` (mode 0600). What is not there yet is made and kept."""
        kept = json.loads(path.read_text()) if path.exists() else {}
        if set(cls.model_fields) <= set(kept):
            return cls.model_validate(kept)
        new = cls._new()
        made = cls.model_validate(new.model_dump() | kept)
        write_private(path, made.model_dump_json(indent=1))
        return made

    @classmethod
    def _new(cls) -> Credentials:
        return cls(
            scaleway_secret_key=SecretStr(str(uuid.uuid4())),
            scaleway_organization_id=str(uuid.uuid4()),
            scaleway_project_id=str(uuid.uuid4()),
            cloudflare_account_id=secrets.token_hex(16),
            cloudflare_platform_token=SecretStr(secrets.token_urlsafe(30)),
            stripe_secret_key=SecretStr(f"sk_test_{secrets.token_hex(24)}"),
            stripe_restricted_key=SecretStr(f"rk_test_{secrets.token_hex(24)}"),
            stripe_webhook_secret=SecretStr(f"whsec_{secrets.token_hex(16)}"),
            resend_api_key=SecretStr(f"re_{secrets.token_hex(16)}"),
            resend_webhook_secret=SecretStr("whsec_" + b64encode(secrets.token_bytes(24)).decode()),
            transit_root_token=SecretStr(f"hvs.{secrets.token_urlsafe(18)}"),
            transit_token=SecretStr(f"hvs.{secrets.token_urlsafe(72)}"),
            control_token=SecretStr(secrets.token_urlsafe(32)),
        )


def write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600 in one step: readers see the old one or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".new")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    temporary.replace(path)
