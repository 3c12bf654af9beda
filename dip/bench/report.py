"""The results of `dip bench`: the table, the verdicts and the sheet."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dip.bench.reference import METHODS, OPENCV_METHODS
from dip.bench.targets import BY_EYE, METRICS, Target
from dip.presets import PRESETS

if TYPE_CHECKING:
    from PIL.Image import Image

    from dip.bench.measure import Measured

PASSED, SHORT = "pass", "falls short"
NAMES = {
    "unet": "U-Net",
    "segnet": "SegNet",
    "telea": "OpenCV Telea",
    "ns": "OpenCV Navier-Stokes",
    "biharmonic": "biharmonic",
    "published_unet": "published U-Net",
    "published_segnet": "published SegNet",
    "dip_paper": "the paper",
    "resynth": "Resynthesizer",
    "gmic": "G'MIC matchpatch",
}
# Heading, figure, format.
COLUMNS = (
    ("hole dB", "hole_psnr_db", ".2f"),
    ("smooth", "smooth_psnr_db", ".2f"),
    ("spread", "spread_db", ".2f"),
    ("full dB", "full_psnr_db", ".2f"),
    ("raw dB", "full_raw_psnr_db", ".2f"),
    ("SSIM", "ssim_around", ".3f"),
    ("texture", "texture_distance", ".2f"),
    ("1st s", "first_preview_seconds", ".1f"),
    ("seconds", "seconds", ".1f"),
    ("its", "iterations", ".0f"),
    ("peak MB", "peak_memory_mb", ".0f"),
)
LEGEND = """\
hole dB: PSNR of the unknown pixels.  smooth: the same before the fill gets texture, which looks
better but lowers PSNR.  full dB: PSNR of the whole picture.  raw dB: PSNR of the network's output,
before known pixels are pasted back.  SSIM: at and around the unknown pixels.  texture: sliced
Wasserstein distance, 0 is best.  seconds: of the whole process, including start-up.  1st s: until
the first useful preview.  peak MB: of the whole process."""
VISIBILITY_LEGEND = """\
Over all cases with a truth: mean hole PSNR; detail of fills over the truth's, in bands of 1, 2 and
4 px, medians (1 is as rich as the truth); and how well a classifier tells fills from their
surroundings (0.5: not at all), for six cases or more where scikit-learn is installed."""
PANEL_PX = 340


def summarise(case: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Reduce the runs of a case to medians over the seeds.

    Returns
    -------
    dict
        By network and preset: the median of each figure; `spread`, the difference between highest
        and lowest for each figure (empty for one seed); `spread_db`, the spread of the hole PSNR or
        None; `typical_seed`, the seed of the median; and `error` if a run failed.
    """
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for run in case["runs"]:
        groups.setdefault((run["network"], run["preset"]), []).append(run)
    return {key: _summarise_runs(runs) for key, runs in groups.items()}


def _summarise_runs(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    failed = [run for run in runs if "error" in run]
    if failed:
        return {"error": failed[0]["error"], "typical_seed": None}
    summary: dict[str, Any] = {"device": runs[0]["device"], "spread": {}}
    names = [figure for _, figure, _ in COLUMNS if figure != "spread_db"]
    for name in dict.fromkeys((*names, *METRICS)):
        values = [run[name] for run in runs if run.get(name) is not None]
        summary[name] = statistics.median(values) if len(values) == len(runs) else None
        if len(values) == len(runs) > 1:
            summary["spread"][name] = max(values) - min(values)
    by_quality = sorted(runs, key=lambda run: run["hole_psnr_db"] or 0.0)
    summary["typical_seed"] = by_quality[(len(runs) - 1) // 2]["seed"]
    summary["spread_db"] = summary["spread"].get("hole_psnr_db")
    return summary


# --- Verdicts -----------------------------------------------------------------------------------


def judge(report: dict[str, Any], targets: Sequence[Target]) -> list[dict[str, Any]]:
    """Judge each target whose run is in this report.

    Returns
    -------
    list of dict
        The target's fields, the `bound` as a number, the figure that was `reached` (None if the
        run failed), its `spread` over the seeds (None for one seed), and `passed`. A target whose
        rival was not measured is left out.
    """
    verdicts = []
    order = list(report["cases"])
    chosen = (target for target in targets if target.case in report["cases"])
    for target in sorted(chosen, key=lambda target: order.index(target.case)):
        case = report["cases"][target.case]
        summaries = summarise(case)
        summary = summaries.get((target.network, target.preset))
        if summary is None or target.device not in (None, summary.get("device")):
            continue
        bound = _bound(target, case, summaries)
        if bound is None:
            continue
        reached = summary.get(target.metric)
        spread = summary.get("spread", {}).get(target.metric)
        found = {"bound": bound, "reached": reached, "spread": spread}
        verdicts.append({**asdict(target), **found, "passed": _passes(target, reached, bound)})
    return verdicts


def _passes(target: Target, reached: float | None, bound: float) -> bool:
    if reached is None:
        return False
    if target.at_most is not None:
        return reached <= bound
    return reached > bound if target.at_least in PRESETS else reached >= bound


def _bound(
    target: Target, case: dict[str, Any], summaries: dict[tuple[str, str], dict[str, Any]]
) -> float | None:
    """Return the number to reach; None if it is the figure of a rival that was not measured."""
    if target.at_most is not None:
        return target.at_most
    if not isinstance(target.at_least, str):
        return target.at_least
    if target.at_least == "opencv":
        rivals = [case["references"].get(name, {}) for name in OPENCV_METHODS]
    elif target.at_least in METHODS:
        rivals = [case["references"].get(target.at_least, {})]
    else:
        rivals = [summaries.get((target.network, target.at_least), {})]
    metric = target.metric
    if metric == "smooth_psnr_db" and target.at_least not in PRESETS:
        metric = "hole_psnr_db"  # a classical method has only one fill
    figures = [rival[metric] for rival in rivals if rival.get(metric) is not None]
    return max(figures) if figures else None


# --- The table ----------------------------------------------------------------------------------


def table(report: dict[str, Any]) -> str:
    """Lay out the report as plain text, at most 120 columns wide."""
    columns = [column for column in COLUMNS if _is_shown(column[1], report)]
    heads = "".join(f"{head:>8}" for head, _, _ in columns)
    lines = [_circumstances(report)]
    for name, case in report["cases"].items():
        size = f"{case['width']} × {case['height']} px"
        share = case["unknown_px"] / (case["width"] * case["height"])
        about = ", ".join(filter(None, [case["kind"], size, f"{share:.1%} unknown"]))
        lines += ["", f"{name}  ({about})", f"  {'':<21}{heads}  targets"]
        for label, figures, verdict in _rows(name, case, report["targets"]):
            if "error" in figures or "skipped" in figures:
                reason = figures.get("skipped") or f"failed: {figures['error']['message']}"
                lines.append(f"  {label:<21}  {reason}"[:118])
                continue
            cells = "".join(_cell(figures.get(figure), form) for _, figure, form in columns)
            lines.append(f"  {label:<21}{cells}  {verdict}".rstrip())
        if not case["truth"]:
            lines.append("  The pixels under the mask are no correct result: look at the sheet.")
    lines += ["", LEGEND]
    if report.get("visibility"):
        lines += ["", *_visibility_lines(report["visibility"])]
    if report["targets"]:
        lines += ["", *_verdict_lines(report["targets"], report.get("not_judged", 0))]
    for name, looks in BY_EYE.items():
        if name in report["cases"]:
            lines.append(f"  {'by eye':<12}{name:<18}{looks}? (--sheet draws it)")
    return "\n".join(lines)


def _visibility_lines(summary: dict[str, dict[str, Any]]) -> Iterator[str]:
    """A line for each method: over all cases with a truth."""
    yield f"  {'':<21}{'cases':>8}{'hole dB':>8}  {'detail':>14}{'AUC':>8}"
    for method, each in summary.items():
        told = f"{'–' if each['auc'] is None else format(each['auc'], '.3f'):>8}"
        bands = "/".join(f"{ratio:.2f}" for ratio in each["detail"])
        yield f"  {method:<21}{each['cases']:>8}{each['hole_psnr_db']:>8.2f}  {bands:>14}{told}"
    yield VISIBILITY_LEGEND


def _circumstances(report: dict[str, Any]) -> str:
    machine, versions, settings = report["machine"], report["versions"], report["settings"]
    runs = [run for case in report["cases"].values() for run in case["runs"]]
    used = sorted({f"{run['device']}, {run['threads']} threads" for run in runs if "device" in run})
    seeds = ", ".join(map(str, settings["seeds"]))
    return (
        f"dip {versions['dip']}, torch {versions['torch']}, on {machine['cpu']}, "
        f"{machine['cores']} cores{''.join(f' ({each})' for each in used)}; seed {seeds}"
    )


def _is_shown(figure: str, report: dict[str, Any]) -> bool:
    return figure != "spread_db" or len(report["settings"]["seeds"]) > 1


def _rows(
    name: str, case: dict[str, Any], verdicts: Sequence[dict[str, Any]]
) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield label, figures and verdict, first of the runs, then of the other methods."""
    for (network, preset), summary in summarise(case).items():
        own = [
            verdict["passed"]
            for verdict in verdicts
            if (verdict["case"], verdict["network"], verdict["preset"]) == (name, network, preset)
        ]
        verdict = "" if not own else PASSED if all(own) else SHORT
        yield f"{NAMES[network]}, {preset}", summary, verdict
    for method, figures in case["references"].items():
        yield NAMES.get(method, method), figures, ""
    published: dict[str, dict[str, float]] = {}
    for figure, by_name in case["published"].items():
        for source, value in by_name.items():
            # Classical methods were measured in this run; their published figures are in the JSON.
            if source.removesuffix("_pasted") not in METHODS:
                published.setdefault(source, {})[figure] = value
    for source, figures in published.items():
        if source == "dip_paper":  # which scores the raw output
            figures = {"full_raw_psnr_db": figures["full_psnr_db"]}
        yield NAMES.get(source, source), figures, ""


def _cell(value: float | None, form: str) -> str:
    return f"{'–' if value is None else format(value, form):>8}"


def _verdict_lines(verdicts: Sequence[dict[str, Any]], not_judged: int) -> Iterator[str]:
    reached = sum(verdict["passed"] for verdict in verdicts)
    others = f"; {not_judged} more are for runs that were not measured here" if not_judged else ""
    yield f"Targets: {reached} of {len(verdicts)} reached{others}"
    for verdict in verdicts:
        mark = PASSED if verdict["passed"] else SHORT
        run = f"{NAMES[verdict['network']]}, {verdict['preset']}"
        figure = "failed" if verdict["reached"] is None else f"{verdict['reached']:.2f}"
        spread = "" if verdict.get("spread") is None else f"(spread {verdict['spread']:.2f})"
        bound = f"at {'least' if verdict['at_most'] is None else 'most'} {verdict['bound']:.2f}"
        if verdict["at_least"] in PRESETS:
            bound = f"above {verdict['bound']:.2f}"
        rival = f" ({verdict['at_least']})" if isinstance(verdict["at_least"], str) else ""
        yield (
            f"  {mark:<12}{verdict['case']:<18}{run:<18}{METRICS[verdict['metric']]:<20}"
            f"{figure:>9} {spread:<15}  {bound}{rival}"
        )


# --- The sheet ----------------------------------------------------------------------------------


def draw_row(measured: Measured) -> Image:
    """Draw one case: damaged, the better OpenCV result, the runs, truth; with details below."""
    from dip.panels import (
        NETWORK_COLOURS,
        Panel,
        draw_panels,
        find_detail,
        heading,
        mark,
        picture,
        stack,
    )

    case = measured.figures
    share = measured.unknown.mean()
    truth = picture(measured.truth)
    panels = [Panel(mark(truth, measured.unknown), "damaged", [f"{share:.1%} unknown"])]
    opencv = [name for name in OPENCV_METHODS if name in measured.references]
    if opencv:
        best = max(opencv, key=lambda name: case["references"][name]["hole_psnr_db"] or 0.0)
        lines = _caption(case["references"][best])
        panels.append(Panel(picture(measured.references[best]), NAMES[best], lines))
    for (network, preset), summary in summarise(case).items():
        title, colour = f"{NAMES[network]}, {preset}", NETWORK_COLOURS[network]
        seed = summary["typical_seed"]
        if seed is None:
            panels.append(Panel(panels[0].image, title, ["failed"], colour))
            continue
        run = next(
            each
            for each in case["runs"]
            if (each["network"], each["preset"], each["seed"]) == (network, preset, seed)
        )
        pixels = measured.results[network, preset, seed]
        panels.append(Panel(picture(pixels), title, _caption(run), colour))
    last = "truth" if measured.case.truth else "original (not the truth)"
    panels.append(Panel(truth, last))
    row = draw_panels(panels, PANEL_PX, detail=find_detail(measured.unknown))
    return stack([heading(measured.case.name, row.width, 28), row], gap_px=4, margin_px=0)


def draw_sheet(rows: Sequence[Image]) -> Any:
    """Stack the rows of all cases.

    Returns
    -------
    (H, W, 3) uint8 array
    """
    import numpy as np

    from dip.panels import stack

    return np.asarray(stack(rows, gap_px=40))


def _caption(figures: dict[str, Any]) -> list[str]:
    time = f"{figures['seconds']:.1f} s"
    if figures["hole_psnr_db"] is None:
        return [time]
    return [
        f"hole {figures['hole_psnr_db']:.2f} dB, {time}",
        f"SSIM {figures['ssim_around']:.3f}, texture {figures['texture_distance']:.2f}",
    ]
