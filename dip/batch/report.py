"""The report of a batch: an HTML page and a contact sheet, the most doubtful results first.

The order is that of the validation PSNR, measured on held-out known pixels: the lower it is, the
less the network understood of the photo. The page loads nothing from the network. Page and sheet
have a limited size; the manifest lists every photo.
"""

from __future__ import annotations

import heapq
import html
import math
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dip.batch.files import before_after_path
from dip.batch.manifest import DONE, Manifest, Record
from dip.batch.pairing import CONTACT_SHEET, LEFT_OUT, MANIFEST, REPORT, LeftOut, shown
from dip.console import format_duration
from dip.errors import OutputError

MAX_ROWS = 2000
MAX_ON_SHEET = 60
SHEET_COLUMNS = 4
CELL_PX = (400, 300)
CAPTION_PX = 22

_STYLE = """
body { font: 16px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem;
       color: #1c1e22; background: #fff; }
h1 { font-size: 1.6rem; } h2 { margin-top: 2.5rem; font-size: 1.2rem; }
table { border-collapse: collapse; width: 100%; } td, th { padding: .5rem .6rem; text-align: left;
       vertical-align: top; border-top: 1px solid #dee0e4; } td.name { overflow-wrap: anywhere; }
th { font-weight: 600; } img { max-width: 100%; height: auto; display: block; }
figure { margin: 0; } ol { list-style: none; padding: 0; display: grid; gap: 1.5rem;
       grid-template-columns: repeat(auto-fill, minmax(22rem, 1fr)); }
figcaption { overflow-wrap: anywhere; padding-top: .4rem; } .faint { color: #5b5f68; }
@media (prefers-color-scheme: dark) { body { color: #e6e7ea; background: #17181b; }
       td, th { border-color: #34373d; } .faint { color: #a4a8b1; } a { color: #7db4ff; } }
"""


@dataclass
class _Summary:
    """Counts and records of the manifest."""

    worst: list[Record] = field(default_factory=list)
    failed: list[Record] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    hosts: set[str] = field(default_factory=set)


def write_report(output: Path, manifest: Manifest, left_out: Sequence[LeftOut]) -> Path:
    """Write the page, the contact sheet and the list of files left out.

    Returns
    -------
    Path
        Path of the page.

    Raises
    ------
    OutputError
        One of them cannot be written.
    """
    from dip.image_io import write_file

    summary = _summarise(manifest)
    write_left_out(output, left_out)
    sheet = output / CONTACT_SHEET
    if summary.worst:
        write_file(sheet, draw_contact_sheet(output, summary.worst[:MAX_ON_SHEET]))
    elif sheet.exists():
        sheet.unlink()
    page = output / REPORT
    write_file(page, draw_page(summary, left_out).encode())
    return page


def write_left_out(output: Path, left_out: Sequence[LeftOut]) -> None:
    """List every file left out, with the reason; without such files, remove the list."""
    path = output / LEFT_OUT
    try:
        if left_out:
            lines = (
                f"{shown(each.name)}: {each.kind}: {shown(each.reason)}\n" for each in left_out
            )
            path.write_text("".join(lines), encoding="utf-8")
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror}.", "Name another folder for the results."
        ) from error


def _summarise(manifest: Manifest) -> _Summary:
    summary = _Summary()

    def done() -> Iterable[Record]:
        for record in manifest.latest():
            summary.outcomes[record["outcome"]] += 1
            summary.seconds += record["seconds"]
            summary.hosts.add(record["host"])
            if record["outcome"] == DONE:
                yield record
            elif len(summary.failed) < MAX_ROWS:
                summary.failed.append(record)

    summary.worst = heapq.nsmallest(MAX_ROWS, done(), key=_doubt)
    return summary


def _doubt(record: Record) -> tuple[float, str]:
    """Sort key: low validation PSNR first, unmeasured results last."""
    validation = record["figures"].get("validation_psnr_db")
    return (math.inf if validation is None else validation, record["photo"])


# --- The page -----------------------------------------------------------------------------------


def draw_page(summary: _Summary, left_out: Sequence[LeftOut]) -> str:
    """The page as HTML."""
    done = summary.outcomes[DONE]
    failed = sum(summary.outcomes.values()) - done
    counts = [f"{done} restored", f"{failed} failed", f"{len(left_out)} left out"]
    hosts = ", ".join(sorted(summary.hosts))
    about = (
        f"{format_duration(summary.seconds)} of work on {hosts}"
        if summary.hosts
        else "nothing was done"
    )
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="referrer" content="no-referrer">',
        f"<title>Restored photos: {counts[0]}</title><style>{_STYLE}</style></head><body>",
        "<h1>Restored photos</h1>",
        f'<p>{", ".join(counts)}. <span class="faint">{_text(about)}.</span> Everything is in '
        f'<a href="{MANIFEST}">{MANIFEST}</a>.</p>',
        *_rows("Failed", failed, [(each["photo"], _reason(each)) for each in summary.failed]),
        *_rows("Left out", len(left_out), [(e.name, e.reason) for e in left_out[:MAX_ROWS]]),
        *_pictures(summary.worst, done),
        "</body></html>",
    ]
    return "\n".join(parts)


def _rows(title: str, count: int, rows: Sequence[tuple[str, str]]) -> list[str]:
    if not rows:
        return []
    more = f" (the first {len(rows)} of {count})" if count > len(rows) else ""
    lines = [
        f'<tr><td class="name">{_text(name)}</td><td>{_text(reason)}</td></tr>'
        for name, reason in rows
    ]
    return [
        f"<h2>{title}{more}</h2>",
        "<table><tr><th>File</th><th>Reason</th></tr>",
        *lines,
        "</table>",
    ]


def _pictures(worst: Sequence[Record], done: int) -> list[str]:
    if not worst:
        return []
    more = f", the first {len(worst)} of {done}" if done > len(worst) else ""
    cells = []
    for record in worst:
        name = _text(record["photo"])
        notes = "".join(f"<br>{_text(note)}" for note in record["figures"].get("notes", []))
        cells.append(
            f'<li><figure><a href="{_link(record["output"])}">'
            f'<img loading="lazy" src="{_link(before_after_path(record["photo"]))}" '
            f'alt="{name}, before and after"></a>'
            f"<figcaption>{name}<br>"
            f'<span class="faint">{_text(describe(record))}{notes}</span>'
            "</figcaption></figure></li>"
        )
    return [
        f"<h2>Before and after{more}</h2>",
        "<p>Check the first ones: the lower the validation PSNR (measured on known pixels that "
        "the network did not see), the more doubtful the result. The damage is painted over on "
        "the left.</p>",
        f"<ol>{''.join(cells)}</ol>",
    ]


def describe(record: Record) -> str:
    """Validation, iterations and duration of a photo in one line."""
    figures = record["figures"]
    validation = figures.get("validation_psnr_db")
    parts = ["no validation" if validation is None else f"validation {validation:.1f} dB"]
    parts.append(f"{figures['iterations']} iterations")
    parts.append(format_duration(record["seconds"]))
    return ", ".join(parts)


def _reason(record: Record) -> str:
    error: dict[str, Any] = record["error"]
    return f"{error['message']} {error['hint']}".strip()


def _text(text: str) -> str:
    return html.escape(shown(text))


def _link(path: str) -> str:
    """A relative address, for any file name."""
    return html.escape("./" + quote(os.fsencode(path)))


# --- The contact sheet --------------------------------------------------------------------------


def draw_contact_sheet(output: Path, records: Sequence[Record]) -> bytes:
    """Draw the before-and-after pictures of some photos on one page, as a JPEG file."""
    import io

    from PIL import Image, ImageDraw

    from dip.panels import FAINT_INK, GAP_PX, INK, PAPER, font

    columns = min(SHEET_COLUMNS, len(records))
    cell = CELL_PX[0] + GAP_PX, CELL_PX[1] + 2 * CAPTION_PX + GAP_PX
    rows = math.ceil(len(records) / columns)
    page = Image.new("RGB", (columns * cell[0] + GAP_PX, rows * cell[1] + GAP_PX), PAPER)
    draw = ImageDraw.Draw(page)
    for number, record in enumerate(records):
        left = GAP_PX + number % columns * cell[0]
        top = GAP_PX + number // columns * cell[1]
        try:
            with Image.open(output / before_after_path(record["photo"])) as opened:
                opened.thumbnail(CELL_PX)
                page.paste(opened, (left, top))
        except OSError:  # the picture was deleted; its caption stays
            pass
        captions = ((shown(record["photo"]), INK), (describe(record), FAINT_INK))
        for line, (text, ink) in enumerate(captions):
            place = left, top + CELL_PX[1] + 2 + line * CAPTION_PX
            draw.text(place, _fitting(text, font(15)), font=font(15), fill=ink)
    file = io.BytesIO()
    page.save(file, "JPEG", quality=88)
    return file.getvalue()


def _fitting(text: str, typeface: Any) -> str:
    """The end of a text, cut to the width of a cell: names differ at their ends."""
    shortened = text
    while len(shortened) > 1 and typeface.getlength(shortened) > CELL_PX[0]:
        text = text[max(1, len(text) // 20) :]
        shortened = "…" + text
    return shortened
