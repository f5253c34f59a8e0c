"""The certificate authority of the sandbox: pebble, the ACME (RFC 8555) test server."""

from sandbox.acme.server import AcmeServer

__all__ = ["AcmeServer"]
