"""Shapes of the provider tokens. The token itself goes in and never comes out to people again."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, StringConstraints


def _is_a_token(value: SecretStr) -> SecretStr:
    """Visible ASCII, as in an `Authorization` header; the message never quotes it."""
    if not all("!" <= character <= "~" for character in value.get_secret_value()):
        raise ValueError("a token is visible ASCII without spaces")
    return value


class NewProviderToken(BaseModel):
    """A zone-scoped API token of the customer's own account at the provider."""

    model_config = ConfigDict(extra="forbid")

    provider: Literal["cloudflare"]
    token: Annotated[
        SecretStr,
        Field(min_length=20, max_length=512, json_schema_extra={"pattern": "^[!-~]+$"}),
        AfterValidator(_is_a_token),
    ]
    label: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80, pattern=r"^[^\x00-\x1f]*$")
    ]


class ProviderTokenView(BaseModel):
    id: str
    provider: Literal["cloudflare"]
    label: str
    created_by: str
    created_at: datetime
