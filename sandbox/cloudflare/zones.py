"""Zones and their DNSSEC: creation, activation at the registry, DS."""

from __future__ import annotations

from typing import Any

from sandbox.cloudflare.access import zone_for
from sandbox.cloudflare.books import ZONE_EDIT, Books, Document, Token, new_zone, now
from sandbox.cloudflare.envelope import AUTHENTICATION, ZONE_EXISTS, ApiError, Detail, invalid
from sandbox.cloudflare.publish import Publisher
from sandbox.cloudflare.validate import record_name
from sandbox.dns.tree import NAME_SERVERS

REGISTRY = "test"


class Zones:
    """Zones of all accounts. The registry of ``test.`` takes a delegation, and DS, as soon as Cloudflare asks."""

    def __init__(self, books: Books, publisher: Publisher) -> None:
        self._books = books
        self._publisher = publisher

    async def create(self, token: Token, body: Any) -> Document:
        """POST /zones: a pending zone in the token's account. Raises ApiError."""
        if not isinstance(body, dict) or set(body) - {"name", "account", "type"}:
            raise invalid(9207, "Request body is invalid.")
        account = self._books.account(str((body.get("account") or {}).get("id") or token.account_id))
        if account is None or account["id"] != token.account_id or ZONE_EDIT not in token.permissions:
            raise ApiError(403, Detail(AUTHENTICATION, "Authentication error"))
        return self.add(account, body.get("name"), status="pending")

    def add(self, account: Document, name: Any, *, status: str) -> Document:
        """A zone in the books, not served yet. Raises ApiError."""
        if (
            not isinstance(name, str)
            or name.count(".") < 1
            or not name.lower().rstrip(".").endswith(f".{REGISTRY}")
        ):
            raise ApiError(400, Detail(1049, f"{name} is not a registered domain"))
        zone_name = record_name(name, name.lower().rstrip("."))
        if self._books.zone_named(zone_name) is not None:
            raise ApiError(400, Detail(ZONE_EXISTS, f"{zone_name} already exists"))
        servers = [server.rstrip(".") for server in NAME_SERVERS]
        zone = new_zone(zone_name, account, servers, status=status)
        self._books.add_zone(zone)
        return zone

    async def activate(self, token: Token, zone_id: str) -> Document:
        """PUT activation_check: the registry has our name servers now, the zone becomes active."""
        zone = zone_for(self._books, token, zone_id, ZONE_EDIT)
        return await self.serve(zone, secure=False)

    async def serve(self, zone: Document, *, secure: bool) -> Document:
        """Delegate a zone and serve what is in the books."""
        if not self._publisher.tree.has_zone(zone["name"]):
            await self._publisher.tree.create_zone(zone["name"], secure=secure)
        await self._publisher.publish(zone["name"], [], self._books.records(zone["id"]))
        zone = zone | {
            "status": "active",
            "activated_on": zone["activated_on"] or now(),
            "modified_on": now(),
        }
        self._books.add_zone(zone)
        return zone

    async def delete(self, token: Token, zone_id: str) -> Document:
        """DELETE /zones/{id}: books, zone and delegation go."""
        zone = zone_for(self._books, token, zone_id, ZONE_EDIT)
        if self._publisher.tree.has_zone(zone["name"]):
            await self._publisher.tree.delete_zone(zone["name"])
        self._books.remove_zone(zone_id)
        return {"id": zone_id}

    async def dnssec(self, zone: Document) -> Document:
        """GET dnssec: keys and the state that the parent shows."""
        tree = self._publisher.tree
        if not tree.has_zone(zone["name"]):
            return {"status": "disabled", "flags": None, "algorithm": None, "ds": None, "modified_on": None}
        secure = await tree.is_secure(zone["name"])
        ds = (await tree.ds(zone["name"]))[0]
        tag, algorithm, digest_type, digest = ds.split()
        flags, _, _, public_key = (await tree.public_key(zone["name"])).split(None, 3)
        return {
            "status": "active" if secure else "disabled",
            "flags": int(flags),
            "algorithm": algorithm,
            "key_type": "ECDSAP256SHA256",
            "digest_type": digest_type,
            "digest_algorithm": "SHA256",
            "digest": digest.upper(),
            "ds": f"{zone['name']}. 3600 IN DS {tag} {algorithm} {digest_type} {digest.upper()}",
            "key_tag": int(tag),
            "public_key": public_key,
            "modified_on": zone["modified_on"],
            "dnssec_multi_signer": False,
            "dnssec_presigned": False,
            "dnssec_use_nsec3": False,
        }

    async def edit_dnssec(self, zone: Document, body: Any) -> Document:
        """PATCH dnssec ``{"status": "active"|"disabled"}``: the registry follows, the answer is one step behind."""
        status = body.get("status") if isinstance(body, dict) else None
        if status not in ("active", "disabled"):
            raise invalid(9207, "status must be active or disabled.")
        before = await self.dnssec(zone)
        if before["ds"] is None:
            raise ApiError(400, Detail(1201, "The zone is not active yet."))
        if before["status"] == status:
            return before
        await self._publisher.tree.delegate(zone["name"], secure=status == "active")
        shown = "pending" if status == "active" else "pending-disabled"
        return (await self.dnssec(zone)) | {"status": shown}
