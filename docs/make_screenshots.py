"""Make the pictures in docs/images: every screen, in both languages, at desk, wall and phone size.

    .venv/bin/python docs/make_screenshots.py [--data DIR] [--only NAME…] [--sizes desk,wall,phone]
                                        [--theme dark|light] [--to DIR]

Without `--data` it starts a demo province of its own and stops it afterwards. It waits until some alarms are open, at
most ten minutes. Pictures have 256 colours, which is enough for screens and a quarter of the size.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path

import httpx
from PIL import Image
from playwright.sync_api import Browser, Error, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench.harness import centre
from bench.screens import Shot, bring_up, screens_of, wait_for_alarms

from thap.cli.common import RunFile, read_run_file
from thap.kernel.settings import load_settings

IMAGES = Path(__file__).parent / "images"
FLAGS = [
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SIZES = {"desk": (1440, 900), "wall": (1920, 1080), "phone": (390, 844)}
LANGUAGES = ("vi", "en")


def _keep(picture: bytes, target: Path) -> None:
    with Image.open(io.BytesIO(picture)) as image:
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(target, optimize=True)


def photograph(
    browser: Browser, run: RunFile, wanted: list[Shot], sizes: list[str], *, languages: list[str], theme: str, to: Path
) -> list[str]:
    """Take them; gives what went wrong on the pages."""
    faults: list[str] = []
    for language in languages:
        for size in sizes:
            width, height = SIZES[size]
            for signed_in in (True, False):
                context = browser.new_context(viewport={"width": width, "height": height}, locale=f"{language}")
                page = context.new_page()
                page.on("pageerror", lambda error: faults.append(str(error)))
                page.add_init_script(
                    f"localStorage.setItem('thap-theme', '{theme}');"
                    f"localStorage.setItem('thap-language', '{language}');"
                    "localStorage.setItem('thap-sound', 'false')"
                )
                if signed_in:
                    page.goto(f"{run.http}/?key={run.token}")
                for shot in wanted:
                    if shot.signed_in is not signed_in:
                        continue
                    try:
                        bring_up(page, run.http, shot, language)
                    except Error as error:
                        faults.append(f"{shot.name}: {str(error).splitlines()[0]}")
                    _keep(page.screenshot(), to / f"{shot.name}-{size}-{language}.png")
                    sys.stdout.write(f"\r{language} {size:<6} {shot.name:<20}")
                    sys.stdout.flush()
                context.close()
    sys.stdout.write("\n")
    return faults


def main() -> int:
    """Start what is needed, take the pictures, say what went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of a centre that runs; else one is started")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME")
    parser.add_argument("--sizes", default="desk,wall,phone")
    parser.add_argument("--languages", default=",".join(LANGUAGES))
    parser.add_argument("--theme", choices=("dark", "light"), default="dark")
    parser.add_argument("--to", type=Path, default=IMAGES, help="folder of the pictures; docs/images if not given")
    given = parser.parse_args()
    program = shutil.which("chromium")
    if program is None:
        raise SystemExit("chromium is not installed: sh tests/e2e/need-chromium.sh")
    given.to.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        if given.data:
            run = read_run_file(load_settings(given.data))
        else:
            started = stack.enter_context(centre("--demo"))
            assert started.run is not None
            run = started.run
        wait_for_alarms(run)
        headers = {"Authorization": f"Bearer {run.token}"}
        with httpx.Client(base_url=run.http, headers=headers, trust_env=False, timeout=30) as api:
            wanted = [one for one in screens_of(api) if not given.only or one.name in given.only]
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        faults = photograph(
            browser,
            run,
            wanted,
            given.sizes.split(","),
            languages=given.languages.split(","),
            theme=given.theme,
            to=given.to,
        )
        browser.close()
    for fault in faults:
        sys.stderr.write(f"{fault}\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
