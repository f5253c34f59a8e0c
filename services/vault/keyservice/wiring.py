"""What the key service's process is put together from. Nothing else of the vault may reach a KMS."""

from __future__ import annotations

from pathlib import Path

from services.vault.errors import KeyServiceDenied
from services.vault.keyservice import keyring
from services.vault.keyservice.providers.answers import MAX_BYTES
from services.vault.keyservice.providers.scaleway import ScalewayKeyManager
from services.vault.keyservice.providers.transit import Transit
from services.vault.keyservice.root_keys import KeyringStore, Stores
from services.vault.keyservice.settings import KeyServiceSettings
from services.vault.ports import RootKeyStore
from services.vault.secret_bytes import SecretBytes
from shared.http import AsyncClient, vendor_client
from shared.observability.logging import get_logger

LONGEST_TOKEN = 8192

logger = get_logger(__name__)


def build_stores(settings: KeyServiceSettings) -> tuple[Stores, KeyringStore | None]:
    """All stores that are configured, that which wraps first; and the keyring, if it is one of them.

    Raises KeyringUnsafe, OSError. A KMS is not asked yet: it may be away for a while.
    """
    ring = None
    found: dict[str, RootKeyStore] = {}
    if settings.keyring_file is not None:
        found["keyring"] = ring = KeyringStore(keyring.load(settings.keyring_file))
    if settings.has("scaleway"):
        found["scaleway"] = _scaleway(settings)
    if settings.has("transit"):
        found["transit"] = _transit(settings)
    first = found.pop(settings.root_keys)
    return Stores([first, *found.values()]), ring


def _scaleway(settings: KeyServiceSettings) -> ScalewayKeyManager:
    assert settings.scaleway_secret_key is not None
    headers = {"X-Auth-Token": settings.scaleway_secret_key.get_secret_value()}
    client = _client(settings, settings.scaleway_url, headers)
    return ScalewayKeyManager(client, region=settings.scaleway_region, key_id=str(settings.scaleway_key_id))


def _transit(settings: KeyServiceSettings) -> Transit:
    file = settings.transit_token_file
    assert file is not None
    headers = {"X-Vault-Namespace": settings.transit_namespace} if settings.transit_namespace else {}
    client = _client(settings, settings.transit_url, headers)
    return Transit(
        client, mount=settings.transit_mount, key=settings.transit_key, token=lambda: read_token(file)
    )


def _client(settings: KeyServiceSettings, url: str, headers: dict[str, str]) -> AsyncClient:
    seconds = settings.kms_timeout_seconds
    return vendor_client(
        url, settings.kms_ca_file, seconds, headers=headers, max_bytes=MAX_BYTES, max_seconds=seconds
    )


def read_token(file: Path) -> SecretBytes:
    """The token of the file as it is now. Raises KeyServiceDenied when there is none."""
    try:
        with file.open("rb") as opened:
            token = opened.read(LONGEST_TOKEN).strip()
    except OSError as error:
        logger.error("the token of the KMS cannot be read", file=str(file), detail=error.strerror)
        raise KeyServiceDenied("transit") from None
    if not token.isascii() or not token.decode().isprintable() or not token:
        logger.error("the token of the KMS is none", file=str(file))
        raise KeyServiceDenied("transit")
    return SecretBytes(token)
