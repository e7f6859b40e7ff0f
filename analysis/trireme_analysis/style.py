# SPDX-License-Identifier: Apache-2.0
# How all plots look: one column of a paper wide, colours for the colour-blind, no display.
import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.ticker import EngFormatter

# Okabe and Ito, "Color Universal Design" (2008), without black and with yellow last.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
REST = "#999999"  # what is left over

SIZE = (3.5, 2.6)  # inches
DPI = 300

matplotlib.rcParams.update(
    {
        "font.size": 8,
        "axes.titlesize": 8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": "#dddddd",
        "grid.linewidth": 0.5,
        "axes.axisbelow": True,
        "legend.fontsize": 7,
        "legend.frameon": False,
        "lines.linewidth": 1.2,
    }
)


def new_figure(title, x_label, y_label):
    """(figure, axes), labelled."""
    figure, axes = pyplot.subplots(figsize=SIZE, layout="constrained")
    axes.set(title=title, xlabel=x_label, ylabel=y_label)
    return figure, axes


def add_legend(axes, upside_down=False, **where):
    """`upside_down`: last drawn on top, as a stack shows it."""
    handles, labels = axes.get_legend_handles_labels()
    order = slice(None, None, -1 if upside_down else 1)
    axes.legend(handles[order], labels[order], **where)


def short_numbers(axis):
    """20 M in place of 20000000."""
    axis.set_major_formatter(EngFormatter(sep="\N{THIN SPACE}"))


def save(figure, path):
    figure.savefig(path, dpi=DPI)
    pyplot.close(figure)
