"""Logs: each line says when, who, how bad and what."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from thap.kernel.logs import configure_logs
from thap.kernel.settings import Settings


@pytest.fixture(autouse=True)
def put_back() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    levels = {name: logging.getLogger(name).level for name in ("httpx", "httpcore", "nats", "asyncio", "aiosqlite")}
    said_where = structlog.get_config()
    yield
    root.handlers = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    logging.captureWarnings(False)
    structlog.configure(**said_where)


def written(settings: Settings, **changes: str) -> list[str]:
    stream = io.StringIO()
    configure_logs(settings.model_copy(update=changes), "engine", stream)
    log = structlog.get_logger("thap.test")
    log.debug("too small")
    with structlog.contextvars.bound_contextvars(request="abc"):
        log.info("took a block", seq=7, door="http")
    logging.getLogger("some.library").warning("be careful: %s", "now")
    try:
        raise ValueError("broken\nin two lines")
    except ValueError:
        log.exception("failed")
    return stream.getvalue().splitlines()


def test_json_lines_can_be_read_by_machines(settings: Settings) -> None:
    lines = [json.loads(line) for line in written(settings, log_format="json")]
    assert [(line["level"], line["event"]) for line in lines] == [
        ("info", "took a block"),
        ("warning", "be careful: now"),
        ("error", "failed"),
    ]
    assert all(line["role"] == "engine" and line["timestamp"].endswith("Z") for line in lines)
    assert (lines[0]["request"], lines[0]["seq"], lines[0]["door"]) == ("abc", 7, "http")
    assert lines[2]["exception"][0]["exc_value"] == "broken\nin two lines"


def test_text_lines_can_be_read_by_people_and_have_no_colours_in_files(settings: Settings) -> None:
    text = "\n".join(written(settings))
    assert "took a block" in text and "role=engine" in text and "request=abc" in text and "seq=7" in text
    assert "be careful: now" in text and "ValueError: broken" in text
    assert "\x1b" not in text and "too small" not in text


@pytest.mark.parametrize(("level", "count"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_the_level_says_what_is_left_out(settings: Settings, level: str, count: int) -> None:
    lines = [json.loads(line) for line in written(settings, log_format="json", log_level=level)]
    assert len(lines) == count
