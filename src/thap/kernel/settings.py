"""Settings of a centre: `thap.toml` in its data directory, then `THAP_…` variables, then the command line.

Every setting has a title (its docstring-like `description`) and bounds, so `thap settings` and the
documentation are made from this file.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from thap.kernel.errors import SettingsError

__all__ = [
    "AisSettings",
    "DoorSettings",
    "EngineSettings",
    "HistorySettings",
    "JournalSettings",
    "Settings",
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
        raise SettingsError(
            f"setting `{name}`: {first['msg']}",
            where=str(path),
            hint="`thap settings` lists every setting with its bounds",
        ) from None
    finally:
        _CommandLine.current = {}
