"""The process that searches the photos of a batch: `python -m dip.commands.detect_worker`.

It does the work of `dip detect` for one photo after another, and imports torch once. A request
holds the words of the command; the answer has the lines that it said, or its error.
`dip.batch.find_masks` is the other end.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
from typing import Any

from dip.commands import detect
from dip.errors import DipError
from dip.machine.parent_pipe import ParentPipe


def main() -> int:
    """Answer requests until the pipe closes."""
    parent = ParentPipe()
    parser = argparse.ArgumentParser(prog="dip detect")
    detect.add_arguments(parser)
    for task in parent.tasks():
        parent.send(_search(parser.parse_args(task.content["words"])))
    return 0


def _search(args: argparse.Namespace) -> dict[str, Any]:
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
            detect.run(args)
    except DipError as error:
        return {"error": error.as_dict()}
    except Exception as error:
        # The edge of a task: any error ends this photo, and the next one is taken.
        import traceback

        traceback.print_exc()
        message = f"The search failed: {type(error).__name__}: {error}."
        return {"error": {"code": "internal", "message": message, "hint": ""}}
    return {"done": said.getvalue().splitlines()}


if __name__ == "__main__":
    sys.exit(main())
