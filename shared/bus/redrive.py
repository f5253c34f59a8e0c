"""Takes messages out of `<queue>.parked` and gives them to that one queue again.

    python -m shared.bus.redrive --queue reputation.on-address --max 100 [--type …] [--dry-run]

They go by the default exchange, so that no other consumer sees them a second time, and leave the parking place
only after the broker has confirmed the copy. Runs as the operator (`SC_AMQP_URL`).
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from pydantic import SecretStr

from shared.bus.connection import connect
from shared.bus.topology import PARKED, operator_url

REDRIVEN_BY = "x-redriven-by"


@dataclass(frozen=True)
class Redriven:
    """`moved` went back to the queue (or would have, in a dry run), `kept` stay parked."""

    moved: int
    kept: int


async def redrive(
    url: SecretStr,
    ca_file: Path | None,
    *,
    queue: str,
    maximum: int,
    kind: str | None = None,
    dry_run: bool = False,
    operator: str = "operator",
    say: Callable[[str], None] = print,
) -> Redriven:
    """Moves at most `maximum` parked messages (of one event type, when given) back to `queue`."""
    connection = await connect(url, ca_file, name="redrive")
    try:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        parked = await channel.get_queue(queue + PARKED)
        moved, held = 0, []
        while moved < maximum:
            message = await parked.get(fail=False, timeout=10)
            if message is None:
                break
            if (kind and message.type != kind) or dry_run:
                held.append(message)
                moved += bool(dry_run and (not kind or message.type == kind))
                say(f"{'would move' if dry_run else 'keeps'} {message.message_id} {message.type}")
                continue
            await _move(channel, queue, message, operator)
            moved += 1
            say(f"moved {message.message_id} {message.type}")
        for message in held:
            await message.reject(requeue=True)
        return Redriven(moved, len(held))
    finally:
        await connection.close()


async def _move(
    channel: AbstractChannel, queue: str, message: AbstractIncomingMessage, operator: str
) -> None:
    headers = {name: value for name, value in message.headers.items() if not name.startswith("x-")}
    copy = aio_pika.Message(
        message.body,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        message_id=message.message_id,
        type=message.type,
        content_type=message.content_type,
        app_id=message.app_id,
        headers={**headers, REDRIVEN_BY: operator},
    )
    async with asyncio.timeout(5):
        await channel.default_exchange.publish(copy, queue, mandatory=True)
    await message.ack()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m shared.bus.redrive", description=__doc__)
    parser.add_argument("--queue", required=True, help="the queue to give messages back to")
    parser.add_argument(
        "--max", type=int, default=100, dest="maximum", help="at most this many (default 100)"
    )
    parser.add_argument("--type", dest="kind", help="only events of this type")
    parser.add_argument("--dry-run", action="store_true", help="show, move nothing")
    given = parser.parse_args()
    url, ca_file = operator_url()
    result = asyncio.run(
        redrive(
            url, ca_file, queue=given.queue, maximum=given.maximum, kind=given.kind, dry_run=given.dry_run,
            operator=getpass.getuser(),
        )
    )  # fmt: skip
    print(f"{result.moved} moved, {result.kept} kept")


if __name__ == "__main__":
    main()
