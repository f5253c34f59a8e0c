"""The transit engine of HashiCorp Vault and OpenBao, for one mount."""

from sandbox.transit.access import Access
from sandbox.transit.app import create_app
from sandbox.transit.books import Books

__all__ = ["Access", "Books", "create_app"]
