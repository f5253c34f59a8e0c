"""Cloudflare's API v4 for DNS: zones, records, batches and DNSSEC, written through to the DNS tree."""

from sandbox.cloudflare.app import PREFIX, create_app
from sandbox.cloudflare.books import Books
from sandbox.cloudflare.publish import Publisher

__all__ = ["PREFIX", "Books", "Publisher", "create_app"]
