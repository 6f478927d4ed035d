"""The process that roles are forked from; light, so that it can be started before anything else is loaded."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable
from multiprocessing import forkserver

__all__ = ["start_server"]


def start_server(modules: Iterable[str]) -> None:
    """Start it, which loads `modules` meanwhile; returns at once. Where it runs already, nothing happens.

    Raises:
        OSError: no process can be started.
    """
    multiprocessing.get_context("forkserver").set_forkserver_preload(list(modules))
    forkserver.ensure_running()
