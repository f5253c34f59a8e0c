"""DNS of the sandbox: PowerDNS carries the whole tree from a root of its own, unbound validates it."""

from sandbox.dns.records import RecordSet
from sandbox.dns.resolver import Resolver
from sandbox.dns.server import AuthoritativeServer
from sandbox.dns.tree import Tree, UnknownZone

__all__ = ["AuthoritativeServer", "RecordSet", "Resolver", "Tree", "UnknownZone"]
