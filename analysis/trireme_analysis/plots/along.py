# SPDX-License-Identifier: Apache-2.0
# Shared by plots along a run: the horizontal axis, and noisy series with a smoothed line.
import numpy as np

from .. import style
from ..run import RunError
from ..series import smooth, time_unit

BY = ("iteration", "tokens", "time")


def add_options(parser):
    parser.add_argument("--by", choices=BY, default="iteration", help="horizontal axis")
    parser.add_argument(
        "--smooth",
        type=int,
        metavar="N",
        help="iterations that a smoothed point is the mean of; 0: none "
        "(default: a fiftieth of the run, or 11)",
    )


class Axis:
    """The horizontal axis of some runs: its label, and the position of a run's iteration."""

    def __init__(self, runs, by):
        self.by = by
        self.label = {"iteration": "Iteration", "tokens": "Tokens"}.get(by)
        self._unit = 1
        if by == "time":
            longest = max(run.seconds_at([np.inf])[0] for run in runs.values())
            self._unit, name = time_unit(longest)
            self.label = f"Time in steps ({name})"
        elif self.label is None:
            raise RunError(f"by is '{by}', not one of {', '.join(BY)}")

    def at(self, run, iterations):
        iterations = np.asarray(iterations, dtype=float)
        if self.by == "tokens":
            return run.tokens_at(iterations)
        return run.seconds_at(iterations) / self._unit if self.by == "time" else iterations

    def finish(self, axes):
        if self.by == "tokens":
            style.short_numbers(axes.xaxis)
        elif self.by == "iteration":
            axes.xaxis.get_major_locator().set_params(integer=True)


def draw_noisy(axes, x, values, window, breaks=(), **look):
    """Plots the values in a pale colour, and the smoothed series over them. No smoothed point
    crosses one of `breaks`. Returns the smoothed line."""
    values = np.where(np.isfinite(values), values, np.nan)
    if window == 0:
        return axes.plot(x, values, **_marked(x, look))[0]
    axes.plot(x, values, color=look.get("color"), alpha=0.3, linewidth=0.7)
    means = smooth(values, window, breaks)
    x = np.insert(np.asarray(x, dtype=float), list(breaks), np.nan)  # a gap in the line
    return axes.plot(x, np.insert(means, list(breaks), np.nan), **_marked(x, look))[0]


def mark_starts(axes, axis, run, label="resumed"):
    """A thin vertical line where each later start of the run went on. Returns their number."""
    at = run.resumed_at()
    for i, x in enumerate(axis.at(run, at)):
        axes.axvline(x, color="#777777", linewidth=0.6, linestyle=(0, (4, 3)), zorder=1,
                     label="_" if i or label is None else label)
    return len(at)


def _marked(x, look):
    return {"marker": ".", **look} if len(x) == 1 else look  # one point makes no visible line
