"""What one sees: the questions before, and the work itself.

Nothing of GIMP or GTK is touched by the thread that talks to the service: what it hears is passed
on through the main loop.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import gi
import layers
from checks import Refusal, check_output, check_there
from damage import find_damage, likely_damage
from dip_client import ClientError
from masks import Rect
from service import CannotStart, Service, where_photos_go
from session import Cancelled, Filled, Preview, Progress, Session

gi.require_version("Gdk", "3.0")
gi.require_version("GimpUi", "3.0")
gi.require_version("Gtk", "3.0")
from gi.repository import GdkPixbuf, GimpUi, GLib, Gtk  # noqa: E402  # versions must be named first

PICTURE_PX = 480
_LOOK_EVERY_S, _LOOK_EVERY_MS = 1.0, 500
_RESPONSE_STOP = 1

_WELCOME = "The damage is filled from the rest of this photograph. Nothing is pre-trained."
_ADVANCED = ("texture", "iterations", "device", "threads", "max-memory")


def begin(name: str) -> None:
    """Make windows possible. Without a screen this ends the process."""
    GimpUi.init(name)


# --- Before --------------------------------------------------------------------------------------


def ask(procedure: Any, config: Any, image: Any, layer: Any, service: Service) -> bool:
    """Ask what is wanted; the answers are in `config`. False: nothing is."""
    _suggest_damage(config, image, layer)
    dialog = GimpUi.ProcedureDialog.new(procedure, config, "Deep Image Prior")
    dialog.set_ok_label("Res_tore")
    if help_button := dialog.get_widget_for_response(Gtk.ResponseType.HELP):
        help_button.hide()  # the tooltips are all there is
    names = ["damage", "grow", "network", "preset", "output", "seed"]
    if layer.is_indexed():
        names.append("allow-rgb")
    dialog.fill_box("questions", names)
    dialog.get_scale_entry("texture", 1.0)  # a slider: found by trying
    dialog.fill_box("advanced-box", list(_ADVANCED))
    dialog.get_label("advanced-title", "Advanced", False, False)
    dialog.fill_expander("advanced", "advanced-title", False, "advanced-box")
    dialog.fill(["questions", "advanced"])

    welcome = _wrapped(_WELCOME)
    found = _wrapped("")

    def tell(where: str) -> None:
        welcome.set_text(f"{_WELCOME} {where}")

    threading.Thread(target=_warm_up, args=[service, tell], daemon=True).start()
    content = dialog.get_content_area()
    for place, label in enumerate((welcome, found)):
        content.pack_start(label, False, False, 6)
        content.reorder_child(label, place)
        label.show()

    def look(*_: Any) -> None:
        source, grow_px = config.get_property("damage"), config.get_property("grow")
        try:
            check_output(
                image,
                layer,
                config.get_property("output"),
                source,
                config.get_property("allow-rgb"),
            )
            damage = find_damage(image, layer, source, grow_px)
        except Refusal as refusal:
            found.set_markup(f"<b>{GLib.markup_escape_text(str(refusal))}</b>")
            dialog.set_response_sensitive(Gtk.ResponseType.OK, False)
        else:
            found.set_text(f"To be restored: {damage.in_words}.")
            dialog.set_response_sensitive(Gtk.ResponseType.OK, True)

    watched = [
        config.connect(f"notify::{name}", look)
        for name in ("damage", "grow", "output", "allow-rgb")
    ]
    # The image can be worked on meanwhile: the selection may be made now.
    watched_window = dialog.connect("focus-in-event", lambda *_: look())
    look()
    wanted = bool(dialog.run())
    for handler in watched:
        config.disconnect(handler)
    dialog.disconnect(watched_window)
    dialog.destroy()
    _let_go()
    return wanted


def _suggest_damage(config: Any, image: Any, layer: Any) -> None:
    """Where what was chosen last is not there, choose what is."""
    try:
        find_damage(image, layer, config.get_property("damage"), 0)
    except Refusal:
        config.set_property("damage", likely_damage(image, layer))


def _warm_up(service: Service, tell: Callable[[str], None]) -> None:
    """Have everything ready by the time that Restore is pressed, and say who gets the photo."""
    # Where this fails it is said when it matters.
    with suppress(ClientError, OSError), service.connect() as client:
        GLib.idle_add(tell, where_photos_go(client))


# --- Meanwhile -----------------------------------------------------------------------------------


def watch(
    session: Session, service: Service, image: Any, cutting: layers.LayerCrop
) -> list[Filled]:
    """Show a session at work, to its end.

    Raises
    ------
    Cancelled, ClientError
    Refusal
        The image was closed, or the layer deleted: what works for it is ended.
    """
    window = _Window(session, image, cutting)
    worker = threading.Thread(target=_work, args=[session, service, window], daemon=True)
    worker.start()
    window.run()
    session.close()
    if window.error is not None:
        raise window.error
    return window.results


def _work(session: Session, service: Service, window: _Window) -> None:
    """The thread that talks to the service."""
    while True:
        try:
            for happening in session.run():
                GLib.idle_add(window.show, happening)
            GLib.idle_add(window.end, None)
        except CannotStart as error:
            GLib.idle_add(window.show_command, error)
            if _wait_for(service, window):
                continue
        except Exception as error:
            # The edge of the thread: the main one decides what to make of it.
            GLib.idle_add(window.end, error)
        return


def _wait_for(service: Service, window: _Window) -> bool:
    """Wait until the user has started the service; False: the user gave up."""
    while not window.closed.wait(_LOOK_EVERY_S):
        with suppress(ClientError):
            service.running().close()
            return True
    return False


class _Window:
    """The window that shows a session at work."""

    def __init__(self, session: Session, image: Any, cutting: layers.LayerCrop) -> None:
        self.error: Exception | None = None
        self.results: list[Filled] = []
        self.closed = threading.Event()
        self._session, self._photograph, self._cutting = session, image, cutting
        self._before: dict[Rect, Any] = {}
        self._after: Any = None
        self._place = _whole_view(cutting)

        self._dialog = GimpUi.Dialog(title="Deep Image Prior", role="dip-restore-work")
        self._dialog.add_button("_Cancel", Gtk.ResponseType.CANCEL)
        self._stop = self._dialog.add_button("_Stop here", _RESPONSE_STOP)
        self._stop.set_tooltip_text("Keep what there is now")
        self._stop.set_sensitive(False)
        self._image = Gtk.Image()
        self._image.set_size_request(PICTURE_PX, PICTURE_PX * 3 // 4)
        touch = Gtk.EventBox()
        touch.set_tooltip_text("Click to compare with the photograph as it was")
        touch.add(self._image)
        touch.connect("button-press-event", self._on_click)
        self._compare = Gtk.ToggleButton.new_with_mnemonic("Show how it was _before")
        self._compare.connect("toggled", self._on_compare)
        self._bar = Gtk.ProgressBar(show_text=True)
        self._quality = _wrapped("")
        self._quality.set_tooltip_text(
            "How well the network predicts known pixels near the damage that it was not shown; "
            "more is better. Stop when it rises no more."
        )
        self._help = _wrapped("")
        self._help.set_selectable(True)
        self._copy = Gtk.Button.new_with_mnemonic("Co_py the command")
        self._copy.set_no_show_all(True)
        box = self._dialog.get_content_area()
        box.set_spacing(6)
        box.set_border_width(12)
        for widget in (touch, self._compare, self._bar, self._quality, self._help, self._copy):
            box.pack_start(widget, widget is touch, widget is touch, 0)
        self._dialog.connect("response", self._on_response)
        self._draw()
        self._bar.set_text("Looking for the restoration service…")
        self._dialog.show_all()

    def run(self) -> None:
        """Show it until the session has ended, or is not wanted any more."""
        GLib.timeout_add(_LOOK_EVERY_MS, self._is_wanted)
        while not self.closed.is_set():
            Gtk.main_iteration()
        self._dialog.destroy()
        _let_go()

    # --- Called through the main loop ------------------------------------------------------------

    def show(self, happening: Progress | Preview | Filled) -> None:
        if isinstance(happening, Filled):
            self.results.append(happening)
        elif isinstance(happening, Preview):
            self._show_preview(happening)
        else:
            self._show_progress(happening)

    def end(self, error: Exception | None) -> None:
        if not self.closed.is_set():
            self.error = error
            self.closed.set()

    def show_command(self, error: CannotStart) -> None:
        self._bar.set_text("Waiting for the restoration service…")
        command = GLib.markup_escape_text(error.command)
        message = GLib.markup_escape_text(error.message)
        self._help.set_markup(
            f"{message}\nPlease run this in a terminal; it goes on by itself then:\n\n"
            f"<tt><b>{command}</b></tt>"
        )
        self._copy.show()
        self._copy.connect("clicked", lambda *_: _to_clipboard(error.command))

    # --- Inside ----------------------------------------------------------------------------------

    def _show_progress(self, progress: Progress) -> None:
        self._help.set_text("")
        self._copy.hide()
        if progress.fraction is None:
            self._bar.set_text(progress.text)
            self._bar.pulse()
            return
        self._stop.set_sensitive(True)
        self._bar.set_fraction(progress.fraction)
        left = "" if progress.remaining_s is None else f", {_in_words(progress.remaining_s)} left"
        self._bar.set_text(f"{progress.text}: {progress.fraction:.0%}{left}")
        if progress.quality_db is not None:
            self._quality.set_text(f"Quality so far: {progress.quality_db:.1f} dB")

    def _show_preview(self, preview: Preview) -> None:
        loader = GdkPixbuf.PixbufLoader()
        try:
            loader.write(preview.jpeg)
            loader.close()
        except GLib.Error as error:
            with suppress(GLib.Error):
                loader.close()
            self._help.set_text(f"The preview cannot be shown: {error.message}")
            return
        part = self._cutting.damage.part
        self._place = Rect(
            part.x + preview.left, part.y + preview.top, preview.width, preview.height
        )
        self._after = loader.get_pixbuf()
        self._draw()

    def _draw(self) -> None:
        if self._compare.get_active() or self._after is None:
            pixbuf = self._before_of(self._place)
        else:
            pixbuf = self._after
        if pixbuf is not None:
            self._image.set_from_pixbuf(_fitted(pixbuf))

    def _before_of(self, place: Rect) -> Any:
        if place not in self._before:
            if not self._cutting.layer.is_valid():
                return None
            data, width, height = layers.picture(self._cutting.layer, place, 2 * PICTURE_PX)
            self._before[place] = GdkPixbuf.Pixbuf.new_from_bytes(
                GLib.Bytes.new(data), GdkPixbuf.Colorspace.RGB, False, 8, width, height, 3 * width
            )
        return self._before[place]

    def _on_compare(self, *_: Any) -> None:
        shown = self._compare.get_active()
        self._compare.set_label("_Back to the restoration" if shown else "Show how it was _before")
        self._draw()

    def _on_click(self, *_: Any) -> bool:
        self._compare.set_active(not self._compare.get_active())
        return True

    def _is_wanted(self) -> bool:
        """Whether to look again: GIMP stays usable, and the image may have been closed."""
        if self.closed.is_set():
            return False
        try:
            check_there(self._photograph, self._cutting.layer)
        except Refusal as refusal:
            self._give_up(refusal)
        return not self.closed.is_set()

    def _give_up(self, why: Exception) -> None:
        self._session.cancel()
        self.error = self.error or why
        self.results.clear()
        self.closed.set()

    def _on_response(self, dialog: Any, response: int) -> None:
        if response == _RESPONSE_STOP:
            self._session.stop()
            self._stop.set_sensitive(False)
            self._bar.set_text("Finishing with what there is…")
            return
        self._give_up(Cancelled())


def _whole_view(cutting: layers.LayerCrop) -> Rect:
    """What is shown before there is a preview: the damage, and some of what is around it."""
    box, part = cutting.damage.box, cutting.damage.part
    return box.grown(max(32, min(box.width, box.height) // 2), part)


def _fitted(pixbuf: Any) -> Any:
    """As large as the window has room for; small parts are enlarged."""
    scale = min(PICTURE_PX / pixbuf.get_width(), PICTURE_PX / pixbuf.get_height(), 8)
    width, height = (
        max(1, round(length * scale)) for length in (pixbuf.get_width(), pixbuf.get_height())
    )
    return pixbuf.scale_simple(width, height, GdkPixbuf.InterpType.BILINEAR)


def _in_words(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _wrapped(text: str) -> Any:
    label = Gtk.Label(label=text, xalign=0.0)
    label.set_line_wrap(True)
    label.set_max_width_chars(56)
    return label


def _to_clipboard(text: str) -> None:
    from gi.repository import Gdk

    clipboard = Gtk.Clipboard.get(Gdk.SELECTION_CLIPBOARD)
    clipboard.set_text(text, -1)
    clipboard.store()


def _let_go() -> None:
    """Let a window that was closed vanish from the screen."""
    while Gtk.events_pending():
        Gtk.main_iteration()
