"""The process that decodes, fits and encodes for a batch: `python -m dip.batch.fit_worker`.

Image files come in as bytes and go out as bytes through a pipe. A crash of an image library or a
lack of memory costs the current photo only. torch is imported once, with the first fit. When
standard input closes, the parent process is gone, and this process exits at once.

It receives one request at a time; `dip.batch.fit_process` is the other end:

- `read_headers`: read the headers of some image files.
- `fit`: restore a photo. The answers are the memory needed, then, after the parent has admitted
  the fit, its progress, and at last the result or the error.
"""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dip.config import Settings
from dip.errors import DipError, MaskError, NotEnoughMemory, OutputError
from dip.machine.parent_pipe import ParentPipe
from dip.machine.pipe import Frame

if TYPE_CHECKING:
    from dip.image_io.photo import Array, Photo
    from dip.pages import PagePair
    from dip.restore import Restoration

REPORT_EVERY_S = 0.5
PANEL_WIDTH_PX = 320
PANEL_HEIGHT_PX = 480
JPEG_QUALITY = 82
BEST_PSNR_DB = 99.0  # instead of infinity, which JSON does not have


def main() -> int:
    """Answer requests until the pipe closes, or none has come for a while."""
    parent = ParentPipe()
    for task in parent.tasks():
        if task.content["do"] == "read_headers":
            parent.send({"done": [_read_header(path) for path in task.content["files"]]})
        else:
            _fit(task, parent)
    return 0


def _read_header(path: str) -> dict[str, Any]:
    """Size and kind of an image file, or its error."""
    from dip.image_io import read_header

    try:
        header = read_header(Path(path))
    except DipError as error:
        return {"error": error.as_dict()}
    return {"width": header.width, "height": header.height, "has_alpha": header.has_alpha}


# --- One fit ------------------------------------------------------------------------------------


def _fit(task: Frame, parent: ParentPipe) -> None:
    try:
        figures, blobs = _restore(task, parent)
    except DipError as error:
        parent.send({"error": error.as_dict()})
    except MemoryError:
        seen = "Memory ran out during the fit."
        shortage = NotEnoughMemory(seen, "Close other programs, or set a lower limit.")
        parent.send({"error": shortage.as_dict()})
    except Exception as error:
        # The edge of a task: any error ends this photo, and the next one is taken.
        import traceback

        traceback.print_exc()
        message = f"The fit failed: {type(error).__name__}: {error}."
        parent.send({"error": {"code": "internal", "message": message, "hint": ""}})
    else:
        parent.send({"done": figures}, blobs)
    _free_device_memory()


def _restore(task: Frame, parent: ParentPipe) -> tuple[dict[str, Any], list[bytes]]:
    from dip.image_io import encode_photo, plain_tiff
    from dip.pages import pages_to_restore
    from dip.regions.damaged_image import DamagedImage
    from dip.restore import Restoration

    request = task.content
    data, mask_file = task.blobs[0], task.blobs[1] if len(task.blobs) > 1 else None
    settings, form = Settings.from_mapping(request["settings"]), request["file_format"]
    pages = pages_to_restore(data, mask_file, request["page"], form)
    notes: list[str] = []
    for pair in pages if len(pages) > 1 else ():  # all are checked before the first one is fitted
        photo, mask = _read(request, data, mask_file, pair, notes)
        DamagedImage(photo.pixels, mask)
    limit_s, before_after, figures = request["limit_s"], b"", []
    for pair in pages:
        photo, mask = _read(request, data, mask_file, pair, notes)
        restoration = Restoration(photo.pixels, mask, settings)
        parent.wait_for_admission(restoration.memory_mb, device_of(settings))
        figures.append(_work(restoration, parent, limit_s))
        if limit_s is not None:
            return figures[0] | {"fraction": figures[0]["fraction"] / len(pages)}, []
        result = restoration.result()
        before_after = before_after or draw_before_after(photo, mask, result)
        try:
            data = encode_photo(result, form, like=photo)
        except OutputError as error:
            # A fit that is done is never thrown away: the parent writes it beside.
            figures[-1]["encoding_error"] = error.as_dict()
            data = plain_tiff(data, [page for page, _ in pages[: len(figures) - 1]], result)
            break
    total = _sum(figures)
    total["notes"] = list(dict.fromkeys([*notes, *total["notes"]]))
    return {**total, "device": device_of(settings)}, [data, before_after]


def _read(
    request: dict[str, Any],
    data: bytes,
    mask_file: bytes | None,
    pair: PagePair,
    notes: list[str],
) -> tuple[Photo, Array | None]:
    """Read a page and its mask, check them, and note the things that the result cannot hold."""
    from dip.image_io import encode_photo, losses, read_mask, read_photo
    from dip.regions.mask import refuse_inverted

    photo, mask = read_photo(data, name=request["name"], page=pair[0]), None
    if mask_file is not None:
        mask = read_mask(mask_file, name=request["mask_name"], page=pair[1])
    elif not (photo.pixels.ndim == 3 and photo.pixels.shape[2] in (2, 4)):
        raise MaskError(
            f"{request['name']} has no mask and no transparent pixels.",
            "Add a mask that is white where the photo is to be restored.",
        )
    encode_photo(photo.pixels[:1, :1], request["file_format"], like=photo)  # its metadata
    if mask is not None and not request["mask_confirmed"]:
        refuse_inverted(mask, photo.pixels.shape, "give the same command with --yes")
    notes += losses(photo, request["file_format"])
    return photo, mask


def _sum(figures: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures of a photo of those of its pages: sums, and the worst quality."""
    total = dict(figures[0])
    for each in figures[1:]:
        for name, value in each.items():
            if name in ("loss", "memory_mb"):
                total[name] = max(total[name] or 0, value or 0)
            elif name == "validation_psnr_db":
                total[name] = min((x for x in (total[name], value) if x is not None), default=None)
            elif name == "encoding_error":
                total[name] = value
            elif name != "fraction":
                total[name] += value
    return total


def _work(
    restoration: Restoration, parent: ParentPipe, limit_s: float | None = None
) -> dict[str, Any]:
    """Fit, report progress, and return the figures."""
    began = reported = time.monotonic()
    loss = validation_psnr_db = None
    notes = list(restoration.notes)
    done, fraction = 0, 0.0
    for step in restoration:
        done, fraction = step.iteration, step.fraction
        loss = loss if step.loss is None else step.loss
        if step.validation_psnr_db is not None:
            validation_psnr_db = step.validation_psnr_db
        if step.note:
            notes.append(step.note)
        now = time.monotonic()
        if limit_s is not None and now - began > limit_s:
            break
        if now - reported >= REPORT_EVERY_S:
            reported = now
            parent.send(
                {
                    "iteration": step.iteration,
                    "iterations": step.iterations,
                    "validation_psnr_db": validation_psnr_db,
                },
            )
    return {
        "validation_psnr_db": _number(validation_psnr_db),
        "loss": _number(loss),
        "iterations": done,
        "fraction": round(fraction, 6),
        "planned_iterations": restoration.iterations,
        "regions": len(restoration.regions),
        "fit_s": round(time.monotonic() - began, 3),
        "memory_mb": round(restoration.memory_mb),
        "notes": notes,
    }


def _number(value: float | None) -> float | None:
    """A finite number for JSON, or None."""
    if value is None or math.isnan(value):
        return None
    return round(min(value, BEST_PSNR_DB), 5)


def draw_before_after(photo: Photo, mask: Any, result: Any) -> bytes:
    """Draw before and after side by side, with a detail enlarged below, as a JPEG file."""
    import io

    from dip.panels import Panel, draw_panels, find_detail, mark, picture
    from dip.regions.damaged_image import DamagedImage

    pixels = photo.pixels
    unknown = DamagedImage(pixels, mask).soft_mask.unknown
    panels = [Panel(mark(picture(pixels), unknown), "before"), Panel(picture(result), "after")]
    height, width = unknown.shape
    width_px = max(1, min(PANEL_WIDTH_PX, PANEL_HEIGHT_PX * width // height))
    page = draw_panels(panels, width_px, detail=find_detail(unknown), titles=False)
    file = io.BytesIO()
    page.save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()


def device_of(settings: Settings) -> str:
    """Device and number format of a fit, such as 'cpu, bfloat16'."""
    from dip.machine import device

    return device.choose(settings.device).describe()


def _free_device_memory() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


if __name__ == "__main__":
    sys.exit(main())
