"""Signed checkpoints of audit chains, kept as files outside the database.

Whoever rules the database can write a new chain that follows from itself. He cannot write the chain that a checkpoint
remembers, nor a checkpoint: those are signed with a key that the database does not have.

A file `000000000001.checkpoint` has two lines: a JSON document, and the base64 of its ECDSA signature (P-256, SHA-256)
over the bytes of the first line. The document names the heads that moved since the file before, and that file's
SHA-256, so that a missing file in the middle is noticed. Missing files at the end are not: the directory should be
one from which the machine cannot delete (write-once storage, or copied away).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from shared.audit.chain import GENESIS

SUFFIX = ".checkpoint"
_ALGORITHM = ec.ECDSA(SHA256())


@dataclass(frozen=True)
class Head:
    """The last row of a workspace's chain at one time."""

    workspace_id: str
    sequence: int
    row_hash: bytes


@dataclass(frozen=True)
class Checkpoint:
    number: int
    service: str
    at: datetime
    heads: tuple[Head, ...]


class CheckpointTaken(Exception):
    """Another process wrote the file of this number first."""


class CheckpointWrong(Exception):
    """A file that is missing, is not signed by the key, or does not follow from the file before."""


class CheckpointWriter:
    """Writes the next files into `directory`, which exists. Reads what is there first, and trusts only what is
    signed: raises CheckpointWrong otherwise."""

    def __init__(self, directory: Path, key: ec.EllipticCurvePrivateKey, service: str) -> None:
        self._directory = directory
        self._key = key
        self._service = service
        self._known: dict[str, Head] = {}
        self._number = 0
        self._previous = b""
        for found, content in _read(directory, key.public_key(), service):
            self._follow(found, content)

    def moved(self, heads: Iterable[Head]) -> tuple[Head, ...]:
        """Those that have grown since the last file."""
        return tuple(head for head in heads if head.sequence > self._signed(head).sequence)

    def fallen_back(self, heads: Iterable[Head]) -> tuple[Head, ...]:
        """Those that no longer are what a file has signed: somebody has removed rows or written others."""
        return tuple(
            head
            for head in heads
            if head.sequence <= self._signed(head).sequence and head != self._signed(head)
        )

    def _signed(self, head: Head) -> Head:
        return self._known.get(head.workspace_id, Head(head.workspace_id, 0, GENESIS))

    def write(self, heads: tuple[Head, ...], now: datetime) -> Path:
        """The next file, whole and on disk when this returns. Raises CheckpointTaken."""
        document = {
            "format": 1,
            "service": self._service,
            "number": self._number + 1,
            "at": now.isoformat(),
            "previous": hashlib.sha256(self._previous).hexdigest(),
            "heads": [[head.workspace_id, head.sequence, head.row_hash.hex()] for head in heads],
        }
        payload = json.dumps(document, separators=(",", ":")).encode()
        content = payload + b"\n" + base64.b64encode(self._key.sign(payload, _ALGORITHM)) + b"\n"
        path = _path(self._directory, self._number + 1)
        _place(path, content)
        self._follow(Checkpoint(self._number + 1, self._service, now, heads), content)
        return path

    def _follow(self, checkpoint: Checkpoint, content: bytes) -> None:
        self._number = checkpoint.number
        self._previous = content
        self._known |= {head.workspace_id: head for head in checkpoint.heads}


def read_checkpoints(directory: Path, key: ec.EllipticCurvePublicKey, service: str) -> list[Checkpoint]:
    """All of them, in order. Raises CheckpointWrong naming the file."""
    return [checkpoint for checkpoint, _ in _read(directory, key, service)]


def load_private_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{path.name} holds no P-256 key")
    return key


def load_public_key(path: Path) -> ec.EllipticCurvePublicKey:
    key = load_pem_public_key(path.read_bytes())
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ValueError(f"{path.name} holds no P-256 key")
    return key


def _path(directory: Path, number: int) -> Path:
    return directory / f"{number:012d}{SUFFIX}"


def _read(
    directory: Path, key: ec.EllipticCurvePublicKey, service: str
) -> Iterable[tuple[Checkpoint, bytes]]:
    previous = b""
    for number, path in enumerate(sorted(directory.glob(f"*{SUFFIX}")), start=1):
        content = path.read_bytes()
        if path != _path(directory, number):
            raise CheckpointWrong(f"{_path(directory, number).name} is missing")
        document = _document(path.name, content, key)
        expected = (1, service, number, hashlib.sha256(previous).hexdigest())
        if tuple(document[name] for name in ("format", "service", "number", "previous")) != expected:
            raise CheckpointWrong(f"{path.name} does not follow from the file before")
        heads = tuple(
            Head(workspace, sequence, bytes.fromhex(row_hash))
            for workspace, sequence, row_hash in document["heads"]
        )
        yield Checkpoint(number, service, datetime.fromisoformat(document["at"]), heads), content
        previous = content


def _document(name: str, content: bytes, key: ec.EllipticCurvePublicKey) -> Mapping[str, Any]:
    payload, _, signature = content.partition(b"\n")
    try:
        key.verify(base64.b64decode(signature.removesuffix(b"\n"), validate=True), payload, _ALGORITHM)
    except (InvalidSignature, binascii.Error):
        raise CheckpointWrong(f"{name} is not signed by this key") from None
    document: Mapping[str, Any] = json.loads(payload)
    return document


def _place(path: Path, content: bytes) -> None:
    """The file appears whole, and never in place of another."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    beside = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.chmod(0o444)
        os.link(beside, path)
    except FileExistsError:
        raise CheckpointTaken(path.name) from None
    finally:
        beside.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
