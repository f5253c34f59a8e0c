"""Cloudflare's API v4: tokens, zones, records, one atomic batch.
https://developers.cloudflare.com/api/resources/dns/subresources/records/

A record comes as `{id, name, type, content, ttl, proxied, comment, …}`. SRV, CAA and TLSA have to be written as
`data`; a TLSA digest comes back in upper case, TXT data as it was written. A batch is one transaction, carried out
in the order deletes, patches, puts, posts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from pydantic import SecretStr

from services.dns.names import fqdn
from services.dns.ports import (
    Batch,
    ProviderDenied,
    ProviderRefused,
    ProviderUnreachable,
    ProviderZone,
    RecordWrite,
    ZoneUnknown,
)
from services.dns.providers.token_bucket import TokenBucket
from services.dns.records.model import AUTOMATIC_TTL, ActualRecord, normalise, quote_strings
from shared.http.client import AsyncClient, vendor_request
from shared.http.errors import VendorAuthFailed, VendorRateLimited, VendorRejected, VendorUnavailable

VENDOR = "cloudflare"
RECORDS_PER_PAGE = 500
RATE_WINDOW = 300.0  # seconds of the vendor's limit
_MAX_PAGES = 200
_NO_SUCH_ZONE = frozenset({"7003", "1001"})
_BAD_TOKEN = frozenset({"6003", "6103", "6111", "9109", "9106", "10000"})


class Cloudflare:
    """The accounts behind any number of tokens, over one client. Calls of one token share one bucket."""

    def __init__(self, client: AsyncClient, *, requests: int = 1000) -> None:
        self.client = client
        self._requests = requests
        self._buckets: dict[str, TokenBucket] = {}

    def __call__(self, token: SecretStr) -> CloudflareAccount:
        digest = hashlib.sha256(token.get_secret_value().encode()).hexdigest()
        bucket = self._buckets.setdefault(
            digest, TokenBucket(self._requests, RATE_WINDOW, self._requests // 6)
        )
        return CloudflareAccount(self.client, token, bucket)

    async def aclose(self) -> None:
        await self.client.aclose()


class CloudflareAccount:
    """A `DnsProvider`: what one token may do."""

    def __init__(self, client: AsyncClient, token: SecretStr, bucket: TokenBucket) -> None:
        self._client, self._token, self._bucket = client, token, bucket

    async def verify_token(self) -> bool:
        try:
            answer = await self._call("GET", "/user/tokens/verify")
        except ProviderDenied:
            return False
        return bool(answer["result"].get("status") == "active")

    async def find_zone(self, name: str) -> ProviderZone | None:
        answer = await self._call("GET", "/zones", params={"name": name, "per_page": "50"})
        for item in answer["result"]:
            if fqdn(str(item["name"])) == name:
                return ProviderZone(
                    id=str(item["id"]),
                    name=name,
                    active=item.get("status") == "active",
                    status=str(item.get("status", "")),
                    name_servers=tuple(fqdn(server) for server in item.get("name_servers") or ()),
                )
        return None

    async def list_records(self, zone_id: str) -> list[ActualRecord]:
        """All pages. `result_info.total_count` has to agree with what came, or the listing is not believed."""
        records: list[ActualRecord] = []
        for page in range(1, _MAX_PAGES + 1):
            answer = await self._call(
                "GET",
                f"/zones/{zone_id}/dns_records",
                params={"page": str(page), "per_page": str(RECORDS_PER_PAGE)},
            )
            records += [_record(item) for item in answer["result"]]
            info = answer.get("result_info") or {}
            if page >= int(info.get("total_pages") or 1):
                total = info.get("total_count")
                if total is not None and int(total) != len(records):
                    raise ProviderUnreachable("The listing of records was not complete.")
                return records
        raise ProviderRefused("The zone has too many records.")

    async def apply(self, zone_id: str, batch: Batch) -> list[ActualRecord]:
        body = {
            "deletes": [{"id": identifier} for identifier in batch.deletes],
            "patches": [{"id": identifier, **_body(write)} for identifier, write in batch.patches],
            "posts": [_body(write) for write in batch.posts],
        }
        answer = await self._call("POST", f"/zones/{zone_id}/dns_records/batch", body=body)
        written = answer["result"]
        return [_record(item) for kind in ("patches", "puts", "posts") for item in written.get(kind) or ()]

    async def dnssec_active(self, zone_id: str) -> bool:
        answer = await self._call("GET", f"/zones/{zone_id}/dnssec")
        return bool(answer["result"].get("status") == "active")

    async def _call(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None, body: Any = None
    ) -> dict[str, Any]:
        await self._bucket.take()
        headers = {"Authorization": f"Bearer {self._token.get_secret_value()}"}
        try:
            response = await vendor_request(
                self._client,
                method,
                path.lstrip("/"),
                vendor=VENDOR,
                params=params,
                json=body,
                headers=headers,
            )
            answer = response.json()
        except VendorRateLimited as error:
            self._bucket.hold(error.retry_after)
            raise ProviderUnreachable("The provider asks us to wait.", error.retry_after) from error
        except VendorAuthFailed as error:
            raise ProviderDenied("The provider does not accept the token for this.") from error
        except VendorRejected as error:
            raise _refusal(error) from error
        except VendorUnavailable as error:
            raise ProviderUnreachable("The provider does not answer.") from error
        except (ValueError, RecursionError) as error:
            raise ProviderUnreachable("The provider's answer cannot be read.") from error
        if not isinstance(answer, dict) or answer.get("success") is not True or "result" not in answer:
            raise ProviderUnreachable("The provider's answer cannot be read.")
        return answer


def _refusal(error: VendorRejected) -> ProviderRefused | ProviderDenied | ZoneUnknown:
    codes, messages = set(), []
    listed = error.body.get("errors") if isinstance(error.body, dict) else None
    for item in listed if isinstance(listed, list) else ():
        for entry in (item, *(item.get("error_chain") or ())):
            codes.add(str(entry.get("code", "")))
            messages.append(str(entry.get("message", "")))
    reason = "; ".join(dict.fromkeys(message for message in messages if message))[:500]
    if codes & _NO_SUCH_ZONE:
        return ZoneUnknown("The zone is no longer in the account of the token.")
    if codes & _BAD_TOKEN:
        return ProviderDenied("The provider does not accept the token.")
    return ProviderRefused(reason or f"The provider refused with status {error.status}.", error.code or None)


def _record(item: Mapping[str, Any]) -> ActualRecord:
    rdtype = str(item["type"])
    return ActualRecord(
        id=str(item["id"]),
        name=fqdn(str(item["name"])),
        type=rdtype,
        value=normalise(rdtype, _content(rdtype, item)),
        ttl=int(item.get("ttl") or AUTOMATIC_TTL),
        proxied=bool(item.get("proxied")),
        comment=str(item.get("comment") or ""),
    )


def _content(rdtype: str, item: Mapping[str, Any]) -> str:
    """Presentation format. `data` is the source where it is given; `content` of those types is for display."""
    data, content = item.get("data") or {}, str(item.get("content") or "")
    if rdtype == "MX":
        return f"{item.get('priority', data.get('priority', 0))} {content or data.get('target', '')}"
    if rdtype == "SRV" and "target" in data:
        return (
            f"{data.get('priority', 0)} {data.get('weight', 0)} {data.get('port', 0)} {data['target'] or '.'}"
        )
    if rdtype == "TLSA" and "certificate" in data:
        return f"{data['usage']} {data['selector']} {data['matching_type']} {data['certificate']}"
    if rdtype == "CAA" and "value" in data:
        return f"{data.get('flags', 0)} {data['tag']} {quote_strings(str(data['value']))}"
    return content


def _body(write: RecordWrite) -> dict[str, Any]:
    body: dict[str, Any] = {"name": write.name, "type": write.type, "ttl": write.ttl}
    if write.comment is not None:
        body["comment"] = write.comment
    if write.type in {"A", "AAAA", "CNAME"}:
        body["proxied"] = False  # mail hosts have to be reached directly
    return body | _data(write.type, write.value)


def _data(rdtype: str, value: str) -> dict[str, Any]:
    if rdtype == "MX":
        preference, exchange = value.split()
        return {"content": exchange, "priority": int(preference)}
    if rdtype == "TXT":
        return {"content": quote_strings(value)}
    if rdtype == "SRV":
        priority, weight, port, target = value.split()
        return {
            "data": {"priority": int(priority), "weight": int(weight), "port": int(port), "target": target}
        }
    if rdtype == "TLSA":
        usage, selector, matching, certificate = value.split()
        return {
            "data": {
                "usage": int(usage), "selector": int(selector), "matching_type": int(matching),
                "certificate": certificate,
            }
        }  # fmt: skip
    if rdtype == "CAA":
        flags, tag, text = value.split(None, 2)
        return {"data": {"flags": int(flags), "tag": tag, "value": text.strip('"')}}
    return {"content": value}
