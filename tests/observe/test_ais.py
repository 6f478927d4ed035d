"""The AIS decoder and the AIS door."""

from __future__ import annotations

import asyncio
import gzip
import math
import random
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyais.encode import encode_dict

from thap.kernel.bus import JOURNAL, Bus
from thap.kernel.clock import SECOND_US, parse_time_us
from thap.kernel.errors import BusyError, SettingsError
from thap.kernel.nats import free_port
from thap.kernel.records import Records
from thap.kernel.settings import AisSettings, Settings
from thap.observe.doors.ais import AisDoor, sentence
from thap.observe.intake import Intake
from thap.observe.kinds import Kind, PositionBatch, decode_block
from thap.observe.nmea import AisBatch, AisDecoder, checksum
from thap.observe.registry import load_registry
from thap.observe.ships import ship_kind

NOON = parse_time_us("2026-11-22T12:00:30Z")


def vdm(**fields: Any) -> bytes:
    """The sentences of a message, each with its line end."""
    lines = encode_dict(fields, talker_id="AI", sentence_type="VDM", seq_id=3)
    return b"".join(line.encode() + b"\r\n" for line in lines)


def at(text: bytes, tag: str) -> bytes:
    return f"\\{tag}*{checksum(tag.encode()):02X}\\".encode() + text


def position(mmsi: int = 574001234, **fields: Any) -> bytes:
    return vdm(
        **{"type": 1, "mmsi": mmsi, "lon": 105.63, "lat": 10.45, "speed": 4.2, "course": 120.5, "second": 28, **fields}
    )


def decode(data: bytes, received: int | None = NOON, **options: Any) -> AisBatch:
    decoder = AisDecoder(**options)
    batch = decoder.feed(data, received)
    batch.extend(decoder.finish(received))
    return batch


@pytest.mark.parametrize("kind", [1, 2, 3, 18, 19])
def test_positions_of_class_a_and_b_are_read_with_the_second_they_were_measured(kind: int) -> None:
    batch = decode(position(type=kind))
    assert batch.keys == ["mmsi-574001234"]
    assert batch.times == [NOON - 2 * SECOND_US]
    assert batch.lons[0] == pytest.approx(105.63, abs=1e-5) and batch.lats[0] == pytest.approx(10.45, abs=1e-5)
    assert batch.speeds_kn == [pytest.approx(4.2)] and batch.courses_deg == [pytest.approx(120.5)]
    assert batch.sentences[0].startswith("!AIVDM,")


def test_a_long_range_position_is_read_with_the_time_of_receipt() -> None:
    batch = decode(vdm(type=27, mmsi=574001234, lon=105.63, lat=10.45, speed=12, course=99))
    assert batch.times == [NOON] and batch.speeds_kn == [12] and batch.courses_deg == [99]


def test_values_that_mean_not_available_are_not_taken_for_values() -> None:
    batch = decode(
        position(speed=102.3, course=360)
        + position(lon=181, lat=91)
        + vdm(type=27, mmsi=5, lon=105, lat=10, speed=63, course=511)
        + vdm(type=27, mmsi=5, lon=181, lat=91)
    )
    assert len(batch) == 2 and batch.counts["no_position"] == 2
    assert all(math.isnan(value) for value in batch.speeds_kn + batch.courses_deg)
    assert batch.raw(0)["speed"] is None


def test_a_short_mmsi_is_written_with_nine_digits_and_an_impossible_one_is_dropped() -> None:
    batch = decode(position(mmsi=22) + position(mmsi=0) + position(mmsi=1_000_000_001))
    assert batch.keys == ["mmsi-000000022"] and batch.counts["bad_mmsi"] == 2


def test_static_data_in_two_parts_is_put_together() -> None:
    data = vdm(
        type=5,
        mmsi=574001234,
        shipname="CAT TIEN 02",
        callsign="XVAB",
        ship_type=33,
        to_bow=40,
        to_stern=8,
        to_port=5,
        to_starboard=4,
        draught=3.1,
        destination="SA DEC",
        imo=9331347,
    )
    assert data.count(b"\n") == 2
    row = decode(data).statics
    assert row == [
        {
            "key": "mmsi-574001234",
            "name": "CAT TIEN 02",
            "kind": "dredger",
            "properties": {
                "call_sign": "XVAB",
                "imo": 9331347,
                "ship_type": 33,
                "length_m": 48,
                "width_m": 9,
                "draught_m": 3.1,
                "destination": "SA DEC",
            },
        }
    ]


def test_static_data_of_class_b_comes_in_two_messages() -> None:
    batch = decode(
        vdm(type=24, mmsi=574009999, partno=0, shipname="GHE 9")
        + vdm(type=24, mmsi=574009999, partno=1, ship_type=70, callsign="3W", to_bow=12, to_stern=3)
    )
    assert batch.statics == [
        {"key": "mmsi-574009999", "name": "GHE 9"},
        {"key": "mmsi-574009999", "kind": "cargo", "properties": {"call_sign": "3W", "ship_type": 70, "length_m": 15}},
    ]


def test_a_broken_checksum_is_counted_and_the_next_sentence_is_read() -> None:
    good = position()
    broken = good.replace(b"*", b"0*")
    batch = decode(broken + good + good[:30] + b"\n" + good.replace(b"!AIVDM", b"!AIVDX"))
    assert len(batch) == 1 and batch.counts["bad_checksum"] == 3


def test_half_a_sentence_at_the_end_is_counted() -> None:
    assert decode(position()[:-6]).counts["bad_checksum"] == 1


def test_a_sentence_whose_message_is_too_short_is_malformed() -> None:
    body = b"AIVDM,1,1,,A,15N8ip0P01,0"
    batch = decode(b"!" + body + b"*%02X\r\n" % checksum(body))
    assert len(batch) == 0 and batch.counts["malformed"] == 1


def test_other_sentences_and_types_are_counted_not_decoded() -> None:
    batch = decode(b"$GPGGA,1*55\r\n# a comment!\r\n\r\n" + vdm(type=4, mmsi=5740000, lon=105, lat=10))
    assert batch.counts["other_sentences"] == 2 and batch.counts["other_types"] == 1


def test_a_stream_cut_anywhere_gives_the_same() -> None:
    data = position(mmsi=1) + vdm(type=5, mmsi=2, shipname="B" * 20) + position(mmsi=3)
    whole = decode(data)
    for cut in range(len(data)):
        decoder = AisDecoder()
        parts = decoder.feed(data[:cut], NOON)
        parts.extend(decoder.feed(data[cut:], NOON))
        assert (parts.keys, parts.statics) == (whole.keys, whole.statics)


def test_parts_may_come_in_any_order_and_other_messages_between_them() -> None:
    first, second = vdm(type=5, mmsi=2, shipname="B" * 20).splitlines(keepends=True)
    assert len(decode(second + position() + first).statics) == 1


def test_a_part_that_never_comes_is_counted_after_a_minute() -> None:
    first, second = vdm(type=5, mmsi=2, shipname="B" * 20).splitlines(keepends=True)
    decoder = AisDecoder()
    decoder.feed(first, NOON)
    late = decoder.feed(second, NOON + 61 * SECOND_US)
    assert not late.statics and late.counts["incomplete"] == 1
    assert decoder.finish(NOON).counts["incomplete"] == 1


def test_unfinished_messages_are_bounded() -> None:
    decoder = AisDecoder(open_max=10)
    lost = 0
    for group in range(1, 101):
        first = vdm(type=5, mmsi=2, shipname="B" * 20).splitlines(keepends=True)[0]
        lost += decoder.feed(at(first, f"g:1-2-{group},c:1469664000"), NOON).counts["incomplete"]
    assert lost == 90


def test_a_line_without_end_does_not_fill_the_memory() -> None:
    decoder = AisDecoder()
    broken = sum(decoder.feed(b"x" * 10_000, NOON).counts["malformed"] for _ in range(100))
    after = decoder.feed(b"\n" + position(), NOON)
    assert broken == 1 and len(after) == 1


def test_the_time_of_the_tag_block_wins_over_the_time_of_receipt() -> None:
    batch = decode(at(position(second=60), "g:1-2-77,s:tram,c:1469664028"))
    assert batch.times == [1469664028 * SECOND_US]


def test_a_tag_block_with_a_wrong_checksum_is_not_believed() -> None:
    line = at(position(second=60), "c:1469664028").replace(b"c:1469664028", b"c:1469664029")
    batch = decode(line)
    assert batch.times == [NOON] and batch.counts["bad_tag"] == 1


@pytest.mark.parametrize(
    "line",
    [
        b"2016-07-28T00:00:28Z %s",
        b"2016-07-28 00:00:28,%s",
        b"1469664028 %s",
        b"1469664028.000,%s",
        b"%s,r003669953,1469664028",
        b"\\c:1469664028000*6A\\%s",
        b'"1469664028","%s"',
    ],
)
def test_the_time_columns_of_common_logs_are_read(line: bytes) -> None:
    text = line % position(second=60).strip() + b"\n"
    if b"c:1469664028000" in line:
        text = at(position(second=60), "c:1469664028000")
    assert decode(text, None).times == [1469664028 * SECOND_US]


def test_a_log_without_times_starts_when_told_and_goes_on_by_the_vessels_seconds() -> None:
    start = parse_time_us("2026-11-22T08:00:00Z")
    log = b"".join(position(mmsi=second + 1, second=second % 60) for second in range(0, 200, 2))
    assert decode(log, None).counts["untimed"] == 100
    batch = decode(log, None, start=start)
    assert batch.times == [start + second * SECOND_US for second in range(0, 200, 2)]


def test_one_vessel_with_a_wrong_second_does_not_move_the_clock_of_a_log() -> None:
    start = parse_time_us("2026-11-22T08:00:00Z")
    log = b"".join(
        position(mmsi=9, second=(second + 25) % 60) + position(mmsi=1, second=second % 60)
        for second in range(0, 300, 3)
    )
    batch = decode(log, None, start=start)
    right = [moment for key, moment in zip(batch.keys, batch.times, strict=True) if key == "mmsi-000000001"]
    assert right == [start + second * SECOND_US for second in range(0, 300, 3)]


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=200),
            st.just(position()),
            st.just(position()[:40]),
            st.binary(max_size=80).map(lambda b: b"!AIVDM,1,1,,A," + b + b",0*00\n"),
        ),
        max_size=20,
    )
)
def test_no_bytes_whatever_raise(parts: list[bytes]) -> None:
    decoder = AisDecoder()
    for part in parts:
        decoder.feed(part, NOON)
        decoder.datagram(part, NOON)
    decoder.finish(NOON)


@given(st.text("0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVW`abcdefghijklmnopqrstuvw", max_size=90), st.integers(0, 9))
def test_any_payload_gives_a_position_on_earth_or_none(payload: str, fill: int) -> None:
    body = f"AIVDM,1,1,,A,{payload},{fill}".encode()
    batch = decode(b"!" + body + b"*%02X\n" % checksum(body))
    for index, key in enumerate(batch.keys):
        assert len(key) == 14 and abs(batch.times[index] - NOON) <= 15 * SECOND_US
        assert math.isnan(batch.speeds_kn[index]) or 0 <= batch.speeds_kn[index] <= 102.2
        assert math.isnan(batch.courses_deg[index]) or 0 <= batch.courses_deg[index] < 360


def test_ship_types_have_one_word_whether_coded_or_written() -> None:
    assert ship_kind(33) == ship_kind("33") == ship_kind("Dredging") == "dredger"
    assert ship_kind(79) == ship_kind("Cargo") == "cargo" and ship_kind(40) == ship_kind("HSC") == "high_speed"
    assert ship_kind(0) == ship_kind("Undefined") == ship_kind(255) == ship_kind(1000) == ""


def test_a_real_log_is_read_whole(shared_data: Path) -> None:
    data = gzip.decompress((shared_data / "vessels" / "nmea_ais_20160728.log.gz").read_bytes())
    decoder = AisDecoder()
    batch = AisBatch()
    begun = time.perf_counter()
    for start in range(0, len(data), 65536):
        batch.extend(decoder.feed(data[start : start + 65536]))
    elapsed = time.perf_counter() - begun
    batch.extend(decoder.finish())
    assert batch.counts["sentences"] == 59_402 and batch.counts["bad_checksum"] == 0
    assert len(batch) == 42_008 and batch.counts["no_position"] == 216 and len(batch.statics) > 2_000
    assert 1469663984 * SECOND_US <= min(batch.times) <= max(batch.times) < 1469667600 * SECOND_US
    assert batch.counts["sentences"] / elapsed > 5_000  # measured 62,000/s; a loaded machine is slower


# The door


@pytest.fixture
async def intake(bus: Bus, records: Records, settings: Settings) -> AsyncIterator[Intake]:
    async with Intake(bus, records, settings) as made:
        yield made


async def until(what: Callable[[], bool], limit_s: float = 30) -> None:
    deadline = asyncio.get_running_loop().time() + limit_s
    while not what():
        assert asyncio.get_running_loop().time() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


async def journalled(bus: Bus) -> PositionBatch:
    found = [
        PositionBatch.of(decode_block(Kind.POSITION, entry.payload), entry.time, entry.seq)
        async for entries in bus.read(JOURNAL, 0, subject="journal.position", stop_at_end=True)
        for entry in entries
    ]
    return PositionBatch.join(found)


async def test_sentences_sent_over_tcp_are_in_the_journal_when_the_door_says_so(
    intake: Intake, bus: Bus, records: Records
) -> None:
    door = AisDoor(intake, AisSettings(tcp_port=0), "127.0.0.1")
    await door.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", door.tcp_port)
    data = (
        position()
        + position(mmsi=574000002, lon=105.7)
        + position().replace(b"*", b"1*")
        + vdm(type=5, mmsi=574001234, shipname="CAT TIEN 02", ship_type=33)
    )
    sync = sentence("PTHAP,SYNC,7")
    for start in range(0, len(data + sync), 17):
        writer.write((data + sync)[start : start + 17])
        await writer.drain()
    answer = await asyncio.wait_for(reader.readline(), 30)
    assert answer == sentence("PTHAP,DONE,7,2,0,0,1")
    assert len(await journalled(bus)) == 2
    async with records.read() as connection:
        movers = {mover.key: mover for mover in (await load_registry(connection)).movers}
    assert movers["mmsi-574001234"].name == "CAT TIEN 02" and movers["mmsi-574001234"].kind == "dredger"
    writer.close()
    await door.stop()
    assert intake.counters["ais.bad_checksum"] == 1


async def test_datagrams_are_taken(intake: Intake, bus: Bus) -> None:
    door = AisDoor(intake, AisSettings(udp_port=0), "127.0.0.1")
    await door.start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        for mmsi in range(1, 31):
            peer.sendto(position(mmsi=mmsi).strip(), ("127.0.0.1", door.udp_port))
        peer.sendto(b"\xff\xfe nonsense", ("127.0.0.1", door.udp_port))
    await until(lambda: intake.counters["ais.accepted"] == 30)
    await door.stop()
    assert len(await journalled(bus)) == 30


async def test_the_door_connects_again_when_the_server_went_away(intake: Intake) -> None:
    connections = 0

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        writer.write(position(mmsi=connections))
        await writer.drain()
        writer.close()

    port = free_port()
    door = AisDoor(intake, AisSettings(connect=[f"127.0.0.1:{port}"]), "127.0.0.1")
    await door.start()
    await until(lambda: intake.counters["ais.connect_failed"] >= 1)
    server = await asyncio.start_server(serve, "127.0.0.1", port)
    await until(lambda: intake.counters["ais.accepted"] >= 2)
    await door.stop()
    server.close()


async def test_a_peer_outside_the_allowed_networks_is_refused(intake: Intake) -> None:
    door = AisDoor(intake, AisSettings(tcp_port=0), "127.0.0.1", allow=["10.1.0.0/16"])
    await door.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", door.tcp_port)
    assert await asyncio.wait_for(reader.read(), 30) == b""
    writer.close()
    await door.stop()
    assert intake.counters["ais.refused_peers"] == 1


async def test_while_the_disk_is_full_the_door_waits_and_loses_nothing(
    intake: Intake, settings: Settings, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    door = AisDoor(intake, AisSettings(tcp_port=0), "127.0.0.1")
    await door.start()
    monkeypatch.setattr(intake, "_reserve", 2**60)
    await until(lambda: intake.disk_full)
    reader, writer = await asyncio.open_connection("127.0.0.1", door.tcp_port)
    writer.write(position() + sentence("PTHAP,SYNC,1"))
    await until(lambda: intake.counters["ais.waits"] >= 1)
    monkeypatch.setattr(intake, "_reserve", 0)
    assert await asyncio.wait_for(reader.readline(), 30) == sentence("PTHAP,DONE,1,1,0,0,0")
    writer.close()
    await door.stop()
    assert len(await journalled(bus)) == 1


async def test_a_taken_port_and_a_wrong_address_are_told(intake: Intake) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(BusyError, match="AIS port"):
        await AisDoor(intake, AisSettings(tcp_port=taken.getsockname()[1]), "127.0.0.1").start()
    with pytest.raises(SettingsError, match="not an address"):
        await AisDoor(intake, AisSettings(connect=["receiver"]), "127.0.0.1").start()
    with pytest.raises(SettingsError, match="allow"):
        AisDoor(intake, AisSettings(), "127.0.0.1", allow=["everybody"])


async def test_a_flood_of_garbage_leaves_the_door_open(intake: Intake) -> None:
    door = AisDoor(intake, AisSettings(tcp_port=0), "127.0.0.1")
    await door.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", door.tcp_port)
    writer.write(random.Random(2).randbytes(2_000_000))
    writer.write(b"\r\n" + position() + sentence("PTHAP,SYNC,2"))
    answer = await asyncio.wait_for(reader.readline(), 20)
    assert answer.startswith(b"$PTHAP,DONE,2,1,0,0,")
    writer.close()
    await door.stop()
