"""Receipt codes: what a sender follows a report by."""

from __future__ import annotations

import hashlib
import secrets

__all__ = ["clean_receipt", "hash_receipt", "new_receipt"]

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's: no I, L, O, U
_RECEIPT = 12
_LOOKALIKE = str.maketrans("OIL", "011")


def new_receipt() -> str:
    """A code nobody guesses: 60 random bits, as `K7M2-9QXA-3FDT`."""
    code = "".join(secrets.choice(_ALPHABET) for _ in range(_RECEIPT))
    return "-".join(code[start : start + 4] for start in range(0, _RECEIPT, 4))


def clean_receipt(text: str) -> str:
    """A receipt code as somebody typed it, in the form it is kept; '' where it can be none."""
    code = "".join(mark for mark in text.upper() if mark.isalnum()).translate(_LOOKALIKE)
    if len(code) != _RECEIPT or any(mark not in _ALPHABET for mark in code):
        return ""
    return "-".join(code[start : start + 4] for start in range(0, _RECEIPT, 4))


def hash_receipt(receipt: str) -> str:
    """As it is kept: 60 random bits need no slow hash."""
    return hashlib.sha256(receipt.encode()).hexdigest()
