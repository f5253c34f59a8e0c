"""The AEAD layer against NIST CAVP's AES-256-GCM vectors: 96-bit IV and 128-bit tag, the one shape we take."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cryptography_vectors
import pytest

from services.vault.aead import NotAuthentic, open_sealed, seal

DIRECTORY = Path(cryptography_vectors.__file__).parent / "ciphers" / "AES" / "GCM"


def vectors(name: str) -> Iterator[tuple[dict[str, int], dict[str, str], bool]]:
    """(section, vector, whether NIST says FAIL) of a .rsp file."""
    section: dict[str, int] = {}
    vector: dict[str, str] = {}
    fails = False
    for line in [*DIRECTORY.joinpath(name).read_text().splitlines(), ""]:
        line = line.strip()
        if line.startswith("[") and "=" in line:
            key, _, value = line[1:-1].partition("=")
            section[key.strip()] = int(value)
        elif line == "FAIL":
            fails = True
        elif "=" in line:
            key, _, value = line.partition("=")
            vector[key.strip()] = value.strip()
        elif not line and vector:
            yield dict(section), vector, fails
            vector, fails = {}, False


def usable(section: dict[str, int]) -> bool:
    return section["IVlen"] == 96 and section["Taglen"] == 128


def test_decryption_agrees_with_nist() -> None:
    agreed = refused = 0
    for section, vector, fails in vectors("gcmDecrypt256.rsp"):
        if not usable(section):
            continue
        raw = {name: bytes.fromhex(value) for name, value in vector.items() if name != "Count"}
        arguments = (raw["Key"], raw["IV"], raw["CT"] + raw["Tag"], raw["AAD"])
        if fails:
            with pytest.raises(NotAuthentic):
                open_sealed(*arguments)
            refused += 1
        else:
            assert open_sealed(*arguments) == raw["PT"]
            agreed += 1
    assert agreed + refused >= 375
    assert refused > 0


@pytest.mark.asvs("11.3.2")
def test_encryption_agrees_with_nist() -> None:
    agreed = 0
    for section, vector, _ in vectors("gcmEncryptExtIV256.rsp"):
        if not usable(section):
            continue
        raw = {name: bytes.fromhex(value) for name, value in vector.items() if name != "Count"}
        assert seal(raw["Key"], raw["IV"], raw["PT"], raw["AAD"]) == raw["CT"] + raw["Tag"]
        agreed += 1
    assert agreed >= 375


def test_other_iv_lengths_and_shorter_tags_are_refused() -> None:
    """NIST has them; the format has not, so whatever brings one is not ours."""
    for section, vector, fails in vectors("gcmDecrypt256.rsp"):
        raw = {name: bytes.fromhex(value) for name, value in vector.items() if name != "Count"}
        if fails or usable(section):
            continue
        with pytest.raises((ValueError, NotAuthentic)):
            open_sealed(raw["Key"], raw["IV"], raw["CT"] + raw["Tag"], raw["AAD"])


@pytest.mark.parametrize("length", [0, 16, 24, 31, 33])
def test_only_256_bit_keys_are_taken(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        seal(bytes(length), bytes(12), b"", b"")


@pytest.mark.parametrize("length", [0, 8, 11, 13, 16])
def test_only_96_bit_nonces_are_taken(length: int) -> None:
    with pytest.raises(ValueError, match="12 bytes"):
        open_sealed(bytes(32), bytes(length), bytes(16), b"")
