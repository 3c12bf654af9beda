"""The dialog before a restoration: its options, and the damage that was found."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import find_options
import gi
from checks import Refusal, check_output
from damage import Damage, DamageFinder
from dip_client import ClientError
from estimate import estimate_s
from find_damage import find_in_window
from options import Options
from service import Service, destination
from service_errors import told
from translation import _
from widgets import duration, let_windows_close, wrapped_label

gi.require_version("GimpUi", "3.0")
gi.require_version("Gtk", "3.0")
from gi.repository import GimpUi, GLib, Gtk  # noqa: E402  # the versions must be named first

_WELCOME = _("Fills the damage from the rest of this photograph. No other pictures are used.")
_OPTIONS = ("damage", "grow", "grow-auto", "preset", "output")
_ADVANCED = ("network", "seed", "texture", "time", "iterations", "device", "threads", "max-memory")
_AFFECT_DAMAGE = ("damage", "grow", "output", "allow-rgb")
_LOOK_AFTER_MS = 150  # the dialog is seen before the pixels of a large photograph are read
_AFFECT_TIME = ("preset", "network", "time", "iterations")


def ask(procedure: Any, config: Any, image: Any, layer: Any, service: Service) -> bool:
    """Ask for the options, which are stored in `config`; False if the user cancels.

    Without a screen this ends the process.
    """
    GimpUi.init(procedure.get_name())
    dialog = GimpUi.ProcedureDialog.new(procedure, config, "Deep Image Prior")
    dialog.set_ok_label(_("Res_tore"))
    if help_button := dialog.get_widget_for_response(Gtk.ResponseType.HELP):
        help_button.hide()  # there is no help page; the tooltips explain the options
    _fill(dialog, with_rgb=layer.is_indexed())
    welcome, found = wrapped_label(_WELCOME), wrapped_label(_("Looking at the damage…"))
    content = dialog.get_content_area()
    find = Gtk.Button.new_with_mnemonic(_("_Find damage…"))
    find.set_tooltip_text(_("Select the dust, scratches and creases of the photograph."))
    find.set_halign(Gtk.Align.START)
    for place, widget in enumerate((welcome, find, found)):
        content.pack_start(widget, False, False, 6)
        content.reorder_child(widget, place)
        widget.show()

    def show_destination(text: str) -> None:
        welcome.set_text(f"{_WELCOME} {text}")

    threading.Thread(target=_prepare, args=[service, show_destination], daemon=True).start()

    finder = DamageFinder(image, layer)
    damage: Damage | None = None
    was_looked_at = False
    dialog.set_response_sensitive(Gtk.ResponseType.OK, False)

    def show_damage(*args: Any) -> bool:
        """Show the damage, or the reason why there is none; return whether there is some."""
        nonlocal damage
        source, grow_px = config.get_property("damage"), config.get_property("grow")
        output, allow_rgb = config.get_property("output"), config.get_property("allow-rgb")
        try:
            check_output(image, layer, output, source, allow_rgb)
            damage = finder.find(source, grow_px)
        except Refusal as refusal:
            damage = None
            found.set_markup(f"<b>{GLib.markup_escape_text(str(refusal))}</b>")
        else:
            found.set_text(_told(damage, config))
            dialog.set_response_sensitive(Gtk.ResponseType.OK, True)
            return True
        dialog.set_response_sensitive(Gtk.ResponseType.OK, False)
        return False

    def show_time(*args: Any) -> None:
        if damage is not None:
            found.set_text(_told(damage, config))

    handlers = [config.connect(f"notify::{name}", show_damage) for name in _AFFECT_DAMAGE]
    handlers += [config.connect(f"notify::{name}", show_time) for name in _AFFECT_TIME]

    def on_find(button: Any) -> None:
        search = find_options.create_procedure(procedure.get_plug_in(), _not_run)
        try:
            if find_in_window(search, search.create_config(), image, layer, service, dialog):
                config.set_property("damage", "selection")
            finder.refresh()
            show_damage()
        except (Refusal, ClientError) as error:
            text = told(error) if isinstance(error, ClientError) else str(error)
            found.set_markup(f"<b>{GLib.markup_escape_text(text)}</b>")

    find.connect("clicked", on_find)

    def on_focus(*args: Any) -> None:
        if was_looked_at:  # GIMP stays usable: the selection may have changed
            finder.refresh()
            show_damage()

    def look() -> bool:
        nonlocal was_looked_at
        if was_looked_at:
            return False
        was_looked_at = True
        if not show_damage():
            source = finder.likely_source(config.get_property("damage"))
            config.set_property("damage", source)
        return False

    GLib.timeout_add(_LOOK_AFTER_MS, look)
    focus_handler = dialog.connect("focus-in-event", on_focus)
    accepted = bool(dialog.run())
    while accepted and damage and damage.doubt and not _confirms(dialog, damage.doubt):
        accepted = bool(dialog.run())
    was_looked_at = True
    for handler in handlers:
        config.disconnect(handler)
    dialog.disconnect(focus_handler)
    dialog.destroy()
    let_windows_close()
    return accepted


def _told(damage: Damage, config: Any) -> str:
    """How much is marked, and how long its restoration takes."""
    seconds = estimate_s(damage.near_px, Options(config).parameters)
    time = [] if seconds is None else [_("It takes about {time}.").format(time=duration(seconds))]
    return " ".join([damage.description, *time])


def _not_run(*args: Any) -> None:
    """In place of the run of a procedure of which the dialog alone is needed."""


def _confirms(dialog: Any, question: str) -> bool:
    """Ask whether to restore all the same."""
    asked = Gtk.MessageDialog(
        transient_for=dialog, modal=True, message_type=Gtk.MessageType.QUESTION, text=question
    )
    asked.set_title(_("Restore so much?"))
    asked.add_button(_("_Back"), Gtk.ResponseType.CANCEL)
    asked.add_button(_("_Restore all the same"), Gtk.ResponseType.OK)
    asked.set_default_response(Gtk.ResponseType.CANCEL)
    answer = asked.run()
    asked.destroy()
    return bool(answer == Gtk.ResponseType.OK)


def _fill(dialog: Any, with_rgb: bool) -> None:
    """Lay out the options; those for experts are in an expander that is closed at first."""
    dialog.fill_box("options", [*_OPTIONS, *(["allow-rgb"] if with_rgb else [])])
    dialog.get_scale_entry("texture", 1.0)  # a slider
    dialog.fill_box("advanced-box", list(_ADVANCED))
    dialog.get_label("advanced-title", _("Advanced"), False, False)
    dialog.fill_expander("advanced", "advanced-title", False, "advanced-box")
    dialog.fill(["options", "advanced"])


def _prepare(service: Service, show_destination: Callable[[str], None]) -> None:
    """Start the service while the user reads, and show where the photograph will be sent.

    Runs in a thread of its own. A failure is reported when the service is needed.
    """
    with suppress(ClientError, OSError), service.connect() as client:
        GLib.idle_add(show_destination, destination(client))
