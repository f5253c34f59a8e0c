"""Public blacklists of the sandbox: real rbldnsd zones that the control API fills and empties."""

from sandbox.dnsbl.catalogue import LISTS, Blacklist, write_catalogue
from sandbox.dnsbl.server import Blacklists, Listing, UnknownList

__all__ = ["LISTS", "Blacklist", "Blacklists", "Listing", "UnknownList", "write_catalogue"]
