"""What every variant finds: keys, people with tokens, documents of the services, and the service behind all of them.

The service is an nginx on unix sockets that answers with one fixed JSON document of about 1 KB, so that what is
measured is the way there and back. It runs on the load generator's core.
"""

from __future__ import annotations

import grp
import json
import os
import pwd
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from services.auth.access_tokens import AccessTokens
from shared.clock import SystemClock
from shared.identity import generate_private_pem, public_pem_of
from shared.ids import new_id
from tests.fixtures.identity import ISSUERS, Trust
from tests.isolation.services import documents_of

ISSUER: Final = "https://sendchief.test"
PEOPLE: Final = 50
SERVICES: Final = ("auth", "vault", "provisioner", "dns", "reputation")
FRAME: Final = Path(__file__).with_name("peers") / "nginx.conf"


@dataclass(frozen=True)
class Stage:
    directory: Path

    def environment(self) -> dict[str, str]:
        """What a gateway process is told."""
        return {
            "SC_SOCKET": str(self.directory / "unused.sock"),
            "SC_IDENTITY_KEY_FILE": str(self.directory / "gateway.key"),
            "SC_IDENTITY_TRUST_DIR": str(self.directory / "trust"),
            "SC_SERVICES_DIR": str(self.directory),
            "SC_PUBLIC_URL": ISSUER,
            "SC_RATE_LIMIT_SIGNED_IN": "1000000000",
        }

    def nginx(self, role: str, servers: str) -> Path:
        """Writes one nginx configuration from the common frame."""
        user = f"{pwd.getpwuid(os.getuid()).pw_name} {grp.getgrgid(os.getgid()).gr_name}"
        text = FRAME.read_text()
        for mark, value in {
            "@SERVERS@": servers,
            "@ROLE@": role,
            "@USER@": user,
            "@DIR@": str(self.directory),
        }.items():
            text = text.replace(mark, value)
        path = self.directory / f"nginx-{role}.conf"
        path.write_text(text)
        return path


def build(directory: Path) -> Stage:
    """Fresh keys and people in `directory`, which must not be readable for others."""
    stage = Stage(directory)
    for name in ("trust", "tmp", "documents"):
        (directory / name).mkdir()
    for issuer in ISSUERS:
        private = generate_private_pem()
        (directory / f"{issuer}.key").write_bytes(private)
        (directory / "trust" / f"{issuer}.pem").write_bytes(public_pem_of(private))
    (directory / "issuer").write_text(ISSUER)
    _people(directory)
    _documents(directory)
    return stage


def _people(directory: Path) -> None:
    private = generate_private_pem()
    tokens = AccessTokens(private, ISSUER, SystemClock())
    (directory / "access.pem").write_bytes(public_pem_of(private))
    (directory / "jwks.json").write_text(json.dumps(tokens.jwks()))
    memberships, lines = [], []
    for _ in range(PEOPLE):
        account, workspace = new_id("usr"), new_id("ws")
        memberships.append({"account_id": account, "workspace_id": workspace, "role": "admin"})
        token = tokens.issue(account_id=account, session_id=new_id("ses"), authenticated_at=datetime.now(UTC))
        lines.append(f"/v1/workspaces/{workspace}/servers/{new_id('srv')} {token}")
    snapshot = {"sequence": 7, "memberships": memberships, "revoked_sessions": []}
    (directory / "memberships.json").write_text(json.dumps(snapshot))
    (directory / "requests.txt").write_text("\n".join(lines) + "\n")


def _documents(directory: Path) -> None:
    server = {
        "id": new_id("srv"),
        "region": "fr-par",
        "state": "ready",
        "conditions": [
            {"type": f"condition-{number:02}", "status": "true", "since": "2026-11-23T00:00:00Z"}
            for number in range(14)
        ],
    }
    (directory / "body.json").write_text(json.dumps(server))
    trust = Trust(directory / "trust", directory)
    for service, document in documents_of(SERVICES, trust, directory / "documents").items():
        (directory / f"openapi-{service}.json").write_text(json.dumps(document))


def service_servers(stage: Stage) -> str:
    """The services' sockets, for the nginx that plays them."""
    found = []
    for service in SERVICES:
        found.append(f"""
  server {{
    listen unix:{stage.directory}/{service}.sock backlog=4096;
    default_type application/json;
    location = /openapi.json {{ alias {stage.directory}/openapi-{service}.json; }}
    location = /v1/auth/jwks {{ alias {stage.directory}/jwks.json; }}
    location = /internal/memberships {{ alias {stage.directory}/memberships.json; }}
    add_header X-Request-Id $http_x_request_id always;  # as every service does
    location / {{ return 200 '{(stage.directory / "body.json").read_text()}'; }}
  }}""")
    return "".join(found)
