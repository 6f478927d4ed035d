"""Rules that are kept: versions, conflicts, files beside them."""

from __future__ import annotations

import asyncio

import pytest
from rule_world import rule_text

from thap.detect.records import (
    gather_rules,
    load_rules,
    put_rule,
    rule_history,
    set_enabled,
    stored_rules,
    switch_rule,
)
from thap.kernel.errors import ConflictError, NotFoundError, RuleError, ThapError
from thap.kernel.records import Records
from thap.kernel.settings import Settings

SELECT = 'select = { property = "level" }\n'


def body(limit: float, name: str = "r") -> str:
    return rule_text("threshold", f"{SELECT}above = {limit}  # metres", name)


async def test_every_version_of_a_rule_is_kept_with_who_and_when(records: Records) -> None:
    async with records.write() as connection:
        await put_rule(connection, body(1), "an", expected=0)
    async with records.write() as connection:
        await put_rule(connection, body(2), "binh", expected=1)
        await set_enabled(connection, "r", False, "chi")
    async with records.read() as connection:
        versions = await rule_history(connection, "r")
        current = (await stored_rules(connection))[0]
    assert [(v.version, v.changed_by, v.enabled) for v in versions] == [
        (3, "chi", False),
        (2, "binh", True),
        (1, "an", True),
    ]
    assert versions[0].body == versions[1].body == body(2).strip() + "\n"
    assert "# metres" in versions[2].body
    assert current == versions[0]
    assert versions[0].changed >= versions[2].changed > 0


@pytest.mark.parametrize("expected", [0, 2, 7])
async def test_a_change_from_a_version_that_is_not_the_latest_is_refused(records: Records, expected: int) -> None:
    async with records.write() as connection:
        await put_rule(connection, body(1), "an")
    with pytest.raises(ConflictError, match="version 1"):
        async with records.write() as connection:
            await put_rule(connection, body(2), "an", expected=expected)
    async with records.read() as connection:
        assert len(await rule_history(connection, "r")) == 1


async def test_of_many_who_change_the_same_version_one_succeeds(records: Records) -> None:
    async with records.write() as connection:
        await put_rule(connection, body(1), "an")

    async def change(who: int) -> bool:
        try:
            async with records.write() as connection:
                await put_rule(connection, body(who), str(who), expected=1)
        except ConflictError:
            return False
        return True

    assert sum(await asyncio.gather(*(change(who) for who in range(2, 10)))) == 1
    async with records.read() as connection:
        assert [v.version for v in await rule_history(connection, "r")] == [2, 1]


@pytest.mark.parametrize("text", ["", "nonsense", body(1) + body(2, "s"), body(1).replace("above", "abvoe")])
async def test_only_one_sound_rule_can_be_kept_at_a_time(records: Records, text: str) -> None:
    with pytest.raises(RuleError):
        async with records.write() as connection:
            await put_rule(connection, text, "an")


async def test_rules_of_files_and_records_are_in_force_together(settings: Settings, records: Records) -> None:
    settings.rules_dir.mkdir()
    (settings.rules_dir / "a.toml").write_text(body(1, "one") + body(2, "two") + body(3, "off") + "enabled = false\n")
    async with records.write() as connection:
        await put_rule(connection, body(4, "three"), "an")
        await put_rule(connection, body(5, "four"), "an")
        await set_enabled(connection, "four", False, "an")
    async with records.read() as connection:
        assert [rule.name for rule in await load_rules(settings, connection)] == ["one", "three", "two"]
        gathered = await gather_rules(settings, connection)
    assert {one.rule.name: one.rule.enabled for one in gathered.rules} == {
        "four": False,
        "off": False,
        "one": True,
        "three": True,
        "two": True,
    }
    assert gathered.find("one").origin.endswith("a.toml")
    with pytest.raises(NotFoundError):
        gathered.find("nobody")


async def test_of_two_rules_with_one_name_the_record_wins_and_then_the_first_file(
    settings: Settings, records: Records
) -> None:
    settings.rules_dir.mkdir()
    (settings.rules_dir / "a.toml").write_text(body(1, "one") + body(2, "two"))
    (settings.rules_dir / "b.toml").write_text(body(3, "two"))
    async with records.write() as connection:
        await put_rule(connection, body(4, "one"), "an")
    async with records.read() as connection:
        gathered = await gather_rules(settings, connection)
    assert {one.rule.name: one.rule.limit for one in gathered.rules} == {"one": 4.0, "two": 2.0}
    assert {(p.file, p.rule) for p in gathered.problems} == {("a.toml", "one"), ("b.toml", "two")}


async def test_a_broken_file_is_reported_and_stops_nothing_else(settings: Settings, records: Records) -> None:
    settings.rules_dir.mkdir()
    (settings.rules_dir / "broken.toml").write_text("[[rule]\n")
    (settings.rules_dir / "bytes.toml").write_bytes(b"# fine\n# \xff\xfe\n")
    (settings.rules_dir / "folder.toml").mkdir()
    (settings.rules_dir / "good.toml").write_text(body(1, "good") + body(1, "bad").replace("above", "abvoe"))
    async with records.read() as connection:
        assert [rule.name for rule in await load_rules(settings, connection)] == ["good"]
        problems = (await gather_rules(settings, connection)).problems
    assert [(p.file, p.line, p.column) for p in problems] == [
        ("broken.toml", 1, 7),
        ("bytes.toml", 2, 3),
        ("folder.toml", 1, 1),
        ("good.toml", 14, 1),
    ]


async def test_a_rule_in_a_file_is_switched_there(settings: Settings, records: Records) -> None:
    settings.rules_dir.mkdir()
    (settings.rules_dir / "a.toml").write_text(body(1))
    with pytest.raises(ConflictError, match="lives in a file") as caught:
        async with records.write() as connection:
            await switch_rule(settings, connection, "r", False, "an")
    assert isinstance(caught.value, ThapError)
    assert "enabled = false" in (caught.value.hint or "")
