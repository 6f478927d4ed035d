"""Rows of latest values, for indicators of domains: what stations say now, and which movers are heard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from thap.detect.rules import Silence
from thap.kernel.clock import DAY_US
from thap.measure.indicators.model import Column
from thap.measure.indicators.snapshot import Moment
from thap.measure.indicators.sources import Listed, Seen

__all__ = ["movers_heard", "values_now"]

_COMMUNE = Column("commune", {"vi": "Xã, phường", "en": "Commune"}, "commune")


def values_now(*properties: str, unit: str, datastream: str = "", domain: str = "", within_us: int = DAY_US) -> Listed:
    """The newest value of each datastream of these observed properties, the highest first; column `value`.

    Args:
        properties: observed properties.
        unit: shown with the values.
        datastream: only this one.
        domain: only things of this domain.
        within_us: what was measured longer ago is no longer now, and is left out.
    """

    def rows(moment: Moment, seen: Seen) -> Sequence[dict[str, Any]]:
        found = [
            {
                "key": one.info.key,
                "datastream": one.info.key,
                "title": moment.title(one.info.thing),
                "commune": one.info.commune,
                "time": one.time,
                "value": one.result,
            }
            for one in moment.of(*properties)
            if one.time is not None
            and moment.now - one.time <= within_us
            and (not datastream or one.info.key == datastream)
            and (not domain or one.info.domain == domain)
            and seen(one.info.commune, one.info.domain, one.info.key)
        ]
        return sorted(found, key=lambda row: (-(row["value"] or 0.0), row["key"]))

    columns = (
        Column("datastream", {"vi": "Chuỗi số liệu", "en": "Datastream"}, "thing"),
        Column("title", {"vi": "Trạm", "en": "Station"}),
        _COMMUNE,
        Column("value", {"vi": "Giá trị", "en": "Value"}, "number", unit),
        Column("time", {"vi": "Đo lúc", "en": "Measured"}, "time"),
    )
    return Listed(columns, rows)


def movers_heard(kind: str, domain: str = "") -> Listed:
    """Movers of a kind that a silence rule watches; column `reporting` says whether each was heard within what the
    strictest of its rules allows."""

    def rows(moment: Moment, seen: Seen) -> Sequence[dict[str, Any]]:
        strictest: dict[int, int] = {}
        for rule in moment.rules:
            if isinstance(rule, Silence) and rule.enabled and rule.select.mover:
                for info in moment.catalogue.select_movers(rule.select):
                    limit = int(rule.no_data_for or 0)
                    strictest[info.id] = min(limit, strictest.get(info.id, limit))
        found = [
            {
                "key": one.info.key,
                "mover": one.info.key,
                "title": one.info.name,
                "commune": one.commune,
                "time": one.received,
                "reporting": one.received is not None and moment.now - one.received <= strictest[one.info.id],
            }
            for one in moment.moved
            if one.info.id in strictest
            and one.info.kind == kind
            and (not domain or one.info.domain == domain)
            and seen(one.commune, one.info.domain, one.info.key)
        ]
        return sorted(found, key=lambda row: (row["reporting"], row["key"]))

    columns = (
        Column("mover", {"vi": "Phương tiện", "en": "Mover"}, "mover"),
        Column("title", {"vi": "Tên", "en": "Name"}),
        _COMMUNE,
        Column("time", {"vi": "Tin cuối lúc", "en": "Last heard"}, "time"),
        Column("reporting", {"vi": "Đang gửi", "en": "Reporting"}, "yes"),
    )
    return Listed(columns, rows)
