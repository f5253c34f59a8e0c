"""Which passwords people may choose: one policy for accounts and mailboxes, checked offline."""

from shared.passwords.breached import BreachedPasswords
from shared.passwords.policy import MAX_LENGTH, MIN_LENGTH, PasswordPolicy, PasswordRefused

__all__ = ["MAX_LENGTH", "MIN_LENGTH", "BreachedPasswords", "PasswordPolicy", "PasswordRefused"]
