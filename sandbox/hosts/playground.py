"""Bare servers to look at, in a closed network of their own: no cloud, no DNS, only Debian and SSH.

    python -m sandbox.hosts.playground up --dir /tmp/play --count 2 --image golden
    python -m sandbox.hosts.playground ssh --dir /tmp/play --server 2 -- systemctl --failed
    python -m sandbox.hosts.playground down --dir /tmp/play

Packages can be installed in them (through an apt proxy); nothing else of the outside world is there.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from sandbox.hosts.apt_proxy import AptProxy
from sandbox.hosts.fleet import Hosts
from sandbox.hosts.images import ensure_image, say
from sandbox.hosts.probe import wait_for_ssh
from sandbox.hosts.recipes import KINDS, Kind
from sandbox.hosts.surroundings import Surroundings
from sandbox.net import AddressRange, Namespace

VAR = Path(__file__).parents[2] / "var"


def identifier(directory: Path) -> str:
    """The namespace's id: the same for the same directory."""
    return "p" + hashlib.sha256(str(directory.resolve()).encode()).hexdigest()[:7]


async def serve(directory: Path, count: int, image: Kind, images: Path, public_key: str) -> None:
    """Hold the playground up until SIGTERM; what it offers is in `<directory>/playground.json`."""
    stopped = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, stopped.set)
    name = identifier(directory)
    addresses = await AddressRange.claim(owner=directory, own_device=f"sc-{name}")
    namespace = Namespace(name, addresses, directory / "run")
    await namespace.down()
    try:
        await namespace.up()
        proxy = AptProxy(namespace, images.parent / "apt", directory / "log")
        await proxy.start()
        surroundings = Surroundings(apt_proxy=proxy.url)
        hosts = Hosts(directory / "hosts", namespace, images, surroundings, log_dir=directory / "log")
        servers = []
        for number in range(1, count + 1):
            v4, v6 = addresses.vps_v4()[number - 1], addresses.vps_v6_prefix(number)[1]
            instance = hosts.get(str(number)) or await hosts.create(
                str(number), image=image, hostname=f"play{number}", v4=[v4], v6=[v6], public_keys=[public_key]
            )
            instance.record.v4, instance.record.v6 = [v4], [v6]
            await hosts.allow_mail(str(number), True)
            await instance.start()
            servers.append(
                {
                    "name": f"play{number}",
                    "image": instance.record.image.parent.name,
                    "v4": str(v4),
                    "v6": str(v6),
                    "console": str(instance.console),
                }
            )
        for server in servers:
            server["ssh_after_s"] = f"{await wait_for_ssh(server['v4'], 60):.1f}"
        partial = directory / "playground.json.new"
        partial.write_text(
            json.dumps({"pid": os.getpid(), "range": addresses.describe(), "servers": servers}, indent=1)
        )
        partial.rename(directory / "playground.json")
        await stopped.wait()
        await hosts.stop_all()
        await proxy.stop()
    finally:
        await namespace.down()
        addresses.release()


def up(arguments: argparse.Namespace) -> int:
    directory: Path = arguments.dir
    directory.mkdir(parents=True, exist_ok=True)
    if _state(directory) is not None:
        print(f"already up, see {directory}/playground.json", file=sys.stderr)
        return 1
    asyncio.run(ensure_image(arguments.images, arguments.image))
    key = arguments.key or directory / "id_ed25519.pub"
    if not key.exists():
        private = str(directory / "id_ed25519")
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "playground", "-f", private], check=True
        )
    options = {
        "dir": directory,
        "count": arguments.count,
        "image": arguments.image,
        "images": arguments.images,
    }
    argv = [sys.executable, "-m", "sandbox.hosts.playground", "serve", "--key", str(key)]
    argv += [f"--{name}={value}" for name, value in options.items()]
    with (directory / "playground.log").open("ab") as output:
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    while _state(directory) is None:
        if child.poll() is not None:
            print(f"the playground did not come up, see {directory}/playground.log", file=sys.stderr)
            return 1
        time.sleep(0.1)
    say((directory / "playground.json").read_text())
    say(
        f"ssh -i {directory}/id_ed25519 root@<v4>, or: python -m sandbox.hosts.playground ssh --dir {directory}"
    )
    return 0


def down(arguments: argparse.Namespace) -> int:
    directory: Path = arguments.dir
    state = _state(directory)
    if state is not None:
        os.kill(int(state["pid"]), signal.SIGTERM)
        while _alive(int(state["pid"])):
            time.sleep(0.1)
    name = identifier(directory)
    asyncio.run(Namespace(name, AddressRange(0), directory / "run").down())
    (directory / "playground.json").unlink(missing_ok=True)
    return 0


def ssh(arguments: argparse.Namespace) -> int:
    directory: Path = arguments.dir
    state = _state(directory)
    if state is None:
        print("the playground is not up", file=sys.stderr)
        return 1
    server = state["servers"][arguments.server - 1]
    options = ["-q", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    argv = ["ssh", *options, "-i", str(directory / "id_ed25519"), f"root@{server['v4']}", *arguments.command]
    return subprocess.call(argv)


def _state(directory: Path) -> dict[str, Any] | None:
    try:
        state: dict[str, Any] = json.loads((directory / "playground.json").read_text())
    except (OSError, ValueError):
        return None
    return state if _alive(int(state["pid"])) else None


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox.hosts.playground",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--dir", type=Path, required=True, help="where disks, logs and the SSH key are kept")
    actions = parser.add_subparsers(dest="action", required=True)
    for name, text in (("up", "boot the servers"), ("serve", "the same, in the foreground")):
        each = actions.add_parser(name, parents=[common], help=text)
        each.add_argument("--count", type=int, default=1)
        each.add_argument("--image", choices=KINDS, default="golden")
        each.add_argument("--images", type=Path, default=VAR / "images", help="the cache of images")
        each.add_argument("--key", type=Path, help="a public SSH key to let in instead of one made for this")
    actions.add_parser("down", parents=[common], help="shut them down; their disks are kept")
    shell = actions.add_parser("ssh", parents=[common], help="log in as root, or run a command")
    shell.add_argument("--server", type=int, default=1, help="which server, from 1")
    shell.add_argument("command", nargs="*", help="what to run there, after --")
    return parser.parse_args()


def main() -> int:
    arguments = _arguments()
    arguments.dir = arguments.dir.resolve()
    if os.geteuid() != 0:
        print("booting servers needs root: run it with sudo", file=sys.stderr)
        return 2
    if arguments.action == "serve":
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
        public_key = arguments.key.read_text().strip()
        asyncio.run(serve(arguments.dir, arguments.count, arguments.image, arguments.images, public_key))
        return 0
    return {"up": up, "down": down, "ssh": ssh}[arguments.action](arguments)


if __name__ == "__main__":
    raise SystemExit(main())
