"""The photo on a page of the service, and how tests in a browser paint on it."""

from __future__ import annotations

from email.parser import BytesParser
from typing import Any

import numpy as np
import numpy.typing as npt

from dip import image_io


class Canvas:
    """The photo on a page, in pixels of the photo.

    Parameters
    ----------
    page : Page
    """

    def __init__(self, page: Any, width: int, height: int) -> None:
        self.page, self.width, self.height = page, width, height

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Convert a point of the photo to a position in the window; the photo is fitted."""
        box = self.page.locator("#stage").bounding_box()
        over = 68 if self.page.viewport_size["width"] > 940 else 20
        height = box["height"] - over - 60
        scale = min((box["width"] - 48) / self.width, height / self.height, 8)
        left = box["x"] + (box["width"] - scale * self.width) / 2
        top = box["y"] + over + (height - scale * self.height) / 2
        return left + scale * x, top + scale * y

    def draw(self, *points: tuple[float, float]) -> None:
        """Press at the first point, move over the others, release."""
        mouse = self.page.mouse
        mouse.move(*self.at(*points[0]))
        mouse.down()
        for point in points[1:]:
            mouse.move(*self.at(*point), steps=4)
        mouse.up()

    def mask(self) -> npt.NDArray[np.uint8]:
        """The mask that a job would get: (H, W) uint8."""
        return read_mask(self.page)


def read_mask(page: Any) -> npt.NDArray[np.uint8]:
    """Press Restore while jobs are refused, and read the mask that was sent."""
    taken: list[bytes] = []

    def refuse(route: Any) -> None:
        request = route.request
        head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
        for part in BytesParser().parsebytes(head + request.post_data_buffer).get_payload():
            if part.get_param("name", header="content-disposition") == "mask":
                taken.append(part.get_payload(decode=True))
        body = '{"error": {"code": "queue_full", "message": "Taken by a test.", "hint": ""}}'
        route.fulfill(status=429, body=body, content_type="application/json")

    expected = "Failed to load resource: the server responded with a status of 429"
    page.context.expected.append(expected)
    page.route("**/v1/jobs", refuse)
    page.click("#restore")
    page.wait_for_selector(".toast:has-text('Taken by a test')")
    page.unroute("**/v1/jobs")
    page.evaluate("document.getElementById('toasts').replaceChildren()")
    return image_io.read_mask(taken[0])


def colour_at(page: Any, x: float, y: float, layer: str = "photo") -> list[int]:
    """The colour of a layer of the stage at a position in the window: red, green, blue, alpha."""
    colour: list[int] = page.evaluate(
        """([x, y, name]) => {
          const layer = document.getElementById(`${name}-layer`);
          const box = layer.getBoundingClientRect(), ratio = layer.width / box.width;
          const context = layer.getContext("2d");
          const place = [(x - box.left) * ratio, (y - box.top) * ratio];
          return [...context.getImageData(...place, 1, 1).data];
        }""",
        [x, y, layer],
    )
    return colour
