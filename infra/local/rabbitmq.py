"""A RabbitMQ node of the project's own: unprivileged account, loopback ports chosen at run time, own epmd.

Users, vhosts and permissions come from a definitions file that the node loads when it boots: rabbitmqctl
would start an Erlang runtime for each of them.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import secrets
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.local.accounts import of_system_user
from infra.local.ports import free_ports

RABBIT_BIN = Path("/usr/lib/rabbitmq/bin")


class RabbitError(RuntimeError):
    """The node could not be started; the text names the log to read."""


@dataclass(frozen=True)
class RabbitUser:
    """What one user may do in one vhost; patterns are RabbitMQ's (PCRE). `topics` limits routing keys it writes."""

    name: str
    password: str = field(repr=False)
    configure: str = "^$"
    write: str = "^$"
    read: str = "^$"
    topics: str | None = None
    vhost: str = "/"
    tags: tuple[str, ...] = ()


def password_hash(password: str) -> str:
    """RabbitMQ's salted SHA-256: base64(salt | sha256(salt | password)), salt of 4 bytes."""
    salt = secrets.token_bytes(4)
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def definitions(users: list[RabbitUser], events_exchange: str) -> dict[str, Any]:
    """The definitions document (RabbitMQ "Schema Definition Export and Import")."""
    return {
        "vhosts": [{"name": name} for name in sorted({user.vhost for user in users})],
        "users": [
            {
                "name": user.name,
                "password_hash": password_hash(user.password),
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": ",".join(user.tags),
            }
            for user in users
        ],
        "permissions": [
            {
                "user": user.name,
                "vhost": user.vhost,
                "configure": user.configure,
                "write": user.write,
                "read": user.read,
            }
            for user in users
        ],
        "topic_permissions": [
            {
                "user": user.name,
                "vhost": user.vhost,
                "exchange": events_exchange,
                "write": user.topics,
                "read": ".*",
            }
            for user in users
            if user.topics is not None
        ],
    }


@dataclass(frozen=True)
class RabbitNode:
    """`directory` holds state, log and the chosen ports. With `tls` (ca, certificate, key files) plain AMQP is off."""

    directory: Path
    tls: tuple[Path, Path, Path] | None = None

    @property
    def log(self) -> Path:
        return self.directory / "rabbitmq.log"

    @property
    def ports(self) -> dict[str, int]:
        """amqp, distribution and epmd ports: chosen once, kept, so that clients' settings stay true."""
        file = self.directory / "ports.json"
        if not file.exists():
            self.directory.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(dict(zip(("amqp", "dist", "epmd"), free_ports(3), strict=True))))
        chosen: dict[str, int] = json.loads(file.read_text())
        return chosen

    def url(self, user: RabbitUser) -> str:
        scheme = "amqps" if self.tls else "amqp"
        vhost = "%2F" if user.vhost == "/" else user.vhost
        return f"{scheme}://{user.name}:{user.password}@localhost:{self.ports['amqp']}/{vhost}"

    def start(self, users: list[RabbitUser], events_exchange: str = "sendchief.events") -> None:
        """Starts the node in the background; `wait` tells when it answers."""
        if self.running():
            return
        account = of_system_user("rabbitmq")
        self.directory.mkdir(parents=True, exist_ok=True)
        account.own(self.directory, 0o711)
        (self.directory / "enabled_plugins").write_text("[].\n")
        self._write_private("definitions.json", json.dumps(definitions(users, events_exchange)))
        self._write_private("rabbitmq.conf", self._configuration())
        if not (self.directory / "erlang.cookie").exists():
            self._write_private("erlang.cookie", secrets.token_hex(20))
        home = self.directory / ".erlang.cookie"
        if not home.exists():
            self._write_private(".erlang.cookie", (self.directory / "erlang.cookie").read_text(), 0o400)
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                account.command([str(RABBIT_BIN / "rabbitmq-server")]),
                env=self._environment(),
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        (self.directory / "launcher.pid").write_text(str(process.pid))

    def _write_private(self, name: str, text: str, mode: int = 0o600) -> None:
        path = self.directory / name
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_text(text)
        of_system_user("rabbitmq").own(path, mode)

    def _configuration(self) -> str:
        port = self.ports["amqp"]
        lines = [
            f"load_definitions = {self.directory}/definitions.json",
            "loopback_users = none",
            "vm_memory_high_watermark.absolute = 1GB",
            "disk_free_limit.absolute = 100MB",
        ]
        if self.tls is None:
            lines.append(f"listeners.tcp.default = 127.0.0.1:{port}")
        else:
            ca, certificate, key = self.tls
            lines += [
                "listeners.tcp = none",
                f"listeners.ssl.default = 127.0.0.1:{port}",
                f"ssl_options.cacertfile = {ca}",
                f"ssl_options.certfile = {certificate}",
                f"ssl_options.keyfile = {key}",
                "ssl_options.verify = verify_none",  # clients prove themselves by password, the server by certificate
                "ssl_options.versions.1 = tlsv1.3",
                "ssl_options.versions.2 = tlsv1.2",
            ]
        return "\n".join(lines) + "\n"

    def _environment(self) -> dict[str, str]:
        ports = self.ports
        return {
            "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": str(self.directory),
            "LANG": "C.UTF-8",
            "RABBITMQ_NODENAME": f"sendchief{ports['amqp']}@localhost",
            "RABBITMQ_DIST_PORT": str(ports["dist"]),
            "ERL_EPMD_PORT": str(ports["epmd"]),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_MNESIA_BASE": str(self.directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.directory),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_CONFIG_FILE": str(self.directory / "rabbitmq"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.directory / "enabled_plugins"),
            "RABBITMQ_PID_FILE": str(self.directory / "node.pid"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            # Without this the distribution port would listen on every interface.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none",
        }

    def wait(self, seconds: float = 60) -> None:
        """Returns when the AMQP port accepts connections."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.ports["amqp"]), 1):
                return
            time.sleep(0.1)
        raise RabbitError(f"RabbitMQ did not answer within {seconds:.0f} s; see {self.log}")

    def control(self, *arguments: str) -> str:
        """Runs rabbitmqctl against this node and returns what it printed."""
        result = subprocess.run(
            of_system_user("rabbitmq").command(
                [
                    str(RABBIT_BIN / "rabbitmqctl"),
                    "-q",
                    "-n",
                    self._environment()["RABBITMQ_NODENAME"],
                    *arguments,
                ]
            ),
            env=self._environment(),
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode:
            raise RabbitError(f"rabbitmqctl {arguments[0]}: {result.stdout.strip()} {result.stderr.strip()}")
        return result.stdout

    def running(self) -> bool:
        return bool(self.pids())

    def pids(self) -> list[int]:
        """beam and epmd of this node, found by their environment: both outlive the launcher."""
        marks = (f"ERL_EPMD_PORT={self.ports['epmd']}".encode(), f"HOME={self.directory}".encode())
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            with contextlib.suppress(OSError):
                environment = (entry / "environ").read_bytes().split(b"\0")
                if all(mark in environment for mark in marks):
                    found.append(int(entry.name))
        return found

    def stop(self, seconds: float = 20) -> None:
        """SIGTERM to the node, then its epmd; what is still there after `seconds` is killed."""
        deadline = time.monotonic() + seconds
        while processes := self.pids():
            with contextlib.suppress(ProcessLookupError):
                for pid in processes:
                    os.kill(pid, signal.SIGTERM if time.monotonic() < deadline else signal.SIGKILL)
            time.sleep(0.2)
