"""What the vault counts. Labels are purposes, never ids."""

from __future__ import annotations

from prometheus_client import Counter

DECRYPTED = Counter(
    "sendchief_vault_decrypted_total", "Secrets decrypted by this process, by purpose.", ["purpose"]
)
DATA_KEYS_UNWRAPPED = Counter(
    "sendchief_vault_data_keys_unwrapped_total", "Data keys that the key service opened for this process."
)
EXPORTS_REDEEMED = Counter("sendchief_vault_exports_redeemed_total", "One-time links used.", ["format"])
REWRAPPED = Counter(
    "sendchief_vault_rewrapped_total", "Keys moved to another wrapping by a rotation.", ["kind"]
)
REWRAP_REFUSED = Counter(
    "sendchief_vault_rewrap_refused_total",
    "Secrets' keys and data keys that did not open when a rotation came by.",
)
