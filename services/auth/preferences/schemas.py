"""Shapes of a person's mail preferences in one workspace."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

KindName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z_]{0,49}$")]


class PreferenceView(BaseModel):
    """One kind of mail. `optional` is false for what cannot be switched off: it is about the account's safety."""

    kind: str
    topic: str
    what: str
    mail: bool
    optional: bool


class PreferencesView(BaseModel):
    items: list[PreferenceView]


class SetPreferences(BaseModel):
    """The whole of what is switched off; every other kind is on."""

    model_config = ConfigDict(extra="forbid")

    off: list[KindName] = Field(max_length=100)


class Unsubscribed(BaseModel):
    status: Literal["unsubscribed"] = "unsubscribed"
    what: str
