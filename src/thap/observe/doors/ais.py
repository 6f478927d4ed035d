"""The AIS door: NMEA sentences from receivers over TCP (connecting or listening) and UDP.

A receiver cannot sign in, so the door knows its peers by address (`doors.ais.allow`).

A TCP peer that wants to know what became of its sentences may send the proprietary sentence
`$PTHAP,SYNC,<n>*hh`; when everything before it is durable the door answers
`$PTHAP,DONE,<n>,<accepted>,<quarantined>,<rejected>,<broken>*hh`, totals of the connection.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

import numpy as np
import structlog
from sqlalchemy.exc import SQLAlchemyError

from thap.kernel.clock import now_us
from thap.kernel.errors import BusyError, SettingsError, UnavailableError
from thap.kernel.settings import AisSettings
from thap.observe.intake import Intake
from thap.observe.nmea import AisBatch, AisDecoder, checksum

__all__ = ["PRIVATE_NETWORKS", "AisDecoder", "AisDoor", "sentence"]

DOOR = "ais"
PRIVATE_NETWORKS = ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7")

_log = structlog.get_logger(__name__)
_READ = 256 * 1024
"""What comes while the journal writes is taken in one go: the busier a peer, the larger its batches."""
_SLICE = 16 * 1024
_PEERS_MAX = 64
_DATAGRAMS_MAX = 4096
_DESCRIBED_MAX = 200_000
_DESCRIBE_S = 2.0
_NEWS_MAX = 1000
_RETRY_S = (0.2, 0.5, 1.0, 2.0, 5.0)
_SYNC = re.compile(rb"\$PTHAP,SYNC,(\d{1,12})\*([0-9A-F]{2})\r?\n")


def sentence(body: str) -> bytes:
    """A proprietary NMEA sentence with this body, as it goes over the line."""
    return f"${body}*{checksum(body.encode()):02X}\r\n".encode()


class AisDoor:
    """Receives AIS and hands positions and static data to the intake.

    A connection is read no faster than the intake takes its records, so when the journal has no room the
    peer waits; datagrams that find no room are counted as `udp_dropped`.
    """

    def __init__(
        self, intake: Intake, settings: AisSettings, host: str, *, allow: Sequence[str] = PRIVATE_NETWORKS
    ) -> None:
        self._intake = intake
        self._settings = settings
        self._host = host
        try:
            self._allow: list[IPv4Network | IPv6Network] = [ip_network(network) for network in allow]
        except ValueError as error:
            raise SettingsError(f"setting `doors.ais.allow`: {error}", hint="write 192.168.1.0/24") from None
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._udp: asyncio.DatagramTransport | None = None
        self._described: dict[str, int] = {}
        self._news: list[dict[str, Any]] = []
        self._peers = 0
        self.tcp_port = 0
        """The TCP port it listens on, 0 for none; known after `start`."""
        self.udp_port = 0

    async def start(self) -> None:
        """Open the listeners and begin to connect.

        Raises:
            BusyError: a port is taken.
            SettingsError: an address to connect to is not host:port.
        """
        targets = [_address(target) for target in self._settings.connect]
        try:
            if self._settings.tcp_port is not None:
                self._server = await asyncio.start_server(
                    self._accept, self._host, self._settings.tcp_port, limit=_READ
                )
                self.tcp_port = self._server.sockets[0].getsockname()[1]
            if self._settings.udp_port is not None:
                await self._listen_udp(self._settings.udp_port)
        except OSError as error:
            await self.stop()
            raise BusyError(
                f"an AIS port cannot be used: {error.strerror or error}",
                hint="choose another for doors.ais.tcp_port or udp_port, or 0 for a free one",
            ) from None
        self._spawn(self._describe_now_and_then())
        for host, port in targets:
            self._spawn(self._connect(host, port))

    async def stop(self) -> None:
        """Close everything; records already read are still handed over or left with their sender."""
        if self._server is not None:
            self._server.close()
        if self._udp is not None:
            self._udp.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._server = self._udp = None

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # TCP
    async def _connect(self, host: str, port: int) -> None:
        attempt = 0
        where = f"{host}:{port}"
        while True:
            try:
                async with asyncio.timeout(10):
                    reader, writer = await asyncio.open_connection(host, port, limit=_READ)
            except OSError as error:
                if attempt == 0:
                    _log.warning("AIS server does not answer", peer=where, error=str(error))
                self._intake.count(DOOR, "connect_failed")
            else:
                _log.info("connected to AIS server", peer=where)
                attempt = 0
                await self._read(reader, None, where)
                writer.close()
                _log.warning("AIS server closed the connection", peer=where)
            await asyncio.sleep(_RETRY_S[min(attempt, len(_RETRY_S) - 1)])
            attempt += 1

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")
        if not self._welcome(peer) or self._peers >= _PEERS_MAX:
            self._intake.count(DOOR, "refused_peers")
            _log.warning("AIS peer refused", peer=str(peer[0]) if peer else "")
            writer.close()
            return
        self._peers += 1
        self._spawn(self._serve(reader, writer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._read(reader, writer, str(writer.get_extra_info("peername")))
        finally:
            self._peers -= 1
            writer.close()

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter | None, where: str) -> None:
        """Read a connection to its end, however it ends."""
        try:
            await self._read_on(reader, writer)
        except OSError as error:
            _log.info("AIS connection lost", peer=where, error=str(error))
        except Exception:
            self._intake.count(DOOR, "failed")
            _log.exception("reading AIS failed", peer=where)

    async def _read_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter | None) -> None:
        decoder = AisDecoder()
        total: Counter[str] = Counter()
        tail = b""
        while data := await reader.read(_READ):
            batch = AisBatch()
            for start in range(0, len(data), _SLICE):
                batch.extend(decoder.feed(data[start : start + _SLICE], now_us()))
                await asyncio.sleep(0)  # other doors share this process
            await self._take(batch, total)
            if writer is not None:
                tail += data
                last = None
                for last in _SYNC.finditer(tail):
                    if int(last[2], 16) == checksum(last[0][1 : last[0].index(b"*")]):
                        await self._describe()
                        writer.write(_done(last[1], total))
                tail = tail[last.end() if last else max(0, len(tail) - 64) :]
                await writer.drain()
        await self._take(decoder.finish(now_us()), total)

    # UDP
    async def _listen_udp(self, port: int) -> None:
        queue: asyncio.Queue[tuple[bytes, str]] = asyncio.Queue(_DATAGRAMS_MAX)
        door = self

        class Protocol(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, peer: tuple[str | Any, int]) -> None:
                if not door._welcome(peer):
                    door._intake.count(DOOR, "refused_peers")
                    return
                try:
                    queue.put_nowait((data, str(peer[0])))
                except asyncio.QueueFull:
                    door._intake.count(DOOR, "udp_dropped")

        self._udp, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            Protocol, local_addr=(self._host, port)
        )
        self.udp_port = self._udp.get_extra_info("sockname")[1]
        self._spawn(self._drain(queue))

    async def _drain(self, queue: asyncio.Queue[tuple[bytes, str]]) -> None:
        """Decode what waits, many datagrams to one hand-over: one alone would pay a journal write each."""
        decoders: dict[str, AisDecoder] = {}
        while True:
            waiting = [await queue.get()]
            while not queue.empty() and len(waiting) < 500:
                waiting.append(queue.get_nowait())
            batch = AisBatch()
            now = now_us()
            for data, peer in waiting:
                if peer not in decoders and len(decoders) >= _PEERS_MAX:
                    decoders.pop(next(iter(decoders)))
                batch.extend(decoders.setdefault(peer, AisDecoder()).datagram(data, now))
            try:
                await self._take(batch, Counter())
            except Exception:
                self._intake.count(DOOR, "failed")
                _log.exception("AIS datagrams lost", count=len(waiting))

    def _welcome(self, peer: Any) -> bool:
        try:
            address = ip_address(str(peer[0]).partition("%")[0])
        except (ValueError, TypeError, IndexError):
            return False
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in network for network in self._allow if network.version == address.version)

    # To the intake
    async def _take(self, batch: AisBatch, total: Counter[str]) -> None:
        """Hand a batch over; waits for as long as the journal cannot take it."""
        for what, number in batch.counts.items():
            if number:
                self._intake.count(DOOR, what, number)
                if what in ("bad_checksum", "malformed", "incomplete", "bad_mmsi"):
                    total["broken"] += number
        attempt = 0
        while len(batch):
            try:
                receipt = await self._intake.positions(
                    DOOR,
                    batch.keys,
                    np.array(batch.times, np.int64),
                    np.array(batch.lons),
                    np.array(batch.lats),
                    np.array(batch.speeds_kn, np.float64),
                    np.array(batch.courses_deg, np.float64),
                    batch.raw,
                )
            except (UnavailableError, SQLAlchemyError) as error:
                if attempt == 0:
                    _log.warning("AIS waits for the journal", error=str(error))
                self._intake.count(DOOR, "waits")
                await asyncio.sleep(_RETRY_S[min(attempt, len(_RETRY_S) - 1)])
                attempt += 1
                continue
            total["accepted"] += receipt.accepted
            total["quarantined"] += len(receipt.quarantined)
            total["rejected"] += len(receipt.rejected)
            break
        self._news += [row for row in batch.statics if self._is_news(row)]
        if len(self._news) >= _NEWS_MAX:
            await self._describe()

    async def _describe(self) -> None:
        """Hand static data over: seldom, since every change makes the centre read its registry again."""
        news, self._news = self._news, []
        if not news:
            return
        try:
            await self._intake.describe_movers(news)
        except Exception as error:
            self._described.clear()  # vessels repeat themselves every six minutes
            _log.warning("static data of vessels not kept", error=str(error))

    async def _describe_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(_DESCRIBE_S)
            await self._describe()

    def _is_news(self, row: dict[str, Any]) -> bool:
        """Whether a vessel tells something else than the last time; it repeats itself every six minutes."""
        key = f"{row['key']} {'name' in row}{'properties' in row}"
        value = hash(repr(row))
        if self._described.get(key) == value:
            return False
        if len(self._described) >= _DESCRIBED_MAX:
            self._described.clear()
        self._described[key] = value
        return True


def _address(target: str) -> tuple[str, int]:
    host, _, port = target.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise SettingsError(f"setting `doors.ais.connect`: {target!r} is not an address", hint="write host:port")
    return host.strip("[]"), int(port)


def _done(number: bytes, total: Counter[str]) -> bytes:
    return sentence(
        f"PTHAP,DONE,{int(number)},{total['accepted']},{total['quarantined']},{total['rejected']},{total['broken']}"
    )
