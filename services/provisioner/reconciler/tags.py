"""The tags on everything we make at a cloud. Never built from anything a user has typed."""

from __future__ import annotations

from collections.abc import Iterable

from services.provisioner.models import CloudResource


def environment(name: str) -> str:
    return f"sc-env:{name}"


def server(server_id: str) -> str:
    return f"sc-srv:{server_id}"


def resource(resource_id: str) -> str:
    return f"sc-res:{resource_id}"


def of(environment_name: str, row: CloudResource) -> tuple[str, ...]:
    """All tags of one try to make `row`."""
    return (
        "sendchief",
        environment(environment_name),
        server(row.server_id),
        resource(row.id),
        f"sc-att:{row.attempt}",
    )


def value(tags: Iterable[str], key: str) -> str | None:
    """`value(tags, "sc-res")`; None unless exactly one tag has the key."""
    found = [tag.partition(":")[2] for tag in tags if tag.partition(":")[0] == key]
    return found[0] if len(found) == 1 else None
