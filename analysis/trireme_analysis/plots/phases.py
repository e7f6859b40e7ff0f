# SPDX-License-Identifier: Apache-2.0
# Where the time of a step goes: seconds by phase, stacked, over the run.
import numpy as np

from .. import style
from ..run import PHASES, RunError

SUMMARY = "seconds of a step by phase (one run)"
POINTS = 200  # at most so many along the run: more is finer than a column of print


def add_options(parser):
    del parser  # none of its own


def in_bins(values):
    """`values`, or the means of POINTS runs of neighbours where there are more."""
    if len(values) <= POINTS:
        return values
    return np.array([part.mean() for part in np.array_split(values, POINTS)])


def draw(runs, options):
    del options
    if len(runs) != 1:
        raise RunError(f"phases draws one run, not {len(runs)}")
    ((name, run),) = runs.items()
    iteration, step, *phases = run.need("train", "iteration", "step_seconds", *PHASES)
    rest = np.maximum(step - np.sum(phases, axis=0), 0)  # what no phase claims
    figure, axes = style.new_figure(f"Time of a step, {name}", "Iteration", "Seconds per step")
    axes.stackplot(
        in_bins(iteration),
        *[in_bins(seconds) for seconds in (*phases, rest)],
        labels=[phase.replace("_", " ") for phase in (*PHASES, "other")],
        colors=[*style.COLOURS, style.REST],
        linewidth=0,
    )
    axes.margins(x=0)
    style.add_legend(axes, loc="center left", bbox_to_anchor=(1.0, 0.5), upside_down=True)
    return figure
