"""What the console says: both languages have the same messages, every message a screen asks for exists, and no screen
says anything outside the message files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

CONSOLE = Path(__file__).parents[2] / "console" / "src"
NAMESPACES = sorted(file.stem for file in (CONSOLE / "messages" / "vi").glob("*.json"))
_PLURAL = re.compile(r"_(zero|one|two|few|many|other)$")
_CALL = re.compile(r"\b(?:t|tOr)\(\s*'([\w:.-]+)'")
_TITLES = re.compile(r"(?:what|title):\s*'([a-z-]+:[\w.-]+)'")


def messages(language: str, namespace: str) -> dict[str, str]:
    found: dict[str, str] = json.loads((CONSOLE / "messages" / language / f"{namespace}.json").read_text("utf-8"))
    return found


def sources() -> list[Path]:
    return [
        file
        for file in CONSOLE.rglob("*")
        if file.suffix in (".svelte", ".ts") and not file.name.endswith((".test.ts", ".d.ts"))
    ]


def known(language: str = "vi") -> set[str]:
    keys: set[str] = set()
    for namespace in NAMESPACES:
        for key in messages(language, namespace):
            keys |= {f"{namespace}:{key}", f"{namespace}:{_PLURAL.sub('', key)}"}
            if namespace == "common":
                keys |= {key, _PLURAL.sub("", key)}
    return keys


def gaps(text: str) -> list[str]:
    return sorted(set(re.findall(r"\{\w+\}", text)))


def test_each_language_has_every_file() -> None:
    assert sorted(file.stem for file in (CONSOLE / "messages" / "en").glob("*.json")) == NAMESPACES
    assert "common" in NAMESPACES


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_both_languages_have_the_same_messages_with_the_same_gaps(namespace: str) -> None:
    vietnamese, english = messages("vi", namespace), messages("en", namespace)
    assert vietnamese.keys() == english.keys()
    for key, text in vietnamese.items():
        assert text.strip() and english[key].strip(), key
        assert gaps(text) == gaps(english[key]), key


def test_every_message_that_a_screen_asks_for_exists() -> None:
    there = known()
    missing = {
        f"{file.relative_to(CONSOLE)}: {key}"
        for file in sources()
        for pattern in (_CALL, _TITLES)
        for key in pattern.findall(file.read_text("utf-8"))
        if "${" not in key and key not in there
    }
    assert missing == set()


def test_every_screen_has_a_title_and_what_the_phone_shows_a_short_one() -> None:
    there = known()
    for file in (CONSOLE / "screens").glob("*/screen.ts"):
        text = file.read_text("utf-8")
        found = re.search(r"id: '([\w-]+)'", text)
        assert found, file
        assert f"{found[1]}:title" in there, file
        assert "phone: true" not in text or f"{found[1]}:short" in there, file


def test_screens_say_nothing_of_their_own() -> None:
    """Text between tags, and labels, come from messages: only signs, units and names of the product stand there."""
    allowed = re.compile(
        r"^(?:[\W\d_]|Tháp|English|Tiếng Việt|EN|VI|CSV|PNG|PDF|TOML|JSON|CAP|MQTT|AIS|GeoJSON|XML"
        r"|HTTP|OsmAnd|mosquitto_pub|SHA-256|MiB|VN_AQI|g/l|m³|X|Y|III|II|I|km|ms|m|v|°"
        r"|https://|/metrics|/api/v1/\w+(?:/\w+)?|\w+:[\w@.-]+|FREQ=[\w;=]+|[\da-f:]+…)*$"
    )
    said: list[str] = []
    for file in CONSOLE.rglob("*.svelte"):
        text = file.read_text("utf-8")
        text = re.sub(r"<(script|style)\b.*?</\1>|<!--.*?-->", "", text, flags=re.DOTALL)
        text = re.sub(r"<code\b.*?</code>|<kbd\b.*?</kbd>|<pre\b.*?</pre>", "<x>", text, flags=re.DOTALL)
        while (shorter := re.sub(r"\{[^{}]*\}", "", text)) != text:
            text = shorter
        for words in re.findall(r"(?:placeholder|aria-label|title|alt)=\"([^\"]*)\"", text):
            if not allowed.match(words):
                said.append(f"{file.relative_to(CONSOLE)}: {words}")
        text = re.sub(r"=\"[^\"]*\"|=>", "", text)
        for words in re.findall(r">([^<>]*)<", text):
            if not allowed.match(words.strip()):
                said.append(f"{file.relative_to(CONSOLE)}: {words.strip()[:60]}")
    assert "\n".join(said) == ""


_IMPORT = re.compile(r"(?:from|import\()\s*'((?:\$lib|\.{1,2})/[^']+)'")
_NAMESPACE = re.compile(r"['`]([a-z-]+):[\w.$]")
_COMMENT = re.compile(r"/\*.*?\*/|^\s*//.*?$|<!--.*?-->", re.DOTALL | re.MULTILINE)


def _imported(file: Path) -> list[Path]:
    """Files of the console that a file imports, at once or later."""
    found = []
    for name in _IMPORT.findall(file.read_text("utf-8")):
        base = CONSOLE / "lib" / name[5:] if name.startswith("$lib/") else (file.parent / name).resolve()
        found += [one for one in (base, base.with_name(base.name + ".ts")) if one.is_file()]
    return found


def _asked(start: list[Path]) -> dict[str, str]:
    """Namespaces of the messages that these files, and what they import, ask for, each with a file that does."""
    seen: set[Path] = {CONSOLE / "lib" / "router.ts"}
    waiting, asked, read = list(start), {}, set()
    while waiting:
        file = waiting.pop()
        if file in seen:
            continue
        seen.add(file)
        text = _COMMENT.sub("", file.read_text("utf-8"))
        asked.update({name: file.name for name in _NAMESPACE.findall(text) if name in NAMESPACES})
        read |= set(re.findall(r"needWords\('([\w-]+)'\)", text))
        waiting += _imported(file)
    return {name: file for name, file in asked.items() if name not in read}


def _named(text: str, pattern: str) -> set[str]:
    found = re.search(pattern + r"\[(.*?)\]", text)
    return set(re.findall(r"'([\w-]+)'", found[1])) if found else set()


def _always() -> set[str]:
    found = _named((CONSOLE / "lib" / "i18n.svelte.ts").read_text("utf-8"), "const ALWAYS = ")
    assert "common" in found
    return found


@pytest.mark.parametrize("screen", sorted(file.parent.name for file in (CONSOLE / "screens").glob("*/screen.ts")))
def test_what_a_screen_says_is_read_with_it_and_nothing_else(screen: str) -> None:
    folder = CONSOLE / "screens" / screen
    more = _named((folder / "screen.ts").read_text("utf-8"), "messages: ")
    asked = _asked(list(folder.glob("*.svelte")))
    others = {name: file for name, file in asked.items() if name not in {screen, *_always()}}
    assert others.keys() == more, others


def test_what_stands_around_the_screens_says_nothing_that_is_read_with_one() -> None:
    around = [CONSOLE / "App.svelte", *(CONSOLE / "shell").iterdir(), *(CONSOLE / "screens").glob("*/always.ts")]
    assert _asked(around).keys() <= _always()
