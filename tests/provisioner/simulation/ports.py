"""The ports as one worker meets them in the world: the cloud, whoever else is reached, and the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from copy import copy
from typing import Any

from services.provisioner.ports import (
    CloudBusy,
    CloudError,
    CloudNotFound,
    CloudOutOfStock,
    CloudRateLimited,
    CloudUnavailable,
)
from services.provisioner.reconciler.lease import Lease
from services.provisioner.reconciler.store import Held, Store
from tests.provisioner.simulation.world import LAG, LATE, TIMEOUT, Worker, World

CREATES = {"create_instance": "instance", "reserve_ip": "ip", "create_security_group": "security_group"}
_ERRORS: dict[str, CloudError] = {
    "503": CloudUnavailable("503"),
    "504": CloudUnavailable("504"),
    "429": CloudRateLimited("429", retry_after=1.0),
    "409": CloudBusy("409"),
    "404": CloudNotFound("404"),
}


class Clouded:
    """The cloud as one worker meets it."""

    def __init__(self, world: World, worker: Worker) -> None:
        self._world = world
        self._worker = worker

    def __getattr__(self, name: str) -> Any:
        world, worker = self._world, self._worker
        method = getattr(world.cloud, name)

        async def call(zone: str, *args: Any) -> Any:
            worker.paused_until = world.now() + world.script.pauses.pop(name, 0.0)
            await world.through(worker, world.odds.pause_before_create if name in CREATES else None)
            if name in CREATES:
                answer = await self._create(name, method, zone, args)
            elif name.startswith("list_"):
                answer = self._list(name, await method(zone, *args))
            else:
                answer = await self._act(name, method, zone, args)
            await world.through(worker)
            return answer

        return call

    async def _create(self, name: str, method: Any, zone: str, args: tuple[Any, ...]) -> Any:
        world, kind = self._world, CREATES[name]
        tags = tuple(args[-1])
        sent = world.sends(self._worker, kind, tags)
        sent.request = args[0]
        world.cloud.faults.list_lag = world.random.uniform(0, LAG)
        what = world.script.next(name) or "ok"
        if world.unlucky(world.odds.create):
            what = world.random.choice(
                ("late", "late", "late", "504 done", "504 not done", "429", "busy", "out of stock")
            )
        world.note(self._worker.name, f"{name}{' (zombie)' if sent.zombie else ''}: {what}")
        match what:
            case "late":
                sent.comes = True
                delay = world.random.uniform(0, LATE)
                sent.due = world.now() + delay
                world.later(delay, lambda: method(zone, *args))
                await asyncio.sleep(TIMEOUT)
                raise CloudUnavailable("timed out")
            case "504 done":
                sent.comes = True
                await method(zone, *args)
                raise CloudUnavailable("504")
            case "504 not done":
                raise CloudUnavailable("504")
            case "429":
                raise CloudRateLimited("429", retry_after=1.0)
            case "busy":
                raise CloudBusy("409")
            case "out of stock" if kind == "instance":
                raise CloudOutOfStock("although it was said to be available")
        sent.comes = True
        return await method(zone, *args)

    def _list(self, name: str, found: list[Any]) -> list[Any]:
        """Lists may be silent, or leave things out."""
        world = self._world
        what = world.script.next(name) or "ok"
        if world.unlucky(world.odds.list):
            what = world.random.choice(("503", "some"))
        if what == "ok":
            return found
        if what == "503":
            world.note(self._worker.name, f"{name}: 503")
            raise CloudUnavailable("503")
        shown = [one for one in found if what == "some" and world.random.random() < 0.5]
        if len(shown) < len(found):
            world.note(self._worker.name, f"{name}: {len(shown)} of {len(found)}")
            world.hid_something_at = world.now()
            gone = {tag for one in found if one not in shown for tag in one.tags}
            for sent in world.sent:
                sent.hidden = sent.hidden or sent.slot in gone
        return shown

    async def _act(self, name: str, method: Any, zone: str, args: tuple[Any, ...]) -> Any:
        world = self._world
        looks = name.startswith(("get_", "reverse_of", "availability", "find_image"))
        error = _ERRORS.get(world.script.next(name) or "ok")
        if world.unlucky(world.odds.look if looks else world.odds.act):
            error = _ERRORS[world.random.choice(("503", "429", "404") if looks else ("504", "429", "409"))]
        if error is not None:
            world.note(self._worker.name, f"{name}: {error.detail}")
            if isinstance(error, CloudNotFound):
                world.hid_something_at = world.now()
        done = error is None or (isinstance(error, CloudUnavailable) and world.random.random() < 0.5)
        answer = await method(zone, *args) if done else None
        if name == "stop_in_place" and done:
            server = world.server()
            world.note(self._worker.name, f"stop_in_place {args[0]}")
            world.stops += server is not None and world.works(self._worker, server.id)
        if name == "power_on" and done:
            world.note(self._worker.name, f"power_on {args[0]}")
            world.switched_on()
        if error is not None:
            raise copy(error)
        return answer


class Reached:
    """Another port, as one worker reaches it. Some of its calls fail."""

    def __init__(self, world: World, worker: Worker, port: Any, error: Callable[[], Exception]) -> None:
        self._world, self._worker, self._port, self._error = world, worker, port, error

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            await self._world.through(self._worker)
            if self._world.unlucky(self._world.odds.host):
                if self._world.random.random() < 0.5:
                    await method(*args, **kwargs)
                raise self._error()
            return await method(*args, **kwargs)

        return call


class Watched:
    """A store as one worker reaches it, with the world looking on."""

    def __init__(self, world: World, worker: Worker, store: Store) -> None:
        self._world, self._worker, self._store = world, worker, store

    async def claim(self, owner: str, seconds: float) -> Lease | None:
        await self._world.through(self._worker)
        lease = await self._store.claim(owner, seconds)
        if lease is not None:
            self._worker.lease = lease
            self._world.claims[lease.server_id] = self._worker
        return lease

    async def renew(self, lease: Lease) -> None:
        await self._world.through(self._worker)
        await self._store.renew(lease)

    async def wake(self, server_id: str) -> None:
        await self._world.through(self._worker)
        await self._store.wake(server_id)

    def hold(self, lease: Lease) -> Any:
        return _Holding(self, lease)


class _Holding:
    def __init__(self, watched: Watched, lease: Lease) -> None:
        self._watched, self._lease = watched, lease

    async def __aenter__(self) -> Held:
        watched = self._watched
        await watched._world.through(watched._worker)
        self._inner = watched._store.hold(self._lease)
        held = await self._inner.__aenter__()
        watched._world.writes(watched._worker, self._lease.server_id)
        return held

    async def __aexit__(self, *why: Any) -> bool | None:
        return await self._inner.__aexit__(*why)
