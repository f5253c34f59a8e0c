"""What each process of SendChief is told in a stack: its environment, and its secrets as files of its own.

The table below is the whole distribution of power: a credential that is not in a process's row is not in the process.
"""

from __future__ import annotations

import secrets as random
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from infra.local.accounts import of_process
from infra.local.layout import Layout
from infra.local.pki import private_key, public_pem, replace
from infra.local.postgres import PostgresCluster
from infra.local.processes import Process
from infra.local.rabbitmq import RabbitNode
from infra.local.state import State
from sandbox.settings import PLATFORM_ZONE
from shared.bus.topology import THREATS_USER
from shared.special_use import REFUSED_NETWORKS, SPECIAL_USE_NAMES, without

# Who signs internal tokens, and which process holds the key. The API of a service and its worker share a name
# towards others only where both call somebody.
ISSUERS = {
    "gateway": ("gateway",),
    "provisioner": ("provisioner-worker",),
    "dns": ("dns-worker",),
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
                    "SC_ACCESS_PUBLISHED_DIR": str(self.layout.published_access_keys),
                    "SC_ALLOW_TEST_DOMAIN": "true",
                },
                access_key=self._key("access").read_text(),
                sc_api_key_pepper=self._kept("api-key-pepper"),
                sc_second_factor_key=self._kept("second-factor-key"),
                sc_webhook_key=self._kept("webhook-key"),
                sc_resend_webhook_secret=self.endpoints["resend_webhook_secret"],
            ),
            self._worker(
                "auth",
                {
                    "SC_RESEND_URL": self.endpoints["resend"],
                    "SC_MAIL_FROM": "SendChief <hello@sendchief.test>",
                },
                mail_key=mail_key.read_text(),
                sc_resend_api_key=self.endpoints["resend_api_key"],
                sc_webhook_key=self._kept("webhook-key"),
            ),
        ]

    def _vault(self) -> list[Row]:
        socket = self.layout.home / "run/keys/vault-keys.sock"
        key_service = {"SC_KEY_SERVICE_SOCKET": str(socket)}
        audit_key = self._key("vault-audit")
        self._published("vault-audit", audit_key)
        return [
            Row(
                "vault-keys",
                [self.python, "-m", "services.vault.keyservice"],
                {
                    "SC_SOCKET": str(socket),
                    "SC_KEYRING_FILE": str(self.layout.home / "keyring/keyring.json"),
                    # The worker never opens a secret: it may have keys rewrapped and gets none.
                    "SC_ALLOWED_UIDS": str(of_process("vault-api").uid),
                    "SC_ROTATING_UIDS": str(of_process("vault-worker").uid),
                },
                socket="",
            ),
            self._api("vault", key_service),
            self._worker(
                "vault",
                key_service | {"SC_AUDIT_CHECKPOINT_DIR": str(self.layout.audit_checkpoints)},
                audit_key=audit_key.read_text(),
            ),
        ]

    def _provisioner(self) -> list[Row]:
        network = self.endpoints["range"]
        return [
            self._api(
                "provisioner",
                {"SC_STRIPE_URL": self.endpoints["stripe"]},
                sc_stripe_checkout_key=self.endpoints["stripe_restricted_key"],
                sc_stripe_webhook_secret=self.endpoints["stripe_webhook_secret"],
            ),
            self._worker(
                "provisioner",
                {
                    "SC_PLATFORM_ZONE": PLATFORM_ZONE,
                    "SC_SCALEWAY_URL": self.endpoints["scaleway"],
                    "SC_SCALEWAY_PROJECT": self.endpoints["scaleway_project_id"],
                    "SC_SCALEWAY_IMAGE": self.endpoints["image_label"],
                    "SC_STRIPE_URL": self.endpoints["stripe"],
                    "SC_CONTROL_PLANE_V4": f"{network['host_v4']}/32",
                    "SC_CONTROL_PLANE_V6": f"{network['host_v6']}/128",
                    "SC_ACME_DIRECTORY": self.endpoints["acme_directory"],
                    "SC_ACME_CONTACT": f"hostmaster@{PLATFORM_ZONE}",
                    "SC_SELF_TEST_EGRESS": f"{network['outside_mail']}:25",
                    "SC_SELF_TEST_CA_FILE": self.endpoints["acme_root_file"],
                    "SC_REVERSE_SIGNED": "true",
                    # The stand-in never accepts a create later than a few seconds after its answer was lost.
                    "SC_QUIET_WINDOW_SECONDS": "12",
                    "SC_SWEEP_DRY_RUN": "false",
                    "SC_OPERATOR_SOCKET": str(self.layout.sockets / "provisioner-operators.sock"),
                },
                sc_scaleway_secret_key=self.endpoints["scaleway_secret_key"],
                sc_stripe_secret_key=self.endpoints["stripe_secret_key"],
                sc_host_key_secret=self._kept("host-key-secret"),
                ssh_ca_key=self._ssh_authority(),
            ),
        ]

    def _dns(self) -> list[Row]:
        network = self.endpoints["range"]
        names = [name for name in SPECIAL_USE_NAMES if name != "test"]
        networks = without(without(REFUSED_NETWORKS, network["v4"]), network["v6"])
        ours = {"SC_PLATFORM_ZONE": PLATFORM_ZONE, "SC_SPECIAL_USE_NAMES": ",".join(names)}
        return [
            self._api("dns", ours),
            self._worker(
                "dns",
                ours
                | {
                    "SC_CLOUDFLARE_URL": self.endpoints["cloudflare"],
                    "SC_REFUSED_NETWORKS": ",".join(networks),
                },
                sc_platform_zone_token=self.endpoints["cloudflare_platform_token"],
            ),
        ]

    def _ssh_authority(self) -> str:
        """The private key (OpenSSH) whose certificates the servers accept."""
        file = self.layout.secrets / "shared" / "ssh-authority"
        if not file.exists():
            key = ed25519.Ed25519PrivateKey.generate()
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            file.touch(mode=0o600)
            file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
        return file.read_text()

    def _reputation(self) -> list[Row]:
        lists = {"SC_BLACKLISTS_FILE": self.endpoints["blacklists_file"]}
        return [self._api("reputation", lists), self._worker("reputation", lists)]

    def _gateway(self) -> Row:
        return Row(
            "gateway",
            [self.python, "-m", "gateway"],
            self._common("gateway", "api", "gateway"),
            self._broker("gateway") | {"sc_threat_amqp_url": self._broker(THREATS_USER)["sc_amqp_url"]},
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
        """Public identity keys, one file per issuer. One that holds others too is in the middle of a rotation."""
        for issuer in ISSUERS:
            target = self.layout.home / "trust" / f"{issuer}.pem"
            public = public_pem(private_key(self._key(f"identity-{issuer}")))
            if not target.exists() or public not in target.read_bytes():
                replace(target, public, 0o444)

    def process(self, row: Row) -> Process:
        """Writes the row's secrets where only its account can read them, and returns what to start."""
        account = of_process(row.name)
        directory = self.layout.secrets / row.name
        if directory.exists():
            shutil.rmtree(directory)
        directory.mkdir(parents=True)
        for name, text in self._secrets(row).items():
            file = directory / name
            file.touch(mode=0o600)
            file.write_text(text)
            account.own(file, 0o400)
        account.own(directory, 0o500)
        socket = self.layout.sockets / f"{row.socket}.sock" if row.socket else None
        return Process(row.name, row.argv, self.environment(row), account, socket)

    def environment(self, row: Row) -> dict[str, str]:
        """What the row's process is told beside its secrets. A key in PEM is handed over by the path of its file."""
        directory = self.layout.secrets / row.name
        keys = {
            f"SC_{name.upper()}_FILE": str(directory / name)
            for name, text in self._secrets(row).items()
            if name.endswith("_key") and text.startswith("-----BEGIN")
        }
        return {**row.environment, **keys, "SC_SECRETS_DIR": str(directory)}

    def _secrets(self, row: Row) -> dict[str, str]:
        content = dict(row.secrets)
        for issuer, holders in ISSUERS.items():
            if row.name in holders:
                content["identity_key"] = self._key(f"identity-{issuer}").read_text()
        return content
