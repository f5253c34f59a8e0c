"""Settings of a mailbox as mail programs read them, without its password, for which the program asks its user.

Implicit TLS on both ports (RFC 8314). Apple: the keys of the profile payload com.apple.mail.managed. Thunderbird: its
configuration file, version 1.1. Neither was tried in a mail program by a test of ours.
"""

from __future__ import annotations

import plistlib
from uuid import NAMESPACE_URL, uuid5
from xml.etree import ElementTree

from services.vault.exports.credentials import IMAP_PORT, SMTP_PORT

APPLE = "application/x-apple-aspen-config"
THUNDERBIRD = "application/xml"


def apple(mailbox_id: str, address: str, display_name: str, hostname: str) -> bytes:
    """A property list. It is the same whenever the settings are: a newer one takes the place of an older one."""
    identifier = f"com.sendchief.mail.{mailbox_id}"
    seed = "\0".join((identifier, address, display_name, hostname))
    account = {
        "PayloadType": "com.apple.mail.managed",
        "PayloadVersion": 1,
        "PayloadIdentifier": f"{identifier}.account",
        "PayloadUUID": _uuid(seed + "\0account"),
        "PayloadDisplayName": address,
        "EmailAccountType": "EmailTypeIMAP",
        "EmailAccountDescription": address,
        "EmailAccountName": display_name or address,
        "EmailAddress": address,
        **_server("Incoming", hostname, IMAP_PORT, address),
        **_server("Outgoing", hostname, SMTP_PORT, address),
        "OutgoingPasswordSameAsIncomingPassword": True,
        "PreventMove": False,
        "PreventAppSheet": False,
        "SMIMEEnabled": False,
    }
    profile = {
        "PayloadType": "Configuration",
        "PayloadVersion": 1,
        "PayloadIdentifier": identifier,
        "PayloadUUID": _uuid(seed),
        "PayloadDisplayName": f"Mail of {address}",
        "PayloadOrganization": "SendChief",
        "PayloadRemovalDisallowed": False,
        "PayloadContent": [account],
    }
    return plistlib.dumps(profile)


def thunderbird(address: str, hostname: str) -> bytes:
    """An XML document. It says %EMAILADDRESS%, so it serves all mailboxes of the domain on this server."""
    domain = address.rpartition("@")[2]
    root = ElementTree.Element("clientConfig", version="1.1")
    provider = ElementTree.SubElement(root, "emailProvider", id=domain)
    for name in ("domain", "displayName", "displayShortName"):
        ElementTree.SubElement(provider, name).text = domain
    for element, kind, port in (("incomingServer", "imap", IMAP_PORT), ("outgoingServer", "smtp", SMTP_PORT)):
        server = ElementTree.SubElement(provider, element, type=kind)
        values = {
            "hostname": hostname,
            "port": str(port),
            "socketType": "SSL",
            "authentication": "password-cleartext",
            "username": "%EMAILADDRESS%",
        }
        for name, value in values.items():
            ElementTree.SubElement(server, name).text = value
    document: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _server(direction: str, hostname: str, port: int, username: str) -> dict[str, str | int | bool]:
    return {
        f"{direction}MailServerHostName": hostname,
        f"{direction}MailServerPortNumber": port,
        f"{direction}MailServerUseSSL": True,
        f"{direction}MailServerUsername": username,
        f"{direction}MailServerAuthentication": "EmailAuthPassword",
    }


def _uuid(seed: str) -> str:
    return str(uuid5(NAMESPACE_URL, seed)).upper()
