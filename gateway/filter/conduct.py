"""How a sender behaves: what each answer says of him, and what of it is told to whom."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from gateway.authorize import Principal
from gateway.filter.honeytokens import Honeytokens, is_trap
from gateway.filter.ladder import Due, Ladder, Rung, network_of, sender_of
from gateway.filter.threats import Threat, ThreatLog
from gateway.settings import GatewaySettings
from gateway.trail import Trail
from shared.contracts.gateway_events import ThreatAction, ThreatKind

MAX_KEYS: Final = 10_000
MAX_NETWORKS: Final = 16

# Points for one answer; 40 lead to a delay, 80 to a challenge, 160 to a block (ladder.py).
SUSPICIOUS: Final = 10.0
POINTS: Final[dict[int, tuple[float, ThreatKind]]] = {
    400: (2.0, "malformed"),
    401: (1.0, "failed_sign_in"),
    404: (2.0, "probing"),
    405: (1.0, "probing"),
    413: (1.0, "malformed"),
    414: (2.0, "malformed"),
    415: (1.0, "malformed"),
    422: (1.0, "malformed"),
    429: (1.0, "probing"),
    431: (2.0, "malformed"),
}
CREDIT: Final = 0.5
_EVERYDAY: Final = ("malformed", "failed_sign_in", "probing")
_ACTIONS: Final[dict[Rung | None, ThreatAction]] = {
    None: "observed",
    Rung.OBSERVE: "observed",
    Rung.DELAY: "delayed",
    Rung.CHALLENGE: "challenged",
    Rung.BLOCK: "blocked",
}


class Conduct:
    """`due` before a request, `note` after its answer. An address is only known behind the web server, which sets it;
    without one nobody is judged by where he comes from."""

    def __init__(self, settings: GatewaySettings, threats: ThreatLog) -> None:
        self._ladder = Ladder(settings.block_seconds)
        self._threats = threats
        self._honeytokens = Honeytokens(settings.honeytoken_digests_file)
        self._networks: OrderedDict[str, set[str]] = OrderedDict()

    def due(self, trail: Trail) -> Due:
        sender = _sender(trail)
        return Due(Rung.OBSERVE) if sender is None else self._ladder.due(sender)

    def note(self, trail: Trail, status: int, raw_path: bytes) -> None:
        """Counts what one answer says of its sender."""
        # A credential that is refused is no word of its owner: who stole it may go on using it.
        sender = sender_of(None, trail.client_ip) if status == 401 else _sender(trail)
        if trail.judged or sender is None:
            return
        if trail.suspicion:
            self._count(trail, sender, "signature", SUSPICIOUS)
        if status < 400:
            self._ladder.credit(sender, CREDIT)
            if trail.principal is not None and trail.principal.kind == "api_key":
                self._note_network(trail, trail.principal)
            return
        if status in (400, 404) and trail.route is None and is_trap(raw_path):
            self._spring(trail, sender)
            return
        points, kind = POINTS.get(status, (0.0, "probing"))
        if status == 404 and not self._ladder.is_new(sender, raw_path):
            return
        if status == 404 and trail.principal and trail.asked_workspace and not trail.workspace_id:
            kind = "stranger"
        if points:
            self._count(trail, sender, kind, points)

    def is_honeytoken(self, trail: Trail, credential: bytes) -> bool:
        """A key that lies about for thieves. Whoever shows it is blocked, by address."""
        if not self._honeytokens.is_key(credential):
            return False
        sender = _sender(trail)
        if sender is not None:
            self._spring(trail, sender)
        trail.judged = True
        return True

    def _spring(self, trail: Trail, sender: str) -> None:
        """A trap: no counting any more."""
        self._ladder.block(sender)
        self._tell(trail, "honeytoken", "blocked")

    def _count(self, trail: Trail, sender: str, kind: ThreatKind, points: float) -> None:
        higher = self._ladder.add(sender, points)
        if higher is None and kind in _EVERYDAY:
            return  # everybody mistypes; it is told once it leads to something
        self._tell(trail, kind, _ACTIONS[higher])

    def _tell(self, trail: Trail, kind: ThreatKind, action: ThreatAction) -> None:
        """To the workspace that it concerns, if there is one. Its own people and keys are named with their address,
        strangers with a network only."""
        principal, address = trail.principal, trail.client_ip
        own = trail.workspace_id is not None
        workspace_id = trail.workspace_id or (trail.asked_workspace if kind == "stranger" else None)
        source = "unknown" if address is None else address if own else network_of(address)
        subject = principal.subject if own and principal is not None else None
        route = f"{trail.route.method} {trail.route.path}" if trail.route else None
        self._threats.add(Threat(workspace_id, kind, action, source, subject, route), trail.suspicion)

    def _note_network(self, trail: Trail, key: Principal) -> None:
        """A key that is suddenly used from elsewhere may have been stolen. The first network of a key is learnt."""
        if trail.client_ip is None or key.key_id is None:
            return
        network = network_of(trail.client_ip)
        known = self._networks.setdefault(key.key_id, set())
        self._networks.move_to_end(key.key_id)
        if network in known:
            return
        if known:
            self._tell(trail, "new_network", "observed")
        if len(known) < MAX_NETWORKS:
            known.add(network)
        if len(self._networks) > MAX_KEYS:
            self._networks.popitem(last=False)


def _sender(trail: Trail) -> str | None:
    return sender_of(None, trail.client_ip) if trail.principal is None else trail.principal.subject
