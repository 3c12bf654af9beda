"""Marking the damage: a job gets the painted mask, exact to the pixel."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dip.image_io import encode_photo

LINE = ((20, 40), (76, 40))


def capsule(width: int, height: int, a: Any, b: Any, radius: float) -> np.ndarray:
    """Distance to a line with round ends, px: (H, W)."""
    y, x = np.mgrid[:height, :width] + 0.5
    (ax, ay), (bx, by) = a, b
    along = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / ((bx - ax) ** 2 + (by - ay) ** 2)
    along = np.clip(along, 0, 1)
    return np.hypot(x - ax - along * (bx - ax), y - ay - along * (by - ay)) - radius


def brush_px(page: Any) -> float:
    return 0.5 * 1.062 ** float(page.input_value("#brush-size"))


def test_a_brush_stroke_is_a_smooth_line(canvas: Any) -> None:
    canvas.draw(*LINE)
    mask = canvas.mask()
    beyond = capsule(96, 80, *LINE, brush_px(canvas.page))
    assert (mask[beyond < -1] == 255).all()
    assert (mask[beyond > 1] == 0).all()
    assert 0 < np.count_nonzero((mask > 0) & (mask < 255)) < 300  # a smooth edge


def test_undo_and_redo_bring_back_every_state(canvas: Any) -> None:
    page, states = canvas.page, []
    assert page.is_disabled("#undo")
    strokes = [((20, 20), (70, 20)), ((20, 40), (70, 40)), ((20, 60), (70, 60))]
    for stroke in strokes:
        canvas.draw(*stroke)
        states.append(canvas.mask())
    for state in reversed(states[:-1]):
        page.keyboard.press("Control+z")
        assert np.array_equal(canvas.mask(), state)
    page.keyboard.press("Control+z")
    assert page.is_disabled("#restore")
    for state in states:
        page.keyboard.press("Control+Shift+Z")
        assert np.array_equal(canvas.mask(), state)
    assert page.is_disabled("#redo")
    page.click("#undo")
    canvas.draw((40, 10), (60, 10))  # a new step ends the redo
    assert page.is_disabled("#redo")


def test_the_eraser_unmarks_its_path(canvas: Any) -> None:
    canvas.draw(*LINE)
    before = canvas.mask()
    canvas.page.keyboard.press("e")
    canvas.draw((48, 30), (48, 50))
    after = canvas.mask()
    beyond = capsule(96, 80, (48, 30), (48, 50), brush_px(canvas.page))
    assert (after[beyond < -1] == 0).all()
    assert np.array_equal(after[beyond > 1], before[beyond > 1])


def test_a_rectangle_fills_whole_pixels_and_alt_unmarks_them(canvas: Any) -> None:
    canvas.page.keyboard.press("r")
    canvas.draw((10, 20), (50, 60))
    canvas.page.keyboard.down("Alt")
    canvas.draw((20, 30), (40, 50))
    canvas.page.keyboard.up("Alt")
    expected = np.zeros((80, 96), dtype=np.uint8)
    expected[20:60, 10:50] = 255
    expected[30:50, 20:40] = 0
    assert np.array_equal(canvas.mask(), expected)


def test_a_lasso_fills_its_inside(canvas: Any) -> None:
    canvas.page.keyboard.press("l")
    canvas.draw((20, 20), (70, 20), (70, 60), (20, 60))
    mask = canvas.mask()
    assert (mask[22:58, 22:68] == 255).all()
    outside = mask.copy()
    outside[18:62, 18:72] = 0
    assert not outside.any()


def test_grow_and_shrink_move_the_edge_by_a_pixel(canvas: Any, until: Callable[..., Any]) -> None:
    page = canvas.page
    page.keyboard.press("r")
    canvas.draw((10, 20), (50, 60))
    page.click("#grow")
    until(lambda: canvas.mask().sum() > 255 * 40 * 40)
    grown = canvas.mask()
    assert (grown[20:60, 9:51] == 255).all()
    assert (grown[19:61, 10:50] == 255).all()
    assert grown.sum() == 255 * (42 * 40 + 2 * 40)
    page.keyboard.press("Shift+G")
    until(lambda: canvas.mask().sum() == 255 * 40 * 40)
    page.keyboard.press("Control+z")
    assert np.array_equal(canvas.mask(), grown)


def test_a_mark_that_grows_stays_nearly_round(canvas: Any) -> None:
    page = canvas.page
    page.keyboard.press("r")
    canvas.draw((40, 30), (42, 32))
    for height in (4, 6, 8, 10):
        page.keyboard.press("g")
        deadline = time.monotonic() + 60
        while (rows := np.flatnonzero(canvas.mask().any(axis=1))).size != height:
            assert time.monotonic() < deadline
    # A cross and a square in turn: the corners of an octagon, neither a diamond nor a square.
    mask = canvas.mask() > 0
    across = [int(row.sum()) for row in mask[rows[0] : rows[-1] + 1]]
    assert across == [6, 8, 10, 10, 10, 10, 10, 10, 8, 6]


def test_clear_unmarks_everything_and_can_be_undone(canvas: Any) -> None:
    canvas.draw(*LINE)
    before = canvas.mask()
    canvas.page.keyboard.press("Delete")
    assert canvas.page.is_disabled("#restore")
    canvas.page.keyboard.press("Control+z")
    assert np.array_equal(canvas.mask(), before)


def test_a_mask_file_is_read_as_the_engine_reads_it(canvas: Any, tmp_path: Path) -> None:
    mask = np.zeros((80, 96), dtype=np.uint16)
    mask[30:50, 20:60] = np.linspace(0, 65535, 40).astype(np.uint16)
    path = tmp_path / "mask.tif"
    path.write_bytes(encode_photo(mask, "tiff"))
    canvas.page.set_input_files("#mask-file", path)
    canvas.page.wait_for_selector("#restore:enabled")
    assert np.array_equal(canvas.mask(), np.rint(mask / 257).astype(np.uint8))


def test_a_mask_of_another_size_is_refused_with_both_sizes(canvas: Any, tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    path.write_bytes(encode_photo(np.zeros((8, 9), dtype=np.uint8), "png"))
    canvas.page.set_input_files("#mask-file", path)
    said = canvas.page.text_content(".toast")
    assert "9 × 8 px" in said
    assert "96 × 80 px" in said


def test_the_keyboard_can_paint(canvas: Any) -> None:
    page = canvas.page
    page.focus("#stage")
    page.keyboard.press("Enter")
    for _ in range(3):
        page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Enter")
    mask = canvas.mask()
    assert mask[40, 48] == 255
    assert mask[40, 60] == 255
    page.keyboard.press("r")
    page.focus("#stage")
    page.keyboard.press("Enter")
    for key in ("Shift+ArrowDown", "Shift+ArrowLeft"):
        page.keyboard.press(key)
    page.keyboard.press("Escape")  # cancels the rectangle
    page.keyboard.press("Enter")
    assert np.array_equal(canvas.mask(), mask)


def test_two_fingers_zoom_and_paint_nothing(canvas: Any) -> None:
    page = canvas.page
    before = page.text_content("#zoom-shown")
    session = page.context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        session.send(
            "Input.dispatchTouchEvent",
            {"type": kind, "touchPoints": [{"x": x, "y": y, "id": i}
                                           for i, (x, y) in enumerate(points)]},
        )  # fmt: skip

    x, y = canvas.at(48, 40)
    touch("touchStart", (x, y))
    touch("touchStart", (x, y), (x + 40, y))
    for spread in range(0, 100, 20):
        touch("touchMove", (x - spread, y), (x + 40 + spread, y))
    touch("touchEnd")
    assert int(page.text_content("#zoom-shown")[:-1]) > int(before[:-1]) * 1.5
    assert page.is_disabled("#restore")
    # One finger paints.
    page.click("#zoom-fit")
    touch("touchStart", canvas.at(30, 40))
    touch("touchMove", canvas.at(60, 40))
    touch("touchEnd")
    assert canvas.mask()[40, 45] == 255


def test_transparency_is_offered_where_there_is_any(
    page: Any, choose: Any, scratched: Any, tmp_path: Path
) -> None:
    choose(page, scratched)
    assert page.is_hidden("#use-transparency")
    alpha = np.full((80, 96, 1), 255, dtype=np.uint8)
    alpha[30:40, 30:60] = 0
    choose(page, np.concatenate([scratched, alpha], axis=2), "holes.png")
    page.click("#use-transparency")
    page.wait_for_selector("#restore:enabled")
    assert "transparent" in page.text_content("#marked")
    page.click("#use-transparency")
    assert page.is_disabled("#restore")


def test_a_photo_can_be_dropped_and_pasted(page: Any, scratched: Any) -> None:
    data = list(encode_photo(scratched, "png"))
    for kind, name in (("drop", "dropped.png"), ("paste", "pasted.png")):
        page.evaluate(
            """([kind, name, data]) => {
              const files = new DataTransfer();
              files.items.add(new File([new Uint8Array(data)], name, {type: "image/png"}));
              dispatchEvent(kind === "drop" ? new DragEvent(kind, {dataTransfer: files})
                : new ClipboardEvent(kind, {clipboardData: files}));
            }""",
            [kind, name, data],
        )
        page.wait_for_function(
            "name => document.getElementById('about-photo').textContent.startsWith(name)", arg=name
        )


def test_a_file_that_is_no_picture_is_refused_with_a_reason(
    empty_page: Any, tmp_path: Path
) -> None:
    page, path = empty_page, tmp_path / "letter.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"no picture")
    page.context.expected.append("Failed to load resource: the server responded with a status of 4")
    page.set_input_files("#photo-file", path)
    assert "cannot be decoded" in page.text_content(".toast")
    assert page.get_attribute("body", "data-mode") == "empty"


def test_packed_tiles_come_back_and_never_take_more_than_their_pixels(page: Any) -> None:
    answer = page.evaluate(
        """async () => {
          const app = document.querySelector("script[type=module]").src;
          const {pack, packPlaces, unpack, isEmpty} =
            await import(new URL("painting/packing.js", app));
          const {MaskTile} = await import(new URL("painting/mask-tile.js", app));
          let seed = 1;
          const size = 2 ** 18, random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
          const tiles = [0, 0.0001, 0.01, 0.3, 1].map((share) =>
            Uint8Array.from({length: size}, () => (random() < share ? 1 + 255 * random() : 0)));
          const runs = new Uint8Array(size);
          for (let at = 0; at < size; ) runs.fill(256 * random(), at, (at += 1 + 40 * random()));
          tiles.push(runs, new Uint8Array(size).fill(255), new Uint8Array(size).fill(7, size - 1));
          const same = (one, two) => one.length === two.length && one.every((value, at) => value === two[at]);
          const drawn = (values, level) => {
            const tile = new MaskTile(1, 2), side = 512 >> level;
            tile.put(values);
            tile.show(level, [255, 64, 58]);
            return tile.canvas.getContext("2d").getImageData(0, 0, side, side).data;
          };
          const places = (tile) => tile.flatMap((value, at) => (value ? [at] : []));
          const flat = tiles.map((tile) => tile.map((value) => value && 255));
          return {
            drawn: [0, 1, 4].map((level) =>
              tiles.every((tile) => same(drawn(pack(tile), level), drawn(tile, level)))),
            places: flat.map((tile) =>
              same(unpack(packPlaces(places(Array.from(tile)), 255, size)), tile)),
            same: tiles.map((tile) => same(unpack(pack(tile)), tile)),
            bytes: tiles.map((tile) => pack(tile).byteLength),
            empty: tiles.map(isEmpty),
          };
        }"""  # noqa: E501  # JavaScript
    )
    assert answer["same"] == answer["places"] == [True] * 8
    assert answer["drawn"] == [True] * 3
    assert answer["bytes"][0] == 4
    assert max(answer["bytes"]) == 2**18
    assert answer["empty"] == [True] + [False] * 7


def test_undo_stays_within_its_limit_of_memory(page: Any) -> None:
    kept = page.evaluate(
        """async () => {
          const app = document.querySelector("script[type=module]").src;
          const {UndoHistory} = await import(new URL("painting/undo.js", app));
          const {Mask} = await import(new URL("painting/mask.js", app));
          const history = new UndoHistory(2 ** 20), mask = new Mask(1024, 1024, [255, 0, 0]);
          history.watch(mask);
          const noise = () => Uint8Array.from({length: 2 ** 18}, () => 256 * Math.random());
          for (let step = 0; step < 4; step++) {
            history.step(() => mask.replace([[0, 0, noise()], [0, 1, noise()], [1, 0, noise()]]));
          }
          let steps = 0;
          const bytes = history.bytes;
          while (history.undo()) steps++;
          return {bytes, steps};
        }"""
    )
    assert kept["steps"] == 1  # noise does not compress; the last step is always kept
    assert kept["bytes"] < 5 * 2**20


@pytest.mark.parametrize("orientation", ["none", "turned"])
def test_a_photo_with_an_orientation_is_converted_by_the_service(
    page: Any, choose: Any, scratched: Any, tmp_path: Path, orientation: str
) -> None:
    """Not every browser obeys an orientation in a PNG; the engine does."""
    import io

    from PIL import Image

    exif = Image.Exif()
    if orientation == "turned":
        exif[0x0112] = 6
    path, data = tmp_path / "turned.png", io.BytesIO()
    Image.fromarray(scratched).save(
        data, "png", **({"exif": exif} if orientation == "turned" else {})
    )
    path.write_bytes(data.getvalue())
    page.set_input_files("#photo-file", path)
    expected = "80 × 96" if orientation == "turned" else "96 × 80"
    page.wait_for_selector(f"#about-photo:has-text('{expected}')")
