"""What a report may show of people: masked senders, and words without numbers that lead to somebody."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import orjson

__all__ = ["Sender", "mask_email", "mask_name", "mask_phone", "masked", "redact", "redact_json"]

_DOT = "•"
_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+")
_NUMBER = re.compile(r"(?<![\w.,])(?:\+|00)?\d(?:[\s.-]?\d){7,14}(?![\w])")
_PLATE = re.compile(r"\b\d{2}[\s-]?[A-Z]{1,2}\d?[\s-]?\d{3}[.\s]?\d{2}\b")


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sent a report. Every part may be empty."""

    name: str = ""
    phone: str = ""
    email: str = ""
    address: str = ""
    account: str = ""
    device: str = ""

    @property
    def told(self) -> bool:
        """Whether they said anything about themselves."""
        return any((self.name, self.phone, self.email, self.address, self.account, self.device))


def mask_name(name: str) -> str:
    """`Nguyễn Văn An` as `N• V• A•`."""
    return " ".join(word[0] + _DOT for word in name.split())


def mask_phone(phone: str) -> str:
    """The last three digits."""
    digits = [mark for mark in phone if mark.isdigit()]
    return _DOT * max(len(digits) - 3, 0) + "".join(digits[-3:]) if len(digits) > 5 else _DOT * len(digits)


def mask_email(email: str) -> str:
    """`an.nguyen@example.vn` as `a•@example.vn`."""
    name, at, host = email.partition("@")
    return f"{name[:1]}{_DOT}{at}{host}" if at else _DOT * bool(email)


def masked(sender: Sender) -> Sender:
    """As people without `personal.read` see it: enough to know that somebody can be asked."""
    return Sender(
        name=mask_name(sender.name),
        phone=mask_phone(sender.phone),
        email=mask_email(sender.email),
        address=_DOT * 3 if sender.address else "",
        account=_DOT * 3 if sender.account else "",
        device=_DOT * 3 if sender.device else "",
    )


def redact(text: str) -> str:
    """A text without e-mail addresses, telephone and identity numbers, and licence plates."""
    for pattern in (_EMAIL, _PLATE, _NUMBER):
        text = pattern.sub(_DOT * 3, text)
    return text


def redact_json(text: str) -> str:
    """A JSON text whose strings are redacted."""

    def within(part: Any) -> Any:
        if isinstance(part, str):
            return redact(part)
        if isinstance(part, list):
            return [within(one) for one in part]
        return {name: within(one) for name, one in part.items()} if isinstance(part, dict) else part

    return orjson.dumps(within(orjson.loads(text))).decode()
