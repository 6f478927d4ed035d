"""Parameters of domains: what a file may say, what may be set, and that nothing that was set is lost."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thap.domains.domain import Domain, domains
from thap.domains.parameter_records import all_versions, load_parameters, parameter_versions, set_parameter
from thap.domains.parameters import Parameter, Parameters, shipped_parameters
from thap.kernel.errors import ConflictError, InputError, NotFoundError, SettingsError
from thap.kernel.records import Records

GOOD = """[speed_kn]
title = { vi = "Tốc độ", en = "Speed" }
value = 1.0
unit = "kn"
low = 0.1
high = 5.0
source = "a proposal"
confidence = "L"
"""
TITLE = {"vi": "Rừng", "en": "Forest"}


@pytest.fixture
def forest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Domain:
    """A domain with one parameter, in a package of its own."""
    package = f"forest_{abs(hash(request.node.name))}"
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text("")
    (tmp_path / package / "parameters.toml").write_text(getattr(request, "param", GOOD))
    monkeypatch.syspath_prepend(str(tmp_path))
    return Domain("forest", TITLE, package=package, parameters="parameters.toml")


def test_every_installed_domain_ships_parameters_within_their_bounds_and_with_a_source() -> None:
    for one in domains().values():
        for parameter in shipped_parameters(one).known.values():
            assert parameter.low <= parameter.value <= parameter.high
            assert parameter.source.strip() and parameter.title["vi"] and parameter.title["en"]


def test_a_domain_without_a_file_has_none() -> None:
    assert dict(shipped_parameters(Domain("sea", TITLE))) == {}


def test_a_shipped_value_is_read_with_all_that_is_known_of_it(forest: Domain) -> None:
    known = shipped_parameters(forest)
    assert dict(known) == {"speed_kn": 1.0}
    assert known.one("speed_kn") == Parameter(
        "speed_kn", known.one("speed_kn").title, 1, "kn", 0.1, 5, "a proposal", "L"
    )
    with pytest.raises(NotFoundError, match="did you mean 'speed_kn'"):
        known.one("sped_kn")


@pytest.mark.parametrize(
    ("forest", "says"),
    [
        (GOOD.replace('source = "a proposal"\n', ""), "speed_kn: give"),
        (GOOD + "note = 3\n", "speed_kn: give"),
        (GOOD.replace('en = "Speed"', 'fr = "Vitesse"'), "a title in vi and en"),
        (GOOD.replace('"L"', '"X"'), "a confidence of H, M or L"),
        (GOOD.replace("value = 1.0", "value = 9.0"), "not allowed"),
        (GOOD.replace("value = 1.0", "value = nan"), "not allowed"),
        (GOOD.replace("[speed_kn]", "[speed_kn"), "not valid TOML"),
        ("speed_kn = 3", "speed_kn: give"),
    ],
    indirect=["forest"],
)
def test_a_mistake_in_a_file_is_named(forest: Domain, says: str) -> None:
    with pytest.raises((SettingsError, InputError), match=says):
        shipped_parameters(forest)


@given(st.floats())
def test_only_finite_values_within_the_bounds_may_be_set(value: float) -> None:
    one = Parameter("speed_kn", TITLE, 1.0, "kn", 0.1, 5.0, "a proposal", "L")
    if math.isfinite(value) and 0.1 <= value <= 5.0:
        assert one.check(value) == value
    else:
        with pytest.raises(InputError, match=r"between 0.1 and 5 kn"):
            one.check(value)


@given(st.lists(st.one_of(st.none(), st.floats(0.1, 5)), max_size=5))
def test_the_version_changes_with_every_change(values: list[float | None]) -> None:
    known = Parameters({"speed_kn": Parameter("speed_kn", TITLE, 1.0, "kn", 0.1, 5.0, "a proposal", "L")})
    seen = {known.version}
    for number, value in enumerate(values, start=1):
        later = known.with_values({"speed_kn": (value, "decision", number), "gone": (1.0, "old", 9)})
        assert later["speed_kn"] == (1.0 if value is None else value)
        assert later.one("speed_kn").confidence == ("L" if value is None else "H")
        assert later.version not in seen
        seen.add(later.version)


async def test_what_was_set_holds_is_kept_and_can_be_taken_back(either: Records, forest: Domain) -> None:
    async with either.write() as connection:
        assert (await load_parameters(connection, forest))["speed_kn"] == 1.0
        await set_parameter(connection, forest, "speed_kn", 2.0, "QĐ 12", version=0, by="lan", now=10)
        await set_parameter(connection, forest, "speed_kn", 3.0, "QĐ 13", version=1, by="hoa", now=20)
    async with either.read() as connection:
        one = (await load_parameters(connection, forest)).one("speed_kn")
        assert (one.value, one.source, one.confidence, one.version) == (3.0, "QĐ 13", "H", 2)
    async with either.write() as connection:
        await set_parameter(connection, forest, "speed_kn", None, "", version=2, by="hoa", now=30)
    async with either.read() as connection:
        one = (await load_parameters(connection, forest)).one("speed_kn")
        assert (one.value, one.source, one.version) == (1.0, "a proposal", 3)
        versions = await parameter_versions(connection, forest, "speed_kn")
        assert [(each.version, each.value, each.changed_by) for each in versions] == [
            (3, None, "hoa"),
            (2, 3.0, "hoa"),
            (1, 2.0, "lan"),
        ]
        assert await all_versions(connection, forest) == {"speed_kn": list(versions)}
        with pytest.raises(NotFoundError):
            await parameter_versions(connection, forest, "depth")


async def test_nothing_is_set_outside_the_bounds_without_a_source_or_over_another(
    either: Records, forest: Domain
) -> None:
    async with either.write() as connection:
        with pytest.raises(InputError, match=r"9 is not allowed"):
            await set_parameter(connection, forest, "speed_kn", 9.0, "QĐ 12", version=0, by="lan", now=10)
        with pytest.raises(InputError, match="where it is from"):
            await set_parameter(connection, forest, "speed_kn", 2.0, "  ", version=0, by="lan", now=10)
        with pytest.raises(ConflictError, match="version 0"):
            await set_parameter(connection, forest, "speed_kn", 2.0, "QĐ 12", version=4, by="lan", now=10)
        with pytest.raises(NotFoundError):
            await set_parameter(connection, forest, "depth", 2.0, "QĐ 12", version=0, by="lan", now=10)
        assert await all_versions(connection, forest) == {}


async def test_of_two_who_set_it_at_once_one_is_told(either: Records, forest: Domain) -> None:
    async def put(by: str, value: float) -> str:
        try:
            async with either.write() as connection:
                await set_parameter(connection, forest, "speed_kn", value, "QĐ 12", version=0, by=by, now=10)
            return "kept"
        except ConflictError:
            return "refused"

    assert sorted(await asyncio.gather(put("lan", 2.0), put("hoa", 3.0))) == ["kept", "refused"]
    async with either.read() as connection:
        assert len(await parameter_versions(connection, forest, "speed_kn")) == 1
