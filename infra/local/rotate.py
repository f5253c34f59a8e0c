"""`python -m infra.local.rotate KEY [--stack NAME] [--retire | --retire-now]`: a new key for a running stack.

KEY is `access` (sessions' access tokens), the name of a service that signs internal tokens, or `ca` (TLS inside).
Former keys retire by themselves at the next rotation, or by `--retire` once nothing that they signed is valid any
more; `--retire-now` is for a key that has leaked: what it signed is refused within seconds, and browsers renew.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterable
from pathlib import Path

import httpx

from infra.local.accounts import of_process
from infra.local.ca_rotation import AuthorityKey, read_at_each_connection
from infra.local.key_rotation import AccessKey, IdentityKey, Known, NotKnown, OwnKey, Rotation, rotate
from infra.local.layout import Layout
from infra.local.services import ISSUERS
from infra.local.stack import Stack

LOOKED_SECONDS = 2.0


def accepted_by(gateways: Iterable[Path]) -> Known:
    """Whether every gateway accepts tokens of that key by now: it says so in its metrics."""

    async def known(kid: str) -> bool:
        line = f'sc_gateway_access_key{{kid="{kid}"}} 1.0'
        for socket in gateways:
            transport = httpx.AsyncHTTPTransport(uds=str(socket))
            try:
                async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
                    if line not in (await client.get("/metrics")).text.splitlines():
                        return False
            except httpx.HTTPError:
                return False
        return True

    return known


async def looked_at(_: str) -> bool:
    """Trust directories are looked at each second by whoever verifies."""
    await asyncio.sleep(LOOKED_SECONDS)
    return True


def access_key(layout: Layout) -> AccessKey:
    own = OwnKey(
        layout.secrets / "shared/access.key",
        (layout.secrets / "auth-api/access_key",),
        of_process("auth-api"),
    )
    return AccessKey(own, layout.published_access_keys)


def identity_key(layout: Layout, issuer: str) -> IdentityKey:
    (holder,) = ISSUERS[issuer]
    own = OwnKey(
        layout.secrets / f"shared/identity-{issuer}.key",
        (layout.secrets / holder / "identity_key",),
        of_process(holder),
    )
    return IdentityKey(issuer, own, layout.home / "trust" / f"{issuer}.pem")


def plan(stack: Stack, key: str) -> tuple[Rotation, Known]:
    layout = stack.layout
    if key == "access":
        return access_key(layout), accepted_by([layout.sockets / "gateway.sock"])
    if key == "ca":
        return AuthorityKey(stack), read_at_each_connection
    return identity_key(layout, key), looked_at


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.local.rotate", description=__doc__)
    parser.add_argument("key", choices=["access", "ca", *ISSUERS])
    parser.add_argument("--stack", default="demo", help="a folder below var/ (default: demo)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--retire", action="store_true", help="take former keys away whose time is over")
    what.add_argument("--retire-now", action="store_true", help="take former keys away at once")
    arguments = parser.parse_args()
    rotation, known = plan(Stack(Layout(arguments.stack)), arguments.key)
    if arguments.retire or arguments.retire_now:
        gone = rotation.retire(0 if arguments.retire_now else rotation.lifetime)
        print(f"retired: {', '.join(gone) or 'none'}")
        return 0
    try:
        kid = asyncio.run(rotate(rotation, known))
    except NotKnown as error:
        print(f"rotate: {error}", file=sys.stderr)
        return 1
    print(f"{kid} is in use; the former key retires with --retire in {rotation.lifetime:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
