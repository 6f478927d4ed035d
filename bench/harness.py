"""A real centre in a directory of its own, for benchmarks and end-to-end tests."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from thap.cli.common import RunFile
from thap.kernel.process import die_with_parent

__all__ = ["CentreProcess", "centre", "machine"]


def machine() -> str:
    """The machine in words: processor, cores, memory."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return f"{model}, {os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB"


@dataclass
class CentreProcess:
    """A running `thap up`."""

    data: Path
    options: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    run: RunFile | None = None
    ready_s: float = 0.0

    @property
    def log(self) -> Path:
        return self.data.parent / f"{self.data.name}.log"

    def start(self, timeout_s: float = 240) -> None:
        """Start it and wait until it says it is ready."""
        began = time.monotonic()
        with self.log.open("ab") as log:
            words = ["up", "--data", str(self.data), "--port", "0", "--mqtt-port", "0", *self.options]
            self.process = subprocess.Popen(
                [sys.executable, "-m", "thap", *words],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **self.env},
                preexec_fn=die_with_parent,  # noqa: PLW1509  one system call
            )
        deadline = began + timeout_s
        path = self.data / "run" / "centre.json"
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"thap up ended:\n{self.tail()}")
            with contextlib.suppress(OSError, ValueError, TypeError, httpx.HTTPError):
                run = RunFile(**json.loads(path.read_text()))
                if run.pid == self.process.pid:
                    self.run = run
                    if httpx.get(f"{run.http}/readyz", timeout=2, trust_env=False).status_code == 200:
                        self.ready_s = time.monotonic() - began
                        return
            time.sleep(0.02)
        raise RuntimeError(f"thap up was not ready within {timeout_s} s:\n{self.tail()}")

    def tail(self, lines: int = 40) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-lines:])

    def client(self, **options: Any) -> httpx.Client:
        """An HTTP client signed in as the local administrator."""
        assert self.run is not None
        return httpx.Client(
            base_url=self.run.http,
            headers={"Authorization": f"Bearer {self.run.token}"},
            timeout=60,
            trust_env=False,
            **options,
        )

    def children(self) -> dict[str, psutil.Process]:
        """Role → process, the supervisor as `up` and the stream server as `nats` included."""
        assert self.process is not None
        top = psutil.Process(self.process.pid)
        found = {"up": top}
        for child in top.children(recursive=True):
            with contextlib.suppress(psutil.Error):
                words, name = child.cmdline(), child.name()
                if not words:  # it has just ended
                    continue
                if "nats-server" in words[0]:
                    found["nats"] = child
                elif name.startswith("thap-"):
                    found[name.removeprefix("thap-")] = child
                elif "thap" in words:
                    found[words[words.index("thap") + 1]] = child
        return found

    def system(self) -> dict[str, Any]:
        """`GET /api/v1/system`."""
        with self.client() as client:
            answer = client.get("/api/v1/system")
            answer.raise_for_status()
            return dict(answer.json())

    def stages(self) -> dict[str, dict[str, Any]]:
        """Every stage's figures of its newest heartbeat, by name."""
        return {name: stage for role in self.system()["roles"] for name, stage in role["stages"].items()}

    def query(self, sql: str) -> list[dict[str, Any]]:
        """`thap query` of its data."""
        done = subprocess.run(
            [sys.executable, "-m", "thap", "query", sql, "--json", "--data", str(self.data)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)
        return list(json.loads(done.stdout)["rows"])

    def stop(self) -> None:
        """Stop it as Ctrl-C would."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def kill(self) -> None:
        """kill -9 the supervisor; its children end with it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def centre(*options: str, data: Path | None = None, env: dict[str, str] | None = None) -> Iterator[CentreProcess]:
    """A running centre, in `data` or a temporary directory, stopped at the end."""
    with tempfile.TemporaryDirectory(prefix="thap-bench-", ignore_cleanup_errors=True) as folder:
        made = CentreProcess(data or Path(folder) / "centre", list(options), env or {})
        made.start()
        try:
            yield made
        finally:
            made.stop()
