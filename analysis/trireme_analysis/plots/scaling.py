# SPDX-License-Identifier: Apache-2.0
# Strong and weak scaling from a set of runs: throughput and efficiency over ranks.
import warnings
from dataclasses import dataclass

import numpy as np
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter

from .. import style
from ..run import RunError, RunWarning
from ..series import median, rows_text

SUMMARY = "strong and weak scaling from runs at several rank counts; prints a table too"
# Keys that must agree within a set of runs, as they change the work of a token.
SAME = ("num_layers", "hidden_size", "num_attention_heads", "vocab_size", "seq_length",
        "precision")


def add_options(parser):
    parser.add_argument(
        "--skip",
        type=int,
        metavar="N",
        help="steps left out at the beginning of each run (default 5, of short runs half)",
    )


@dataclass
class Point:
    """One run: its ranks, batch in samples, and medians over the settled steps."""

    name: str
    ranks: int
    batch: int
    mesh: str
    step_seconds: float
    tokens_per_second: float


@dataclass
class Scaling:
    """Points of one kind, by ranks. Strong scaling has one batch; weak scaling has one batch
    for each rank."""

    kind: str
    points: list

    @property
    def label(self):
        first = self.points[0]
        per_rank = f"{first.batch / first.ranks:g} a rank"
        return f"{self.kind}, batch {first.batch if self.kind == 'strong' else per_rank}"

    def medians(self):
        """(rank counts, tokens/s at each: the median of runs with equal counts)"""
        counts = np.array(sorted({point.ranks for point in self.points}))
        rates = [[p.tokens_per_second for p in self.points if p.ranks == n] for n in counts]
        return counts, np.array([np.median(rate) for rate in rates])

    def speedup(self, point):
        """Tokens/s relative to the smallest rank count."""
        return point.tokens_per_second / self.medians()[1][0]

    def efficiency(self, point):
        """The speed-up relative to the ideal line: 1 is ideal."""
        return self.speedup(point) * self.medians()[0][0] / point.ranks


def find_scalings(runs, skip=None):
    """All strong and weak Scalings in {name: Run}. Runs of a set have one train_batch_size, or
    one batch size for each rank, at two or more rank counts. Raises RunError."""
    _check_same(runs)
    points = [_point(name, run, skip) for name, run in runs.items()]
    kinds = {"strong": lambda p: p.batch, "weak": lambda p: p.batch / p.ranks}
    found, used = [], set()
    for kind, key in kinds.items():
        for value in sorted({key(point) for point in points}):
            group = sorted((p for p in points if key(p) == value), key=lambda p: p.ranks)
            if len({point.ranks for point in group}) > 1:
                found.append(Scaling(kind, group))
                used |= {point.name for point in group}
    if not found:
        have = ", ".join(f"{p.name}: {p.ranks} ranks, batch {p.batch}" for p in points)
        raise RunError(
            "no scaling in these runs: it takes two rank counts with one train_batch_size "
            f"(strong), or with one for each rank (weak); there are {have}"
        )
    for point in points:
        if point.name not in used:
            text = f"{point.name} is left out: no other run has its batch ({point.batch})"
            warnings.warn(f"{text} or its batch a rank", RunWarning)
    return found


def _check_same(runs):
    first_name, first = next(iter(runs.items()))
    for name, run in runs.items():
        for key in SAME:
            a, b = first.deck.get(key), run.deck.get(key)
            if a != b:
                raise RunError(
                    f"{name}: {key} is {b}, in {first_name} it is {a}; runs of one scaling "
                    "differ in ranks and batch alone"
                )


def _point(name, run, skip):
    run.need("train", "step_seconds")
    step = run.latest("step_seconds")
    tokens = run.setting("train_batch_size") * run.setting("seq_length")
    seconds = median(step, skip)
    if not seconds > 0:
        raise RunError(f"{name}: no steps are left of {len(step)} after --skip {skip}")
    mesh = " × ".join(f"{axis} {size}" for axis, size in run.mesh.items())
    batch = run.setting("train_batch_size")
    return Point(name, run.rank_count, batch, mesh, seconds, tokens / seconds)


def draw(runs, skip=None):
    """A figure of {name: Run}; `skip`: steps left out at the beginning of each run."""
    scalings = find_scalings(runs, skip)
    figure, (rate, efficiency) = style.new_figure(
        f"Scaling over {len(runs)} runs", "Ranks", "Tokens/s", "Efficiency", height=3.4,
        ratios=(3, 2),
    )
    counts = sorted({p.ranks for scaling in scalings for p in scaling.points})
    for i, scaling in enumerate(scalings):
        _draw_scaling(rate, efficiency, scaling, i)
    rate.plot([], [], color="black", linestyle=":", linewidth=0.8, label="ideal")
    efficiency.axhline(1, color="black", linestyle=":", linewidth=0.8)
    rate.set_xscale("log", base=2)
    style.log_ticks(rate)
    style.short_numbers(rate.yaxis)
    rate.xaxis.set_minor_locator(NullLocator())
    efficiency.xaxis.set_major_locator(FixedLocator(_spread(counts)))
    efficiency.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
    efficiency.yaxis.set_major_formatter(PercentFormatter(1))
    efficiency.set_ylim(bottom=0)
    style.add_legend(rate)
    return figure


def _spread(counts, most=9):
    """Counts with a tick; if there are many, each is double the count before."""
    if len(counts) <= most:
        return counts
    ticks = [counts[0]]
    for count in counts[1:]:
        if count >= 2 * ticks[-1]:
            ticks.append(count)
    return ticks


def _draw_scaling(rate, efficiency, scaling, i):
    look = style.line_style(i)
    marker = {"marker": "os^Dv<>"[i % 7], "markersize": 3.5}
    counts, rates = scaling.medians()
    rate.plot(counts, rates, **look, label=scaling.label)
    ranks = [point.ranks for point in scaling.points]
    points = {"linestyle": "", "color": look["color"], **marker}
    rate.plot(ranks, [point.tokens_per_second for point in scaling.points], **points)
    ideal = rates[0] * counts / counts[0]
    rate.plot(counts, ideal, color=look["color"], linestyle=":", linewidth=0.8)
    efficiency.plot(counts, rates / ideal, **look)
    efficiency.plot(ranks, [scaling.efficiency(point) for point in scaling.points], **points)


def text(runs, skip=None):
    """The scalings as a table."""
    head = ("scaling", "ranks", "mesh", "step (s)", "tokens/s", "speed-up", "efficiency", "run")
    rows = [
        (
            scaling.label,
            point.ranks,
            point.mesh,
            f"{point.step_seconds:.4g}",
            f"{point.tokens_per_second:.5g}",
            f"{scaling.speedup(point):.2f}",
            f"{scaling.efficiency(point):.1%}",
            point.name,
        )
        for scaling in find_scalings(runs, skip)
        for point in scaling.points
    ]
    return rows_text(head, rows)
