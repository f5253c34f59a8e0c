"""Rows about TLS, on every port that speaks it."""

from __future__ import annotations

import hashlib
import socket
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from services.provisioner.hosts.self_test.checks import CheckResult, SelfTestTarget
from services.provisioner.hosts.self_test.rows import row
from services.provisioner.hosts.self_test.wire import SmtpSession, answer_to_hello, client_hello

TLS_PORTS = (25, 443, 465, 587, 993)
_VERSIONS = {0x0301: "TLS 1.0", 0x0302: "TLS 1.1"}


def old_versions(target: SelfTestTarget) -> list[CheckResult]:
    """TLS 1.0 and 1.1 are refused, 1.2 is understood (else a silent port would look safe)."""
    seen = []
    for port in TLS_PORTS:
        for version, name in _VERSIONS.items():
            hello = client_hello(target.hostname, version)
            seen.append((f"{port} {name}", answer_to_hello(target, port, hello) == "refused"))
        modern = answer_to_hello(target, port, client_hello(target.hostname, 0x0303))
        seen.append((f"{port} TLS 1.2", modern == "accepted"))
    wrong = [what for what, right in seen if not right]
    return [
        row(
            "tls_versions",
            ok=not wrong,
            evidence=f"not as wanted: {wrong or 'none'} of {len(seen)} handshakes",
        )
    ]


def sha1(target: SelfTestTarget) -> list[CheckResult]:
    hello = client_hello(target.hostname, 0x0303, only_sha1=True)
    accepted = [port for port in TLS_PORTS if answer_to_hello(target, port, hello) == "accepted"]
    return [
        row(
            "tls_no_sha1",
            ok=not accepted,
            evidence=f"ports that accept SHA-1 in key exchange: {accepted or 'none'}",
        )
    ]


def _shown(target: SelfTestTarget, port: int) -> bytes:
    """DER of the certificate; raises ssl.SSLError when chain or name do not verify."""
    if port in (25, 465, 587):
        with SmtpSession(target, port, implicit_tls=port == 465) as session:
            if port != 465:
                session.hello()
                session.start_tls()
            return session.certificate()
    with (
        socket.create_connection((target.ipv4, port), target.timeout_seconds) as plain,
        target.trust().wrap_socket(plain, server_hostname=target.hostname) as wrapped,
    ):
        return wrapped.getpeercert(binary_form=True) or b""


def spki_sha256(certificate: bytes) -> str:
    """The digest that a `3 1 1` TLSA record holds (RFC 6698 section 2.1)."""
    key = x509.load_der_x509_certificate(certificate).public_key()
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def certificates(target: SelfTestTarget) -> list[CheckResult]:
    """The same trusted certificate everywhere, over the key that TLSA names as current."""
    shown: dict[int, str] = {}
    problems: list[str] = []
    leaves: set[bytes] = set()
    for port in TLS_PORTS:
        try:
            der = _shown(target, port)
        except ssl.SSLError as error:
            problems.append(f"{port}: {error.reason or error}: {getattr(error, 'verify_message', '')}")
            continue
        leaves.add(der)
        shown[port] = spki_sha256(der)
    current = target.facts.tls.current_spki_sha256
    same = len(leaves) == 1 and not problems
    expiry = ""
    if leaves:
        leaf = x509.load_der_x509_certificate(next(iter(leaves)))
        expiry = f"until {leaf.not_valid_after_utc:%Y-%m-%d}, by {leaf.issuer.rfc4514_string()}"
    return [
        row(
            "certificate_valid",
            ok=same,
            evidence=f"{expiry}; {len(shown)} of {len(TLS_PORTS)} ports verify; {'; '.join(problems)}",
        ),
        row(
            "certificate_key_is_tlsa_current",
            ok=bool(shown) and set(shown.values()) == {current},
            evidence=f"served {sorted(set(shown.values()))}, current key {current}",
        ),
    ]


def web(target: SelfTestTarget) -> list[CheckResult]:
    """Plain HTTP only redirects; webmail answers with the headers that browsers enforce."""
    head = _get(target, 80, "/").lower()
    page = _get(target, 443, "/").lower()
    wanted = (
        "strict-transport-security: max-age=63072000",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "content-security-policy: ",
        "x-frame-options: deny",
    )
    missing = [header for header in wanted if header not in page]
    redirected = head.startswith("http/1.1 301") and f"location: https://{target.hostname}/" in head
    return [
        row("web_redirects", ok=redirected, evidence=head.splitlines()[0] if head else "no answer"),
        row(
            "web_headers",
            ok=page.startswith("http/1.1 200") and not missing,
            evidence=f"{page.splitlines()[0] if page else 'no answer'}; missing: {missing or 'none'}",
        ),
    ]


def _get(target: SelfTestTarget, port: int, path: str) -> str:
    request = f"GET {path} HTTP/1.1\r\nHost: {target.hostname}\r\nConnection: close\r\n\r\n".encode()
    with socket.create_connection((target.ipv4, port), target.timeout_seconds) as plain:
        stream = target.trust().wrap_socket(plain, server_hostname=target.hostname) if port == 443 else plain
        stream.sendall(request)
        received = b""
        while len(received) < 65536 and (more := stream.recv(8192)):
            received += more
        stream.close()
    return received.decode(errors="replace")
