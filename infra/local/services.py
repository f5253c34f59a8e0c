"""What each process of SendChief is told in a stack: its environment, and its secrets as files of its own.

The table below is the whole distribution of power: a credential that is not in a process's row is not in the process.
"""

from __future__ import annotations

import secrets as random
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.local.accounts import of_process
from infra.local.layout import Layout
from infra.local.pki import private_key, public_pem
from infra.local.postgres import PostgresCluster
from infra.local.processes import Process
from infra.local.rabbitmq import RabbitNode
from infra.local.state import State

# Who signs internal tokens, and which process holds the key. The API of a service and its worker share a name
# towards others only where both call somebody.
ISSUERS = {
    "gateway": ("gateway",),
    "provisioner": ("provisioner-worker",),
    "dns": ("dns-worker",),
    "auth": ("auth-worker",),
}


@dataclass(frozen=True)
class Row:
    """One process: what it runs, settings that are no secret, and secrets (file name → content)."""

    name: str
    argv: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    socket: str = ""


class Services:
    """Builds the rows from the stack's parts. `endpoints` is what the sandbox wrote."""

    def __init__(
        self,
        layout: Layout,
        state: State,
        postgres: PostgresCluster,
        rabbit: RabbitNode,
        endpoints: dict[str, Any],
        public_url: str,
    ) -> None:
        self.layout, self.state, self.postgres, self.rabbit = layout, state, postgres, rabbit
        self.endpoints, self.public_url = endpoints, public_url
        self.python = str(layout.python)

    # -- parts of rows -------------------------------------------------------------------------------------

    def _database(self, service: str, kind: str) -> dict[str, str]:
        role = f"{service}_{kind}"
        return {"sc_database_url": self.postgres.url(f"sc_{service}", role, self.state.database[role])}

    def _broker(self, user: str) -> dict[str, str]:
        found = next(u for u in self.state.broker_users() if u.name == user)
        return {"sc_amqp_url": self.rabbit.url(found)}

    def _kept(self, name: str, length: int = 32) -> str:
        """A random secret made once and kept among the stack's own."""
        file = self.layout.secrets / "shared" / name
        if not file.exists():
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file.touch(mode=0o600)
            file.write_text(random.token_urlsafe(length))
        return file.read_text()

    def _key(self, name: str) -> Path:
        file = self.layout.secrets / "shared" / f"{name}.key"
        private_key(file)
        return file

    def _common(self, service: str, role: str, socket: str) -> dict[str, str]:
        return {
            "SC_ENVIRONMENT": "sandbox",
            "SC_SERVICE": service,
            "SC_ROLE": role,
            "SC_SOCKET": str(self.layout.sockets / f"{socket}.sock"),
            "SC_IDENTITY_TRUST_DIR": str(self.layout.home / "trust"),
            "SC_SERVICES_DIR": str(self.layout.sockets),
            "SC_HTTP_CA_FILE": self.endpoints["ca_file"],
            "SC_RESOLVER": self.endpoints["resolver"],
            "SC_PUBLIC_URL": self.public_url,
            "SC_AMQP_CA_FILE": str(self.layout.tls / "ca.pem"),
        }

    def _api(self, service: str, environment: dict[str, str] | None = None, **secret: str) -> Row:
        return Row(
            f"{service}-api",
            [self.python, "-m", "shared.web.serve", f"services.{service}.app"],
            self._common(service, "api", service) | (environment or {}),
            self._database(service, "app") | secret,
            service,
        )

    def _worker(self, service: str, environment: dict[str, str] | None = None, **secret: str) -> Row:
        name = f"{service}-worker"
        return Row(
            name,
            [self.python, "-m", f"services.{service}.worker"],
            self._common(service, "worker", name) | (environment or {}),
            self._database(service, "worker") | self._broker(service) | secret,
            name,
        )

    # -- the table -----------------------------------------------------------------------------------------

    def rows(self) -> list[Row]:
        return [
            *self._vault(),
            *self._auth(),
            *self._provisioner(),
            *self._dns(),
            *self._reputation(),
            self._gateway(),
        ]

    def _auth(self) -> list[Row]:
        mail_key = self._key("auth-mail")
        return [
            self._api(
                "auth",
                {
                    "SC_MAIL_PUBLIC_KEY_FILE": str(self._published("auth-mail", mail_key)),
                    "SC_ALLOW_TEST_DOMAIN": "true",
                },
                access_key=self._key("access").read_text(),
                sc_api_key_pepper=self._kept("api-key-pepper"),
            ),
            self._worker(
                "auth",
                {
                    "SC_RESEND_URL": self.endpoints["resend"],
                    "SC_MAIL_FROM": "SendChief <hello@sendchief.test>",
                },
                mail_key=mail_key.read_text(),
                sc_resend_api_key=self.endpoints["resend_api_key"],
            ),
        ]

    def _vault(self) -> list[Row]:
        return []

    def _provisioner(self) -> list[Row]:
        return []

    def _dns(self) -> list[Row]:
        return []

    def _reputation(self) -> list[Row]:
        lists = {"SC_BLACKLISTS_FILE": str(self.layout.sandbox / "blacklists.toml")}
        return [self._api("reputation", lists), self._worker("reputation", lists)]

    def _gateway(self) -> Row:
        return Row(
            "gateway",
            [self.python, "-m", "gateway"],
            self._common("gateway", "api", "gateway"),
            self._broker("gateway"),
            "gateway",
        )

    def _published(self, name: str, key: Path) -> Path:
        """The public half of a key, readable by all processes of the stack."""
        target = self.layout.home / "public" / f"{name}.pem"
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(public_pem(private_key(key)))
        return target

    # -- writing it down -----------------------------------------------------------------------------------

    def write_trust(self) -> None:
        """Public identity keys, one file per issuer."""
        for issuer in ISSUERS:
            target = self.layout.home / "trust" / f"{issuer}.pem"
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(public_pem(private_key(self._key(f"identity-{issuer}"))))

    def process(self, row: Row) -> Process:
        """Writes the row's secrets where only its account can read them, and returns what to start."""
        account = of_process(row.name)
        directory = self.layout.secrets / row.name
        if directory.exists():
            shutil.rmtree(directory)
        directory.mkdir(parents=True)
        content = dict(row.secrets)
        for issuer, holders in ISSUERS.items():
            if row.name in holders:
                content["identity_key"] = self._key(f"identity-{issuer}").read_text()
        environment = dict(row.environment)
        for name, text in content.items():
            file = directory / name
            file.touch(mode=0o600)
            file.write_text(text)
            account.own(file, 0o400)
            if name.endswith("_key") and text.startswith("-----BEGIN"):
                # A key in PEM is handed over by the path of its file.
                environment[f"SC_{name.upper()}_FILE"] = str(file)
        account.own(directory, 0o500)
        environment["SC_SECRETS_DIR"] = str(directory)
        return Process(row.name, row.argv, environment, account, self.layout.sockets / f"{row.socket}.sock")
