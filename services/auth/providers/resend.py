"""Mail by Resend (https://resend.com/docs/api-reference/emails/send-email). Runs in the worker only."""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr

from services.auth.ports import Mail, MailDelayed, MailRefused
from shared.http import (
    AsyncClient,
    Response,
    VendorAuthFailed,
    VendorRateLimited,
    VendorRejected,
    VendorUnavailable,
    vendor_request,
)


class ResendMailer:
    """`client` is bound to the API's base URL."""

    def __init__(self, client: AsyncClient, api_key: SecretStr, sender: str) -> None:
        self._client = client
        self._api_key = api_key
        self._sender = sender

    async def send(self, mail: Mail) -> str:
        """The message id. `Idempotency-Key` makes a second try within 24 hours harmless."""
        headers = {
            "Authorization": f"Bearer {self._api_key.get_secret_value()}",
            "Idempotency-Key": mail.key,
        }
        body: dict[str, Any] = {
            "from": self._sender,
            "to": [mail.to],
            "subject": mail.subject,
            "text": mail.text,
            "html": mail.html,
            "tags": [{"name": "kind", "value": mail.kind}],
        }
        if mail.reference:
            body["tags"].append({"name": "notification", "value": mail.reference})
        if mail.headers:
            body["headers"] = dict(mail.headers)
        try:
            response = await vendor_request(
                self._client, "POST", "/emails", vendor="resend", headers=headers, json=body
            )
        except VendorRateLimited as error:
            raise MailDelayed("rate limited", error.retry_after) from error
        except VendorUnavailable as error:
            raise MailDelayed("no answer") from error
        except VendorAuthFailed as error:
            raise MailDelayed("the API key was refused", 60.0) from error
        except VendorRejected as error:
            return _rejected(error)
        return _id_of(response)

    async def aclose(self) -> None:
        await self._client.aclose()


def _id_of(response: Response) -> str:
    """An answer that is not as documented says nothing: asked again with the same key, no second mail goes out."""
    try:
        found = response.json()["id"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise MailDelayed("the answer is not understood") from error
    if not isinstance(found, str) or not found:
        raise MailDelayed("the answer has no id")
    return found


def _rejected(error: VendorRejected) -> str:
    """A key that was used for another body means that the first try did get through: a link is signed anew at
    each try, and signatures differ. While the first try is at work, ours has to wait."""
    code = str(error.body.get("name", "")) if isinstance(error.body, dict) else error.code
    if code == "invalid_idempotent_request":
        return "sent by an earlier try"
    if error.status == 409:
        raise MailDelayed(code or "conflict") from error
    raise MailRefused(f"{error.status} {code}"[:200]) from error
