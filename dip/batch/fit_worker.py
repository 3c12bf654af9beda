"""The process that decodes, fits and encodes for a batch: `python -m dip.batch.fit_worker`.

It knows no files and no folders: image files come in as bytes, and go out as bytes. Whatever
happens to it, a crash of an image library or a want of memory, costs the one photo that it has.
torch is loaded once, with the first fit. When its standard input closes, whoever started it is
gone, and so is this process, in the middle of whatever it does.

It is told one thing at a time (see `dip.batch.fit_process` for the other end):

- `look`: what do these files claim to be?
- `fit`: restore this photo. It answers with the memory that takes, waits to be let go, says how
  far it is, and ends with the result or with the failure.
"""

from __future__ import annotations

import math
import os
import queue
import sys
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from dip.config import Settings
from dip.errors import DipError, MaskError, NotEnoughMemory
from dip.machine.pipe import Frame, receive, send

if TYPE_CHECKING:
    from dip.image_io import Photo
    from dip.restore import Restoration

EXIT_ORPHANED = 3
SAY_EVERY_S = 0.5
SHEET_PX = 320
SHEET_HEIGHT_PX = 480
BEST_PSNR_DB = 99.0  # held-out pixels met exactly: JSON has no infinity
SHEET_QUALITY = 82


def main() -> int:
    """Do what is asked until the pipe closes or nothing was asked for a while."""
    idle_s = float(sys.argv[1]) if len(sys.argv) > 1 else None
    source = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints must not speak into the answers
    asked: queue.Queue[Frame] = queue.Queue()
    threading.Thread(target=_listen, args=(source, asked), daemon=True).start()
    while True:
        try:
            frame = asked.get(timeout=idle_s)
        except queue.Empty:
            return 0
        if frame.content["do"] == "look":
            send(answers, {"looked": [_look(path) for path in frame.content["files"]]})
        else:
            _fit(frame, asked, answers)


def _listen(source: IO[bytes], asked: queue.Queue[Frame]) -> None:
    while (frame := receive(source)) is not None:
        asked.put(frame)
    os._exit(EXIT_ORPHANED)


def _look(path: str) -> dict[str, Any]:
    """What a file says of itself, or why it cannot be read."""
    from dip.image_io import read_header

    try:
        header = read_header(Path(path))
    except DipError as error:
        return {"error": error.as_dict()}
    return {"width": header.width, "height": header.height, "has_alpha": header.has_alpha}


# --- One fit ------------------------------------------------------------------------------------


def _fit(frame: Frame, asked: queue.Queue[Frame], answers: IO[bytes]) -> None:
    try:
        figures, blobs = _restore(frame, asked, answers)
    except DipError as error:
        send(answers, {"failed": error.as_dict()})
    except MemoryError:
        seen = "Memory ran out during the fit."
        shortage = NotEnoughMemory(seen, "Close other programs, or set a lower limit.")
        send(answers, {"failed": shortage.as_dict()})
    except Exception as error:
        # The edge of a photo: whatever happens in it ends it, and the next one is taken.
        import traceback

        traceback.print_exc()
        said = f"The fit failed: {type(error).__name__}: {error}."
        send(answers, {"failed": {"code": "internal", "message": said, "hint": ""}})
    else:
        send(answers, {"done": figures}, blobs)
    _free_device_memory()


def _restore(
    frame: Frame, asked: queue.Queue[Frame], answers: IO[bytes]
) -> tuple[dict[str, Any], list[bytes]]:
    from dip.image_io import decode_mask, decode_photo, encode_photo
    from dip.restore import Restoration

    wanted = frame.content
    photo = decode_photo(frame.blobs[0], wanted["name"])
    mask = decode_mask(frame.blobs[1], wanted["mask_name"]) if len(frame.blobs) > 1 else None
    if mask is None and not (photo.pixels.ndim == 3 and photo.pixels.shape[2] in (2, 4)):
        raise MaskError(
            f"{wanted['name']} has no mask, and no transparency.",
            "Give it a mask: white where it is to be restored.",
        )
    settings = Settings.from_mapping(wanted["settings"])
    restoration = Restoration(photo.pixels, mask, settings)
    send(
        answers,
        {
            "needs_mb": restoration.memory_mb,
            "iterations": restoration.iterations,
            "device": device_of(settings),
        },
    )
    asked.get()  # until there is room for it
    figures = _work(restoration, answers, wanted.get("limit_s"))
    if wanted.get("limit_s") is not None:
        return figures, []
    result = restoration.result()
    data = encode_photo(result, wanted["file_format"], like=photo)
    sheet = draw_sheet(photo, mask, result)
    return {**figures, "device": device_of(settings)}, [data, sheet]


def _work(
    restoration: Restoration, answers: IO[bytes], limit_s: float | None = None
) -> dict[str, Any]:
    """Fit, say how far it is, and return the figures."""
    began = said = time.monotonic()
    loss = validation_psnr_db = None
    notes = list(restoration.notes)
    done = 0
    for step in restoration:
        done = step.iteration
        loss = loss if step.loss is None else step.loss
        if step.validation_psnr_db is not None:
            validation_psnr_db = step.validation_psnr_db
        if step.note:
            notes.append(step.note)
        now = time.monotonic()
        if limit_s is not None and now - began > limit_s:
            break
        if now - said >= SAY_EVERY_S:
            said = now
            send(
                answers,
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
        "planned_iterations": restoration.iterations,
        "regions": len(restoration.regions),
        "fit_s": round(time.monotonic() - began, 3),
        "memory_mb": round(restoration.memory_mb),
        "notes": notes,
    }


def _number(value: float | None) -> float | None:
    """A figure that JSON can hold, or None."""
    if value is None or math.isnan(value):
        return None
    return round(min(value, BEST_PSNR_DB), 5)


def draw_sheet(photo: Photo, mask: Any, result: Any) -> bytes:
    """Draw before and after beside each other, with the same detail enlarged below: a JPEG."""
    import io

    from dip.panels import Panel, draw_panels, find_detail, mark, picture
    from dip.regions.damaged_image import DamagedImage

    pixels = photo.pixels
    unknown = DamagedImage(pixels, mask).coverage.unknown
    panels = [Panel(mark(picture(pixels), unknown), "before"), Panel(picture(result), "after")]
    height, width = unknown.shape
    width_px = max(1, min(SHEET_PX, SHEET_HEIGHT_PX * width // height))
    page = draw_panels(panels, width_px, detail=find_detail(unknown), titles=False)
    file = io.BytesIO()
    page.save(file, "JPEG", quality=SHEET_QUALITY)
    return file.getvalue()


def device_of(settings: Settings) -> str:
    """Where a fit runs and how, such as 'cpu, bfloat16'."""
    from dip.machine import device

    return device.choose(settings.device).describe()


def _free_device_memory() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


if __name__ == "__main__":
    sys.exit(main())
