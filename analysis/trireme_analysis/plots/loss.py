# SPDX-License-Identifier: Apache-2.0
# Training loss (as logged, and smoothed) with the evaluations on valid and test.
import numpy as np
from matplotlib.lines import Line2D

from .. import style
from . import along

SUMMARY = "training, validation and test loss of one or more runs"
EVALUATIONS = {"valid": ("o", 3.5), "test": ("D", 5)}  # marker and its size


def add_options(parser):
    along.add_options(parser)


def draw(runs, by="iteration", smooth=None):
    """A figure of {name: Run}. `by`: "iteration", "tokens" or "time". `smooth`: the number of
    iterations that are averaged for a smoothed point."""
    axis = along.Axis(runs, by)
    title = style.title_of("Loss", runs)
    figure, axes = style.new_figure(title, axis.label, "Loss (nats per token)")
    names = style.short_names(runs) if len(runs) > 1 else [""]
    for i, (name, run) in enumerate(zip(names, runs.values())):
        _draw_run(axes, axis, name, run, smooth, i)
    axis.finish(axes)
    handles, labels = axes.get_legend_handles_labels()
    if len(runs) > 1:
        handles, labels = _with_markers(runs.values(), handles, labels)
    style.add_legend(axes, handles, labels)
    return figure


def _draw_run(axes, axis, name, run, window, i):
    iteration, loss = run.need("train", "iteration", "loss")
    x = axis.at(run, iteration)
    look = style.line_style(i)
    along.draw_noisy(axes, x, loss, window, **look, label=_label(name, run))
    wrong = ~np.isfinite(loss)
    if wrong.any():  # values that are not finite: a row of crosses at the bottom
        axes.plot(
            x[wrong],
            np.full(wrong.sum(), 0.02),
            "x",
            color="black" if not name else look["color"],
            markersize=3.5,
            transform=axes.get_xaxis_transform(),
            label=f"{name} not finite ({wrong.sum()})".strip(),
        )
    for group, (marker, size) in EVALUATIONS.items():
        if len(getattr(run, group).get("loss", ())) == 0:
            continue
        at, loss = run.need(group, "iteration", "loss")
        # One run uses two colours, several runs use one each.
        colour = look["color"] if name else style.COLOURS[1]
        axes.plot(
            axis.at(run, at),
            loss,
            color=colour,
            marker=marker,
            markersize=size,
            markerfacecolor="white" if group == "test" else colour,
            linewidth=0.8,
            label="_" if name else f"{group} ({loss[-1]:.3f})",
        )
    if not name:
        along.mark_starts(axes, axis, run)


def _label(name, run):
    if not name:
        return "train"
    valid = run.valid.get("loss", ())
    return f"{name} ({valid[-1]:.3f})" if len(valid) else name


def _with_markers(runs, handles, labels):
    """The legend of several runs. Meanings of markers come last, once."""
    handles, labels = list(handles), list(labels)
    for group, (marker, size) in EVALUATIONS.items():
        if any(len(getattr(run, group).get("loss", ())) for run in runs):
            face = "white" if group == "test" else "black"
            look = {"marker": marker, "markersize": size, "markerfacecolor": face}
            handles.append(Line2D([], [], color="black", linewidth=0.8, **look))
            labels.append("valid (its last)" if group == "valid" else group)
    return handles, labels
