"""Settings of the reputation service's processes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from shared.settings import ServiceSettings


class _ReputationSettings(ServiceSettings):
    service: str = "reputation"
    blacklists_file: Path = Path(__file__).with_name("blacklists.toml")
    blacklist_keys: dict[str, SecretStr] = Field(default_factory=dict)
    """Account keys of lists that have one, as JSON: {"spamhaus": "…"}."""


class ApiSettings(_ReputationSettings):
    role: Literal["api", "worker"] = "api"


class WorkerSettings(_ReputationSettings):
    role: Literal["api", "worker"] = "worker"
    query_seconds: Annotated[float, Field(gt=0, le=10)] = 1.0
    """How long one query may take; it is sent twice before the list counts as silent."""
    monitor_seconds: Annotated[float, Field(gt=0)] = 3600
    """Between two rounds over a living server's address. Tier 2 is asked each sixth round, tier 3 each 24th."""
    confirm_seconds: Annotated[float, Field(gt=0)] = 300
    """After how long a change that was seen once is looked at again."""
    unknown_retry_seconds: Annotated[float, Field(gt=0)] = 5
    """After how long a fresh address whose lists did not answer is checked again."""
    tick_seconds: Annotated[float, Field(gt=0)] = 1.0
