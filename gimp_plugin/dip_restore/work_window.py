"""The window during a restoration: preview, progress, Stop here and Cancel.

A thread of its own talks to the service. It touches nothing of GIMP or GTK: its events reach the
window through the main loop.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

import gi
from checks import Refusal, check_exists
from dip_client import ClientError
from layers import LayerCrop, render
from masks import Rect
from notes import Notes
from service import CannotStart, Service
from session import Cancelled, Details, Preview, Progress, Result, Session
from translation import _, number
from widgets import copy_to_clipboard, let_windows_close, progress_text, wrapped_label

gi.require_version("GdkPixbuf", "2.0")
gi.require_version("GimpUi", "3.0")
gi.require_version("Gtk", "3.0")
from gi.repository import GdkPixbuf, GimpUi, GLib, Gtk  # noqa: E402  # versions must be named first

PICTURE_PX = 480
_RETRY_EVERY_S = 1.0
_CHECK_EVERY_MS = 500
_RESPONSE_STOP = 1


def watch(session: Session, service: Service, image: Any, crop: LayerCrop) -> list[Result]:
    """Run a session to its end, and show it.

    Raises
    ------
    Cancelled, ClientError
    Refusal
        The image was closed, or the layer was deleted; the job is cancelled.
    """
    window = _Window(session, image, crop)
    worker = threading.Thread(target=run_session, args=[session, service, window], daemon=True)
    worker.start()
    window.run()
    session.close()
    if window.error is not None:
        raise window.error
    return window.results


def run_session(session: Session, service: Service, window: Any) -> None:
    """The body of the thread that talks to the service."""
    while True:
        try:
            for event in session.run():
                GLib.idle_add(window.show, event)
            GLib.idle_add(window.end, None)
        except CannotStart as error:
            GLib.idle_add(window.show_command, error)
            if _await_service(service, window):
                continue
        except Exception as error:
            # The edge of the thread: the main thread reports the error.
            GLib.idle_add(window.end, error)
        return


def _await_service(service: Service, window: Any) -> bool:
    """Wait until the user has started the service; False if the window is closed first."""
    while not window.closed.wait(_RETRY_EVERY_S):
        with suppress(ClientError):
            service.running().close()
            return True
    return False


class _Window:
    """The window of one session.

    Attributes
    ----------
    results : list of Result
    error : Exception or None
        The reason why there are no results.
    closed : threading.Event
        Set when the session has ended or is no longer wanted.
    """

    def __init__(self, session: Session, image: Any, crop: LayerCrop) -> None:
        self.error: Exception | None = None
        self.results: list[Result] = []
        self.closed = threading.Event()
        self._notes = Notes()
        self._finishing = False
        self._session, self._photograph, self._crop = session, image, crop
        self._originals: dict[Rect, Any] = {}
        self._preview: Any = None
        self._place = _first_view(crop)
        self._build()
        self._draw()
        self._bar.set_text(_("Looking for the restoration service…"))
        self._dialog.show_all()

    def run(self) -> None:
        """Show the window until the session has ended or is no longer wanted."""
        GLib.timeout_add(_CHECK_EVERY_MS, self._check_photograph)
        while not self.closed.is_set():
            Gtk.main_iteration()
        self._dialog.destroy()
        let_windows_close()

    def _build(self) -> None:
        self._dialog = GimpUi.Dialog(title="Deep Image Prior", role="dip-restore-work")
        self._dialog.add_button(_("_Cancel"), Gtk.ResponseType.CANCEL)
        self._stop = self._dialog.add_button(_("_Stop here"), _RESPONSE_STOP)
        self._stop.set_tooltip_text(
            _(
                "End now and keep the best result so far. A good moment is when the picture no "
                "longer improves."
            )
        )
        self._stop.set_sensitive(False)
        self._image = Gtk.Image()
        self._image.set_size_request(PICTURE_PX, PICTURE_PX * 3 // 4)
        clickable = Gtk.EventBox()
        clickable.set_tooltip_text(_("Click to compare with the original photograph."))
        clickable.add(self._image)
        clickable.connect("button-press-event", self._on_click)
        self._compare = Gtk.ToggleButton.new_with_mnemonic(_("Show the _original"))
        self._compare.connect("toggled", self._on_compare)
        self._bar = Gtk.ProgressBar(show_text=True)
        self._details = wrapped_label()
        self._details.set_selectable(True)
        self._details.set_tooltip_text(
            _(
                "Loss: how far the network's picture is from the undamaged pixels; lower is "
                "better. PSNR: how well the network predicts some undamaged pixels that are hidden "
                "from it, in decibels; higher is better."
            )
        )
        expander = Gtk.Expander.new_with_mnemonic(_("_Details"))
        expander.add(self._details)
        self._message = wrapped_label()
        self._message.set_selectable(True)
        self._copy = Gtk.Button.new_with_mnemonic(_("Co_py the command"))
        self._copy.set_no_show_all(True)
        box = self._dialog.get_content_area()
        box.set_spacing(6)
        box.set_border_width(12)
        for widget in (
            clickable, self._compare, self._bar, expander, self._message, self._copy,
        ):  # fmt: skip
            box.pack_start(widget, widget is clickable, widget is clickable, 0)
        self._dialog.connect("response", self._on_response)

    # --- Called through the main loop ------------------------------------------------------------

    def show(self, event: Progress | Preview | Result) -> None:
        if isinstance(event, Result):
            self.results.append(event)
        elif isinstance(event, Preview):
            self._show_preview(event)
        else:
            self._show_progress(event)

    def end(self, error: Exception | None) -> None:
        if not self.closed.is_set():
            self.error = error
            self.closed.set()

    def show_command(self, error: CannotStart) -> None:
        self._bar.set_text(_("Waiting for the restoration service…"))
        command = GLib.markup_escape_text(error.command)
        message = GLib.markup_escape_text(error.message)
        then = _("Run this command in a terminal. The work then continues by itself.")
        self._message.set_markup(
            f"{message}\n{GLib.markup_escape_text(then)}\n\n<tt><b>{command}</b></tt>"
        )
        self._copy.show()
        self._copy.connect("clicked", lambda button: copy_to_clipboard(error.command))

    # --- Inside ----------------------------------------------------------------------------------

    def _show_progress(self, progress: Progress) -> None:
        if progress.note:
            self._notes.add(progress.note)
        self._message.set_text("\n".join(self._notes.plain))
        self._copy.hide()
        if progress.fraction is None:
            self._bar.set_text(progress.text)
            self._bar.pulse()
            return
        self._stop.set_sensitive(not self._finishing)
        self._bar.set_fraction(progress.fraction)
        self._bar.set_text(progress_text(progress, self._finishing))
        if progress.details is not None:
            self._show_details(progress.details)

    def _show_details(self, details: Details) -> None:
        lines = [
            _("Network: {name}").format(name=details.network),
            _("Iteration: {done} of {all}").format(
                done=number(details.iteration), all=number(details.iterations)
            ),
        ]
        if details.loss is not None:
            lines.append(_("Loss: {value}").format(value=number(details.loss, ".4f")))
        if details.validation_psnr_db is not None:
            lines.append(
                _("PSNR over hidden pixels: {value} dB").format(
                    value=number(details.validation_psnr_db, ".1f")
                )
            )
        self._details.set_text("\n".join([*lines, *self._notes.technical]))

    def _show_preview(self, preview: Preview) -> None:
        loader = GdkPixbuf.PixbufLoader()
        try:
            loader.write(preview.jpeg)
            loader.close()
        except GLib.Error as error:
            with suppress(GLib.Error):
                loader.close()
            self._message.set_text(
                _("The preview cannot be shown: {reason}").format(reason=error.message)
            )
            return
        sent = self._crop.damage.crop
        self._place = Rect(preview.left, preview.top, preview.width, preview.height).moved(
            sent.x, sent.y
        )
        self._preview = loader.get_pixbuf()
        self._draw()

    def _draw(self) -> None:
        if self._compare.get_active() or self._preview is None:
            pixbuf = self._original(self._place)
        else:
            pixbuf = self._preview
        if pixbuf is not None:
            self._image.set_from_pixbuf(_scaled(pixbuf))

    def _original(self, place: Rect) -> Any:
        """The photograph before the restoration; None if its layer is gone."""
        if place not in self._originals:
            if not self._crop.layer.is_valid():
                return None
            data, width, height = render(self._crop.layer, place, 2 * PICTURE_PX)
            self._originals[place] = GdkPixbuf.Pixbuf.new_from_bytes(
                GLib.Bytes.new(data), GdkPixbuf.Colorspace.RGB, False, 8, width, height, 3 * width
            )
        return self._originals[place]

    def _on_compare(self, *args: Any) -> None:
        shown = self._compare.get_active()
        self._compare.set_label(_("Show the rest_oration") if shown else _("Show the _original"))
        self._draw()

    def _on_click(self, *args: Any) -> bool:
        self._compare.set_active(not self._compare.get_active())
        return True

    def _check_photograph(self) -> bool:
        """Cancel if the image was closed: GIMP stays usable. Whether to check again."""
        if self.closed.is_set():
            return False
        try:
            check_exists(self._photograph, self._crop.layer)
        except Refusal as refusal:
            self._cancel(refusal)
        return not self.closed.is_set()

    def _cancel(self, reason: Exception) -> None:
        self._session.cancel()
        self.error = self.error or reason
        self.results.clear()
        self.closed.set()

    def _on_response(self, dialog: Any, response: int) -> None:
        if response == _RESPONSE_STOP:
            self._session.stop()
            self._finishing = True
            self._stop.set_sensitive(False)
            self._bar.set_text(_("Finishing…"))
            return
        self._cancel(Cancelled())


def _first_view(crop: LayerCrop) -> Rect:
    """The part that is shown before the first preview: the damage and some surroundings."""
    box = crop.damage.box
    return box.grown(max(32, min(box.width, box.height) // 2), crop.damage.crop)


def _scaled(pixbuf: Any) -> Any:
    """The picture, as large as the window allows; small parts are enlarged."""
    scale = min(PICTURE_PX / pixbuf.get_width(), PICTURE_PX / pixbuf.get_height(), 8)
    width, height = (
        max(1, round(length * scale)) for length in (pixbuf.get_width(), pixbuf.get_height())
    )
    return pixbuf.scale_simple(width, height, GdkPixbuf.InterpType.BILINEAR)
