# SPDX-License-Identifier: Apache-2.0
# The gradient's norm and the learning rate along the run, beside the rate that the deck plans
# for the whole run. Crosses mark skipped steps.
import numpy as np

from .. import style
from . import along

SUMMARY = "gradient norm and learning rate of one or more runs"


def add_options(parser):
    along.add_options(parser)


def draw(runs, by="iteration", smooth=None):
    """A figure of {name: Run}; `by` and `smooth` as for the loss."""
    axis = along.Axis(runs, by)
    title = style.title_of("Optimizer", runs)
    figure, (norms, rates) = style.new_figure(
        title, axis.label, "Gradient norm", "Learning rate", height=3.4
    )
    names = style.short_names(runs) if len(runs) > 1 else [""]
    for i, (name, run) in enumerate(zip(names, runs.values())):
        iteration, norm, rate = run.need("train", "iteration", "grad_norm", "learning_rate")
        x, look = axis.at(run, iteration), style.line_style(i)
        label = name or "gradient norm"
        along.draw_noisy(norms, x, norm, smooth, **look, label=label)
        rates.plot(x, rate, **look, marker="." if len(x) == 1 else None)
        _mark_skipped(norms, x, run.train.get("skipped"), name, look)
        _draw_plan(rates, axis, run, look)
        if not name:
            along.mark_starts(norms, axis, run)
            along.mark_starts(rates, axis, run, None)
    _scale(norms)
    rates.set_ylim(bottom=0)
    axis.finish(rates)
    style.add_legend(norms)
    return figure


def _draw_plan(axes, axis, run, look):
    """A pale dashed line: the rate of the whole run as the deck plans it."""
    plan = run.schedule
    if axis.by != "iteration" or "learning_rate" not in plan:
        return
    axes.plot(plan["iteration"], plan["learning_rate"], color=look["color"], alpha=0.5,
              linewidth=0.8, linestyle=(0, (4, 3)), label="_plan", zorder=1)


def _mark_skipped(axes, x, skipped, name, look):
    """A row of crosses at the bottom, where the update was skipped."""
    skipped = np.zeros(len(x)) if skipped is None else np.asarray(skipped)
    if not skipped.any():
        return
    axes.plot(
        x[skipped > 0],
        np.full(int((skipped > 0).sum()), 0.02),
        "x",
        color=look["color"] if name else "black",
        markersize=3.5,
        transform=axes.get_xaxis_transform(),
        label=f"{name} skipped ({int(skipped.sum())})".strip(),
    )


def _scale(axes):
    """Logarithmic if the norms span more than a factor of 20, else from 0."""
    values = np.concatenate([np.asarray(line.get_ydata(), float) for line in axes.get_lines()
                             if line.get_transform() == axes.transData] or [np.zeros(0)])
    values = values[np.isfinite(values) & (values > 0)]
    if len(values) and values.max() > 20 * values.min():
        axes.set_ylim(values.min() / 1.2, values.max() * 1.2)
        style.log_ticks(axes)
    else:
        axes.set_ylim(bottom=0)
