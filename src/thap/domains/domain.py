"""A domain: one field a province watches, with everything the centre needs to know about it.

A package of its own adds one by an entry point of the group `thap.domains` that names a `Domain`:

    [project.entry-points."thap.domains"]
    forest = "forest_watch:DOMAIN"
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import resources
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

import structlog

from thap.detect.detector import Detector
from thap.detect.rules import Rule
from thap.detect.ruletext import read_rules
from thap.kernel.errors import NotFoundError, SettingsError

if TYPE_CHECKING:
    from thap.domains.world import World

__all__ = ["Domain", "Layer", "domain", "domains"]

GROUP = "thap.domains"
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Layer:
    """Something a domain shows on the map, to be turned on and off: areas, lines or points that rarely change."""

    name: str
    """Unique in the domain: lower-case letters, digits and `_`, at most 32."""
    title: dict[str, str]
    """By language: `vi` and `en`."""
    features: Callable[[], dict[str, Any]] | None = None
    """Gives a GeoJSON FeatureCollection, WGS 84; a feature's property `title` is shown. Called off the event loop."""
    rules: tuple[str, ...] = ()
    """Instead of `features`: the areas of these geofence rules, as they are in force when the map asks."""
    live: str = ""
    """Instead of `features`, what the records and latest values say now: `package.api:function`, an async function of a
    `thap.web.deps.Centre` and the `Caller`, who is shown only what they may see; gives a FeatureCollection."""
    colour: str = ""
    """As #c08a3e; the console chooses one where this is empty."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", self.name):
            raise SettingsError(
                f"{self.name!r} is not a name for a layer", hint="use lower-case letters, digits and _, at most 32"
            )
        if not {"vi", "en"} <= self.title.keys():
            raise SettingsError(f"layer {self.name}: its title needs `vi` and `en`")
        if (self.features is not None) + bool(self.rules) + bool(self.live) != 1:
            raise SettingsError(f"layer {self.name}: give either `features`, `rules` or `live`")
        if self.colour and not re.fullmatch(r"#[0-9a-f]{6}", self.colour):
            raise SettingsError(f"layer {self.name}: {self.colour!r} is not a colour", hint="write it as #c08a3e")


@dataclass(frozen=True, slots=True)
class Domain:
    """What a domain brings. Everything but name and title may be left out."""

    name: str
    """As in `things.domain` and `movers.domain`: lower-case letters, at most 32."""
    title: dict[str, str]
    """By language: `vi` and `en`."""
    package: str = ""
    """Where its files lie, as `thap.domains.sand`."""
    rules: str = ""
    """Its rules file in the package, as `rules.toml`; empty for none."""
    demo: Callable[[World], None] | None = None
    """Adds its stations, movers and planted events to a demo world."""
    detectors: tuple[type[Detector], ...] = ()
    """Detectors of its own, beside the general ones its rules use."""
    indicators: str = ""
    """Its indicators, as `package.indicators:INDICATORS`; named, so that only who counts them imports them."""
    api: str = ""
    """Its routes, as `package.api:router`; named, not imported: of a domain's modules only this one knows the web."""
    parts: tuple[str, ...] = ()
    """Its background work, each as `package.module:part`, a function of a `thap.respond.parts.Context` that gives a
    `Part`; run by the role `respond`. Named, so that only that role imports them."""
    parameters: str = ""
    """Its parameters file in the package, as `parameters.toml`; see `thap.domains.parameters`. Empty for none."""
    tables: tuple[str, ...] = field(default=())
    """Modules that declare its tables."""
    layers: tuple[Layer, ...] = ()
    """What it shows on the map."""

    def __post_init__(self) -> None:
        if not (self.name.isascii() and self.name.isalpha() and self.name.islower() and len(self.name) <= 32):
            raise SettingsError(f"{self.name!r} is not a name for a domain", hint="use lower-case letters, at most 32")
        if not {"vi", "en"} <= self.title.keys():
            raise SettingsError(f"domain {self.name}: its title needs `vi` and `en`")
        if (self.rules or self.demo or self.parameters) and not self.package:
            raise SettingsError(f"domain {self.name}: files need the package they lie in")

    def rules_text(self) -> str:
        """Its rules, TOML; empty where it has none."""
        if not self.rules:
            return ""
        return resources.files(self.package).joinpath(self.rules).read_text("utf-8")

    def read_rules(self) -> dict[str, Rule]:
        """Its rules by name.

        Raises:
            RuleError: its rules file has a mistake.
        """
        text = self.rules_text()
        return {rule.name: rule for rule in read_rules(text, f"{self.package}/{self.rules}")} if text else {}


def domains() -> dict[str, Domain]:
    """All domains installed here, by name, in alphabetical order.

    One that cannot be imported is left out with a line in the log: a broken package must not stop the centre.

    Raises:
        SettingsError: two packages bring a domain of one name.
    """
    found: dict[str, Domain] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        try:
            made = point.load()
        except Exception as error:  # whatever a foreign package raises while it is imported
            _log.error("domain cannot be loaded", domain=point.name, where=point.value, reason=repr(error))
            continue
        if not isinstance(made, Domain):
            _log.error("entry point does not name a Domain", domain=point.name, where=point.value)
            continue
        if made.name in found:
            raise SettingsError(
                f"two packages bring a domain `{made.name}`", where=point.value, hint="uninstall one of them"
            )
        found[made.name] = made
    return dict(sorted(found.items()))


def domain(name: str) -> Domain:
    """The domain of a name.

    Raises:
        NotFoundError: none of that name is installed.
    """
    found = domains()
    if name not in found:
        raise NotFoundError(f"no domain is called {name!r}", hint=f"there are {', '.join(found)}")
    return found[name]
