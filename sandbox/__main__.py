"""``python -m sandbox --dir DIR --id ID``: the outside world, until SIGTERM.

When everything answers, ``DIR/endpoints.json`` (mode 0600) appears with the URLs and credentials.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from typing import Any

from sandbox import cloudflare, control, resend, stripe, transit
from sandbox.cloudflare.customers import Customers
from sandbox.daemon import DaemonFailed
from sandbox.faults import Faults
from sandbox.hosts.apt_proxy import AptProxy
from sandbox.hosts.console import create_router as create_console
from sandbox.hosts.fleet import Hosts
from sandbox.hosts.surroundings import Surroundings
from sandbox.infrastructure import Infrastructure, Progress, stopwatch
from sandbox.net import NoRangeFree, ToolMissing
from sandbox.scaleway import ScalewayCloud, ScalewaySettings
from sandbox.serve import HttpServers
from sandbox.settings import IMAGE_LABELS, PLATFORM_ZONE, Credentials, SandboxSettings, parse, write_private
from sandbox.store import Store
from sandbox.stripe.app import Keys

EDGE_OFFSET = 8
WATCH_SECONDS = 1.0


class Sandbox:
    """Everything together. `start` until `endpoints.json` is there, `stop` until nothing of it runs."""

    def __init__(self, settings: SandboxSettings, infrastructure: Infrastructure, progress: Progress) -> None:
        self.settings = settings
        self.infrastructure = infrastructure
        self._progress = progress
        directory = settings.directory
        self.credentials = Credentials.load_or_create(directory / "credentials.json")
        self.faults = Faults(seed=settings.seed, quiet=settings.quiet_faults)
        pair = infrastructure.authority.issue("https", names=["localhost"], addresses=["127.0.0.1"])
        self.http = HttpServers(directory, pair)
        self.surroundings = Surroundings()
        self.apt_proxy = AptProxy(infrastructure.namespace, settings.apt_cache, directory / "log")
        self.hosts = Hosts(
            directory / "hosts",
            infrastructure.namespace,
            settings.images,
            self.surroundings,
            log_dir=directory / "log",
        )
        self.scaleway = self._scaleway()
        self._tasks: list[asyncio.Task[Any]] = []

    def _scaleway(self) -> ScalewayCloud:
        credentials = self.credentials
        return ScalewayCloud(
            Store(self.settings.directory / "scaleway.sqlite3"),
            self.infrastructure.addresses,
            self.hosts,
            self.faults,
            ScalewaySettings(
                secret_key=credentials.scaleway_secret_key,
                project_id=credentials.scaleway_project_id,
                organization_id=credentials.scaleway_organization_id,
            ),
            self.infrastructure.set_ptr,
        )

    async def start(self) -> None:
        """Bring the world up and write ``endpoints.json``."""
        endpoints_file = self.settings.directory / "endpoints.json"
        endpoints_file.unlink(missing_ok=True)
        await self.infrastructure.start(self._progress)
        if self.settings.apt_proxy:
            await self.apt_proxy.start()
            self._progress(f"package proxy on {self.apt_proxy.url}")
        await self._furnish()
        endpoints = await self._vendors()
        await self.scaleway.resume()
        running = sum(each.record.powered for each in self.hosts.all())
        self._progress(f"cloud with {len(self.hosts.all())} servers, {running} of them on")
        write_private(endpoints_file, json.dumps(endpoints, indent=1) + "\n")
        self._progress(f"ready: {endpoints_file}")

    async def _furnish(self) -> None:
        """What servers find on their disks at each boot: our DNS root, our authorities, our package proxy."""
        tree, acme = self.infrastructure.tree, self.infrastructure.acme
        self.surroundings.apt_proxy = self.apt_proxy.url if self.settings.apt_proxy else None
        self.surroundings.root_hints = tree.hints_file.read_text()
        self.surroundings.trust_anchor = tree.anchor_file.read_text()
        self.surroundings.certificates = [acme.ca_file.read_text(), acme.root_file.read_text()]

    async def _vendors(self) -> dict[str, Any]:
        """Start the HTTP stand-ins; gives the content of ``endpoints.json``."""
        directory, keys = self.settings.directory, self.credentials
        names = ("scaleway", "cloudflare", "stripe", "resend", "transit", "control")
        urls = {name: self.http.reserve(name) for name in names}
        addresses = self.infrastructure.addresses
        books = cloudflare.Books(Store(directory / "cloudflare.sqlite3"))
        edge = (addresses.v4_of(EDGE_OFFSET), addresses.v6_of(EDGE_OFFSET))
        publisher = cloudflare.Publisher(self.infrastructure.tree, books, edge=edge)
        customers = Customers(books, publisher)
        platform = await customers.ensure_platform(
            PLATFORM_ZONE, keys.cloudflare_account_id, keys.cloudflare_platform_token.get_secret_value()
        )
        money = stripe.Books(Store(directory / "stripe.sqlite3"), time.time)
        secret = keys.stripe_webhook_secret.get_secret_value()
        webhooks = stripe.Webhooks(money, self.faults, secret, time.time)
        mails = resend.Books(Store(directory / "resend.sqlite3"))
        told = resend.Webhooks(mails, self.faults, keys.resend_webhook_secret.get_secret_value(), time.time)
        root_keys = transit.Books(Store(directory / "transit.sqlite3"))
        wiring = control.Wiring(
            self.infrastructure,
            self.faults,
            books,
            publisher,
            customers,
            money,
            webhooks,
            mails,
            told,
            self.scaleway,
            root_keys,
        )
        stripe_keys = Keys(keys.stripe_secret_key, keys.stripe_restricted_key)
        control_app = control.create_app(wiring, keys.control_token)
        control_app.include_router(create_console(self.hosts))
        apps: dict[str, Any] = {
            "scaleway": self.scaleway.app,
            "cloudflare": cloudflare.create_app(books, publisher, self.faults),
            "stripe": stripe.create_app(
                money, self.faults, stripe_keys, public_url=urls["stripe"], now=time.time
            ),
            "resend": resend.create_app(mails, self.faults, keys.resend_api_key, domain=PLATFORM_ZONE),
            "transit": transit.create_app(
                root_keys, self.faults, transit.Access(keys.transit_root_token, keys.transit_token)
            ),
            "control": control_app,
        }
        for name, app in apps.items():
            await self.http.start(name, app)
        self._tasks.append(asyncio.create_task(webhooks.run(), name="stripe webhooks"))
        self._tasks.append(asyncio.create_task(told.run(), name="resend webhooks"))
        self._progress(", ".join(f"{name} {url}" for name, url in urls.items()))
        return self._endpoints(urls, platform)

    def _endpoints(self, urls: dict[str, str], platform: dict[str, Any]) -> dict[str, Any]:
        world = self.infrastructure
        described = world.addresses.describe()
        described |= {"host_v4": described["control_plane"], "host_v6": described["control_plane_v6"]}
        return {
            **urls,
            "cloudflare": urls["cloudflare"] + cloudflare.PREFIX,
            "ca_file": str(world.authority.ca_file),
            "resolver": str(world.resolver.address_v4),
            "resolver_v6": str(world.resolver.address_v6),
            "root_hints_file": str(world.tree.hints_file),
            "trust_anchor_file": str(world.tree.anchor_file),
            "blacklists_file": str(world.blacklists_file),
            "acme_directory": world.acme.directory_url,
            "acme_ca_file": str(world.acme.ca_file),
            "acme_root_file": str(world.acme.root_file),
            "range": described,
            "namespace": str(world.namespace.path),
            "image_label": IMAGE_LABELS[self.settings.image],
            "platform_zone": PLATFORM_ZONE,
            "cloudflare_platform_zone_id": platform["id"],
            "outside_domain": "outside.test",
            **json.loads(self.credentials.model_dump_json()),
        }

    async def watch(self, stopped: asyncio.Event) -> bool:
        """Wait for `stopped`; False when a daemon ended by itself before."""
        while not stopped.is_set():
            dead = self.infrastructure.dead()
            if dead:
                self._progress(f"{', '.join(dead)} ended unexpectedly, see {self.settings.directory / 'log'}")
                return False
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopped.wait(), WATCH_SECONDS)
        return True

    async def stop(self) -> None:
        """Servers shut down cleanly, daemons end, the namespace goes; all state stays on disk."""
        (self.settings.directory / "endpoints.json").unlink(missing_ok=True)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.http.stop()
        await self.scaleway.stop()
        if self.settings.apt_proxy:
            await self.apt_proxy.stop()
        await self.infrastructure.stop()
        self._progress("stopped")


async def run(settings: SandboxSettings) -> int:
    """Start, wait for SIGTERM or SIGINT, stop. Gives the exit status."""
    progress = stopwatch()
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    sandbox = Sandbox(settings, await Infrastructure.claim(settings), progress)
    try:
        starting = asyncio.create_task(sandbox.start())
        waiting = asyncio.create_task(stopped.wait())
        await asyncio.wait({starting, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if not starting.done():
            starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await starting
        return 0 if await sandbox.watch(stopped) else 1
    finally:
        await sandbox.stop()


def main() -> int:
    """The command; prints what is wrong in one line when the machine cannot do it."""
    settings = parse()
    if os.geteuid() != 0:
        print("the sandbox makes network namespaces and boots servers: run it as root", file=sys.stderr)
        return 2
    try:
        return asyncio.run(run(settings))
    except (NoRangeFree, ToolMissing, DaemonFailed) as error:
        print(f"sandbox: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
