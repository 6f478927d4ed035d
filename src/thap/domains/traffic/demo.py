"""Traffic of the demo province: what cameras count, vessels on the Tiền by AIS, ferries with GPS trackers."""

from __future__ import annotations

import numpy as np
import shapely

from thap.detect.rules import Geofence, Rule
from thap.domains.paths import Crossing, Shuttle, Visits
from thap.domains.river import along
from thap.domains.truth import Limit, Quiet, depth_m, limit_of, local_hour
from thap.domains.world import Doubles, Longs, Mover, Plan, Series, Thing, World, bump
from thap.kernel.clock import HOUR_US, MINUTE_US, SECOND_US

__all__ = ["contribute"]

_CAMERAS = (
    ("cam-cau-my-thuan", "Camera cầu Mỹ Thuận", 105.909, 10.279),
    ("cam-ql30-cao-lanh", "Camera QL30 Cao Lãnh", 105.640, 10.463),
    ("cam-ql1-cai-lay", "Camera QL1 Cai Lậy", 106.118, 10.407),
    ("cam-cau-rach-mieu", "Camera cầu Rạch Miễu", 106.351, 10.352),
)
_COUNT_NOISE, _SPEED_NOISE, _GPS_M = 3.0, 2.0, 6.0
_KINDS = (
    ("cargo", 79, "SL"),
    ("cargo", 70, "Tàu hàng"),
    ("tanker", 80, "Tàu dầu"),
    ("passenger", 60, "Tàu khách"),
    ("towing", 31, "Tàu kéo"),
)
_FERRIES = (
    ("pha-cao-lanh", "Phà Cao Lãnh", 74.5),
    ("pha-sa-dec", "Phà Sa Đéc", 88.5),
    ("pha-an-hoa", "Phà An Hòa", 46.0),
    ("pha-thuong-phuoc", "Phà Thường Phước", 7.0),
)


def contribute(world: World) -> None:
    """Add cameras, vessels and ferries and their events."""
    from thap.domains.traffic import DOMAIN

    rules = DOMAIN.read_rules()
    _cameras(world, rules)
    _vessels(world)
    _bridge(world, rules)
    _ferries(world, rules)


def _cameras(world: World, rules: dict[str, Rule]) -> None:
    collapse_rule, jam_rule = rules["traffic.count_collapse"], rules["traffic.congestion"]
    for number, (name, title, lon, lat) in enumerate(_CAMERAS):
        world.add(Thing(name, title, "camera", "traffic", lon, lat))
        dark = Plan(
            world,
            "camera-dark",
            3 * HOUR_US,
            (25 * MINUTE_US, 60 * MINUTE_US),
            first=8 * MINUTE_US,
            jitter=0.1,
            turn=(number, 4),
        )
        blink = Plan(
            world, f"camera-blink-{name}", 4 * HOUR_US, (4 * MINUTE_US, 5 * MINUTE_US), first=HOUR_US, jitter=0.5
        )
        jam = Plan(world, "jam", 4 * HOUR_US, (20 * MINUTE_US, 70 * MINUTE_US), first=HOUR_US, turn=(number, 4))
        slow = Plan(world, f"slow-{name}", 9 * HOUR_US, (20 * MINUTE_US, 40 * MINUTE_US), first=2 * HOUR_US)

        def count(times: Longs, dark: Plan = dark, blink: Plan = blink, number: int = number) -> Doubles:
            begin, end = int(times[0]), int(times[-1]) + 1
            ordinary = 34 + 3 * number + 14 * np.cos(2 * np.pi * (local_hour(times) - 17) / 24)
            covered = np.maximum(bump(times, dark.between(begin, end), 1), bump(times, blink.between(begin, end), 1))
            return np.asarray(ordinary * (1 - covered) - 12 * covered)  # noise stays under the limit, and 0 is least

        def speed(times: Longs, jam: Plan = jam, slow: Plan = slow) -> Doubles:
            begin, end = int(times[0]), int(times[-1]) + 1
            return (
                44
                - 39 * bump(times, jam.between(begin, end), 6 * MINUTE_US)
                - 24 * bump(times, slow.between(begin, end), 6 * MINUTE_US)
            )

        counts = Series(
            name, "vehicles", "vehicle_count", "1/min", MINUTE_US, count, _COUNT_NOISE, 0, least=0.0, door="http"
        )
        speeds = Series(
            name, "mean_speed", "mean_speed", "km/h", MINUTE_US, speed, _SPEED_NOISE, 1, least=0.0, door="http"
        )
        world.add(counts, speeds)
        votes = getattr(collapse_rule, "n", 1)
        world.expect(
            limit_of(
                collapse_rule,
                counts.key,
                count,
                noise=_COUNT_NOISE,
                period=MINUTE_US,
                on_delay=(votes - 1) * MINUTE_US,
                off_delay=5 * MINUTE_US,
                note="something in front of the camera",
            )
        )
        world.expect(limit_of(jam_rule, speeds.key, speed, noise=_SPEED_NOISE, period=MINUTE_US, note="traffic jam"))


def _vessels(world: World) -> None:
    random = world.random("vessels")
    for number in range(30):
        kind, ship_type, name = _KINDS[int(random.integers(len(_KINDS)))]
        low = float(random.uniform(2, 150))
        path = Shuttle(
            low,
            low + float(random.uniform(15, 50)),
            float(random.uniform(5, 10)),
            float(random.uniform(0, 1)),
            float(random.uniform(50, 120)),
        )
        world.add(
            Mover(
                f"mmsi-{574_100_000 + number:09d}",
                f"{name} {number + 1:02d}",
                kind,
                "traffic",
                30 * SECOND_US,
                path,
                "ais",
                _GPS_M,
                ship_type,
            )
        )


def _bridge(world: World, rules: dict[str, Rule]) -> None:
    """Barges that wait below the bridge; now and then one comes into the closed zone, another passes close by."""
    rule = rules["traffic.restricted_zone"]
    assert isinstance(rule, Geofence)
    zone = shapely.union_all([area.geometry for area in rule.area])
    close = along(109.12, 280)  # 70 m below it
    # One stays just inside its edge, where a position now and then falls outside.
    for number, (km, depth) in enumerate(((109.6, 290), (109.9, 244), (110.2, 270))):
        entry = Plan(
            world,
            "zone-entry",
            3 * HOUR_US,
            (60 * MINUTE_US, 100 * MINUTE_US),
            first=5 * MINUTE_US,
            jitter=0.15,
            turn=(number, 3),
        )
        past = Plan(
            world,
            f"zone-past-{number}",
            9 * HOUR_US,
            (50 * MINUTE_US, 70 * MINUTE_US),
            first=(3 * ((number + 1) % 3) + 3) * HOUR_US,
            jitter=0.1,
        )
        path = Visits(along(km, 120), ((along(108.9, depth), entry, 14 * MINUTE_US), (close, past, 14 * MINUTE_US)))
        key = f"mmsi-{574_200_000 + number:09d}"
        world.add(Mover(key, f"SL chờ cầu {number + 1}", "cargo", "traffic", 30 * SECOND_US, path, "ais", _GPS_M, 79))
        world.expect(
            Limit(
                rule.name,
                key,
                depth_m(path, zone),
                [(0.0, rule.severity)],
                3 * _GPS_M + 3,
                rule.on_delay,
                rule.off_delay,
                rule.hysteresis_m,
                30 * SECOND_US,
                step=20 * SECOND_US,
                settle=3 * HOUR_US,
                afters=rule.plan().afters,
                note="barge among the piers",
            )
        )


def _ferries(world: World, rules: dict[str, Rule]) -> None:
    for number, (key, name, km) in enumerate(_FERRIES):
        gaps = (
            Plan(
                world,
                "ferry-gap",
                4 * HOUR_US,
                (25 * MINUTE_US, 60 * MINUTE_US),
                first=40 * MINUTE_US,
                turn=(number, 4),
            ),
            Plan(world, f"ferry-hiccup-{key}", 5 * HOUR_US, (5 * MINUTE_US, 8 * MINUTE_US)),
        )
        path = Crossing(km, 310.0, 20 * MINUTE_US, float(world.random("ferry", key).uniform(0, 1)))
        mover = Mover(key, name, "ferry", "traffic", 60 * SECOND_US, path, "osmand", _GPS_M, gaps=gaps)
        world.add(mover)
        world.expect(Quiet(rules["traffic.ferry_silent"], world, mover, "tracker loses its network"))
