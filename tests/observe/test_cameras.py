"""Cameras: addresses, credentials, streams that break, what is shown and kept of them."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest
from camera_world import Mjpeg, TsServer, closing, film, hls, picture, until

from thap.kernel.errors import CorruptError, DeniedError, InputError, ThapError, UnavailableError
from thap.kernel.settings import Settings
from thap.observe.cameras.addresses import check_file, check_host, read_address, with_credentials
from thap.observe.cameras.clocks import skew_s
from thap.observe.cameras.credentials import Vault
from thap.observe.cameras.health import GREY_SIZE, Condition, Health, PictureJudge
from thap.observe.cameras.packets import Packet, Track
from thap.observe.cameras.probe import probe, probe_apart
from thap.observe.cameras.reader import Reader, _Reading
from thap.observe.cameras.records import Camera
from thap.observe.cameras.remux import Fragment, codec_of, whole_mp4
from thap.observe.cameras.source import Opener


@pytest.fixture
def mjpeg() -> Iterator[Mjpeg]:
    made = Mjpeg()
    yield made
    made.close()


@pytest.fixture
def quick(settings: Settings) -> Settings:
    """Short waits."""
    settings.cameras.retry_s, settings.cameras.retry_max_s = 0.05, 0.2
    settings.cameras.connect_s = settings.cameras.silence_s = 5.0
    return settings


def camera(address: str | Path, **more: object) -> Camera:
    return Camera(1, "cam", address=str(address), trusted=True, **more)  # type: ignore[arg-type]


class Watching:
    """A reader that is ended."""

    def __init__(self, settings: Settings, made: Camera, **more: object) -> None:
        self.reader = Reader(Opener(made, settings), seed=1, **more)  # type: ignore[arg-type]

    def __enter__(self) -> Reader:
        self.reader.start()
        return self.reader

    def __exit__(self, *_: object) -> None:
        self.reader.stop()
        self.reader.join(15)


# ---- addresses and credentials


@pytest.mark.parametrize(
    "text",
    [
        "concat:/etc/passwd|x",
        "subfile://x",
        "ftp://host/x",
        "data://x",
        "rtsp:///nohost",
        "rtsp://h:port/x",
        "",
        "a\nb",
    ],
)
def test_an_address_that_is_none_is_refused(text: str) -> None:
    if text.startswith("concat"):
        assert read_address(text).is_file  # without :// it is a file's name, and no such file is there
        return
    with pytest.raises(InputError):
        read_address(text)


def test_an_address_is_kept_without_its_credentials() -> None:
    found = read_address("rtsp://admin:p%40ss@192.168.1.20:8554/s1?x=1")
    assert (found.url, found.user, found.password) == ("rtsp://192.168.1.20:8554/s1?x=1", "admin", "p@ss")


def test_a_login_in_path_or_query_is_taken_out_and_put_back() -> None:
    text = "rtsp://192.168.1.20/user=admin&password=p%40s&channel=1"
    found = read_address(text)
    assert (found.user, found.password) == ("admin", "p@s")
    assert found.url == "rtsp://192.168.1.20/user={user}&password={password}&channel=1"
    assert with_credentials(found.url, found.user, found.password) == text
    again = read_address(found.url)
    assert (again.url, again.user, again.password) == (found.url, "", "")


@pytest.mark.parametrize("host", ["127.0.0.1", "169.254.169.254", "localhost", "::1", "0.0.0.0", "224.0.0.1"])
def test_networks_without_cameras_are_refused(settings: Settings, host: str) -> None:
    with pytest.raises(DeniedError):
        check_host(host, 554, settings.cameras.refuse)
    check_host("192.168.1.20", 554, settings.cameras.refuse)


def test_files_are_read_from_named_folders_alone(tmp_path: Path) -> None:
    inside, outside = tmp_path / "films", tmp_path / "else"
    inside.mkdir()
    outside.mkdir()
    (outside / "x.mp4").touch()
    (inside / "link.mp4").symlink_to(outside / "x.mp4")
    check_file(str(inside / "a.mp4"), [inside])
    for path in (outside / "x.mp4", inside / ".." / "else" / "x.mp4", inside / "link.mp4"):
        with pytest.raises(DeniedError):
            check_file(str(path), [inside])


def test_credentials_lie_encrypted_and_the_key_is_the_owners_alone(settings: Settings) -> None:
    vault = Vault(settings)
    sealed = vault.seal("admin", "sông Tiền")
    assert "Tiền" not in sealed and "admin" not in sealed
    assert Vault(settings).open(sealed) == ("admin", "sông Tiền")
    key = settings.run_dir / "cameras.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert "admin" not in repr(camera("/x", secret=sealed)) and sealed not in repr(camera("/x", secret=sealed))
    key.unlink()
    with pytest.raises(CorruptError, match="cannot be opened"):
        Vault(settings).open(sealed)


def test_the_wrong_password_is_said_and_the_right_one_never(quick: Settings, mjpeg: Mjpeg) -> None:
    mjpeg.password = "bí mật"
    wrong = camera(mjpeg.url, secret=Vault(quick).seal("admin", "sai bét"))
    with pytest.raises(UnavailableError, match="refused user and password") as caught:
        probe(wrong, quick)
    assert "sai" not in str(caught.value) and caught.value.__cause__ is None
    right = camera(mjpeg.url, secret=Vault(quick).seal("admin", "bí mật"))
    told = probe(right, quick)
    assert (told["width"], told["height"], told["codec"]) == (320, 180, "mjpeg") and not told["playable"]
    assert "mật" not in json.dumps(told, ensure_ascii=False)


# ---- tests of a camera


def test_a_test_says_what_is_wrong_in_plain_words(quick: Settings, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<html>sign in</html>" * 50)
    server = TsServer(tmp_path)
    with closing(server):
        for address, says in (
            (f"{server.url}/nothing.ts", "nothing at this address"),
            (f"{server.url}/page.html", "no video"),
            ("http://127.0.0.1:9/x", "nothing listens"),
            ("/there/is/no.mp4", "no such file"),
        ):
            with pytest.raises(ThapError, match=says):
                probe(camera(address), quick)


async def test_a_test_in_a_process_of_its_own_says_the_same(quick: Settings, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<html>sign in</html>" * 50)
    with pytest.raises(UnavailableError, match="no video"):
        await probe_apart(camera(tmp_path / "page.html"), quick)


def test_an_untrusted_camera_is_checked_again_when_it_is_opened(quick: Settings, mjpeg: Mjpeg) -> None:
    with pytest.raises(DeniedError, match="network"):
        Opener(Camera(1, "cam", address=mjpeg.url), quick).open()
    assert mjpeg.asked == 0


def _bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cameras of these tests stand on this machine: let just its loopback address pass as checked."""
    for module in ("source", "clocks"):
        monkeypatch.setattr(f"thap.observe.cameras.{module}.check_host", lambda *_: "127.0.0.1")


def test_an_address_of_this_machine_is_refused() -> None:
    with pytest.raises(DeniedError, match="this machine"):
        check_host("127.0.0.1", 80, [])
    assert check_host("192.0.2.7", 80, []) == "192.0.2.7"


def test_what_was_checked_is_connected_to_and_the_name_not_looked_up_again(
    quick: Settings, tmp_path: Path, mjpeg: Mjpeg, monkeypatch: pytest.MonkeyPatch
) -> None:
    _bound(monkeypatch)
    port = read_address(mjpeg.url).port
    named = Camera(1, "cam", address=f"http://camera.invalid:{port}/video")
    assert probe(named, quick)["codec"] == "mjpeg"
    assert skew_s(named, quick) is not None
    hls(tmp_path / "hls")
    server = TsServer(tmp_path)
    with closing(server):
        port = read_address(server.url).port
        listed = Camera(1, "cam", address=f"http://camera.invalid:{port}/hls/live.m3u8")
        assert probe(listed, quick)["width"] == 320


def test_an_untrusted_camera_leads_nowhere_else(
    quick: Settings, tmp_path: Path, mjpeg: Mjpeg, monkeypatch: pytest.MonkeyPatch
) -> None:
    _bound(monkeypatch)
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:1", "#EXTINF:1,", mjpeg.url, "#EXT-X-ENDLIST", ""]
    (tmp_path / "x.m3u8").write_text("\n".join(lines))
    (tmp_path / "x.ts").write_text("\n".join(lines))
    server = TsServer(tmp_path, moved={"/away": mjpeg.url, "/away.m3u8": mjpeg.url})
    with closing(server):
        for path in ("x.m3u8", "x.ts", "away", "away.m3u8"):
            with pytest.raises(ThapError):
                probe(Camera(1, "cam", address=f"{server.url}/{path}"), quick)
    assert mjpeg.asked == 0


def test_a_clock_is_not_asked_where_cameras_do_not_stand(quick: Settings, mjpeg: Mjpeg) -> None:
    assert skew_s(Camera(1, "cam", address=mjpeg.url), quick) is None
    assert skew_s(camera("rtsp://192.0.2.7/s", onvif=mjpeg.url), quick) is None, "trust is not inherited"
    assert mjpeg.asked == 0


# ---- streams


def test_a_file_is_read_once_or_again_and_again(quick: Settings, tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", seconds=1)
    with Watching(quick, camera(path)) as reader:
        until(lambda: reader.state == "ended")
        assert reader.packets == 10 and reader.reconnects == 0
    fragments: list[Fragment] = []
    tracks: list[Track] = []

    def hear(track: Track, made: list[Fragment]) -> None:
        tracks.append(track)
        fragments.extend(made)

    with Watching(quick, camera(path, loop=True)) as reader:
        reader.listen(hear)
        until(lambda: reader.packets > 25)
    assert len(set(map(id, tracks))) == 1, "players go on where they are when a film begins again"
    whole = tracks[0].header + b"".join(content for content, _ in fragments)
    with av.open(BytesIO(whole)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    assert len(times) > 15 and times == sorted(set(times))
    assert fragments[0][1], "a stream begins with a key picture"
    assert tracks[0].mime.startswith('video/mp4; codecs="avc1.')


def test_hls_and_transport_streams_are_read(quick: Settings, tmp_path: Path) -> None:
    hls(tmp_path / "hls")
    film(tmp_path / "a.ts", seconds=2)
    server = TsServer(tmp_path)
    with closing(server):
        assert probe(camera(f"{server.url}/hls/live.m3u8"), quick)["playable"]
        assert probe(camera(f"{server.url}/a.ts"), quick)["width"] == 320


def test_a_playlist_cannot_lead_to_a_file_of_this_machine(quick: Settings, tmp_path: Path) -> None:
    secret = film(tmp_path / "secret.ts", seconds=1)
    (tmp_path / "web").mkdir()
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:1", "#EXTINF:1,", f"file://{secret}", "#EXT-X-ENDLIST", ""]
    (tmp_path / "web" / "x.m3u8").write_text("\n".join(lines))
    server = TsServer(tmp_path / "web")
    with closing(server), pytest.raises(ThapError):
        probe(camera(f"{server.url}/x.m3u8"), quick)


def test_a_camera_that_vanishes_comes_back(quick: Settings, mjpeg: Mjpeg) -> None:
    with Watching(quick, camera(mjpeg.url)) as reader:
        until(lambda: reader.state == "live")
        mjpeg.gone = True
        until(lambda: reader.state == "lost")
        assert reader.error is not None and "ended" in str(reader.error)
        asked = mjpeg.asked
        until(lambda: mjpeg.asked > asked + 1)
        mjpeg.gone = False
        until(lambda: reader.state == "live" and reader.error is None)
        assert reader.reconnects >= 2


def test_garbage_is_told_from_absence_and_from_pictures(quick: Settings, mjpeg: Mjpeg) -> None:
    mjpeg.garbage = True
    with Watching(quick, camera(mjpeg.url)) as reader:
        until(lambda: reader.bad > 3 or reader.garbage)
        mjpeg.garbage = False
        until(lambda: reader.state == "live" and reader.pictures > 2)


def test_a_change_of_size_is_taken_over(quick: Settings, mjpeg: Mjpeg) -> None:
    with Watching(quick, camera(mjpeg.url)) as reader:
        until(lambda: reader.track is not None and reader.track.width == 320 and reader.state == "live")
        mjpeg.size = (480, 272)
        until(lambda: reader.track is not None and reader.track.width == 480)
        taken = until(lambda: [one for one in reader.take()[0] if one.rgb.shape == (272, 480, 3)])
        assert taken


def test_a_camera_that_changes_its_size_at_every_picture_is_not_asked_without_pause(
    quick: Settings, mjpeg: Mjpeg
) -> None:
    quick.cameras.retry_s = quick.cameras.retry_max_s = 30.0
    sizes = [(320, 180), (480, 272)]
    whole = mjpeg.jpeg

    def flickering(number: int) -> bytes:
        mjpeg.size = sizes[number % 2]
        return whole(number)

    mjpeg.jpeg = flickering  # type: ignore[method-assign]
    with Watching(quick, camera(mjpeg.url, fps=20.0)) as reader:
        until(lambda: reader.reconnects == 1)
        assert reader.state == "lost" and "size" in str(reader.error) and mjpeg.asked == 1


def test_what_is_decoded_counts_and_not_what_the_container_says(
    quick: Settings, mjpeg: Mjpeg, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = _Reading._new_track

    def mistaken(self: _Reading) -> None:
        made(self)
        self._track = self._reader.track = replace(self._track, width=1, height=1)

    monkeypatch.setattr(_Reading, "_new_track", mistaken)
    with Watching(quick, camera(mjpeg.url)) as reader:
        until(lambda: reader.pictures > 2)
        assert reader.track is not None and reader.track.width == 320
        assert reader.reconnects == 0 and mjpeg.asked == 1


def test_a_jump_in_time_neither_stops_pictures_nor_turns_time_back(quick: Settings, tmp_path: Path) -> None:
    one, other = film(tmp_path / "1.ts", seconds=1), film(tmp_path / "2.ts", seconds=1, seed=1)
    with av.open(str(other)) as source, av.open(str(tmp_path / "late.ts"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.pts, packet.dts = packet.pts + 90_000 * 7200, packet.dts + 90_000 * 7200
                packet.stream = stream
                target.mux(packet)
    both = tmp_path / "both.ts"
    both.write_bytes(one.read_bytes() + (tmp_path / "late.ts").read_bytes() + one.read_bytes())
    times: list[int] = []
    with Watching(quick, camera(both), grey=lambda at, _grey: times.append(at)) as reader:
        until(lambda: reader.state == "ended")
        assert reader.packets >= 28 and reader.jumps >= 1
    packets = reader.ring.since(0)
    dts = [packet.dts for packet in packets]
    assert dts == sorted(set(dts))
    assert packets[-1].time_us - packets[0].time_us < 10e6


def test_pictures_nobody_takes_in_time_are_counted(quick: Settings, mjpeg: Mjpeg) -> None:
    with Watching(quick, camera(mjpeg.url, fps=20.0)) as reader:
        until(lambda: reader.dropped > 3)
        taken, lost = reader.take()
        assert len(taken) <= 2 and lost >= 3
        assert reader.take()[1] <= 1


def test_without_an_analysis_only_key_pictures_are_decoded(quick: Settings, tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", seconds=2, fps=10, gop=10)
    seen: list[int] = []
    with Watching(quick, camera(path), wants=False, grey=lambda at, _grey: seen.append(at)) as reader:
        until(lambda: reader.state == "ended")
    assert reader.pictures == 0 and 1 <= len(seen) <= 2
    found = reader.jpeg(160)
    assert found is not None and found[0][:2] == b"\xff\xd8" and len(found[0]) < 20_000


def test_the_ring_gives_whole_groups_and_a_clip_plays(quick: Settings, tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", seconds=3, fps=10, gop=5)
    with Watching(quick, camera(path, before_s=1.0, after_s=1.0)) as reader:
        until(lambda: reader.state == "ended")
    last = reader.ring.since(reader.last_us - 1_000_000)
    assert last[0].key and 10 <= len(last) <= 16
    with av.open(BytesIO(whole_mp4(list(last)))) as container:
        assert sum(1 for _ in container.decode(video=0)) == len(last)


def test_a_ring_keeps_no_more_bytes_than_it_may() -> None:
    from fractions import Fraction

    from thap.observe.cameras.packets import Ring

    track = Track("h264", 1, 1, Fraction(1, 1000), 10, b"", "")
    ring = Ring(1000.0, most_bytes=1000)
    for number in range(100):
        ring.add(Packet(b"x" * 50, number, number, 1, number % 10 == 0, number * 100_000, track))
    kept = ring.since(0)
    assert ring.size <= 1000 and kept[0].key and kept[-1].pts == 99
    assert ring.size == sum(len(packet.data) for packet in kept)


def test_codecs_are_named_as_browsers_name_them() -> None:
    avc = b"....avcC" + bytes((1, 0x64, 0, 0x1F)) + b"rest"
    assert codec_of(avc) == 'video/mp4; codecs="avc1.64001f"'
    general = bytes((1, 0x01, 0x60, 0, 0, 0, 0x90, 0, 0, 0, 0, 0, 0x5D))
    assert codec_of(b"....hvcC" + general) == 'video/mp4; codecs="hvc1.1.6.L93.90"'
    assert codec_of(b"moov") == ""


# ---- RTSP, by GStreamer's server


@pytest.fixture
def rtsp(tmp_path: Path) -> Iterator[str]:
    """A film over RTSP."""
    check = "import gi; gi.require_version('GstRtspServer', '1.0')"
    python = shutil.which("python3", path="/usr/bin")
    if python is None or subprocess.run([python, "-c", check], capture_output=True, check=False).returncode:
        pytest.skip(
            "no RTSP server: apt-get install gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-good -bad python3-gi"
        )
    path = film(tmp_path / "long.mp4", seconds=20)
    script = Path(__file__).with_name("rtsp_server.py")
    server = subprocess.Popen([python, str(script), "0", str(path)], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    yield f"rtsp://127.0.0.1:{server.stdout.readline().split()[1]}"
    server.kill()
    server.wait()


def test_rtsp_plays_and_tells_its_clock(quick: Settings, rtsp: str) -> None:
    found = camera(f"{rtsp}/0")
    told = probe(found, quick)
    assert told["playable"] and (told["width"], told["height"]) == (320, 180)
    assert told["clock_s"] is not None and abs(told["clock_s"]) < 5
    with pytest.raises(UnavailableError, match="nothing at this address"):
        probe(camera(f"{rtsp}/7"), quick)
    with Watching(quick, found) as reader:
        until(lambda: reader.packets > 15 and reader.pictures > 2)


# ---- health


def test_a_clock_that_is_off_is_seen(quick: Settings, mjpeg: Mjpeg) -> None:
    right = skew_s(camera(mjpeg.url), quick)
    assert right is not None and abs(right) < 3
    mjpeg.ahead_s = 7 * 3600
    assert abs((skew_s(camera(mjpeg.url), quick) or 0) - 25_200) < 3


def _grey(number: int, seed: int = 1) -> np.ndarray:  # type: ignore[type-arg]
    from PIL import Image

    return np.asarray(Image.fromarray(picture(number, seed=seed)).convert("L").resize(GREY_SIZE))


def test_what_a_picture_shows_is_told_apart() -> None:
    from PIL import Image

    judge = PictureJudge()
    for number in range(40):
        assert not any(judge.look(_grey(number)).values())
    assert judge.reference is not None
    assert judge.look(_grey(39)) == {"black": False, "frozen": True, "blurred": False, "turned": False}
    soft = np.asarray(Image.fromarray(_grey(50)).resize((16, 9)).resize(GREY_SIZE, Image.Resampling.BICUBIC))
    assert judge.look(soft)["blurred"]
    assert judge.look(_grey(51, seed=7))["turned"]
    assert judge.look(np.full(GREY_SIZE[::-1], 4, np.uint8))["black"]
    assert not any(judge.look(_grey(60)).values())
    darker = (_grey(61) * 0.6).astype(np.uint8)  # evening turns no camera
    assert not judge.look(darker)["turned"]


def test_conditions_wait_for_their_delays() -> None:
    second = 1_000_000
    health = Health(delays={"gone": Condition("gone", 3, 5.0, 3.0)})
    health.see("gone", True, 0, reason="x")
    assert health.tick(4 * second) == []
    health.see("gone", False, 4 * second)
    health.see("gone", True, 5 * second, reason="y")
    assert health.tick(9 * second) == []
    (began,) = health.tick(10 * second)
    assert began.active and began.detail == {"reason": "y"}
    health.see("gone", False, 11 * second)
    assert health.tick(13 * second) == []
    (ended,) = health.tick(14 * second)
    assert not ended.active and health.active == set()


def test_what_stood_before_a_restart_ends_when_it_is_over() -> None:
    health = Health({"black"})
    health.see("black", False, 0)
    (ended,) = health.tick(11_000_000)
    assert (ended.condition, ended.active) == ("black", False)


def test_tests_leave_no_reader_behind() -> None:
    import threading

    until(lambda: not [one for one in threading.enumerate() if one.name.startswith("camera-")])
