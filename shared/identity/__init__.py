"""Who is asking, and how services believe it."""

from shared.identity.files import FileSigner, FromFiles
from shared.identity.internal import HEADER, InternalVerifier, load_trust, mint_internal
from shared.identity.model import Identity, InternalIdentity
from shared.identity.tokens import (
    Signer,
    StrictVerifier,
    TokenRejected,
    TokenSigner,
    generate_private_pem,
    key_id,
    public_pem_of,
)

__all__ = [
    "HEADER",
    "FileSigner",
    "FromFiles",
    "Identity",
    "InternalIdentity",
    "InternalVerifier",
    "Signer",
    "StrictVerifier",
    "TokenRejected",
    "TokenSigner",
    "generate_private_pem",
    "key_id",
    "load_trust",
    "mint_internal",
    "public_pem_of",
]
