"""Code for a worker that crashes while it reads one photo, as a faulty image library does."""

from __future__ import annotations


def crashing_at(photo: str, module: str = "dip.batch.fit_worker") -> str:
    """A sitecustomize for all processes, with effect in those that run one module.

    Parameters
    ----------
    photo : str
        The end of the photo's name.
    module : str
        Of `dip`, and run by `python -m`.
    """
    return (
        "import sys\n"
        f"if {module!r} in sys.orig_argv:\n"
        "    import os, signal\n"
        "    from dip import image_io\n"
        "    read = image_io.read_photo\n"
        "    def crash(photo, **options):\n"
        f"        if str(options.get('name', photo)).endswith({photo!r}):\n"
        "            os.kill(os.getpid(), signal.SIGSEGV)\n"
        "        return read(photo, **options)\n"
        "    image_io.read_photo = crash\n"
    )
