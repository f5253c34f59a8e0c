"""The export formats: one data file each in `formats/`, checked when they are read."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from datetime import date
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.vault.exports.credentials import PLACEHOLDERS

_DIRECTORY = Path(__file__).parent / "formats"
_PLACEHOLDER = re.compile(r"\{(\w+)\}")


class ExportFormat(BaseModel):
    """What `formats/README.md` describes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    title: str
    kind: Literal["csv", "json"]
    columns: Annotated[list[Annotated[list[str], Field(min_length=2, max_length=2)]], Field(min_length=1)]
    max_rows: Annotated[int, Field(gt=0)] | None = None
    verified_on: date | None = None
    unverified: str | None = None
    own: Literal[True] | None = None

    @model_validator(mode="after")
    def _honest(self) -> Self:
        if [self.verified_on, self.unverified, self.own].count(None) != 2:
            raise ValueError("exactly one of verified_on, unverified and own is to be given")
        return self

    @model_validator(mode="after")
    def _known_columns(self) -> Self:
        headers = [header for header, _ in self.columns]
        if len(set(headers)) < len(headers):
            raise ValueError("two columns have the same header")
        named = [(value, placeholder(value)) for _, value in self.columns]
        for value, name in named:
            if name is not None and name not in PLACEHOLDERS:
                raise ValueError(f"there is no placeholder {value}")
        if all(name is None for _, name in named):
            raise ValueError("no column names a placeholder, so that all rows would be the same")
        return self


def placeholder(value: str) -> str | None:
    """The name in `{name}`; None for a constant."""
    found = _PLACEHOLDER.fullmatch(value)
    return found[1] if found else None


@cache
def formats() -> Mapping[str, ExportFormat]:
    """By id, in the order of ids. Raises ValueError naming the file that is wrong."""
    return {path.stem: _read(path) for path in sorted(_DIRECTORY.glob("*.toml"))}


def _read(path: Path) -> ExportFormat:
    try:
        return ExportFormat.model_validate(tomllib.loads(path.read_text()))
    except ValueError as error:  # tomllib's and pydantic's are ValueErrors
        raise ValueError(f"{path.name}: {error}") from error
