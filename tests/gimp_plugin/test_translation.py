"""The plug-in's texts: each is in every catalogue, and none stands outside of them."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polib
import pytest

from gimp_plugin import install

SOURCES = sorted(install.SOURCE.glob("*.py"))
PAGE_TEXTS = Path(__file__).resolve().parents[2] / "server" / "static" / "texts"
CATALOGUES = sorted((install.SOURCE / "locale").glob("*.po"))
GETTEXT = ("_", "ngettext")

NO_TEXTS = {
    # Names of products, and what GIMP, GEGL and GTK call things.
    "Apple GPU", "Babl", "Deep Image Prior", "Deep Image Prior failed", "Gdk", "GdkPixbuf", "Gegl",
    "Gimp", "GimpUi", "Gtk", "MIT licence", "RGB*, GRAY*, INDEXED*", "R'G'B'", "R'G'B' u8",
    "SegNet", "Serving at", "U-Net", "_Deep Image Prior…", "the Deep Image Prior for GIMP authors",
}  # fmt: skip
FORMAT = re.compile(r"[YA]'? u8|[A-Z_]+|__\w+__")
"""Formats of GEGL, names of environment variables, names of Python."""


def is_gettext(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) in GETTEXT


def texts(tree: ast.AST) -> Iterator[tuple[str, ...]]:
    """The texts that gettext translates: singular, and plural if there is one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and is_gettext(node):
            strings = [each.value for each in node.args if isinstance(each, ast.Constant)]
            yield tuple(each for each in strings if isinstance(each, str))


def outside(node: ast.AST) -> Iterator[str]:
    """Strings that no gettext translates, without docstrings and f-strings of markup."""
    if is_gettext(node) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
        return
    if isinstance(node, ast.Raise) and "ValueError" in ast.unparse(node):
        return  # a fault of the plug-in itself
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    for child in ast.iter_child_nodes(node):
        yield from outside(child)


def looks_like_a_text(string: str) -> bool:
    words = re.sub(r"<[^>]*>|\{[^}]*\}", "", string).strip()
    if words in NO_TEXTS or FORMAT.fullmatch(words):
        return False
    return " " in words or (len(words) > 2 and words.lstrip("_")[:1].isupper())


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_no_text_stands_outside_the_catalogues(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert [each for each in outside(tree) if looks_like_a_text(each)] == []


def test_a_text_outside_would_be_noticed() -> None:
    for line in ('show("Nothing is selected.")', 'label = "_Cancel"', 'show(f"Found {n} marks")'):
        assert any(map(looks_like_a_text, outside(ast.parse(line)))), line


def test_there_are_the_languages_that_were_promised() -> None:
    assert [path.stem for path in CATALOGUES] == ["de", "es", "fr", "it", "ja", "pt_BR"]


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.stem)
def test_every_text_is_translated_with_its_values(path: Path) -> None:
    """All texts, no others; the same values to fill in; one mnemonic for one mnemonic."""
    used = {
        ids for each in SOURCES for ids in texts(ast.parse(each.read_text(encoding="utf-8"))) if ids
    }
    catalogue = polib.pofile(str(path))
    known = {tuple(filter(None, (each.msgid, each.msgid_plural))) for each in catalogue}
    assert known == used
    for entry in catalogue:
        assert entry.translated(), entry.msgid
        assert not entry.fuzzy, entry.msgid
        wanted = sorted(re.findall(r"\{\w+\}", entry.msgid))
        for text in (entry.msgstr, *entry.msgstr_plural.values()):
            if text:
                assert sorted(re.findall(r"\{\w+\}", text)) == wanted, text
                assert text.count("_") == entry.msgid.count("_"), text
                assert text.endswith("…") == entry.msgid.endswith("…"), text


def test_the_installed_plug_in_speaks_the_users_language(tmp_path: Path) -> None:
    """As GIMP sets it, in the environment; English where there is no catalogue."""
    install.fill(tmp_path / "dip_restore", None)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); "
        "from translation import _, ngettext, number, percent; "
        "print(_('Find Damage'), ngettext('{count} mark, {share} of the photograph.', "
        "'{count} marks, {share} of the photograph.', 2), "
        "_('the time is over: not everything was fitted'), "
        "number(1234.5, ',.1f'), percent(0.123), sep='|')"
    )

    def said(language: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-I", "-c", code, str(tmp_path / "dip_restore")],
            env={"LANGUAGE": language, "PYTHONIOENCODING": "utf-8", "PYTHONUTF8": "1"},
            capture_output=True, encoding="utf-8", check=True,
        )  # fmt: skip
        return done.stdout.strip().split("|")

    assert said("de") == [
        "Schäden finden", "{count} Stellen, {share} des Fotos.",
        "die Zeit ist um: Nicht alles wurde vom Netz bearbeitet",  # a note of the engine
        "1.234,5", "12,3\N{NO-BREAK SPACE}%",
    ]  # fmt: skip
    assert said("xx") == [
        "Find Damage", "{count} marks, {share} of the photograph.",
        "the time is over: not everything was fitted", "1,234.5", "12.3%",
    ]  # fmt: skip


TERMS = {
    "advanced": "Advanced", "details": "_Details", "find.creases": "Cre_ases and tears",
    "find.scratches": "_Hairs and scratches", "find.specks": "S_pecks", "finishing": "Finishing",
    "network": "_Network", "preset.balanced": "Balanced", "preset.fast": "Fast (a first look)",
    "preset.best": "Best (about five times slower)", "preset.paper": "As published (takes hours)",
    "quality": "_Quality", "restoration": "Res_tore", "seed": "S_eed",
    "sensitivity": "Sensi_tivity", "stop": "_Stop here",
    "texture": "Texture of the _surroundings", "tool.find": "_Find damage…",
}  # fmt: skip
"""Texts of the page, by key, and the labels of GIMP's windows that say the same."""


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.stem)
def test_the_page_and_gimp_use_the_same_words(path: Path) -> None:
    page = json.loads((PAGE_TEXTS / f"{path.stem.lower().replace('_', '-')}.json").read_text())
    catalogue = {each.msgid: each.msgstr for each in polib.pofile(str(path))}
    for key, label in TERMS.items():
        shown = re.sub(r"\(_.\)", "", catalogue[label]).replace("_", "").lower()
        wanted = page["restore"] if key == "restoration" and path.stem != "ja" else page[key]
        assert wanted.lower() in shown, (key, wanted, shown)


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.stem)
def test_damage_and_its_restoration_have_one_name(path: Path) -> None:
    """On the page and in GIMP; the others would do, too."""
    others = {"fr": "dégât|dommage", "ja": "復元|(?<!すり)(?<!無)(?<!かき)傷(?!み|んだ|んで|跡)"}
    page = PAGE_TEXTS / f"{path.stem.lower().replace('_', '-')}.json"
    if path.stem in others:
        for each in (path, page):
            assert re.findall(others[path.stem], each.read_text(encoding="utf-8")) == []


DIALOGS = {
    "restoration": (
        "Res_tore", "_Find damage…", "_Damage", "_Quality", "_Grow the damage by (pixels)",
        "Grow it o_ver damage found at its rim",
        "Res_ult", "_Network", "S_eed", "Texture of the _surroundings",
        "_Work at most, in minutes (0 = no limit)", "_Iterations (0 = automatic)", "Com_pute on",
        "Thre_ads (0 = all)", "_Memory limit in MB (0 = automatic)",
        "Convert an inde_xed image to RGB",
    ),
    "search": (
        "Sel_ect", "Sensi_tivity", "Show the _marks", "S_pecks", "_Hairs and scratches",
        "Cre_ases and tears", "Lar_gest mark in pixels (0 = any)", "_Brightness", "The selectio_n",
    ),
    "work": ("_Cancel", "_Stop here", "Show the _original", "_Details", "Co_py the command"),
}  # fmt: skip
"""The labels that are in one window."""


@pytest.mark.parametrize("dialog", sorted(DIALOGS))
@pytest.mark.parametrize("language", ["en", *(path.stem for path in CATALOGUES)])
def test_no_two_labels_of_a_window_have_one_mnemonic(dialog: str, language: str) -> None:
    """With two of them, the key chooses one of the labels, and presses none."""
    labels = list(DIALOGS[dialog])
    if language != "en":
        catalogue = polib.pofile(str(install.SOURCE / "locale" / f"{language}.po"))
        labels = [catalogue.find(label).msgstr for label in labels]
    else:
        labels += ["_Reset"] if dialog != "work" else []  # GIMP's own
    keys = [label[label.index("_") + 1].lower() for label in labels]
    assert sorted(keys) == sorted(set(keys))


def test_every_label_with_a_mnemonic_is_in_a_window() -> None:
    used = {
        ids[0]
        for each in SOURCES
        for ids in texts(ast.parse(each.read_text(encoding="utf-8")))
        if ids
    }
    alone = {  # menu entries, buttons of questions, and the second text of a button
        "_Find Damage…", "_Back", "_Restore all the same", "Show the rest_oration",
    }  # fmt: skip
    labels = {each for each in used if re.search(r"(^|\w|\s)_\w", each) and "{" not in each}
    assert labels - alone == {each for labels in DIALOGS.values() for each in labels}
