"""The base of all tables here, with those of the kit."""

from __future__ import annotations

from sqlalchemy import (
    text,
)
from sqlalchemy.orm import DeclarativeBase

from shared.db import kit_tables
from shared.db.base import TYPE_MAP, new_metadata

EMPTY_OBJECT = text("'{}'::jsonb")
EMPTY_LIST = text("'[]'::jsonb")
FALSE = text("false")
ZERO = text("0")
ONE = text("1")


class Base(DeclarativeBase):
    metadata = new_metadata()
    type_annotation_map = TYPE_MAP


kit = kit_tables.define(Base)
