"""Where persons can be told something, and what they chose about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from thap.kernel.policy.records import grants, people
from thap.kernel.store import Transaction
from thap.kernel.units import PROVINCE_CODE
from thap.respond.notify.records import notice_channels, notice_preferences

__all__ = [
    "Channel",
    "Preferences",
    "channels_of",
    "preferences_of",
    "put_preferences",
    "reachable",
    "role_holders",
]


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """One way to a person."""

    channel: str
    """Name of a channel of the settings, as `email`."""
    address: str
    enabled: bool = True
    urgent_only: bool = False


class Preferences(msgspec.Struct, frozen=True, kw_only=True):
    """What a person chose."""

    login: str
    language: str = "vi"
    quiet_from: int | None = None
    """Minutes after midnight, Việt Nam's time; with `quiet_until`, None for no quiet hours."""
    quiet_until: int | None = None
    channels: list[Channel] = msgspec.field(default_factory=list)


_C, _P = notice_channels.c, notice_preferences.c
_CHANNELS = (
    sa.select(_C.channel, _C.address, _C.enabled, _C.urgent_only)
    .where(_C.login == sa.bindparam("login"))
    .order_by(_C.id)
)
_PREFERENCES = sa.select(_P.language, _P.quiet_from, _P.quiet_until).where(_P.login == sa.bindparam("login"))
_PERSON = sa.select(people.c.email, people.c.language, people.c.disabled).where(people.c.login == sa.bindparam("login"))
_HOLDERS = (
    sa.select(people.c.login)
    .join(grants, grants.c.person_id == people.c.id)
    .where(
        grants.c.unit == sa.bindparam("unit"),
        sa.or_(grants.c.role == sa.bindparam("role"), sa.bindparam("role") == ""),
        sa.or_(grants.c.until.is_(None), grants.c.until > sa.bindparam("now")),
        people.c.disabled.is_(None),
    )
    .distinct()
    .order_by(people.c.login)
)
_FORGET = sa.delete(notice_channels).where(_C.login == sa.bindparam("row_login"))
_FORGET_PREFERENCES = sa.delete(notice_preferences).where(_P.login == sa.bindparam("row_login"))
_ADD = sa.insert(notice_channels)
_ADD_PREFERENCES = sa.insert(notice_preferences)


def channels_of(tx: Transaction, login: str, urgent: bool) -> list[Channel]:
    """The ways to a person, open for this: their own, else the e-mail address they are known by."""
    rows = [Channel(channel=c, address=a, enabled=bool(e), urgent_only=bool(u)) for c, a, e, u in _rows(tx, login)]
    person = tx.rows(_PERSON, {"login": login})
    if person and person[0][2] is not None:  # disabled
        return []
    if not rows and person and person[0][0]:
        rows = [Channel(channel="email", address=str(person[0][0]))]
    return [one for one in rows if one.enabled and (urgent or not one.urgent_only)]


def reachable(tx: Transaction, logins: Sequence[str], urgent: bool) -> list[str]:
    """Those of them to whom there is a way."""
    return [login for login in logins if channels_of(tx, login, urgent)]


def preferences_of(tx: Transaction, login: str) -> Preferences:
    """What a person chose; what everybody begins with, where they chose nothing."""
    found = tx.rows(_PREFERENCES, {"login": login})
    channels = [Channel(channel=c, address=a, enabled=bool(e), urgent_only=bool(u)) for c, a, e, u in _rows(tx, login)]
    language, low, high = "vi", None, None
    if found:
        language, low, high = found[0]
    elif person := tx.rows(_PERSON, {"login": login}):
        language = str(person[0][1])[:2]
    return Preferences(login=login, language=language, quiet_from=low, quiet_until=high, channels=channels)


def put_preferences(tx: Transaction, chosen: Preferences, now: int) -> None:
    """Keep what a person chose, in place of what they chose before."""
    tx.run(_FORGET, [{"row_login": chosen.login}])
    tx.run(_FORGET_PREFERENCES, [{"row_login": chosen.login}])
    row: dict[str, Any] = {
        "login": chosen.login,
        "language": chosen.language,
        "quiet_from": chosen.quiet_from,
        "quiet_until": chosen.quiet_until,
        "changed": now,
    }
    tx.run(_ADD_PREFERENCES, [row])
    if chosen.channels:
        tx.run(_ADD, [{"login": chosen.login, **msgspec.structs.asdict(one)} for one in chosen.channels])


def role_holders(tx: Transaction, unit: str, role: str, now: int) -> list[str]:
    """Logins of those who have a role in a unit; '' for the unit is the province, '' for the role any."""
    return [str(row[0]) for row in tx.rows(_HOLDERS, {"unit": unit or PROVINCE_CODE, "role": role, "now": now})]


def _rows(tx: Transaction, login: str) -> Sequence[Sequence[Any]]:
    return tx.rows(_CHANNELS, {"login": login})
