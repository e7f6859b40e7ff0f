# SPDX-License-Identifier: Apache-2.0
# Accuracy and macro F1 of models that classify, by iteration.
from .. import style
from . import along

SUMMARY = "accuracy and macro F1 of models that classify"
# Columns of an evaluation: the style of their line, and their name.
COLUMNS = {"accuracy": ("-", "accuracy"), "top5_accuracy": (":", "among the top 5"),
           "macro_f1": ("--", "macro F1")}


def add_options(parser):
    parser.add_argument("--group", choices=("valid", "test"), default="valid",
                        help="the evaluations to plot (valid)")


def draw(runs, group="valid"):
    """A figure of {name: Run}."""
    axis = along.Axis(runs, "iteration")
    figure, axes = style.new_figure(style.title_of("Classes", runs), axis.label,
                                    f"Score on {group}")
    names = style.short_names(runs) if len(runs) > 1 else [""]
    for i, (name, run) in enumerate(zip(names, runs.values())):
        iteration, _ = run.need(group, "iteration", "accuracy")
        for column, (line, words) in COLUMNS.items():
            if column not in getattr(run, group):
                continue
            values = run.need(group, column)[0]
            axes.plot(axis.at(run, iteration), values,
                      color=style.COLOURS[i % len(style.COLOURS)], linestyle=line, marker="o",
                      markersize=3, linewidth=0.9,
                      label=f"{name} {words} ({values[-1]:.3f})".strip())
    axis.finish(axes)
    style.add_legend(axes)
    return figure
