# SPDX-License-Identifier: Apache-2.0
# Training loss (as logged, and smoothed) with the evaluations on valid and test.
import numpy as np

from .. import style

SUMMARY = "training, validation and test loss"
X_LABELS = {"iteration": "Iteration", "tokens": "Tokens"}


def add_options(parser):
    parser.add_argument(
        "--by", choices=tuple(X_LABELS), default="iteration", help="horizontal axis"
    )


def smooth(values):
    """Mean of the finite values around each, over about a fiftieth of the series; the window
    narrows towards both ends, so that the line lags nowhere."""
    values = np.asarray(values, dtype=float)
    n = len(values)
    at = np.arange(n)
    reach = np.minimum(np.minimum(at, n - 1 - at), n // 100)
    finite = np.isfinite(values)
    sums = np.cumsum([0.0, *np.where(finite, values, 0)])
    counts = np.cumsum([0, *finite])
    first, end = at - reach, at + reach + 1
    count = counts[end] - counts[first]
    return np.where(count > 0, sums[end] - sums[first], np.nan) / np.maximum(count, 1)


def draw(runs, options):
    title = f"Loss of {next(iter(runs))}" if len(runs) == 1 else f"Loss of {len(runs)} runs"
    figure, axes = style.new_figure(title, X_LABELS[options.by], "Loss (nats per token)")
    for i, (name, run) in enumerate(runs.items()):
        _draw_run(axes, name if len(runs) > 1 else "", run, options.by, i)
    if options.by == "tokens":
        style.short_numbers(axes.xaxis)
    style.add_legend(axes)
    return figure


def _draw_run(axes, name, run, by, i):
    # One run takes two colours, several take one each.
    colour = style.COLOURS[i % len(style.COLOURS)]
    second = colour if name else style.COLOURS[1]
    x, loss = run.need("train", by, "loss")
    axes.plot(x, loss, color=colour, alpha=0.3, linewidth=0.7)
    axes.plot(x, smooth(loss), color=colour, label=f"{name} train".strip())
    for group, marker, size in (("valid", "o", 3.5), ("test", "D", 5)):
        if len(getattr(run, group).get("loss", ())) == 0:
            continue
        at, loss = run.need(group, "iteration", "loss")
        x = run.tokens_at(at) if by == "tokens" else at
        label = f"{name} {group} ({loss[-1]:.3f})".strip()
        axes.plot(
            x,
            loss,
            color=second,
            marker=marker,
            markersize=size,
            markerfacecolor="white" if group == "test" else second,
            linewidth=0.8,
            label=label,
        )
