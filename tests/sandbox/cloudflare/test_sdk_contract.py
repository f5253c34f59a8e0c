"""Cloudflare's official Python SDK works against the stand-in, and its models take every answer."""

from __future__ import annotations

import ssl

import httpx
import pytest

cloudflare = pytest.importorskip("cloudflare")

from sandbox.cloudflare.customers import NewZone  # noqa: E402
from tests.sandbox.cloudflare.conftest import PLATFORM_TOKEN, Cloud  # noqa: E402

pytestmark = pytest.mark.asyncio(loop_scope="module")


def sdk(cloud: Cloud, token: str = PLATFORM_TOKEN):  # type: ignore[no-untyped-def]
    trust = ssl.create_default_context(cafile=str(cloud.ca_file))
    return cloudflare.AsyncCloudflare(
        api_token=token, base_url=cloud.base_url, max_retries=0, http_client=httpx.AsyncClient(verify=trust)
    )


async def test_tokens_and_zones(cloud: Cloud) -> None:
    async with sdk(cloud) as client:
        assert (await client.user.tokens.verify()).status == "active"
        zones = [zone async for zone in client.zones.list(name="platform.test")]
        assert [zone.id for zone in zones] == [cloud.platform_zone_id]
        zone = await client.zones.get(zone_id=cloud.platform_zone_id)
        assert (zone.name, zone.status) == ("platform.test", "active")
        assert (await client.dns.dnssec.get(zone_id=zone.id)).status == "active"


async def test_records_of_every_type_that_mail_needs(cloud: Cloud) -> None:
    made = await cloud.customers.create(NewZone(name="sdk.test"))
    zone = made["zone_id"]
    data = {"usage": 3, "selector": 1, "matching_type": 1, "certificate": "ab" * 32}
    async with sdk(cloud, made["token"]) as client:
        records = client.dns.records
        a = await records.create(zone_id=zone, type="A", name="mx.sdk.test", content="198.51.100.1", ttl=60)
        mx = await records.create(
            zone_id=zone, type="MX", name="sdk.test", content="mx.sdk.test", priority=10, ttl=60
        )
        tlsa = await records.create(zone_id=zone, type="TLSA", name="_25._tcp.mx.sdk.test", data=data, ttl=60)
        assert tlsa.data.certificate == "AB" * 32
        assert (mx.priority, mx.content) == (10, "mx.sdk.test")
        edited = await records.edit(
            a.id, zone_id=zone, type="A", name="mx.sdk.test", content="198.51.100.2", ttl=60
        )
        assert edited.content == "198.51.100.2"
        names = {each.type async for each in records.list(zone_id=zone)}
        assert names == {"A", "MX", "TLSA"}
        await records.delete(mx.id, zone_id=zone)
        with pytest.raises(cloudflare.NotFoundError):
            await records.get(mx.id, zone_id=zone)


async def test_a_batch_and_its_refusal(cloud: Cloud) -> None:
    made = await cloud.customers.create(NewZone(name="sdkbatch.test"))
    zone = made["zone_id"]
    async with sdk(cloud, made["token"]) as client:
        done = await client.dns.records.batch(
            zone_id=zone,
            posts=[{"type": "TXT", "name": "sdkbatch.test", "content": '"v=spf1 -all"', "ttl": 60}],
        )
        assert done.posts[0].content == '"v=spf1 -all"'
        with pytest.raises(cloudflare.BadRequestError) as refused:
            await client.dns.records.batch(
                zone_id=zone,
                posts=[{"type": "TXT", "name": "sdkbatch.test", "content": '"v=spf1 -all"', "ttl": 60}],
            )
        assert refused.value.errors[0].code == 81058


async def test_a_foreign_zone_is_forbidden_and_a_wrong_token_refused(cloud: Cloud) -> None:
    made = await cloud.customers.create(NewZone(name="sdkforeign.test"))
    async with sdk(cloud, made["token"]) as client:
        with pytest.raises(cloudflare.PermissionDeniedError):
            await client.zones.get(zone_id=cloud.platform_zone_id)
    async with sdk(cloud, "z" * 40) as client:
        with pytest.raises(cloudflare.PermissionDeniedError):
            await client.zones.get(zone_id=cloud.platform_zone_id)
