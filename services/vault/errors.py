"""What can go wrong in the vault, as problems that say what to do."""

from __future__ import annotations

from shared.errors import Conflict, Forbidden, Gone, Invalid, TooManyRequests, Unavailable


class KeyServiceUnavailable(Unavailable):
    """The key service does not answer and no cached data key is young enough. Nothing was decrypted."""

    code = "key_service_unavailable"
    title = "The key service does not answer"


class KeyServiceDenied(KeyServiceUnavailable):
    """Whoever asks may not: a uid that is not on the list, or a credential that a KMS does not accept.

    Like the next one it is no fault of any one data key, and to a customer the same as a service that is away.
    """


class RootKeyDisabled(KeyServiceUnavailable):
    """The root key is disabled, about to be deleted or gone. A KMS does as it is told when it is enabled again."""


class KeyRefused(Exception):
    """The key service will not open a wrapped key: wrong context, unknown root key, or not its own ciphertext.

    Not an expected conflict but damage, so it is a 5xx.
    """


class CheckValueMismatch(Exception):
    """An unwrapped data key is not the one whose check value is stored beside it."""


class WorkspaceShredded(Gone):
    code = "workspace_shredded"
    title = "The keys of this workspace are destroyed"


class ServerNotReady(Conflict):
    """The mailbox's host has no name or no webmail key yet."""

    code = "server_not_ready"
    title = "The server is still being set up"


class NoCredential(Conflict):
    code = "no_credential"
    title = "This mailbox has no password yet"


class MailboxMoved(Conflict):
    """The mailbox is known under another server or address than the call says."""

    code = "mailbox_mismatch"
    title = "The mailbox is stored with another server or address"


class UnknownMailbox(Invalid):
    code = "unknown_mailbox"
    title = "A mailbox in the list does not exist here"


class NothingToExport(Invalid):
    code = "nothing_to_export"
    title = "There is no mailbox to export"


class TooManyForFormat(Invalid):
    code = "too_many_for_format"
    title = "The target does not take so many rows in one file"


class ExportUsed(Gone):
    code = "export_used"
    title = "This link was used before"


class ExportExpired(Gone):
    code = "export_expired"
    title = "This link has expired"


class ExportTokenWrong(Forbidden):
    code = "export_token_wrong"
    title = "The token does not belong to this export"


class TooManyReads(TooManyRequests):
    code = "too_many_reads"
    title = "You have seen many secrets in a short time"


class TooManyAppPasswords(Conflict):
    code = "too_many_app_passwords"
    title = "This mailbox has as many app passwords as it can have"


class ExportNotReady(Conflict):
    """Not every app password of the export opens its mailbox yet. The link is as it was."""

    code = "export_not_ready"
    title = "The passwords of this export are still being set up"


class TooManyNewPasswords(Invalid):
    code = "too_many_new_passwords"
    title = "So many app passwords are not made at once"
