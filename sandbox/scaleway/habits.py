"""Small misbehaviours that are on by default: what the real cloud shows on an ordinary day."""

from __future__ import annotations

from sandbox.faults import Fault, Habit

VENDOR = "scaleway"

HABITS: tuple[Habit, ...] = (
    Habit(
        VENDOR,
        "servers.create",
        3,
        Fault("error_after_commit", status=504),
        "one server creation in 3 happens and its answer is lost (504)",
    ),
    Habit(
        VENDOR,
        "ips.create",
        5,
        Fault("error_after_commit", status=500),
        "one address reservation in 5 happens and its answer is lost (500)",
    ),
    Habit(VENDOR, "ips.list", 9, Fault("error_before", status=503), "one list of addresses in 9 answers 503"),
    Habit(
        VENDOR, "servers.get", 13, Fault("error_before", status=500), "one look at a server in 13 answers 500"
    ),
    Habit(VENDOR, "ips.get", 11, Fault("delay", seconds=0.4), "one look at an address in 11 takes 0.4 s"),
    Habit(
        VENDOR,
        "servers.action",
        4,
        Fault("error_before", status=409),
        "one action in 4 meets a server 'in a transient state' (409)",
    ),
    Habit(
        VENDOR,
        "security_groups.create",
        6,
        Fault("rate_limit"),
        "one security group in 6 meets a burst limit (429)",
    ),
)
