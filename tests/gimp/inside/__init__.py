"""The cases that the tests run inside GIMP, with GIMP's own Python: no numpy, no pytest.

`CASES` lists them by name. A case is a function whose arguments and value can be written as JSON.
"""

import json
import os
import time
import traceback

import gi

gi.require_version("Gegl", "0.4")
from gi.repository import Gegl  # noqa: E402

from . import changes, finding, geometry, matrix, overhead, refusals, results, window  # noqa: E402


def call(case, given, answer):
    """Run a case and write its value, or its error, to a file."""
    Gegl.init(None)
    found = {"value": None, "error": None}
    try:
        found["value"] = CASES[case](**given)
    except BaseException:
        found["error"] = traceback.format_exc()
    with open(answer + ".part", "w", encoding="utf-8") as file:
        json.dump(found, file)
    os.replace(answer + ".part", answer)


def serve(requests, tests):
    """Run the cases that the tests ask for, one after the other, as long as the tests run."""
    number = 0
    while os.path.exists(f"/proc/{tests}"):
        asked = os.path.join(requests, f"{number}.json")
        if not os.path.exists(asked):
            time.sleep(0.02)
            continue
        with open(asked, encoding="utf-8") as file:
            call(**json.load(file))
        number += 1


def nothing():
    """For a start of GIMP alone."""


CASES = {
    case.__name__: case
    for case in (
        changes.changed_meanwhile,
        changes.changed_while_searching,
        changes.damage_for_a_dialog,
        changes.words_of_progress,
        finding.finding_refused,
        finding.found_damage,
        geometry.growing,
        geometry.growing_over_its_rim,
        geometry.in_a_group,
        geometry.offsets,
        geometry.only_some_of_the_damage,
        geometry.outside_the_canvas,
        geometry.partly_outside,
        matrix.matrix,
        nothing,
        overhead.overhead,
        refusals.bad_situations,
        results.both_networks,
        results.indexed_allowed,
        results.locked_photo_new_layer,
        results.same_seed_same_result,
        results.textures,
        results.with_last_values,
        serve,
        window.window,
    )
}
