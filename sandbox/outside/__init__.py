"""A third mail host, plain and without DANE, at ``outside.test``: it writes to others and keeps what it gets."""

from sandbox.outside.host import OutsideHost
from sandbox.outside.sockets import socket_in

__all__ = ["OutsideHost", "socket_in"]
