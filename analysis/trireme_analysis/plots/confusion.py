# SPDX-License-Identifier: Apache-2.0
# The last confusion matrix of a model that classifies.
import numpy as np

from .. import style
from ..run import RunError

SUMMARY = "confusion matrix of a model that classifies, of one run"
MOST_LABELS = 25  # classes whose names and numbers stand at the matrix


def add_options(parser):
    parser.add_argument("--group", choices=("valid", "test"), default="valid",
                        help="the evaluations to plot (valid)")


def draw(runs, group="valid"):
    """A figure of {name: Run}, which holds one run."""
    if len(runs) != 1:
        raise RunError("confusion plots one run")
    run = next(iter(runs.values()))
    iteration, counts, classes = run.confusion(group)
    title = style.title_of(f"Confusion on {group} at iteration {iteration}", runs)
    figure, axes = style.new_figure(title, "Class that the model gives", "Class of the sample",
                                    height=3.8)
    axes.imshow(shares(counts), cmap="Blues", vmin=0, vmax=1)
    axes.grid(False)
    if len(counts) > MOST_LABELS:
        return figure
    axes.set_xticks(range(len(counts)), classes, rotation=45, ha="right", fontsize=7)
    axes.set_yticks(range(len(counts)), classes, fontsize=7)
    for i, j in np.argwhere(counts):
        dark = counts[i, j] > counts[i].sum() / 2
        axes.text(j, i, str(counts[i, j]), ha="center", va="center", fontsize=6,
                  color="white" if dark else "black")
    return figure


def shares(counts):
    """Each row's counts as shares of the row; zeros for a class without samples."""
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
