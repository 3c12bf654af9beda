"""`dip restore` in its own process, with the time of its parts.

    python tests/benchmarks/growth_worker.py restore PHOTO --mask MASK -o RESULT ...

It runs the command itself, with the same arguments. The last line of standard output is one JSON
object: seconds of each part, regions and patches together and those that are fitted, peak memory.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

PARTS = {
    "read_photo": "reading_s",
    "read_mask": "reading_s",
    "Restoration": "planning_s",
    "write_photo": "writing_s",
}


class Stopwatch:
    """Sums the seconds of the parts; a part within a part counts only for the outer part."""

    def __init__(self) -> None:
        self.spent_s: dict[str, float] = dict.fromkeys(PARTS.values(), 0.0)
        self.cpu_on_files_s = 0.0
        self._running = False

    def watch(self, module: Any, name: str) -> None:
        """Measure the calls of a function or class of a module."""
        inner: Callable[..., Any] = getattr(module, name)

        @wraps(inner)
        def watched(*args: Any, **kwargs: Any) -> Any:
            if self._running:
                return inner(*args, **kwargs)
            self._running = True
            began, cpu_began = time.perf_counter(), time.process_time()
            try:
                return inner(*args, **kwargs)
            finally:
                self.spent_s[PARTS[name]] += time.perf_counter() - began
                if PARTS[name] != "planning_s":
                    self.cpu_on_files_s += time.process_time() - cpu_began
                self._running = False

        setattr(module, name, watched)


def main() -> int:
    import dip.image_io
    import dip.restore
    from dip.bench.worker import peak_memory_mb
    from dip.cli import main as run_command
    from dip.specks import Specks

    watch = Stopwatch()
    for name in ("read_photo", "read_mask", "write_photo"):
        watch.watch(dip.image_io, name)
    planned: dict[str, Any] = {}

    class Restoration(dip.restore.Restoration):
        """Records its plan; keeping the object would keep all pixels in memory."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            patches = sum(map(len, self._plan.patches.values()))
            planned["regions"] = len(self.regions) + patches
            planned["iterations"] = self.iterations
            planned["predicted_memory_mb"] = self.memory_mb

        def _fill_first(self) -> Specks:
            specks = super()._fill_first()
            planned["fitted"] = len(self.regions) + specks.fitted
            return specks

    dip.restore.Restoration = Restoration
    watch.watch(dip.restore, "Restoration")
    status = run_command(sys.argv[1:])
    if status == 0:
        figures = {
            **watch.spent_s,
            **planned,
            "peak_memory_mb": peak_memory_mb(),
            # Of all threads, without reading and writing; steadier on a busy machine.
            "cpu_s": time.process_time() - watch.cpu_on_files_s,
        }
        print(json.dumps(figures))
    return status


if __name__ == "__main__":
    sys.exit(main())
