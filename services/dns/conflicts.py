"""When a record of the zone's owner stands in the way of one of ours: which kind of conflict, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.dns.records import dmarc, spf
from services.dns.records.model import ActualRecord, DesiredRecord


@dataclass(frozen=True, slots=True)
class Conflict:
    """`id` is stable while the conflict lasts. `acceptable`: its owner may accept `proposed`, which replaces the
    value of `target`; any other conflict is settled by its owner in the zone itself."""

    id: str
    kind: str
    record: DesiredRecord
    present: tuple[str, ...]
    explanation: str
    next_action: str
    acceptable: bool = False
    proposed: str | None = None
    target: ActualRecord | None = None


def conflict_with(
    record: DesiredRecord,
    at_name: Sequence[ActualRecord],
    includes: Mapping[str, str],
    *,
    ours_is_there: bool = False,
) -> Conflict | None:
    """The conflict of `record` with the foreign records at its name, or None. An equal record is no conflict and is
    not given here. `ours_is_there`: our own record stands beside them already."""
    alias = [item for item in at_name if item.type == "CNAME"]
    if record.type == "CNAME" and at_name:
        return _in_the_way("name_taken", record, at_name, "The name is used for something else.")
    if alias:
        return _in_the_way(
            "alias_in_the_way", record, alias, "The name is an alias, and an alias stands alone."
        )
    rivals = _rivals(record, at_name)
    if not rivals:
        return None
    if record.purpose == "spf" and not ours_is_there and len(rivals) == 1:
        return _spf_merge(record, rivals[0], includes)
    kind, why = _KINDS.get(record.type, _KINDS["TXT"])
    if record.purpose == "spf":
        kind, why = "spf_exists_twice", "A name may have one SPF record; with two, receivers ignore both."
    elif record.purpose == "dmarc":
        kind, why = "dmarc_exists", "A domain has one DMARC record; with two, receivers ignore both."
    return _in_the_way(kind, record, rivals, why)


_KINDS = {
    "MX": ("mx_exists", "Mail for the domain goes to another server; beside it, ours would get only a part."),
    "SRV": ("srv_exists", "Mail clients are led to another server."),
    "A": ("address_exists", "The name has another address."),
    "AAAA": ("address_exists", "The name has another address."),
    "TLSA": ("tlsa_exists", "Another key is published for the name."),
    "TXT": ("record_exists", "A record of this kind is there already, and only one may be."),
}

# TXT records of one family, by the beginning of their data: two of them at one name are an error to readers.
_FAMILIES = {"mta-sts": "v=stsv1", "tls-rpt": "v=tlsrptv1"}


def _rivals(record: DesiredRecord, at_name: Sequence[ActualRecord]) -> list[ActualRecord]:
    same_type = [item for item in at_name if item.type == record.type and item.value != record.value]
    if record.type == "CAA":
        return []  # a set of permissions: others may stand beside ours
    if record.type != "TXT":
        return same_type
    if record.purpose in {"spf", "host-spf"}:
        return [item for item in same_type if spf.is_spf(item.value)]
    if record.purpose in {"dmarc", "dmarc-report"}:
        return [item for item in same_type if dmarc.is_dmarc(item.value)]
    family = _FAMILIES.get(record.purpose)
    if family is None:
        return same_type  # a DKIM selector has one record
    return [item for item in same_type if item.value.replace(" ", "").lower().startswith(family)]


def _spf_merge(record: DesiredRecord, present: ActualRecord, includes: Mapping[str, str]) -> Conflict:
    hostname = spf.terms(record.value)[0].argument
    why = "The domain has an SPF record. Our server can be added to it; everything in it stays."
    try:
        proposed = spf.merge(present.value, hostname, includes)
    except spf.SpfTooManyLookups as error:
        return _in_the_way("spf_too_many_lookups", record, [present], str(error))
    if len(proposed) > 450:  # RFC 7208 section 3.4: the answer should fit into 512 octets
        return _in_the_way("spf_too_long", record, [present], "The merged SPF record would be too long.")
    return Conflict(
        id=f"spf_merge:{record.name}",
        kind="spf_merge",
        record=record,
        present=(present.value,),
        explanation=why,
        next_action="Accept the merged record when you apply the plan, or change the record yourself.",
        acceptable=True,
        proposed=proposed,
        target=present,
    )


def _in_the_way(
    kind: str, record: DesiredRecord, present: Sequence[ActualRecord], explanation: str
) -> Conflict:
    return Conflict(
        id=f"{kind}:{record.name}",
        kind=kind,
        record=record,
        present=tuple(f"{item.type} {item.value}" for item in present),
        explanation=explanation,
        next_action="Change or remove the present record at your DNS provider if it is no longer needed.",
    )
