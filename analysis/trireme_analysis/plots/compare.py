# SPDX-License-Identifier: Apache-2.0
# Compares two runs: a table of differences, and the difference of their losses.
import numpy as np

from .. import style
from ..deck import differences
from ..run import PHASES, RunError
from ..series import bytes_text, duration_text, median, rows_text
from . import along

SUMMARY = "two runs: settings that differ, losses, throughput, memory; draws their losses"
ROWS = 10  # rows of the table of losses
LONGEST = 40  # characters of a setting


def add_options(parser):
    along.add_options(parser)


def _two(runs):
    if len(runs) != 2:
        raise RunError(f"compare takes two runs, not {len(runs)}")
    return list(runs.items())


def common_losses(a, b):
    """(iterations that both runs have, losses of a, losses of b). Raises RunError."""
    at_a, loss_a = a.need("train", "iteration", "loss")
    at_b, loss_b = b.need("train", "iteration", "loss")
    iterations, in_a, in_b = np.intersect1d(at_a, at_b, return_indices=True)
    if len(iterations) == 0:
        raise RunError(
            f"no iteration is in both runs: {a.path} has {at_a[0]:g} to {at_a[-1]:g}, "
            f"{b.path} {at_b[0]:g} to {at_b[-1]:g}"
        )
    return iterations, loss_a[in_a], loss_b[in_b]


def draw(runs, by="iteration", smooth=None):
    """A figure of two Runs, {name: Run}: both losses, and second minus first at common
    iterations. `by` (the first run's tokens or time) and `smooth` as for the loss."""
    (_, a), (_, b) = _two(runs)
    axis = along.Axis(runs, by)
    figure, (both, difference) = style.new_figure(
        "Loss of two runs", axis.label, "Loss (nats per token)", "Second − first",
        height=3.4, ratios=(3, 2),
    )
    for i, (name, run) in enumerate(zip(style.short_names(runs), (a, b))):
        iteration, loss = run.need("train", "iteration", "loss")
        look = style.line_style(i)
        along.draw_noisy(both, axis.at(run, iteration), loss, smooth, **look, label=name)
    iterations, loss_a, loss_b = common_losses(a, b)
    with np.errstate(invalid="ignore"):
        less = loss_b - loss_a
    along.draw_noisy(difference, axis.at(a, iterations), less, smooth, color=style.COLOURS[2])
    difference.axhline(0, color="black", linewidth=0.6)
    axis.finish(difference)
    style.add_legend(both)
    return figure


def text(runs, by="iteration", smooth=None):
    """All comparisons as tables."""
    del by, smooth
    a, b = (run for _, run in _two(runs))
    name_a, name_b = style.short_names(runs)
    parts = []
    for title, head, rows in tables(a, b):
        parts.append(rows_text((title, name_a, name_b, *head), rows) if rows else title)
    return "\n\n".join(parts)


def tables(a, b):
    """[(title, column heads beyond those of the two runs, rows)] of two Runs."""
    settings = [
        (key, style.short(x, LONGEST), style.short(y, LONGEST))
        for key, x, y in differences(a.deck, b.deck)
    ]
    figures = [
        (label, form(x), form(y), f"{y / x:.3f}" if x > 0 and np.isfinite(y / x) else "–")
        for label, form, x, y in _figures(a, b)
    ]
    return [
        ("setting" if settings else "all settings are equal", (), settings),
        ("loss at iteration", ("second − first",), _loss_rows(a, b)),
        ("median or largest", ("second / first",), figures),
    ]


def _loss_rows(a, b):
    iterations, loss_a, loss_b = common_losses(a, b)
    n = len(iterations)
    at = np.unique(np.linspace(0, n - 1, min(n, ROWS)).round().astype(int))
    rows = [(f"{iterations[i]:g}", *_three(loss_a[i], loss_b[i])) for i in at]
    for group in ("valid", "test"):
        series = [dict(zip(r.get("iteration", ()), r.get("loss", ())))
                  for r in (getattr(a, group), getattr(b, group))]
        shared = sorted(series[0].keys() & series[1].keys())
        if shared:
            last = shared[-1]
            rows.append((f"{group}, {last}", *_three(series[0][last], series[1][last])))
    return rows


def _three(x, y):
    difference = f"{y - x:+.3e}" if np.isfinite(y - x) else "–"
    return f"{x:.6f}", f"{y:.6f}", difference


def _figures(a, b):
    """(label, number format, value of a, value of b) of measured quantities."""
    for label, form, of in (
        ("tokens/s", "{:.5g}".format, lambda run: _median(run, "tokens_per_second")),
        ("TFLOP/s per rank", "{:.4g}".format, lambda run: _median(run, "tflops_per_rank")),
        ("step (s)", "{:.4g}".format, lambda run: _median(run, "step_seconds")),
        *((f"  {phase.replace('_', ' ')} (s)", "{:.4g}".format,
           lambda run, phase=phase: _median(run, phase)) for phase in PHASES),
        ("all steps", duration_text, lambda run: run.need("train", "step_seconds")[0].sum()),
        ("memory of a process", bytes_text, lambda run: _largest(run, "peak_bytes")),
        ("memory of arrays", bytes_text, lambda run: _largest(run, "arrays_peak_bytes")),
    ):
        x, y = of(a), of(b)
        if np.isfinite(x) and np.isfinite(y):
            yield label, form, x, y


def _median(run, name):
    return median(run.latest(name)) if name in run.train else float("nan")


def _largest(run, name):
    values = run.ranks.get(name, ())
    return float(max(values)) if len(values) else float("nan")
