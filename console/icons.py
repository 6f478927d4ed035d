"""Draw the icons of the installed console from public/icon.svg, with Chromium: `python console/icons.py`."""

from __future__ import annotations

import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

PUBLIC = Path(__file__).resolve().parent / "public"
SIZES = {"icon-192.png": (192, False), "icon-512.png": (512, False), "icon-maskable-512.png": (512, True)}


def main() -> None:
    """A maskable icon fills its square: what a launcher cuts off is ground, not the tower."""
    svg = (PUBLIC / "icon.svg").read_text("utf-8")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, (size, maskable) in SIZES.items():
            drawn = svg.replace('rx="7"', 'rx="0"') if maskable else svg
            ground, inner = ("#0e7c66", "80%") if maskable else ("transparent", "100%")
            page = browser.new_page(viewport={"width": size, "height": size})
            page.set_content(
                f"<style>html,body{{margin:0;height:100%;background:{ground};display:grid;place-items:center}}"
                f"svg{{width:{inner};height:{inner};display:block}}</style>{drawn}"
            )
            page.screenshot(path=PUBLIC / name, omit_background=True)
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
