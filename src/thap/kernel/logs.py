"""Logs: one line an event on standard error, as text or JSON.

Each line has the moment (UTC), the role of the process, the level, what happened, and what the code bound to
it: `request` while an HTTP request is answered, `record`, `seq` or `door` where a record is concerned. What the
standard library and uvicorn log goes the same way.
"""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from thap.kernel.settings import Settings

__all__ = ["configure_logs"]

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure_logs(settings: Settings, role: str, stream: TextIO | None = None) -> None:
    """Send this process's logs to standard error.

    Args:
        settings: `log_level` and `log_format`.
        role: of the process, as `gateway`; stands in each line.
        stream: another place than standard error.
    """
    target = stream if stream is not None else sys.stderr
    level = _LEVELS[settings.log_level]

    def add_role(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event.setdefault("role", role)
        return event

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        add_role,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    last: list[Processor]
    if settings.log_format == "json":
        last = [structlog.processors.dict_tracebacks, structlog.processors.EventRenamer("event"), _json]
    else:
        last = [
            structlog.dev.ConsoleRenderer(
                colors=target.isatty(), pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
            )
        ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
        logger.setLevel(max(level, logging.WARNING))  # its own start-up chatter is said once, by `thap up`
    for name in ("httpx", "httpcore", "nats", "asyncio", "aiosqlite", "alembic"):
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
    logging.captureWarnings(True)


def _json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """One line of JSON; what JSON does not know is written as text."""
    first = {name: event.pop(name) for name in ("timestamp", "level", "role", "event") if name in event}
    return orjson.dumps({**first, **event}, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
