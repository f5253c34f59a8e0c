"""Facts that the vault publishes."""

from __future__ import annotations

from typing import ClassVar

from shared.contracts.audit import AuditRecorded
from shared.contracts.envelope import EventData


class WorkspaceShredded(EventData):
    """Subject: the workspace. Its data keys are destroyed; what they wrapped opens no more."""

    type: ClassVar[str] = "vault.workspace.shredded.v1"
    workspace_id: str
    data_keys: int
    secrets: int


class MailboxCredentialsChanged(EventData):
    """Subject: the mailbox. What opens it is another set of passwords now: its host is to get the stored verifiers.

    `version` grows with each change. The change is to be told as the job `job_id`, asked for by `requested_by`.
    """

    type: ClassVar[str] = "vault.mailbox.credentials_changed.v1"
    workspace_id: str
    mailbox_id: str
    version: int
    job_id: str
    requested_by: str


class MailboxWebmailEnded(EventData):
    """Subject: the mailbox. Webmail sign-ins of these ids (their tokens' `jti`) ended before their time: its host is to
    refuse the tokens, and the sessions that came of them.

    `ended` are all that could still be alive, so the newest event stands for those before it; `version` grows with
    each. The change is to be told as the job `job_id`, asked for by `requested_by`.
    """

    type: ClassVar[str] = "vault.mailbox.webmail_ended.v1"
    workspace_id: str
    mailbox_id: str
    version: int
    ended: list[str]
    job_id: str
    requested_by: str


class VaultAuditRecorded(AuditRecorded):
    type: ClassVar[str] = "vault.audit.recorded.v1"
