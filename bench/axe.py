"""axe-core on every screen of the console and its public pages, before a demo province that runs.

Each is looked at four times: at 1440 px in the dark in Vietnamese, at 1440 px in the light in English, at 390 px in the
dark in English and at 320 px in the light in Vietnamese.

- `axe.violations`: what axe-core's own rules find (WCAG 2.1 A and AA, and best practices), all screens together.
- `axe.sideways`: screens that scroll sideways as a whole.

Beside them stand how many pages were looked at, and what was found where. There is no peer.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import httpx

from bench.browser import browser
from bench.harness import centre
from bench.screens import bring_up, screens_of, wait_for_alarms

__all__ = ["run"]

_WAYS = (
    (1440, "dark", "vi"),
    (1440, "light", "en"),
    (390, "dark", "en"),
    (320, "light", "vi"),
)


def run(arguments: list[str]) -> dict[str, Any]:
    """One run.

    Raises:
        RuntimeError: a screen does not come.
    """
    from axe_playwright_python.sync_playwright import Axe

    parser = argparse.ArgumentParser(prog="python -m bench axe")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME")
    given = parser.parse_args(arguments)
    pages, found, sideways = 0, list[str](), list[str]()
    with centre("--demo") as made, browser() as started:
        assert made.run is not None
        wait_for_alarms(made.run)
        with made.client() as api:
            api.timeout = httpx.Timeout(30)
            screens = [one for one in screens_of(api) if not given.only or one.name in given.only]
        for width, theme, language in _WAYS:
            for signed_in in (True, False):
                context = started.new_context(viewport={"width": width, "height": 900})
                page = context.new_page()
                page.add_init_script(
                    f"localStorage.setItem('thap-theme', '{theme}');localStorage.setItem('thap-language', '{language}')"
                )
                if signed_in:
                    page.goto(f"{made.run.http}/?key={made.run.token}")
                for screen in screens:
                    if screen.signed_in is not signed_in:
                        continue
                    bring_up(page, made.run.http, screen, language)
                    pages += 1
                    where = f"{screen.name} {width} {theme} {language}"
                    answer = Axe().run(page)
                    for violation in answer.response["violations"]:
                        targets = [str(node["target"][0]) for node in violation["nodes"]]
                        found += [f"{where}: {violation['id']} {target}" for target in targets]
                    if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                        sideways.append(where)
                    sys.stderr.write(f"\r{pages} pages, {len(found)} violations ")
                context.close()
    sys.stderr.write("\n")
    for one in (*found, *(f"{where}: sideways" for where in sideways)):
        sys.stderr.write(f"{one}\n")
    return {
        "bench": "axe",
        "figures": {"violations": len(found), "sideways": len(sideways), "pages": pages},
        "input": f"{len(screens)} screens of the demo province, each in {len(_WAYS)} ways",
        "peer": None,
    }
