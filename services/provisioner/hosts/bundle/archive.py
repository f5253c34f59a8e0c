"""Packs the bundle: package list, the host's own program, and the rendered desired state, in one tar.

The version names program and templates, not the state: two hosts with the same version run the same code.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from functools import cache
from pathlib import Path

from services.provisioner.hosts.bundle.render import MANAGED_DIRECTORIES, render_files
from services.provisioner.hosts.desired import HostDesired

ROOT = Path(__file__).parent
FORMAT = 1


def packages() -> tuple[str, ...]:
    """Debian packages of a host, one name each."""
    return tuple(line for line in (ROOT / "packages.txt").read_text().split() if line)


def _sources() -> dict[str, bytes]:
    program = {
        f"sendchief_host/{path.name}": path
        for path in sorted((ROOT / "host").iterdir())
        if path.suffix in (".py", ".sh")
    }
    return {name: path.read_bytes() for name, path in program.items()}


@cache
def bundle_version() -> str:
    """`<format>-<12 hex>` over everything that decides what an install does, apart from the desired state."""
    digest = hashlib.sha256()
    contents = dict(_sources())
    for path in sorted((*(ROOT / "templates").rglob("*.j2"), ROOT / "packages.txt", ROOT / "render.py")):
        contents[path.relative_to(ROOT).as_posix()] = path.read_bytes()
    for name, content in sorted(contents.items()):
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return f"{FORMAT}-{digest.hexdigest()[:12]}"


def apply_payload(desired: HostDesired) -> dict[str, object]:
    """What the helper's `apply` takes: desired state and every file that follows from it."""
    return {
        "bundle_version": bundle_version(),
        "desired": desired.model_dump(mode="json"),
        "selftest_address": desired.selftest_address,
        "web_names": {domain.name: list(domain.web_names()) for domain in desired.domains},
        "files": [file.model_dump() for file in render_files(desired)],
        "managed_directories": list(MANAGED_DIRECTORIES),
    }


def build_archive(desired: HostDesired) -> bytes:
    """A gzip tar with fixed order and times: the same input gives the same bytes."""
    members = dict(_sources())
    members["packages.txt"] = "".join(f"{name}\n" for name in packages()).encode()
    members["payload.json"] = json.dumps(apply_payload(desired), sort_keys=True).encode()
    members["VERSION"] = bundle_version().encode() + b"\n"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in sorted(members.items()):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            info.mode = 0o600 if name == "payload.json" else 0o644
            tar.addfile(info, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), compresslevel=6, mtime=0)
