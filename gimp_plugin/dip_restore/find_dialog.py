"""The dialog that shows the damage as it is found, and how much of it will be selected."""

from __future__ import annotations

import threading
from typing import Any

import gi
import marks
from checks import Refusal, check_exists
from chosen_marks import MOST_MARKED, MarkOptions, mask_of
from damage_preview import DamagePreview
from damage_search import Found, Search
from dip_rules import DAMAGE_KINDS
from marks import Levels
from photograph import Photograph
from service import CannotStart, Service
from session import Progress
from translation import _, ngettext, number, percent, whole_percent
from widgets import let_windows_close, progress_text, wrapped_label
from work_window import run_session

gi.require_version("GimpUi", "3.0")
gi.require_version("Gtk", "3.0")
from gi.repository import GimpUi, GLib, Gtk  # noqa: E402  # the versions must be named first

_CHECK_EVERY_MS = 500
_COUNT_AFTER_MS = 150
_SLIDER_PX = 240
_ROWS = {"kinds": tuple(DAMAGE_KINDS), "choices": ("brightness", "operation")}
"""Options side by side: the dialog has to fit on a small screen."""
_OPTIONS = ("sensitivity", "kinds", "largest", "choices")
_OF_MARKS = ("sensitivity", "specks", "scratches", "creases", "brightness", "largest")


def ask(
    procedure: Any,
    config: Any,
    image: Any,
    photograph: Photograph,
    service: Service,
    parent: Any = None,
) -> bytes | None:
    """Find the damage, and ask which of it is to be selected; None if the user cancels.

    Without a screen this ends the process.

    Raises
    ------
    Refusal
        The image was closed, or the layer was deleted; the search is cancelled.
    ClientError
        The search failed.
    """
    GimpUi.init(procedure.get_name())
    search = Search(service, photograph.request, quickly=True)
    dialog = _Dialog(procedure, config, image, photograph, parent)
    worker = threading.Thread(target=run_session, args=[search, service, dialog], daemon=True)
    worker.start()
    mask = dialog.run()
    if not dialog.has_ended:
        search.cancel()
    search.close()
    if dialog.error is not None:
        raise dialog.error
    return mask


class _Dialog:
    """The dialog of one search.

    Attributes
    ----------
    error : Exception or None
        The reason why nothing can be selected.
    has_ended : bool
        Whether the search has come to its end.
    closed : threading.Event
        Set when nothing more is to be shown.
    """

    def __init__(
        self, procedure: Any, config: Any, image: Any, photograph: Photograph, parent: Any
    ) -> None:
        self.error: Exception | None = None
        self.has_ended = False
        self.closed = threading.Event()
        self._config, self._edited, self._photograph = config, image, photograph
        self._levels: Levels | None = None
        self._mask: bytes | None = None
        self._counting = 0
        self._doubts: tuple[str, ...] = ()
        self._build(procedure, config, parent)

    def run(self) -> bytes | None:
        """Show the dialog until the user has decided: the mask, or None."""
        GLib.timeout_add(_CHECK_EVERY_MS, self._check_photograph)
        handlers = [self._config.connect(f"notify::{name}", self._on_change) for name in _OF_MARKS]
        accepted = bool(self._dialog.run())
        self.closed.set()
        for handler in handlers:
            self._config.disconnect(handler)
        mask = None
        if accepted and self.error is None and self._levels is not None:
            mask = mask_of(self._levels, MarkOptions(self._config))
        self._dialog.destroy()
        let_windows_close()
        return mask

    def _build(self, procedure: Any, config: Any, parent: Any) -> None:
        self._dialog = GimpUi.ProcedureDialog.new(procedure, config, _("Find Damage"))
        if parent is not None:
            self._dialog.set_transient_for(parent)
        self._dialog.set_ok_label(_("Sel_ect"))
        if help_button := self._dialog.get_widget_for_response(Gtk.ResponseType.HELP):
            help_button.hide()  # there is no help page; the tooltips explain the options
        slider = self._dialog.get_scale_entry("sensitivity", 1.0)
        slider.get_range().set_size_request(_SLIDER_PX, -1)
        self._dialog.get_widget("largest", GimpUi.LabelSpin.__gtype__)
        for name, options in _ROWS.items():
            row = self._dialog.fill_box(name, list(options))
            row.set_orientation(Gtk.Orientation.HORIZONTAL)
            row.set_spacing(24)
        self._dialog.fill(list(_OPTIONS))
        self._preview = DamagePreview(self._photograph.layer)
        self._bar = Gtk.ProgressBar(show_text=True)
        self._bar.set_text(_("Looking for the restoration service…"))
        self._message = wrapped_label()
        self._message.set_selectable(True)
        content = self._dialog.get_content_area()
        for place, widget in enumerate((self._preview.widget, self._bar, self._message)):
            content.pack_start(widget, False, False, 6)
            content.reorder_child(widget, place)
            widget.show_all()
        self._dialog.set_response_sensitive(Gtk.ResponseType.OK, False)

    # --- Called through the main loop ------------------------------------------------------------

    def show(self, event: Progress | Found) -> None:
        if self.closed.is_set():
            return
        if isinstance(event, Found):
            self._levels = self._photograph.levels(event.png)
            self._doubts = event.doubts
            if event.final:
                self._bar.hide()
            self._on_change()
            return
        if event.fraction is None:
            self._bar.set_text(event.text)
            self._bar.pulse()
            return
        self._bar.set_fraction(event.fraction)
        self._bar.set_text(progress_text(event))

    def end(self, error: Exception | None) -> None:
        self.has_ended = True
        if error is not None and not self.closed.is_set():
            self._give_up(error)

    def show_command(self, error: CannotStart) -> None:
        self._bar.set_text(_("Waiting for the restoration service…"))
        then = _("Run this command in a terminal. The work then continues by itself.")
        text, command = (
            GLib.markup_escape_text(each) for each in (f"{error.message}\n{then}", error.command)
        )
        self._message.set_markup(f"{text}\n\n<tt><b>{command}</b></tt>")

    # --- Inside ----------------------------------------------------------------------------------

    def _give_up(self, error: Exception) -> None:
        self.error = error
        self._dialog.response(Gtk.ResponseType.CANCEL)

    def _on_change(self, *args: Any) -> None:
        """Show the marks at once; count them when the slider rests."""
        if self._levels is None:
            return
        self._mask = mask_of(self._levels, MarkOptions(self._config))
        self._preview.show(self._mask)
        self._dialog.set_response_sensitive(Gtk.ResponseType.OK, self._mask.count(255) > 0)
        self._show_amount(None)
        if self._counting:
            GLib.source_remove(self._counting)
        self._counting = GLib.timeout_add(_COUNT_AFTER_MS, self._count)

    def _count(self) -> bool:
        self._counting = 0
        if self._mask is not None and self._levels is not None and not self.closed.is_set():
            few = marks.share(self._mask) <= MOST_MARKED
            self._show_amount(len(marks.boxes(self._mask, self._levels.width)) if few else None)
        return False

    def _show_amount(self, count: int | None) -> None:
        assert self._mask is not None
        share = marks.share(self._mask)
        if not share:
            text = _("No damage is found at this sensitivity.")
        elif share > MOST_MARKED:
            text = _(
                "{share} of the photograph is marked: film grain or a printed pattern is taken "
                "for damage. A lower sensitivity marks less."
            ).format(share=whole_percent(share))
        elif count is None:
            text = _("{share} of the photograph is marked.").format(share=percent(share))
        else:
            text = ngettext(
                "{count} mark, {share} of the photograph.",
                "{count} marks, {share} of the photograph.",
                count,
            ).format(count=number(count), share=percent(share))
            missed = _("Damage that was missed can be added with the selection tools afterwards.")
            text = f"{text} {missed}"
        self._message.set_text("\n".join([text, *self._doubts]))

    def _check_photograph(self) -> bool:
        """End the dialog if the image was closed: GIMP stays usable. Whether to check again."""
        if self.closed.is_set():
            return False
        try:
            check_exists(self._edited, self._photograph.layer)
        except Refusal as refusal:
            self._give_up(refusal)
        return not self.closed.is_set()
