"""What a person fills in for a warning, what is still missing, and the CAP alert it becomes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from thap.kernel.clock import DAY_US, MINUTE_US, SECOND_US, VIETNAM, from_us, parse_time_us
from thap.kernel.errors import InputError
from thap.respond.warnings.areas import Shapes, commune_areas, drawn_areas, ring_of
from thap.respond.warnings.cap import (
    Alert,
    Category,
    Certainty,
    Info,
    Response,
    Severity,
    Urgency,
)
from thap.respond.warnings.wording import LANGUAGES, Language, domain_defaults, severity_word, word

__all__ = ["Both", "Draft", "Heading", "cancelling", "compose", "from_incident", "problems", "updating"]

LONGEST_DAYS = 31
"""A warning that holds longer is not renewed by anybody; it is written anew."""
_HEADLINE = 160
"""CAP 1.2: some receivers show no more."""
_UNWRITABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff\ud800-\udfff]")


def _writable(value: Any) -> Any:
    if isinstance(value, str):
        if _UNWRITABLE.search(value):
            raise ValueError("it has a character that XML cannot carry")
        return value.replace("\r\n", "\n").replace("\r", "\n").strip()
    return value


def _moment(value: Any) -> Any:
    if isinstance(value, (str, float)):
        try:
            return parse_time_us(value)
        except InputError as error:
            raise ValueError(str(error)) from None
    return value


Moment = Annotated[int, BeforeValidator(_moment), Field(ge=0, le=253_402_300_799_000_000)]
"""µs, or ISO 8601 when given as text."""


def _text(longest: int) -> Any:
    return Annotated[str, BeforeValidator(_writable), Field(max_length=longest)]


_Corner = Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=2, max_length=2)]
_Outline = Annotated[list[_Corner], Field(max_length=500)]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Both(_Form):
    """A text in both languages."""

    vi: _text(8000) = Field("", description="Vietnamese")  # type: ignore[valid-type]
    en: _text(8000) = Field("", description="English")  # type: ignore[valid-type]

    def of(self, language: Language) -> str:
        """In one language."""
        return str(self.vi if language == "vi" else self.en)


class Draft(_Form):
    """A warning as it is being written. It may be incomplete; submitting asks for what is missing."""

    status: Literal["Actual", "Exercise", "Test"] = Field("Actual", description="Whether it is meant in earnest")
    categories: list[Category] = Field(default_factory=list, max_length=12)
    event: Both = Field(default_factory=Both, description="Kind of event, in a few words")
    responses: list[Response] = Field(default_factory=list, max_length=9, description="What people should do")
    urgency: Urgency = "Unknown"
    severity: Severity = "Unknown"
    certainty: Certainty = "Unknown"
    onset: Moment | None = Field(None, description="When it is expected to begin: µs since 1970 UTC, or ISO 8601")
    expires: Moment | None = Field(None, description="Until when the warning holds")
    headline: Both = Field(default_factory=Both, description=f"At most {_HEADLINE} characters")
    description: Both = Field(default_factory=Both)
    instruction: Both = Field(default_factory=Both)
    web: _text(1000) = Field("", description="Address of a page with more, http or https")  # type: ignore[valid-type]
    contact: _text(500) = ""  # type: ignore[valid-type]
    note: _text(1000) = Field(  # type: ignore[valid-type]
        "", description="Why it is updated or cancelled"
    )
    communes: list[Annotated[str, Field(max_length=5)]] = Field(
        default_factory=list, max_length=102, description="Codes of communes; 82 for the whole province"
    )
    polygons: list[
        Annotated[list[Annotated[list[float], Field(min_length=2, max_length=2)]], Field(max_length=500)]
    ] = Field(default_factory=list, max_length=20, description="Drawn outlines: corners as [longitude, latitude]")


class Heading(BaseModel):
    """What the centre puts on a warning when it goes out."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    identifier: str
    sender: str
    sender_name: dict[str, str]
    """By language; where it is lacking the message files' own."""
    sent: int
    message_type: Literal["Alert", "Update", "Cancel"] = "Alert"
    references: tuple[Any, ...] = ()
    incident: str = ""
    web: str = ""
    """Where the warning can be read, if the draft names no page."""


def problems(draft: Draft, message_type: str, now: int) -> list[str]:
    """What keeps a draft from being submitted, in words; empty when nothing does."""
    found: list[str] = []

    def need(good: bool, words: str) -> None:
        if not good:
            found.append(words)

    need(bool(draft.categories), "categories: name at least one")
    for name in ("event", "headline", "description"):
        both: Both = getattr(draft, name)
        for language in LANGUAGES:
            need(bool(both.of(language)), f"{name}.{language}: is empty")
    if message_type != "Cancel":
        need(bool(draft.instruction.vi) == bool(draft.instruction.en), "instruction: is there in one language only")
        for name in ("urgency", "severity", "certainty"):
            need(getattr(draft, name) != "Unknown", f"{name}: is not chosen")
    for language in LANGUAGES:
        length = len(draft.headline.of(language))
        need(length <= _HEADLINE, f"headline.{language}: {length} characters, {_HEADLINE} are shown")
        need("\n" not in draft.headline.of(language), f"headline.{language}: has more than one line")
    need(bool(draft.communes or draft.polygons), "communes or polygons: say where it holds")
    if draft.expires is None:
        need(False, "expires: say until when it holds")
    else:
        need(draft.expires >= now + MINUTE_US, "expires: lies in the past")
        need(draft.expires <= now + LONGEST_DAYS * DAY_US, f"expires: lies more than {LONGEST_DAYS} days ahead")
        need(draft.onset is None or draft.onset < draft.expires, "expires: lies before onset")
    if message_type in ("Update", "Cancel"):
        need(bool(draft.note), "note: say why it is updated or cancelled")
    if draft.web:
        need(_is_address(draft.web), "web: is no http or https address")
    try:
        commune_areas(draft.communes, {}, "vi")
        for index, polygon in enumerate(draft.polygons):
            ring_of(polygon, f"polygons.{index}")
    except InputError as error:
        found.append(str(error))
    return found


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and not re.search(r'[\s<>"{}|\\^`\[\]]', text)
    except ValueError:
        return False


def compose(draft: Draft, heading: Heading, shapes: Shapes) -> Alert:
    """The alert that a complete draft becomes.

    Raises:
        InputError: a commune or a polygon is none.
    """
    rings = [ring_of(polygon, f"polygons.{index}") for index, polygon in enumerate(draft.polygons)]

    def info(language: Language) -> Info:
        return Info(
            language=LANGUAGES[language],
            categories=tuple(draft.categories),
            event=draft.event.of(language),
            responses=tuple(draft.responses),
            urgency=draft.urgency,
            severity=draft.severity,
            certainty=draft.certainty,
            effective=heading.sent,
            onset=None if draft.onset is None else draft.onset // SECOND_US * SECOND_US,
            expires=None if draft.expires is None else draft.expires // SECOND_US * SECOND_US,
            sender_name=heading.sender_name.get(language) or word(language, "sender_name"),
            headline=_marked(draft, draft.headline.of(language), language),
            description=draft.description.of(language),
            instruction=draft.instruction.of(language),
            web=draft.web or heading.web,
            contact=draft.contact,
            areas=commune_areas(draft.communes, shapes, language) + drawn_areas(rings, shapes, language),
        )

    return Alert(
        identifier=heading.identifier,
        sender=heading.sender,
        sent=heading.sent,
        status=draft.status,
        message_type=heading.message_type,
        note=draft.note,
        references=tuple(heading.references),
        incidents=(heading.incident,) if heading.incident else (),
        infos=(info("vi"), info("en")),
    )


def _marked(draft: Draft, headline: str, language: Language) -> str:
    """An exercise or test says so where people look first, whatever their device makes of `status`."""
    mark = {"Exercise": "exercise", "Test": "test"}.get(draft.status)
    return headline if mark is None else f"[{word(language, mark)}] {headline}"


def from_incident(incident: Mapping[str, Any], now: int) -> Draft:
    """A draft with what an incident says already.

    Args:
        incident: its title, description, domain, severity, commune, unit, lon and lat; what is lacking is left open.
        now: µs.
    """
    domain = str(incident.get("domain") or "")
    commune = str(incident.get("commune") or "")
    categories, responses = domain_defaults(domain)
    codes = [commune] if commune else []
    try:
        places = {
            language: ", ".join(area.description for area in commune_areas(codes, {}, language))
            for language in LANGUAGES
        }
    except InputError:
        codes, places = [], {}

    def headline(language: Language) -> str:
        event = word(language, f"events.{domain}")
        if language == "vi":  # within a sentence
            event = event[:1].lower() + event[1:]
        place = places.get(language)
        said = word(language, "headline" if place else "headline_anywhere", event=event, place=place)
        return said[:_HEADLINE]

    title, described = str(incident.get("title") or ""), str(incident.get("description") or "")
    return Draft.model_validate(
        {
            "categories": categories,
            "responses": responses,
            "event": {language: word(language, f"events.{domain}") for language in LANGUAGES},
            "severity": severity_word(int(incident.get("severity") or 0)),
            "urgency": "Expected",
            "certainty": "Likely",
            "expires": (now + DAY_US) // SECOND_US * SECOND_US,
            "headline": {language: headline(language) for language in LANGUAGES},
            "description": {"vi": _UNWRITABLE.sub(" ", ". ".join(part for part in (title, described) if part))[:8000]},
            "instruction": {language: word(language, f"instructions.{domain}") for language in LANGUAGES},
            "communes": codes,
        }
    )


def updating(earlier: Draft) -> Draft:
    """The draft of an update begins as what it updates."""
    return earlier.model_copy(update={"note": ""}, deep=True)


def cancelling(earlier: Draft, now: int) -> Draft:
    """The draft of a cancellation: for the same place, its words made ready."""
    time = from_us(now).astimezone(VIETNAM).strftime("%d/%m/%Y %H:%M")
    return Draft.model_validate(
        earlier.model_dump()
        | {
            "responses": ["AllClear"],
            "urgency": "Past",
            "onset": None,
            "note": "",
            "expires": (max(earlier.expires or 0, now + DAY_US)) // SECOND_US * SECOND_US,
            "headline": {
                language: word(language, "cancel_headline", headline=earlier.headline.of(language))[:_HEADLINE]
                for language in LANGUAGES
            },
            "description": {language: word(language, "cancel_description", time=time) for language in LANGUAGES},
            "instruction": {language: word(language, "cancel_instruction") for language in LANGUAGES},
        }
    )
