"""What a stack keeps between starts: passwords, ports, and where it can be reached."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path

from infra.local.databases import SERVICES, passwords
from infra.local.ports import free_ports
from infra.local.rabbitmq import RabbitUser
from shared.bus.topology import THREATS_USER, permissions

EVENTS_EXCHANGE = "sendchief.events"


@dataclass
class State:
    """Generated once, read by whoever starts the stack again; the file is readable by root alone."""

    database: dict[str, str] = field(default_factory=dict, repr=False)
    broker: dict[str, str] = field(default_factory=dict, repr=False)
    nginx_port: int = 0

    @classmethod
    def load(cls, path: Path) -> State:
        """Reads `path` and makes what is missing, so that an older stack gains what a newer one needs."""
        state = cls(**json.loads(path.read_text())) if path.exists() else cls()
        state.database = passwords(state.database)
        for name in BROKER_USERS:
            state.broker.setdefault(name, secrets.token_urlsafe(24))
        state.nginx_port = state.nginx_port or free_ports(1)[0]
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(state), indent=2))
        return state

    def broker_users(self) -> list[RabbitUser]:
        return [user(name, self.broker[name]) for name in BROKER_USERS]


BROKER_USERS = ("operator", "gateway", THREATS_USER, *SERVICES)


def user(name: str, password: str) -> RabbitUser:
    """Least privilege at the broker.

    A service declares nothing, publishes its own keys to the events exchange and reads its own queues; the parked
    ones belong to the operator. A gateway process makes one exclusive queue for itself and binds it.
    """
    if name == "operator":
        return RabbitUser(name, password, ".*", ".*", ".*", tags=("administrator",))
    if name == "gateway":
        own = r"^gateway\."
        return RabbitUser(name, password, own, own, rf"{own}|^sendchief\.events$", topics="^$")
    if name == THREATS_USER:
        allowed = permissions(name)
        return RabbitUser(
            name, password, allowed.configure, allowed.write, allowed.read, topics=allowed.topic
        )
    return RabbitUser(
        name, password, "^$", r"^sendchief\.events$", rf"^{name}\.(?!.*\.parked$)", topics=rf"^{name}\."
    )
