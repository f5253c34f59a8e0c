"""What a scanner sends and gets, in the shape of GitHub's secret scanning partner programme."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, SecretStr, StringConstraints, TypeAdapter

Word = Annotated[str, StringConstraints(max_length=100)]


class Alert(BaseModel):
    """One find. `url` is where it stood; `source` the kind of place (content, commit, issue, npm…)."""

    token: SecretStr = Field(max_length=4096)
    type: Word
    url: Annotated[str, StringConstraints(max_length=8192)] = ""
    source: Word = ""


Alerts = Annotated[list[Alert], Field(max_length=1000)]
ALERTS: TypeAdapter[list[Alert]] = TypeAdapter(Alerts)


class Verdict(BaseModel):
    """`token_hash` is the base64 of the SHA-256 of the token: the answer repeats no secret."""

    token_hash: str
    token_type: str
    label: Literal["true_positive", "false_positive"]
