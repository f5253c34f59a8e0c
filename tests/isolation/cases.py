"""Every route of the table as a case of the isolation tests."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.routes import RouteTable
from gateway.settings import GatewaySettings
from tests.isolation.services import available

TABLE = RouteTable.load(GatewaySettings.model_fields["permissions_file"].default)


@dataclass(frozen=True)
class Case:
    service: str
    method: str
    path: str

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def route(self) -> tuple[str, str]:
        return self.method, self.path

    @property
    def parameters(self) -> list[str]:
        return [part[1:-1] for part in self.path.split("/") if part.startswith("{")]

    @property
    def public(self) -> bool:
        """Open to everybody: whom it refuses, the service refuses."""
        return any(
            (each.method, each.path) == self.route and each.access == "public" for each in TABLE.routes
        )

    @property
    def of_workspace(self) -> bool:
        return "workspace_id" in self.parameters

    @property
    def thing(self) -> str | None:
        """The parameter that names something inside the workspace, or of the person."""
        named = [name for name in self.parameters if name != "workspace_id"]
        assert len(named) <= 1, f"{self.name}: say in this test which id is whose"
        return named[0] if named else None

    def at(self, workspace_id: str, thing_id: str | None) -> str:
        path = self.path.replace("{workspace_id}", workspace_id)
        return path.replace("{" + self.thing + "}", thing_id or "") if self.thing else path


CASES = [
    Case(route.service, route.method, route.path) for route in TABLE.routes if route.service in available()
]
