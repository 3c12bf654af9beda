"""The page in the language of its reader."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from page_canvas import Canvas
from page_jobs import paint_scratch, start_job, wait_for_result

VISIBLE = """
() => {
  const shown = (each) => each.checkVisibility({visibilityProperty: true});
  const all = [...document.querySelectorAll("body *")].filter(shown);
  const texts = all.flatMap((each) => [...each.childNodes])
    .filter((node) => node.nodeType === 3).map((node) => node.data.trim());
  const names = ["title", "aria-label", "placeholder", "aria-valuetext"];
  const attributes = all.flatMap((each) => names.map((name) => each.getAttribute(name) ?? ""));
  return [...texts, ...attributes].filter((text) => /\\p{L}/u.test(text));
}
"""
NAMES = (
    r"Deep Image Prior|dip serve --open|U-Net|SegNet|PNG|photo(_restored)?\.png"
    "|Ctrl|Alt|Shift|Delete|Enter|Esc|[A-Z]"
)


def outside_the_catalogue(page: Any) -> list[str]:
    """Visible texts that do not stand between the brackets of the marked catalogue."""
    unmarked = page.evaluate(VISIBLE)
    for _ in range(3):  # texts stand in texts
        unmarked = [re.sub(r"⟦[^⟦⟧]*⟧", "", each) for each in unmarked]
    return [
        text
        for each in unmarked
        if re.search(r"[^\W\d_]", text := re.sub(rf"\b({NAMES})\b", "", each).strip())
    ]


def test_no_text_stands_outside_the_catalogue(
    new_context: Callable[..., Any], service: Any, choose: Any, scratched: Any, sign_in: Any
) -> None:
    """With a catalogue whose texts are in brackets, every text of the page is in brackets."""
    context = new_context()
    context.expected.append("Failed to load resource")

    def mark(route: Any) -> None:
        def marked(text: Any) -> Any:
            if isinstance(text, dict):
                return {form: marked(each) for form, each in text.items()}
            return f"⟦{text}⟧"

        catalogue = json.loads(route.fetch().text())
        body = json.dumps({key: marked(text) for key, text in catalogue.items()})
        route.fulfill(body=body, content_type="application/json")

    context.route("**/texts/en.json", mark)
    page = context.new_page()
    page.goto(service.url)
    page.wait_for_selector("#sign-in:visible")
    page.click("#token-details summary")
    assert outside_the_catalogue(page) == []
    sign_in(page)
    assert outside_the_catalogue(page) == []
    choose(page, scratched)
    canvas = Canvas(page, 96, 80)
    paint_scratch(canvas)
    page.click("#advanced summary")
    page.keyboard.press("?")
    assert outside_the_catalogue(page) == []
    page.keyboard.press("Escape")
    page.click("[data-tool=find]")
    page.wait_for_function("() => performance.getEntriesByName('found').length > 0")
    assert outside_the_catalogue(page) == []
    page.keyboard.press("Escape")
    start_job(page)
    wait_for_result(page)
    page.click("#job-details summary")
    page.hover("#jobs li")
    page.click("#jobs .delete")
    page.click(".toast button")
    page.click("#jobs .entry")
    wait_for_result(page)
    outside = outside_the_catalogue(page)
    assert [each for each in outside if not re.search(r"\d:\d\d\s[AP]M", each)] == []


@pytest.mark.parametrize(
    ("locale", "restore", "share", "note"),
    [
        (
            "de-AT",
            "Restaurieren",
            "100 %",
            "Eine PNG-Datei kann nicht enthalten: X, die IPTC-Daten.",
        ),
        ("ja", "修復する", "100%", "PNG ファイルに保存できないもの: X、IPTC データ。"),
    ],
)
def test_the_language_is_the_browsers_until_another_is_chosen(
    new_context: Callable[..., Any],
    sign_in: Any,
    choose: Any,
    scratched: Any,
    locale: str,
    restore: str,
    share: str,
    note: str,
) -> None:
    page = new_context(locale=locale).new_page()
    sign_in(page)
    assert page.text_content("#restore") == restore
    assert page.get_attribute("html", "lang") == locale[:2]
    assert page.text_content("#texture-shown").replace("\xa0", " ") == share
    said = page.evaluate(
        """async () => {
          const app = document.querySelector("script[type=module]").src;
          const {sortNotes} = await import(new URL("page/notes.js", app));
          const things = ["X", {code: "iptc", values: {}}];
          return sortNotes([{code: "losses", values: {format: "PNG", things}}]).plain;
        }"""
    )
    assert said == [note]
    choose(page, scratched)
    page.select_option("#language", "pt-BR")
    page.wait_for_selector("#restore:has-text('Restaurar')")
    page.wait_for_selector("body[data-mode=edit]")  # the photo is still open
    assert page.get_attribute("html", "lang") == "pt-BR"


def test_errors_of_the_service_are_told_in_the_language_of_the_page(
    new_context: Callable[..., Any], sign_in: Any, tmp_path: Path
) -> None:
    context = new_context(locale="de")
    context.expected.append("Failed to load resource: the server responded with a status of 4")
    page = context.new_page()
    sign_in(page)
    path = tmp_path / "letter.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"no picture")
    page.set_input_files("#photo-file", path)
    assert page.text_content(".toast").startswith("Die Datei kann nicht als Bild gelesen werden")


def test_a_page_from_right_to_left_keeps_its_controls_and_its_geometry(canvas: Any) -> None:
    page = canvas.page
    page.evaluate("document.documentElement.dir = 'rtl'")
    try:
        page.wait_for_timeout(200)
        assert page.locator("aside").bounding_box()["x"] == 0
        outside = page.evaluate(
            """() => [...document.querySelectorAll("button, label, aside *")]
              .filter((each) => each.checkVisibility())
              .map((each) => [each.id || each.tagName, each.getBoundingClientRect()])
              .filter(([, box]) => box.width && (box.left < -1 || box.right > innerWidth + 1))
              .map(([name]) => name)"""
        )
        assert outside == []
        canvas.draw((20, 40), (40, 40))
        mask = canvas.mask()
        assert mask[40, 30] == 255
        assert not mask[:, 60:].any()
        start_job(page)
        wait_for_result(page)
        page.focus(".divider")
        page.keyboard.press("Home")
        page.wait_for_timeout(200)
        box, stage = (page.locator(name).bounding_box() for name in (".divider", "#stage"))
        assert box["x"] + box["width"] / 2 == pytest.approx(stage["x"], abs=2)
    finally:
        page.evaluate("document.documentElement.dir = ''")
