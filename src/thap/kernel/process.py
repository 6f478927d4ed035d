"""What a child process asks of the kernel."""

from __future__ import annotations

import ctypes
import signal

__all__ = ["die_with_parent", "name_process"]

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent() -> None:
    """End this process when its parent ends, however that ends; runs in the child between fork and exec."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def name_process(name: str) -> None:
    """Give this process the name that `ps` and `top` show, at most 15 bytes of it."""
    _libc.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)
