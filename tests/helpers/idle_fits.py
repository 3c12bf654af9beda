"""Code for a process that fits: its fits last, and leave the processor to others."""

from __future__ import annotations


def idle_fits(pause_s: float = 0.3) -> str:
    """A sitecustomize for all processes, with effect in those that fit for a service.

    Parameters
    ----------
    pause_s : float
        They sleep so many seconds after each iteration.
    """
    return (
        "import sys\n"
        "if {'server.work.worker', 'server.work.cluster_child'} & set(sys.orig_argv):\n"
        "    import time\n"
        "    from dip.restore import Restoration\n"
        "    steps = Restoration.__iter__\n"
        "    def idle(self):\n"
        "        for step in steps(self):\n"
        f"            time.sleep({pause_s})\n"
        "            yield step\n"
        "    Restoration.__iter__ = idle\n"
    )
