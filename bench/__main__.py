"""`python -m bench NAME [--json] [options]`: runs one benchmark, or `all`.

The last line is always one JSON object: {"bench": …, "figures": {…}, "input": …, "peer": …}.
"""

from __future__ import annotations

import importlib
import json
import sys
from datetime import UTC, datetime

from bench.harness import machine

NAMES = (
    "ingest",
    "mqtt",
    "latency",
    "alarms",
    "crash",
    "history",
    "memory",
    "start",
    "detect",
    "places",
    "demo",
    "incidents",
    "races",
    "incident_page",
    "policy",
    "timers",
    "console",
    "map",
    "pixel",
    "queue",
    "fanout",
    "axe",
    "lighthouse",
    "view16",
    "count",
    "vision",
    "tracker",
    "rice",
    "flights",
    "forecast",
    "water",
    "sand",
    "sand_speed",
)


def main() -> int:
    """Run the named benchmark."""
    words = [word for word in sys.argv[1:] if word != "--json"]
    if not words or words[0] in ("-h", "--help") or words[0] not in (*NAMES, "all"):
        sys.stderr.write(f"usage: python -m bench NAME [--json] [options]\nNAME is one of: {', '.join(NAMES)}, all\n")
        return 2
    for name in NAMES if words[0] == "all" else words[:1]:
        module = importlib.import_module(f"bench.{name}")
        result = module.run(words[1:] if words[0] != "all" else [])
        result.setdefault("machine", machine())
        result.setdefault("date", datetime.now(UTC).date().isoformat())
        sys.stdout.write(json.dumps(result, ensure_ascii=False) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
