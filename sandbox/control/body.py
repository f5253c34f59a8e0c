"""What the bodies of the control API have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Body(BaseModel):
    """JSON that holds no fields but the named ones."""

    model_config = ConfigDict(extra="forbid")
