"""Who may call the stand-in, and how slow and how strict it is."""

from __future__ import annotations

from pydantic import BaseModel, SecretStr


class ScalewaySettings(BaseModel):
    """`secret_key` is what X-Auth-Token must hold. `smtp_unlocked`: whether the organization passed the cloud's check
    for sending mail; without it `enable_default_security: false` is silently taken as true.

    Quotas are those of a fresh project. The times are the least seconds of each state; a real boot, shutdown or
    deletion takes as long as it takes on top.
    """

    secret_key: SecretStr
    project_id: str
    organization_id: str
    smtp_unlocked: bool = True
    quota_servers: int = 50
    quota_ips: int = 20
    allocating_s: float = 0.3
    provisioning_s: float = 0.4
    booting_kernel_s: float = 2.0
    stopping_s: float = 0.5
    terminating_s: float = 1.0
    detaching_s: float = 1.0
    ipam_reverse_s: float = 0.8
