# SPDX-License-Identifier: Apache-2.0
# The look of all plots: one column of a paper wide, colours for the colour-blind, no display.
import os
import re
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot
from matplotlib.textpath import TextPath
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullLocator

from .run import RunError
from .terminal import printable

# Okabe and Ito, "Color Universal Design" (2008), without black and with yellow last.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
DASHES = ("-", "--", ":", "-.")  # one style for each round of COLOURS
REST = "#bbbbbb"  # colour of the remainder
PHASE_COLOURS = {  # colours of phases; backward is a darker forward
    "data": "#E69F00",
    "forward": "#56B4E9",
    "backward": "#0072B2",
    "reduce": "#D55E00",
    "pipeline_wait": "#F0E442",
    "optimizer": "#009E73",
    "checkpoint": "#CC79A7",
}

WIDTH, HEIGHT = 3.5, 2.6  # inches
DPI = 300
LEGEND_SIZE = 7  # points
NAME_LENGTH = 30  # characters of a run's name in a legend or title
_LEGEND_WIDTH = WIDTH * 72 - 44  # points; axis labels need the rest
_LEGEND_HANDLE = 25  # points that a legend's entry needs beside its text
_LEGEND_ROW = 1.35 * LEGEND_SIZE / 72  # inches

matplotlib.rcParams.update(
    {
        "font.size": 8,
        "figure.titlesize": 8,
        "axes.titlesize": 8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": "#dddddd",
        "grid.linewidth": 0.5,
        "axes.axisbelow": True,
        "legend.fontsize": LEGEND_SIZE,
        "legend.frameon": False,
        "legend.handlelength": 1.6,
        "legend.columnspacing": 1.0,
        "legend.labelspacing": 0.25,
        "lines.linewidth": 1.2,
        "hatch.linewidth": 0.5,
    }
)


def new_figure(title, x_label, *y_labels, height=HEIGHT, ratios=None):
    """(figure, axes), labelled. Several y_labels give a list of axes, stacked over one
    horizontal axis, with heights as `ratios`."""
    figure, grid = pyplot.subplots(
        len(y_labels),
        figsize=(WIDTH, height),
        layout="constrained",
        sharex=True,
        squeeze=False,
        gridspec_kw={"height_ratios": ratios} if ratios else None,
    )
    axes = list(grid[:, 0])
    figure.suptitle(title)
    for each, label in zip(axes, y_labels):
        each.set_ylabel(label)
    axes[-1].set_xlabel(x_label)
    figure.align_ylabels(axes)
    return figure, axes[0] if len(axes) == 1 else axes


def line_style(i):
    """The i-th of many lines: colour and dashes, all different for the first 28."""
    rounds = len(COLOURS)
    return {"color": COLOURS[i % rounds], "linestyle": DASHES[i // rounds % len(DASHES)]}


def add_legend(axes, handles=None, labels=None):
    """Adds a legend above the axes, in as many columns as fit, so that no data are covered. The
    figure grows accordingly. Labels wider than the figure continue on a second line."""
    if handles is None:
        handles, labels = axes.get_legend_handles_labels()
    if not handles:
        return
    labels = [_folded(label) for label in labels]
    widest = max(_width(line) for label in labels for line in label.split("\n"))
    columns = max(1, min(len(labels), int(_LEGEND_WIDTH // (widest + _LEGEND_HANDLE))))
    rows = -(-len(labels) // columns)
    columns = -(-len(labels) // rows)
    where = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0.2}
    axes.legend(handles, labels, ncol=columns, **where)
    figure = axes.figure
    lines = [label.count("\n") + 1 for label in labels]
    height = max(sum(lines[i : i + rows]) for i in range(0, len(lines), rows))
    figure.set_figheight(figure.get_figheight() + height * _LEGEND_ROW)


def _width(text):
    """Points that a legend's text is wide."""
    return TextPath((0, 0), text, size=LEGEND_SIZE).get_extents().width if text.strip() else 0


def _folded(label):
    """The label, continued on a second line where it is wider than a column."""
    room = _LEGEND_WIDTH - _LEGEND_HANDLE
    if _width(label) <= room:
        return label
    words = label.split(" ")
    fits = [i for i in range(1, len(words)) if _width(" ".join(words[:i])) <= room]
    at = max((i for i in fits if words[i - 1].endswith(",")), default=max(fits, default=0))
    return f"{' '.join(words[:at])}\n{' '.join(words[at:])}" if at else label


def short(name, length=NAME_LENGTH):
    """A name that prints, with … replacing its middle if the name is too long."""
    name = printable(name)
    if len(name) <= length:
        return name
    head = (length - 1) // 2
    return f"{name[:head]}…{name[head + 1 - length:]}"


def short_names(names):
    """Names for a legend. Long names lose common beginnings and ends, and stay different."""
    names = list(names)
    if len(names) > 1 and max(map(len, names)) > NAME_LENGTH:
        begin = len(_whole_words(os.path.commonprefix(names)))
        names = ["…" + name[begin:] if begin > 1 else name for name in names]
        end = len(_whole_words(os.path.commonprefix([name[:0:-1] for name in names])))
        names = [name[:-end] + "…" if end > 1 else name for name in names]
    shortened = [short(name) for name in names]
    return [
        name if shortened.count(name) == 1 else f"{name} ({i})"
        for i, name in enumerate(shortened, 1)
    ]


def _whole_words(text):
    """The text up to its last separator."""
    return re.match(r"(.*[-_/,. ])?", text)[0]


def title_of(what, runs):
    """The title of a picture of these runs, a dictionary by name."""
    if len(runs) == 1:
        return f"{what} of {short(next(iter(runs)))}"
    return f"{what} of {len(runs)} runs"


def count_ticks(axes, count):
    """A horizontal axis of `count` bars at 0, 1, …"""
    axes.set_xlim(-0.7, count - 0.3)
    if count <= 16:
        axes.set_xticks(range(count))
    axes.grid(axis="x", visible=False)


def log_ticks(axes):
    """A logarithmic vertical axis with plain numbers. Ticks are at 1, 2 and 5 if the range is
    small."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    locator = LogLocator(subs=(1,) if high > 300 * low else (1, 2, 5), numticks=9)
    axes.yaxis.set_major_locator(locator if high > 6 * low else MaxNLocator(5))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.yaxis.set_minor_locator(NullLocator())


def short_numbers(axis):
    """Writes 20000000 as 20 M."""
    axis.set_major_formatter(EngFormatter(sep="\N{THIN SPACE}"))


def text_colour(background):
    """Black or white, whichever is easier to read on this colour."""
    red, green, blue = matplotlib.colors.to_rgb(background)
    return "black" if 0.3 * red + 0.59 * green + 0.11 * blue > 0.5 else "white"


def add_file_options(parser, default):
    """--output and --dpi of a command that writes a picture."""
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help=f"picture to write; the suffix tells the kind (default: {default})",
    )
    parser.add_argument(
        "--dpi", type=int, default=DPI, metavar="N", help=f"dots per inch (default {DPI})"
    )


def save(figure, path, dpi=DPI):
    """Writes the picture, completely or not at all, in the format of the suffix. `dpi`: dots
    per inch, for formats with dots."""
    path = Path(path)
    if not path.parent.is_dir():
        raise RunError(f"{path}: no such folder; make it, or choose another by --output")
    if dpi < 1:
        raise RunError(f"--dpi is {dpi}; it's dots per inch, at least 1")
    kinds = figure.canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in kinds:
        raise RunError(f"{path}: suffix '{path.suffix}' names no kind of picture; known are "
                       f"{', '.join(sorted(kinds))}")
    part = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        figure.savefig(part, dpi=dpi)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
        pyplot.close(figure)
