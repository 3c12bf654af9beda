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
    from dip.image_io import Photo
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
    from dip.image_io import decode_mask, decode_photo, encode_photo, losses
    from dip.regions.mask import refuse_inverted
    from dip.restore import Restoration

    request = task.content
    photo = decode_photo(task.blobs[0], request["name"])
    mask = decode_mask(task.blobs[1], request["mask_name"]) if len(task.blobs) > 1 else None
    if mask is None and not (photo.pixels.ndim == 3 and photo.pixels.shape[2] in (2, 4)):
        raise MaskError(
            f"{request['name']} has no mask and no transparent pixels.",
            "Add a mask that is white where the photo is to be restored.",
        )
    form = request["file_format"]
    encode_photo(photo.pixels[:1, :1], form, like=photo)  # refused before the work
    if mask is not None and not request["mask_confirmed"]:
        refuse_inverted(mask, photo.pixels.shape, "give the same command with --yes")
    settings = Settings.from_mapping(request["settings"])
    restoration = Restoration(photo.pixels, mask, settings)
    parent.wait_for_admission(restoration.memory_mb, device_of(settings))
    figures = _work(restoration, parent, request.get("limit_s"))
    figures["notes"] = [*losses(photo, form), *figures["notes"]]
    if request.get("limit_s") is not None:
        return figures, []
    result = restoration.result()
    before_after = draw_before_after(photo, mask, result)
    try:
        data = encode_photo(result, form, like=photo)
    except OutputError as error:
        # A fit that is done is never thrown away: the parent writes it beside.
        data, figures["encoding_error"] = encode_photo(result, "tiff"), error.as_dict()
    return {**figures, "device": device_of(settings)}, [data, before_after]


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
