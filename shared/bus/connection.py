"""Connections to the broker: TLS with the peer verified whenever the URL says amqps."""

from __future__ import annotations

import ssl
from pathlib import Path
from urllib.parse import urlsplit

import aio_pika
from aio_pika.abc import AbstractConnection
from pydantic import SecretStr

from shared.settings import ServiceSettings

EXCHANGE = "sendchief.events"
DEAD_LETTER_EXCHANGE = "sendchief.dlx"
CONNECT_SECONDS = 10.0
HEARTBEAT_SECONDS = 10


class NoBroker(RuntimeError):
    """`SC_AMQP_URL` is not set although this process needs the bus."""


class PlaintextRefused(RuntimeError):
    """Nothing is said in the clear on a network."""


def _on_this_machine(url: SecretStr) -> bool:
    return urlsplit(url.get_secret_value()).hostname in ("localhost", "127.0.0.1", "::1")


async def connect(url: SecretStr, ca_file: Path | None, *, name: str) -> AbstractConnection:
    """A plain connection. It does not mend itself: whoever holds it starts anew when it is lost."""
    if url.get_secret_value().startswith("amqp:") and not _on_this_machine(url):
        raise PlaintextRefused("SC_AMQP_URL leads to another machine and has to begin with amqps://")
    context = None
    if url.get_secret_value().startswith("amqps:"):
        context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
    return await aio_pika.connect(
        url.get_secret_value(),
        ssl_context=context,
        timeout=CONNECT_SECONDS,
        heartbeat=HEARTBEAT_SECONDS,
        client_properties={"connection_name": name},
    )


async def connect_from(settings: ServiceSettings, purpose: str) -> AbstractConnection:
    if settings.amqp_url is None:
        raise NoBroker("SC_AMQP_URL is not set")
    return await connect(settings.amqp_url, settings.amqp_ca_file, name=f"{settings.service}-{purpose}")
