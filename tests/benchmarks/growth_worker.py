"""`dip restore` in a process of its own, with a stopwatch on its parts.

    python tests/benchmarks/growth_worker.py restore PHOTO --mask MASK -o RESULT ...

It is the command itself that runs, with the same arguments. The last line of standard output is
one JSON object: seconds of each part, regions, peak memory.
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
    """Adds up the seconds of the parts; a part within a part counts for the outer one alone."""

    def __init__(self) -> None:
        self.spent_s: dict[str, float] = dict.fromkeys(PARTS.values(), 0.0)
        self.cpu_on_files_s = 0.0
        self._running = False

    def watch(self, module: Any, name: str) -> None:
        """Put a function or class of a module under the watch."""
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

    watch = Stopwatch()
    for name in ("read_photo", "read_mask", "write_photo"):
        watch.watch(dip.image_io, name)
    planned: dict[str, Any] = {}

    class Restoration(dip.restore.Restoration):
        """Leaves its plan behind; itself it would keep all its pixels in memory."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            planned["regions"] = len(self.regions)
            planned["iterations"] = self.iterations
            planned["predicted_memory_mb"] = self.memory_mb

    dip.restore.Restoration = Restoration
    watch.watch(dip.restore, "Restoration")
    status = run_command(sys.argv[1:])
    if status == 0:
        figures = {
            **watch.spent_s,
            **planned,
            "peak_memory_mb": peak_memory_mb(),
            # Of all threads, reading and writing aside: steadier where others work too.
            "cpu_s": time.process_time() - watch.cpu_on_files_s,
        }
        print(json.dumps(figures))
    return status


if __name__ == "__main__":
    sys.exit(main())
