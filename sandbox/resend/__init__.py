"""Resend's e-mail API: takes mails, keeps them for the control API to read."""

from sandbox.resend.app import create_app
from sandbox.resend.books import Books

__all__ = ["Books", "create_app"]
