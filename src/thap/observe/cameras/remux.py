"""From packets to fragmented MP4, as Media Source Extensions play it: repacked, never transcoded.

libavformat's muxer writes the fragments; here they are told apart, and marked where a player can begin.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from io import BytesIO
from typing import TYPE_CHECKING, Any

from thap.observe.cameras.packets import Packet, Track

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer

__all__ = ["FRAGMENT_S", "Fragment", "Remuxer", "codec_of", "header_of", "whole_mp4"]

FRAGMENT_S = 0.25
"""Longest fragment, seconds: a viewer is this much later, and a server sends four messages a second instead of 25."""
_MODE = "empty_moov+default_base_moof+frag_keyframe"
_PLAYABLE = ("h264", "hevc", "av1", "vp9")

Fragment = tuple[bytes, bool]
"""A fragment, and whether it begins with a key picture."""


class _Sink:
    """Takes what the muxer writes."""

    def __init__(self) -> None:
        self.buffer = bytearray()

    def write(self, data: bytes) -> int:
        self.buffer += data
        return len(data)

    def take(self) -> bytes:
        taken = bytes(self.buffer)
        self.buffer.clear()
        return taken


def header_of(container: InputContainer) -> bytes:
    """ftyp and moov for the first video stream of an open container; empty where MP4 cannot hold its codec."""
    import av

    sink = _Sink()
    try:
        with av.open(sink, "w", format="mp4", options={"movflags": _MODE}) as output:
            output.add_stream_from_template(container.streams.video[0], opaque=True)
            output.start_encoding()
            head = sink.take()
    except (av.FFmpegError, ValueError):
        return b""
    return head if codec_of(head) or b"mp4v" in head else b""


class Remuxer:
    """Packets of one track in, fragments out."""

    def __init__(self, track: Track) -> None:
        import av

        self.track = track
        self._sink = _Sink()
        self._template: Any = av.open(BytesIO(track.header))
        options = {"movflags": _MODE, "frag_duration": str(round(FRAGMENT_S * 1e6)), "flush_packets": "1"}
        self._output: OutputContainer = av.open(self._sink, "w", format="mp4", options=options)
        self._stream = self._output.add_stream_from_template(self._template.streams.video[0], opaque=True)
        self._output.start_encoding()
        self.header = self._sink.take()
        self._begun = False
        self._first = 0

    def add(self, packet: Packet) -> list[Fragment]:
        """Fragments that are complete now. Packets before the first key picture are passed over."""
        import av

        if not self._begun:
            if not packet.key:
                return []
            self._begun, self._first = True, packet.dts
        made = av.Packet(packet.data)
        made.pts, made.dts, made.duration = packet.pts - self._first, packet.dts - self._first, packet.duration
        made.time_base, made.is_keyframe, made.stream = packet.track.time_base, packet.key, self._stream
        self._output.mux(made)
        return list(_split(self._sink.take()))

    def close(self) -> list[Fragment]:
        """The last fragment."""
        self._output.close()
        self._template.close()
        return list(_split(self._sink.take()))


def whole_mp4(packets: list[Packet]) -> bytes:
    """Packets of one track, the first a key picture, as an MP4 file."""
    import av

    track, first = packets[0].track, packets[0].dts
    target = BytesIO()
    with av.open(BytesIO(track.header)) as template, av.open(target, "w", format="mp4") as output:
        stream = output.add_stream_from_template(template.streams.video[0], opaque=True)
        for packet in packets:
            made = av.Packet(packet.data)
            made.pts, made.dts, made.duration = packet.pts - first, packet.dts - first, packet.duration
            made.time_base, made.is_keyframe, made.stream = track.time_base, packet.key, stream
            output.mux(made)
    return target.getvalue()


def _boxes(data: bytes, at: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """(type, start of the content, end) of each box of ISO/IEC 14496-12."""
    stop = len(data) if end is None else end
    while at + 8 <= stop:
        size, kind = struct.unpack_from(">I4s", data, at)
        if size < 8 or at + size > stop:
            return
        yield kind, at + 8, at + size
        at += size


def _split(data: bytes) -> Iterator[Fragment]:
    """Each moof with its mdat."""
    begin, key = 0, False
    for kind, start, end in _boxes(data):
        if kind == b"moof":
            begin, key = start - 8, _begins_with_key(data, start, end)
        elif kind == b"mdat":
            yield data[begin:end], key


def _begins_with_key(data: bytes, start: int, end: int) -> bool:
    """Whether the first sample of a moof is a sync sample: from trun's flags, else from tfhd's default."""
    flags = 0
    for kind, inner, close in _boxes(data, start, end):
        if kind != b"traf":
            continue
        for box, at, _ in _boxes(data, inner, close):
            told = struct.unpack_from(">I", data, at)[0] & 0xFFFFFF
            if box == b"tfhd" and told & 0x20:
                skip = 8 + sum(size for bit, size in ((0x1, 8), (0x2, 4), (0x8, 4), (0x10, 4)) if told & bit)
                flags = struct.unpack_from(">I", data, at + skip)[0]
            elif box == b"trun":
                place = at + 8 + (4 if told & 0x1 else 0)
                if told & 0x4:
                    flags = struct.unpack_from(">I", data, place)[0]
                elif told & 0x400:
                    first = place + (4 if told & 0x100 else 0) + (4 if told & 0x200 else 0)
                    flags = struct.unpack_from(">I", data, first)[0]
                return not flags & 0x10000
    return False


def codec_of(header: bytes) -> str:
    """The MIME type with the codec string of RFC 6381 for an MP4 header; empty where browsers do not play it."""
    at = header.find(b"avcC")
    if at > 0:
        return f'video/mp4; codecs="avc1.{header[at + 5 : at + 8].hex()}"'
    at = header.find(b"hvcC")
    if at > 0:
        general = header[at + 5 : at + 5 + 12]
        space = ("", "A", "B", "C")[general[0] >> 6]
        compatible = int(f"{int.from_bytes(general[1:5], 'big'):032b}"[::-1], 2)
        tier = "H" if general[0] & 0x20 else "L"
        level = header[at + 5 + 11]
        constraints = general[5:11].rstrip(b"\0")
        told = "".join(f".{one:x}" for one in constraints)
        return f'video/mp4; codecs="hvc1.{space}{general[0] & 0x1F}.{compatible:x}.{tier}{level}{told}"'
    return ""
