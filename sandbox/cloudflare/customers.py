"""Other people's side of Cloudflare: an account with a zone and records of their own, and a token for it."""

from __future__ import annotations

import asyncio
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from sandbox.cloudflare.books import CUSTOMER_PERMISSIONS, ZONE_EDIT, Books, Document
from sandbox.cloudflare.edit import Edit
from sandbox.cloudflare.publish import Publisher
from sandbox.cloudflare.zones import Zones


class NewZone(BaseModel):
    """A customer's zone. `records` as for POST dns_records; `secure`: the registry has its DS."""

    model_config = ConfigDict(extra="forbid")

    name: str
    records: list[dict[str, Any]] = Field(default_factory=list)
    secure: bool = True
    account_name: str = "Customer"


class Customers:
    """Makes zones that are active at once, as if they had been there for years."""

    def __init__(self, books: Books, publisher: Publisher) -> None:
        self._books = books
        self._publisher = publisher
        self._zones = Zones(books, publisher)
        self._write = asyncio.Lock()

    async def create(self, wanted: NewZone) -> Document:
        """Account, active zone, records and a token for this zone only. Raises ApiError; nothing is left then."""
        account = self._books.create_account(wanted.account_name)
        zone = self._zones.add(account, wanted.name, status="active")
        try:
            records = await self.add_records(zone["id"], wanted.records, serve=False)
            await self._zones.serve(zone, secure=wanted.secure)
        except Exception:
            self._books.remove_zone(zone["id"])
            raise
        token, value = self._books.create_token(
            account["id"], name=f"{zone['name']} DNS", zones=[zone["id"]], permissions=CUSTOMER_PERMISSIONS
        )
        return {
            "zone_id": zone["id"],
            "name": zone["name"],
            "account_id": account["id"],
            "token": value,
            "token_id": token.id,
            "name_servers": zone["name_servers"],
            "records": records,
        }

    async def add_records(
        self, zone_id: str, bodies: list[dict[str, Any]], *, serve: bool = True
    ) -> list[Document]:
        """Records made by somebody else. Raises ApiError, KeyError."""
        zone = self._books.zone(zone_id)
        if zone is None:
            raise KeyError(zone_id)
        async with self._write:
            before = self._books.records(zone_id)
            edit = Edit(zone, before)
            made = [edit.post(body) for body in bodies]
            if serve:
                await self._publisher.publish(zone["name"], before, edit.records.values())
            self._books.replace_records(zone_id, edit.records)
        return made

    async def remove(self, zone_id: str) -> Document:
        """The zone is gone, its delegation too. Raises KeyError."""
        zone = self._books.zone(zone_id)
        if zone is None:
            raise KeyError(zone_id)
        if self._publisher.tree.has_zone(zone["name"]):
            await self._publisher.tree.delete_zone(zone["name"])
        self._books.remove_zone(zone_id)
        return {"id": zone_id}

    async def ensure_platform(self, name: str, account_id: str, token: str) -> Document:
        """The platform's own account, zone and account-wide token, made at the first start. Gives the zone."""
        account = self._books.account(account_id) or self._books.create_account(
            "SendChief", account_id=account_id
        )
        if self._books.token(token) is None:
            permissions = (*CUSTOMER_PERMISSIONS, ZONE_EDIT)
            self._books.create_token(
                account_id, name="platform", zones=None, permissions=permissions, value=token
            )
        zone = self._books.zone_named(name)
        if zone is None:
            zone = self._zones.add(account, name, status="active")
        if not self._publisher.tree.has_zone(name):
            await self._zones.serve(zone, secure=True)
        return zone
