"""What the outside world puts onto a server's disk so that it lives in the sandbox: all of it, and nothing else.

A real server finds these in the real world: the DNS root, the public certificate authorities, Debian's mirrors. The
product knows nothing of these files. They are written again at each boot, because some of it changes when the sandbox
starts anew (the ACME server makes a new root).
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from dataclasses import dataclass, field

from sandbox.hosts.disk import Disk

UNBOUND_FILE = "/etc/unbound/unbound.conf.d/sandbox.conf"
ROOT_HINTS = "/usr/share/dns/root.hints"
ROOT_KEY = "/usr/share/dns/root.key"
UNBOUND_KEY = "/var/lib/unbound/root.key"
LOCAL_CERTIFICATES = "/usr/local/share/ca-certificates"
TRUST_DIRECTORY = "/etc/ssl/certs"
TRUST_BUNDLE = f"{TRUST_DIRECTORY}/ca-certificates.crt"
OUR_PREFIX = "sandbox-"
PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n?", re.DOTALL)


@dataclass
class Surroundings:
    """What a server is given.

    `root_hints`: zone file text with NS, A and AAAA of the sandbox's root server. `trust_anchor`: DS or DNSKEY
    records of the sandbox's root, one per line. `local_zones`: names which a resolver by default answers itself
    (RFC 6303, RFC 6761) and must ask for here. `certificates`: PEM of each authority to trust.
    """

    apt_proxy: str | None = None
    root_hints: str | None = None
    trust_anchor: str | None = None
    local_zones: tuple[str, ...] = ("test.", "100.51.198.in-addr.arpa.", "8.b.d.0.1.0.0.2.ip6.arpa.")
    certificates: list[str] = field(default_factory=list)

    def put_on(self, disk: Disk) -> None:
        """Write everything onto the disk of a server that is off."""
        self._apt(disk)
        if self.root_hints is not None and self.trust_anchor is not None:
            self._dns(disk, self.root_hints, self.trust_anchor)
        self._trust(disk)

    def _apt(self, disk: Disk) -> None:
        lines = ['Acquire::Languages "none";', 'DPkg::Options:: "--force-unsafe-io";']
        if self.apt_proxy:
            lines.insert(0, f'Acquire::http::Proxy "{self.apt_proxy}";')
        disk.write("/etc/apt/apt.conf.d/00sandbox", "\n".join(lines) + "\n")

    def _dns(self, disk: Disk, root_hints: str, trust_anchor: str) -> None:
        # A later installation of dns-root-data must not bring the real root back.
        disk.write("/etc/dpkg/dpkg.cfg.d/sandbox", "path-exclude=/usr/share/dns/root.*\n")
        disk.write(ROOT_HINTS, root_hints)
        disk.write(ROOT_KEY, trust_anchor)
        lines = ["server:", f'    root-hints: "{ROOT_HINTS}"']
        # A changed record is seen at the next question, so that nobody has to wait out a vendor's shortest TTL.
        lines += ["    cache-max-ttl: 0", "    cache-max-negative-ttl: 0"]
        lines += [f'    local-zone: "{zone}" nodefault' for zone in self.local_zones]
        disk.write(UNBOUND_FILE, "\n".join(lines) + "\n")
        unbound = disk.owner_of("/var/lib/unbound")
        if unbound is not None:
            disk.write(UNBOUND_KEY, trust_anchor, owner=unbound)

    def _trust(self, disk: Disk) -> None:
        """As update-ca-certificates(8) would: the local file, the links and the bundle."""
        former = [name for name in disk.names(LOCAL_CERTIFICATES) if name.startswith(OUR_PREFIX)]
        dropped = {_body(disk.read(f"{LOCAL_CERTIFICATES}/{name}") or b"") for name in former}
        for name in former:
            disk.remove(f"{LOCAL_CERTIFICATES}/{name}")
        for name in disk.names(TRUST_DIRECTORY):
            if name.startswith(OUR_PREFIX) or self._points_to_ours(disk, name):
                disk.remove(f"{TRUST_DIRECTORY}/{name}")
        ours = [certificate.strip().encode() + b"\n" for certificate in self.certificates]
        dropped |= {_body(each) for each in ours}
        kept = [each for each in PEM.findall(disk.read(TRUST_BUNDLE) or b"") if _body(each) not in dropped]
        disk.write(TRUST_BUNDLE, b"".join(each.rstrip(b"\n") + b"\n" for each in [*kept, *ours]))
        for each in ours:
            name = OUR_PREFIX + hashlib.sha256(each).hexdigest()[:8]
            disk.write(f"{LOCAL_CERTIFICATES}/{name}.crt", each)
            disk.link(f"{TRUST_DIRECTORY}/{name}.pem", f"{LOCAL_CERTIFICATES}/{name}.crt")
            disk.link(f"{TRUST_DIRECTORY}/{subject_hash(each)}.0", f"{name}.pem")

    def _points_to_ours(self, disk: Disk, name: str) -> bool:
        place = disk.upper / TRUST_DIRECTORY.lstrip("/") / name
        return place.is_symlink() and str(place.readlink()).startswith(OUR_PREFIX)


def _body(pem: bytes) -> bytes:
    """A certificate's base64 without white space: equal for equal certificates."""
    return b"".join(line.strip() for line in pem.splitlines() if not line.startswith(b"-----"))


def subject_hash(pem: bytes) -> str:
    """The name under which OpenSSL looks a certificate up in a directory (openssl-rehash(1))."""
    result = subprocess.run(
        ["openssl", "x509", "-noout", "-subject_hash"], input=pem, capture_output=True, check=True
    )
    return result.stdout.decode().strip()
