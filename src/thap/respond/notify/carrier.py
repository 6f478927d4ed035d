"""Carries a message to a channel by Apprise, which is loaded when the first message goes out.

A channel `file:///folder/{address}.txt` needs no service: messages are written there, and nothing leaves the machine.
That is how the demo province and a trial are told of.
"""

from __future__ import annotations

import asyncio
import logging
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from thap.kernel.errors import InputError
from thap.kernel.settings import NotifySettings

if TYPE_CHECKING:
    from apprise import Apprise

__all__ = ["Carrier", "Outcome", "target"]

_TOLD = ("WARNING", "ERROR", "CRITICAL")
_FILE = "file://"
_MAIL = re.compile(r"[^\s@<>,;:\"()\[\]\\]{1,64}@[A-Za-z0-9.-]{1,190}")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one message."""

    ok: bool
    error: str = ""
    final: bool = False
    """Another try cannot do better: the channel or address is none."""


def target(settings: NotifySettings, channel: str, address: str) -> str:
    """The Apprise URL of an address on a channel; `channel` is '' where the address is such a URL.

    Raises:
        InputError: the centre has no such channel, or the address is not one.
    """
    if not channel:
        return address
    template = settings.channels.get(channel)
    if template is None:
        raise InputError(f"the centre has no channel {channel!r}", hint="set notify.channels in thap.toml")
    url = template.get_secret_value()
    if not address.strip() or any(ord(letter) < 32 for letter in address):
        raise InputError("the address is empty, or has control characters", where=channel)
    if url.startswith("mailto") and not _MAIL.fullmatch(address):
        raise InputError("this is no e-mail address", where=channel)
    return url.replace("{address}", quote(address, safe=""))


class Carrier:
    """Sends messages, some at a time, each in a thread: services are slow and their clients block."""

    def __init__(self, settings: NotifySettings) -> None:
        self._settings = settings
        self._threads: ThreadPoolExecutor | None = None
        self._asset: Any = None

    async def send(self, channel: str, address: str, title: str, body: str) -> Outcome:
        """Send one message; never raises for what a service does."""
        try:
            url = target(self._settings, channel, address)
        except InputError as error:
            return Outcome(False, str(error), final=True)
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self._settings.parallel, "thap-notices")
        loop = asyncio.get_running_loop()
        outcome = await loop.run_in_executor(self._threads, self._send, url, title, body)
        # What is kept of a failure names nobody: an address may be a citizen's.
        return replace(outcome, error=outcome.error.replace(address, "…")) if outcome.error else outcome

    def close(self) -> None:
        """Begin no message that waits; one sent later opens its threads anew."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None

    def _send(self, url: str, title: str, body: str) -> Outcome:
        if url.startswith(_FILE):
            return _write(url, title, body)
        import apprise

        service = self._service()
        if not service.add(url):
            return Outcome(False, "no service takes such an address: see the channel in thap.toml", final=True)
        try:
            result = service.notify(
                body=body,
                title=title,
                body_format=apprise.NotifyFormat.TEXT,
                timeout=self._settings.timeout_s,
                log_level=logging.DEBUG,  # what a server answered is told at this level only
            )
        except Exception as error:  # a plugin's own fault is no reason to stop sending
            return Outcome(False, f"{type(error).__name__}: {error}"[:500])
        if result:
            return Outcome(True)
        said = [
            str(entry.message) for entry in result.logs() if entry.level in _TOLD or "Exception" in str(entry.message)
        ]
        if result.status == apprise.AppriseResultStatus.TIMEOUT:
            said.append(f"no answer within {self._settings.timeout_s:g} s")
        return Outcome(False, ("; ".join(said) or "the service did not take it")[:500])

    def _service(self) -> Apprise:
        import apprise

        if self._asset is None:
            logging.getLogger("apprise").propagate = False  # it names addresses; what it says is in the outcome
            self._asset = apprise.AppriseAsset(
                app_id="Thap",
                app_desc="Thap",
                app_url="",
                storage_mode=apprise.PersistentStoreMode.MEMORY,
                http_redirects=False,
                pgp_autogen=False,
                pem_autogen=False,
                secure_logging=True,
                service_timeout=self._settings.timeout_s,
            )
        return apprise.Apprise(asset=self._asset)


def _write(url: str, title: str, body: str) -> Outcome:
    """Append a message to the file of an address."""
    folder, _, name = url.removeprefix(_FILE).rpartition("/")
    path = Path(unquote(folder)) / name  # an address stays quoted: it names a file and no other folder
    if not path.is_absolute() or set(name) <= {"."}:
        return Outcome(False, "write the channel as file:///folder/{address}.txt", final=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{title}\n{body}\n\n")
    except OSError as error:
        return Outcome(False, f"{path.parent}: {error.strerror}")
    return Outcome(True)
