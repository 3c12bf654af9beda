"""The texts of the page stand in its catalogues, one a language, and in no other place."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import server
from dip.notes import TECHNICAL
from dip.notes import TEXTS as NOTES
from server.errors import MEANINGS

STATIC = Path(server.__file__).parent / "static"
SCRIPTS = {path.relative_to(STATIC).as_posix(): path for path in STATIC.rglob("*.js")}
CATALOGUES = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in (STATIC / "texts").glob("*.json")
}
ENGLISH = CATALOGUES["en"]
FORMS = {"en": {"one", "other"}, "ja": {"other"}}

SAME_EVERYWHERE = {"Deep Image Prior", "dip serve --open", "1:1", "U-Net", "SegNet"}
"""Names, a command and a ratio."""

USED_BY_PARTS = re.compile(
    r"(depth|error|key\.names|mask_colour|note|preset|state|theme|tool)\.[a-z0-9_.]+"
)
"""Keys that the scripts put together."""


OF_THE_SERVICE = {key for key in CATALOGUES["de"] if key.startswith("service.")}
"""Errors of the service, by their codes; English has none: the service words them in English."""


def forms(text: str | dict[str, str]) -> list[str]:
    return [text] if isinstance(text, str) else list(text.values())


def test_the_languages_that_are_offered_are_those_of_the_catalogues() -> None:
    script = SCRIPTS["page/texts.js"].read_text(encoding="utf-8")
    offered = re.search(r"LANGUAGES = \{(.*?)\};", script)
    assert offered is not None
    names = re.findall(r'(?:"([\w-]+)"|\b([\w]+)): "', offered[1])
    assert {(quoted or plain).lower() for quoted, plain in names} == set(CATALOGUES)


@pytest.mark.parametrize("language", sorted(CATALOGUES))
def test_no_catalogue_lacks_a_text(language: str) -> None:
    catalogue = CATALOGUES[language]
    english = dict(ENGLISH)
    if language != "en":
        english |= {key: CATALOGUES["de"][key] for key in OF_THE_SERVICE}
    assert catalogue.keys() == english.keys()
    for key, text in catalogue.items():
        assert isinstance(text, str) == isinstance(english[key], str), key
        if isinstance(text, dict):
            assert text.keys() == FORMS.get(language, FORMS["en"]), key
        for form in forms(text):
            assert form.strip() == form != "", key
            expected = set(re.findall(r"\{\w+\}", forms(english[key])[-1]))
            assert set(re.findall(r"\{\w+\}", form)) == expected, key


@pytest.mark.parametrize("language", sorted(CATALOGUES.keys() - {"en"}))
def test_sentences_are_translated(language: str) -> None:
    same = [
        key
        for key, text in CATALOGUES[language].items()
        if text == ENGLISH.get(key) and len(re.findall(r"[a-z]{3,}(?!\w*})", forms(text)[0])) > 2
    ]
    assert same == []


class Texts(HTMLParser):
    """Collects the texts of a page, and the keys that it names."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: set[str] = set()
        self.keys: set[str] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name in ("title", "aria-label", "placeholder", "alt", "aria-valuetext") and value:
                self.texts.add(value)
            if name in ("data-text", "data-title", "data-label", "data-placeholder") and value:
                self.keys.add(value)

    def handle_data(self, data: str) -> None:
        if re.search(r"\w", data):
            self.texts.add(data.strip())


def keys_of_the_page() -> tuple[set[str], set[str]]:
    page = Texts()
    page.feed((STATIC / "index.html").read_text(encoding="utf-8"))
    return page.texts, page.keys


def test_the_page_itself_has_no_text() -> None:
    texts, keys = keys_of_the_page()
    assert texts <= SAME_EVERYWHERE
    assert keys <= ENGLISH.keys()


def test_every_text_is_used_and_every_used_text_exists() -> None:
    scripts = "".join(path.read_text(encoding="utf-8") for path in SCRIPTS.values())
    in_scripts = set(re.findall(r'"([a-z0-9_]+(?:\.[a-z0-9_]+)*)"', scripts)) | set(
        re.findall(r'\btext\(\s*"([^"]+)"', scripts)
    )
    called = set(re.findall(r'\btext\(\s*"([^"]+)"', scripts))
    assert called <= ENGLISH.keys()
    used = in_scripts | keys_of_the_page()[1]
    unused = [key for key in ENGLISH if key not in used and not USED_BY_PARTS.fullmatch(key)]
    assert unused == []


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_scripts_show_no_text_of_their_own(name: str) -> None:
    """Strings of several words, and strings that are shown at once."""
    script = SCRIPTS[name].read_text(encoding="utf-8")
    script = re.sub(r"//.*|/\*.*?\*/", "", re.sub(r"https?://", "", script), flags=0)
    script = re.sub(r"/\*.*?\*/", "", script, flags=re.DOTALL)
    script = re.sub(r"console\.info\(.*\)|new Error\(`[^`]*`\)", "", script)
    script = re.sub(r"\$\{[^{}]*(\{[^{}]*\}[^{}]*)*\}", "", script)
    say = r"(?:textContent|title|toast|announce|busy)\s*[=(]\s*"
    shown = re.findall(say + r"""(["`][^"`]*\w[^"`]*["`])""", script)
    assert shown == []
    sentences = [
        text
        for text in re.findall(r'"([^"\n]*)"', script)
        if re.fullmatch(r"[A-Z][a-z]+( [\w',.:;]+)+ [a-z',.:;]+", text)
    ]
    assert sentences == []


def test_messages_of_the_service_are_codes_that_it_has() -> None:
    assert OF_THE_SERVICE
    assert {key.partition(".")[2] for key in OF_THE_SERVICE} <= MEANINGS.keys()


def test_the_catalogues_have_every_note_of_the_engine() -> None:
    """In English with the same words, but where a button does it; several notes are divided."""
    noted = {key: text for key, text in ENGLISH.items() if key.startswith("note.")}
    assert "restoring again can include it" in noted["note.rim_damaged"]
    noted["note.rim_damaged"] = NOTES["rim_damaged"]
    assert noted == {f"note.{code}": text for code, text in NOTES.items() if code != "several"}
    script = SCRIPTS["page/notes.js"].read_text(encoding="utf-8").partition("TECHNICAL")[2]
    assert set(re.findall(r'"(\w+)"', script.partition(";")[0])) == TECHNICAL
