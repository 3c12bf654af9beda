"""Time and memory of everything but the fit."""

import os
import threading
import time

import gi

gi.require_version("Gimp", "3.0")
from gi.repository import Gimp  # noqa: E402

from .photographs import write  # noqa: E402
from .plug_in import succeed  # noqa: E402


def overhead(selection, carried):
    """A small selection in 24 megapixels of 16 bit: seconds, MB sent both ways, MB of memory.

    In the file `carried` the plug-in notes the bytes that its sockets send and receive. The time is
    the least of three runs; memory is the most, above the level before.
    """
    width, height = 6000, 4000
    image = Gimp.Image.new_with_precision(
        width, height, Gimp.ImageBaseType.RGB, Gimp.Precision.U16_NON_LINEAR
    )
    layer = Gimp.Layer.new(
        image, "photo", width, height, Gimp.ImageType.RGB_IMAGE, 100.0, Gimp.LayerMode.NORMAL
    )
    image.insert_layer(layer, None, 0)
    rows = os.urandom(width * 6 * 100)
    for top in range(0, height, 100):
        write(layer, (0, top, width, 100), rows, "R'G'B' u16")
    x, y, wide, high = selection
    image.select_rectangle(Gimp.ChannelOps.REPLACE, x, y, wide, high)
    succeed(image, [layer], iterations=1)  # the service is up, as it is when dialogs were answered
    image.remove_layer(image.get_layers()[0])
    gimp = os.getppid()
    before = memory_mb(gimp, "VmRSS")
    with open(f"/proc/{gimp}/clear_refs", "w") as file:
        file.write("5")  # the peak is counted from here
    plug_in = PeakOfPlugIn()
    plug_in.start()
    took_s, sent_mb = [], []
    for _ in range(3):
        before_mb, began = carried_mb(carried), time.monotonic()
        succeed(image, [layer], iterations=1)
        took_s.append(time.monotonic() - began)
        sent_mb.append(carried_mb(carried) - before_mb)
        image.remove_layer(image.get_layers()[0])
    plug_in.end = True
    plug_in.join()
    answer = {
        "seconds": min(took_s),
        "sent_mb": max(sent_mb),
        "gimp_mb": memory_mb(gimp, "VmHWM") - before,
        "plug_in_mb": plug_in.peak_mb,
    }
    image.delete()
    return answer


def carried_mb(path):
    with open(path) as file:
        return sum(map(int, file)) / 1e6


class PeakOfPlugIn(threading.Thread):
    """Watches the memory of this GIMP's plug-in while it exists; another GIMP may run beside it."""

    peak_mb, end = 0.0, False
    name = os.path.join(
        os.environ["GIMP3_DIRECTORY"], "plug-ins/dip_restore/dip_restore.py"
    ).encode()

    def run(self):
        while not self.end:
            for name in filter(str.isdigit, os.listdir("/proc")):
                try:
                    with open(f"/proc/{name}/cmdline", "rb") as file:
                        if self.name in file.read():
                            self.peak_mb = max(self.peak_mb, memory_mb(name, "VmHWM"))
                except (OSError, StopIteration):
                    continue
            time.sleep(0.02)


def memory_mb(pid, name):
    with open(f"/proc/{pid}/status") as file:
        line = next(line for line in file if line.startswith(name))
    return int(line.split()[1]) / 1024
