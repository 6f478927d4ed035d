"""Domains are found by entry point, and each has its rooms."""

from __future__ import annotations

import importlib.metadata
from importlib import resources
from typing import Any

import pytest

from thap.domains.domain import Domain, domain, domains
from thap.kernel.errors import NotFoundError, SettingsError


def test_the_four_domains_are_installed() -> None:
    assert list(domains()) == ["rice", "sand", "traffic", "water"]


@pytest.mark.parametrize("name", ["rice", "sand", "traffic", "water"])
def test_each_domain_has_rules_a_demo_and_a_readme(name: str) -> None:
    one = domain(name)
    rules = one.read_rules()
    assert rules and all(rule.name.startswith(f"{name}.") and rule.domain == name for rule in rules.values())
    assert all(rule.source for rule in rules.values())
    assert one.demo is not None
    assert "## How it decides" in resources.files(one.package).joinpath("README.md").read_text("utf-8")


def test_an_unknown_domain_names_those_there_are() -> None:
    with pytest.raises(NotFoundError) as caught:
        domain("forest")
    assert "rice, sand" in str(caught.value)


class _Point:
    def __init__(self, name: str, made: Any) -> None:
        self.name, self.value, self._made = name, f"package:{name}", made

    def load(self) -> Any:
        if isinstance(self._made, Exception):
            raise self._made
        return self._made


def _install(monkeypatch: pytest.MonkeyPatch, *points: _Point) -> None:
    monkeypatch.setattr("thap.domains.domain.entry_points", lambda group: list(points))


FOREST = Domain(name="forest", title={"vi": "Rừng", "en": "Forest"})


def test_a_package_outside_adds_a_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    real = list(importlib.metadata.entry_points(group="thap.domains"))
    _install(monkeypatch, *real, _Point("forest", FOREST))  # type: ignore[arg-type]
    assert list(domains()) == ["forest", "rice", "sand", "traffic", "water"]
    assert FOREST.rules_text() == "" and FOREST.read_rules() == {}


def test_a_broken_package_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    _install(monkeypatch, _Point("broken", ImportError("no")), _Point("odd", "not a Domain"), _Point("forest", FOREST))
    assert list(domains()) == ["forest"]


def test_two_domains_of_one_name_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    _install(monkeypatch, _Point("forest", FOREST), _Point("other", FOREST))
    with pytest.raises(SettingsError, match="two packages"):
        domains()


@pytest.mark.parametrize(
    "given", [{"name": "Big"}, {"name": "a b"}, {"name": ""}, {"title": {"vi": "Rừng"}}, {"rules": "rules.toml"}]
)
def test_a_domain_that_does_not_hold_together_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        Domain(**{"name": "forest", "title": {"vi": "Rừng", "en": "Forest"}, **given})
