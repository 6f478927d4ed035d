"""Cameras as records. A camera is a thing; here is what only cameras have, and what of their pictures is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from thap.kernel.clock import now_us
from thap.kernel.errors import ConflictError, NotFoundError
from thap.kernel.policy import Resource
from thap.kernel.records import metadata
from thap.observe.cameras.camera import Camera
from thap.observe.registry import datastreams, register_things, things

__all__ = [
    "RESOURCE",
    "Camera",
    "Clip",
    "add_camera",
    "add_clip",
    "any_enabled",
    "camera_named",
    "cameras",
    "change_camera",
    "clip_numbered",
    "clips",
    "clips_of",
    "former_cameras",
    "known_streams",
    "list_cameras",
    "remove_camera",
    "spent_clips",
    "thing_there",
]

_Id = sa.BigInteger().with_variant(sa.Integer, "sqlite")
cameras = sa.Table(
    "cameras",
    metadata,
    sa.Column("thing_id", sa.ForeignKey("things.id"), primary_key=True),
    sa.Column("address", sa.String(1000), nullable=False),  # without credentials
    sa.Column("secret", sa.String(2000), nullable=False),  # user and password, sealed
    sa.Column("trusted", sa.Boolean, nullable=False),  # the machine's owner gave the address
    sa.Column("enabled", sa.Boolean, nullable=False, index=True),
    sa.Column("transport", sa.String(8), nullable=False),  # of RTSP: tcp or udp
    sa.Column("loop", sa.Boolean, nullable=False),  # a file begins again at its end
    sa.Column("fps", sa.Float, nullable=False),  # planned rate of analysed pictures
    sa.Column("onvif", sa.String(500), nullable=False),  # device service, for its clock
    sa.Column("before_s", sa.Float, nullable=False),  # of a clip before its event
    sa.Column("after_s", sa.Float, nullable=False),
    sa.Column("keep_days", sa.Integer, nullable=False),  # clips without an incident
    sa.Column("disk_mib", sa.Integer, nullable=False),  # budget of its clips
    sa.Column("scene", sa.JSON, nullable=False),  # lines, zones, ground plane
    sa.Column("plates", sa.Boolean, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("changed", sa.BigInteger, nullable=False),
    sa.Column("changed_by", sa.String(64), nullable=False),
)
clips = sa.Table(
    "camera_clips",
    metadata,
    sa.Column("id", _Id, primary_key=True),
    sa.Column("thing_id", sa.ForeignKey("things.id"), nullable=False),
    sa.Column("begins", sa.BigInteger, nullable=False),  # µs
    sa.Column("ends", sa.BigInteger, nullable=False),
    sa.Column("event", sa.BigInteger, nullable=False),  # when it happened, µs
    sa.Column("condition", sa.String(64), nullable=False),  # of the alarm; '' for one asked for by hand
    sa.Column("source", sa.String(257), nullable=False),  # of the alarm
    sa.Column("alarm_id", sa.BigInteger),
    sa.Column("incident_id", sa.BigInteger, index=True),
    sa.Column("attachment_id", sa.BigInteger, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("encoded", sa.Boolean, nullable=False),  # made anew from pictures, not the camera's own packets
    sa.Index("ix_camera_clips_thing_id_event", "thing_id", "event"),
    sqlite_autoincrement=True,
)
_C, _T, _K = cameras.c, things.c, clips.c
RESOURCE = Resource((_T.commune,), _T.domain, _T.name)
"""What policy looks at where cameras are joined with things."""
_OWN = tuple(column.name for column in cameras.columns if column.name not in ("thing_id", "secret"))
_OF_THING = ("title", "domain", "lon", "lat", "commune")


@dataclass(frozen=True, slots=True)
class Clip:
    """A stretch of a camera's pictures that is kept."""

    id: int
    camera: str
    begins: int
    ends: int
    event: int
    condition: str
    source: str
    alarm_id: int | None
    incident_id: int | None
    attachment_id: int
    sha256: str
    size: int
    encoded: bool


_SELECT = sa.select(
    _C.thing_id, _T.name, *(_T[name] for name in _OF_THING), _C.secret, *(_C[name] for name in _OWN)
).join_from(cameras, things)
_CLIP = sa.select(
    _T.name.label("camera"), *(column for column in clips.columns if column.name != "thing_id")
).join_from(clips, things)


async def list_cameras(
    connection: AsyncConnection,
    within: sa.ColumnElement[bool] | None = None,
    *,
    domain: str = "",
    enabled: bool | None = None,
) -> list[Camera]:
    """Cameras by name; `within` is what the caller may see."""
    chosen = _SELECT.order_by(_T.name)
    if within is not None:
        chosen = chosen.where(within)
    if domain:
        chosen = chosen.where(_T.domain == domain)
    if enabled is not None:
        chosen = chosen.where(_C.enabled.is_(enabled))
    return [Camera(**row) for row in (await connection.execute(chosen)).mappings()]


async def camera_named(connection: AsyncConnection, name: str, within: sa.ColumnElement[bool] | None = None) -> Camera:
    """One camera.

    Raises:
        NotFoundError: there is none of this name, as far as `within` lets one see.
    """
    chosen = _SELECT.where(_T.name == name)
    row = (await connection.execute(chosen if within is None else chosen.where(within))).mappings().first()
    if row is None:
        raise NotFoundError(f"there is no camera {name[:128]!r}", hint="`thap camera list` shows those there are")
    return Camera(**row)


async def thing_there(connection: AsyncConnection, name: str) -> Camera | None:
    """The thing of a name, camera or not, as far as policy looks at it; None where there is none."""
    row = (await connection.execute(sa.select(_T.id, _T.domain, _T.commune).where(_T.name == name))).one_or_none()
    return None if row is None else Camera(row.id, name, domain=row.domain or "", commune=row.commune or "")


async def any_enabled(connection: AsyncConnection) -> bool:
    """Whether there is a camera to be read."""
    return await connection.scalar(sa.select(_C.thing_id).where(_C.enabled.is_(True)).limit(1)) is not None


async def add_camera(connection: AsyncConnection, row: dict[str, Any], by: str) -> Camera:
    """Make a thing a camera, the thing too where there is none of this name.

    Args:
        connection: in a write transaction.
        row: `name`, `address` and any other of `Camera`.
        by: who.

    Raises:
        ConflictError: it is a camera already, or a thing of another kind.
        InputError: the name is not allowed.
    """
    name = str(row["name"])
    kind = (await connection.execute(sa.select(_T.id, _T.kind).where(_T.name == name))).one_or_none()
    if kind is not None:
        if await connection.scalar(sa.select(_C.thing_id).where(_C.thing_id == kind.id)) is not None:
            raise ConflictError(f"there is a camera {name!r} already", where="name", hint="choose another name")
        if kind.kind not in ("", "camera"):
            raise ConflictError(f"{name!r} is a {kind.kind}", where="name", hint="choose another name")
    own = {key: value for key, value in row.items() if key in _OF_THING and value is not None}
    await register_things(connection, [{"domain": "traffic", **own, "name": name, "kind": "camera"}])
    thing_id = await connection.scalar(sa.select(_T.id).where(_T.name == name))
    plain = Camera(thing_id=int(thing_id or 0), name=name)
    values = {key: row.get(key, getattr(plain, key)) for key in ("secret", *_OWN)}
    values |= {"thing_id": thing_id, "version": 1, "changed": now_us(), "changed_by": by[:64]}
    await connection.execute(sa.insert(cameras).values(values))
    return await camera_named(connection, name)


async def change_camera(
    connection: AsyncConnection, name: str, changes: dict[str, Any], by: str, version: int | None = None
) -> Camera:
    """Set some of what a camera has.

    Raises:
        NotFoundError: there is none.
        ConflictError: it changed since `version`.
    """
    found = await camera_named(connection, name)
    if version is not None and found.version != version:
        raise ConflictError(
            f"it was changed meanwhile by {found.changed_by or 'the centre'}", where=name, hint="read it again"
        )
    own = {key: value for key, value in changes.items() if key in ("secret", *_OWN)}
    own |= {"version": found.version + 1, "changed": now_us(), "changed_by": by[:64]}
    done = await connection.execute(
        sa.update(cameras).where(_C.thing_id == found.thing_id, _C.version == found.version).values(own)
    )
    if done.rowcount != 1:
        raise ConflictError("it was changed at the same moment", where=name, hint="read it again")
    if of_thing := {key: value for key, value in changes.items() if key in _OF_THING}:
        await connection.execute(sa.update(things).where(_T.id == found.thing_id).values(of_thing))
    return await camera_named(connection, name)


async def remove_camera(connection: AsyncConnection, name: str) -> Camera:
    """Forget address, credentials and scene. The thing, its history and its clips stay.

    Raises:
        NotFoundError: there is none.
    """
    found = await camera_named(connection, name)
    await connection.execute(sa.delete(cameras).where(_C.thing_id == found.thing_id))
    return found


async def known_streams(connection: AsyncConnection, thing_id: int) -> set[str]:
    """Keys of the datastreams of a thing."""
    rows = await connection.execute(sa.select(datastreams.c.key).where(datastreams.c.thing_id == thing_id))
    return {str(row.key) for row in rows}


async def add_clip(connection: AsyncConnection, row: dict[str, Any]) -> int:
    """Note a clip that lies safe; returns its number."""
    made = await connection.execute(sa.insert(clips).values(row).returning(_K.id))
    return int(made.scalar_one())


async def clips_of(
    connection: AsyncConnection,
    *,
    camera: str = "",
    incident: int | None = None,
    within: sa.ColumnElement[bool] | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[Clip]:
    """Clips, the latest first; `before` is a clip's number to go on from."""
    chosen = _CLIP.order_by(_K.id.desc()).limit(limit)
    if camera:
        chosen = chosen.where(_T.name == camera)
    if incident is not None:
        chosen = chosen.where(_K.incident_id == incident)
    if within is not None:
        chosen = chosen.where(within)
    if before is not None:
        chosen = chosen.where(_K.id < before)
    return [Clip(**row) for row in (await connection.execute(chosen)).mappings()]


async def clip_numbered(connection: AsyncConnection, number: int, within: sa.ColumnElement[bool] | None = None) -> Clip:
    """One clip.

    Raises:
        NotFoundError: there is none, as far as `within` lets one see.
    """
    chosen = _CLIP.where(_K.id == number)
    row = (await connection.execute(chosen if within is None else chosen.where(within))).mappings().first()
    if row is None:
        raise NotFoundError(f"there is no clip {number}")
    return Clip(**row)


async def former_cameras(connection: AsyncConnection) -> list[Camera]:
    """Cameras that were removed and have clips still, with the days and the room that new cameras have."""
    chosen = (
        sa.select(_T.id, _T.name)
        .where(_T.id.in_(sa.select(_K.thing_id)), _T.id.not_in(sa.select(_C.thing_id)))
        .order_by(_T.id)
    )
    return [Camera(row.id, row.name) for row in await connection.execute(chosen)]


async def spent_clips(connection: AsyncConnection, camera: Camera, now: int) -> Sequence[Clip]:
    """Clips of a camera that need not be kept any longer: older than its days, or beyond its budget, the oldest
    first. Those of an incident are evidence: they stay, and take no room from the others."""
    chosen = _CLIP.where(_K.thing_id == camera.thing_id, _K.incident_id.is_(None)).order_by(_K.event.desc())
    found = [Clip(**row) for row in (await connection.execute(chosen)).mappings()]
    oldest, budget = now - camera.keep_days * 86_400_000_000, camera.disk_mib << 20
    spent, total = [], 0
    for clip in found:
        total += clip.size
        if clip.event < oldest or total > budget:
            total -= clip.size
            spent.append(clip)
    return spent[::-1]
