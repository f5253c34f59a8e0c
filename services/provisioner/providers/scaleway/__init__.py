"""Scaleway as a `CloudPort`."""

from services.provisioner.providers.scaleway.client import Scaleway

__all__ = ["Scaleway"]
