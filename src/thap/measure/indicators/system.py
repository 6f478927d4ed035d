"""Indicators of the data and of the centre itself: who reports, how late, what waits, what is running out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from nats.errors import Error as NatsError

from thap.detect.rules import Silence
from thap.kernel.clock import DAY_US
from thap.kernel.errors import InputError, UnavailableError
from thap.kernel.policy import Resource
from thap.kernel.settings import Settings
from thap.measure.indicators.model import COUNT, Column, Indicator, Reduce, Target, highest, lowest, quantile, share
from thap.measure.indicators.snapshot import Moment
from thap.measure.indicators.sources import Asked, Listed, Measured, Page, Seen, Selected, check_limit
from thap.observe.registry import quarantine

__all__ = ["INDICATORS"]

_GIB = 2**30
_LATEST = {"vi": "Giá trị mới nhất của từng nguồn", "en": "The newest value of each source"}
_TRACKERS = "Tin vị trí phải chuyển tiếp trong 2 phút, theo thiết bị giám sát hành trình (đối chiếu trước khi dùng)"

_THING = Column("thing", {"vi": "Trạm", "en": "Station"}, "thing")
_TITLE = Column("title", {"vi": "Tên", "en": "Name"})
_COMMUNE = Column("commune", {"vi": "Xã, phường", "en": "Commune"}, "commune")
_DOMAIN = Column("domain", {"vi": "Lĩnh vực", "en": "Domain"}, "domain")
_HEARD = Column("time", {"vi": "Tin cuối lúc", "en": "Last heard"}, "time")
_DELAY = Column("delay_s", {"vi": "Độ trễ", "en": "Delay"}, "length")
_WATCHED = (
    Column("datastream", {"vi": "Chuỗi số liệu", "en": "Datastream"}, "thing"),
    _DOMAIN,
    _COMMUNE,
    Column("rule", {"vi": "Luật", "en": "Rule"}),
    Column("limit_s", {"vi": "Được im lặng", "en": "May be silent"}, "length"),
    _HEARD,
    Column("reporting", {"vi": "Đang gửi", "en": "Reporting"}, "yes"),
)


def _watched(moment: Moment, seen: Seen) -> list[dict[str, Any]]:
    """Datastreams that a silence rule watches, each by the strictest one."""
    heard = {one.info.id: one for one in moment.heard}
    strictest: dict[int, tuple[int, str]] = {}
    for rule in moment.rules:
        if not isinstance(rule, Silence) or not rule.enabled or rule.select.mover:
            continue
        for info in moment.catalogue.select_datastreams(rule.select):
            limit = (int(rule.no_data_for or 0), rule.name)
            strictest[info.id] = min(limit, strictest.get(info.id, limit))
    rows = []
    for number, (limit_us, name) in strictest.items():
        one = heard[number]
        if not seen(one.info.commune, one.info.domain, one.info.key):
            continue
        rows.append(
            {
                "key": one.info.key,
                "datastream": one.info.key,
                "domain": one.info.domain,
                "commune": one.info.commune,
                "rule": name,
                "limit_s": limit_us / 1e6,
                "time": one.received,  # silence goes by arrival: a device whose clock is wrong is alive
                "reporting": one.received is not None and moment.now - one.received <= limit_us,
            }
        )
    return sorted(rows, key=lambda row: (row["reporting"], row["key"]))


def _silent(moment: Moment, seen: Seen) -> list[dict[str, Any]]:
    return [row for row in _watched(moment, seen) if not row["reporting"]]


def _delays(moment: Moment, seen: Seen) -> list[dict[str, Any]]:
    """Of each datastream heard within a day, how long its newest value was on its way."""
    rows = [
        {
            "key": one.info.key,
            "datastream": one.info.key,
            "domain": one.info.domain,
            "commune": one.info.commune,
            "time": one.time,
            "delay_s": max(0.0, (one.received - one.time) / 1e6),
        }
        for one in moment.heard
        if one.time is not None
        and one.received is not None
        and moment.now - one.received <= DAY_US
        and seen(one.info.commune, one.info.domain, one.info.key)
    ]
    return sorted(rows, key=lambda row: (-row["delay_s"], row["key"]))


def _mover_delays(moment: Moment, seen: Seen) -> list[dict[str, Any]]:
    rows = [
        {
            "key": one.info.key,
            "mover": one.info.key,
            "title": one.info.name,
            "domain": one.info.domain,
            "commune": one.commune,
            "time": one.time,
            "delay_s": max(0.0, (one.received - one.time) / 1e6),
        }
        for one in moment.moved
        if one.time is not None
        and one.received is not None
        and moment.now - one.received <= DAY_US
        and seen(one.commune, one.info.domain, one.info.key)
    ]
    return sorted(rows, key=lambda row: (-row["delay_s"], row["key"]))


def _stages(moment: Moment, _seen: Seen) -> list[dict[str, Any]]:
    rows = [
        {
            "key": f"{beat.role}/{beat.pid}/{name}",
            "role": beat.role,
            "stage": name,
            "lag": float(stage.get("lag") or 0),
            "rate": float(stage.get("rate") or 0),
            "age_s": round(beat.age_s, 1),
        }
        for beat in moment.board.beats()
        for name, stage in beat.stages.items()
        if beat.role in ("engine", "history")
    ]
    return sorted(rows, key=lambda row: (-row["lag"], row["key"]))


def _disk(moment: Moment, _seen: Seen) -> list[Mapping[str, Any]]:
    total, free, reserve = moment.disk
    return [
        {"key": "data", "free_gib": free / _GIB, "total_gib": total / _GIB, "reserve_gib": reserve / _GIB},
    ]


def _room(settings: Settings) -> Target:
    reserve = settings.journal.reserve_mib / 1024
    return Target(
        low=2 * reserve, warn_low=reserve, source="journal.reserve_mib (cài đặt): xanh từ hai lần mức dự phòng"
    )


class _Letters:
    """The dead-letter stream; letters name no unit, so only those who see the whole province read them."""

    columns: Sequence[Column] = (
        Column("letter", {"vi": "Số", "en": "Number"}, "number"),
        Column("door", {"vi": "Cửa", "en": "Door"}),
        Column("kind", {"vi": "Loại", "en": "Kind"}),
        Column("reason", {"vi": "Lý do", "en": "Reason"}),
        Column("time", {"vi": "Nhận lúc", "en": "Received"}, "time"),
    )

    async def measure(self, asked: Asked, reduce: Reduce) -> Measured:
        try:
            count = await asked.snapshots.letters.count()
        except (NatsError, TimeoutError, OSError) as error:
            raise UnavailableError(f"the dead letters cannot be counted: {type(error).__name__}") from None
        return Measured(float(count), count)

    async def page(self, asked: Asked, reduce: Reduce, limit: int, after: str | None) -> Page:
        check_limit(limit)
        if after is not None and (not (after.isascii() and after.isdigit()) or len(after) > 18):
            raise InputError(f"{after!r} is the end of no page", where="after")
        try:
            found = await asked.snapshots.letters.page(limit=limit, before=None if after is None else int(after))
        except (NatsError, TimeoutError, OSError) as error:
            raise UnavailableError(f"the dead letters cannot be read: {type(error).__name__}") from None
        items = [
            {
                "key": str(letter.seq),
                "letter": letter.seq,
                "door": letter.door,
                "kind": letter.kind,
                "reason": letter.reason,
                "time": letter.received,
            }
            for letter in found.items
        ]
        more = None if found.before is None else str(found.before)
        return Page(items=items, total=found.total, value=float(found.total), next=more)


def _quarantined(_now: int) -> sa.Select[Any]:
    q = quarantine.c
    number = sa.func.row_number().over(order_by=(q.first, q.kind, q.key))
    return sa.select(
        number.label("id"), q.kind, q.key.label("name"), q.door, q.count.label("records"), q.first.label("time")
    )


_MOVER_COLUMNS = (
    Column("mover", {"vi": "Phương tiện", "en": "Mover"}, "mover"),
    _TITLE,
    _DOMAIN,
    _COMMUNE,
    _HEARD,
    _DELAY,
)

INDICATORS = (
    Indicator(
        id="system.reporting",
        title={"vi": "Chuỗi số liệu đang gửi", "en": "Datastreams reporting"},
        meaning={
            "vi": "Trong các chuỗi có luật canh mất tin: phần đã gửi tin trong thời gian luật cho phép im lặng.",
            "en": "Of the datastreams that a silence rule watches: the share heard within what the rule allows.",
        },
        rows=Listed(_WATCHED, _watched),
        action="thing.read",
        source=_LATEST,
        reduce=share("reporting"),
        unit="%",
        digits=1,
        direction="higher",
    ),
    Indicator(
        id="system.silent",
        title={"vi": "Chuỗi số liệu im lặng", "en": "Datastreams silent"},
        meaning={
            "vi": "Số chuỗi số liệu im lặng lâu hơn luật canh mất tin cho phép.",
            "en": "Datastreams silent for longer than their silence rule allows.",
        },
        rows=Listed(_WATCHED, _silent),
        action="thing.read",
        source=_LATEST,
    ),
    Indicator(
        id="system.delay_p95",
        title={"vi": "Độ trễ số liệu, 95 %", "en": "Delay of data, 95 %"},
        meaning={
            "vi": "95 % số chuỗi có tin trong 24 giờ: tin mới nhất đến nơi không chậm hơn thế kể từ lúc đo.",
            "en": "For 95 % of the datastreams heard in a day, the newest value took no longer to arrive.",
        },
        rows=Listed((_WATCHED[0], _DOMAIN, _COMMUNE, _HEARD, _DELAY), _delays),
        action="thing.read",
        source=_LATEST,
        reduce=quantile("delay_s", 0.95),
        unit="s",
        digits=1,
    ),
    Indicator(
        id="system.mover_delay_p95",
        title={"vi": "Độ trễ vị trí, 95 %", "en": "Delay of positions, 95 %"},
        meaning={
            "vi": "95 % số phương tiện có tin trong 24 giờ: vị trí mới nhất đến nơi không chậm hơn thế.",
            "en": "For 95 % of the movers heard in a day, the newest position arrived no later than this.",
        },
        rows=Listed(_MOVER_COLUMNS, _mover_delays),
        action="thing.read",
        source=_LATEST,
        reduce=quantile("delay_s", 0.95),
        unit="s",
        digits=1,
        target=Target(high=120, source=_TRACKERS),
    ),
    Indicator(
        id="system.quarantined",
        title={"vi": "Tên lạ chờ duyệt", "en": "Unknown names waiting"},
        meaning={
            "vi": "Số tên thiết bị hoặc phương tiện chưa đăng ký, đang chờ người duyệt.",
            "en": "Names of devices or movers that are not registered and wait for somebody to admit them.",
        },
        rows=Selected(
            (
                Column("name", {"vi": "Tên", "en": "Name"}),
                Column("kind", {"vi": "Loại", "en": "Kind"}),
                Column("door", {"vi": "Cửa", "en": "Door"}),
                Column("records", {"vi": "Số tin", "en": "Records"}, "number"),
                Column("time", {"vi": "Từ lúc", "en": "Since"}, "time"),
            ),
            _quarantined,
            Resource(()),
        ),
        action="system.read",
        source={"vi": "Hàng chờ duyệt tên", "en": "The quarantine of names"},
        whole=True,
    ),
    Indicator(
        id="system.dead_letters",
        title={"vi": "Bản tin hỏng", "en": "Dead letters"},
        meaning={
            "vi": "Số bản tin không nhận được, giữ lại kèm lý do cho đến khi có người xem.",
            "en": "Records that could not be taken, kept with the reason until somebody looks.",
        },
        rows=_Letters(),
        action="system.read",
        source={"vi": "Kho bản tin hỏng", "en": "The dead-letter stream"},
        reduce=COUNT,
        whole=True,
    ),
    Indicator(
        id="system.lag",
        title={"vi": "Bản ghi chưa xử lý", "en": "Records behind"},
        meaning={
            "vi": "Số khối bản ghi trong nhật ký mà khâu chậm nhất (phân tích hoặc lưu trữ) còn chưa xử lý.",
            "en": "Blocks of the journal that the slowest stage, engine or history, has not handled yet.",
        },
        rows=Listed(
            (
                Column("role", {"vi": "Tiến trình", "en": "Process"}),
                Column("stage", {"vi": "Khâu", "en": "Stage"}),
                Column("lag", {"vi": "Còn chờ", "en": "Behind"}, "number"),
                Column("rate", {"vi": "Mỗi giây", "en": "Per second"}, "number"),
                Column("age_s", {"vi": "Nhịp cuối cách đây", "en": "Heartbeat age"}, "length"),
            ),
            _stages,
        ),
        action="system.read",
        source={"vi": "Nhịp tim của các tiến trình", "en": "Heartbeats of the processes"},
        reduce=highest("lag"),
        whole=True,
        every_s=30,
    ),
    Indicator(
        id="system.disk_free",
        title={"vi": "Đĩa còn trống", "en": "Disk free"},
        meaning={
            "vi": "Chỗ trống trên đĩa của thư mục dữ liệu. Dưới mức dự phòng thì các cửa ngừng nhận tin.",
            "en": "Room on the disk of the data directory. Below the reserve the doors stop taking records.",
        },
        rows=Listed(
            (
                Column("key", {"vi": "Đĩa", "en": "Disk"}),
                Column("free_gib", {"vi": "Trống", "en": "Free"}, "number", "GiB"),
                Column("total_gib", {"vi": "Tất cả", "en": "Total"}, "number", "GiB"),
                Column("reserve_gib", {"vi": "Dự phòng", "en": "Reserve"}, "number", "GiB"),
            ),
            _disk,
        ),
        action="system.read",
        source={"vi": "Máy chủ", "en": "The machine"},
        reduce=lowest("free_gib"),
        unit="GiB",
        digits=1,
        direction="higher",
        target=_room,
        whole=True,
    ),
)
