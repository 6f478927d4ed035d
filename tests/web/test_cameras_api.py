"""Cameras over HTTP: who may see and change them, what never comes out, scenes, plates."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from thap.kernel.clock import now_us
from thap.kernel.errors import ThapError
from thap.kernel.policy.limits import restrict
from thap.observe.cameras.credentials import Vault
from thap.observe.cameras.records import add_camera, camera_named, clips, remove_camera
from thap.web.cameras import Relays, Viewer
from thap.web.deps import Centre

Desk = Callable[..., Awaitable[httpx.AsyncClient]]
ADDRESS = "rtsp://192.168.1.20/s1"
SCENE = {"lines": [{"name": "a", "start": [0.1, 0.5], "end": [0.9, 0.5]}]}


async def make(centre: Centre, name: str, **more: Any) -> None:
    secret = Vault(centre.settings).seal("admin", "rất bí mật")
    async with centre.records.write() as connection:
        row = {"name": name, "address": ADDRESS, "secret": secret, "enabled": False, **more}
        await add_camera(connection, row, "test")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/cameras"),
        ("POST", "/api/v1/cameras"),
        ("POST", "/api/v1/cameras/test"),
        ("GET", "/api/v1/cameras/clips"),
        ("GET", "/api/v1/cameras/cam-1"),
        ("GET", "/api/v1/cameras/cam-1/snapshot"),
        ("PUT", "/api/v1/cameras/cam-1/scene"),
        ("DELETE", "/api/v1/cameras/cam-1"),
        ("GET", "/api/v1/traffic/plates/watch"),
        ("POST", "/api/v1/traffic/plates/lookup"),
    ],
)
async def test_nobody_unknown_gets_in(stranger: httpx.AsyncClient, method: str, path: str) -> None:
    assert (await stranger.request(method, path, json={})).status_code == 401


async def test_a_camera_is_added_changed_and_its_credentials_never_come_out(
    client: httpx.AsyncClient, centre: Centre
) -> None:
    body = {"name": "cam-1", "address": "rtsp://admin:mat-khau-9@192.168.1.20/s1", "title": "Cầu", "enabled": False}
    made = await client.post("/api/v1/cameras", json=body)
    assert made.status_code == 201 and made.json()["address"] == ADDRESS and made.json()["credentials"]
    again = await client.post("/api/v1/cameras", json=body)
    assert again.status_code == 409
    changed = await client.patch("/api/v1/cameras/cam-1", json={"fps": 2.0, "password": "khác-1", "user": "u-2"})
    assert changed.json()["fps"] == 2.0 and changed.json()["version"] == 2
    late = await client.patch("/api/v1/cameras/cam-1", json={"fps": 3.0, "version": 1})
    assert late.status_code == 409
    seen = [made.text, changed.text]
    for path in ("/api/v1/cameras", "/api/v1/cameras/cam-1", "/api/v1/things", "/api/v1/audit", "/api/v1/settings"):
        seen.append((await client.get(path)).text)
    assert not [text for text in seen if "mat-khau-9" in text or "khác-1" in text or "u-2" in text]
    moved = await client.patch("/api/v1/cameras/cam-1", json={"address": "rtsp://10.0.0.9/s1"})
    assert not moved.json()["credentials"], "credentials of one camera are not sent to another host"
    async with centre.records.read() as connection:
        actions = await connection.execute(sa.text("SELECT action FROM audit ORDER BY id"))
        assert {"camera.add", "camera.change"} <= {row.action for row in actions}
    assert (await client.delete("/api/v1/cameras/cam-1")).status_code == 204
    assert (await client.get("/api/v1/cameras/cam-1")).status_code == 404


@pytest.mark.parametrize("address", ["rtsps://192.168.1.20/s1", "rtsp://192.168.1.20:9554/s1", "rtsp://10.0.0.9/s1"])
async def test_kept_credentials_go_to_no_other_door(client: httpx.AsyncClient, centre: Centre, address: str) -> None:
    await make(centre, "cam-1")
    other = await client.patch("/api/v1/cameras/cam-1", json={"address": "rtsp://192.168.1.20:554/s2"})
    assert other.json()["credentials"], "another path of the same camera"
    moved = await client.patch("/api/v1/cameras/cam-1", json={"address": address})
    assert moved.status_code == 200 and not moved.json()["credentials"]


async def test_a_login_in_an_address_is_sealed_wherever_it_stands(
    client: httpx.AsyncClient, desk: Desk, centre: Centre
) -> None:
    body = {
        "name": "cam-1",
        "address": "http://192.168.1.20/v.cgi?user=u-9&pwd=mat-khau-9&ch=1",
        "onvif": "http://u-9:mat-khau-9@192.168.1.20/onvif",
        "enabled": False,
    }
    made = await client.post("/api/v1/cameras", json=body)
    assert made.json()["address"] == "http://192.168.1.20/v.cgi?user={user}&pwd={password}&ch=1"
    assert made.json()["onvif"] == "http://192.168.1.20/onvif" and made.json()["credentials"]
    async with centre.records.read() as connection:
        kept = await camera_named(connection, "cam-1")
    assert Vault(centre.settings).open(kept.secret) == ("u-9", "mat-khau-9")
    same = await client.patch("/api/v1/cameras/cam-1", json={"address": kept.address, "onvif": body["onvif"]})
    assert same.json()["credentials"] and same.json()["onvif"] == "http://192.168.1.20/onvif"
    seen = [made.text, same.text, (await client.get("/api/v1/audit")).text]
    assert not [text for text in seen if "mat-khau-9" in text or "u-9" in text]
    viewer = await desk("truc-ban", "operator")
    assert (await viewer.get("/api/v1/cameras/cam-1")).json()["onvif"] == ""


async def test_no_more_cameras_are_tested_at_once_than_the_machine_bears(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, release = asyncio.Semaphore(0), asyncio.Event()

    async def slow(*_: Any) -> dict[str, Any]:
        running.release()
        await release.wait()
        return {}

    monkeypatch.setattr("thap.observe.cameras.probe.probe_apart", slow)
    body = {"address": ADDRESS}
    under_way = [asyncio.create_task(client.post("/api/v1/cameras/test", json=body)) for _ in range(2)]
    async with asyncio.timeout(10):
        for _ in under_way:
            await running.acquire()
        refused = await client.post("/api/v1/cameras/test", json=body)
        assert refused.status_code == 503 and "being tested" in refused.json()["error"]["message"]
        release.set()
        assert [(await one).status_code for one in under_way] == [200, 200]
        assert (await client.post("/api/v1/cameras/test", json=body)).json()["ok"]


async def test_who_may_view_may_not_change_and_is_not_told_addresses(desk: Desk, centre: Centre) -> None:
    await make(centre, "cam-1")
    viewer = await desk("truc-ban", "operator")
    (item,) = (await viewer.get("/api/v1/cameras")).json()["items"]
    assert item["address"] == "" and item["may_write"] is False
    assert (await viewer.patch("/api/v1/cameras/cam-1", json={"fps": 1})).status_code == 403
    assert (await viewer.put("/api/v1/cameras/cam-1/scene", json={"scene": SCENE})).status_code == 403
    expert = await desk("ky-su", "domain_expert")
    assert (await expert.get("/api/v1/cameras/cam-1")).json()["address"] == ADDRESS
    assert (await expert.patch("/api/v1/cameras/cam-1", json={"fps": 1})).status_code == 200
    reader = await desk("khach", "viewer")
    assert (await reader.get("/api/v1/cameras")).status_code == 403


async def test_a_restricted_camera_is_not_there_for_others(desk: Desk, centre: Centre) -> None:
    await make(centre, "cam-mo")
    await make(centre, "cam-kin")
    async with centre.records.write() as connection:
        found = await connection.execute(sa.text("SELECT id, name FROM things"))
        for thing in found.all():
            row = {"thing_id": thing.id, "begins": 1, "ends": 2, "event": 1, "condition": "", "source": thing.name}
            kept = {"attachment_id": 1, "sha256": "0" * 64, "size": 1, "encoded": False}
            await connection.execute(sa.insert(clips).values({**row, **kept}))
        await restrict(connection, "thing", "cam-kin", "cổng cơ quan", by="test")
    expert = await desk("ky-su", "domain_expert")
    assert [one["name"] for one in (await expert.get("/api/v1/cameras")).json()["items"]] == ["cam-mo"]
    listed = (await expert.get("/api/v1/cameras/clips")).json()["items"]
    assert [one["camera"] for one in listed] == ["cam-mo"]
    for method, path in (
        ("GET", "cam-kin"),
        ("GET", "cam-kin/snapshot"),
        ("PATCH", "cam-kin"),
        ("PUT", "cam-kin/scene"),
        ("POST", "cam-kin/clips"),
        ("DELETE", "cam-kin"),
        ("GET", "clips/2"),
    ):
        answer = await expert.request(
            method, f"/api/v1/cameras/{path}", json={"scene": SCENE} if "scene" in path else {}
        )
        assert answer.status_code == 404, path
    tested = await expert.post("/api/v1/cameras/test", json={"name": "cam-kin"})
    assert tested.status_code == 400, "its kept credentials are not used for who may not see it"


async def test_a_grant_for_a_unit_reaches_no_further(desk: Desk, centre: Centre) -> None:
    await make(centre, "cam-gan", commune="29869")
    await make(centre, "cam-xa", commune="28306")
    official = await desk("can-bo", "commune_official", unit="29869")
    assert [one["name"] for one in (await official.get("/api/v1/cameras")).json()["items"]] == ["cam-gan"]


async def test_things_of_others_are_not_taken_over(desk: Desk, centre: Centre) -> None:
    for name, commune in (("cam-xa", "28306"), ("cam-kin", "29869"), ("cam-gan", "29869")):
        await make(centre, name, commune=commune)
    async with centre.records.write() as connection:
        for name in ("cam-xa", "cam-kin"):
            await remove_camera(connection, name)
        await restrict(connection, "thing", "cam-kin", "cổng cơ quan", by="test")
        before = (await connection.execute(sa.text("SELECT * FROM things ORDER BY id"))).all()
    expert = await desk("ky-su", "domain_expert", unit="29869")
    for name in ("cam-xa", "cam-kin"):
        answer = await expert.post("/api/v1/cameras", json={"name": name, "address": ADDRESS})
        assert answer.status_code == 409 and "taken" in answer.json()["error"]["message"], name
    async with centre.records.read() as connection:
        assert (await connection.execute(sa.text("SELECT * FROM things ORDER BY id"))).all() == before


async def test_a_camera_is_not_moved_to_where_one_may_not_write(desk: Desk, centre: Centre) -> None:
    await make(centre, "cam-gan", domain="traffic")
    expert = await desk("ky-su", "domain_expert", domain="traffic")
    moved = await expert.patch("/api/v1/cameras/cam-gan", json={"domain": "water"})
    assert moved.status_code == 403
    assert (await expert.patch("/api/v1/cameras/cam-gan", json={"domain": "traffic"})).status_code == 200


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:4222/", "http://169.254.169.254/latest", "/etc/passwd", "file:///etc/passwd", "ftp://x/y"],
)
async def test_people_may_not_point_the_centre_anywhere(desk: Desk, centre: Centre, address: str) -> None:
    expert = await desk("ky-su", "domain_expert")
    for path, body in (("/api/v1/cameras", {"name": "cam-9"}), ("/api/v1/cameras/test", {})):
        answer = await expert.post(path, json={**body, "address": address})
        assert answer.status_code in (400, 403), answer.text
    await make(centre, "cam-1")
    assert (await expert.patch("/api/v1/cameras/cam-1", json={"address": address})).status_code in (400, 403)


@pytest.mark.parametrize("onvif", ["http://127.0.0.1:4222/", "http://169.254.169.254/latest", "http://[::1]/x"])
async def test_nor_by_its_device_service(desk: Desk, centre: Centre, onvif: str) -> None:
    await make(centre, "cam-1", trusted=True)
    expert = await desk("ky-su", "domain_expert")
    assert (await expert.patch("/api/v1/cameras/cam-1", json={"onvif": onvif})).status_code == 403
    body = {"name": "cam-9", "address": ADDRESS, "onvif": onvif}
    assert (await expert.post("/api/v1/cameras", json=body)).status_code == 403


async def test_a_scene_is_checked_kept_and_versioned(client: httpx.AsyncClient, centre: Centre) -> None:
    await make(centre, "cam-1")
    wrong = await client.put("/api/v1/cameras/cam-1/scene", json={"scene": {"lines": [{"name": "a", "start": [2, 0]}]}})
    assert wrong.status_code == 400 and "lines[0]" in wrong.json()["error"]["where"]
    saved = await client.put("/api/v1/cameras/cam-1/scene", json={"scene": SCENE, "version": 1})
    assert saved.status_code == 200 and saved.json()["scene"]["lines"][0]["name"] == "a"
    assert (await client.put("/api/v1/cameras/cam-1/scene", json={"scene": SCENE, "version": 1})).status_code == 409
    sides = [{"between": pair, "metres": 10} for pair in ([0, 1], [1, 2], [2, 3], [0, 3])]
    diagonals = [{"between": [0, 2], "metres": 14.5}, {"between": [1, 3], "metres": 14.2}]
    points = [[0.2, 0.2], [0.8, 0.2], [0.9, 0.9], [0.1, 0.9]]
    ground = {"points": points, "distances": [*sides, *diagonals]}
    checked = await client.post("/api/v1/cameras/cam-1/scene/check", json={"scene": {"ground": ground}})
    assert 0 < checked.json()["ground"]["error_m"] < 1
    tried = await client.post("/api/v1/cameras/cam-1/scene/trial", json={"scene": SCENE})
    assert tried.status_code == 503 and "last hour" in tried.json()["error"]["message"]


async def test_without_a_worker_cameras_are_listed_and_pictures_refused(
    client: httpx.AsyncClient, centre: Centre
) -> None:
    await make(centre, "cam-1")
    assert (await client.get("/api/v1/cameras")).json()["items"][0]["state"] is None
    assert (await client.get("/api/v1/cameras/cam-1/snapshot")).status_code == 503
    with pytest.raises(ThapError, match="no camera is read"):
        await Relays(centre.settings.run_dir).join("cam-1")


def test_a_viewer_who_cannot_keep_up_goes_on_at_the_next_key_picture() -> None:
    viewer = Viewer()
    for kind in (0, 1, 3, 2):  # what came before the first key picture is not shown
        viewer.put(bytes((kind,)) + b"x", kind)
    assert [frame[0] for frame in viewer.waiting] == [0, 1, 2]
    big = bytes((3,)) + b"y" * (1 << 20)
    for _ in range(8):
        viewer.put(big, 3)
    assert viewer.skipped == 1 and viewer.size < 5 << 20 and not viewer.flows
    viewer.put(big, 3)
    assert [frame[0] for frame in viewer.waiting] == [0, 1]
    viewer.put(bytes((2,)), 2)
    assert viewer.flows and [frame[0] for frame in viewer.waiting] == [0, 1, 2]


# ---- plates


async def test_a_centre_that_reads_no_plates_says_so(desk: Desk) -> None:
    leader = await desk("lanh-dao", "leader")
    assert (await leader.get("/api/v1/traffic/plates/watch")).status_code == 409
    administrator = await desk("quan-tri", "administrator")
    assert (await administrator.get("/api/v1/traffic/plates/watch")).status_code == 403


async def test_every_look_at_plates_stands_in_the_audit_log(desk: Desk, centre: Centre) -> None:
    centre.settings.plates.enabled = True
    leader = await desk("lanh-dao", "leader")
    until = now_us() + 10 * 86_400_000_000
    row = {"plate": "66A-123.45", "reason": "tìm xe", "legal_basis": "QĐ 12/2026", "until": until}
    for missing in ("reason", "legal_basis", "until"):
        assert (await leader.post("/api/v1/traffic/plates/watch", json={**row, missing: ""})).status_code in (400, 422)
    made = await leader.post("/api/v1/traffic/plates/watch", json=row)
    assert made.status_code == 201 and made.json()["plate"] == "66A12345"
    asked = await leader.post("/api/v1/traffic/plates/lookup", json={"plate": "66A-123.45", "basis": "QĐ 12/2026"})
    assert asked.json() == {"items": []}
    assert (await leader.get("/api/v1/traffic/plates/watch")).json()["items"][0]["reason"] == "tìm xe"
    assert (await leader.delete(f"/api/v1/traffic/plates/watch/{made.json()['id']}")).status_code == 204
    async with centre.records.read() as connection:
        rows = (await connection.execute(sa.text("SELECT action, detail FROM audit WHERE action LIKE 'plate.%'"))).all()
        kept = (await connection.execute(sa.text("SELECT count(*) FROM plate_watch"))).scalar_one()
    assert [one.action for one in rows] == ["plate.watch", "plate.read", "plate.read", "plate.unwatch"] and kept == 0
    assert not [one for one in rows if "66A12345" in str(one.detail)], "the log names no plate"
