"""Exchanges, queues and who may use them, declared by one job as the operator user; service users declare nothing.

    python -m shared.bus.topology auth vault provisioner dns reputation

imports `services.<name>.bindings` of each and declares over `SC_AMQP_URL`. Declaring again changes nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from aio_pika import ExchangeType
from aio_pika.abc import AbstractConnection
from pydantic import SecretStr

from shared.bus.binding import Binding, by_queue
from shared.bus.connection import DEAD_LETTER_EXCHANGE, EXCHANGE, connect

DELIVERY_LIMIT = 5
PARKED = ".parked"
THREATS_USER = "gateway-threats"


class Permissions(NamedTuple):
    """RabbitMQ's three patterns in a vhost, and the routing keys that may be written to the events exchange."""

    configure: str
    write: str
    read: str
    topic: str


def permissions(service: str, bindings: Iterable[Binding] = ()) -> Permissions:
    """What the user of `service` may do: publish its own facts, read its own queues, nothing else.

    The gateway has an exclusive queue per process, `gateway.<anything>`, which it declares and binds itself. It tells
    of threats as another user, who may do only that: one user with both could declare an exchange, bind it to the
    events exchange, and forge every service's facts through it.
    """
    topic = rf"^{service}\."
    if service == THREATS_USER:
        return Permissions("^$", f"^{_exactly(EXCHANGE)}$", "^$", r"^gateway\.threat\.observed\.v1$")
    if service == "gateway":
        own = r"^gateway\."
        return Permissions(own, own, rf"^(gateway\..*|{_exactly(EXCHANGE)})$", topic)
    queues = sorted({binding.queue for binding in bindings})
    read = f"^({'|'.join(_exactly(name) for name in queues)})$" if queues else "^$"
    return Permissions("^$", f"^{_exactly(EXCHANGE)}$", read, topic)


def _exactly(name: str) -> str:
    return name.replace(".", r"\.")


def queue_arguments(queue: str) -> dict[str, Any]:
    """Arguments that RabbitMQ 3.10 and 4.x both accept: a quorum queue that parks what fails too often.

    At-least-once dead-lettering needs reject-publish; without it a message could be lost on its way to parking.
    """
    return {
        "x-queue-type": "quorum",
        "x-delivery-limit": DELIVERY_LIMIT,
        "x-dead-letter-exchange": DEAD_LETTER_EXCHANGE,
        "x-dead-letter-routing-key": queue,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


def load_bindings(service: str) -> tuple[Binding, ...]:
    """`BINDINGS` of `services.<service>.bindings`; each queue must carry the service's name."""
    bindings: tuple[Binding, ...] = tuple(importlib.import_module(f"services.{service}.bindings").BINDINGS)
    for binding in bindings:
        if binding.service != service:
            raise ValueError(f"services.{service}.bindings names the queue {binding.queue}")
    by_queue(bindings)
    return bindings


async def declare(connection: AbstractConnection, bindings: Iterable[Binding]) -> None:
    """Declares both exchanges, and for each queue: itself, its parking place, and exactly its bindings."""
    channel = await connection.channel()
    events = await channel.declare_exchange(EXCHANGE, ExchangeType.TOPIC, durable=True)
    dead = await channel.declare_exchange(DEAD_LETTER_EXCHANGE, ExchangeType.DIRECT, durable=True)
    for name, types in by_queue(tuple(bindings)).items():
        parked = await channel.declare_queue(
            name + PARKED, durable=True, arguments={"x-queue-type": "quorum"}
        )
        await parked.bind(dead, routing_key=name)
        queue = await channel.declare_queue(name, durable=True, arguments=queue_arguments(name))
        for kind in types:
            await queue.bind(events, routing_key=kind)
    await channel.close()


async def run(url: SecretStr, ca_file: Path | None, services: list[str]) -> None:
    bindings = [binding for service in services for binding in load_bindings(service)]
    connection = await connect(url, ca_file, name="topology")
    try:
        await declare(connection, bindings)
    finally:
        with contextlib.suppress(Exception):  # everything is declared; a bad goodbye changes nothing
            await connection.close()


def operator_url() -> tuple[SecretStr, Path | None]:
    """The operator's DSN and CA, from the environment or from the secrets directory."""
    url = os.environ.get("SC_AMQP_URL")
    directory = os.environ.get("SC_SECRETS_DIR")
    if not url and directory and (path := Path(directory, "sc_amqp_url")).is_file():
        url = path.read_text().strip()
    if not url:
        raise SystemExit("SC_AMQP_URL is not set: the operator's DSN (amqps://…)")
    ca = os.environ.get("SC_AMQP_CA_FILE")
    return SecretStr(url), Path(ca) if ca else None


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m shared.bus.topology", description=__doc__)
    parser.add_argument("services", nargs="+", help="names of services whose bindings are declared")
    arguments = parser.parse_args()
    asyncio.run(run(*operator_url(), arguments.services))


if __name__ == "__main__":
    main()
