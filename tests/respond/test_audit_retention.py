"""Old audit entries go by themselves, and an anchor of the newest is left outside the database."""

from __future__ import annotations

import asyncio

import pytest
import structlog

from thap.kernel.audit import Entry, append, verify
from thap.kernel.bus import Bus
from thap.kernel.clock import DAY_US, now_us
from thap.kernel.errors import SettingsError
from thap.kernel.records import Records
from thap.kernel.settings import Settings, load_settings
from thap.kernel.store import open_store
from thap.respond.audit_retention import part
from thap.respond.parts import PARTS, Context


async def test_a_round_forgets_what_is_past_its_time_and_no_more(
    records: Records, settings: Settings, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(records)
    for age in (settings.audit.keep_days + 1, settings.audit.keep_days - 1, 0):
        when = now_us() - age * DAY_US
        await store.transact(lambda tx, when=when: append(tx, [Entry("", "start", "centre")], when))
    made = part(Context(settings, records, bus, store))
    told = structlog.testing.CapturingLogger()
    monkeypatch.setattr("thap.respond.audit_retention._log", told)
    assert await made.round() == 1
    assert await made.round() == 0
    found = await verify(records)
    assert (found.first, found.last, found.broken_at) == (2, 4, None)
    assert [call.kwargs["anchor"] for call in told.calls] == [f"4:{found.hash}"]
    assert made.stats() == {"seq": 4, "lag": 0, "total": 1}
    task = asyncio.create_task(made.run())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await store.close()


def test_the_part_is_run_and_less_than_twelve_months_cannot_be_set(settings: Settings) -> None:
    assert "thap.respond.audit_retention:part" in PARTS
    (settings.data / "thap.toml").write_text("[audit]\nkeep_days = 365\n")
    with pytest.raises(SettingsError, match=r"audit\.keep_days"):
        load_settings(settings.data)
