"""What keeps the form for people: a signed form, a trap, a proof of work or a sum, and counts for each address.

No service outside is asked, no picture must be read, and a browser without scripts can do it too:

| sent by            | must show                                           | how often (settings)            |
|--------------------|-----------------------------------------------------|---------------------------------|
| browser, scripts   | a number whose SHA-256 with the form's token begins  | `per_hour`, `per_day`           |
|                    | with `proof_bits` zero bits                         |                                 |
| browser, no script | the answer of the sum asked in the form             | `unproven_per_hour` of these    |
| machine            | its API key                                         | `machine_per_minute`            |
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import ipaddress
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from itsdangerous import BadData, SignatureExpired, URLSafeTimedSerializer

from thap.kernel.clock import HOUR_US, MINUTE_US, now_us, to_us
from thap.kernel.errors import InputError, ThapError
from thap.kernel.settings import Settings
from thap.kernel.store import Transaction
from thap.services.reports.records import ReportRows

__all__ = ["Form", "FormGuard", "TooManyError", "leading_zero_bits", "network_of"]

_SLOT_US = 5 * MINUTE_US
_KEEP_US = 25 * HOUR_US


class TooManyError(ThapError):
    """More was sent than the limits allow."""

    code, status = "too_many", 429


@dataclass(frozen=True, slots=True)
class Form:
    """One opened form."""

    token: str
    nonce: str
    """Sending the same form twice makes one report."""
    sum: tuple[int, int]
    """The two numbers whose sum browsers without scripts are asked for."""


def leading_zero_bits(token: str, proof: str) -> int:
    """How many zero bits the SHA-256 of `token:proof` begins with."""
    digest = hashlib.sha256(f"{token}:{proof}".encode()).digest()
    return 256 - int.from_bytes(digest, "big").bit_length()


def network_of(peer: str, forwarded: str, trusted: Sequence[str]) -> str:
    """The address a request came from: a trusted proxy's word for it, nobody else's; of IPv6 the /64.

    Args:
        peer: address of the other end of the connection.
        forwarded: header `X-Forwarded-For`, empty for none.
        trusted: networks of proxies.
    """
    networks = [ipaddress.ip_network(one, strict=False) for one in trusted]
    chain = [part.strip() for part in forwarded.split(",") if part.strip()]
    address = peer
    while chain:
        try:
            here = ipaddress.ip_address(address)
        except ValueError:
            break
        if not any(here in network for network in networks if network.version == here.version):
            break
        address = chain.pop()
    try:
        found = ipaddress.ip_address(address.strip("[]"))
    except ValueError:
        return address[:64]
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)


class FormGuard:
    """Issues forms and judges what comes back.

    Args:
        settings: limits, and `run/reports.key`, the secret that forms are signed and addresses hashed with.
    """

    def __init__(self, settings: Settings) -> None:
        self._limits = settings.reports
        self._secret = _secret(settings.run_dir / "reports.key")
        self._forms = URLSafeTimedSerializer(self._secret, salt="report-form")

    def issue(self) -> Form:
        """A form to fill in."""
        nonce, pair = secrets.token_urlsafe(12), (secrets.randbelow(8) + 2, secrets.randbelow(8) + 2)
        return Form(self._forms.dumps([nonce, *pair]), nonce, pair)

    def judge(self, token: str, proof: str, answer: str, trap: str) -> tuple[str, bool]:
        """The nonce of a form that came back, and whether work was proved for it.

        Raises:
            InputError: it was not made here, is too old, came too fast, fell into the trap, or neither work nor
                sum is right. `where` is `form`, `trap` or `proof`.
        """
        try:
            read, signed = self._forms.loads(token, max_age=int(self._limits.form_hours * 3600), return_timestamp=True)
            nonce, one, two = str(read[0]), int(read[1]), int(read[2])
        except SignatureExpired:
            raise InputError("this form was opened too long ago", where="form", hint="send it again") from None
        except (BadData, ValueError, TypeError, IndexError, UnicodeError):
            raise InputError("this form was not opened here", where="form", hint="open the page again") from None
        if trap.strip():
            raise InputError("a field that people do not see was filled in", where="trap", hint="leave it empty")
        if now_us() - to_us(signed) < (self._limits.least_s - 1) * 1_000_000:  # the stamp is in whole seconds
            raise InputError("this was faster than anybody writes", where="trap", hint="send it again")
        if proof and len(proof) <= 20 and leading_zero_bits(token, proof) >= self._limits.proof_bits:
            return nonce, True
        if answer.strip() != str(one + two):
            raise InputError("the sum is not right", where="proof", hint="write the number")
        return nonce, False

    def key_of(self, address: str) -> str:
        """A name of an address that cannot be read back without the secret."""
        return hmac.new(self._secret, address.encode(), hashlib.sha256).hexdigest()

    def count(self, tx: Transaction, address: str, proven: bool) -> None:
        """Count a report of an address in the transaction that keeps it.

        Raises:
            TooManyError: the address has sent as many as it may.
        """
        rows, slot = ReportRows(tx), now_us() // _SLOT_US
        hour, day = slot - 11, slot - 24 * 12 + 1
        key, plain = self.key_of(address), self.key_of(f"unproven {address}")
        for counted, since, most in (
            (key, hour, self._limits.per_hour),
            (key, day, self._limits.per_day),
            *(((plain, hour, self._limits.unproven_per_hour),) if not proven else ()),
        ):
            if rows.counted(counted, since) >= most:
                raise TooManyError(
                    "too many reports came from this address", where="address", hint="try again in an hour"
                )
        rows.count(key, slot)
        if not proven:
            rows.count(plain, slot)

    def count_machine(self, tx: Transaction, client: str) -> None:
        """Count a report that came with an API key. Raises as `count`."""
        rows, slot = ReportRows(tx), now_us() // MINUTE_US
        key = self.key_of(f"machine {client}")
        if rows.counted(key, slot) >= self._limits.machine_per_minute:
            raise TooManyError("too many reports came with this key", where="api_key", hint="try again in a minute")
        rows.count(key, slot)


def prune_limits(tx: Transaction, now: int) -> None:
    """Forget what was counted more than a day ago."""
    ReportRows(tx).prune_limits((now - _KEEP_US) // _SLOT_US)


def _secret(path: Path) -> bytes:
    """The secret in a file, made at first use; two processes that make it at once agree."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        temporary = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(32))
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)  # atomic, and never over another's
        temporary.unlink()
    return path.read_bytes()
