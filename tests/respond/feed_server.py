"""A small HTTP server on loopback whose answers a test writes itself, byte for byte if need be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

__all__ = ["Answer", "Server", "serving"]


@dataclass
class Answer:
    """What a path answers."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None
    """Content-Length, if it is to be wrong."""
    hang: bool = False
    """Whether it stops after the head and never goes on."""
    repeat: int = 1
    """How often the body is sent."""


@dataclass
class Request:
    """What was asked."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Server:
    """The running server."""

    port: int = 0
    answers: dict[str, Answer | Callable[[Request], Answer]] = field(default_factory=dict)
    asked: list[Request] = field(default_factory=list)

    def url(self, path: str) -> str:
        """Address of a path."""
        return f"http://127.0.0.1:{self.port}{path}"

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            while line := await reader.readline():
                method, path, _ = line.decode().split(" ")
                headers: dict[str, str] = {}
                while (header := await reader.readline()) not in (b"\r\n", b""):
                    name, _, value = header.decode().partition(":")
                    headers[name.lower()] = value.strip()
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                request = Request(method, path, headers, body)
                self.asked.append(request)
                await self._answer(request, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        found = self.answers.get(request.path, Answer(status=404))
        answer = found(request) if callable(found) else found
        length = len(answer.body) * answer.repeat if answer.length is None else answer.length
        told = {"Content-Length": str(length), **answer.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in told.items())
        writer.write(f"HTTP/1.1 {answer.status} X\r\n{head}\r\n".encode())
        if answer.hang:
            await writer.drain()
            await asyncio.Event().wait()
        for _ in range(answer.repeat):
            writer.write(answer.body)
            await writer.drain()
        if answer.length is not None:
            writer.close()


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    """A server for the length of a test."""
    made = Server()
    under_way: set[asyncio.Task[None]] = set()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        under_way.add(asyncio.ensure_future(made.handle(reader, writer)))

    listening = await asyncio.start_server(begin, "127.0.0.1", 0)
    made.port = listening.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        listening.close()
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
