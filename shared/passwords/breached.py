"""Passwords of known leaks, as a Bloom filter in a file that is mapped into memory: nothing is asked of anybody.

An operator downloads the SHA-1 hashes of leaked passwords (one `<40 hex digits>[:count]` a line, the form of Have I
Been Pwned) and builds the filter once:

    python -m shared.passwords.breached hashes.txt breached.bloom

Then `SC_BREACHED_PASSWORDS_FILE` names it. At one false refusal in a thousand it takes 14.4 bits a password, so 180 MB
for a hundred million. The file: magic, number of bits (u64), of hashes (u32), of entries (u64), then the bits.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_MAGIC: Final = b"SCBLOOM1"
_HEADER: Final = struct.Struct(">8sQIQ")


class BreachedPasswords:
    """`password in breached`: never False for an entry, rarely True for another. Raises ValueError for a file that
    is not one of ours."""

    def __init__(self, file: Path) -> None:
        with file.open("rb") as opened:
            self._map = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        if len(self._map) < _HEADER.size:
            raise ValueError(f"{file} is not a filter of passwords")
        magic, self._bits, self._hashes, self.entries = _HEADER.unpack_from(self._map)
        if magic != _MAGIC or len(self._map) != _HEADER.size + _bytes_for(self._bits):
            raise ValueError(f"{file} is not a filter of passwords, or not all of one")

    def __contains__(self, password: str) -> bool:
        digest = hashlib.sha1(password.encode("utf-8", "replace"), usedforsecurity=False).digest()
        return all(
            self._map[_HEADER.size + place // 8] & (1 << place % 8)
            for place in _places(digest, self._bits, self._hashes)
        )


def build(source: Path, target: Path, *, false_refusals: float = 0.001) -> int:
    """Writes the filter and returns how many hashes are in it. Raises ValueError for a line that is none."""
    entries = sum(1 for _ in _digests(source))
    bits = max(64, math.ceil(-entries * math.log(false_refusals) / math.log(2) ** 2))
    hashes = max(1, round(-math.log2(false_refusals)))
    unfinished = target.with_name(target.name + ".part")
    with unfinished.open("w+b") as opened:
        opened.truncate(_HEADER.size + _bytes_for(bits))
        with mmap.mmap(opened.fileno(), 0) as filled:
            _HEADER.pack_into(filled, 0, _MAGIC, bits, hashes, entries)
            for digest in _digests(source):
                for place in _places(digest, bits, hashes):
                    filled[_HEADER.size + place // 8] |= 1 << place % 8
            filled.flush()
    os.replace(unfinished, target)
    return entries


def _digests(source: Path) -> Iterator[bytes]:
    with source.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            text = line.partition(b":")[0].strip()
            if not text:
                continue
            try:
                digest = bytes.fromhex(text.decode("ascii"))
            except ValueError:
                digest = b""
            if len(digest) != 20:
                raise ValueError(f"{source}, line {number}: not a SHA-1 hash")
            yield digest


def _places(digest: bytes, bits: int, hashes: int) -> Iterator[int]:
    """SHA-1 is even already: two halves of it make all the positions (Kirsch and Mitzenmacher, 2006)."""
    first, step = int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:16], "big") | 1
    return ((first + number * step) % bits for number in range(hashes))


def _bytes_for(bits: int) -> int:
    return (bits + 7) // 8


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("source", type=Path, help="SHA-1 hashes in hex, one a line, `:count` may follow")
    parser.add_argument("target", type=Path, help="the filter to write")
    parser.add_argument("--false-refusals", type=float, default=0.001, help="share of good passwords refused")
    wish = parser.parse_args()
    print(f"{build(wish.source, wish.target, false_refusals=wish.false_refusals)} hashes in {wish.target}")


if __name__ == "__main__":
    main()
