"""Changes of a zone's records: all of one request are checked against a copy, then take effect together."""

from __future__ import annotations

from typing import Any

from sandbox.cloudflare.books import new_id, now
from sandbox.cloudflare.envelope import (
    CNAME_CONFLICT,
    HOST_CONFLICT,
    IDENTICAL_RECORD,
    NO_SUCH_RECORD,
    RECORD_EXISTS,
    ApiError,
    Detail,
    invalid,
)
from sandbox.cloudflare.validate import STRUCTURED, normalise

Record = dict[str, Any]
BATCH_MAX = 200
SET_MAX_CHARACTERS = 8192


class Edit:
    """The records of one zone while a request changes them. Every method raises ApiError."""

    def __init__(self, zone: Record, records: list[Record]) -> None:
        self._zone = zone
        self.records = {each["id"]: each for each in records}

    def post(self, body: Any) -> Record:
        """Add a record."""
        stamp = now()
        made = {"id": new_id(), "zone_id": self._zone["id"]} | normalise(body, self._zone["name"])
        made |= {"meta": {}, "created_on": stamp, "modified_on": stamp}
        return self._put(made)

    def put(self, record_id: Any, body: Any) -> Record:
        """Replace a record whole: what is not given goes back to its default."""
        return self._replace(self._existing(record_id), body)

    def patch(self, record_id: Any, body: Any) -> Record:
        """Change the given fields of a record."""
        old = self._existing(record_id)
        if not isinstance(body, dict):
            raise invalid(9207, "Request body is invalid.")
        fields = (
            "name",
            "type",
            "content",
            "data",
            "priority",
            "ttl",
            "proxied",
            "comment",
            "tags",
            "settings",
        )
        return self._replace(old, {k: old[k] for k in fields if k in old} | body)

    def delete(self, record_id: Any) -> Record:
        """Remove a record; gives it as it was."""
        old = self._existing(record_id)
        del self.records[old["id"]]
        return old

    def batch(self, body: Any) -> dict[str, list[Record]]:
        """Deletes, patches, puts, posts, in this order whatever the order in the body; all or none."""
        if not isinstance(body, dict) or set(body) - {"deletes", "patches", "puts", "posts"}:
            raise invalid(
                9207, "Request body is invalid: deletes, patches, puts and posts are the only fields."
            )
        groups = {key: body.get(key) or [] for key in ("deletes", "patches", "puts", "posts")}
        if any(not isinstance(group, list) for group in groups.values()):
            raise invalid(9207, "Request body is invalid: each group is a list.")
        count = sum(len(group) for group in groups.values())
        if not 0 < count <= BATCH_MAX:
            raise invalid(9207, f"A batch holds between 1 and {BATCH_MAX} operations on this plan.")
        if any(not isinstance(each, dict) for group in groups.values() for each in group):
            raise invalid(9207, "Request body is invalid: each operation is an object.")
        return {
            "deletes": [self.delete(each.get("id")) for each in groups["deletes"]],
            "patches": [self.patch(each.get("id"), _without_id(each)) for each in groups["patches"]],
            "puts": [self.put(each.get("id"), _without_id(each)) for each in groups["puts"]],
            "posts": [self.post(each) for each in groups["posts"]],
        }

    def _existing(self, record_id: Any) -> Record:
        found = self.records.get(record_id) if isinstance(record_id, str) else None
        if found is None:
            raise ApiError(404, Detail(NO_SUCH_RECORD, "Record does not exist."))
        return found

    def _replace(self, old: Record, body: Any) -> Record:
        made = {"id": old["id"], "zone_id": old["zone_id"]} | normalise(body, self._zone["name"])
        made |= {"meta": old["meta"], "created_on": old["created_on"], "modified_on": now()}
        return self._put(made)

    def _put(self, made: Record) -> Record:
        others = [r for r in self.records.values() if r["id"] != made["id"] and r["name"] == made["name"]]
        for other in others:
            _refuse_conflict(made, other)
        same_type = sum(len(r["content"]) for r in others if r["type"] == made["type"])
        if same_type + len(made["content"]) > SET_MAX_CHARACTERS:
            raise invalid(
                9210, f"All {made['type']} records of a name hold {SET_MAX_CHARACTERS} characters at most."
            )
        self.records[made["id"]] = made
        return made


def _refuse_conflict(made: Record, other: Record) -> None:
    same_type = made["type"] == other["type"]
    if same_type and made["content"] == other["content"] and made.get("priority") == other.get("priority"):
        if made["type"] in STRUCTURED:
            raise ApiError(400, Detail(RECORD_EXISTS, "The record already exists."))
        raise ApiError(400, Detail(IDENTICAL_RECORD, "An identical record already exists."))
    if made["type"] == "CNAME":
        message = "An A, AAAA, or CNAME record with that host already exists."
        raise ApiError(400, Detail(HOST_CONFLICT, message))
    if other["type"] == "CNAME":
        code = HOST_CONFLICT if made["type"] in ("A", "AAAA") else CNAME_CONFLICT
        message = "An A, AAAA, or CNAME record with that host already exists."
        if code == CNAME_CONFLICT:
            message = "A CNAME record with that host already exists."
        raise ApiError(400, Detail(code, message))


def _without_id(body: Record) -> Record:
    return {key: value for key, value in body.items() if key != "id"}
