"""What somebody reports, checked before anything is kept."""

from __future__ import annotations

import math
import re
from dataclasses import replace

from thap.kernel.errors import InputError, NotFoundError
from thap.kernel.places import commune, fold, search
from thap.services.reports.catalogue import Service, read_answers
from thap.services.reports.model import Draft
from thap.services.reports.privacy import Sender

__all__ = ["checked", "clean", "commune_in"]

_LONGEST = {"text": 4000, "place": 300, "media_url": 1000, "address_id": 64}
_EMAIL = re.compile(r"[^\s@<>,;:\"'\\]{1,64}@[\w-]{1,63}(\.[\w-]{1,63})+")
_PHONE = re.compile(r"\+?\d[\d\s.()-]{5,24}\d")
_NOT_TEXT = dict.fromkeys((0x7F, 0xFFFE, 0xFFFF))  # no XML may hold the last two


def checked(draft: Draft, service: Service) -> Draft:
    """A draft that holds together, its texts trimmed.

    Raises:
        InputError: it does not; `where` names the field.
    """
    texts = {name: clean(getattr(draft, name), name, most) for name, most in _LONGEST.items()}
    if (draft.lon is None) != (draft.lat is None):
        raise InputError("a point has both lat and long", where="place")
    if draft.lon is not None and draft.lat is not None:
        if not (
            math.isfinite(draft.lon) and math.isfinite(draft.lat) and abs(draft.lon) <= 180 and abs(draft.lat) <= 90
        ):
            raise InputError("this is not a point", where="place", hint="give degrees of WGS 84")
    elif not (texts["place"] or texts["address_id"] or draft.commune):
        raise InputError("where it is must be said", where="place", hint="give lat and long, or an address")
    if draft.commune:
        try:
            commune(draft.commune)
        except NotFoundError:
            raise InputError(f"no commune has the code {draft.commune[:20]!r}", where="commune") from None
    if draft.media_url and not re.fullmatch(r"https?://\S+", texts["media_url"]):
        raise InputError("this is no web address", where="media_url", hint="begin with https://")
    sender = draft.sender
    sender = Sender(
        name=clean(sender.name, "name", 200, line=True),
        phone=clean(sender.phone, "phone", 32, line=True),
        email=clean(sender.email, "email", 254, line=True),
        address=clean(sender.address, "address", 300, line=True),
        account=clean(sender.account, "account_id", 128, line=True),
        device=clean(sender.device, "device_id", 128, line=True),
    )
    if sender.email and not _EMAIL.fullmatch(sender.email):
        raise InputError("this is no e-mail address", where="email")
    if sender.phone and not _PHONE.fullmatch(sender.phone):
        raise InputError("this is no telephone number", where="phone")
    return replace(
        draft,
        text=texts["text"],
        place=texts["place"],
        media_url=texts["media_url"],
        address_id=texts["address_id"],
        sender=sender,
        answers=read_answers(service, draft.answers),
        language="en" if draft.language.lower().startswith("en") else "vi",
    )


def clean(text: str, where: str, most: int, *, line: bool = False) -> str:
    """Without control marks, trimmed.

    Raises:
        InputError: it is too long.
    """
    kept = "".join(mark for mark in text.replace("\r\n", "\n") if mark >= " " or (mark in "\n\t" and not line))
    kept = kept.translate(_NOT_TEXT).strip()
    if len(kept) > most:
        raise InputError(f"at most {most} characters", where=where)
    try:
        kept.encode()
    except UnicodeEncodeError:
        raise InputError("this is not text", where=where) from None
    return kept


def commune_in(place: str) -> str:
    """The commune an address names in one of its parts, the last first; '' for none."""
    for part in reversed(place.split(",")):
        wanted = fold(part)
        found = [unit for unit in search(part, 3) if wanted in (fold(unit.name), fold(unit.title))]
        if len(found) == 1:
            return found[0].code
    return ""
