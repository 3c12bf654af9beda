#!/usr/bin/env python3
"""Filters > Restore > Deep Image Prior: fills the damage in a photograph from the photograph.

This file registers the plug-in and runs a restoration. `checks.py` says why a restoration is
impossible, `damage.py` finds the damage, `layers.py` moves the pixels (`buffers.py` as bytes),
`session.py` runs the job at the restoration service, `service.py` finds or starts the service,
`options_dialog.py` and `work_window.py` are the windows.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import find_options
import gi
from translation import DOMAIN, _

gi.require_version("Gimp", "3.0")
from gi.repository import Gimp, GLib, GObject  # noqa: E402  # the version must be named first

FOLDER = Path(__file__).resolve().parent
PROCEDURE = "dip-restore"
_MAX_INT = 2**31 - 1  # GIMP's integer arguments have 32 bits

CHOICES = {
    "damage": (
        _("_Damage"),
        _("Where the damage is marked. If there is a selection, nothing outside of it changes."),
        {
            "selection": _("The selection"),
            "transparency": _("Transparent pixels"),
            "layer-mask": _("Pixels hidden by the layer mask"),
        },
    ),
    "preset": (
        _("_Quality"),
        _("Better quality takes longer. Begin with a quick look."),
        {
            "fast": _("Fast (a first look)"),
            "balanced": _("Balanced"),
            "best": _("Best (about five times slower)"),
            "paper": _("As published (takes hours)"),
        },
    ),
    "output": (
        _("Res_ult"),
        _("A new layer leaves the photograph unchanged. One Undo takes back either."),
        {"new-layer": _("A new layer above"), "in-place": _("Paint into this layer")},
    ),
    "network": (
        _("_Network"),
        _(
            "U-Net is usually better, SegNet is sometimes sharper. “Both” gives two layers to "
            "compare."
        ),
        {"unet": "U-Net", "segnet": "SegNet", "both": _("Both, to compare")},
    ),
    "device": (
        _("Com_pute on"),
        _("“Automatic” uses a graphics card if there is one."),
        {
            "auto": _("Automatic"),
            "cpu": _("Processor"),
            "cuda": _("NVIDIA or AMD card"),
            "mps": _("Apple GPU"),
        },
    ),
}
"""Arguments with a few values: label, tooltip, the text of each value."""

NUMBERS = {
    "seed": (
        "seed",
        _("S_eed"),
        _("Another seed gives a slightly different result; the same seed gives the same result."),
    ),
    "iterations": (
        "iterations",
        _("_Iterations (0 = automatic)"),
        _("The number of steps of the restoration. 0 lets “Quality” decide."),
    ),
    "threads": (
        "threads",
        _("Thre_ads (0 = all)"),
        _("The number of processor cores to use. 0 uses all of them."),
    ),
    "max-memory": (
        "max_memory_mb",
        _("_Memory limit in MB (0 = automatic)"),
        _("The most memory to use. 0 uses most of the free memory."),
    ),
}
"""Arguments that are numbers of the engine: its name for the setting, label, tooltip."""

GROW = (
    _("_Grow the damage by (pixels)"),
    _("If a rim of the damage is still visible after a restoration, set this to 2."),
)
_MAX_GROWTH_PX = 100
GROW_AUTO = (
    _("Grow it o_ver damage found at its rim"),
    _("Restores slivers of the damage, a few pixels wide, that the selection has missed."),
)
TEXTURE = (
    _("Texture of the _surroundings"),
    _("How much grain and detail a repair gets: 0 is smooth, 1 is as rich as the surroundings."),
)
TIME = (
    _("_Work at most, in minutes (0 = no limit)"),
    _("Afterwards you get the best result so far. Each network has this time."),
)
ALLOW_RGB = (
    _("Convert an inde_xed image to RGB"),
    _("An indexed image has at most 256 colours. A restoration needs new ones."),
)


class DipRestore(Gimp.PlugIn):
    """The plug-in, as GIMP asks for it."""

    def do_query_procedures(self) -> list[str]:
        return [PROCEDURE, find_options.PROCEDURE]

    def do_set_i18n(self, name: str) -> tuple[bool, str, str]:
        return True, DOMAIN, "locale"

    def do_create_procedure(self, name: str) -> Any:
        if name == find_options.PROCEDURE:
            import_packages()
            return find_options.create_procedure(self, find_damage)
        procedure = Gimp.ImageProcedure.new(self, name, Gimp.PDBProcType.PLUGIN, restore, None)
        procedure.set_image_types("RGB*, GRAY*, INDEXED*")
        # With several layers or none the menu entry works too, and the plug-in says the reason.
        layers = Gimp.ProcedureSensitivityMask
        procedure.set_sensitivity_mask(layers.DRAWABLE | layers.DRAWABLES | layers.NO_DRAWABLES)
        procedure.set_menu_label("_Deep Image Prior…")
        procedure.add_menu_path("<Image>/Filters/Restore")
        procedure.set_documentation(
            _("Restore the damaged part of a photograph from the rest of it"),
            _(
                "A small neural network is fitted to the undamaged part of this one photograph, "
                "and its structure fills in the rest. Nothing is pre-trained. Nothing leaves this "
                "computer, unless you use another one with `dip connect` or `dip serve --cluster`."
            ),
            name,
        )
        procedure.set_attribution("the Deep Image Prior for GIMP authors", "MIT licence", "2026")
        _add_arguments(procedure)
        return procedure


def _add_arguments(procedure: Any) -> None:
    """Declare the options; their ranges and defaults are the engine's."""
    engine = json.loads((FOLDER / "settings.json").read_text(encoding="utf-8"))["engine"]
    ranges, defaults = engine["ranges"], engine["defaults"]
    defaults = {"damage": "selection", "output": "new-layer", **defaults}
    flags = GObject.ParamFlags.READWRITE
    for name, (label, tooltip, values) in CHOICES.items():
        choice = Gimp.Choice.new()
        for number, (value, text) in enumerate(values.items()):
            choice.add(value, number, text, "")
        procedure.add_choice_argument(name, label, tooltip, choice, defaults[name], flags)
    procedure.add_int_argument("grow", *GROW, 0, _MAX_GROWTH_PX, 0, flags)
    procedure.add_boolean_argument("grow-auto", *GROW_AUTO, False, flags)
    for name, (setting, label, tooltip) in NUMBERS.items():
        most = min(ranges[setting][1], _MAX_INT)
        procedure.add_int_argument(name, label, tooltip, 0, most, 0, flags)
    low, high = ranges["texture"]
    procedure.add_double_argument("texture", *TEXTURE, low, high, defaults["texture"], flags)
    minutes = ranges["time_s"][1] / 60
    procedure.add_double_argument("time", *TIME, 0, minutes, 0, flags)
    procedure.add_boolean_argument("allow-rgb", *ALLOW_RGB, False, flags)


def restore(
    procedure: Any, run_mode: Any, image: Any, drawables: list[Any], config: Any, data: Any
) -> Any:
    """Run one restoration, from the pixels of the image to a new layer."""
    import_packages()
    # Imported here, because GIMP registers the plug-in faster without them.
    import checks
    import layers
    from estimate import learn
    from options import Options
    from service import Service, Settings
    from session import Session

    service = Service(Settings.beside(FOLDER))
    interactive = run_mode == Gimp.RunMode.INTERACTIVE

    def run() -> bool:
        layer = checks.photo_layer(image, list(drawables))
        if interactive:
            from options_dialog import ask

            if not ask(procedure, config, image, layer, service):
                return False
        options = Options(config)
        checks.check_output(image, layer, options.output, options.source, options.allow_rgb)
        crop = layers.crop_layer(
            image, layer, options.source, options.output, options.grow_px, options.parameters
        )
        session = Session(service, crop.request)
        if interactive:
            from work_window import watch

            results = watch(session, service, image, crop)
        else:
            results = _run_without_window(session)
        layers.insert_results(image, crop, results)
        learn(crop.damage.near_px, options.parameters, session.seconds)
        if interactive and session.remarks:
            Gimp.message("\n".join(session.remarks))
        return True

    return _answered(procedure, run)


def find_damage(
    procedure: Any, run_mode: Any, image: Any, drawables: list[Any], config: Any, data: Any
) -> Any:
    """Find the damage of a layer, and select it."""
    import_packages()
    import checks
    import find_damage
    from service import Service, Settings

    service = Service(Settings.beside(FOLDER))

    def find() -> bool:
        layer = checks.photo_layer(image, list(drawables))
        if run_mode == Gimp.RunMode.INTERACTIVE:
            return find_damage.find_in_window(procedure, config, image, layer, service)
        find_damage.find_without_window(image, layer, service, config)
        return True

    return _answered(procedure, find)


def _run_without_window(session: Any) -> list[Any]:
    """Run a session with GIMP's own progress bar, whose Cancel button ends this process."""
    from session import Progress, Result

    results = []
    Gimp.progress_init("Deep Image Prior")
    for event in session.run():
        if isinstance(event, Result):
            results.append(event)
        elif isinstance(event, Progress):
            Gimp.progress_set_text(event.text)
            Gimp.progress_update(event.fraction or 0.0)
    Gimp.progress_end()
    return results


def import_packages() -> None:
    """Make the service's client, and its packages, importable."""
    vendor = str(FOLDER / "vendor")
    if vendor not in sys.path:
        sys.path.insert(0, vendor)


def _answered(procedure: Any, run: Callable[[], bool]) -> Any:
    """The answer to GIMP after a run, which says whether the user has not cancelled it."""
    from checks import Refusal
    from dip_client import ClientError
    from service_errors import told
    from session import Cancelled

    try:
        done = run()
    except Cancelled:
        done = False
    except Refusal as refusal:
        return _answer(procedure, Gimp.PDBStatusType.EXECUTION_ERROR, str(refusal))
    except ClientError as error:
        return _answer(procedure, Gimp.PDBStatusType.EXECUTION_ERROR, told(error))
    except Exception as error:
        # The edge of the process: GIMP shows nothing of an exception that leaves it.
        logging.exception("Deep Image Prior failed")
        fault = f"{type(error).__name__}: {error}"
        text = _("A fault in the plug-in, please report it: {fault}").format(fault=fault)
        return _answer(procedure, Gimp.PDBStatusType.EXECUTION_ERROR, text)
    return _answer(procedure, Gimp.PDBStatusType.SUCCESS if done else Gimp.PDBStatusType.CANCEL)


def _answer(procedure: Any, status: Any, text: str = "") -> Any:
    """The answer to GIMP; a text is shown to the user."""
    error = GLib.Error.new_literal(Gimp.PlugIn.error_quark(), text, 0) if text else None
    return procedure.new_return_values(status, error)


if __name__ == "__main__":
    Gimp.main(DipRestore.__gtype__, sys.argv)
