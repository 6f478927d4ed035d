"""Make the README's pictures in docs/images from a running centre: `make run` in one terminal, this in another.

    .venv/bin/python docs/make_screenshots.py [--data DIR]

It waits until some alarms are open, at most ten minutes.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
from playwright.sync_api import Browser, sync_playwright

from thap.cli.common import RunFile, read_run_file
from thap.kernel.settings import load_settings

IMAGES = Path(__file__).parent / "images"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
VIEWS = (
    ("page", 1440, 900, "dark", "vi"),
    ("page-light", 1440, 900, "light", "en"),
    ("page-phone", 390, 844, "dark", "vi"),
)


def wait_for_alarms(run: RunFile, wanted: int = 4) -> None:
    """Until that many alarms are open, or ten minutes are over."""
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        answer = httpx.get(
            f"{run.http}/api/v1/alarms",
            headers={"Authorization": f"Bearer {run.token}"},
            params={"state": "unacknowledged", "limit": 100},
            trust_env=False,
        )
        if answer.is_success and answer.json()["total"] >= wanted:
            return
        time.sleep(2)
    raise SystemExit(f"fewer than {wanted} alarms were raised in ten minutes; is it a demo? `thap up --demo`")


def photograph(browser: Browser, run: RunFile) -> None:
    """The page in its views."""
    for name, width, height, theme, language in VIEWS:
        context = browser.new_context(viewport={"width": width, "height": height})
        page = context.new_page()
        page.add_init_script(
            f"localStorage.setItem('thap-theme', '{theme}');localStorage.setItem('thap-language', '{language}')"
        )
        page.goto(f"{run.http}/?key={run.token}")
        page.wait_for_selector("#link[data-state=live]")
        page.wait_for_selector("#alarms-list li")
        page.wait_for_timeout(20_000 if name == "page" else 5_000)  # the curves of the last minute need some of it
        page.screenshot(path=IMAGES / f"{name}.png")
        context.close()
        print(f"docs/images/{name}.png")


def main() -> None:
    """All pictures."""
    parser = argparse.ArgumentParser(description="Make the README's pictures from a running demo.")
    parser.add_argument("--data", type=Path, help="data directory of the running centre")
    data: Path | None = parser.parse_args().data
    run = read_run_file(load_settings(data))
    program = shutil.which("chromium")
    if program is None:
        raise SystemExit("chromium is not installed: sh tests/e2e/need-chromium.sh")
    IMAGES.mkdir(exist_ok=True)
    wait_for_alarms(run)
    words = [sys.executable, "-m", "thap", "watch", "--svg", str(IMAGES / "watch.svg")]
    subprocess.run([*words, *(["--data", str(data)] if data else [])], check=True)
    with tempfile.TemporaryDirectory() as profile, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS, env={"HOME": profile})
        photograph(browser, run)
        browser.close()


if __name__ == "__main__":
    main()
