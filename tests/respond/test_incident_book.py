"""The incident book on real databases: one legal life, conflicts told, nothing without what hangs on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest
from bench.races import judge
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from thap.kernel import audit
from thap.kernel.clock import HOUR_US, now_us
from thap.kernel.errors import ConflictError, InputError, NotFoundError
from thap.kernel.records import Records
from thap.kernel.store import Store, Transaction, open_store
from thap.respond.incidents.book import IncidentBook, act, open_many
from thap.respond.incidents.followers import FOLLOWERS, default_followers
from thap.respond.incidents.listing import Scope
from thap.respond.incidents.model import Act, Draft, Incident, IncidentEvent, NewLink, Row, announcement
from thap.respond.incidents.records import IncidentRows, incidents

BY = "truc-ban"
DRAFT = Draft("Nước tràn bờ bao", domain="water", severity=3, unit="29869", commune="29869", lon=105.63, lat=10.46)


@pytest.fixture
async def store(either: Records) -> AsyncIterator[Store]:
    opened = open_store(either)
    yield opened
    await opened.close()


@pytest.fixture
def book(either: Records, store: Store) -> IncidentBook:
    """A book that nobody follows."""
    return IncidentBook(either, store, followers=())


async def opened(book: IncidentBook, **more: Any) -> int:
    event = await book.open(Draft(**{"title": "Nước tràn bờ bao", "domain": "water", **more}), BY)
    return event.incident


async def actions(book: IncidentBook, number: int) -> list[str]:
    return [event.action for event in reversed(await book.life(number))]


# Opening.


async def test_an_opened_incident_is_kept_as_it_was_told(book: IncidentBook) -> None:
    event = await book.open(DRAFT, BY)
    assert (event.id, event.incident, event.nth, event.action, event.from_state, event.to_state) == (
        *(1, 1, 1, "open", "", "open"),
    )
    incident = await book.get(event.incident)
    assert (incident.title, incident.domain, incident.severity, incident.unit, incident.commune) == (
        *("Nước tràn bờ bao", "water", 3, "29869", "29869"),
    )
    assert (incident.state, incident.version, incident.opened_by, incident.origin) == ("open", 1, BY, "hand")
    assert incident.opened == incident.changed == event.time
    assert (incident.owner, incident.acknowledged, incident.due, incident.merged_into) == ("", None, None, None)
    assert await book.life(event.incident) == [event]


async def test_a_draft_that_does_not_hold_together_opens_nothing(records: Records) -> None:
    book = IncidentBook(records, followers=())
    bad: list[dict[str, Any]] = [
        *({"title": " "}, {"title": "x" * 201}, {"title": "a\x00b"}, {"title": 5}),
        *({"severity": 0}, {"severity": 5}, {"severity": True}, {"severity": "3"}),
        *({"unit": "x" * 33}, {"commune": "x" * 17}, {"domain": "x" * 33}, {"owner": "x" * 65}, {"origin": "rumour"}),
        *({"lon": 181.0}, {"lat": float("nan")}, {"lat": None}, {"lat": "10"}),
        *({"links": (NewLink("alarm", ""),)}, {"links": (NewLink("rumour", "1"),)}),  # type: ignore[arg-type]
    ]
    for fields in bad:
        with pytest.raises(InputError):
            await book.open(Draft(**{"title": "x", "lon": 105.0, "lat": 10.0, **fields}), BY)
    with pytest.raises(InputError):
        await book.open(Draft("x"), "y" * 65)
    assert await book.last_event_id() == 0
    await book.close_store()


async def test_several_are_opened_together_or_not_at_all(book: IncidentBook) -> None:
    events = await book.open_many([DRAFT, DRAFT], BY)
    assert [event.incident for event in events] == [1, 2]
    with pytest.raises(InputError):
        await book.open_many([DRAFT, Draft("")], BY)
    assert await book.last_event_id() == 2


# Its life.


async def test_the_whole_life_is_written_down(book: IncidentBook) -> None:
    number = await opened(book)
    await book.acknowledge(number, BY)
    await book.start(number, BY)
    await book.wait(number, BY, comment="chờ thuỷ lợi")
    await book.resume(number, BY)
    await book.resolve(number, "lanh-dao")
    await book.close(number, "lanh-dao", comment="xong")
    incident = await book.get(number)
    assert (incident.state, incident.version, incident.events) == ("closed", 7, 7)
    assert incident.acknowledged_by == BY
    assert incident.opened <= (incident.acknowledged or 0) <= (incident.resolved or 0) <= (incident.closed or 0)
    assert incident.latest is None
    assert await actions(book, number) == ["open", "acknowledge", "start", "wait", "resume", "resolve", "close"]


async def test_beginning_work_says_that_it_was_seen(book: IncidentBook) -> None:
    number = await opened(book)
    await book.start(number, BY)
    incident = await book.get(number)
    assert incident.acknowledged is not None
    assert incident.acknowledged_by == BY


async def test_reopening_needs_a_reason_and_begins_anew(book: IncidentBook) -> None:
    number = await opened(book)
    await book.start(number, BY)
    await book.resolve(number, BY)
    with pytest.raises(InputError, match="needs a reason"):
        await book.reopen(number, BY, comment="  ")
    event = await book.reopen(number, "lanh-dao", comment="nước lại lên")
    incident = await book.get(number)
    assert (event.from_state, incident.state, incident.reopened) == ("resolved", "open", 1)
    assert (incident.acknowledged, incident.acknowledged_by, incident.resolved) == (None, "", None)
    assert incident.latest is not None


async def test_what_the_state_does_not_allow_is_refused_and_changes_nothing(book: IncidentBook) -> None:
    number = await opened(book)
    with pytest.raises(ConflictError, match="it is open, and only what is resolved allows to close"):
        await book.close(number, BY)
    await book.acknowledge(number, BY)
    with pytest.raises(ConflictError, match=f"acknowledged already, by {BY} at 20"):
        await book.acknowledge(number, "lanh-dao")
    await book.resolve(number, BY)
    with pytest.raises(ConflictError, match="reopen it first"):
        await book.assign(number, BY, owner="lanh-dao")
    assert (await book.get(number)).version == 3


async def test_the_second_writer_is_told_what_changed_and_by_whom(book: IncidentBook) -> None:
    number = await opened(book)
    seen = (await book.get(number)).version
    await book.acknowledge(number, BY, version=seen)
    await book.set_severity(number, "lanh-dao", 4)
    with pytest.raises(ConflictError) as refused:
        await book.start(number, "xa-cao-lanh", version=seen)
    assert f"since version 1: acknowledge by {BY} at 20" in refused.value.message
    assert "severity by lanh-dao at 20" in refused.value.message
    assert refused.value.message.endswith("it is acknowledged now")
    with pytest.raises(ConflictError, match="there is no version 9 of it yet, it is at 3"):
        await book.start(number, BY, version=9)


async def test_remarks_do_not_stand_in_the_way_of_who_decides(book: IncidentBook) -> None:
    number = await opened(book)
    await book.comment(number, "lanh-dao", "@truc-ban xem giúp, @xa-cao-lanh phối hợp")
    await book.link(number, BY, NewLink("page", "https://example.org/tin", "Tin báo"))
    event = await book.acknowledge(number, BY, version=1)
    assert event.version == 2
    said = (await book.life(number))[2]
    assert said.detail == {"mentions": ["truc-ban", "xa-cao-lanh"]}
    with pytest.raises(InputError, match="must say something"):
        await book.comment(number, BY, " ")


async def test_fields_are_edited_with_what_they_were_before(book: IncidentBook) -> None:
    number = await opened(book)
    event = await book.edit(number, BY, {"title": "Vỡ bờ bao", "commune": "29869", "lon": 105.6, "lat": 10.4})
    assert event.detail["title"] == ["Nước tràn bờ bao", "Vỡ bờ bao"]
    assert event.detail["commune"] == ["", "29869"]
    for fields in ({"title": ""}, {"state": "closed"}, {"lon": None}, {"title": "Vỡ bờ bao"}, {"lat": "x"}, {}):
        with pytest.raises(InputError):
            await book.edit(number, BY, fields)
    assert (await book.get(number)).version == 2


async def test_assigning_says_from_whom_to_whom(book: IncidentBook) -> None:
    number = await opened(book, unit="29869")
    event = await book.assign(number, "lanh-dao", unit="so-nong-nghiep", owner=BY)
    assert event.detail == {"unit": ["29869", "so-nong-nghiep"], "owner": ["", BY]}
    with pytest.raises(ConflictError, match="assigned so already"):
        await book.assign(number, BY, owner=BY)
    event = await book.assign(number, BY, owner="")
    assert event.detail == {"owner": [BY, ""]}


async def test_an_incident_that_is_not_there_is_not_found(book: IncidentBook) -> None:
    one = await opened(book)
    for number in (0, -1, 99, 2**63, 2**80):
        for call in (book.get(number), book.acknowledge(number, BY), book.merge(number, BY, one)):
            with pytest.raises(NotFoundError):
                await call
        with pytest.raises((NotFoundError, InputError)):
            await book.merge(one, BY, number)


# Links.


async def test_a_link_that_is_taken_away_stays_in_the_history(book: IncidentBook) -> None:
    number = await opened(book)
    link = NewLink("frame", "cam-1/1732240000000000", "Ảnh camera", {"x": 1})
    await book.link(number, BY, link)
    with pytest.raises(ConflictError, match="belongs to it already"):
        await book.link(number, BY, link)
    (kept,) = await book.links(number)
    assert (kept.kind, kept.ref, kept.detail) == ("frame", "cam-1/1732240000000000", {"x": 1})
    await book.unlink(number, "lanh-dao", kept.id)
    assert await book.links(number) == []
    (gone,) = await book.links(number, removed=True)
    assert gone.removed_by == "lanh-dao"
    with pytest.raises(NotFoundError):
        await book.unlink(number, BY, kept.id)
    await book.link(number, BY, link)
    assert len(await book.links(number)) == 1


# Merge and split.


async def test_merging_keeps_both_histories_and_brings_what_belongs(book: IncidentBook) -> None:
    one = await opened(book, severity=4, links=(NewLink("alarm", "7"), NewLink("page", "p")))
    into = await opened(book, severity=2, links=(NewLink("page", "p"),))
    merged, absorbed = await book.merge(one, BY, into, comment="cùng một chỗ", version=1, into_version=1)
    assert (merged.incident, merged.to_state, merged.detail) == (one, "merged", {"into": into})
    assert (absorbed.incident, absorbed.action, absorbed.detail["severity"]) == (into, "absorb", [2, 4])
    assert (await book.get(one)).merged_into == into
    assert {(link.kind, link.ref) for link in await book.links(into)} == {
        *(("page", "p"), ("alarm", "7"), ("incident", str(one))),
    }
    assert len(await book.links(one)) == 2
    assert await actions(book, one) == ["open", "merge"]
    assert await actions(book, into) == ["open", "absorb"]
    with pytest.raises(ConflictError, match=rf"merged into another: act on that one \(incident {into}\)"):
        await book.acknowledge(one, BY)


async def test_nothing_is_merged_into_itself_or_into_what_is_over(book: IncidentBook) -> None:
    one, other = await opened(book), await opened(book)
    with pytest.raises(InputError, match="into itself"):
        await book.merge(one, BY, one)
    await book.resolve(other, BY)
    with pytest.raises(ConflictError, match="reopen it first"):
        await book.merge(one, BY, other)
    with pytest.raises(ConflictError, match="since version 1: resolve"):
        await book.merge(one, BY, other, into_version=1)
    with pytest.raises(NotFoundError):
        await book.merge(one, BY, 99)
    assert (await book.get(one)).state == "open"


async def test_splitting_moves_what_belongs_and_keeps_both_histories(book: IncidentBook) -> None:
    one = await opened(book, links=(NewLink("alarm", "7"), NewLink("alarm", "8")))
    seven, eight = await book.links(one)
    fresh, split = await book.split(one, BY, [eight.id], title="Sự cố khác", version=1)
    assert (fresh.action, fresh.detail, split.detail["into"]) == ("open", {"split_from": one}, fresh.incident)
    assert [link.ref for link in await book.links(one)] == ["7"]
    assert [(link.kind, link.ref) for link in await book.links(fresh.incident)] == [
        *(("incident", str(one)), ("alarm", "8")),
    ]
    incident = await book.get(fresh.incident)
    assert (incident.title, incident.state, incident.domain) == ("Sự cố khác", "open", "water")
    for wrong in ([], [eight.id], [999]):
        with pytest.raises((InputError, NotFoundError)):
            await book.split(one, BY, wrong)
    assert seven.id


# What hangs on it.


def refuses(_tx: Transaction, events: Sequence[IncidentEvent], _rows: Mapping[int, Row]) -> None:
    if any(event.action == "start" for event in events):
        raise RuntimeError("no")


async def test_a_follower_is_told_in_the_same_transaction(either: Records, store: Store) -> None:
    told: list[tuple[int, str, str, int]] = []

    def follow(tx: Transaction, events: Sequence[IncidentEvent], rows: Mapping[int, Row]) -> None:
        for event in events:
            told.append((event.id, event.action, rows[event.incident]["state"], event.nth))
        IncidentRows(tx).set_due({event.incident: 77 for event in events})

    book = IncidentBook(either, store, followers=(follow, refuses))
    number = await opened(book)
    assert (await book.get(number)).due == 77
    with pytest.raises(RuntimeError):
        await book.start(number, BY)
    assert told == [(0, "open", "open", 1), (0, "start", "in_progress", 2)]
    assert (await book.get(number)).state == "open"
    assert await book.last_event_id() == 1
    async with either.read() as connection:
        assert [entry["action"] for entry in await audit.entries_after(connection, 0, 10)] == ["incident.open"]


async def test_others_act_in_transactions_of_their_own(book: IncidentBook, store: Store) -> None:
    first, second = await opened(book), await opened(book)

    def work(tx: Transaction) -> list[IncidentEvent]:
        made = open_many(tx, [DRAFT], followers=())
        acts = [Act(second, "task_late", detail={"task": 3}), Act(first, "acknowledge", BY, version=1)]
        return made + act(tx, acts, followers=())

    events = await store.transact(work)
    assert [(event.incident, event.action, event.version) for event in events] == [
        *((3, "open", 1), (second, "task_late", 1), (first, "acknowledge", 2)),
    ]
    with pytest.raises(ConflictError):
        await store.transact(lambda tx: act(tx, [Act(second, "start", BY), Act(first, "acknowledge", BY)], ()))
    assert (await book.get(second)).state == "open"
    for name in ("join", "open", "Task late", "x" * 25):
        with pytest.raises(InputError):
            await store.transact(lambda tx, name=name: act(tx, [Act(first, name)], ()))  # type: ignore[misc]


async def test_acts_of_people_are_audited_and_those_of_clocks_are_not(either: Records, book: IncidentBook) -> None:
    number = await opened(book)
    await book.note(number, "", "task_late", {"task": 1})
    await book.acknowledge(number, "lanh-dao")
    async with either.read() as connection:
        entries = await audit.entries_after(connection, 0, 10)
    assert [(one["who"], one["action"], one["object"]) for one in entries] == [
        (BY, "incident.open", f"incident:{number}"),
        ("lanh-dao", "incident.acknowledge", f"incident:{number}"),
    ]
    assert (await audit.verify(either)).broken_at is None


def test_the_followers_named_are_there() -> None:
    assert len(default_followers()) == len(FOLLOWERS)


async def test_a_clock_set_back_does_not_turn_the_history_round(
    book: IncidentBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = await opened(book)
    monkeypatch.setattr("thap.respond.incidents.book.now_us", lambda: now_us() - HOUR_US)
    await book.acknowledge(number, BY)
    times = [event.time for event in reversed(await book.life(number))]
    assert times == sorted(times)


# Reading.


async def test_events_are_read_on_from_a_number_as_far_as_one_may_see(book: IncidentBook) -> None:
    await opened(book, commune="29869")
    other = await opened(book, commune="30259")
    await book.acknowledge(other, BY)
    assert [event.id for event in await book.events_after(0, 2)] == [1, 2]
    mine = incidents.c.commune == "29869"
    assert [event.id for event in await book.events_after(0, where=mine)] == [1]
    assert [event.action for event in await book.events_after(1)] == ["open", "acknowledge"]
    with pytest.raises(NotFoundError):
        await book.get(other, mine)
    page = await book.list(Scope(mine, frozenset({"29869"})))
    assert [incident.id for incident in page.items] == [1]
    assert isinstance(page.items[0], Incident)


async def test_a_life_is_read_in_pages(book: IncidentBook) -> None:
    number = await opened(book)
    for word in ("một", "hai", "ba"):
        await book.comment(number, BY, word)
    page = await book.life(number, 2)
    assert [event.comment for event in page] == ["ba", "hai"]
    assert [event.nth for event in await book.life(number, 2, before=page[-1].nth)] == [2, 1]


async def test_an_event_is_announced_with_what_a_list_shows(book: IncidentBook) -> None:
    event = await book.open(DRAFT, BY)
    told = announcement(event)
    assert (told["id"], told["event"], told["state"], told["commune"]) == (1, 1, "open", "29869")


# Anything in any order.

_ACT = st.tuples(
    st.integers(0, 2),
    st.sampled_from(
        ("acknowledge", "start", "wait", "resume", "resolve", "close", "reopen", "reject", "merge", "note")
    ),
    st.integers(0, 2),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=st.lists(_ACT, max_size=25))
async def test_whatever_is_done_in_whatever_order_is_a_legal_history(
    records: Records, acts: list[tuple[int, str, int]]
) -> None:
    book = IncidentBook(records, followers=())
    numbers = [event.incident for event in await book.open_many([DRAFT] * 3, "")]
    for one, action, other in acts:
        try:
            if action == "merge":
                await book.merge(numbers[one], BY, numbers[other])
            elif action == "note":
                await book.note(numbers[one], "", "task_late", {})
            else:
                await getattr(book, action)(numbers[one], BY, comment="vì thử")
        except (ConflictError, InputError):
            pass
    await book.close_store()
    assert (await judge(records, []))["illegal"] == 0
