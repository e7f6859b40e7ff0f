# SPDX-License-Identifier: Apache-2.0
# Tokens a second of the whole run, and TFLOP/s of a rank, along the run.
from .. import style
from ..run import RunError
from ..series import median, rate_text
from . import along

SUMMARY = "tokens/s, and TFLOP/s of a rank (and MFU), of one or more runs"


def add_options(parser):
    along.add_options(parser)
    parser.add_argument(
        "--peak",
        type=float,
        metavar="TFLOPS",
        help="what a rank's device can do, in TFLOP/s: shows MFU, the part of it reached",
    )


def draw(runs, by="iteration", smooth=None, peak=None):
    """A figure of {name: Run}; `by` and `smooth` as for the loss. `peak`: TFLOP/s of a rank's
    device, which adds an axis of MFU (model FLOPs utilization)."""
    if peak is not None and not peak > 0:
        raise RunError(f"--peak is {peak:g}; it's the device's TFLOP/s, above 0")
    axis = along.Axis(runs, by)
    title = style.title_of("Throughput", runs)
    figure, (tokens, flops) = style.new_figure(
        title, axis.label, "Tokens/s", "TFLOP/s per rank", height=3.4
    )
    names = style.short_names(runs) if len(runs) > 1 else ["median"]
    for i, (name, run) in enumerate(zip(names, runs.values())):
        iteration, per_second, rate = run.need(
            "train", "iteration", "tokens_per_second", "tflops_per_rank"
        )
        x, look = axis.at(run, iteration), style.line_style(i)
        breaks = run.speed_breaks()
        per_rank = median(run.latest("tflops_per_rank"))
        label = f"{name}: {rate_text(median(run.latest('tokens_per_second')))} tokens/s"
        if len(runs) == 1:
            since = f" since {iteration[breaks[-1]]:.0f}" if breaks else ""
            label = f"{label.replace(':', since + ':', 1)}, {per_rank:.3g} TFLOP/s"
        if peak is not None:
            label += f", MFU {per_rank / peak:.1%}"
        along.draw_noisy(tokens, x, per_second, smooth, breaks, **look, label=label)
        along.draw_noisy(flops, x, rate, smooth, breaks, **look)
        if len(runs) == 1:
            along.mark_starts(tokens, axis, run)
            along.mark_starts(flops, axis, run, None)
    style.short_numbers(tokens.yaxis)
    for axes in (tokens, flops):
        axes.set_ylim(bottom=0)
    if peak is not None:
        ratio = 100 / peak
        percent = flops.secondary_yaxis(
            "right", functions=(lambda y: y * ratio, lambda y: y / ratio)
        )
        percent.set_ylabel(f"MFU (% of {peak:g})")
        percent.spines["right"].set_visible(True)
    axis.finish(flops)
    style.add_legend(tokens)
    return figure
