"""Clips: a stretch of a camera's own packets around an event, kept as evidence under its SHA-256.

A clip is an attachment. It is linked to the alarm it was cut for, and to the incident that has that alarm, now or
later; from then on it is kept as long as the incident. Others go after the camera's days, or when its budget is spent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import msgspec
import sqlalchemy as sa
import structlog

from thap.kernel.audit import Entry
from thap.kernel.audit import append as audit
from thap.kernel.bus import Bus
from thap.kernel.clock import VIETNAM, from_us, now_us
from thap.kernel.errors import NotFoundError, ThapError
from thap.kernel.records import Records
from thap.kernel.settings import Settings
from thap.kernel.store import Store, Transaction
from thap.observe.cameras.packets import Packet
from thap.observe.cameras.records import Camera, Clip, clips, clips_of, former_cameras, list_cameras, spent_clips
from thap.observe.cameras.remux import whole_mp4
from thap.respond.incidents import attachments as files
from thap.respond.incidents.book import act
from thap.respond.incidents.model import Act, IncidentEvent
from thap.respond.incidents.records import incident_links, incidents

__all__ = ["Evidence", "clip_bytes"]

_log = structlog.get_logger(__name__)
_K, _L, _I = clips.c, incident_links.c, incidents.c
_INSERT = sa.insert(clips)
_FREE = (_K.id == sa.bindparam("clip_id"), _K.incident_id.is_(None))
_LINKED = sa.update(clips).where(*_FREE).values(incident_id=sa.bindparam("incident")).returning(_K.id)
_GONE = sa.delete(clips).where(*_FREE).returning(_K.id)


def clip_bytes(packets: Sequence[Packet]) -> tuple[bytes, bool]:
    """Packets as an MP4 file, and whether pictures had to be encoded anew: those of an MJPEG camera, which no browser
    plays in a file."""
    track = packets[0].track
    if track.header and track.mime:
        return whole_mp4(list(packets)), False
    return _encoded(packets), True


def _encoded(packets: Sequence[Packet]) -> bytes:
    import av

    track, target = packets[0].track, BytesIO()
    decoder = av.CodecContext.create(track.codec, "r")
    with av.open(target, "w", format="mp4") as output:
        stream: Any = None
        for packet in packets:
            for frame in decoder.decode(av.Packet(packet.data)):  # type: ignore[attr-defined]
                if stream is None:
                    stream = output.add_stream("libx264", rate=30, options={"preset": "veryfast", "crf": "23"})
                    stream.width, stream.height, stream.pix_fmt = frame.width // 2 * 2, frame.height // 2 * 2, "yuv420p"
                    stream.codec_context.time_base = track.time_base
                frame.pts, frame.time_base = packet.pts - packets[0].pts, track.time_base
                output.mux(stream.encode(frame.reformat(stream.width, stream.height, format="yuv420p")))
        if stream is not None:
            output.mux(stream.encode())
    return target.getvalue()


class Evidence:
    """Keeps clips, ties them to incidents, lets go of them."""

    def __init__(self, settings: Settings, records: Records, store: Store, bus: Bus) -> None:
        self._settings, self._records, self._store, self._bus = settings, records, store, bus
        self.kept = self.lost = 0
        self.error = ""
        """Why the last clip was lost; '' when it was kept."""

    async def keep(
        self, camera: Camera, packets: Sequence[Packet], event_us: int, condition: str = "", alarm_id: int | None = None
    ) -> Clip | None:
        """Cut and keep a clip; None where there are no packets. A failure (a full disk) is told, not raised."""
        if not packets:
            return None
        try:
            content, encoded = await asyncio.to_thread(clip_bytes, packets)
            at = from_us(event_us).astimezone(VIETNAM)
            name = f"{camera.name}-{at:%Y%m%d-%H%M%S}{f'-{condition}' if condition else ''}.mp4"
            kept = await files.keep(self._settings, content, name, types=("video/mp4", "video/quicktime"))
            clip = await self._store.transact(
                lambda tx: self._record(tx, camera, packets, kept, event_us, condition, alarm_id, encoded)
            )
        except (ThapError, OSError, ValueError) as error:
            self.lost += 1
            self.error = str(error)
            _log.error("a clip is lost", camera=camera.name, condition=condition, reason=str(error))
            return None
        self.kept, self.error = self.kept + 1, ""
        await self._bus.announce("centre.live.camera", {"camera": camera.name, "clip": clip.id})
        return clip

    def _record(
        self,
        tx: Transaction,
        camera: Camera,
        packets: Sequence[Packet],
        kept: files.Kept,
        event_us: int,
        condition: str,
        alarm_id: int | None,
        encoded: bool,
    ) -> Clip:
        number = files.record(tx, kept, "", "clip", camera.name[:64])
        row: dict[str, Any] = {
            "begins": packets[0].time_us,
            "ends": packets[-1].time_us,
            "event": event_us,
            "condition": condition[:64],
            "source": camera.name,
            "alarm_id": alarm_id,
            "incident_id": None,
            "attachment_id": number,
            "sha256": kept.sha256,
            "size": kept.size,
            "encoded": encoded,
        }
        made = tx.insert(_INSERT, _K.id, [{"thing_id": camera.thing_id, **row}])[0]
        return Clip(id=made, camera=camera.name, **row)

    async def link(self) -> int:
        """Tie clips to the incidents that have their alarms by now; how many were tied."""
        found = (
            sa.select(_K.id, _K.attachment_id, _K.sha256, _K.size, _L.incident_id, files.attachments.c.name)
            .join(
                incident_links,
                sa.and_(_L.kind == "alarm", _L.ref == sa.cast(_K.alarm_id, sa.String), _L.removed.is_(None)),
            )
            .join(files.attachments, files.attachments.c.id == _K.attachment_id)
            .where(_K.incident_id.is_(None), _K.alarm_id.is_not(None))
            .order_by(_K.id, _L.incident_id.desc())
        )
        async with self._records.read() as connection:
            rows = (await connection.execute(found)).all()
        done: set[int] = set()
        for clip_id, attachment, sha256, size, incident, name in rows:
            if clip_id in done:
                continue
            done.add(clip_id)
            detail = {"sha256": sha256, "type": "video/mp4", "size": size, "clip": clip_id}
            link = {"kind": "file", "ref": str(attachment), "title": name, "detail": detail}

            def work(
                tx: Transaction, clip_id: int = clip_id, incident: int = incident, link: dict[str, Any] = link
            ) -> list[IncidentEvent]:
                if not tx.rows(_LINKED, {"clip_id": clip_id, "incident": incident}):
                    return []  # it was let go of, or tied, meanwhile
                return act(tx, [Act(incident, "link", detail=link)])

            try:
                for event in await self._store.transact(work):
                    await self._bus.announce("centre.live.incident", event)
            except (ThapError, msgspec.MsgspecError) as error:
                _log.warning("a clip waits for its incident", clip=clip_id, incident=incident, reason=str(error))
        return len(done)

    async def tidy(self) -> int:
        """Let go of clips whose time is over or that are beyond the budget; how many."""
        async with self._records.read() as connection:
            spent = [
                clip
                for camera in [*await list_cameras(connection), *await former_cameras(connection)]
                for clip in await spent_clips(connection, camera, now_us())
            ]
            rest = [clip for clip in await clips_of(connection, limit=100_000) if clip.incident_id is None]
        gone = {clip.id: clip for clip in spent}
        budget, total = int(self._settings.cameras.disk_gib * 2**30), 0
        for clip in rest:  # the latest first
            total += clip.size
            if total > budget:
                gone[clip.id] = clip
        return sum([await self._let_go(clip, "") for clip in gone.values()])

    async def remove(self, clip: Clip, by: Any = "") -> None:
        """Let go of a clip; its file goes with the next sweep of attachments.

        Raises:
            NotFoundError: it is evidence of an incident and stays.
        """
        if not await self._let_go(clip, by):
            raise NotFoundError("this clip is evidence of an incident, or gone", where=f"clip {clip.id}")

    async def _let_go(self, clip: Clip, by: Any) -> bool:
        """Whether it went: what the clip was when it was read may hold no longer."""

        def work(tx: Transaction) -> bool:
            if not tx.rows(_GONE, {"clip_id": clip.id}):
                return False
            files.forget(tx, [clip.attachment_id])
            audit(tx, [Entry(by, "clip.remove", f"thing:{clip.camera}", {"clip": clip.id, "sha256": clip.sha256})])
            return True

        return await self._store.transact(work)
