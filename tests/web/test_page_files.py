"""The page's files: no visible text outside the message files, and no message too many or too few."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from importlib.resources import files

import httpx

PAGE = files("thap.web.page")
STATIC, MESSAGES = PAGE / "static", PAGE / "messages"
_SIGNS = set("◐?+−⌂ ") | {"Tháp"}


def words(language: str) -> dict[str, str]:
    found: dict[str, str] = json.loads((MESSAGES / f"{language}.json").read_text("utf-8"))
    return found


def scripts() -> str:
    return "\n".join(file.read_text("utf-8") for file in STATIC.iterdir() if file.name.endswith(".js"))


class _Texts(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.keys: set[str] = set()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name in ("data-t", "data-t-label", "data-t-hint"):
                self.keys.add(value or "")
            if name in ("href", "src", "action"):
                self.addresses.append(value or "")
            assert name not in ("title", "aria-label", "placeholder", "style"), (tag, name)
            assert not name.startswith("on"), (tag, name)

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append(data.strip())


def html() -> _Texts:
    parser = _Texts()
    parser.feed((STATIC / "index.html").read_text("utf-8"))
    return parser


def test_both_languages_have_the_same_messages_with_the_same_gaps() -> None:
    vietnamese, english = words("vi"), words("en")
    assert vietnamese.keys() == english.keys()
    for key, text in vietnamese.items():
        assert text.strip() and english[key].strip()
        gaps = [sorted(re.findall(r"{\w+}", one)) for one in (text, english[key])]
        assert gaps[0] == gaps[1], key


def test_every_message_is_used_and_every_used_one_exists() -> None:
    known = set(words("vi"))
    said = set(re.findall(r'"([a-z]+\.[a-z_.]+)"', scripts())) & known | html().keys
    prefixes = tuple(re.findall(r"`([a-z]+\.)\$\{", scripts()))
    assert html().keys <= known
    assert set(re.findall(r'\bt\("([^"]+)"', scripts())) <= known
    assert {key for key in known if key not in said and not key.startswith(prefixes)} == set()


def test_the_page_itself_says_nothing() -> None:
    assert set(html().texts) <= _SIGNS


def test_nothing_is_asked_of_anybody_else() -> None:
    assert all(address.startswith(("/page/", "#")) for address in html().addresses)
    style = (STATIC / "style.css").read_text("utf-8")
    assert "url(" not in style and "@import" not in style
    assert not re.search(r"https?://(?!www\.w3\.org)", scripts())


async def test_the_files_are_served_to_anybody_and_nothing_else_is(stranger: httpx.AsyncClient) -> None:
    page = await stranger.get("/")
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    assert (await stranger.get("/page/app.js")).headers["content-type"].startswith("text/javascript")
    assert (await stranger.get("/page/messages/vi.json")).json() == words("vi")
    for path in ("/page/__init__.py", "/page/../__init__.py", "/page/%2e%2e/__init__.py", "/page/"):
        assert (await stranger.get(path)).status_code == 404, path


async def test_a_session_begins_with_a_token_and_only_with_one(stranger: httpx.AsyncClient, admin: str) -> None:
    assert (await stranger.post("/session", json={"key": "guess"})).status_code == 401
    assert (await stranger.post("/session", json={})).status_code == 400
    assert (await stranger.post("/session", json={"key": admin})).status_code == 204
    assert (await stranger.get("/api/v1/tokens")).status_code == 200
