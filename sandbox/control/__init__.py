"""The control API: what one does to the outside world that no vendor's API offers, and a look into its books.

JSON over HTTPS with ``Authorization: Bearer <control_token>``. The product never speaks to it.
"""

from sandbox.control.app import create_app
from sandbox.control.wiring import Wiring

__all__ = ["Wiring", "create_app"]
