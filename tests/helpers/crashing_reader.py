"""Code for a fit worker that crashes while it reads one photo, as a faulty image library does."""

from __future__ import annotations


def crashing_at(photo: str) -> str:
    """A sitecustomize for all processes, with effect in the fit workers of a batch.

    Parameters
    ----------
    photo : str
        The end of the photo's name.
    """
    return (
        "import sys\n"
        "if 'dip.batch.fit_worker' in sys.orig_argv:\n"
        "    import os, signal\n"
        "    from dip import image_io\n"
        "    read = image_io.read_photo\n"
        "    def crash(photo, *, name, **options):\n"
        f"        if name.endswith({photo!r}): os.kill(os.getpid(), signal.SIGSEGV)\n"
        "        return read(photo, name=name, **options)\n"
        "    image_io.read_photo = crash\n"
    )
