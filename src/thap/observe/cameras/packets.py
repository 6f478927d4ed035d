"""Packets of a stream, and a ring of the latest of them, kept without being decoded."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from fractions import Fraction

__all__ = ["Packet", "Ring", "Track"]


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """The video stream of one connection: what a player must know before its packets."""

    codec: str
    """As libavcodec names it: h264, hevc, mjpeg …"""
    width: int
    height: int
    time_base: Fraction
    rate: float
    """Pictures a second, as announced; 0 unknown."""
    header: bytes
    """The beginning of a fragmented MP4 (ftyp, moov) that describes the stream; empty where MP4 cannot hold it."""
    mime: str = ""
    """Type and codecs, as `video/mp4; codecs="avc1.64001f"`; empty where a browser cannot play it without decoding."""


@dataclass(frozen=True, slots=True, eq=False)
class Packet:
    """One coded picture."""

    data: bytes
    pts: int
    """In the track's time base, from the start of the connection; never goes back."""
    dts: int
    duration: int
    key: bool
    time_us: int
    """When it was received, by this machine's clock, smoothed by the stream's own."""
    track: Track


class Ring:
    """The latest packets, from a key picture on: as many seconds as asked for, within a number of bytes."""

    def __init__(self, seconds: float, most_bytes: int = 48 << 20) -> None:
        self._span = round(seconds * 1e6)
        self._most = most_bytes
        self._packets: deque[Packet] = deque()
        self._keys: deque[int] = deque()
        self._lock = threading.Lock()
        self.size = 0
        """Bytes held."""

    def add(self, packet: Packet) -> None:
        """Take a packet and let go of what is too old, a whole group of pictures at a time."""
        with self._lock:
            self._packets.append(packet)
            self.size += len(packet.data)
            if packet.key:
                self._keys.append(packet.time_us)
            while len(self._packets) > 1 and (
                self.size > self._most
                or not self._packets[0].key
                or (len(self._keys) > 1 and packet.time_us - self._keys[1] >= self._span)
            ):
                self._let_go()

    def _let_go(self) -> None:
        """Drop packets up to the next key picture."""
        while self._packets:
            gone = self._packets.popleft()
            self.size -= len(gone.data)
            if gone.key:
                self._keys.popleft()
            if self._packets and self._packets[0].key:
                return

    def since(self, time_us: int) -> list[Packet]:
        """Packets from the last key picture at or before a time on, of the newest track alone; from its first key
        picture where that is later."""
        with self._lock:
            packets = list(self._packets)
        if not packets:
            return []
        track = packets[-1].track
        begin = None
        for at, one in enumerate(packets):
            if one.key and one.track is track and (begin is None or one.time_us <= time_us):
                begin = at
        return [] if begin is None else [one for one in packets[begin:] if one.track is track]
