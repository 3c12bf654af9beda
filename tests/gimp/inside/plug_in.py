"""Runs the plug-in as a script does."""

import gi

gi.require_version("Gimp", "3.0")
from gi.repository import Gimp  # noqa: E402


def restore(image, layers, run_mode=Gimp.RunMode.NONINTERACTIVE, **given):
    """Run the plug-in: whether it succeeds, and its message."""
    procedure = Gimp.get_pdb().lookup_procedure("dip-restore")
    if procedure is None:
        raise RuntimeError("the procedure is not there")
    config = procedure.create_config()
    config.set_property("run-mode", run_mode)
    config.set_property("image", image)
    config.set_core_object_array("drawables", layers)
    for name, value in {"preset": "fast", "iterations": 10, "threads": 1, **given}.items():
        config.set_property(name.replace("_", "-"), value)
    answer = procedure.run(config)
    status = answer.index(0)
    return status == Gimp.PDBStatusType.SUCCESS, Gimp.get_pdb().get_last_error()


def succeed(image, layers, **given):
    succeeded, message = restore(image, layers, **given)
    if not succeeded:
        raise AssertionError(f"the plug-in refuses: {message}")
