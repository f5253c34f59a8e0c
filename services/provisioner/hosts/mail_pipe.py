"""A mailbox's way from one host to another: two SSH sessions, and this process between them, which keeps nothing."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

import asyncssh

CHUNK = 256 * 1024
ANSWER_LIMIT = 64 * 1024


@dataclass(frozen=True)
class Said:
    """What the taker has answered at the end."""

    stdout: bytes = field(repr=False)
    stderr: bytes = field(repr=False)
    exit_status: int | None


async def through(
    giving: asyncssh.SSHClientConnection, taking: asyncssh.SSHClientConnection, request: bytes
) -> Said:
    """Both get `request`; then the taker's first line goes to the giver, and all that the giver says to the taker.

    When the giver cannot, it says so to the taker, whose answer then tells it.
    """
    giver = await giving.create_process("mail-give", encoding=None)
    taker = await taking.create_process("mail-take", encoding=None)
    giver.stdin.write(request)
    taker.stdin.write(request)
    first, rest = await _first_line(taker, giver)
    if not first:
        return await _last_word(taker, rest)
    pump = asyncio.create_task(_pump(giver, taker))
    try:
        return await _last_word(taker, rest)
    finally:
        pump.cancel()
        await asyncio.gather(pump, return_exceptions=True)


async def _first_line(
    taker: asyncssh.SSHClientProcess[bytes], giver: asyncssh.SSHClientProcess[bytes]
) -> tuple[bool, bytes]:
    """Passes on what the taker has, a line of any length. Whether there was one, and what was read beyond it; a taker
    that refuses says only one line, and that one is its answer."""
    head = b""
    while b"\n" not in head and len(head) < CHUNK:
        chunk = await taker.stdout.read(CHUNK)
        if not chunk:
            return False, head
        head += chunk
    if not head.startswith(b'{"entries"'):
        return False, head
    while b"\n" not in head:
        await _write(giver, head)
        head = await taker.stdout.read(CHUNK)
        if not head:
            return False, b""
    line, _, rest = head.partition(b"\n")
    await _write(giver, line + b"\n")
    with contextlib.suppress(OSError):
        giver.stdin.write_eof()
    return True, rest


async def _pump(giver: asyncssh.SSHClientProcess[bytes], taker: asyncssh.SSHClientProcess[bytes]) -> None:
    while chunk := await giver.stdout.read(CHUNK):
        await _write(taker, chunk)
    with contextlib.suppress(OSError):
        taker.stdin.write_eof()


async def _write(process: asyncssh.SSHClientProcess[bytes], chunk: bytes) -> None:
    """Waits until it has gone. Who has ended does not listen; why, it says itself."""
    with contextlib.suppress(OSError):
        process.stdin.write(chunk)
        await process.stdin.drain()


async def _last_word(taker: asyncssh.SSHClientProcess[bytes], said: bytes) -> Said:
    while len(said) < ANSWER_LIMIT and (chunk := await taker.stdout.read(CHUNK)):
        said += chunk
    return Said(said, await taker.stderr.read(CHUNK), taker.exit_status)
