"""Measure the page in a real Chromium, or take the README's screenshot of it.

    python tests/benchmarks/bench_page.py paint|strokes|preview|large|screenshot [--help]

The service, its worker and the browser are real; times come from the browser's clock and trace.
Figures are printed as one JSON object. `strokes` also writes its trace.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from bench_server import running_service
from playwright.sync_api import sync_playwright
from process_watch import cpu_s, watched_memory

from dip.image_io import encode_photo
from dip.sample_photo import astronaut, draw_damage

SWITCHES = ["--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
FRAME_MS = 1000 / 60


@contextmanager
def running_browser() -> Iterator[Any]:
    path = os.environ.get("DIP_TEST_CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=path, args=SWITCHES, chromium_sandbox=os.geteuid() != 0
        )
        yield browser
        browser.close()


def open_page(browser: Any, client: Any) -> Any:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(600_000)
    page.goto(client.launch())
    page.wait_for_selector("#presets label")
    return page


def percentiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "p50": round(statistics.median(ordered), 1),
        "p95": round(ordered[math.ceil(0.95 * len(ordered)) - 1], 1),
        "max": round(ordered[-1], 1),
    }


def measure_paint(args: argparse.Namespace) -> dict[str, Any]:
    """Measure the first paint with an empty cache, and the bytes that the empty page transfers."""
    paints, sizes = [], []
    with running_service() as (_, client, _), running_browser() as browser:
        for _ in range(args.rounds):
            page = open_page(browser, client)
            paints.append(
                page.evaluate(
                    """() => performance.getEntriesByName("first-contentful-paint")[0].startTime"""
                )
            )
            sizes.append(
                page.evaluate(
                    """() => performance.getEntries()
                      .reduce((sum, each) => sum + (each.transferSize ?? 0), 0)"""
                )
            )
            page.close()
    return {"first_paint_ms": percentiles(paints), "bytes": max(sizes)}


def large_photo() -> Any:
    """A noisy photo of 24 megapixels with 300 bright specks: (4000, 6000, 3) uint8."""
    width, height = 6000, 4000
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    random = np.random.default_rng(0)
    noise = random.normal(0, 12, (height, width, 1))
    planes = [columns / width * 255, rows / height * 255, 255 - columns / width * 255]
    photo = np.clip(np.stack(planes, axis=-1) + noise, 0, 255).astype(np.uint8)
    for top, left in random.integers(20, (height - 20, width - 20), (300, 2)):
        photo[top : top + 8, left : left + 8] = 250
    return photo


def measure_strokes(args: argparse.Namespace) -> dict[str, Any]:
    """Measure brush strokes on a large photo: frames per second and the cost of a frame."""
    with (
        tempfile.TemporaryDirectory() as folder,
        running_service() as (_, client, _),
        running_browser() as browser,
    ):
        path = Path(folder) / "large.jpg"
        path.write_bytes(encode_photo(large_photo(), "jpeg"))
        page = open_page(browser, client)
        began = time.monotonic()
        page.set_input_files("#photo-file", path)
        page.wait_for_selector("body[data-mode=edit]")
        opened_s = time.monotonic() - began
        time.sleep(3)  # until the finest tiles are there
        page.evaluate(
            """size => { const slider = document.getElementById("brush-size");
              slider.value = size; slider.dispatchEvent(new Event("input")); }""",
            str(args.brush),
        )
        if args.zoomed:
            page.keyboard.press("1")
        page.evaluate(
            """() => {
              const times = window.frames = [];
              const count = (now) => { times.push(now); requestAnimationFrame(count); };
              requestAnimationFrame(count);
            }"""
        )
        browser.start_tracing(page=page, path=args.trace, screenshots=False)
        stroke(page, args.seconds)
        browser.stop_tracing()
        times = page.evaluate("() => window.frames")
        brush_px = page.text_content("#brush-size-shown")
        began = time.monotonic()
        page.keyboard.press("w")
        page.wait_for_selector("#find-accept:enabled")
        first_answer_s = time.monotonic() - began
        page.wait_for_function("() => performance.getEntriesByName('found').length > 0")
        found_s = time.monotonic() - began
    gaps = [after - before for before, after in itertools.pairwise(times)]
    seconds = (times[-1] - times[0]) / 1000
    return {
        "opened_s": round(opened_s, 2),
        "first_answer_s": round(first_answer_s, 2),
        "found_s": round(found_s, 2),
        "brush": brush_px,
        "frames_per_s": round(len(gaps) / seconds, 1),
        "between_frames_ms": percentiles(gaps),
        "late_frames": round(sum(gap > 1.5 * FRAME_MS for gap in gaps) / len(gaps), 4),
        "main_thread_ms_a_frame": cost_of_frames(Path(args.trace), len(gaps)),
        "trace": args.trace,
    }


WATCH = """() => {
  window.tasks = [];
  const seen = (list) => window.tasks.push(...list.getEntries().map((each) => each.duration));
  new PerformanceObserver(seen).observe({type: "longtask"});
}"""
"""Collects the tasks of over 50 ms on the page's main thread."""


def measure_large(args: argparse.Namespace) -> dict[str, Any]:
    """Measure a photo of 24 megapixels: the slider, freezes, *Stop here*, and memory."""
    figures: dict[str, Any] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        running_service() as (service, client, _),
        running_browser() as browser,
        watched_memory(service) as memory,
    ):
        path, trace = Path(folder) / "large.jpg", Path(folder) / "trace.json"
        path.write_bytes(encode_photo(large_photo(), "jpeg"))
        page = open_page(browser, client)
        page.evaluate(WATCH)

        def begin() -> None:
            browser.start_tracing(
                page=page, path=trace, screenshots=False, categories=["toplevel", "__metadata"]
            )

        def note(name: str) -> None:
            page.wait_for_timeout(500)
            browser.stop_tracing()
            tasks = page.evaluate("() => window.tasks.splice(0)")
            figures[name] = {
                "longest_task_ms": round(max(tasks, default=0)),
                "longest_task_cpu_ms": cost_of_frames(trace, 1)["longest_task"],
                "most_memory_mb": round(memory.tab_mb),
            }
            begin()

        begin()
        page.set_input_files("#photo-file", path)
        page.wait_for_selector("body[data-mode=edit]")
        page.wait_for_timeout(3000)  # until the finest tiles are there
        note("opening")
        page.keyboard.press("w")
        page.wait_for_function("() => performance.getEntriesByName('found').length > 0")
        note("finding")
        figures["slider_ms"] = percentiles([move_slider(page, each) for each in SENSITIVITIES])
        note("slider")
        page.click("#find-accept")
        page.wait_for_timeout(1000)
        for _ in range(3):
            page.keyboard.press("g")
            page.wait_for_timeout(2000)
        note("growing")
        page.click("#restore")
        page.wait_for_selector("#stop:enabled")
        memory.service_mb = 0.0  # the search has taken more
        page.wait_for_timeout(1000 * args.seconds)
        running_mb, memory.service_mb = memory.service_mb, 0.0
        figures["answer_to_stop_ms"] = round(page.evaluate(STOP))
        began, used_s = time.monotonic(), cpu_s(service)
        page.wait_for_selector("#job-result:not([hidden])")
        figures["stopped_s"] = round(time.monotonic() - began, 2)
        figures["stopped_cpu_s"] = round(cpu_s(service) - used_s, 2)
        page.wait_for_timeout(3000)
        figures["service_memory_mb"] = {
            "running": round(running_mb), "stopping": round(memory.service_mb)
        }  # fmt: skip
        note("restoring")
        browser.stop_tracing()
    return figures


SENSITIVITIES = (20, 80, 35, 65, 50, 90, 10, 60, 40, 50)
STOP = """async () => {
  const title = document.getElementById("job-title"), before = title.textContent;
  const began = performance.now();
  document.getElementById("stop").click();
  while (title.textContent === before) await new Promise(requestAnimationFrame);
  return performance.now() - began;
}"""


def move_slider(page: Any, sensitivity: int) -> float:
    """Milliseconds until the marks that follow the slider are on the screen."""
    took: float = page.evaluate(
        """async (value) => {
          performance.clearMarks("shown");
          const slider = document.getElementById("find-sensitivity");
          const began = performance.now();
          slider.value = value;
          slider.dispatchEvent(new Event("input"));
          const isShown = () => performance.getEntriesByName("shown").length > 0;
          while (!isShown()) await new Promise((done) => setTimeout(done, 2));
          return performance.getEntriesByName("shown")[0].startTime - began;
        }""",
        sensitivity,
    )
    return took


def stroke(page: Any, seconds: float) -> None:
    """Draw loops over the photo, at the rate of a mouse."""
    began = time.monotonic()
    page.mouse.move(700, 400)
    page.mouse.down()
    while (now := time.monotonic() - began) < seconds:
        page.mouse.move(620 + 330 * math.sin(2.1 * now), 470 + 260 * math.sin(3.3 * now + 1))
    page.mouse.up()


def cost_of_frames(trace: Path, frames: int) -> dict[str, float]:
    """Read a trace: CPU time of the main thread per frame (mean), and of its longest task, ms."""
    events = json.loads(trace.read_text())["traceEvents"]
    mains = {
        (each["pid"], each["tid"])
        for each in events
        if each["name"] == "thread_name" and each["args"]["name"] == "CrRendererMain"
    }
    tasks = [
        each["tdur"] / 1000
        for each in events
        if each["name"].endswith("RunTask") and (each["pid"], each["tid"]) in mains
        and "tdur" in each
    ]  # fmt: skip
    return {"mean": round(sum(tasks) / max(1, frames), 2), "longest_task": round(max(tasks), 1)}


def measure_preview(args: argparse.Namespace) -> dict[str, Any]:
    """Measure the delay of previews: from the worker's file to the frame that shows it."""
    rows, columns = np.mgrid[:600, :800]
    photo = np.stack([columns % 256, rows % 256, (rows + columns) % 256], -1).astype(np.uint8)
    mask = np.zeros((600, 800), dtype=np.uint8)
    mask[290:310, 390:410] = 255
    written: dict[int, float] = {}
    with running_service() as (_, client, settings), running_browser() as browser:
        job_id = client.submit(
            encode_photo(photo, "png"), encode_photo(mask, "png"), iterations=100_000
        )["id"]
        folder = settings.files_dir / job_id
        done = threading.Event()

        def watch() -> None:
            while not done.is_set():
                for path in folder.glob("preview.*"):
                    with suppress(FileNotFoundError):
                        written.setdefault(int(path.suffix[1:]), path.stat().st_mtime)
                time.sleep(0.005)

        thread = threading.Thread(target=watch)
        thread.start()
        page = open_page(browser, client)
        page.wait_for_function(
            "count => performance.getEntriesByName('preview').length >= count", arg=args.rounds
        )
        shown = page.evaluate(
            """() => performance.getEntriesByName("preview")
              .map((each) => [each.detail.number, performance.timeOrigin + each.startTime])"""
        )
        done.set()
        thread.join()
        client.delete(job_id)
    # The first preview may be older than the page.
    delays = [at - 1000 * written[number] for number, at in shown[1:] if number in written]
    return {"previews": len(delays), "worker_to_screen_ms": percentiles(delays)}


def take_screenshot(args: argparse.Namespace) -> None:
    """Restore a damaged portrait from scikit-image, and save the page that shows the result."""
    damage = draw_damage(astronaut()[:320, 96:416])
    files = encode_photo(damage.photo, "png"), encode_photo(damage.mask, "png")
    with running_service() as (_, client, _), running_browser() as browser:
        job_id = client.submit(*files, preset=args.preset)["id"]
        client.wait(job_id)
        page = open_page(browser, client)
        page.set_viewport_size({"width": 1200, "height": 750})
        page.emulate_media(color_scheme="dark")
        names = json.dumps({job_id: "portrait.png"})
        page.evaluate("names => localStorage.setItem('dip-names', names)", names)
        page.goto(f"{page.url.partition('#')[0]}#job={job_id}")
        page.reload()
        page.wait_for_selector(".divider")
        page.wait_for_timeout(1000)  # until the finest tiles are drawn
        page.screenshot(path=args.path, type="jpeg", quality=82)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    paint = commands.add_parser("paint", help=measure_paint.__doc__)
    paint.add_argument("--rounds", type=int, default=9)
    strokes = commands.add_parser("strokes", help=measure_strokes.__doc__)
    strokes.add_argument("--seconds", type=float, default=10)
    strokes.add_argument("--brush", type=int, default=75, help="the slider, 1 to 100")
    strokes.add_argument("--zoomed", action="store_true", help="at full size instead of fitted")
    strokes.add_argument("--trace", default="page_trace.json", help="a file for DevTools")
    preview = commands.add_parser("preview", help=measure_preview.__doc__)
    preview.add_argument("--rounds", type=int, default=30)
    large = commands.add_parser("large", help=measure_large.__doc__)
    large.add_argument("--seconds", type=float, default=20, help="of work before *Stop here*")
    screenshot = commands.add_parser("screenshot", help=take_screenshot.__doc__)
    screenshot.add_argument("path", type=Path, help="a JPEG file, such as tests/browser/page.jpg")
    screenshot.add_argument("--preset", default="balanced")
    args = parser.parse_args()
    if args.command == "screenshot":
        take_screenshot(args)
        return
    measures = {
        "paint": measure_paint, "strokes": measure_strokes, "preview": measure_preview,
        "large": measure_large,
    }  # fmt: skip
    print(json.dumps({"load": os.getloadavg()[0], **measures[args.command](args)}, indent=2))


if __name__ == "__main__":
    main()
