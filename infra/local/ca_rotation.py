"""A new certificate authority for TLS inside a stack, while it runs.

`ca.pem` is a bundle: whoever connects reads it anew and trusts all that is in it. So the next authority is added to
it first; then servers get certificates of the next one; at last the former one is taken out.
"""

from __future__ import annotations

import os
import signal
import socket
import ssl
import time
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from infra.local.key_rotation import NotKnown
from infra.local.pki import Authority, replace
from infra.local.stack import Stack
from infra.local.state import State

PRESENTED_SECONDS = 20.0


class AuthorityFiles:
    """`ca.key`, and the bundle `ca.pem` whose first certificate is the one that signs; the next authority lies
    beside them, in a folder of its own, until it is in use."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self._name = name
        self._bundle = directory / "ca.pem"

    def publish(self) -> str:
        """Makes the next authority unless there is one, and lets everybody trust it. Returns its serial number."""
        upcoming = self._next()
        known = self._certificates()
        if upcoming not in known:
            self._write([*known, upcoming])
        return _serial(upcoming)

    def switch(self) -> Authority:
        """The next authority becomes the one that signs. Servers still show certificates of the former."""
        upcoming = self._next()
        self._write([upcoming, *(one for one in self._certificates() if one != upcoming)])
        (self._directory / "next/ca.key").rename(self._directory / "ca.key")
        (self._directory / "next/ca.pem").unlink()
        return Authority(self._directory, self._name)

    def retire(self, older_than: float) -> list[str]:
        """Trusts the authority in use alone, once the bundle has been as it is for so many seconds."""
        signing, *others = self._certificates()
        if (self._directory / "next/ca.pem").exists() or _age(self._bundle) < older_than:
            return []
        if others:
            self._write([signing])
        return [_serial(one) for one in others]

    def _next(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(
            Authority(self._directory / "next", self._name).certificate_file.read_bytes()
        )

    def _certificates(self) -> list[x509.Certificate]:
        return x509.load_pem_x509_certificates(self._bundle.read_bytes())

    def _write(self, certificates: list[x509.Certificate]) -> None:
        pems = [one.public_bytes(serialization.Encoding.PEM) for one in certificates]
        replace(self._bundle, b"".join(pems), 0o444)


class AuthorityKey:
    """The authority of a running stack: its servers take up new certificates without a restart."""

    lifetime = 900.0
    """Nothing is signed that outlives the switch; what still shows an old certificate has been seen to be gone."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._files = AuthorityFiles(stack.layout.tls, stack.authority_name)

    def publish(self) -> str:
        return self._files.publish()

    def switch(self) -> None:
        authority = self._files.switch()
        self._stack.issue_certificates(authority)
        os.kill(int((self._stack.layout.home / "run/nginx/nginx.pid").read_text()), signal.SIGHUP)
        self._stack.rabbit.control("eval", "ssl:clear_pem_cache().")
        signing = x509.load_pem_x509_certificates(self._stack.ca_file.read_bytes())[0]
        deadline = time.monotonic() + PRESENTED_SECONDS
        for port in (State.load(self._stack.state_file).nginx_port, self._stack.rabbit.ports["amqp"]):
            while not presents(port, signing):
                if time.monotonic() > deadline:
                    raise NotKnown(
                        f"port {port} still shows a certificate of the former authority; both are trusted"
                    )
                time.sleep(0.2)

    def retire(self, older_than: float) -> list[str]:
        return self._files.retire(older_than)


async def read_at_each_connection(_: str) -> bool:
    """Nobody has to be asked whether he knows: whoever connects reads the bundle at that moment."""
    return True


def presents(port: int, authority: x509.Certificate) -> bool:
    """Whether the server on this loopback port shows a certificate that `authority` alone makes good."""
    context = ssl.create_default_context(cadata=authority.public_bytes(serialization.Encoding.PEM).decode())
    try:
        with (
            socket.create_connection(("127.0.0.1", port), 2) as plain,
            context.wrap_socket(plain, server_hostname="localhost"),
        ):
            return True
    except OSError:
        return False


def _serial(certificate: x509.Certificate) -> str:
    return f"authority {certificate.serial_number:x}"


def _age(path: Path) -> float:
    return time.time() - path.stat().st_mtime
