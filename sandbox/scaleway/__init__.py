"""A stand-in for Scaleway: Instance v1, Block v1, IPAM v1, IAM SSH keys and Marketplace v2, over real servers."""

from sandbox.scaleway.cloud import ScalewayCloud, create_app
from sandbox.scaleway.settings import ScalewaySettings

__all__ = ["ScalewayCloud", "ScalewaySettings", "create_app"]
