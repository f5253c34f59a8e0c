from __future__ import annotations

import re

import pytest
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from services.vault import passwords, verifiers
from services.vault.secret_bytes import SecretBytes


def test_passwords_are_long_plain_and_begin_alphanumerically() -> None:
    made = {passwords.generate().reveal().decode() for _ in range(500)}
    assert len(made) == 500
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{23,}", password) for password in made)


@pytest.mark.asvs("11.5.1")
def test_every_character_of_the_alphabet_occurs() -> None:
    seen = "".join(passwords.generate().reveal().decode() for _ in range(500))
    assert set(seen) == set(passwords.ALPHABET)


@pytest.mark.asvs("11.4.2")
async def test_a_verifier_has_the_agreed_parameters_and_verifies() -> None:
    verifier = await verifiers.make(SecretBytes(b"Abc-123"))
    assert verifier.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert PasswordHasher().verify(verifier, "Abc-123")
    with pytest.raises(VerifyMismatchError):
        PasswordHasher().verify(verifier, "Abc-124")


async def test_two_verifiers_of_one_password_differ() -> None:
    assert await verifiers.make(SecretBytes(b"x")) != await verifiers.make(SecretBytes(b"x"))
