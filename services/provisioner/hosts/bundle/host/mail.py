"""Evidence about messages: log lines and the queue."""

import datetime
import json
import re
from typing import Any, BinaryIO

from .bootstrap import Answer, Refused, run

QUEUE_ID = re.compile(r"^[A-Za-z0-9]{6,40}$")
MESSAGE_ID = re.compile(r"^<?[A-Za-z0-9.!#$%&'*+/=?^_`{|}~@\[\]:-]{1,250}>?$")
_UNITS = ("-u", "postfix*", "-u", "dovecot", "-u", "rspamd")


def _journal(since: str) -> list[str]:
    said = run("journalctl", "--quiet", "--no-pager", "-o", "short-iso-precise", f"--since={since}", *_UNITS)
    return said.splitlines()


def mail_log(request: Answer, _payload: BinaryIO) -> Answer:
    """The last lines about one message, found by queue id or by Message-ID, with the TLS lines beside them."""
    queue_id, message_id = request.get("queue_id"), request.get("message_id")
    limit = max(1, min(int(request.get("lines") or 100), 1000))
    if queue_id is not None and not QUEUE_ID.match(queue_id):
        raise Refused("bad_request", "queue_id")
    if message_id is not None and not MESSAGE_ID.match(message_id):
        raise Refused("bad_request", "message_id")
    lines = _journal("-2d")
    if queue_id is None and message_id is None:
        return {"lines": lines[-limit:]}
    wanted = {queue_id} if queue_id else set()
    if message_id is not None:
        needle = f"<{message_id.strip('<>')}>"
        found = (re.search(r": ([A-Za-z0-9]{6,40}): message-id=", line) for line in lines if needle in line)
        wanted |= {match[1] for match in found if match}
    return {"lines": _about(lines, {str(entry) for entry in wanted})[-limit:]}


def _about(lines: list[str], queue_ids: set[str]) -> list[str]:
    """Lines that name a queue id, and what the same smtp process said about TLS just before."""
    pid = re.compile(r"(postfix/\S+\[\d+\])")
    chosen: list[str] = []
    last_tls: dict[str, str] = {}
    for line in lines:
        process = pid.search(line)
        if (process and " TLS connection established" in line) or "certificate verification failed" in line:
            last_tls[process[1] if process else ""] = line
        if any(f" {queue_id}: " in line or f"queued as {queue_id}" in line for queue_id in queue_ids):
            if process and process[1] in last_tls:
                chosen.append(last_tls.pop(process[1]))
            chosen.append(line)
    return chosen


def queue(request: Answer, _payload: BinaryIO) -> Answer:
    """The queue; with `flush` Postfix first tries every message again, with fresh answers from DNS."""
    if request.get("flush"):
        # Resolver and running clients remember what was wrong a minute ago, TLSA records too.
        run("systemctl", "reload", "unbound")
        run("systemctl", "reload", "postfix")
        run("postqueue", "-f")
    entries: list[dict[str, Any]] = []
    for line in run("postqueue", "-j").splitlines():
        entry = json.loads(line)
        reasons = [recipient.get("delay_reason", "") for recipient in entry["recipients"]]
        arrived = datetime.datetime.fromtimestamp(entry["arrival_time"], datetime.UTC)
        entries.append(
            {
                "queue_id": entry["queue_id"],
                "queue_name": entry["queue_name"],
                "arrival_time": arrived.isoformat(),
                "sender": entry["sender"],
                "recipients": [recipient["address"] for recipient in entry["recipients"]],
                "reason": next((reason for reason in reasons if reason), ""),
            }
        )
    return {"entries": entries}
