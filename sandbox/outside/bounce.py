"""The delivery status notification that a mail host sends to its own user (RFC 3464)."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime
from email.utils import format_datetime

from sandbox.outside.sender import Attempt

_TEMPLATE = """\
From: MAILER-DAEMON@{host}
To: {sender}
Subject: Undelivered Mail Returned to Sender
Date: {date}
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="{boundary}"

--{boundary}
Content-Type: text/plain; charset=utf-8

Your message to <{recipient}> was not delivered.
{relay} said: {code} {answer}

--{boundary}
Content-Type: message/delivery-status

Reporting-MTA: dns; {host}

Final-Recipient: rfc822; {recipient}
Action: failed
Status: {status}
Diagnostic-Code: smtp; {code} {answer}

--{boundary}
Content-Type: text/rfc822-headers

{headers}
--{boundary}--
"""


def notification(host: str, sender: str, recipient: str, attempt: Attempt, content: bytes) -> bytes:
    """The notification for `sender`, with CR LF line ends."""
    answer = " ".join(attempt.answer.split())
    status = re.match(r"[245]\.\d{1,3}\.\d{1,3}", answer)
    headers = content.partition(b"\r\n\r\n")[0].decode(errors="replace").replace("\r\n", "\n")
    text = _TEMPLATE.format(
        host=host,
        sender=sender,
        recipient=recipient,
        date=format_datetime(datetime.now(UTC)),
        boundary=f"bounce-{uuid.uuid4().hex}",
        relay=attempt.relay or "The name service",
        code=attempt.code,
        answer=answer,
        status=status[0] if status else "5.0.0",
        headers=headers,
    )
    return text.replace("\n", "\r\n").encode()
