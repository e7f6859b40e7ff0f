# SPDX-License-Identifier: Apache-2.0
# Forecast memory as stacked bars, and measured memory as markers.
import numpy as np

from .. import style
from ..run import RunError, the_one
from ..series import byte_unit

SUMMARY = "memory planned and measured, by pipeline stage or by rank"
BY = ("stage", "rank")
# Pieces of /plan from the bottom up: legend, colour, hatch.
PIECES = {
    "values": ("values", "#0072B2", None),
    "gradients": ("gradients", "#56B4E9", None),
    "optimizer": ("optimizer", "#009E73", None),
    "activations": ("activations", "#E69F00", None),
    "unused": ("reserved, unused", "white", "////"),
    "copy": ("copy for a save (host)", "white", "...."),
}
# Columns of /ranks: legend, marker, face.
MEASURED = {
    "arrays_peak_bytes": ("arrays, peak", "D", "black"),
    "arrays_reserved_bytes": ("arrays, reserved", "s", "white"),
    "peak_bytes": ("process (host), peak", "_", "black"),
}


def add_options(parser):
    parser.add_argument("--by", choices=BY, default="stage", help="a bar for each of these")


def draw(runs, by="stage"):
    """A figure of the one Run in {name: Run}. A bar is the forecast of a stage's ranks. Markers
    show measurements: a stage's largest, with a line down to its smallest. `by`: "stage" or
    "rank"."""
    name, run = the_one(runs, "memory")
    if by not in BY:
        raise RunError(f"by is '{by}', not one of {', '.join(BY)}")
    plan = np.array(run.need("plan", *PIECES))  # [piece, stage]
    stages = plan.shape[1]
    stage_of, *measured = run.need("ranks", "pp", *MEASURED)
    stage_of = stage_of.astype(int)
    if stage_of.min() < 0 or stage_of.max() >= stages:
        text = f"/ranks/pp names stage {stage_of.max()}, /plan has {stages}"
        raise RunError(f"{run.path}: {text}")
    if by == "rank":
        plan = plan[:, stage_of]
    divisor, unit = byte_unit(max(plan.sum(axis=0).max(), np.max(measured)))
    title = f"Memory of a rank, {style.short(name)}"
    x_label = "Rank" if by == "rank" else "Pipeline stage"
    figure, axes = style.new_figure(title, x_label, f"Memory ({unit})")
    _draw_plan(axes, plan / divisor, _has_gpus(run))
    for values, (label, marker, face) in zip(measured, MEASURED.values()):
        low, high = _least_and_most(values / divisor, stage_of, by)
        axes.vlines(np.arange(len(low)), low, high, color="black", linewidth=0.6)
        size = 4 if len(low) <= 32 else 2
        axes.plot(high, marker, color="black", markersize=2 * size if marker == "_" else size,
                  markerfacecolor=face, markeredgewidth=0.8, label=label)
    style.count_ticks(axes, plan.shape[1])
    axes.set_ylim(bottom=0, top=1.05 * axes.get_ylim()[1])
    handles = [*axes.containers, *axes.get_lines()]
    style.add_legend(axes, handles, [handle.get_label() for handle in handles])
    return figure


def _has_gpus(run):
    return any(not str(device).startswith("cpu") for device in run.ranks.get("device", ()))


def _draw_plan(axes, plan, on_gpus):
    """Stacks what one memory holds. The host's memory beside a GPU has a bar of its own."""
    bars = plan.shape[1]
    x, bottom = np.arange(bars), np.zeros(bars)
    narrow = bars > 32
    for values, (piece, (label, colour, hatch)) in zip(plan, PIECES.items()):
        apart = on_gpus and piece == "copy"
        axes.bar(
            x + 0.38 if apart else x,
            values,
            0.12 if apart else 1 if narrow else 0.6,
            0 if apart else bottom,
            label=label,
            color=colour,
            hatch=hatch,
            edgecolor="#777777" if hatch else colour,
            linewidth=0 if narrow or not hatch else 0.5,
        )
        if not apart:
            bottom += values


def _least_and_most(values, stage_of, by):
    if by == "rank":
        return values, values
    groups = [values[stage_of == stage] for stage in range(stage_of.max() + 1)]
    return [np.array([f(g) if len(g) else np.nan for g in groups]) for f in (np.min, np.max)]
