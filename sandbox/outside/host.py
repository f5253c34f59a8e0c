"""The outside mail host: its domain, its mailboxes, sending and receiving."""

from __future__ import annotations

import asyncio
import email
import email.policy
import ssl
import uuid
from dataclasses import asdict
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid

import dns.asyncresolver
import dns.exception
import dns.resolver

from sandbox.dns import Tree
from sandbox.dns.records import reverse_name
from sandbox.net.addresses import OUTSIDE_MAIL
from sandbox.net.namespace import Namespace
from sandbox.outside.bounce import notification
from sandbox.outside.receiver import Envelope, Receiver
from sandbox.outside.sender import Attempt, deliver
from sandbox.outside.sockets import listen_in
from sandbox.store import Document, Store
from sandbox.tls import KeyPair

DOMAIN = "outside.test"
HOSTNAME = "mx.outside.test"


class OutsideHost:
    """Receives for ``outside.test`` on the outside address, both families, and sends from it."""

    def __init__(self, namespace: Namespace, store: Store, pair: KeyPair, *, resolver: str) -> None:
        self._namespace = namespace
        self._store = store
        self._resolver = dns.asyncresolver.Resolver(configure=False)
        self._resolver.nameservers = [resolver]
        self._resolver.lifetime = 5.0
        self.address_v4 = namespace.addresses.v4_of(OUTSIDE_MAIL)
        self.address_v6 = namespace.addresses.v6_of(OUTSIDE_MAIL)
        trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trust.minimum_version = ssl.TLSVersion.TLSv1_2
        trust.load_cert_chain(pair.certificate, pair.key)
        self._receiver = Receiver(HOSTNAME, DOMAIN, trust, self._keep)
        self._servers: list[asyncio.Server] = []

    async def start(self, tree: Tree) -> None:
        """Publish the domain (unsigned delegation) and listen on port 25."""
        if not tree.has_zone(DOMAIN):
            await tree.create_zone(DOMAIN, secure=False)
        await tree.set_records(DOMAIN, "MX", [f"10 {HOSTNAME}."])
        await tree.set_records(DOMAIN, "TXT", ['"v=spf1 mx -all"'])
        await tree.set_records(HOSTNAME, "A", [str(self.address_v4)])
        await tree.set_records(HOSTNAME, "AAAA", [str(self.address_v6)])
        await tree.set_records(HOSTNAME, "TXT", ['"v=spf1 a -all"'])
        for address in (self.address_v4, self.address_v6):
            await tree.set_records(reverse_name(address), "PTR", [f"{HOSTNAME}."])
        for address in (self.address_v4, self.address_v6):
            listener = listen_in(self._namespace.path, str(address), 25)
            self._servers.append(await asyncio.start_server(self._receiver.serve, sock=listener))

    async def stop(self) -> None:
        """Stop listening; kept messages stay."""
        for server in self._servers:
            server.close()
        self._servers.clear()

    def messages(self, to: str | None = None) -> list[Document]:
        """Kept messages, oldest first: envelope, parsed headers, text and raw source."""
        found = self._store.list("message")
        return found if to is None else [each for each in found if to.lower() in each["recipients"]]

    async def send(
        self, *, sender: str, recipient: str, subject: str, body: str, headers: dict[str, str] | None = None
    ) -> Document:
        """Send one mail now; a refusal is bounced to the sender's mailbox here (RFC 3464). Gives the dialogue."""
        message = EmailMessage(policy=email.policy.SMTP)
        message["From"], message["To"], message["Subject"] = sender, recipient, subject
        message["Date"] = format_datetime(datetime.now(UTC))
        message["Message-ID"] = make_msgid(domain=DOMAIN)
        for name, value in (headers or {}).items():
            if name in message:
                message.replace_header(name, value)
            else:
                message[name] = value
        message.set_content(body)
        content = message.as_bytes()
        attempt = await self._attempt(sender, recipient, content)
        if attempt.outcome == "refused":
            self._bounce(sender, recipient, attempt, content)
        return {"message_id": str(message["Message-ID"]), **asdict(attempt)}

    async def _attempt(self, sender: str, recipient: str, content: bytes) -> Attempt:
        domain = recipient.rpartition("@")[2]
        try:
            relays = await self._relays(domain)
        except dns.resolver.NXDOMAIN:
            return Attempt("refused", 550, f"5.1.2 {domain} does not exist")
        except dns.exception.DNSException as error:
            return Attempt("deferred", None, f"{domain} cannot be looked up: {type(error).__name__}")
        return await asyncio.to_thread(
            deliver,
            namespace=self._namespace.path,
            hostname=HOSTNAME,
            sources=[str(self.address_v6), str(self.address_v4)],
            relays=relays,
            sender=sender,
            recipient=recipient,
            content=content,
        )

    async def _relays(self, domain: str) -> list[tuple[str, str]]:
        """(name, address) of the domain's mail servers by preference, IPv6 first (RFC 5321 section 5.1)."""
        try:
            answer = await self._resolver.resolve(domain, "MX")
            names = [str(r.exchange) for r in sorted(answer, key=lambda record: int(record.preference))]
        except dns.resolver.NoAnswer:
            names = [domain]
        found: list[tuple[str, str]] = []
        for name in names:
            for kind in ("AAAA", "A"):
                try:
                    found += [(name.rstrip("."), str(a)) for a in await self._resolver.resolve(name, kind)]
                except (dns.resolver.NoAnswer, dns.resolver.NXDOMAIN):
                    continue
        return found

    def _keep(self, envelope: Envelope) -> None:
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        body = message.get_body(preferencelist=("plain", "html"))
        text = body.get_content() if body is not None and body.get_content_maintype() == "text" else ""
        key = str(uuid.uuid4())
        self._store.put(
            "message",
            key,
            {
                "id": key,
                "received_at": datetime.now(UTC).isoformat(),
                "peer": envelope.peer,
                "helo": envelope.helo,
                "tls": envelope.tls,
                "sender": envelope.sender,
                "recipients": envelope.recipients,
                "subject": str(message.get("Subject", "")),
                "headers": [[name, str(value)] for name, value in message.items()],
                "text": text,
                "is_bounce": envelope.sender == "",
                "raw": envelope.content.decode("utf-8", errors="replace"),
            },
        )

    def _bounce(self, sender: str, recipient: str, attempt: Attempt, content: bytes) -> None:
        report = notification(HOSTNAME, sender, recipient, attempt, content)
        self._keep(Envelope("local", HOSTNAME, None, "", [sender.lower()], report))
