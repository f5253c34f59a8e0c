"""Builds the images of the sandbox's cloud with mmdebstrap and keeps them in a cache.

    python -m sandbox.hosts.images build golden --cache var/images
    python -m sandbox.hosts.images path stock --cache var/images

An image is a directory `<cache>/<kind>-<digest>/` with `rootfs/`, `recipe.json` and `build.log`. Its files belong to
the first uid of the servers' user namespace already, so that a server starts without a single chown.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from sandbox.hosts.recipes import KINDS, Kind, Recipe, recipe_of
from sandbox.hosts.warm import boot_once, shift_ownership
from sandbox.net.commands import CommandFailed, run

# The first of the 65536 uids that a server's user namespace maps (the bottom of systemd-nspawn's own range).
UID_BASE = 1879048192

Progress = Callable[[str], None]


class ImageBuildFailed(RuntimeError):
    """An image could not be built; the message holds the end of the log and where the rest is."""


def say(text: str) -> None:
    """A progress line on standard output."""
    print(text, flush=True)


def image_path(cache: Path, kind: Kind) -> Path:
    """Where the root file system of the current recipe of `kind` is, or would be."""
    return cache.resolve() / recipe_of(kind).directory_name / "rootfs"


async def ensure_image(
    cache: Path, kind: Kind, *, apt_proxy: str | None = None, progress: Progress = say
) -> Path:
    """The root file system of `kind`, built if the cache has none for the current recipe.

    Safe to call from several processes: one builds, the others wait. `apt_proxy` is a URL. Raises ImageBuildFailed.
    """
    recipe = recipe_of(kind)
    target = image_path(cache, kind).parent
    if (target / "rootfs").is_dir():
        return target / "rootfs"
    target.parent.mkdir(parents=True, exist_ok=True)
    with await asyncio.to_thread(_Lock, target.parent / f".{recipe.kind}.lock"):
        if (target / "rootfs").is_dir():
            return target / "rootfs"
        await _build(recipe, target, apt_proxy, progress)
    return target / "rootfs"


class _Lock:
    """An exclusive flock, waited for; entered already when made."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def __enter__(self) -> None:
        return

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


async def _build(recipe: Recipe, target: Path, apt_proxy: str | None, progress: Progress) -> None:
    started = time.monotonic()
    building = target.with_name(f".building-{target.name}")
    _discard(building)
    building.mkdir()
    log = target.parent / f"{target.name}.log"

    def step(text: str) -> None:
        progress(f"image {recipe.kind}: {text} ({time.monotonic() - started:.0f} s)")

    step(f"installing {len(recipe.packages)} packages of {recipe.suite} and what they need")
    try:
        await _bootstrap(recipe, building / "rootfs", log, apt_proxy)
        step("handing the files to the servers' user namespace")
        await shift_ownership(building / "rootfs", UID_BASE)
        if recipe.warm:
            step("booting once, so that compiled caches are in it")
            await boot_once(building / "rootfs", UID_BASE, log)
    except CommandFailed as error:
        tail = log.read_text(errors="replace")[-1500:] if log.exists() else ""
        raise ImageBuildFailed(
            f"image {recipe.kind} could not be built: {error}\n{tail}\nThe whole log is {log}. Package mirrors must be "
            "reachable by this machine's own apt (try `apt-get update`)."
        ) from error
    (building / "recipe.json").write_text(json.dumps(asdict(recipe), indent=2))
    log.rename(building / "build.log")
    building.rename(target)
    step("ready")


async def _bootstrap(recipe: Recipe, root: Path, log: Path, apt_proxy: str | None) -> None:
    """One mmdebstrap run from this machine's own Debian mirrors, turned to the image's release."""
    sources = await debian_sources(recipe.suite)
    with _overlay_files(recipe) as overlay:
        preseed = f'chroot "$1" debconf-set-selections < {overlay}/preseed'
        tidy = 'rm -f "$1"/etc/ssh/ssh_host_* "$1"/etc/hostname "$1"/etc/resolv.conf "$1"/var/lib/dbus/machine-id'
        argv = [
            "mmdebstrap",
            "--mode=root",
            "--variant=minbase",
            "--dpkgopt=force-unsafe-io",
            "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-include=/usr/share/doc/*/copyright",
            "--dpkgopt=path-exclude=/usr/share/man/*",
            '--aptopt=Acquire::Languages "none"',
            f"--include={','.join(recipe.packages)}",
            f"--essential-hook={preseed}",
            f'--customize-hook=cp -a {overlay}/files/. "$1"/',
            f'--customize-hook=chroot "$1" systemctl -q enable {" ".join(recipe.enabled_units)}',
            f'--customize-hook=chroot "$1" systemctl -q mask {" ".join(recipe.disabled_units)}',
            f'--customize-hook={tidy}; : > "$1"/etc/machine-id',
            recipe.suite,
            str(root),
            "-",
        ]
        if apt_proxy:
            argv.insert(1, f'--aptopt=Acquire::http::Proxy "{apt_proxy}"')
        output = await run("sh", "-c", f'exec "$@" 2>>{log}', "sh", *argv, stdin="\n".join(sources) + "\n")
        with log.open("a") as file:
            file.write(output)


@contextmanager
def _overlay_files(recipe: Recipe) -> Iterator[Path]:
    """The recipe's own files and debconf answers as a directory that mmdebstrap's hooks copy from."""
    with tempfile.TemporaryDirectory(prefix="sendchief-image-") as name:
        directory = Path(name)
        (directory / "preseed").write_text(recipe.preseed)
        for path, content in {**recipe.files, "/etc/hostname": "localhost\n"}.items():
            file = directory / "files" / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        for each in directory.joinpath("files").rglob("*"):
            each.chmod(0o755 if each.is_dir() else 0o644)
        (directory / "files").chmod(0o755)
        yield directory


async def debian_sources(suite: str) -> list[str]:
    """One-line sources of this machine's Debian mirrors for `suite`, whatever format and release it has itself."""
    return sorted({f"deb {uri} {suite}{pocket} main" for uri, pocket in await _own_sources()})


async def debian_mirrors() -> list[str]:
    """The base URLs of this machine's Debian mirrors."""
    return sorted({uri for uri, _ in await _own_sources()})


async def _own_sources() -> set[tuple[str, str]]:
    """(base URL, "" | "-updates" | "-security") of what this machine's apt has indexed of its own release."""
    columns = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    listed = await run(
        "apt-get", "indextargets", "--format", columns, "Created-By: Packages", "Origin: Debian"
    )
    own = _own_codename()
    found: set[tuple[str, str]] = set()
    for line in listed.splitlines():
        uri, release, component = line.split()
        pocket = release.removeprefix(own)
        if component == "main" and release.startswith(own) and pocket in ("", "-updates", "-security"):
            found.add((uri, pocket))
    if not any(pocket == "" for _, pocket in found):
        raise ImageBuildFailed(
            f"apt on this machine knows no Debian mirror of its own release {own!r}: run `apt-get update` and check "
            "/etc/apt/sources.list.d"
        )
    return found


def _own_codename() -> str:
    for line in Path("/etc/os-release").read_text().splitlines():
        if line.startswith("VERSION_CODENAME="):
            return line.partition("=")[2].strip().strip('"')
    return ""


def _discard(directory: Path) -> None:
    if directory.exists():
        shutil.rmtree(directory)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox.hosts.images", description=__doc__.splitlines()[0]
    )
    parser.add_argument("action", choices=["build", "path"])
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--cache", type=Path, default=Path("var/images"))
    parser.add_argument("--apt-proxy", help="URL of an apt proxy, for example http://127.0.0.1:3142")
    arguments = parser.parse_args()
    if arguments.action == "path":
        say(str(image_path(arguments.cache, arguments.kind)))
        return 0
    if os.geteuid() != 0:
        print("building an image needs root: run it with sudo", file=sys.stderr)
        return 2
    try:
        say(str(asyncio.run(ensure_image(arguments.cache, arguments.kind, apt_proxy=arguments.apt_proxy))))
    except ImageBuildFailed as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
