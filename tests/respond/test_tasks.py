"""Tasks on real databases: they follow incidents, their clocks stand still, deadlines are missed once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import date

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from thap.kernel.clock import DAY_US, HOUR_US, MINUTE_US, now_us
from thap.kernel.errors import ConflictError, InputError, NotFoundError
from thap.kernel.records import Records
from thap.kernel.store import Store, open_store
from thap.kernel.working_calendar import packaged, packaged_text
from thap.respond.incidents.book import IncidentBook
from thap.respond.incidents.model import Draft
from thap.respond.notify.records import notices
from thap.respond.procedures.book import NewTask, TaskBook
from thap.respond.procedures.clocks import KIND, begin, pause
from thap.respond.procedures.follow import due, follow
from thap.respond.procedures.in_force import InForce
from thap.respond.procedures.model import Task, TaskFilter
from thap.respond.procedures.records import tasks as task_table
from thap.respond.procedures.templates import read_procedures
from thap.respond.timers import Timers
from thap.respond.timers_records import timers

SAND = Draft(
    "Tàu hút cát ngoài mỏ",
    domain="sand",
    severity=3,
    unit="so-xay-dung",
    commune="29869",
    cause="sand.dredging_outside",
)


@pytest.fixture
async def store(either: Records) -> AsyncIterator[Store]:
    opened = open_store(either)
    yield opened
    await opened.close()


@pytest.fixture
def book(either: Records, store: Store) -> IncidentBook:
    return IncidentBook(either, store, followers=(follow,))


@pytest.fixture
def desk(either: Records, store: Store) -> TaskBook:
    return TaskBook(either, store)


async def of(desk: TaskBook, incident: int) -> dict[str, Task]:
    """The tasks of an incident by step."""
    page = await desk.list(chosen=TaskFilter(states=frozenset(), incident=incident))
    return {task.step or task.title["vi"]: task for task in page.items}


async def set_timers(records: Records) -> dict[int, int]:
    """Deadlines that have a timer, by task."""
    async with records.read() as connection:
        rows = await connection.execute(sa.select(timers.c.ref, timers.c.due).where(timers.c.kind == KIND))
        return {int(ref): int(when) for ref, when in rows}


async def told(records: Records) -> list[tuple[str, str, str, str]]:
    """Notices: template, person, unit, role."""
    async with records.read() as connection:
        c = notices.c
        rows = await connection.execute(sa.select(c.template, c.to_name, c.to_unit, c.to_role).order_by(c.id))
        return [tuple(row) for row in rows]


async def pass_time(records: Records, store: Store, moment: int) -> int:
    """Fire what falls due until a moment, once."""
    part = Timers(records, store, kinds={KIND: due}, clock=lambda: moment)
    fired = 0
    while count := await part.fire():
        fired += count
        assert part.stats()["failures"] == 0
    return fired


async def test_steps_become_tasks_when_an_incident_opens(book: IncidentBook, desk: TaskBook, either: Records) -> None:
    opened = await book.open(SAND, "truc-ban")
    found = await of(desk, opened.incident)
    assert next(iter(found)) == "acknowledge" and len(found) == 7
    first, later = found["acknowledge"], found["on_site"]
    assert (first.state, first.procedure, first.unit, first.role) == (
        "open",
        "sand.dredging",
        "so-xay-dung",
        "operator",
    )
    assert first.due is not None and first.since is not None and first.due - first.since == 10 * MINUTE_US
    assert (later.state, later.due, later.unit) == ("planned", None, "29869")
    assert [one.key for one in later.attach] == ["record", "photo"]
    assert await set_timers(either) == {first.id: first.due}
    assert (await book.get(opened.incident)).due == first.due


async def test_an_incident_of_no_domain_gets_the_general_procedure(book: IncidentBook, desk: TaskBook) -> None:
    number = (await book.open(Draft("Cây đổ"), "truc-ban")).incident
    assert {task.procedure for task in (await of(desk, number)).values()} == {"general"}
    critical = (await book.open(Draft("Cháy chợ", severity=4), "truc-ban")).incident
    assert {task.procedure for task in (await of(desk, critical)).values()} == {"general.critical"}


async def test_acknowledging_does_the_first_step_and_lets_the_next_begin(
    book: IncidentBook, desk: TaskBook, either: Records
) -> None:
    number = (await book.open(SAND, "truc-ban")).incident
    await book.acknowledge(number, "truc-ban")
    found = await of(desk, number)
    assert (found["acknowledge"].state, found["acknowledge"].closed_by) == ("done", "truc-ban")
    assert found["verify_track"].state == "open" and found["call_owner"].state == "planned"
    assert set(await set_timers(either)) == {found["verify_track"].id}
    assert (await book.get(number)).due == found["verify_track"].due


async def test_waiting_stops_the_clock_and_resuming_goes_on_with_what_was_left(
    book: IncidentBook, desk: TaskBook, either: Records
) -> None:
    number = (await book.open(SAND, "truc-ban")).incident
    await book.acknowledge(number, "truc-ban")
    before = (await of(desk, number))["verify_track"]
    await book.wait(number, "truc-ban")
    paused = (await of(desk, number))["verify_track"]
    assert (paused.state, paused.due, paused.since) == ("paused", None, None)
    assert before.remaining - MINUTE_US < paused.remaining < before.remaining == 20 * MINUTE_US
    assert await set_timers(either) == {} and (await book.get(number)).due is None
    await book.resume(number, "truc-ban")
    running = (await of(desk, number))["verify_track"]
    assert running.state == "open" and running.remaining == paused.remaining
    assert running.due is not None and running.since is not None and running.due - running.since == paused.remaining
    assert await set_timers(either) == {running.id: running.due}


async def test_closing_cancels_and_reopening_brings_back(book: IncidentBook, desk: TaskBook, either: Records) -> None:
    number = (await book.open(SAND, "truc-ban")).incident
    await book.acknowledge(number, "truc-ban")
    await book.resolve(number, "truc-ban")
    found = await of(desk, number)
    assert found["conclude"].state == "done", "a step done by resolving"
    assert found["verify_track"].state == "paused"
    await book.close(number, "lanh-dao")
    found = await of(desk, number)
    assert {task.state for task in found.values()} == {"done", "cancelled"}
    assert {task.why for task in found.values() if task.state == "cancelled"} == {"closed"}
    assert await set_timers(either) == {}
    await book.reopen(number, "truc-ban", comment="tàu quay lại")
    found = await of(desk, number)
    assert found["verify_track"].state == "open" and found["on_site"].state == "planned"
    assert found["conclude"].state == "planned", "what resolving did is to be done again"
    assert found["review"].state == "planned", "and so is what comes after it"
    assert set(await set_timers(either)) == {found["verify_track"].id}


async def test_a_merged_incident_leaves_no_task_behind(book: IncidentBook, desk: TaskBook, either: Records) -> None:
    one, other = [(await book.open(SAND, "truc-ban")).incident for _ in range(2)]
    await book.merge(one, "truc-ban", other)
    assert {task.state for task in (await of(desk, one)).values()} == {"cancelled"}
    assert (await of(desk, other))["acknowledge"].state == "open"
    assert len(await set_timers(either)) == 1


async def test_one_that_takes_over_a_worse_one_follows_the_procedure_of_that(
    book: IncidentBook, desk: TaskBook
) -> None:
    number = (await book.open(Draft("Sạt lở"), "truc-ban")).incident
    worse = (await book.open(Draft("Vỡ đê", severity=4), "truc-ban")).incident
    await book.merge(worse, "truc-ban", number)
    found = await of(desk, number)
    assert found["inform_leader"].state == "open" and found["assign"].why == "replaced"


async def test_what_the_incident_has_reached_is_not_asked_for_by_a_new_procedure(
    book: IncidentBook, desk: TaskBook
) -> None:
    other = """
        [[procedure]]
        name = "water"
        title = { vi = "Nước", en = "Water" }
        domain = "water"
        [[procedure.step]]
        key = "receive"
        title = { vi = "Tiếp nhận", en = "Receive" }
        role = "operator"
        within = "5m"
        done_when = "acknowledged"
        [[procedure.step]]
        key = "measure"
        title = { vi = "Đo", en = "Measure" }
        role = "operator"
        within = "1h"
        after = ["receive"]
    """
    await desk.put(list(read_procedures(other, "test").values()), "quan-tri")
    number = (await book.open(Draft("Sạt lở"), "truc-ban")).incident
    await book.acknowledge(number, "truc-ban")
    await book.edit(number, "truc-ban", {"domain": "water"})
    found = await of(desk, number)
    assert (found["receive"].state, found["receive"].closed_by) == ("done", "truc-ban")
    assert found["measure"].state == "open"


async def test_another_severity_may_bring_another_procedure_and_back(book: IncidentBook, desk: TaskBook) -> None:
    number = (await book.open(Draft("Sạt lở"), "truc-ban")).incident
    await book.acknowledge(number, "truc-ban")
    await book.set_severity(number, "truc-ban", 4)
    found = await of(desk, number)
    assert found["acknowledge"].state == "done" and found["assign"].why == "replaced"
    assert found["inform_leader"].state == "open" and found["verify"].procedure == "general"
    await book.set_severity(number, "truc-ban", 2)
    found = await of(desk, number)
    assert found["inform_leader"].why == "replaced"
    assert found["assign"].state == "planned" and found["assign"].why == ""


async def test_tasks_go_with_the_incident_to_another_unit(book: IncidentBook, desk: TaskBook) -> None:
    number = (await book.open(SAND, "truc-ban")).incident
    await book.assign(number, "truc-ban", unit="so-nong-nghiep")
    found = await of(desk, number)
    assert found["acknowledge"].unit == "so-nong-nghiep" and found["on_site"].unit == "29869"


async def test_a_missed_deadline_is_told_once_and_then_again_and_higher(
    book: IncidentBook, desk: TaskBook, either: Records, store: Store
) -> None:
    number = (await book.open(SAND, "truc-ban")).incident
    task = (await of(desk, number))["acknowledge"]
    assert task.due is not None
    assert await pass_time(either, store, task.due - 1) == 0
    assert await pass_time(either, store, task.due) == 1
    late = (await of(desk, number))["acknowledge"]
    assert (late.late, late.reminded, late.state) == (task.due, 1, "open")
    assert await told(either) == [("task.late", "", "so-xay-dung", "operator")]
    assert [event.action for event in await book.life(number)] == ["task_late", "open"]
    assert await pass_time(either, store, task.due + 29 * MINUTE_US) == 0
    assert await pass_time(either, store, task.due + 30 * MINUTE_US) == 1
    assert await pass_time(either, store, task.due + 60 * MINUTE_US) == 1
    assert [role for _, _, _, role in await told(either)] == [
        *("operator", "operator", "shift_lead"),
        *("operator", "shift_lead", "leader"),
    ]
    assert [event.action for event in await book.life(number)] == ["task_late", "open"], "the history says it once"
    await desk.done(late.id, "truc-ban", comment="xong")
    assert await pass_time(either, store, task.due + 100 * DAY_US) == 1, "the next step's only"


async def test_a_week_switched_off_is_handled_once_in_order_of_due(
    book: IncidentBook, desk: TaskBook, either: Records, store: Store
) -> None:
    numbers = [(await book.open(SAND, "truc-ban")).incident for _ in range(3)]
    await book.acknowledge(numbers[0], "truc-ban")  # its next deadline is the latest
    week = now_us() + 7 * DAY_US
    assert await pass_time(either, store, week) == 3
    assert await pass_time(either, store, week) == 0
    async with either.read() as connection:
        late = [row[0] for row in await connection.execute(sa.select(notices.c.incident).order_by(notices.c.id))]
    assert late == [numbers[1], numbers[2], numbers[0]]
    assert all(when > week for when in (await set_timers(either)).values())


async def test_a_step_is_done_with_what_it_wants_attached_or_a_word_why_not(book: IncidentBook, desk: TaskBook) -> None:
    number = (await book.open(SAND, "truc-ban")).incident
    await book.acknowledge(number, "truc-ban")
    task = (await of(desk, number))["verify_track"]
    with pytest.raises(ConflictError, match="it wants attached: track"):
        await desk.done(task.id, "truc-ban")
    change = await desk.done(task.id, "truc-ban", evidence=["track:7"], version=task.version)
    assert (change.task.state, change.task.evidence) == ("done", ["track:7"])
    [(subject, body)] = change.announcements
    assert subject == "centre.live.incident" and (body["id"], body["action"]) == (number, "task_done")
    found = await of(desk, number)
    assert (found["call_owner"].state, found["inform_patrol"].state) == ("open", "open"), "both waited for it"
    event = (await book.life(number))[0]
    assert (event.by, event.detail["step"], event.detail["evidence"]) == ("truc-ban", "verify_track", ["track:7"])
    with pytest.raises(ConflictError, match="cannot be done: it is done by truc-ban at"):
        await desk.done(task.id, "truc-ban", comment="lần nữa")
    await desk.done(found["call_owner"].id, "truc-ban")
    await desk.skip(found["inform_patrol"].id, "truc-ban", comment="đã có mặt")
    with pytest.raises(ConflictError, match="record, photo"):
        await desk.done((await of(desk, number))["on_site"].id, "can-bo-xa", evidence=["plan"])
    await desk.done((await of(desk, number))["on_site"].id, "can-bo-xa", comment="không có mạng để gửi ảnh")


async def test_who_comes_second_is_told(book: IncidentBook, desk: TaskBook) -> None:
    number = (await book.open(SAND, "truc-ban")).incident
    task = (await of(desk, number))["acknowledge"]
    answers = await asyncio.gather(
        *(desk.done(task.id, f"truc-ban-{i}", version=task.version) for i in range(8)), return_exceptions=True
    )
    lost = [answer for answer in answers if isinstance(answer, ConflictError)]
    assert len(lost) == 7 and all("changed since version" in str(one) for one in lost)
    with pytest.raises(ConflictError, match="no version 99"):
        await desk.assign(task.id, "truc-ban", assignee="truc-ban", version=99)


async def test_a_task_is_given_away_given_time_and_opened_again(
    book: IncidentBook, desk: TaskBook, either: Records, store: Store
) -> None:
    number = (await book.open(SAND, "truc-ban")).incident
    task = (await of(desk, number))["acknowledge"]
    given = await desk.assign(task.id, "truc-ban", assignee="truc-ban-2", unit="so-cong-an")
    assert (given.task.assignee, given.task.unit) == ("truc-ban-2", "so-cong-an")
    assert await told(either) == [("task.assigned", "truc-ban-2", "", "")]
    await book.assign(number, "truc-ban", unit="so-nong-nghiep")
    assert (await of(desk, number))["acknowledge"].unit == "so-cong-an", "given by hand, it stays"
    longer = await desk.extend(task.id, "lanh-dao", "2h", comment="chờ tàu tuần tra")
    assert longer.task.due is not None and task.due is not None
    assert 0 <= longer.task.due - task.due - 2 * HOUR_US < MINUTE_US
    assert (await set_timers(either))[task.id] == longer.task.due
    assert await pass_time(either, store, task.due) == 0
    done = await desk.done(task.id, "truc-ban-2")
    again = await desk.reopen(task.id, "lanh-dao", comment="chưa đủ")
    assert again.task.state == "open" and again.task.remaining == done.task.remaining
    assert (await of(desk, number))["verify_track"].state == "open"


async def test_a_task_added_by_hand_counts_working_hours(book: IncidentBook, desk: TaskBook, either: Records) -> None:
    number = (await book.open(SAND, "truc-ban")).incident
    new = NewTask(title="Hỏi chủ mỏ bên cạnh", within="3d", assignee="truc-ban-2")
    task = (await desk.add(number, "truc-ban", new)).task
    assert task.since is not None and task.due == packaged().add(task.since, 24 * HOUR_US)
    assert (task.procedure, task.unit, task.created_by) == ("", "so-xay-dung", "truc-ban")
    assert await told(either) == [("task.assigned", "truc-ban-2", "", "")]
    await book.wait((await book.acknowledge(number, "truc-ban")).incident, "truc-ban")
    late = (await desk.add(number, "truc-ban", msgspec.structs.replace(new, title="Khi chờ", assignee=""))).task
    assert (late.state, late.due) == ("paused", None)


async def test_a_new_calendar_moves_the_deadlines_ahead(book: IncidentBook, desk: TaskBook, either: Records) -> None:
    number = (await book.open(SAND, "truc-ban")).incident
    task = (await desk.add(number, "truc-ban", NewTask(title="Báo cáo", within="2w"))).task
    assert task.since is not None and task.due is not None
    hours = 'hours = ["07:00-11:30", "13:30-17:00"]'
    day = packaged().add(task.since, 40 * HOUR_US) // DAY_US * DAY_US
    text = packaged_text() + "".join(
        f'\n[[worked]]\nday = "{date.fromordinal(719163 + day // DAY_US + i)}"\n{hours}\n' for i in range(7)
    )
    assert await desk.put_calendar(text, "lanh-dao") == 1
    moved = await desk.get(task.id)
    assert moved.due is not None and moved.due < task.due and (await set_timers(either))[task.id] == moved.due
    assert await desk.put_calendar(text, "lanh-dao") == 0
    with pytest.raises(InputError):
        await desk.put_calendar("hours = 3", "lanh-dao")
    assert (await desk.calendar()).worked


async def test_procedures_keep_every_version_and_running_incidents_theirs(book: IncidentBook, desk: TaskBook) -> None:
    number = (await book.open(SAND, "truc-ban")).incident
    shipped = next(one for one in await desk.procedures() if one.procedure.name == "sand.dredging")
    assert (shipped.version, shipped.origin) == (1, "thap.domains.sand")
    text = """
    [[procedure]]
    name = "sand.dredging"
    title = { vi = "Mới", en = "New" }
    domain = "sand"
    causes = ["sand.dredging_*"]
    [[procedure.step]]
    key = "only"
    title = { vi = "Một bước", en = "One step" }
    role = "operator"
    within = "1h"
    """
    new = list(read_procedures(text, "new.toml").values())
    with pytest.raises(ConflictError, match="newest version is 1, not 3"):
        await desk.put(new, "lanh-dao", version=3)
    assert [one.version for one in await desk.put(new, "lanh-dao", version=1)] == [2]
    assert await desk.put(new, "lanh-dao") == [], "the same again is no version"
    assert [(one.version, one.changed_by) for one in await desk.versions("sand.dredging")] == [(2, "lanh-dao"), (1, "")]
    assert len(await of(desk, number)) == 7
    assert list(await of(desk, (await book.open(SAND, "truc-ban")).incident)) == ["only"]
    with pytest.raises(NotFoundError):
        await desk.versions("sand.nothing")


async def test_a_list_goes_on_where_a_page_ended(book: IncidentBook, desk: TaskBook) -> None:
    for _ in range(5):
        await book.open(SAND, "truc-ban")
    seen: list[int] = []
    after = None
    while True:
        page = await desk.list(limit=2, after=after)
        seen += [task.id for task in page.items]
        assert page.total == 5
        after = page.next
        if after is None:
            break
    assert len(seen) == len(set(seen)) == 5
    everything = await desk.list(chosen=TaskFilter(states=frozenset()), limit=20)
    rest = await desk.list(chosen=TaskFilter(states=frozenset()), limit=20, after=everything.next)
    assert len({task.id for task in everything.items + rest.items}) == 35
    assert (await desk.list(chosen=TaskFilter(assignee="ai"))).items == []
    assert (await desk.list(where=task_table.c.commune == "00000")).total == 0
    for wrong in ("x", "AAAA", "WzEsIDJd" * 9):
        with pytest.raises(InputError):
            await desk.list(after=wrong)
    with pytest.raises(InputError):
        await desk.list(limit=0)


async def test_bad_input_is_refused_and_changes_nothing(book: IncidentBook, desk: TaskBook) -> None:
    number = (await book.open(SAND, "truc-ban")).incident
    task = (await of(desk, number))["acknowledge"]
    for act, reason in (
        (desk.skip(task.id, "truc-ban", comment=" "), "takes a reason"),
        (desk.extend(task.id, "truc-ban", "soon", comment="vì"), "not a length"),
        (desk.assign(task.id, "truc-ban"), "say to whom"),
        (desk.assign(task.id, "truc-ban", assignee="x" * 65), "at most 64"),
        (desk.done(task.id, "truc-ban", evidence=["x"] * 101), "evidence is at most"),
        (desk.done(task.id, "truc-ban", comment="\0"), "at most"),
        (desk.add(number, "truc-ban", NewTask(title=" ", within="1h")), "title"),
        (desk.add(number, "truc-ban", NewTask(title="x", within="1h", clock="moon")), "not a clock"),
        (desk.add(number, "truc-ban", NewTask(title="x", within="")), "not a length"),
    ):
        with pytest.raises(InputError, match=reason):
            await act
    assert await desk.get(task.id) == task


async def test_there_is_no_such_task_or_incident(desk: TaskBook) -> None:
    for number in (0, 1, 2**63):
        with pytest.raises(NotFoundError):
            await desk.get(number)
        with pytest.raises(NotFoundError):
            await desk.done(number, "truc-ban")
        with pytest.raises(NotFoundError):
            await desk.add(number, "truc-ban", NewTask(title="x", within="1h"))


LENGTHS = st.integers(0, 30 * 24 * HOUR_US)


@given(st.sampled_from(["round", "working"]), st.integers(1, 100 * HOUR_US), st.lists(st.tuples(LENGTHS, LENGTHS)))
def test_however_often_a_clock_stops_only_the_time_it_ran_is_counted(
    clock: str, within: int, stretches: list[tuple[int, int]]
) -> None:
    force, now, counted = InForce({}, packaged()), 1_790_000_000_000_000, 0
    row = {"clock": clock, "within": within, "remaining": within, "since": None, "due": None, "state": "planned"}
    for ran, stood in stretches:
        begin(row, force, now)
        assert force.clock(clock).between(now, row["due"]) == max(within - counted, 0)
        counted += force.clock(clock).between(now, now + ran)
        pause(row, force, now + ran)
        assert row["remaining"] == within - counted and row["due"] is None
        now += ran + stood


async def test_whoever_ticks_every_step_brings_the_incident_to_its_end(book: IncidentBook, desk: TaskBook) -> None:
    """Steps that are the incident's own acts do them; while a task is to be done, there is a deadline."""
    number = (await book.open(SAND, "truc-ban")).incident
    seen = []
    while left := [task for task in (await of(desk, number)).values() if task.state in ("open", "planned", "paused")]:
        before = await book.get(number)
        assert before.due is not None, left
        one = next(task for task in left if task.state == "open")
        change = await desk.done(one.id, "truong-ca", comment="xong")
        after = await book.get(number)
        if before.state != after.state:
            seen.append((one.done_when, str(after.state), len(change.announcements)))
    assert seen == [("acknowledged", "acknowledged", 2), ("resolved", "resolved", 2)]
    assert {task.state for task in (await of(desk, number)).values()} == {"done"}
    last = {event.action: event for event in await book.life(number)}
    assert last["resolve"].comment == "xong" and last["acknowledge"].by == "truong-ca"


async def test_what_looks_back_goes_on_while_resolved_and_the_rest_stands_still(
    book: IncidentBook, desk: TaskBook
) -> None:
    number = (await book.open(SAND, "truc-ban")).incident
    await book.resolve(number, "truc-ban")
    tasks = await of(desk, number)
    ends = next(task for task in tasks.values() if task.done_when == "resolved")
    later = [task for task in tasks.values() if ends.step in task.after]
    assert later and all(task.state == "open" and task.due is not None for task in later)
    others = [task.state for task in tasks.values() if task not in later and not task.done_when]
    assert others and set(others) <= {"planned", "paused"}
    assert (await book.get(number)).due == min(task.due or 0 for task in later)


async def test_an_incident_is_not_resolved_over_what_is_done_beside(book: IncidentBook, desk: TaskBook) -> None:
    number = (await book.open(SAND, "truc-ban")).incident
    beside = (await desk.add(number, "truc-ban", NewTask(title="Gọi xã bên", within="4h"))).task
    ends = next(task for task in (await of(desk, number)).values() if task.done_when == "resolved")
    for task in (await of(desk, number)).values():
        if task.position < ends.position:
            await desk.done(task.id, "truc-ban", comment="x")
    await desk.done(ends.id, "truc-ban", comment="x")
    assert (await book.get(number)).state == "acknowledged" and (await desk.get(beside.id)).state == "open"
    await desk.skip(beside.id, "truc-ban", comment="thôi")
    assert (await book.get(number)).state == "resolved"


async def test_where_every_step_is_left_out_somebody_decides(book: IncidentBook, desk: TaskBook) -> None:
    number = (await book.open(SAND, "truc-ban")).incident
    for task in (await of(desk, number)).values():
        await desk.skip(task.id, "truc-ban", comment="thôi")
    incident, decide = await book.get(number), (await of(desk, number))["decide"]
    assert (incident.state, decide.state, decide.role) == ("open", "open", "shift_lead")
    assert incident.due == decide.due is not None
    theirs = desk.guarded(lambda tx, row, incident: None, lambda tx, incident: False)
    await theirs.done(decide.id, "nguoi-khac", comment="đã hết")  # who may not resolve it decides nothing
    [again] = (await desk.list(chosen=TaskFilter(incident=number))).items
    assert (again.step, again.id > decide.id) == ("decide", True)
    await desk.done(again.id, "truong-ca", comment="đã hết")
    assert (await book.get(number)).state == "resolved"


async def test_a_step_done_by_somebody_who_may_not_act_on_the_incident_is_done_alone(
    book: IncidentBook, desk: TaskBook
) -> None:
    number = (await book.open(SAND, "truc-ban")).incident
    theirs = desk.guarded(lambda tx, row, incident: None, lambda tx, incident: False)
    task = (await of(desk, number))["acknowledge"]
    assert len((await theirs.done(task.id, "can-bo")).announcements) == 1
    assert (await book.get(number)).state == "open"
    # nor is one acknowledged that is already
    await book.acknowledge(number, "truc-ban")
    await desk.reopen(task.id, "truc-ban", comment="lại")
    assert len((await desk.done(task.id, "can-bo")).announcements) == 1
