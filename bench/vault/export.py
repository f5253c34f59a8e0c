"""A streamed export of many credentials, beside a bare loop that reads the same rows and opens them.

The bare loop is what Python and PostgreSQL allow at best: one connection, one cursor, rows of the same tables by 500,
two AESGCM calls for each with the associated data that they need; no audit, no row security, no HTTP, no file.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bench.vault.stage import Customer
from services.vault import associated_data
from services.vault.wiring import build_resources
from shared.bus.relay import asyncpg_arguments
from shared.db.database import Database
from shared.ids import new_id

ROUNDS = 5
FEW = 1_000
LEAST_RATIO, MOST_FIRST_BYTE, MOST_MEMORY = 0.5, 0.1, 1.3
_WRAP, _PAYLOAD = slice(5, 17), 65  # format 1: see services/vault/envelope.py
_VERSION_1 = associated_data.encode(1)
_ROWS = """
    select secret.ciphertext, mailbox.id, mailbox.address, mailbox.display_name
    from mailbox join secret on secret.workspace_id = mailbox.workspace_id and owner_kind = 'mailbox'
        and owner_id = mailbox.id and field = 'password' and state = 'current'
    where mailbox.workspace_id = $1
"""


@dataclass
class Exported:
    """Seconds of each round; peaks in KiB."""

    rows: int
    whole: list[float] = field(default_factory=list)
    first_byte: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    create: list[float] = field(default_factory=list)
    peak_few: int = 0
    peak_many: int = 0
    wrong: int = 0

    @property
    def ratio(self) -> float:
        """Rows a second of the export, in those of the bare loop: the median of the rounds."""
        return statistics.median(bare / whole for bare, whole in zip(self.bare, self.whole, strict=True))

    @property
    def memory(self) -> float:
        return self.peak_many / self.peak_few

    def held(self) -> bool:
        return (
            not self.wrong and self.ratio >= LEAST_RATIO and self.memory <= MOST_MEMORY
            and statistics.median(self.first_byte) <= MOST_FIRST_BYTE
        )  # fmt: skip

    def report(self) -> list[str]:
        def rate(seconds: list[float]) -> str:
            return f"{self.rows / statistics.median(seconds):,.0f} rows/s"

        return [
            f"export of {self.rows:,}, {len(self.whole)} rounds, medians: {rate(self.whole)}, bare loop "
            f"{rate(self.bare)}: {self.ratio:.2f} x; {self.wrong} files wrong",
            f"first byte {statistics.median(self.first_byte) * 1000:.0f} ms (longest "
            f"{max(self.first_byte) * 1000:.0f}); making the link {statistics.median(self.create) * 1000:.0f} ms",
            f"most memory of the API: {self.peak_few / 1024:.0f} MiB with {FEW:,}, {self.peak_many / 1024:.0f} MiB "
            f"with {self.rows:,}: {self.memory:.2f} x",
        ]  # fmt: skip


async def measure(few: Customer, many: Customer) -> Exported:
    found = Exported(len(many.mailboxes))
    pid = many.stage.api_pid
    await export(few, Exported(0))  # connections, caches, imports
    found.peak_few = await peak(pid, few)
    found.peak_many = await peak(pid, many)
    for _ in range(ROUNDS):
        await export(many, found)
        found.bare.append(await bare(many))
    return found


async def peak(pid: int, customer: Customer) -> int:
    """Most KiB that the API's process held while it exported: the kernel's VmHWM, which is set back before."""
    process = Path(f"/proc/{pid}")
    (process / "clear_refs").write_text("5")
    await export(customer, Exported(0))
    status = (process / "status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])


async def export(customer: Customer, found: Exported) -> None:
    """One link, made and used; the file is right when it has every password once."""
    client = customer.stage.client
    body: dict[str, Any] = {"format": "csv", "mailbox_ids": None, "reason": "bench", "main_password": True}
    began = time.perf_counter()
    made = await client.post(
        customer.path("/exports"), json=body,
        headers=customer.headers("credentials.export") | {"Idempotency-Key": new_id("req")},
    )  # fmt: skip
    link = made.raise_for_status().json()
    found.create.append(time.perf_counter() - began)
    path, headers = customer.path(f"/exports/{link['id']}/download"), customer.headers("credentials.export")
    parts: list[bytes] = []
    first: float | None = None
    began = time.perf_counter()
    async with client.stream("POST", path, json={"token": link["token"]}, headers=headers) as answer:
        async for part in answer.aiter_raw():
            if first is None and b"@" in part:  # the header alone is no credential
                first = time.perf_counter() - began
            parts.append(part)
    found.whole.append(time.perf_counter() - began)
    found.first_byte.append(first or found.whole[-1])
    lines = b"".join(parts).decode().split("\r\n")[1:-1]
    passwords = {line.rpartition(",")[2] for line in lines}
    found.wrong += (
        answer.status_code != 200 or len(lines) != len(passwords) or passwords != set(customer.mailboxes)
    )


async def bare(customer: Customer) -> float:
    """Seconds."""
    stage = customer.stage
    api = Database.from_settings(stage.settings)
    keys = build_resources(stage.settings).mailboxes._store._data_keys
    async with api.transaction(workspace_id=customer.id) as session:
        key = AESGCM((await keys.for_decryption(session, customer.id, 1)).reveal())
    await api.dispose()
    connection = await asyncpg.connect(**asyncpg_arguments(stage.database.superuser_url()))
    opened, kind = 0, customer.kind()
    began = time.perf_counter()
    async with connection.transaction():
        cursor = await connection.cursor(_ROWS, customer.id)
        while rows := await cursor.fetch(500):
            for sealed, mailbox_id, _, _ in rows:
                data = kind.data(mailbox_id, 1)
                wrap_data = data + _VERSION_1
                secret_key = key.decrypt(sealed[_WRAP], sealed[17:_PAYLOAD], wrap_data)
                nonce, payload = sealed[_PAYLOAD : _PAYLOAD + 12], sealed[_PAYLOAD + 12 :]
                opened += AESGCM(secret_key).decrypt(nonce, payload, data).decode() == mailbox_id
    seconds = time.perf_counter() - began
    await connection.close()
    if opened != len(customer.mailboxes):
        raise AssertionError("the bare loop has not opened every row")
    return seconds
