"""A job on the page: pressing Restore, waiting, and the words that are shown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

SCRATCH = ((18, 40), (78, 40))


def paint_scratch(canvas: Any) -> None:
    canvas.draw(*SCRATCH)


def start_job(page: Any, *, network: str = "unet", preset: str = "fast") -> str:
    """Press Restore; return the job's id."""
    if network != "unet":
        page.click("#advanced:not([open]) summary")
        page.click(f"label:has(input[name=network][value={network}])")
    page.click(f"label:has(input[name=preset][value={preset}])")
    page.click("#restore")
    page.wait_for_selector("#job:visible")
    found = re.fullmatch(r".*#job=([0-9a-f]{32})", page.url)
    assert found is not None
    return found[1]


def wait_for_preview(page: Any) -> None:
    page.wait_for_function("() => performance.getEntriesByName('preview').length > 0")


def wait_for_result(page: Any) -> None:
    page.wait_for_selector("#job-result:visible")
    page.wait_for_selector(".divider")


def download(page: Any, folder: Path, which: str = "Download") -> Path:
    with page.expect_download() as coming:
        page.click(f"a.download:has-text('{which}')")
    path: Path = folder / coming.value.suggested_filename
    coming.value.save_as(path)
    return path


def technical_words(page: Any) -> list[str]:
    """Technical words in the panel, outside closed disclosures."""
    text: str = page.evaluate(
        """() => [...document.querySelectorAll("aside *")]
          .filter((each) => each.checkVisibility())
          .flatMap((each) => [...each.childNodes]).filter((node) => node.nodeType === 3)
          .map((node) => node.data).join(" ")"""
    )
    return re.findall(r"\b(?:dB|loss|iterations?|validation|seed|network|U-Net)\b", text, re.I)
