"""What Cloudflare knows: accounts, tokens, zones and records."""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sandbox.store import Store

Document = dict[str, Any]
ZONE_READ, ZONE_EDIT, DNS_READ, DNS_EDIT = "zone:read", "zone:edit", "dns:read", "dns:edit"
CUSTOMER_PERMISSIONS = (ZONE_READ, DNS_READ, DNS_EDIT)


@dataclass(frozen=True)
class Token:
    """An API token. `zones` None = every zone of the account. Its value is kept as a hash only."""

    id: str
    account_id: str
    zones: tuple[str, ...] | None
    permissions: tuple[str, ...]
    status: str
    expires_on: str | None
    name: str

    def may(self, permission: str, zone: Document) -> bool:
        """True when this token gives `permission` on `zone`."""
        return (
            permission in self.permissions
            and zone["account"]["id"] == self.account_id
            and (self.zones is None or zone["id"] in self.zones)
        )


class Books:
    """The vendor's state in one store; ids are 32 hex characters as in the real API."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def create_account(self, name: str, *, account_id: str | None = None) -> Document:
        account = {"id": account_id or new_id(), "name": name}
        self.store.put("account", account["id"], account)
        return account

    def account(self, account_id: str) -> Document | None:
        return self.store.get("account", account_id)

    def create_token(
        self,
        account_id: str,
        *,
        name: str,
        zones: Iterable[str] | None,
        permissions: Iterable[str] = CUSTOMER_PERMISSIONS,
        value: str | None = None,
        expires_on: str | None = None,
    ) -> tuple[Token, str]:
        """A token and its value, which is not kept. Give `value` to install one that exists elsewhere."""
        value = value or secrets.token_urlsafe(30)
        token = Token(
            new_id(),
            account_id,
            None if zones is None else tuple(zones),
            tuple(permissions),
            "active",
            expires_on,
            name,
        )
        self.store.put("token", _digest(value), token.__dict__ | {"created_on": now()})
        return token, value

    def token(self, value: str) -> Token | None:
        """The token with this value, whatever its status."""
        found = self.store.get("token", _digest(value))
        return None if found is None else _token(found)

    def set_token_status(self, token_id: str, status: str) -> None:
        """``active``, ``disabled`` or ``expired``. Raises KeyError."""
        for key, body in self.store_items("token"):
            if body["id"] == token_id:
                self.store.put("token", key, body | {"status": status})
                return
        raise KeyError(token_id)

    def store_items(self, kind: str) -> list[tuple[str, Document]]:
        return self.store.items(kind)

    def add_zone(self, zone: Document) -> None:
        self.store.put("zone", zone["id"], zone)

    def zone(self, zone_id: str) -> Document | None:
        return self.store.get("zone", zone_id)

    def zone_named(self, name: str) -> Document | None:
        return next((zone for zone in self.zones() if zone["name"] == name), None)

    def zones(self) -> list[Document]:
        return self.store.list("zone")

    def remove_zone(self, zone_id: str) -> None:
        with self.store.transaction():
            self.store.delete("zone", zone_id)
            for record in self.records(zone_id):
                self.store.delete("record", record["id"])

    def records(self, zone_id: str) -> list[Document]:
        """The records of a zone as stored: the API's fields and ``zone_id``."""
        return [each for each in self.store.list("record") if each["zone_id"] == zone_id]

    def replace_records(self, zone_id: str, records: dict[str, Document]) -> None:
        """Make `records` (by id) the whole content of the zone, in one transaction."""
        with self.store.transaction():
            before = {each["id"]: each for each in self.records(zone_id)}
            for record_id in before.keys() - records.keys():
                self.store.delete("record", record_id)
            for record_id, record in records.items():
                if before.get(record_id) != record:
                    self.store.put("record", record_id, record)

    def view(self) -> Document:
        """The books for the control API: no token values."""
        return {
            "accounts": self.store.list("account"),
            "tokens": [vars(_token(body)) for body in self.store.list("token")],
            "zones": [zone | {"records": self.records(zone["id"])} for zone in self.zones()],
        }


def new_id() -> str:
    return secrets.token_hex(16)


def now() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def new_zone(name: str, account: Document, name_servers: Iterable[str], *, status: str) -> Document:
    """A zone as the API shows it, on the free plan."""
    stamp = now()
    return {
        "id": new_id(),
        "name": name,
        "status": status,
        "paused": False,
        "type": "full",
        "development_mode": 0,
        "name_servers": list(name_servers),
        "original_name_servers": None,
        "original_registrar": None,
        "original_dnshost": None,
        "created_on": stamp,
        "modified_on": stamp,
        "activated_on": stamp if status == "active" else None,
        "meta": {"step": 2, "custom_certificate_quota": 0, "page_rule_quota": 3, "phishing_detected": False},
        "owner": {"id": None, "type": "user", "email": None},
        "account": {"id": account["id"], "name": account["name"]},
        "tenant": {"id": None, "name": None},
        "tenant_unit": {"id": None},
        "permissions": ["#dns_records:edit", "#dns_records:read", "#zone:read"],
        "plan": {
            "id": "0feeeeeeeeeeeeeeeeeeeeeeeeeeeeee",
            "name": "Free Website",
            "price": 0,
            "currency": "USD",
            "frequency": "",
            "is_subscribed": False,
            "can_subscribe": False,
            "legacy_id": "free",
            "legacy_discount": False,
            "externally_managed": False,
        },
    }


def _token(body: Document) -> Token:
    return Token(
        id=body["id"],
        account_id=body["account_id"],
        zones=None if body["zones"] is None else tuple(body["zones"]),
        permissions=tuple(body["permissions"]),
        status=body["status"],
        expires_on=body["expires_on"],
        name=body["name"],
    )


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()
