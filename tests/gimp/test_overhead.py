"""The cost of all but the fit, for a small selection in a 24-megapixel 16-bit layer of 144 MB.

`pytest tests/gimp/test_overhead.py -s` prints the figures.
"""

from __future__ import annotations

from typing import Any

import pytest

COUNTING = """
import sys
if "dip_restore.py" in " ".join(sys.orig_argv):
    import os, socket
    log = os.open({path!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    class Counting(socket.socket):
        def sendall(self, data, *flags):
            os.write(log, b"%d\\n" % memoryview(data).nbytes)
            return super().sendall(data, *flags)
        def recv_into(self, *given):
            count = super().recv_into(*given)
            os.write(log, b"%d\\n" % count)
            return count
    socket.socket = Counting
"""
"""Python that runs before the plug-in, and notes the bytes that its sockets send and receive."""


@pytest.mark.newest_gimp
@pytest.mark.parametrize(
    ("name", "selection", "most_mb"),
    [
        ("a spot of 60 × 20", (3000, 2000, 60, 20), 4),
        pytest.param("a spot in the corner", (0, 0, 40, 40), 4, marks=pytest.mark.exhaustive),
        # A hole is filled from far around: 4 megapixels are sent.
        pytest.param(
            "a hole of 200 × 200", (3000, 2000, 200, 200), 40, marks=pytest.mark.exhaustive
        ),
    ],
)
def test_a_small_selection_costs_little_in_a_large_photo(
    gimp: Any, name: str, selection: tuple[int, int, int, int], most_mb: float
) -> None:
    carried = gimp.folder / "carried"
    (gimp.folder / "sitecustomize.py").write_text(COUNTING.format(path=str(carried)))
    found = gimp.batch_alone(
        "overhead", {"PYTHONPATH": str(gimp.folder)}, selection=selection, carried=str(carried)
    )
    print(
        f"\nGIMP {gimp.version}, {name}: {found['seconds']:.2f} s, one iteration of the fit "
        f"included; {found['sent_mb']:.1f} MB sent; {found['gimp_mb']:.0f} MB more in GIMP, "
        f"{found['plug_in_mb']:.0f} MB plug-in"
    )
    assert 0 < found["sent_mb"] < most_mb
    assert found["gimp_mb"] + found["plug_in_mb"] < 500
