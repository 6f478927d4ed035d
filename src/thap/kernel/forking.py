"""Children forked from a server process that has loaded what all of them need.

Loading Python and the libraries takes each role more than a second of one core; forked from a server that
has loaded them once, roles stand in milliseconds and share its memory. The server is the standard library's
(`multiprocessing.forkserver`): it runs no thread of Python's and no event loop, so nothing is lost in a fork.
It ends with the supervisor, and children end with it, however either ends. A server that was killed is
started anew with the next child.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path

from thap.kernel.process import die_with_parent, name_process
from thap.kernel.supervisor import Child

__all__ = ["ForkedChild"]

_context = multiprocessing.get_context("forkserver")


class _Process:
    """A forked process with the methods of `subprocess.Popen` that the supervisor uses."""

    def __init__(self, process: BaseProcess) -> None:
        self._process = process
        self._asking = threading.Lock()  # the status is read from a pipe, once

    @property
    def pid(self) -> int:
        return int(self._process.pid or 0)

    def poll(self) -> int | None:
        with self._asking:
            return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        deadline = None if timeout is None else time.monotonic() + timeout
        while (status := self.poll()) is None:
            left = 3600.0 if deadline is None else deadline - time.monotonic()
            if left <= 0:
                raise subprocess.TimeoutExpired(self._process.name, timeout or 0)
            multiprocessing.connection.wait([self._process.sentinel], left)
        return status

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()


@dataclass
class ForkedChild(Child):
    """A role that runs a function of this program instead of a command."""

    target: Callable[[str, list[str], dict[str, str]], None] = lambda _role, _words, _environment: None
    """Called in the child with role, `command` and the environment; it must be importable by name."""

    def start(self, log_file: Path | None = None) -> None:
        """Fork the process; its output goes where this process's goes.

        Raises:
            OSError: the server cannot be started.
        """
        assert log_file is None, "a forked child writes where its server does"
        process = _context.Process(
            target=_begin,
            args=(self.target, self.role, self.command, dict(os.environ), os.getpid()),
            name=f"thap-{self.role}",
            daemon=True,
        )
        process.start()
        self.process = _Process(process)
        self.started = self.heard = time.monotonic()
        self.stuck.clear()


def _begin(
    target: Callable[[str, list[str], dict[str, str]], None],
    role: str,
    words: list[str],
    environment: dict[str, str],
    supervisor: int,
) -> None:
    """In the child."""
    die_with_parent()
    # What keeps the server up is the supervisor alone. A child is given the same, for children of its own.
    held: int | None = getattr(forkserver._forkserver, "_forkserver_alive_fd")  # noqa: B009
    if held is not None:
        os.close(held)
    with contextlib.suppress(PermissionError):
        os.setsid()
    name_process(f"thap-{role}")
    try:
        os.kill(supervisor, 0)
    except ProcessLookupError:  # it ended while this was forked
        sys.exit(1)
    target(role, words, environment)
