"""python -m services.vault.keyservice [init | add-key | remove-key | list]: without a command it serves.

init        --keyring FILE [--owner UID]   write a new keyring with one root key, mode 0600
add-key     --keyring FILE                 add a root key and make it primary
remove-key  --keyring FILE --id ID         destroy a root key that no data key hangs on any more
list        --keyring FILE                 ids of the root keys, never their material

SIGHUP makes the service read its keyring again; one that is not sound is refused and the old one stays in use.
With root keys in a KMS (`SC_ROOT_KEYS`) the commands are the KMS's own: docs/runbooks/rotate-keys.md.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from services.vault.hardening import forbid_core_dumps
from services.vault.keyservice import keyring
from services.vault.keyservice.root_keys import KeyringStore
from services.vault.keyservice.server import KeyServer
from services.vault.keyservice.settings import KeyServiceSettings
from services.vault.keyservice.wiring import build_stores
from shared.clock import SystemClock
from shared.observability.logging import configure_logging, get_logger


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0, or 1 with one line on standard error that says what is wrong."""
    options = _parser().parse_args(arguments)
    forbid_core_dumps()
    try:
        return int(options.run(options))
    except (keyring.KeyringUnsafe, OSError) as error:
        print(f"keyservice: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m services.vault.keyservice", description="Holds the vault's root keys."
    )
    parser.set_defaults(run=_serve)
    commands = parser.add_subparsers(title="commands")
    for name, run, text in (
        ("init", _init, "write a new keyring with one root key"),
        ("add-key", _add_key, "add a root key and make it primary"),
        ("remove-key", _remove_key, "destroy a root key that nothing hangs on any more"),
        ("list", _list, "show the ids of the root keys"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("--keyring", type=Path, required=True, metavar="FILE")
        command.set_defaults(run=run)
        if name == "init":
            command.add_argument(
                "--owner", type=int, metavar="UID", help="give the file to this uid (as root)"
            )
        if name == "remove-key":
            command.add_argument(
                "--id",
                required=True,
                metavar="rk_…",
                help="`services.vault.admin root-keys` says which is unused",
            )
    return parser


def _init(options: argparse.Namespace) -> int:
    key = keyring.new_root_key(SystemClock().now())
    keyring.create(options.keyring, keyring.Keyring((key,), key.id), owner=options.owner)
    print(f"{options.keyring}: primary {key.id}")
    return 0


def _add_key(options: argparse.Namespace) -> int:
    grown = keyring.load(options.keyring).with_new_primary(SystemClock().now())
    keyring.replace(options.keyring, grown)
    print(f"{options.keyring}: primary {grown.primary}")
    return 0


def _remove_key(options: argparse.Namespace) -> int:
    keyring.replace(options.keyring, keyring.load(options.keyring).without(options.id))
    print(f"{options.keyring}: removed {options.id}")
    return 0


def _list(options: argparse.Namespace) -> int:
    ring = keyring.load(options.keyring)
    for key in ring.root_keys():
        print(f"{key.id} {key.created_at}{' primary' if key.id == ring.primary else ''}")
    return 0


def _serve(_: argparse.Namespace) -> int:
    settings = KeyServiceSettings()
    configure_logging("vault-keys", settings.log_level)
    asyncio.run(serve(settings))
    return 0


async def serve(settings: KeyServiceSettings, stop: asyncio.Event | None = None) -> None:
    """Serves until `stop` is set or SIGTERM or SIGINT comes. A keyring is read before the socket exists."""
    stores, ring = build_stores(settings)
    server = KeyServer(
        stores,
        settings.allowed_uids,
        rotating_uids=settings.rotating_uids,
        idle_seconds=settings.idle_seconds,
    )
    stop = stop or asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, _reload, ring, settings.keyring_file)
    listening = await server.listen(settings.socket, settings.socket_mode)
    get_logger(__name__).info("key service started", root_keys=settings.root_keys)
    try:
        await stop.wait()
    finally:
        listening.close()
        server.disconnect()
        settings.socket.unlink(missing_ok=True)
        await stores.aclose()


def _reload(store: KeyringStore | None, file: Path | None) -> None:
    if store is None or file is None:
        return  # a KMS is asked each time
    try:
        ring = keyring.load(file)
    except (keyring.KeyringUnsafe, OSError) as error:
        get_logger(__name__).error("keyring refused, the old one stays in use", detail=str(error))
        return
    store.use(ring)
    get_logger(__name__).info("keyring read again", root_keys=len(ring.ids()), primary=ring.primary)


if __name__ == "__main__":
    sys.exit(main())
