"""Small parts of the plug-in's windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gi
from translation import _, number, whole_percent

gi.require_version("Gdk", "3.0")
gi.require_version("Gtk", "3.0")
from gi.repository import Gdk, Gtk  # noqa: E402  # the versions must be named first

if TYPE_CHECKING:
    from session import Progress


def wrapped_label(text: str = "") -> Any:
    """A label whose long lines are wrapped."""
    label = Gtk.Label(label=text, xalign=0.0)
    label.set_line_wrap(True)
    label.set_max_width_chars(56)
    return label


def copy_to_clipboard(text: str) -> None:
    clipboard = Gtk.Clipboard.get(Gdk.SELECTION_CLIPBOARD)
    clipboard.set_text(text, -1)
    clipboard.store()


def let_windows_close() -> None:
    """Process pending events, so that a destroyed window leaves the screen."""
    while Gtk.events_pending():
        Gtk.main_iteration()


def progress_text(progress: Progress, finishing: bool = False) -> str:
    """The text in a progress bar, for a share of the work that is known."""
    assert progress.fraction is not None
    activity = _("Finishing") if finishing else progress.text
    share = whole_percent(progress.fraction)
    if finishing or progress.remaining_s is None:  # a prediction is of all the work
        return _("{activity}: {share}").format(activity=activity, share=share)
    return _("{activity}: {share}, {time} left").format(
        activity=activity, share=share, time=duration(progress.remaining_s)
    )


def duration(seconds: float) -> str:
    """A duration in the unit that suits it."""
    if seconds < 90:
        return _("{count} s").format(count=number(seconds, ".0f"))
    if seconds < 5400:
        return _("{count} min").format(count=number(seconds / 60, ".0f"))
    return _("{count} h").format(count=number(seconds / 3600, ".1f"))
