"""Security groups and their rules. What is played for real is one thing: the ban on outgoing mail."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from sandbox.scaleway.errors import precondition_failed
from sandbox.scaleway.power import Power
from sandbox.scaleway.projects import own_project, owner_fields
from sandbox.scaleway.routing import Call, Routing, instance_page
from sandbox.scaleway.world import SECURITY_GROUP, SERVER, World, new_id, now, with_tags
from sandbox.store import Document

Policy = Literal["accept", "drop"]
MAIL_PORTS = (25, 465, 587)


class CreateSecurityGroup(BaseModel):
    name: str = Field(min_length=1)
    description: str = ""
    project: str | None = None
    organization: str | None = None
    tags: list[str] = []
    stateful: bool = True
    inbound_default_policy: Policy = "accept"
    outbound_default_policy: Policy = "accept"
    enable_default_security: bool = True


class UpdateSecurityGroup(BaseModel):
    name: str | None = None
    description: str | None = None
    tags: list[str] | None = None
    stateful: bool | None = None
    inbound_default_policy: Policy | None = None
    outbound_default_policy: Policy | None = None
    enable_default_security: bool | None = None


class Rule(BaseModel):
    protocol: Literal["TCP", "UDP", "ICMP", "ANY"]
    direction: Literal["inbound", "outbound"]
    action: Policy
    ip_range: str
    dest_port_from: int | None = Field(default=None, ge=0, le=65535)
    dest_port_to: int | None = Field(default=None, ge=0, le=65535)
    position: int | None = None


class SetRules(BaseModel):
    rules: list[Rule]


class SecurityGroups:
    def __init__(self, world: World, routing: Routing, power: Power) -> None:
        self._world = world
        self._power = power
        zone = "/instance/v1/zones/{zone}/security_groups"
        routing.add("GET", zone, "security_groups.list", self.list_all)
        routing.add("POST", zone, "security_groups.create", self.create)
        routing.add("GET", f"{zone}/{{id}}", "security_groups.get", self.get)
        routing.add("PATCH", f"{zone}/{{id}}", "security_groups.update", self.update)
        routing.add("DELETE", f"{zone}/{{id}}", "security_groups.delete", self.delete)
        routing.add("GET", f"{zone}/{{id}}/rules", "security_groups.rules.list", self.rules)
        routing.add("PUT", f"{zone}/{{id}}/rules", "security_groups.rules.set", self.set_rules)

    async def list_all(self, call: Call) -> Response:
        default_group(self._world, call.zone)
        found = with_tags(self._world.in_zone(SECURITY_GROUP, call.zone), call.query("tags"))
        for field in ("project", "organization"):
            if call.query(field):
                found = [each for each in found if each[field] == call.query(field)]
        if call.query("name"):
            found = [each for each in found if str(call.query("name")) in each["name"]]
        return instance_page(call, "security_groups", [self._render(each) for each in found])

    async def create(self, call: Call) -> Response:
        body = await call.body(CreateSecurityGroup)
        own_project(self._world, body.project, body.organization)
        fields = body.model_dump(exclude={"project", "organization"})
        document = self._world.save(
            SECURITY_GROUP, self._allowed({**_empty(self._world, call.zone), **fields})
        )
        return JSONResponse(
            {"security_group": self._render(document)},
            201,
            headers={"Location": f"{call.request.url.path}/{document['id']}"},
        )

    async def get(self, call: Call) -> Response:
        return JSONResponse({"security_group": self._render(self._find(call))})

    async def update(self, call: Call) -> Response:
        document = self._find(call)
        document.update((await call.body(UpdateSecurityGroup)).model_dump(exclude_none=True))
        self._world.save(SECURITY_GROUP, self._allowed(document))
        for server in self._servers(document):
            await self._power.apply_mail_filter(server)
        return JSONResponse({"security_group": self._render(document)})

    async def delete(self, call: Call) -> Response:
        document = self._find(call)
        if document["project_default"] or self._servers(document):
            raise precondition_failed("the security group is the project's default or has servers")
        self._world.store.delete(SECURITY_GROUP, document["id"])
        return Response(status_code=204)

    async def rules(self, call: Call) -> Response:
        return instance_page(call, "rules", self._rules(self._find(call)))

    async def set_rules(self, call: Call) -> Response:
        """Replaces all of the customer's rules; those of the cloud stay."""
        document = self._find(call)
        body = await call.body(SetRules)
        document["rules"] = [
            {**each.model_dump(), "id": new_id(), "position": each.position or position}
            for position, each in enumerate(body.rules, start=1)
        ]
        self._world.save(SECURITY_GROUP, document)
        return JSONResponse({"rules": self._rules(document)})

    def _find(self, call: Call) -> Document:
        return self._world.find(SECURITY_GROUP, call.zone, call.path("id"))

    def _allowed(self, document: Document) -> Document:
        """An organization that has not passed the check gets the ban without being told."""
        if not self._world.settings.smtp_unlocked:
            document["enable_default_security"] = True
        return document

    def _servers(self, document: Document) -> list[Document]:
        return [each for each in self._world.store.list(SERVER) if each["security_group"] == document["id"]]

    def _rules(self, document: Document) -> list[dict[str, Any]]:
        own = [
            {**each, "dest_ip_range": None, "editable": True, "zone": document["zone"]}
            for each in document["rules"]
        ]
        return [*(default_rules(document["zone"]) if document["enable_default_security"] else []), *own]

    def _render(self, document: Document) -> dict[str, Any]:
        servers = [{"id": each["id"], "name": each["name"]} for each in self._servers(document)]
        shown = {key: value for key, value in document.items() if key != "rules"}
        return {**shown, "servers": servers, "state": "available"}


def default_rules(zone: str) -> list[dict[str, Any]]:
    """The six rules that the cloud adds: no mail out over IPv4 and IPv6."""
    places = [(network, port) for network in ("0.0.0.0/0", "::/0") for port in MAIL_PORTS]
    return [
        {
            "id": f"11111111-2222-4333-8444-{number:012d}",
            "protocol": "TCP",
            "direction": "outbound",
            "action": "drop",
            "ip_range": network,
            "dest_ip_range": None,
            "dest_port_from": port,
            "dest_port_to": None,
            "position": number,
            "editable": False,
            "zone": zone,
        }
        for number, (network, port) in enumerate(places, start=1)
    ]


def default_group(world: World, zone: str) -> Document:
    """The project's default group of a zone, made when it is first looked at."""
    for each in world.in_zone(SECURITY_GROUP, zone):
        if each["project_default"]:
            return each
    fields = {"name": "Default security group", "project_default": True, "organization_default": True}
    return world.save(SECURITY_GROUP, {**_empty(world, zone), **fields})


def _empty(world: World, zone: str) -> Document:
    return {
        "id": new_id(),
        "zone": zone,
        "name": "",
        "description": "",
        "tags": [],
        "stateful": True,
        "inbound_default_policy": "accept",
        "outbound_default_policy": "accept",
        "enable_default_security": True,
        "project_default": False,
        "organization_default": False,
        "creation_date": now(),
        "rules": [],
        **owner_fields(world),
    }
