"""The procedure behind Filters > Restore > Find Damage, and its options.

GIMP imports it to learn of the procedure, so it loads nothing else.
"""

from __future__ import annotations

from typing import Any

import gi
from translation import _

gi.require_version("Gimp", "3.0")
from gi.repository import Gimp, GObject  # noqa: E402  # the version must be named first

PROCEDURE = "dip-find-damage"

_LONGEST_PX = 1_000_000
_BRIGHTNESS = {
    "any": _("Bright or dark"),
    "bright": _("Brighter than the photograph"),
    "dark": _("Darker than the photograph"),
}
_OPERATIONS = {"replace": _("Replace the selection"), "add": _("Add to the selection")}
_KIND_LABELS = {
    "specks": _("S_pecks"),
    "scratches": _("_Hairs and scratches"),
    "creases": _("Cre_ases and tears"),
}


def create_procedure(plug_in: Any, run: Any) -> Any:
    """The procedure as GIMP registers it, with its arguments."""
    from dip_rules import DEFAULT_SENSITIVITY  # not importable before `import_packages`

    procedure = Gimp.ImageProcedure.new(plug_in, PROCEDURE, Gimp.PDBProcType.PLUGIN, run, None)
    procedure.set_image_types("RGB*, GRAY*, INDEXED*")
    layers = Gimp.ProcedureSensitivityMask
    procedure.set_sensitivity_mask(layers.DRAWABLE | layers.DRAWABLES | layers.NO_DRAWABLES)
    procedure.set_menu_label(_("_Find Damage…"))
    procedure.add_menu_path("<Image>/Filters/Restore")
    procedure.set_documentation(
        _("Select the dust, scratches and creases of a photograph"),
        _(
            "The damage is searched for in this one photograph. The selection can be changed with "
            "all selection tools before the damage is restored."
        ),
        PROCEDURE,
    )
    procedure.set_attribution("the Deep Image Prior for GIMP authors", "MIT licence", "2026")
    flags = GObject.ParamFlags.READWRITE
    procedure.add_double_argument(
        "sensitivity",
        _("Sensi_tivity"),
        _("Further to the right, doubtful marks are selected, too."),
        0.0,
        1.0,
        DEFAULT_SENSITIVITY,
        flags,
    )
    for kind, label in _KIND_LABELS.items():
        procedure.add_boolean_argument(
            kind, label, _("Whether marks of this kind are selected."), True, flags
        )
    _add_choice(
        procedure,
        "brightness",
        _("_Brightness"),
        _("Dust on a negative is bright, dust on a print or a slide is dark."),
        _BRIGHTNESS,
    )
    procedure.add_int_argument(
        "largest",
        _("Lar_gest mark in pixels (0 = any)"),
        _("Marks whose longer side is longer than this are left out."),
        0,
        _LONGEST_PX,
        0,
        flags,
    )
    _add_choice(
        procedure,
        "operation",
        _("The selectio_n"),
        _("“Add” keeps what is selected already."),
        _OPERATIONS,
    )
    return procedure


def _add_choice(
    procedure: Any, name: str, label: str, tooltip: str, values: dict[str, str]
) -> None:
    choice = Gimp.Choice.new()
    for number, (value, text) in enumerate(values.items()):
        choice.add(value, number, text, "")
    first = next(iter(values))
    procedure.add_choice_argument(name, label, tooltip, choice, first, GObject.ParamFlags.READWRITE)
