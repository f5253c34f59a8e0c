"""Calls of Scaleway's API that tests make again and again."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

Z = "/instance/v1/zones/fr-par-1"


async def reserve(client: httpx.AsyncClient, kind: str = "routed_ipv4", **fields: Any) -> dict[str, Any]:
    answer = await client.post(f"{Z}/ips", json={"type": kind, **fields})
    assert answer.status_code == 201, answer.text
    return dict(answer.json()["ip"])


async def image(client: httpx.AsyncClient, arch: str = "x86_64") -> str:
    query = {"image_label": "debian_trixie", "zone": "fr-par-1", "type": "instance_sbs"}
    found = (await client.get("/marketplace/v2/local-images", params=query)).json()["local_images"]
    return str(next(each["id"] for each in found if each["arch"] == arch))


async def create(client: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    body = {
        "name": "mx-1",
        "commercial_type": "DEV1-S",
        "image": await image(client),
        "dynamic_ip_required": False,
    }
    return await client.post(f"{Z}/servers", json={**body, **fields})


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
    deadline = asyncio.get_running_loop().time() + seconds
    while not await condition():
        assert asyncio.get_running_loop().time() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.05)


async def until_running(client: httpx.AsyncClient, path: str) -> None:
    async def running() -> bool:
        return bool((await client.get(path)).json()["server"]["state"] == "running")

    await until(running)


def kind_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, str(answer.json()["type"])
