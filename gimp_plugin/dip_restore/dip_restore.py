#!/usr/bin/env python3
"""Filters > Restore > Deep Image Prior: fills the damage in a photograph from the photograph.

This page registers the plug-in and tells what a run does. `checks.py` says what stands in its way,
`damage.py` finds the damage, `layers.py` moves the pixels (`buffers.py` as bytes), `session.py`
runs the job at the restoration service, `service.py` finds or starts that, `dialog.py` is what one
sees.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import gi

gi.require_version("Gimp", "3.0")
from gi.repository import Gimp, GLib, GObject  # noqa: E402  # the version must be named first

FOLDER = Path(__file__).resolve().parent
PROCEDURE = "dip-restore"

CHOICES = {
    "damage": (
        "_Damage",
        "What is to be restored. Where something is selected, nothing outside is changed",
        {
            "selection": "What is selected",
            "transparency": "What is transparent",
            "layer-mask": "What the layer mask hides",
        },
    ),
    "network": (
        "_Network",
        "U-Net is usually better; SegNet is sharper at times. Both gives two layers to compare",
        {"unet": "U-Net", "segnet": "SegNet", "both": "Both, to compare"},
    ),
    "preset": (
        "_Quality",
        "Time for quality. Start with a first look, and take more where that is promising",
        {
            "fast": "A first look",
            "balanced": "Balanced",
            "best": "Best, in about five times the time",
            "paper": "As published: takes hours",
        },
    ),
    "output": (
        "Res_ult",
        "A new layer leaves the photograph as it is; both can be undone in one step",
        {"new-layer": "A new layer above", "in-place": "Painted into this layer"},
    ),
    "device": (
        "Compute _with",
        "Automatic takes a graphics card where there is one",
        {"auto": "Automatic", "cpu": "Processor", "cuda": "NVIDIA or AMD card", "mps": "Apple GPU"},
    ),
}
DEFAULTS = {
    "damage": "selection",
    "network": "unet",
    "preset": "balanced",
    "output": "new-layer",
    "device": "auto",
}
NUMBERS = {
    "grow": (
        "_Grow the damage by (px)",
        "Where a rim of the damage stays to be seen, take 2",
        100,
    ),
    "seed": ("S_eed", "Another number gives another result; the same one the same", 2**31 - 1),
    "iterations": ("_Iterations (0: automatic)", "0: as many as the quality takes", 100_000),
    "threads": ("Thre_ads (0: all)", "0: all of the processor", 256),
    "max-memory": ("Most _memory in MB (0: automatic)", "0: most of what is free", 1_000_000),
}
TEXTURE = (
    "Texture of large h_oles",
    "How much of the surroundings' detail large holes get; 0 is smooth",
)
USUAL_TEXTURE = 0.7
ALLOW_RGB = (
    "Convert an inde_xed image to RGB",
    "An indexed image has at most 256 colours, and no room for new ones",
)


class DipRestore(Gimp.PlugIn):
    """The plug-in, as GIMP asks for it."""

    def do_query_procedures(self) -> list[str]:
        return [PROCEDURE]

    def do_set_i18n(self, name: str) -> bool:
        return False

    def do_create_procedure(self, name: str) -> Any:
        procedure = Gimp.ImageProcedure.new(self, name, Gimp.PDBProcType.PLUGIN, restore, None)
        procedure.set_image_types("RGB*, GRAY*, INDEXED*")
        # With several layers or none it can be chosen too, and then says what is amiss.
        several = Gimp.ProcedureSensitivityMask
        procedure.set_sensitivity_mask(several.DRAWABLE | several.DRAWABLES | several.NO_DRAWABLES)
        procedure.set_menu_label("_Deep Image Prior…")
        procedure.add_menu_path("<Image>/Filters/Restore")
        procedure.set_documentation(
            "Restore the damaged part of a photograph from the rest of it",
            "A small neural network is fitted to what is left of this one photograph, and its "
            "structure fills in the rest. Nothing is pre-trained, nothing leaves this computer, "
            "unless `dip connect` or `dip serve --cluster` was told to use others.",
            name,
        )
        procedure.set_attribution("the Deep Image Prior for GIMP authors", "MIT licence", "2026")
        flags = GObject.ParamFlags.READWRITE
        for argument, (label, says, options) in CHOICES.items():
            choice = Gimp.Choice.new()
            for number, (option, text) in enumerate(options.items()):
                choice.add(option, number, text, "")
            procedure.add_choice_argument(argument, label, says, choice, DEFAULTS[argument], flags)
        for argument, (label, says, most) in NUMBERS.items():
            procedure.add_int_argument(argument, label, says, 0, most, 0, flags)
        procedure.add_double_argument("texture", *TEXTURE, 0.0, 1.0, USUAL_TEXTURE, flags)
        procedure.add_boolean_argument("allow-rgb", *ALLOW_RGB, False, flags)
        return procedure


def restore(
    procedure: Any, run_mode: Any, image: Any, drawables: list[Any], config: Any, data: Any
) -> Any:
    """One run, from the pixels of the image to a layer more."""
    sys.path[:0] = [str(FOLDER / "vendor")]  # the client, and what it needs
    # Here: what GIMP asks at each start must not wait for these.
    import checks
    import layers
    from dip_client import ClientError
    from service import Service, Settings
    from session import Cancelled, Session

    service = Service(Settings.beside(FOLDER))
    try:
        layer = checks.photo_layer(image, list(drawables))
        if run_mode == Gimp.RunMode.INTERACTIVE:
            import dialog

            dialog.begin(PROCEDURE)
            if not dialog.ask(procedure, config, image, layer, service):
                return done(procedure, Gimp.PDBStatusType.CANCEL)
        wanted = Options(config)
        checks.check_output(image, layer, wanted.output, wanted.damage, wanted.allow_rgb)
        cutting = layers.cut_out(
            image, layer, wanted.damage, wanted.output, wanted.grow_px, wanted.parameters
        )
        session = Session(service, cutting.order)
        if run_mode == Gimp.RunMode.INTERACTIVE:
            results = dialog.watch(session, service, image, cutting)
        else:
            results = follow(session)
        layers.put_in(image, cutting, results)
    except Cancelled:
        return done(procedure, Gimp.PDBStatusType.CANCEL)
    except (checks.Refusal, ClientError) as error:
        return done(procedure, Gimp.PDBStatusType.EXECUTION_ERROR, str(error))
    except Exception as error:
        # The edge of the process: GIMP shows nothing of what is raised beyond it.
        logging.exception("Deep Image Prior failed")
        text = f"A fault in the plug-in, please report it: {type(error).__name__}: {error}"
        return done(procedure, Gimp.PDBStatusType.EXECUTION_ERROR, text)
    return done(procedure, Gimp.PDBStatusType.SUCCESS)


class Options:
    """What was asked for, in the words of the service."""

    def __init__(self, config: Any) -> None:
        value = config.get_property
        self.damage: str = value("damage")
        self.output: str = value("output")
        self.grow_px: int = value("grow")
        self.allow_rgb: bool = value("allow-rgb")
        if value("network") == "both":
            self.output = "new-layer"  # two results cannot be in one place
        self.parameters: dict[str, str | int | float | None] = {
            "network": value("network"),
            "preset": value("preset"),
            "device": value("device"),
            "seed": value("seed"),
            "iterations": value("iterations") or None,
            "texture": value("texture"),
            "threads": value("threads") or None,
            "max_memory_mb": value("max-memory") or None,
        }


def follow(session: Any) -> list[Any]:
    """Run a session with GIMP's own progress bar, whose Cancel ends this process."""
    from session import Filled, Progress

    results = []
    Gimp.progress_init("Deep Image Prior")
    for happening in session.run():
        if isinstance(happening, Filled):
            results.append(happening)
        elif isinstance(happening, Progress):
            Gimp.progress_set_text(happening.text)
            Gimp.progress_update(happening.fraction or 0.0)
    Gimp.progress_end()
    return results


def done(procedure: Any, status: Any, text: str = "") -> Any:
    """The answer to GIMP; a text is shown to the user."""
    error = GLib.Error.new_literal(Gimp.PlugIn.error_quark(), text, 0) if text else None
    return procedure.new_return_values(status, error)


if __name__ == "__main__":
    Gimp.main(DipRestore.__gtype__, sys.argv)
