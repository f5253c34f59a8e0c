"""Resend's e-mail API: takes mails, keeps them for the control API to read, tells what became of them."""

from sandbox.resend.app import create_app
from sandbox.resend.books import Books
from sandbox.resend.webhooks import Webhooks

__all__ = ["Books", "Webhooks", "create_app"]
