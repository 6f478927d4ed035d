"""/api/v1/cameras: cameras with how they fare, their pictures, clips and scenes.

Whoever lacks `camera.view` for a camera is told that there is none, and lists do not hold it. Credentials go in and
never come out.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import FileResponse

from thap.detect.vision.scene import Scene
from thap.kernel.audit import Entry, append_async
from thap.kernel.errors import ConflictError, DeniedError, InputError, NotFoundError, UnavailableError
from thap.kernel.policy import Policy, Subject
from thap.observe.cameras.addresses import Address, check_file, check_host, read_address, read_service
from thap.observe.cameras.credentials import Vault
from thap.observe.cameras.records import (
    RESOURCE,
    Camera,
    Clip,
    add_camera,
    camera_named,
    change_camera,
    clip_numbered,
    clips_of,
    list_cameras,
    remove_camera,
    thing_there,
)
from thap.observe.cameras.source import picture_folders
from thap.respond.cameras.evidence import Evidence
from thap.respond.cameras.samples import Samples
from thap.respond.cameras.trial import trial_apart
from thap.respond.incidents import attachments as files
from thap.web.answers import JsonAnswer
from thap.web.api.places import locator_of
from thap.web.deps import Caller, Centre, CentreDep, policy_of, require
from thap.web.live import Live
from thap.web.sight import note_reading, store_of

__all__ = ["router"]

router = APIRouter(prefix="/api/v1/cameras", tags=["cameras"])
Viewer = Annotated[Caller, Depends(require("camera.view"))]
Writer = Annotated[Caller, Depends(require("camera.write"))]
Name = Annotated[str, Path(max_length=128, description="Name of the camera, as of its thing.")]
Words = Annotated[str, Field(max_length=256, pattern=r"^[^\x00]*$")]
_TRIALS = 1
"""Trials at one time: each takes a core."""
_TESTS = 2
"""Tests of cameras at one time: each is a process."""
_SEARCHES = 1
"""Searches of the network at one time."""


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CameraBody(_Given):
    """What can be set of a camera; what is not given stays as it is."""

    address: str | None = Field(None, max_length=1000, description="rtsp://…, http://… (MJPEG, HLS), or a file.")
    user: str | None = Field(None, max_length=200, description="User name at the camera; never shown again.")
    password: str | None = Field(None, max_length=200, description="Password; never shown again.")
    title: Words | None = None
    domain: str | None = Field(None, max_length=32)
    lon: Annotated[float, Field(ge=-180, le=180)] | None = None
    lat: Annotated[float, Field(ge=-90, le=90)] | None = None
    enabled: bool | None = None
    transport: Literal["tcp", "udp"] | None = None
    loop: bool | None = Field(None, description="Whether a file begins again at its end.")
    fps: float | None = Field(None, ge=0.1, le=30, description="Pictures a second that are analysed.")
    onvif: str | None = Field(None, max_length=500, pattern=r"^(https?://\S+)?$", description="ONVIF device service.")
    before_s: float | None = Field(None, ge=1, le=60, description="Seconds of a clip before its event.")
    after_s: float | None = Field(None, ge=1, le=60, description="Seconds of a clip after its event.")
    keep_days: int | None = Field(None, ge=1, le=3650, description="Days a clip of no incident is kept.")
    disk_mib: int | None = Field(None, ge=1, le=10_000_000, description="Room for clips of no incident, MiB.")
    plates: bool | None = Field(None, description="Whether plates are read here, where the centre may read them.")
    version: int | None = Field(None, description="The version that was read; a later one is not overwritten.")


class NewCamera(CameraBody):
    """A camera to add."""

    name: str = Field(max_length=128, description="Name of its thing.")
    address: str = Field(max_length=1000)


class TestBody(_Given):
    """A camera to try: a known one, with what is given in place of what it has; or an address."""

    name: str | None = Field(None, max_length=128)
    address: str | None = Field(None, max_length=1000)
    user: str | None = Field(None, max_length=200)
    password: str | None = Field(None, max_length=200)
    transport: Literal["tcp", "udp"] = "tcp"


class SceneBody(_Given):
    """What is drawn on a picture; see the guide to cameras."""

    scene: dict[str, Any]
    version: int | None = None


@router.get("", summary="Cameras with how they fare", response_class=Response)
async def get_cameras(centre: CentreDep, caller: Viewer, domain: Annotated[str, Query(max_length=32)] = "") -> Response:
    """`state` is what the worker says of it: null where no worker reads it."""
    policy = await policy_of(centre).current()
    async with centre.records.read() as connection:
        found = await list_cameras(connection, policy.where(caller.who, "camera.view", RESOURCE), domain=domain)
    states = await _states(centre)
    may = [policy.decide(caller.who, "camera.write", _subject(one)).allowed for one in found]
    items = [_told(one, states.get(one.name), write) for one, write in zip(found, may, strict=True)]
    return JsonAnswer({"items": items, "may_add": policy.may_somewhere(caller.who, "camera.write")})


@router.post("", summary="Add a camera", status_code=201, response_class=Response)
async def post_camera(body: NewCamera, centre: CentreDep, caller: Writer) -> Response:
    """The thing of this name becomes a camera, and is made where there is none."""
    row = body.model_dump(exclude_none=True, exclude={"user", "password", "version", "address"})
    address = await _checked(centre, caller, body.address)
    row |= {"address": address.url, "trusted": caller.who.is_unlimited, "domain": row.get("domain", "traffic")}
    await _service(centre, row)
    row["secret"] = Vault(centre.settings).seal(body.user or address.user, body.password or address.password)
    await _place(centre, row)
    policy = await policy_of(centre).current()
    async with centre.records.write() as connection:
        there = await thing_there(connection, body.name)
        if there is not None:
            subject = Subject("camera", (there.commune,), there.domain, body.name)
            if not policy.decide(caller.who, "camera.write", subject).allowed:
                raise ConflictError("this name is taken", where="name", hint="choose another name")
        _may_stand(policy, caller, row, "" if there is None else there.commune, row["domain"], body.name)
        made = await add_camera(connection, row, caller.name)
        await append_async(connection, [_entry(caller, "camera.add", made, {"address": made.address})])
    await _announce(centre, caller, made)
    return JsonAnswer(_told(made, None, True), 201)


@router.post("/test", summary="Try a camera: a picture, or the exact reason why there is none", response_class=Response)
async def post_test(body: TestBody, centre: CentreDep, caller: Writer) -> Response:
    """Connects once. `jpeg` is the picture, base64. A refusal by the camera is answered as `error`, with status 200."""
    camera = await _to_try(centre, caller, body)
    from thap.observe.cameras.probe import probe_apart

    async with _turn(centre, "camera_tests", _TESTS, "other cameras are being tested"):
        try:
            return JsonAnswer({"ok": True, **await probe_apart(camera, centre.settings)})
        except UnavailableError as error:
            return JsonAnswer({"ok": False, "error": error.as_dict()})


@router.post("/discover", summary="Find ONVIF cameras in the centre's network", response_class=Response)
async def post_discover(centre: CentreDep, caller: Writer) -> Response:
    """Takes about four seconds."""
    from thap.observe.cameras.discovery import discover

    async with _turn(centre, "camera_searches", _SEARCHES, "another search is running"):
        found = await asyncio.to_thread(discover)
    return JsonAnswer({"items": [one.as_dict() for one in found]})


@router.get("/clips", summary="Clips of all cameras, the latest first", response_class=Response)
async def get_clips(
    centre: CentreDep,
    caller: Viewer,
    camera: Annotated[str, Query(max_length=128)] = "",
    incident: Annotated[int | None, Query(ge=1)] = None,
    before: Annotated[int | None, Query(ge=1, description="`next` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> Response:
    policy = await policy_of(centre).current()
    within = policy.where(caller.who, "camera.view", RESOURCE)
    async with centre.records.read() as connection:
        found = await clips_of(
            connection, camera=camera, incident=incident, within=within, before=before, limit=limit + 1
        )
    page = found[:limit]
    return JsonAnswer({"items": [_told_clip(one) for one in page], "next": page[-1].id if len(found) > limit else None})


@router.get("/clips/{number}", summary="A clip's file", response_class=FileResponse)
async def get_clip(
    number: Annotated[int, Path(ge=1, le=2**62)],
    centre: CentreDep,
    caller: Viewer,
    save: Annotated[bool, Query(description="Let the browser save it instead of playing it.")] = False,
) -> Response:
    """MP4, as the camera sent it. Its SHA-256 stands in the header `X-Content-Sha256`."""
    policy = await policy_of(centre).current()
    async with centre.records.read() as connection:
        clip = await clip_numbered(connection, number, policy.where(caller.who, "camera.view", RESOURCE))
        camera = await _camera(connection, clip.camera)
    kept = await files.one(centre.records, clip.attachment_id)
    path = files.path_of(centre.settings, kept, original=True)
    if camera is not None:
        await note_reading(centre, caller, policy, "thing", [(f"clip:{number}", _subject(camera))])
    headers = {"Cache-Control": "private, no-store", "X-Content-Sha256": clip.sha256}
    if save:
        headers["Content-Disposition"] = files.disposition(kept.name)
    return FileResponse(path, media_type="video/mp4", headers=headers)


@router.delete("/clips/{number}", summary="Remove a clip that is no evidence of an incident", status_code=204)
async def delete_clip(number: Annotated[int, Path(ge=1, le=2**62)], centre: CentreDep, caller: Writer) -> Response:
    policy = await policy_of(centre).current()
    async with centre.records.read() as connection:
        clip = await clip_numbered(connection, number, policy.where(caller.who, "camera.write", RESOURCE))
    await Evidence(centre.settings, centre.records, store_of(centre), centre.bus).remove(clip, caller.who)
    return Response(status_code=204)


@router.get("/{name}", summary="A camera", response_class=Response)
async def get_camera(name: Name, centre: CentreDep, caller: Viewer) -> Response:
    """With its scene, and what samples of the last hour there are to try one on."""
    camera, write = await _seen(centre, caller, name)
    policy = await policy_of(centre).current()
    await note_reading(centre, caller, policy, "thing", [(f"thing:{name}", _subject(camera))])
    told = _told(camera, (await _states(centre)).get(name), write)
    samples = await asyncio.to_thread(Samples(centre.settings).of, camera)
    return JsonAnswer({**told, "scene": camera.scene, "samples": len(samples)})


@router.patch("/{name}", summary="Change a camera", response_class=Response)
async def patch_camera(name: Name, body: CameraBody, centre: CentreDep, caller: Writer) -> Response:
    camera, _ = await _seen(centre, caller, name, "camera.write")
    changes = body.model_dump(exclude_none=True, exclude={"user", "password", "version", "address"})
    if body.address is not None and body.address != camera.address:
        address = await _checked(centre, caller, body.address)
        changes |= {"address": address.url, "trusted": caller.who.is_unlimited}
        if address.user or address.password:
            changes["secret"] = Vault(centre.settings).seal(address.user, address.password)
        elif not _same_door(read_address(camera.address), address):
            changes["secret"] = ""  # credentials of one camera are not sent to another host, port or unencrypted
    if body.user is not None or body.password is not None:
        changes["secret"] = Vault(centre.settings).seal(body.user or "", body.password or "")
    if changes.get("onvif") != camera.onvif:
        await _service(centre, changes)
    await _place(centre, changes)
    policy = await policy_of(centre).current()
    async with centre.records.write() as connection:
        now = await camera_named(connection, name, policy.where(caller.who, "camera.write", RESOURCE))
        _may_stand(policy, caller, changes, now.commune, now.domain, name)
        made = await change_camera(connection, name, changes, caller.name, body.version)
        shown = {key: value for key, value in changes.items() if key not in ("secret", "trusted")}
        if "secret" in changes:
            shown["credentials"] = bool(changes["secret"])
        await append_async(connection, [_entry(caller, "camera.change", made, shown)])
    await _announce(centre, caller, made)
    return JsonAnswer(_told(made, None, True))


@router.delete("/{name}", summary="Read a camera no longer", status_code=204)
async def delete_camera(name: Name, centre: CentreDep, caller: Writer) -> Response:
    """Address, credentials and scene are forgotten; the thing, its history and its clips stay."""
    await _seen(centre, caller, name, "camera.write")
    async with centre.records.write() as connection:
        gone = await remove_camera(connection, name)
        await append_async(connection, [_entry(caller, "camera.remove", gone, {"address": gone.address})])
    await _announce(centre, caller, gone)
    return Response(status_code=204)


@router.get(
    "/{name}/snapshot",
    summary="What a camera shows now",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}, "description": "The picture."}},
)
async def get_snapshot(
    name: Name,
    centre: CentreDep,
    caller: Viewer,
    width: Annotated[int, Query(ge=0, le=4096, description="Not wider than this; 0 as it is.")] = 0,
) -> Response:
    """The newest picture, JPEG. `X-Time` is when it was taken, µs."""
    await _seen(centre, caller, name)
    told = await _ask(centre, {"camera": name, "what": "picture", "width": width})
    if "jpeg" not in told:
        raise UnavailableError("there is no picture yet", where=name, hint="its state says why")
    headers = {"X-Time": str(told["time"]), "Cache-Control": "no-store"}
    return Response(base64.b64decode(told["jpeg"]), media_type="image/jpeg", headers=headers)


@router.post("/{name}/clips", summary="Keep the last seconds as a clip", status_code=201, response_class=Response)
async def post_clip(name: Name, centre: CentreDep, caller: Viewer) -> Response:
    camera, _ = await _seen(centre, caller, name)
    told = await _ask(centre, {"camera": name, "what": "clip"})
    if "clip" not in told:
        raise UnavailableError(str(told.get("error") or "there is nothing to keep"), where=name)
    async with centre.records.write() as connection:
        await append_async(connection, [_entry(caller, "clip.keep", camera, {"clip": told["clip"]})])
        clip = await clip_numbered(connection, int(told["clip"]))
    return JsonAnswer(_told_clip(clip), 201)


@router.put("/{name}/scene", summary="Save what is drawn on a camera's picture", response_class=Response)
async def put_scene(name: Name, body: SceneBody, centre: CentreDep, caller: Writer) -> Response:
    """Lines, zones and the ground plane, relative to the picture. What the camera shows now becomes what it should."""
    await _seen(centre, caller, name, "camera.write")
    scene = Scene.from_json(body.scene)
    document = scene.to_json()
    async with centre.records.write() as connection:
        made = await change_camera(connection, name, {"scene": document}, caller.name, body.version)
        told = {"lines": len(scene.lines), "zones": len(scene.zones), "ground": scene.ground is not None}
        await append_async(connection, [_entry(caller, "camera.scene", made, told)])
    await _announce(centre, caller, made)
    with contextlib.suppress(UnavailableError):  # else it is learned as soon as the camera is read
        await _ask(centre, {"camera": name, "what": "reference"})
    return JsonAnswer({**_told(made, None, True), "scene": document, **_ground(scene)})


@router.post("/{name}/scene/check", summary="Whether a scene holds together, and how good its ground plane is")
async def check_scene(name: Name, body: SceneBody, centre: CentreDep, caller: Writer) -> dict[str, Any]:
    await _seen(centre, caller, name, "camera.write")
    return _ground(Scene.from_json(body.scene))


@router.post("/{name}/scene/trial", summary="Try a scene on the last hour before it is saved", response_class=Response)
async def try_scene(name: Name, body: SceneBody, centre: CentreDep, caller: Writer) -> Response:
    """Samples and clips of the last hour, through a new analyser: what would have been counted and raised."""
    camera, _ = await _seen(centre, caller, name, "camera.write")
    async with _turn(centre, "camera_trials", _TRIALS, "another trial is running", name):
        paths = await asyncio.to_thread(Samples(centre.settings).of, camera)
        return JsonAnswer(await trial_apart(centre.settings, body.scene, paths, camera.fps))


@contextlib.asynccontextmanager
async def _turn(centre: Centre, what: str, most: int, taken: str, where: str | None = None) -> AsyncIterator[None]:
    """One of `most` turns at something that takes much of the machine.

    Raises:
        UnavailableError: all are taken.
    """
    turns: asyncio.Semaphore = centre.parts.setdefault(what, asyncio.Semaphore(most))
    if turns.locked():
        raise UnavailableError(taken, where=where, hint="try again in a minute")
    async with turns:
        yield


def _subject(camera: Camera) -> Subject:
    return Subject("camera", (camera.commune,), camera.domain, camera.name)


def _same_door(one: Address, other: Address) -> bool:
    return (one.scheme, one.host, one.port) == (other.scheme, other.host, other.port)


def _may_stand(policy: Policy, caller: Caller, row: dict[str, Any], commune: str, domain: str, name: str) -> None:
    """See that a camera may be where `row` puts it; what `row` does not say stays as it is.

    Raises:
        DeniedError: the caller may not change cameras there.
    """
    subject = Subject("camera", (row.get("commune", commune),), row.get("domain", domain), name)
    if not policy.decide(caller.who, "camera.write", subject).allowed:
        raise DeniedError("you may not put a camera there", where="camera.write", hint="choose its place and domain")


def _entry(caller: Caller, action: str, camera: Camera, detail: dict[str, Any]) -> Entry:
    return Entry(caller.who, action, f"thing:{camera.name}", detail, caller.address)


def _told(camera: Camera, state: dict[str, Any] | None, write: bool) -> dict[str, Any]:
    told: dict[str, Any] = {
        key: getattr(camera, key)
        for key in (
            *("name", "title", "domain", "lon", "lat", "commune", "enabled", "transport", "loop", "fps"),
            *("before_s", "after_s", "keep_days", "disk_mib", "plates", "version", "changed", "changed_by"),
        )
    }
    told["drawn"] = {key: len(camera.scene.get(key) or ()) for key in ("lines", "zones")}
    told["drawn"]["ground"] = int(bool(camera.scene.get("ground")))
    told["may_write"] = write
    told["address"] = camera.address if write else ""  # where a camera stands in the network is for those who run it
    told["onvif"] = camera.onvif if write else ""
    told["credentials"] = bool(camera.secret)
    if state is not None and not write and state.get("error"):
        state = {**state, "error": {**state["error"], "where": None}}
    return {**told, "state": state}


def _told_clip(clip: Clip) -> dict[str, Any]:
    return {
        key: getattr(clip, key)
        for key in (
            *("id", "camera", "begins", "ends", "event", "condition", "alarm_id", "incident_id"),
            *("sha256", "size", "encoded"),
        )
    }


def _ground(scene: Scene) -> dict[str, Any]:
    return {"ground": None if scene.ground is None else scene.ground.error_json()}


async def _camera(connection: Any, name: str) -> Camera | None:
    try:
        return await camera_named(connection, name)
    except NotFoundError:
        return None


async def _seen(centre: Centre, caller: Caller, name: str, action: str = "camera.view") -> tuple[Camera, bool]:
    """A camera the caller may see, and whether they may change it.

    Raises:
        NotFoundError: there is none, as far as they may see.
        DeniedError: they may see it, but not do this.
    """
    policy = await policy_of(centre).current()
    async with centre.records.read() as connection:
        camera = await camera_named(connection, name, policy.where(caller.who, "camera.view", RESOURCE))
    subject = _subject(camera)
    policy.check(caller.who, action, subject, where=name)
    return camera, policy.decide(caller.who, "camera.write", subject).allowed


async def _checked(centre: Centre, caller: Caller, text: str) -> Address:
    """An address the caller may make the centre connect to."""
    address = read_address(text)
    if not caller.who.is_unlimited:
        if address.is_file:
            check_file(address.url, picture_folders(centre.settings))
        else:
            await asyncio.to_thread(check_host, address.host, address.port, centre.settings.cameras.refuse)
    return address


async def _service(centre: Centre, row: dict[str, Any]) -> None:
    """See that a device service may be asked, whoever names it, and keep no credentials with it."""
    if row.get("onvif"):
        found = read_service(row["onvif"])
        await asyncio.to_thread(check_host, found.host, found.port, centre.settings.cameras.refuse)
        row["onvif"] = found.url


async def _to_try(centre: Centre, caller: Caller, body: TestBody) -> Camera:
    known = None
    if body.name:
        policy = await policy_of(centre).current()
        async with centre.records.read() as connection:
            within = policy.where(caller.who, "camera.write", RESOURCE)
            known = next((one for one in await list_cameras(connection, within) if one.name == body.name), None)
    if known is not None and body.address in (None, known.address):
        if body.user is None and body.password is None:
            return known
        address = read_address(known.address)
    elif body.address:
        address = await _checked(centre, caller, body.address)
    else:
        raise InputError("name a camera or give an address", where="address")
    secret = Vault(centre.settings).seal(body.user or address.user, body.password or address.password)
    trusted = caller.who.is_unlimited or (known is not None and known.address == address.url and known.trusted)
    return Camera(0, "test", address=address.url, secret=secret, transport=body.transport, trusted=trusted)


async def _place(centre: Centre, row: dict[str, Any]) -> None:
    """Note in which commune the camera stands."""
    if row.get("lon") is not None and row.get("lat") is not None:
        row["commune"] = str((await locator_of(centre)).codes_of([row["lon"]], [row["lat"]])[0])


async def _announce(centre: Centre, caller: Caller, camera: Camera) -> None:
    await centre.bus.announce("centre.live.registry", {"by": caller.name})
    await centre.bus.announce("centre.live.cameras", {"camera": camera.name})
    live: Live = centre.parts["live"]
    await live.registry_changed()


async def _states(centre: Centre) -> dict[str, dict[str, Any]]:
    """What the worker says of all cameras; nothing where none runs."""
    try:
        told: dict[str, dict[str, Any]] = msgspec.json.decode(await centre.bus.ask("centre.ask.cameras", timeout_s=2))
    except UnavailableError:
        return {}
    return told


async def _ask(centre: Centre, body: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.json.decode(
        await centre.bus.ask("centre.ask.camera", msgspec.json.encode(body), timeout_s=20)
    )
    return told
