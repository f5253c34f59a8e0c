"""Events between services."""

from shared.bus.binding import Binding, HandlerContext
from shared.bus.errors import Permanent, Transient

__all__ = ["Binding", "HandlerContext", "Permanent", "Transient"]
