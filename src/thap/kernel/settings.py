"""Settings of a centre: `thap.toml` in its data directory, then `THAP_…` variables, then the command line.

Every setting has a title (its docstring-like `description`) and bounds, so `thap settings` and the
documentation are made from this file.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from thap.kernel.errors import SettingsError

__all__ = [
    "AisSettings",
    "AttachmentSettings",
    "AuditSettings",
    "CameraSettings",
    "DoorSettings",
    "EngineSettings",
    "HistorySettings",
    "JournalSettings",
    "MapSettings",
    "NotifySettings",
    "Open311Settings",
    "PlateSettings",
    "ReportSettings",
    "Settings",
    "WarningSettings",
    "data_directory",
    "load_settings",
]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid")


class JournalSettings(_Section):
    """The stream every record is appended to before it is acknowledged."""

    durability: Literal["process", "power"] = Field(
        "power",
        description="What an acknowledged record survives: `process`, the end of any process "
        "(kill -9); `power`, also the loss of power, at the cost of one fsync for each block.",
    )
    keep_hours: int = Field(
        72,
        ge=24,
        le=24 * 365,
        description="Hours a record stays in the journal; history must have written and synced it long before.",
    )
    max_gib: float = Field(
        20.0,
        gt=0,
        description="Largest size of the journal on disk, GiB. When it is "
        "full the oldest records, long in history, make room.",
    )
    reserve_mib: int = Field(
        256,
        ge=1,
        description="Free disk space, MiB, under which doors answer 503 instead of taking records they might not keep.",
    )
    url: str | None = Field(
        None,
        description="Address of a NATS cluster to use instead of the child server, as nats://user:password@host:4222.",
    )


class HistorySettings(_Section):
    """The lake every record ends in."""

    flush_ms: int = Field(1000, ge=50, le=60_000, description="How long records gather before one write.")
    flush_rows: int = Field(500_000, ge=1000, description="Rows that trigger a write at once.")
    inline_rows: int = Field(
        500, ge=0, description="Writes of fewer rows are kept in the catalogue until they are worth a file."
    )
    compact_minutes: float = Field(10, gt=0, description="Minutes between two compactions.")
    keep_days: dict[str, int] = Field(
        default_factory=lambda: {
            "observation": 3650,
            "position": 730,
            "sighting": 365,
            "article": 1825,
            "report": 3650,
        },
        description="Days each kind of record is kept, from its time or from when it came in, whichever is later; "
        "0 keeps it for ever.",
    )
    catalogue: str | None = Field(
        None,
        description="DuckLake catalogue elsewhere, as `postgres:dbname=…`; "
        "by default an SQLite file in the data directory.",
    )
    memory_mib: int = Field(512, ge=128, description="Memory DuckDB may use in one process, MiB.")


class EngineSettings(_Section):
    """The stage that runs detectors."""

    batch_rows: int = Field(100_000, ge=100, description="Rows that close a micro-batch at once.")
    checkpoint_s: float = Field(
        3.0,
        ge=0.5,
        le=600,
        description="Seconds between two checkpoints of detector state; after a crash at most this much is read again.",
    )
    allowed_lateness_s: float = Field(
        0.0,
        ge=0,
        description="Seconds a rule waits for records that come out "
        "of order before it judges, unless the rule says otherwise.",
    )
    stall_s: float = Field(
        20.0, ge=2, description="Seconds a stage may stand still with work waiting before the watchdog restarts it."
    )


class AisSettings(_Section):
    """AIS receivers: where NMEA sentences come from."""

    connect: list[str] = Field(default_factory=list, description="host:port of AIS servers to connect to.")
    tcp_port: int | None = Field(None, ge=0, le=65535, description="TCP port to listen on; 0 picks one.")
    udp_port: int | None = Field(None, ge=0, le=65535, description="UDP port to listen on; 0 picks one.")
    allow: list[str] = Field(
        default_factory=lambda: ["127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7"],
        description="Networks whose receivers are listened to; AIS itself knows no sign-in.",
    )


class DoorSettings(_Section):
    """The doors records come in through."""

    admit: list[str] = Field(
        default_factory=lambda: ["mmsi-*"],
        description="Patterns of unknown things and movers that are admitted at once, with a line in the "
        "log; all others wait in quarantine. By default vessels heard on AIS, whose numbers are assigned "
        "by the ITU.",
    )
    max_body_mib: float = Field(16.0, gt=0, le=1024, description="Largest HTTP body, MiB, after unpacking.")
    future_s: float = Field(900.0, ge=0, description="Seconds a record's time may lie ahead of the clock.")
    earliest: str = Field(
        "1900-01-01T00:00:00Z",
        description="Records before this time are refused. The two "
        "days after 1970-01-01 are refused always: they are a clock that was never set.",
    )
    unknown_names: int = Field(
        10_000,
        ge=1,
        description="Unknown names listed in quarantine at once; records "
        "of further names go to the dead-letter stream.",
    )
    mqtt: bool = Field(True, description="Whether the MQTT door is open.")
    ais: AisSettings = Field(default_factory=AisSettings)


class AttachmentSettings(_Section):
    """Files that people attach to incidents and reports."""

    max_mib: float = Field(50.0, gt=0, le=4096, description="Largest file, MiB.")
    types: list[str] = Field(
        default_factory=lambda: [
            "image/jpeg",
            "image/png",
            "image/webp",
            "video/mp4",
            "video/quicktime",
            "video/webm",
            "audio/mpeg",
            "audio/mp4",
            "audio/ogg",
            "audio/wav",
            "application/pdf",
            "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            "application/vnd.openxmlformats-officedocument.presentationml.presentation",
            "text/plain",
        ],
        description="Media types that are taken; the content decides, not the name.",
    )


class Open311Settings(_Section):
    """Another Open311 GeoReport v2 endpoint that reports are exchanged with."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", description="What it is called here.")
    url: str = Field(pattern=r"^https?://", description="Its base address, the part before `/services.json`.")
    jurisdiction: str = Field("", description="Its jurisdiction_id, where it wants one.")
    api_key: str = Field("", description="Key it gave us for sending requests.")
    push: dict[str, str] = Field(
        default_factory=dict,
        description="Our service codes whose accepted reports are sent on, each with its code over there.",
    )
    pull: dict[str, str] = Field(
        default_factory=dict,
        description="Its service codes whose requests are read in as reports, each with our code.",
    )
    updates: bool = Field(
        False,
        description="Whether it takes and gives `servicerequestupdates`, an extension of the standard.",
    )
    every_s: float = Field(300.0, ge=1, le=86_400, description="Seconds between two questions.")


class ReportSettings(_Section):
    """Citizens' reports: the public form and Open311 GeoReport v2."""

    public: bool = Field(True, description="Whether anybody may send a report by the public form.")
    jurisdiction: str = Field("dongthap.gov.vn", description="Our jurisdiction_id of Open311; it may be left out.")
    url: str = Field("", description="Address of this centre as citizens see it, for links in messages and in Open311.")
    contact: str = Field("", description="Whom to ask about this service, shown on the form and by Open311.")
    per_hour: int = Field(
        20, ge=1, description="Reports one network address may send in an hour; many phones share one address."
    )
    per_day: int = Field(100, ge=1, description="Reports one network address may send in a day.")
    unproven_per_hour: int = Field(
        5, ge=0, description="Of these, reports sent without a proof of work, as browsers without scripts do."
    )
    machine_per_minute: int = Field(120, ge=1, description="Reports one API key may send in a minute.")
    proof_bits: int = Field(
        15, ge=0, le=24, description="Work a browser proves before it sends: leading zero bits of a SHA-256."
    )
    least_s: float = Field(4.0, ge=0, description="Seconds a person needs at least to fill in the form.")
    form_hours: float = Field(24.0, gt=0, description="Hours an opened form can be sent.")
    photos: int = Field(3, ge=0, le=10, description="Photos one report may have.")
    photo_mib: float = Field(12.0, gt=0, description="Largest photo, MiB.")
    near_m: float = Field(150.0, ge=0, description="Metres within which reports of one kind may be the same.")
    near_days: float = Field(30.0, ge=0, description="Days within which they may be.")
    forward: list[str] = Field(
        default_factory=lambda: ["127.0.0.0/8", "::1/128"],
        description="Networks of proxies whose X-Forwarded-For is believed when an address is counted.",
    )
    sender_days: int = Field(
        90,
        ge=0,
        description="Days after a report is closed for which its sender's name, phone and addresses are kept "
        "(personal data no longer than its purpose needs: Law 91/2025/QH15, Decree 356/2025/NĐ-CP; the number is "
        "the province's choice).",
    )
    sender_days_at_most: int = Field(
        730, ge=1, description="Days after which they are erased even if the report never was closed."
    )
    endpoints: list[Open311Settings] = Field(
        default_factory=list, description="Other Open311 endpoints that reports are exchanged with."
    )


class OidcSettings(_Section):
    """Another system that people sign in with (OpenID Connect, code with PKCE)."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$", description="Short name, part of addresses.")
    title: dict[str, str] = Field(default_factory=dict, description="What the button says, by language: vi, en.")
    issuer: str = Field(description="The issuer, as it names itself; its configuration is found from it.")
    client_id: str = Field(description="What the issuer knows this centre as.")
    client_secret: SecretStr = Field(
        SecretStr(""), description="The secret agreed with the issuer; empty for a public client."
    )
    scopes: str = Field("openid profile", description="What is asked of the issuer.")
    login_claim: str = Field("preferred_username", description="Claim that becomes the login of a new person.")
    name_claim: str = Field("name", description="Claim with the name of the person.")
    unit_claim: str = Field("", description="Claim with the unit; empty for none.")
    units: dict[str, str] = Field(default_factory=dict, description="Value of the unit claim → code of a unit here.")
    roles_claim: str = Field("", description="Claim with groups or roles; empty for none.")
    roles: dict[str, list[str]] = Field(
        default_factory=dict,
        description="Value of the roles claim → roles here, each `role`, `role@unit` or `role@unit/domain`; "
        "`role@` alone means the person's own unit. Kept in step at each sign-in.",
    )
    create: bool = Field(False, description="Whether unknown people get an account at their first sign-in.")
    adopt: bool = Field(
        False,
        description="Whether an account here with the same login becomes this person's; only for an issuer that "
        "gives logins to nobody but their owners.",
    )


class SignInSettings(_Section):
    """How people sign in."""

    public_url: str | None = Field(
        None,
        description="Address people open the centre at, as https://trung-tam.example; by default the one it "
        "listens on. Needed behind a proxy: links, cookies and the check of a change's origin go by it.",
    )
    idle_hours: float = Field(12.0, gt=0, le=24 * 30, description="Hours without use after which a session ends.")
    longest_hours: float = Field(
        24.0 * 7, gt=0, le=24 * 90, description="Hours after which a session ends in any case."
    )
    tries: int = Field(
        5, ge=1, le=100, description="Failed sign-ins of an account before it waits; an address has six times as many."
    )
    first_wait_s: float = Field(30.0, gt=0, description="First wait, seconds; each further failure doubles it.")
    longest_wait_s: float = Field(900.0, gt=0, le=86_400, description="Longest wait, seconds.")
    issuers: list[OidcSettings] = Field(
        default_factory=list,
        description="Other systems that people sign in with, as [[sign_in.issuers]] tables; see sign-in.md.",
    )


class WarningSettings(_Section):
    """Warnings to the public (CAP 1.2), and those of others that are read."""

    sender: str = Field(
        "thap-82",
        pattern=r"^[^\s,<>&\"]+$",
        max_length=100,
        description="Name of this centre on its warnings, unique in the world: its domain name, or an address there. "
        "Set it before the first real warning.",
    )
    sender_name: dict[str, str] = Field(
        default_factory=dict, description="What people read as the sender, by language: vi, en."
    )
    public_url: str = Field(
        "",
        max_length=500,
        pattern=r"^(https?://\S+)?$",
        description="Address under which the public reaches this centre, as https://ioc.example.org.",
    )
    key: Path | None = Field(
        None, description="PEM file of the key that signs; by default one is made in the run folder at first use."
    )
    certificate: Path | None = Field(None, description="PEM file of the key's certificate.")
    trust: list[Path] = Field(
        default_factory=list, description="PEM files of certificates whose signatures on others' alerts are trusted."
    )
    xsd: Path | None = Field(
        None,
        description="A copy of OASIS's schema CAP-v1.2.xsd, to hold every warning against before it goes out, "
        "besides the rules that are built in.",
    )
    shown_days: int = Field(
        7, ge=0, le=366, description="Days an ended warning stays in the feed, so that late readers see its end."
    )
    feed_mib: float = Field(8.0, gt=0, le=64, description="Largest feed of others that is read, MiB, unpacked.")
    alert_kib: int = Field(1024, ge=16, le=16_384, description="Largest alert of others that is read, KiB.")
    feed_alerts: int = Field(500, ge=1, le=10_000, description="Alerts of one feed that are read at one visit.")
    reach_km: float = Field(
        20.0, ge=0, le=2000, description="How far from the province an alert of others may lie to be taken."
    )
    default_hours: float = Field(
        24.0, gt=0, le=744, description="How long an alert of others holds that does not say until when."
    )
    push_hours: float = Field(24.0, gt=0, le=168, description="How long a push that fails is tried again.")


class NotifySettings(_Section):
    """How people are told of what concerns them."""

    channels: dict[str, SecretStr] = Field(
        default_factory=dict,
        description="Channels people can be told on, by name: an Apprise URL in which `{address}` stands for the "
        "person's address, as `email = \"mailto://user:password@smtp.example.org:587/?from=thap@example.org"
        '&to={address}"` or `telegram = "tgram://BOT_TOKEN/{address}"`. The channel `email` also serves people who '
        "chose none, at the e-mail address they are known by. `file:///folder/{address}.txt` writes messages there.",
    )
    address: str | None = Field(
        None, description="Address of the centre for links in notices, as https://thap.example.org; by default its own."
    )
    link_hours: float = Field(24.0, gt=0, le=24 * 30, description="Hours a link to acknowledge an incident holds.")
    rate: int = Field(
        10, ge=1, le=1000, description="Messages one address gets within `rate_minutes`; what is more becomes a digest."
    )
    rate_minutes: float = Field(10.0, gt=0, le=24 * 60, description="The time that `rate` is for.")
    digest_s: float = Field(300.0, ge=1, le=86_400, description="Seconds notices gather for a digest.")
    digest_urgent_s: float = Field(60.0, ge=1, le=86_400, description="The same where one of them is urgent.")
    retry_s: float = Field(
        10.0, gt=0, le=3600, description="Seconds before a failed message is tried again; then twice as long each time."
    )
    retry_max_s: float = Field(1800.0, gt=0, le=86_400, description="Longest time between two tries.")
    give_up_hours: float = Field(24.0, gt=0, le=24 * 30, description="Hours after which a message is given up.")
    timeout_s: float = Field(20.0, gt=0, le=300, description="Seconds a service has to take a message.")
    parallel: int = Field(4, ge=1, le=64, description="Messages sent at one time.")
    keep_days: int = Field(365, ge=1, description="Days sent notices and their delivery log are kept.")


class EvidenceSettings(_Section):
    """Signing of evidence reports."""

    key: Path | None = Field(
        None,
        description="PKCS#12 file (.p12, .pfx) with the key and certificate that sign the PDFs of evidence packs; a "
        "relative path is taken from the data directory. Without it they are not signed.",
    )
    passphrase_env: str = Field(
        "THAP_EVIDENCE_PASSPHRASE",
        pattern=r"^[A-Z][A-Z0-9_]{0,63}$",
        description="Environment variable that holds the passphrase of that file.",
    )


class AuditSettings(_Section):
    """The audit log."""

    keep_days: int = Field(
        400,
        ge=366,
        le=36_500,
        description="Days entries are kept. Source of the bound: NĐ 333/2026, logs are kept at least 12 months.",
    )


class MapSettings(_Section):
    """The console's map. Without a basemap it shows the communes and waters of the store."""

    tiles: str = Field(
        "",
        max_length=1000,
        pattern=r"^(|https?://[^\s\"'<>;,]+)$",
        description="Address of a tile server's pictures, as https://tiles.example/{z}/{x}/{y}.png. The console asks "
        "it directly, so every desk must reach it. Around Hoàng Sa and Trường Sa its pictures are covered.",
    )
    pmtiles: Path | None = Field(
        None,
        description="A PMTiles file of vector tiles (layers as Protomaps or OpenMapTiles name them), which the centre "
        "serves itself; takes precedence over `tiles`. Its names and boundaries are not drawn.",
    )
    attribution: str = Field(
        "", max_length=500, description="What the basemap's licence asks to be shown, as plain text."
    )
    max_zoom: int = Field(18, ge=0, le=24, description="The deepest zoom level that `tiles` has.")


class CameraSettings(_Section):
    """Cameras: where they may stand, and what of their pictures is kept."""

    key: SecretStr | None = Field(
        None,
        description="Key that camera credentials are encrypted with, 32 bytes in URL-safe base64; by default a file of "
        "mode 0600 in the run folder, made at first use.",
    )
    folders: list[Path] = Field(
        default_factory=list,
        description="Folders whose files people may name as cameras, besides `cameras` in the data directory.",
    )
    refuse: list[str] = Field(
        default_factory=lambda: ["0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "::1/128", "fe80::/10"],
        description="Networks that nobody but the machine's owner may name a camera in: those where other things than "
        "cameras listen.",
    )
    connect_s: float = Field(10.0, gt=0, le=120, description="Seconds a camera has to answer.")
    silence_s: float = Field(10.0, gt=0, le=120, description="Seconds without a picture after which it is gone.")
    retry_s: float = Field(
        1.0, gt=0, le=60, description="Seconds before a lost camera is tried again; doubled each time."
    )
    retry_max_s: float = Field(60.0, gt=0, le=3600, description="Longest time between two tries.")
    hardware: bool = Field(True, description="Whether a video decoder of the machine is used where one is found.")
    model: str = Field(
        "efficientdet-lite0",
        description="Detector that looks at pictures: a shipped one by name, or the path of a TOML file of one's own.",
    )
    threads: int | None = Field(
        None, ge=1, le=256, description="Processor cores the detector may use; by default all there are."
    )
    analyse: bool = Field(
        True, description="Whether pictures are analysed; without it cameras are only shown and kept."
    )
    disk_gib: float = Field(50.0, gt=0, description="Budget of all clips that belong to no incident, GiB.")


class PlateSettings(_Section):
    """Number plates: off unless a centre has a legal ground to read them."""

    enabled: bool = Field(False, description="Whether plates are read, at cameras that have it switched on.")
    keep_days: int = Field(7, ge=1, le=365, description="Days a hashed reading is kept.")
    least: float = Field(0.8, ge=0, le=1, description="Least confidence of the recogniser for a reading to count.")


class Settings(BaseSettings):
    """All settings of one centre."""

    model_config = SettingsConfigDict(env_prefix="THAP_", env_nested_delimiter="__", extra="forbid")

    data: Path = Field(Path("thap-data"), description="The data directory: everything the centre keeps.")
    host: str = Field("127.0.0.1", description="Address the centre listens on; 0.0.0.0 for all.")
    port: int = Field(8000, ge=0, le=65535, description="HTTP port; 0 picks a free one.")
    mqtt_port: int = Field(1883, ge=0, le=65535, description="MQTT port; 0 picks a free one.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level logged.")
    log_format: Literal["text", "json"] = Field("text", description="How log lines are written.")
    records_url: str | None = Field(
        None,
        description="Database of records elsewhere, as "
        "postgresql+asyncpg://…; by default SQLite in the data directory.",
    )
    journal: JournalSettings = Field(default_factory=JournalSettings)
    history: HistorySettings = Field(default_factory=HistorySettings)
    engine: EngineSettings = Field(default_factory=EngineSettings)
    doors: DoorSettings = Field(default_factory=DoorSettings)
    attachments: AttachmentSettings = Field(default_factory=AttachmentSettings)
    reports: ReportSettings = Field(default_factory=ReportSettings)
    warnings: WarningSettings = Field(default_factory=WarningSettings)
    sign_in: SignInSettings = Field(default_factory=SignInSettings)
    notify: NotifySettings = Field(default_factory=NotifySettings)
    evidence: EvidenceSettings = Field(default_factory=EvidenceSettings)
    audit: AuditSettings = Field(default_factory=AuditSettings)
    map: MapSettings = Field(default_factory=MapSettings)
    cameras: CameraSettings = Field(default_factory=CameraSettings)
    plates: PlateSettings = Field(default_factory=PlateSettings)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The command line wins over the environment, the environment over `thap.toml`."""
        return (_CommandLine(settings_cls), env_settings, init_settings)

    # Where things lie in the data directory.
    @property
    def run_dir(self) -> Path:
        """Lock, address file, secrets of the running centre."""
        return self.data / "run"

    @property
    def journal_dir(self) -> Path:
        return self.data / "journal"

    @property
    def lake_dir(self) -> Path:
        return self.data / "lake"

    @property
    def rules_dir(self) -> Path:
        return self.data / "rules"

    @property
    def state_dir(self) -> Path:
        """Checkpoints of the engine."""
        return self.data / "state"


class _CommandLine(PydanticBaseSettingsSource):
    """What `load_settings` was given on top; the highest authority."""

    current: dict[str, Any] = {}  # noqa: RUF012  set for the length of one load

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return self.current.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return {key: value for key, value in self.current.items() if value is not None}


def data_directory(given: Path | None = None) -> Path:
    """The data directory: as given, else `THAP_HOME`, else `./thap-data`."""
    return (given or Path(os.environ.get("THAP_HOME", "thap-data"))).absolute()


def load_settings(data: Path | None = None, **overrides: Any) -> Settings:
    """Read the settings of the centre in `data`.

    Args:
        data: the data directory; see `data_directory` for the default.
        overrides: top-level settings from the command line; None means not given.

    Raises:
        SettingsError: the file is not TOML, or a setting is unknown or out of bounds; the message
            names file, setting and bound.
    """
    home = data_directory(data)
    path = home / "thap.toml"
    body: dict[str, Any] = {}
    if path.exists():
        try:
            body = tomllib.loads(path.read_text("utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"not valid TOML: {error}", where=str(path)) from None
    _CommandLine.current = {**overrides, "data": home}
    try:
        return Settings(**body)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        given = overrides.get(str(first["loc"][0])) is not None
        raise SettingsError(
            f"setting `{name}`: {first['msg']}",
            where=f"--{name.replace('_', '-')}" if given else str(path),
            hint="`thap settings` lists every setting with its bounds",
        ) from None
    finally:
        _CommandLine.current = {}
