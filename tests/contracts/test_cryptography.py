"""The inventory of docs/cryptography.md is what the source really uses."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("services", "gateway", "shared")
HASHES = "hashlib"
PRIMITIVES = re.compile(
    r"cryptography\.hazmat\.primitives\.(asymmetric|ciphers|kdf|hashes|hmac|cmac|padding)"
)
CHOICES = {"ec", "hashes", "ed25519", "rsa", "padding", "modes", "algorithms", "x25519", "dh", "dsa"}
HANDLES = {
    "EllipticCurvePrivateKey", "EllipticCurvePublicKey", "EllipticCurvePublicNumbers", "generate_private_key",
}  # fmt: skip
"""Types of keys whose curve is said beside them."""


def used(source: str) -> Iterator[str]:
    """Names of algorithms, modes and paddings."""
    tree = ast.parse(source)
    modules = {
        (alias.asname or alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith("cryptography.hazmat.primitives")
        for alias in node.names
        if alias.name in CHOICES
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == HASHES:
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and PRIMITIVES.match(node.module or ""):
            yield from (alias.name for alias in node.names if alias.name not in CHOICES)
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in {HASHES, *modules}
        ):
            yield node.attr


def everywhere() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for room in ROOMS:
        for file in (ROOT / room).rglob("*.py"):
            for name in used(file.read_text("utf-8")):
                found.setdefault(name, set()).add(str(file.relative_to(ROOT)))
    return found


@pytest.mark.asvs("11.2.3", "11.4.3")
def test_only_what_the_inventory_names_is_used_and_nothing_is_left_there_that_is_gone() -> None:
    inventory = set(re.findall(r"`(\w+)`", _section("## Inventory")))
    names = {name for name in everywhere() if name not in HANDLES}
    assert names <= inventory, {name: everywhere()[name] for name in names - inventory}
    assert {name for name in inventory if name[0].isupper() or name.startswith("sha")} <= names


@pytest.mark.asvs("11.3.1")
def test_nothing_is_encrypted_with_ecb_or_pkcs1_v1_5() -> None:
    found = everywhere()
    assert "ECB" not in found
    assert found["PKCS1v15"] == {
        "services/provisioner/hosts/self_test/dkim.py"
    }  # a signature that is verified
    text = (ROOT / "services/provisioner/hosts/self_test/dkim.py").read_text("utf-8")
    assert ".encrypt(" not in text
    assert ".decrypt(" not in text


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("import hashlib\nhashlib.md5(b'')", "md5"),
        ("from hashlib import md5", "md5"),
        ("from cryptography.hazmat.primitives.ciphers import modes\nmodes.ECB()", "ECB"),
        ("from cryptography.hazmat.primitives.ciphers.aead import AESCCM", "AESCCM"),
        (
            "from cryptography.hazmat.primitives.asymmetric import ec as curves\ncurves.SECP192R1()",
            "SECP192R1",
        ),
    ],
)
def test_what_is_not_in_the_inventory_would_be_seen(source: str, name: str) -> None:
    assert name in set(used(source))


def _section(heading: str) -> str:
    text = (ROOT / "docs/cryptography.md").read_text("utf-8")
    return text.partition(heading)[2].partition("\n## ")[0].partition("Libraries:")[0]
