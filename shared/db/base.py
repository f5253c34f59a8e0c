"""The declarative base of a service's models.

    class Base(DeclarativeBase):
        metadata = new_metadata()
        type_annotation_map = TYPE_MAP

is what a type checker follows; `make_base()` makes the same thing at run time.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import DateTime, MetaData, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

TYPE_MAP: dict[Any, Any] = {
    str: Text(),
    datetime: DateTime(timezone=True),
    dict[str, Any]: JSONB(),
    list[str]: JSONB(),
    list[dict[str, Any]]: JSONB(),
}


def new_metadata() -> MetaData:
    """Metadata with the naming convention, so that migrations can name what they alter."""
    return MetaData(naming_convention=NAMING_CONVENTION)


def make_base() -> type[DeclarativeBase]:
    """A declarative base of its own: text, timestamptz and jsonb by annotation, constraint names by convention."""
    return type("Base", (DeclarativeBase,), {"metadata": new_metadata(), "type_annotation_map": TYPE_MAP})
