"""What a browser has to fetch of script before the console works: the sign-in page, and the desk without its map."""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path
from typing import Any

from bench.browser import browser, open_console
from bench.harness import centre
from thap.web.console import DIST

__all__ = ["run"]

_LATER = ("src/lib/map/", "maplibre", "uplot", "echarts", "terra-draw")


def _later(manifest: dict[str, dict[str, Any]]) -> set[str]:
    """Files that come with the map or a chart and with nothing else of the first load."""

    def closure(key: str, seen: set[str]) -> set[str]:
        if key in seen or key not in manifest:
            return seen
        seen.add(key)
        for other in manifest[key].get("imports", []):
            closure(other, seen)
        return seen

    first = closure("index.html", set())
    for key in manifest:
        if "screens/watch" in key:
            closure(key, first)
    late: set[str] = set()
    for key, entry in manifest.items():
        if any(word in key or word in entry.get("name", "") for word in _LATER):
            closure(key, late)
    return {Path(manifest[key]["file"]).name for key in late - first}


def run(argv: list[str]) -> dict[str, Any]:
    """Run it; no options."""
    argparse.ArgumentParser(prog="bench console").parse_args(argv)
    manifest = json.loads((DIST / ".vite" / "manifest.json").read_text())
    late = _later(manifest)
    asked: list[str] = []

    def size(names: list[str]) -> float:
        files = [DIST / "assets" / name for name in dict.fromkeys(names)]
        return sum(len(gzip.compress(file.read_bytes(), 6)) for file in files if file.exists()) / 1000

    with centre() as up, browser() as started:
        assert up.run is not None
        page = started.new_context().new_page()
        page.on("request", lambda sent: asked.append(sent.url))
        page.goto(up.run.http)
        page.wait_for_selector("#sign-login")
        sign_in = [url.rpartition("/")[2] for url in asked if url.endswith(".js") and "/assets/" in url]
        asked.clear()
        context = started.new_context(viewport={"width": 1440, "height": 900})
        context.on("request", lambda sent: asked.append(sent.url))
        open_console(started, up, context=context).wait_for_timeout(4000)
        desk = [url.rpartition("/")[2] for url in asked if url.endswith(".js") and "/assets/" in url]
    return {
        "bench": "console",
        "figures": {
            "first_load_kb_gzip": round(size([name for name in desk if name not in late]), 1),
            "sign_in_kb_gzip": round(size(sign_in), 1),
            "with_map_kb_gzip": round(size(desk), 1),
        },
        "input": "scripts that a browser without cache fetches for the desk (/), those of map and charts apart; "
        "gzip level 6",
        "peer": None,
    }
