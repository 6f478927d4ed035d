"""The two doors `thap replay` sends through: HTTP with the local token, and the AIS door."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson

from thap.cli.common import RunFile, api, api_json
from thap.cli.replay_items import Item, LogSource, TableSource
from thap.kernel.errors import InputError, ThapError, UnavailableError
from thap.observe.doors.ais import sentence
from thap.observe.kinds import Kind

__all__ = ["AisSender", "HttpSender", "Sent"]

_PATIENCE_S = 120
_AT_ONCE = 1000
_DONE = re.compile(rb"\$PTHAP,DONE,(\d+),(\d+),(\d+),(\d+),(\d+)\*")
_AGAIN = "run the same command again: it goes on where it stopped"


@dataclass(slots=True)
class Sent:
    """What a door did with a batch."""

    accepted: int = 0
    quarantined: int = 0
    rejected: list[tuple[int, str]] = field(default_factory=list)
    """(row of the file, reason); for the AIS door only how many, without reasons."""


class HttpSender:
    """Sends records as NDJSON to `/api/v1/observations` or `/positions`.

    Args:
        source: what is sent; it describes names for admission.
        admit: register unknown names first.
        say: told when the centre makes us wait.
    """

    def __init__(
        self, data: Path | None, source: TableSource | LogSource, *, admit: bool, say: Callable[[str], None]
    ) -> None:
        self._client: httpx.Client = api(data)
        self._source, self._admit, self._say = source, admit, say
        self._path = "/api/v1/observations" if source.kind is Kind.OBSERVATION else "/api/v1/positions"
        self._name = "datastream" if source.kind is Kind.OBSERVATION else "mover"
        self._known: set[str] = set()
        self._told: dict[str, str] = {}

    def send(self, items: list[Item]) -> Sent:
        """Send all records of some rows; returns once they are durable.

        Raises:
            UnavailableError: the centre went away, or had no room for two minutes.
            ThapError: as the door answered.
        """
        sent = Sent()
        rows = [item.row for item in items for _ in item.records]
        records = [record for item in items for record in item.records]
        if self._admit:
            self._register(items, records)
        if not records:
            return sent
        answer = self._post(self._path, b"\n".join(map(orjson.dumps, records)))
        sent.accepted = answer["accepted"]
        sent.rejected = [(rows[refused["index"]], refused["reason"]) for refused in answer["rejected"]]
        waiting = answer.get("quarantined", [])
        sent.quarantined = len(waiting)
        if waiting and self._admit:
            self._admit_waiting({records[index][self._name] for index in waiting})
            sent.accepted, sent.quarantined = sent.accepted + len(waiting), 0
        return sent

    def close(self) -> None:
        self._client.close()

    def _register(self, items: list[Item], records: list[dict[str, Any]]) -> None:
        """Register names seen for the first time, and static data that changed."""
        keys = dict.fromkeys(str(record[self._name]) for record in records if record.get(self._name))
        new = [key for key in keys if key not in self._known]
        things: list[dict[str, Any]] = []
        movers: dict[str, dict[str, Any]] = {}
        if isinstance(self._source, TableSource) and self._source.kind is Kind.OBSERVATION:
            things = self._source.describe([key for key in new if "/" in key])["things"]
        else:
            movers = {key: {"key": key} for key in new}
        for item in items:
            for row in item.movers:
                merged = {**movers.get(row["key"], {}), **row}
                told = repr(sorted(merged.items()))
                if self._told.get(row["key"] + str(sorted(row))) != told:
                    self._told[row["key"] + str(sorted(row))] = told
                    movers[row["key"]] = merged
        listed = list(movers.values())
        try:
            for start in range(0, len(things), _AT_ONCE):
                self._post("/api/v1/things", orjson.dumps({"things": things[start : start + _AT_ONCE], "movers": []}))
            for start in range(0, len(listed), _AT_ONCE):
                self._post("/api/v1/things", orjson.dumps({"things": [], "movers": listed[start : start + _AT_ONCE]}))
        except ThapError as error:
            # A name that cannot be registered is refused by the door too, with its row.
            if isinstance(error, UnavailableError):
                raise
        self._known.update(new)

    def _admit_waiting(self, keys: set[str]) -> None:
        """Names that waited all the same: registered too late for the door, or not at all."""
        listed = sorted(keys)
        for start in range(0, len(listed), _AT_ONCE):
            self._post("/api/v1/quarantine/admit", orjson.dumps({"patterns": listed[start : start + _AT_ONCE]}))

    def _post(self, path: str, body: bytes) -> Any:
        """Post JSON; waits while the centre has no room."""
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                response = self._client.post(
                    path, content=body, headers={"Content-Type": "application/json"}, timeout=_PATIENCE_S
                )
            except httpx.HTTPError as error:
                raise UnavailableError(f"the centre stopped answering ({type(error).__name__})", hint=_AGAIN) from None
            if response.status_code == 413:
                raise InputError("the door takes no body as large as this batch", hint="give a smaller --batch")
            if response.status_code != 503:
                return api_json(response)
            try:
                api_json(response)
            except ThapError as error:
                if time.monotonic() > deadline:
                    raise UnavailableError(error.message, hint=_AGAIN) from None
                self._say(f"waiting: {error.message}")
                time.sleep(1)


class AisSender:
    """Sends sentences to the AIS door over TCP, as a receiver would, and asks what became of them."""

    def __init__(self, run: RunFile, host: str) -> None:
        self._where = f"{host}:{run.ais_tcp}"
        try:
            self._socket = socket.create_connection((host, run.ais_tcp), 10)
        except OSError as error:
            raise UnavailableError(
                f"the AIS door does not answer: {error}",
                where=self._where,
                hint="`thap doctor` says what is down; --door http goes another way",
            ) from None
        self._socket.settimeout(_PATIENCE_S)
        self._number = 0
        self._total = (0, 0, 0)
        self._rest = b""

    def send(self, items: list[Item]) -> Sent:
        """Send the sentences of some rows; returns once what they told is durable.

        Raises:
            UnavailableError: the door went away, or had no room for two minutes.
        """
        self._number += 1
        try:
            self._socket.sendall(b"".join(item.sentence for item in items) + sentence(f"PTHAP,SYNC,{self._number}"))
            while True:
                found = _DONE.search(self._rest)
                if found is not None and int(found[1]) == self._number:
                    break
                self._rest = self._rest[found.end() :] if found else self._rest
                data = self._socket.recv(4096)
                if not data:
                    raise ConnectionError("it closed the connection")
                self._rest += data
        except OSError as error:
            raise UnavailableError(f"the AIS door stopped answering: {error}", where=self._where, hint=_AGAIN) from None
        accepted, quarantined, rejected = (int(found[place]) for place in (2, 3, 4))
        self._rest = self._rest[found.end() :]
        before, self._total = self._total, (accepted, quarantined, rejected)
        return Sent(
            accepted - before[0],
            quarantined - before[1],
            [(items[-1].row, "see `thap dead-letters list --door ais`")] * (rejected - before[2]),
        )

    def close(self) -> None:
        self._socket.close()
