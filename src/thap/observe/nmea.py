"""NMEA 0183 and AIS: bytes from a receiver or a log become positions and static data of vessels.

The sentences and messages themselves are read by pyais. Here is what lies around them: lines cut out of
a byte stream, the tag block and other time stamps of a log, parts of one message put together, and the
values that mean "not available".

A broken checksum, half a sentence, an unknown type: counted under a name of `COUNTS` and dropped.
"""

from __future__ import annotations

import math
import re
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from functools import reduce
from operator import xor
from typing import Any

from pyais.messages import AISSentence, NMEASentenceFactory

from thap.kernel.clock import MINUTE_US, SECOND_US, parse_time_us
from thap.kernel.errors import InputError
from thap.observe.ships import ship_kind, vessel_key

__all__ = ["COUNTS", "AisBatch", "AisDecoder", "checksum"]

COUNTS = {
    "sentences": "AIS sentences with a correct checksum",
    "other_sentences": "lines that are not AIS sentences (other NMEA sentences, comments of a log)",
    "bad_checksum": "sentences whose checksum is wrong or missing",
    "malformed": "sentences that are not built as NMEA 0183 says, or hold no whole message",
    "incomplete": "messages of several parts of which some never came",
    "bad_tag": "tag blocks with a wrong checksum; their sentence was read without them",
    "other_types": "messages that tell neither a vessel's position nor its static data",
    "no_position": "position messages of vessels without a position fix",
    "bad_mmsi": "messages whose MMSI is not a number of nine digits",
    "untimed": "positions without a time, from a log that gives none",
}

_LINE_MAX = 2048
_OPEN_MAX = 1024
_OPEN_US = 60 * SECOND_US
_BITS = {1: 168, 2: 168, 3: 168, 5: 420, 18: 168, 19: 301, 27: 95}  # least length that holds every field used
_ARMOUR = bytes(range(48, 88)) + bytes(range(96, 120))
_TAG_TIME = re.compile(rb"(?:^|,)c:(\d{9,16})(?=,|$)")
_TAG_GROUP = re.compile(rb"(?:^|,)g:(\d+)-(\d+)-(\w+)(?=,|$)")
_CHECK = re.compile(rb"\*([0-9A-Fa-f]{2})(?![0-9A-Za-z])")
_UNIX = re.compile(rb"(?:^|[,\s])(\d{10}(?:\.\d+)?|\d{13})\s*$")


@dataclass(slots=True)
class AisBatch:
    """Positions as columns of equal length, static data, and what was dropped."""

    keys: list[str] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    """µs; the second the vessel measured at, where it tells one that agrees with the time of receipt."""
    lons: list[float] = field(default_factory=list)
    lats: list[float] = field(default_factory=list)
    speeds_kn: list[float] = field(default_factory=list)
    """NaN where not available."""
    courses_deg: list[float] = field(default_factory=list)
    """NaN where not available."""
    sentences: list[str] = field(default_factory=list)
    """The sentence (parts joined by a space) each position came in."""
    statics: list[dict[str, Any]] = field(default_factory=list)
    """Rows of `key` and any of `name`, `kind`, `properties` (call_sign, imo, ship_type, length_m, width_m,
    draught_m, destination)."""
    counts: Counter[str] = field(default_factory=Counter)
    """By the names of `COUNTS`."""

    def __len__(self) -> int:
        return len(self.keys)

    def extend(self, other: AisBatch) -> None:
        """Append another batch."""
        for name in ("keys", "times", "lons", "lats", "speeds_kn", "courses_deg", "sentences", "statics"):
            getattr(self, name).extend(getattr(other, name))
        self.counts.update(other.counts)

    def raw(self, index: int) -> dict[str, Any]:
        """Position `index` as it goes to the dead-letter and quarantine streams."""

        def known(value: float) -> float | None:
            return None if math.isnan(value) else value

        return {
            "key": self.keys[index],
            "at": self.times[index],
            "lon": self.lons[index],
            "lat": self.lats[index],
            "speed": known(self.speeds_kn[index]),
            "course": known(self.courses_deg[index]),
            "sentence": self.sentences[index],
        }


@dataclass(slots=True)
class _Parts:
    """A message of which some parts came."""

    sentences: list[AISSentence | None]
    time: int | None
    begun: int


def checksum(body: bytes) -> int:
    """The NMEA 0183 checksum: all bytes between `!` (or the backslashes of a tag block) and `*`, XORed."""
    return reduce(xor, body, 0)


class AisDecoder:
    """Decodes the sentences of one source: a connection, a peer that sends datagrams, or a log.

    It keeps half a line until its rest comes, and at most `open_max` unfinished messages of several parts,
    each for at most a minute.

    Args:
        start: for a log without times: when it begins, µs. The clock then goes on by the seconds that
            vessels report.
        open_max: how many unfinished messages are kept.
    """

    def __init__(self, *, start: int | None = None, open_max: int = _OPEN_MAX) -> None:
        self._rest = b""
        self._overlong = False
        self._clock = start
        self._free = start is not None
        self._leap = 0
        self._open: OrderedDict[Any, _Parts] = OrderedDict()
        self._open_max = open_max
        self._groups: OrderedDict[bytes, int] = OrderedDict()

    @property
    def clock(self) -> int | None:
        """The time of a log at the last line read, µs; None where it told none so far."""
        return self._clock

    @property
    def unfinished(self) -> int:
        """How many messages wait for their other parts."""
        return len(self._open)

    def feed(self, data: bytes, received: int | None = None) -> AisBatch:
        """Decode the next bytes of a stream.

        Args:
            data: any number of lines; the last may be cut anywhere.
            received: when they came, µs; None for a log, which has times of its own.
        """
        batch = AisBatch()
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            if self._overlong:  # the tail of a line whose beginning was thrown away
                self._overlong = False
            else:
                self._line(line, received, batch)
        if len(self._rest) > _LINE_MAX:
            batch.counts["malformed"] += not self._overlong
            self._rest, self._overlong = b"", True
        return batch

    def datagram(self, data: bytes, received: int) -> AisBatch:
        """Decode one datagram: whole lines, the last one with or without a line end."""
        batch = AisBatch()
        for line in data.split(b"\n"):
            self._line(line, received, batch)
        return batch

    def finish(self, received: int | None = None) -> AisBatch:
        """The source ended: read a last line without a line end, count unfinished messages."""
        batch = AisBatch()
        rest, self._rest, self._overlong = self._rest, b"", False
        self._line(rest, received, batch)
        batch.counts["incomplete"] += len(self._open)
        self._open.clear()
        return batch

    def _line(self, line: bytes, received: int | None, batch: AisBatch) -> None:
        mark = line.find(b"!")
        if mark < 0 or line.startswith(b"#"):
            batch.counts["other_sentences"] += bool(line.strip())
            return
        if len(line) > _LINE_MAX:
            batch.counts["malformed"] += 1
            return
        counts = batch.counts
        check = _CHECK.search(line, mark)
        if check is None or int(check[1], 16) != checksum(line[mark + 1 : check.start()]):
            counts["bad_checksum"] += 1
            return
        if line[mark + 3 : mark + 6] not in (b"VDM", b"VDO"):
            counts["other_sentences"] += 1
            return
        time, group = self._stamps(line[:mark], line[check.end() :], counts)
        try:
            sentence = NMEASentenceFactory.produce(line[mark : check.end()])
        except Exception:  # the library raises many kinds for what is malformed; none of them may end a door
            counts["malformed"] += 1
            return
        if not isinstance(sentence, AISSentence) or sentence.payload.translate(None, _ARMOUR):
            counts["malformed"] += 1
            return
        counts["sentences"] += 1
        if received is None:
            if time is not None:
                self._clock, self._free = time, False
            else:
                time = self._clock
        elif time is None:
            time = received
        if sentence.frag_cnt == 1:
            self._message(sentence, time, received, batch)
            return
        self._part(sentence, group, time, received, batch)

    def _stamps(self, before: bytes, after: bytes, counts: Counter[str]) -> tuple[int | None, bytes | None]:
        """The time of a line and the group of its tag block, each None where it has none.

        Logs put times into the tag block (`c:`), before the sentence, or after it behind commas.
        """
        tag_start = before.find(b"\\")
        if tag_start < 0:
            if before:
                text = before.strip(b" \t,;\"'[]\x00").decode("ascii", "replace")
                try:
                    return (parse_time_us(text) if len(text) >= 10 else None), None
                except (InputError, OverflowError):
                    return None, None
            found = _UNIX.search(after) if after else None
            return (parse_time_us(float(found[1])) if found else None), None
        tag, star, check = before[tag_start + 1 : before.rfind(b"\\")].partition(b"*")
        try:
            if not star or int(check[:2], 16) != checksum(tag):
                raise ValueError
        except ValueError:
            counts["bad_tag"] += 1
            return None, None
        stamp, group = _TAG_TIME.search(tag), _TAG_GROUP.search(tag)
        time = parse_time_us(float(stamp[1])) if stamp else None
        if group is None or group[2] == b"1":
            return time, None
        number = group[3]
        if time is None:
            time = self._groups.get(number)
        else:
            self._groups[number] = time
            if len(self._groups) > self._open_max:
                self._groups.popitem(last=False)
        return time, number

    def _part(
        self, sentence: AISSentence, group: bytes | None, time: int | None, received: int | None, batch: AisBatch
    ) -> None:
        now = received if received is not None else time or 0
        key = (group, sentence.talker_id, sentence.seq_id, sentence.channel, sentence.frag_cnt)
        parts = self._open.get(key)
        if parts is not None and (
            parts.sentences[sentence.frag_num - 1] is not None or not 0 <= now - parts.begun <= _OPEN_US
        ):
            del self._open[key]  # its number is in use again, so the rest of the old message is lost
            batch.counts["incomplete"] += 1
            parts = None
        if parts is None:
            parts = self._open[key] = _Parts([None] * sentence.frag_cnt, time, now)
            while len(self._open) > self._open_max:
                self._open.popitem(last=False)
                batch.counts["incomplete"] += 1
        parts.sentences[sentence.frag_num - 1] = sentence
        present = [part for part in parts.sentences if part is not None]
        if len(present) == sentence.frag_cnt:
            del self._open[key]
            self._message(AISSentence.assemble_from_iterable(present), parts.time, received, batch)

    def _message(self, sentence: AISSentence, time: int | None, received: int | None, batch: AisBatch) -> None:
        kind = sentence.ais_id = sentence.bv.get(0, 6)
        if kind not in _BITS and kind != 24:
            batch.counts["other_types"] += 1
            return
        least = _BITS.get(kind) or (160 if sentence.bv.get(38, 2) == 0 else 162)
        if len(sentence.bv) < least:
            batch.counts["malformed"] += 1
            return
        try:
            message: Any = sentence.decode()
        except Exception:  # see _line
            batch.counts["malformed"] += 1
            return
        if not 0 < message.mmsi <= 999_999_999:
            batch.counts["bad_mmsi"] += 1
            return
        if kind in (5, 19, 24):
            row = _static(kind, message)
            if len(row) > 1:
                batch.statics.append(row)
        if kind in (5, 24):
            return
        if message.lon == 181 or message.lat == 91:
            batch.counts["no_position"] += 1
        elif time is None:
            batch.counts["untimed"] += 1
        else:
            if kind != 27:
                time = self._measured(time, message.second, received)
            batch.keys.append(vessel_key(message.mmsi))
            batch.times.append(time)
            batch.lons.append(message.lon)
            batch.lats.append(message.lat)
            speed, course = message.speed, message.course
            batch.speeds_kn.append(math.nan if speed == 102.3 or (kind == 27 and speed >= 63) else speed)
            batch.courses_deg.append(math.nan if course >= 360 else course)
            batch.sentences.append(sentence.raw.decode("ascii").replace("\n", " "))

    def _measured(self, time: int, second: int, received: int | None) -> int:
        """The moment with this UTC second nearest to `time`, so that a message heard by several stations is
        one position; `time` itself where the second is not available or does not agree with it.

        The bounds are those in which 98.8 % of the messages of a log of 57,000 fall.
        """
        if second >= 60:
            return time
        moment = time - time % MINUTE_US + second * SECOND_US
        ahead = moment - time
        if ahead > MINUTE_US // 2:
            moment -= MINUTE_US
        elif ahead < -MINUTE_US // 2:
            moment += MINUTE_US
        if received is None and self._free:
            return self._tick(time, moment)
        return moment if -15 * SECOND_US <= moment - time <= 5 * SECOND_US else time

    def _tick(self, clock: int, moment: int) -> int:
        """Move the clock of a log without times to a vessel's second.

        A step of more than five seconds needs two vessels that agree: some tell a wrong second.
        """
        if moment > clock:
            if moment - clock <= 5 * SECOND_US or abs(moment - self._leap) <= 5 * SECOND_US:
                self._clock = moment
            else:
                self._leap = moment
        return moment


def _static(kind: int, message: Any) -> dict[str, Any]:
    """What a static message tells about its vessel; only what it does tell."""
    row: dict[str, Any] = {"key": vessel_key(message.mmsi)}
    name = (getattr(message, "shipname", "") or "").strip(" @")
    if name:
        row["name"] = name
    if kind == 24 and message.partno == 0:
        return row
    ship_type = int(message.ship_type)
    if word := ship_kind(ship_type):
        row["kind"] = word
    properties: dict[str, Any] = {
        "call_sign": (getattr(message, "callsign", "") or "").strip(" @"),
        "imo": getattr(message, "imo", 0),
        "ship_type": ship_type,
        "length_m": message.to_bow + message.to_stern,
        "width_m": message.to_port + message.to_starboard,
        "draught_m": getattr(message, "draught", 0),
        "destination": (getattr(message, "destination", "") or "").strip(" @"),
    }
    if kind == 24 and message.mmsi // 10_000_000 == 98:  # a craft of a mother ship tells her MMSI instead of its size
        del properties["length_m"], properties["width_m"]
    told = {key: value for key, value in properties.items() if value}
    if told:
        row["properties"] = told
    return row
