"""The envelope of every event: CloudEvents 1.0 in structured JSON mode.

The type of an event is its routing key: `<service>.<aggregate>.<fact>.v<major>`, in the past tense.
Within a major version only optional fields may be added. No event ever carries a secret.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

EVENT_TYPES: dict[str, type[EventData]] = {}


class EventData(BaseModel):
    """Payload of one event type. Consumers ignore fields they do not know."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    type: ClassVar[str]

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        name = cls.__dict__.get("type")
        if name is None:
            return
        if name in EVENT_TYPES and EVENT_TYPES[name].__qualname__ != cls.__qualname__:
            raise TypeError(f"two payloads claim the event type {name}")
        EVENT_TYPES[name] = cls

    @classmethod
    def producer(cls) -> str:
        """The service that alone may publish this type: the first word of the type."""
        return cls.type.split(".", 1)[0]


class Envelope(BaseModel):
    """CloudEvents 1.0 attributes, with the extension attributes that SendChief uses.

    `aggregateversion` grows with each change of the subject; a consumer that has seen a higher one ignores
    the event, since order between messages is not promised.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    specversion: Literal["1.0"] = "1.0"
    id: str
    source: str
    type: str
    subject: str
    time: datetime
    datacontenttype: Literal["application/json"] = "application/json"
    workspaceid: str | None = None
    aggregateversion: int = Field(ge=0)
    traceparent: str | None = None
    causationid: str | None = None
    data: dict[str, Any]
