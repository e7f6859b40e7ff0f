# SPDX-License-Identifier: Apache-2.0
# A traced step as a picture: a row for each rank, and a box for each span.
import colorsys

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch

from .. import style
from ..run import RunError, the_one
from ..series import time_unit
from ..spans import OTHER, WAITING, joined, traced_iterations, traced_step, write_chrome_trace

SUMMARY = "what each rank did when in a traced step, as a picture or a trace for Perfetto"
ROW = 0.17  # inches
HEIGHTS = (0.7, 6.0)  # inches of all rows, at least and at most
BOX = 0.86  # a box's share of its row
DIGIT = 0.042  # inches for a digit of a micro-batch's number
AXES_WIDTH = style.WIDTH - 0.6  # inches, about
FINE = 0.003  # share of the step; narrower boxes are a line's width
NUMBERS = 4000  # most numbers that are written


def add_options(parser):
    parser.add_argument("--iteration", type=int, metavar="N", help="default: the first traced")
    parser.add_argument("--ranks", metavar="A-B,C", help="these ranks alone")
    parser.add_argument(
        "--chrome",
        metavar="FILE",
        help="writes trace events (JSON) for Perfetto or chrome://tracing, of all traced "
        "steps or of --iteration; no picture then unless --output is given",
    )


def draw(runs, iteration=None, ranks=None):
    """A figure of one traced step of the one Run in {name: Run}. `ranks`: "0-3,8" shows only
    these ranks. White is idle time: waiting for another stage, or between spans."""
    name, run = the_one(runs, "timeline")
    step = traced_step(run, iteration)
    if ranks is not None:
        step = step.of_ranks(_parse_ranks(ranks))
    shown = step.ranks
    rows = min(max(ROW * len(shown), HEIGHTS[0]), HEIGHTS[1])
    divisor, unit = time_unit(step.end)
    title = f"Iteration {step.iteration} of {style.short(name)}"
    legend = _legend(step)
    end = step.end / divisor
    step = joined(step, FINE * step.end)
    figure, axes = style.new_figure(title, f"Time ({unit})", "Rank", height=rows + 0.6)
    row_of = np.searchsorted(shown, step.rank)
    left, width = step.start / divisor, step.seconds / divisor
    for phase in np.unique(step.phase[step.is_work()]):
        _draw_boxes(axes, step, step.phase == phase, row_of, left, width, end)
    _number(axes, step, row_of, left, width, end, rows / len(shown))
    axes.set(xlim=(0, end), ylim=(len(shown) - 0.5, -0.5))
    every = max(1, -(-len(shown) * 15 // round(100 * rows)))
    axes.set_yticks(range(0, len(shown), every), [str(rank) for rank in shown[::every]])
    axes.grid(visible=False)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    style.add_legend(axes, *legend)
    return figure


def write_files(runs, chrome, iteration=None, ranks=None):
    """Writes the trace of the one Run in {name: Run} to the file `chrome`."""
    _, run = the_one(runs, "timeline")
    wanted = traced_iterations(run) if iteration is None else [iteration]
    steps = [traced_step(run, i) for i in wanted]
    if ranks is not None:
        steps = [step.of_ranks(_parse_ranks(ranks)) for step in steps]
    write_chrome_trace(run, steps, chrome)


def _parse_ranks(text):
    """The ranks that a text such as "0-3,8" lists."""
    ranks = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        try:
            ranks += range(int(first), int(last or first) + 1)
        except ValueError:
            raise RunError(f"--ranks {text}: '{part}' is no rank or range like 0-3") from None
    return ranks


def _colour(phase, chunk):
    """The phase's colour; later chunks of an interleaved schedule are paler."""
    if phase == OTHER:
        return style.REST
    hue, light, strength = colorsys.rgb_to_hls(*to_rgb(style.PHASE_COLOURS.get(phase, "black")))
    pale = 1 - (1 - light) * 0.72 ** max(chunk, 0)
    return colorsys.hls_to_rgb(hue, pale, strength)


def _draw_boxes(axes, step, here, row_of, left, width, end):
    top = row_of[here] - BOX / 2
    x = np.stack([left[here], left[here] + width[here]])
    corners = [(x[0], top), (x[1], top), (x[1], top + BOX), (x[0], top + BOX)]
    boxes = np.stack([np.stack(corner, axis=-1) for corner in corners], axis=1)
    phase = step.name_of(step.phase[here][0])
    wide = width[here] > 3 * FINE * end  # in narrow boxes only the edge would be visible
    axes.add_collection(
        PolyCollection(
            boxes,
            facecolors=[_colour(phase, chunk) for chunk in step.chunk[here]],
            edgecolors="white",
            linewidths=np.where(wide, 0.3, 0.0),
            label=phase.replace("_", " "),
        )
    )


def _number(axes, step, row_of, left, width, end, row_height):
    """Writes micro-batches' numbers into boxes that have room."""
    digits = np.char.str_len(step.micro_batch.astype(str))
    room = width / end * AXES_WIDTH >= DIGIT * digits + 0.02
    here = np.flatnonzero(room & (step.micro_batch >= 0) & step.is_work())
    if row_height < 0.08 or len(here) > NUMBERS:
        return
    for i in here:
        phase = step.name_of(step.phase[i])
        axes.text(
            left[i] + width[i] / 2,
            row_of[i],
            str(step.micro_batch[i]),
            ha="center",
            va="center_baseline",
            fontsize=5,
            color=style.text_colour(_colour(phase, step.chunk[i])),
            clip_on=True,
        )


def _legend(step):
    phases = [step.name_of(phase) for phase in np.unique(step.phase) if phase >= 0]
    if (step.phase < 0).any():
        phases.append(OTHER)
    handles = [Patch(color=_colour(phase, 0)) for phase in phases if phase != WAITING]
    labels = [phase.replace("_", " ") for phase in phases if phase != WAITING]
    idle = Patch(facecolor="white", edgecolor="#777777", linewidth=0.5)
    return [*handles, idle], [*labels, f"idle {step.idle_share():.1%}"]
