# SPDX-License-Identifier: Apache-2.0
# The command `weights`: norms, histograms and spectra of a checkpoint's tensors, or of the
# difference of two checkpoints.
import warnings
from contextlib import ExitStack

import numpy as np
from matplotlib import pyplot
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from . import style, tensors
from .checkpoint import GROUPS, Checkpoint, Difference
from .run import RunError, RunWarning
from .series import rows_text

SUMMARY = "norms, histograms or spectra of a checkpoint's tensors, or of two's difference"
SHOWS = ("norms", "histograms", "spectra")
KINDS = 10  # most panels of a page
LINES = 28  # most lines that can be told apart


def add_options(parser):
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT", help="checkpoint.h5, its folder, or a run's"
    )
    parser.add_argument("--show", choices=SHOWS, default="norms", help="default: norms")
    parser.add_argument(
        "--names", metavar="GLOB", default="*weight", help="which tensors (default: *weight)"
    )
    parser.add_argument(
        "--of", choices=tuple(GROUPS), default="model", help="values, masters or moments"
    )
    parser.add_argument(
        "--diff", metavar="OTHER", help="shows this checkpoint's tensors less the first's"
    )
    style.add_file_options(parser, "weights-SHOW-global_stepN.png in the run's folder")


def main(options):
    """Draws the picture, and returns a table of norms and the picture's name."""
    with ExitStack() as stack:
        first = stack.enter_context(Checkpoint(options.checkpoint, options.of))
        source = first
        if options.diff is not None:
            second = stack.enter_context(Checkpoint(options.diff, options.of))
            source = Difference(first, second)
            for name in source.left_out(options.names):
                text = f"{name} is left out: one checkpoint lacks it or has another shape"
                warnings.warn(text, RunWarning)
        figure, table = draw(source, options.show, options.names)
    output = options.output
    if output is None:
        kind = f"{options.show}-diff" if options.diff is not None else options.show
        step = first.path.resolve().parent
        output = step.parent / f"weights-{kind}-{step.name}.png"
    style.save(figure, output, options.dpi)
    return f"{table}\n{output}" if table else str(output)


def draw(source, show="norms", names="*weight"):
    """(figure, table as text) of a Checkpoint or a Difference. `show`: "norms" by layer,
    "histograms" or "spectra". Norms of a Difference are relative to the first checkpoint.
    Spectra are for matrices, without a table. `names`: a glob. Warns of values that aren't
    finite."""
    if show not in SHOWS:
        raise RunError(f"show is '{show}', not one of {', '.join(SHOWS)}")
    chosen = source.names(names)
    if show == "spectra":
        chosen = [name for name in chosen if len(source.shape(name)) == 2]
        if not chosen:
            raise RunError(f"no matrix is among the tensors that match '{names}'")
    if show == "norms":
        return _draw_norms(source, chosen)
    _warn_of_gaps(source, None)
    return _draw_panels(source, show, tensors.by_kind(chosen)), ""


# --- norms -----------------------------------------------------------------------------------


def _draw_norms(source, names):
    found = {name: tensors.norms(source, name) for name in names}
    _warn_of_gaps(source, {name: n.not_finite for name, n in found.items() if n.not_finite})
    relative = isinstance(source, Difference)
    if relative:
        base = {name: tensors.norms(source.first, name).norm for name in names}
        values = {n: _ratio(found[n].norm, base[n]) for n in names}
    else:
        values = {name: found[name].norm for name in names}
    kinds = tensors.by_kind(names)
    if len(kinds) > LINES:
        raise RunError(f"{len(kinds)} kinds of tensors are too many to draw; choose by --names")
    y_label = "‖second − first‖ / ‖first‖" if relative else "Norm (Frobenius)"
    what = "Difference" if relative else "Norms"
    title = f"{what}, {style.short(source.name)}"
    figure, axes = style.new_figure(title, "Layer", y_label)
    layers = [layer for of_kind in kinds.values() for layer in of_kind if layer is not None]
    last = max(layers, default=0)
    for i, (kind, of_kind) in enumerate(kinds.items()):
        _draw_kind(axes, kind, of_kind, values, last, i)
    shown = [value for value in values.values() if value > 0]
    if shown and max(shown) > 3 * min(shown):
        style.log_ticks(axes)
    axes.set_xlim(-1.5, last + 1.5)
    axes.xaxis.get_major_locator().set_params(integer=True)
    ends = {-1: "in", last + 1: "out"}
    axes.xaxis.set_major_formatter(lambda x, _: ends.get(round(x), f"{x:.0f}"))
    axes.grid(axis="x", visible=False)
    style.add_legend(axes)
    return figure, _table(found, values if relative else None)


def _draw_kind(axes, kind, of_kind, values, last, i):
    look = style.line_style(i)
    label = kind.removesuffix(".weight")
    if None in of_kind:  # before the first layer, or after the last
        x = -1 if kind.startswith(("embed_in", "embed_pos")) else last + 1
        marker = {"marker": "o" if x < 0 else "D", "linestyle": "", "markersize": 4}
        axes.plot([x], [values[of_kind[None]]], color=look["color"], **marker, label=label)
        return
    at = sorted(of_kind)
    y = [values[of_kind[layer]] for layer in at]
    axes.plot(at, y, **look, marker=".", markersize=4, label=label)


def _ratio(part, whole):
    if whole > 0:
        return part / whole
    return 0.0 if part == 0 else float("inf")


def _table(found, relative):
    head = ["tensor", "norm", "rms", "largest", "not finite"]
    rows = [
        [name, f"{n.norm:.6g}", f"{n.rms:.4g}", f"{n.largest:.4g}", n.not_finite]
        for name, n in found.items()
    ]
    if relative is not None:
        head.append("relative")
        for row in rows:
            row.append(f"{relative[row[0]]:.4g}")
    return rows_text(head, rows)


def _warn_of_gaps(source, not_finite):
    """`not_finite`: {tensor: number}, or None if not counted."""
    missing = source.missing_shards()
    if missing:
        text = f"{source.name}: missing shards, whose parts read as NaN: {', '.join(missing)}"
        warnings.warn(text, RunWarning)
    if not_finite:
        first = next(iter(not_finite))
        text = f"{sum(not_finite.values())} values of {len(not_finite)} tensors are not finite"
        warnings.warn(f"{source.name}: {text}, first in {first}; left out", RunWarning)


# --- histograms and spectra ------------------------------------------------------------------


def _draw_panels(source, show, kinds):
    """One panel for each kind of tensor, with one line for each layer, dark to bright."""
    if len(kinds) > KINDS:
        raise RunError(f"{len(kinds)} kinds of tensors need too many panels; choose by --names")
    across = min(2, len(kinds))
    down = -(-len(kinds) // across)
    figure, grid = pyplot.subplots(
        down, across, figsize=(style.WIDTH, 1.35 * down + 0.7), layout="constrained",
        squeeze=False,
    )
    what = "Values" if show == "histograms" else "Singular values"
    figure.suptitle(f"{what}, {style.short(source.name)}")
    layers = [layer for of_kind in kinds.values() for layer in of_kind if layer is not None]
    scale = ScalarMappable(Normalize(0, max(layers, default=0) or 1), "viridis")
    for axes, (kind, of_kind) in zip(grid.flat, kinds.items()):
        for layer, name in of_kind.items():
            colour = style.COLOURS[0] if layer is None else scale.to_rgba(layer)
            (_draw_histogram if show == "histograms" else _draw_spectrum)(
                axes, source, name, colour
            )
        style.log_ticks(axes)
        axes.set_title(style.short(kind.removesuffix(".weight"), 26), fontsize=6)
        axes.tick_params(labelsize=6)
        axes.xaxis.get_major_locator().set_params(nbins=4)
    for axes in list(grid.flat)[len(kinds) :]:
        axes.set_visible(False)
    figure.supxlabel("Value" if show == "histograms" else "Index, largest first", fontsize=8)
    figure.supylabel("Density" if show == "histograms" else "Singular value", fontsize=8)
    if len(set(layers)) > 1:
        bar = figure.colorbar(scale, ax=list(grid.flat), aspect=40, pad=0.02)
        bar.set_label("Layer")
        bar.locator.set_params(integer=True, nbins=8)
        bar.update_ticks()
    return figure


def _draw_histogram(axes, source, name, colour):
    edges, density = tensors.histogram(source, name)
    density = np.where(density > 0, density, np.nan)
    axes.step(edges, [*density, density[-1]], where="post", color=colour, linewidth=0.8)


def _draw_spectrum(axes, source, name, colour):
    values = tensors.singular_values(source, name)
    if np.isnan(values).all():
        warnings.warn(f"{name} has no spectrum: it's zero or holds values that are not finite",
                      RunWarning)
        return
    marker = "." if len(values) == 1 else None
    axes.plot(np.arange(1, len(values) + 1), values, color=colour, linewidth=0.8, marker=marker)
