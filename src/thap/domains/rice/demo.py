"""Light traps of the demo province: one count of planthoppers a trap and night, sent at half past five."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from thap.detect.detector import Severity
from thap.domains.rice.detectors import CONDITION
from thap.domains.truth import Quiet
from thap.domains.world import Doubles, Longs, Plan, Series, Signal, Thing, Truth, World
from thap.kernel.clock import DAY_US, HOUR_US, MINUTE_US

__all__ = ["contribute"]

_TRAPS = (
    ("bd-tan-hong", "Bẫy đèn Tân Hồng", 105.439, 10.867),
    ("bd-tam-nong", "Bẫy đèn Tam Nông", 105.532, 10.754),
    ("bd-thap-muoi", "Bẫy đèn Tháp Mười", 105.820, 10.560),
    ("bd-cao-lanh", "Bẫy đèn Mỹ Thọ", 105.713, 10.441),
    ("bd-lai-vung", "Bẫy đèn Lai Vung", 105.577, 10.290),
    ("bd-cai-be", "Bẫy đèn Cái Bè", 106.011, 10.342),
    ("bd-cai-lay", "Bẫy đèn Cai Lậy", 106.114, 10.410),
    ("bd-go-cong", "Bẫy đèn Gò Công", 106.669, 10.354),
)
_COUNTED_AT = (DAY_US + 5 * HOUR_US + 30 * MINUTE_US - 7 * HOUR_US) % DAY_US
"""Half past five in the morning on Vietnamese clocks, µs after midnight UTC."""


def contribute(world: World) -> None:
    """Add the traps and their nights."""
    from thap.domains.rice import DOMAIN

    rules = DOMAIN.read_rules()
    for number, (name, title, lon, lat) in enumerate(_TRAPS):
        world.add(Thing(name, title, "light_trap", "rice", lon, lat))
        gaps = (
            Plan(
                world,
                "trap-gap",
                2 * DAY_US,
                (37 * HOUR_US, 44 * HOUR_US),
                first=DAY_US,
                jitter=0.3,
                turn=(number, len(_TRAPS)),
            ),
        )
        signal = _nights(world, number)
        series = Series(
            name,
            "planthopper_catch",
            "planthopper_catch",
            "1/trap/night",
            DAY_US,
            signal,
            0.0,
            0,
            least=0.0,
            phase=_COUNTED_AT,
            gaps=gaps,
        )
        world.add(series)
        world.expect(_peaks(world, series))
        world.expect(Quiet(rules["rice.trap_silent"], world, series, "trap sends nothing"))


def _nights(world: World, number: int) -> Signal:
    """Counts by night: ordinary ones, flights in some of the traps, and nights just under the limit."""

    def catch(night: int) -> float:
        random = world.random("catch", number, night)
        ordinary = float(np.clip(np.exp(random.normal(3.7, 0.5)), 2, 250))
        turn = (night + number) % 4
        if turn == 0:
            return float(random.integers(620, 1400))
        if turn == 1 and (night + number) % 8 == 1:
            return float(random.integers(1600, 3400))
        if turn == 2:
            return float(random.integers(380, 490))
        return ordinary

    def signal(times: Longs) -> Doubles:
        return np.array([catch(night) for night in ((times - _COUNTED_AT) // DAY_US).tolist()])

    return signal


def _peaks(world: World, series: Series) -> Callable[[int, int], Iterable[Truth]]:
    from thap.domains.parameters import shipped_parameters
    from thap.domains.rice import DOMAIN

    bounds = shipped_parameters(DOMAIN)
    steps = [(bounds["catch_watch"], Severity.MEDIUM), (bounds["catch_high"], Severity.HIGH)]

    def truth(begin: int, end: int) -> Iterable[Truth]:
        times = world.due(series, max(begin - 4 * DAY_US, world.start), end + 4 * DAY_US)
        values = series.signal(times)
        start, worst = 0, Severity.LOW
        for time, value in zip(times.tolist(), values.tolist(), strict=True):
            reached = [severity for limit, severity in steps if value >= limit]
            if reached:
                worst = max(worst, *reached) if start else max(reached)
                start = start or time
            elif start:
                yield Truth(CONDITION, series.key, start, time, worst, note="flight of planthoppers")
                start = 0

    return truth
