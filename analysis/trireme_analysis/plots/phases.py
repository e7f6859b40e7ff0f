# SPDX-License-Identifier: Apache-2.0
# The time of a step: seconds by phase, stacked, along the run or by rank.
import numpy as np

from .. import style
from ..run import PHASES, RunError, the_one
from ..series import in_bins

SUMMARY = "seconds of a step by phase, along one run or by rank"
POINTS = 200  # most points across; print shows no more
BY = ("iteration", "rank")


def add_options(parser):
    parser.add_argument(
        "--by", choices=BY, default="iteration", help="along the run, or a bar for each rank"
    )


def draw(runs, by="iteration"):
    """A figure of the one Run in {name: Run}. `by`: "iteration", as rank 0 measured it, or
    "rank", means of the steps since the run's last start."""
    name, run = the_one(runs, "phases")
    if by not in BY:
        raise RunError(f"by is '{by}', not one of {', '.join(BY)}")
    parts, step = _by_rank(run) if by == "rank" else _along(run)
    rest = np.maximum(step - parts.sum(axis=1), 0)  # time outside all phases
    stack = in_bins(np.column_stack([parts, rest]), POINTS)
    title = f"Time of a step, {style.short(name)}"
    figure, axes = style.new_figure(title, "Iteration", "Seconds per step")
    labels = [phase.replace("_", " ") for phase in (*PHASES, "other")]
    colours = [*(style.PHASE_COLOURS[phase] for phase in PHASES), style.REST]
    if by == "rank":
        _draw_bars(axes, stack, len(step), labels, colours)
    else:
        x = in_bins(run.need("train", "iteration")[0], POINTS)
        if len(x) == 1:  # one point makes no visible area
            x, stack = np.array([x[0] - 0.5, x[0] + 0.5]), np.repeat(stack, 2, axis=0)
        axes.stackplot(x, *stack.T, labels=labels, colors=colours, linewidth=0)
        axes.margins(x=0)
        axes.xaxis.get_major_locator().set_params(integer=True)
    style.add_legend(axes)
    return figure


def _along(run):
    step, *phases = run.need("train", "step_seconds", *PHASES)
    return np.column_stack(phases), step


def _by_rank(run):
    step, phases = run.need("ranks", "step_seconds", "phases")
    if phases.shape != (len(step), len(PHASES)):
        expected = (len(step), len(PHASES))
        raise RunError(f"{run.path}: /ranks/phases is {phases.shape}, not {expected}")
    return phases, step


def _draw_bars(axes, stack, ranks, labels, colours):
    """Bars at their ranks; each is as wide as the number of ranks in its mean."""
    width = ranks / len(stack)
    x = (np.arange(len(stack)) + 0.5) * width - 0.5
    bottom = np.zeros(len(stack))
    for seconds, label, colour in zip(stack.T, labels, colours):
        axes.bar(x, seconds, 0.85 * width if ranks <= 32 else width, bottom, label=label,
                 color=colour, linewidth=0)
        bottom += seconds
    axes.set_xlabel("Rank" if width == 1 else f"Rank (a bar: the mean of {width:.3g})")
    style.count_ticks(axes, ranks)
