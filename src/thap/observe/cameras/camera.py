"""What a camera is to whoever reads it; apart from its records, so that a process that looks at one starts soon."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Camera"]


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera as it is configured. Credentials are sealed and not part of its representation."""

    thing_id: int
    name: str
    title: str = ""
    domain: str = "traffic"
    lon: float | None = None
    lat: float | None = None
    commune: str = ""
    address: str = ""
    secret: str = field(default="", repr=False)
    trusted: bool = False
    enabled: bool = True
    transport: str = "tcp"
    loop: bool = False
    fps: float = 5.0
    onvif: str = ""
    before_s: float = 8.0
    after_s: float = 12.0
    keep_days: int = 30
    disk_mib: int = 2048
    scene: dict[str, Any] = field(default_factory=dict)
    plates: bool = False
    version: int = 1
    changed: int = 0
    changed_by: str = ""

    @property
    def connection(self) -> tuple[Any, ...]:
        """What a reader must be begun anew for when it changes."""
        return (self.address, self.secret, self.transport, self.loop, self.fps, self.trusted, self.before_s)
