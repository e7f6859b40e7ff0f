# SPDX-License-Identifier: Apache-2.0
# The command `report`: one self-contained HTML page about a run.
import os
from pathlib import Path

import numpy as np

from . import html, weights
from .checkpoint import Checkpoint
from .plots import compare, loss, memory, optimizer, phases, scaling, throughput, timeline
from .run import RunError, open_runs
from .series import bytes_text, duration_text, median, rate_text
from .spans import traced_iterations

SUMMARY = "one HTML page of a run (or of several, the first in detail), with nothing beside it"
LARGEST_CHECKPOINT = 4 << 30  # bytes; larger checkpoints are read only on request
RANKS = 256  # most rows of the table of ranks
STEPS = 4  # most timelines
EVALUATIONS = 200  # most rows of their table


def add_options(parser):
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="run folder or metrics.h5; others beside the first are compared with it",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="default: report.html in the first run's folder",
    )
    parser.add_argument("--peak", type=float, metavar="TFLOPS", help="as for throughput")
    parser.add_argument(
        "--weights", action="store_true", help="reads the checkpoint however large it is"
    )


def main(options):
    runs = open_runs(options.runs)
    output = options.output
    if output is None:
        output = next(iter(runs.values())).folder / "report.html"
    if not output.parent.is_dir():
        raise RunError(f"{output}: no such folder; make it, or choose another by --output")
    text = Report(runs, options.peak, options.weights).html()
    part = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, output)
    finally:
        part.unlink(missing_ok=True)
    return str(output)


class Report:
    """The page about {name: Run}: the first run in detail, with others for comparison.
    `missing` lists what the run has no data for, and how to get the data."""

    def __init__(self, runs, peak=None, weights_of_any_size=False):
        self._runs = runs
        self._name, self._run = next(iter(runs.items()))
        self._one = {self._name: self._run}
        self._peak = peak
        self._any_size = weights_of_any_size
        self.missing = []

    def html(self):
        run = self._run
        sections = [
            ("Summary", html.pairs(summary(run))),
            ("Starts", self._starts()),
            ("Loss", self._pictures(self._losses())),
            ("Evaluations", self._evaluations()),
            ("Speed", self._pictures(self._speeds())),
            ("Timeline", self._pictures(self._timelines())),
            ("Memory", self._pictures(self._memories())),
            ("Checkpoints", self._checkpoints()),
            ("Weights", self._pictures([("Norms of weights by layer", self._weights)])),
            ("Ranks", self._ranks()),
            ("Deck", self._deck()),
            ("Environment", self._environment()),
        ]
        if len(self._runs) > 1:
            sections.insert(1, ("Beside other runs", self._others()))
        sections = [(heading, text) for heading, text in sections if text]
        if self.missing:
            sections.append(("What is missing, and why", html.bullets(self.missing)))
        last = max(run.train.get("iteration", ()), default=0)
        subtitle = f"{run.path.resolve()}, up to iteration {last}"
        return html.page(f"Trireme run {self._name}", subtitle, sections)

    # --- pictures: (caption, function that draws) --------------------------------------------

    def _losses(self):
        for by, text in (("iteration", "iterations"), ("tokens", "tokens"), ("time", "time")):
            yield f"Loss over {text}", lambda by=by: loss.draw(self._one, by)
        yield "Gradient norm and learning rate", lambda: optimizer.draw(self._one)

    def _speeds(self):
        yield "Throughput", lambda: throughput.draw(self._one, peak=self._peak)
        yield "Time of a step along the run", lambda: phases.draw(self._one)
        yield "Time of a step by rank", lambda: phases.draw(self._one, by="rank")

    def _memories(self):
        for by in memory.BY:
            yield f"Memory by {by}", lambda by=by: memory.draw(self._one, by)

    def _timelines(self):
        try:
            traced = traced_iterations(self._run)
        except RunError as error:
            self.missing.append(f"Timeline: {error}")
            return
        for iteration in traced[:STEPS]:
            yield (
                f"Who did what when in iteration {iteration}",
                lambda iteration=iteration: timeline.draw(self._one, iteration),
            )
        if len(traced) > STEPS:
            text = f"only {STEPS} of {len(traced)} traced iterations are shown"
            self.missing.append(f"Timeline: {text}")

    def _weights(self):
        place = self._run.folder  # with run_dir, save is another folder
        if not (place / "latest").is_file() and "save" in self._run.deck:
            place = Path(self._run.deck["save"])
        with Checkpoint(place) as checkpoint:
            size = 4 * sum(np.prod(checkpoint.shape(name)) for name in checkpoint.names())
            if size > LARGEST_CHECKPOINT and not self._any_size:
                held = f"{checkpoint.path} holds {bytes_text(size)} of values"
                raise RunError(f"{held}; --weights reads them")
            return weights.draw(checkpoint)[0]

    def _pictures(self, wanted):
        """Pictures for which there is data; the others are added to `missing`."""
        parts = []
        for caption, draw in wanted:
            try:
                parts.append(html.picture(draw(), caption))
            except RunError as error:
                self.missing.append(f"{caption}: {error}")
        return "\n".join(parts)

    def _others(self):
        wanted = [
            ("Losses", lambda: loss.draw(self._runs)),
            ("Throughputs", lambda: throughput.draw(self._runs, peak=self._peak)),
            ("Scaling", lambda: scaling.draw(self._runs)),
        ]
        others = list(self._runs.items())[1:]
        for name, run in others:
            pair = {self._name: self._run, name: run}
            caption = f"{name} against {self._name}"
            wanted.append((caption, lambda pair=pair: compare.draw(pair)))
        parts = [self._pictures(wanted)]
        for name, run in others:
            try:
                tables = compare.tables(self._run, run)
            except RunError as error:
                self.missing.append(f"Comparison with {name}: {error}")
                continue
            for title, head, rows in tables:
                parts.append(html.table((title, self._name, name, *head), rows))
        return "\n".join(parts)

    # --- tables ------------------------------------------------------------------------------

    def _starts(self):
        starts = self._run.starts
        if not len(starts.get("iteration", ())):
            self.missing.append("Starts: the file has no history of starts (/starts)")
            return ""
        names = ["iteration", *(name for name in starts if name != "iteration")]
        rows = zip(*(map(_cell_text, starts[name]) for name in names))
        return html.table([name.replace("_", " ") for name in names], rows)

    def _evaluations(self):
        rows = []
        for group in ("valid", "test"):
            series = getattr(self._run, group)
            for i, value in enumerate(series.get("loss", ())):
                rows.append((group, int(series["iteration"][i]), f"{value:.4f}",
                             f"{_perplexity(value):.5g}"))
        if not rows:
            self.missing.append("Evaluations: none yet; eval_interval says how often they come")
            return ""
        left_out = max(0, len(rows) - EVALUATIONS)
        text = html.table(("data", "iteration", "loss", "perplexity"), rows[left_out:])
        return text + (f"\n<p>{left_out} earlier ones are left out.</p>" if left_out else "")

    def _checkpoints(self):
        saves = self._run.checkpoints
        if not len(saves.get("iteration", ())):
            self.missing.append("Checkpoints: the run has saved none")
            return ""
        rows = [
            (
                int(saves["iteration"][i]),
                bytes_text(saves["bytes"][i]),
                f"{saves['write_seconds'][i]:.3g} s",
                f"{saves['bytes_per_second'][i] / 1e9:.3g} GB/s",
                f"{saves['stall_seconds'][i]:.3g} s",
            )
            for i in range(len(saves["iteration"]))
        ]
        return html.table(("iteration", "size", "written in", "rate", "training waited"), rows)

    def _ranks(self):
        ranks = self._run.ranks
        if not len(ranks.get("host", ())):
            self.missing.append("Ranks: written at a save, at a stop and at the end")
            return ""
        axes = [axis for axis in ("dp", "tp", "pp") if axis in ranks]
        sizes = [k for k in ("peak_bytes", "arrays_peak_bytes", "arrays_reserved_bytes")
                 if k in ranks]
        rows = [
            (
                i,
                ranks["host"][i],
                ranks["device"][i],
                *(int(ranks[axis][i]) for axis in axes),
                *(bytes_text(ranks[key][i]) for key in sizes),
            )
            for i in range(min(len(ranks["host"]), RANKS))
        ]
        names = [key.replace("_bytes", "").replace("_", " ") for key in sizes]
        text = html.table(("rank", "host", "device", *axes, *names), rows)
        if len(ranks["host"]) > RANKS:
            text += f"\n<p>… and {len(ranks['host']) - RANKS} more ranks.</p>"
        return text

    def _deck(self):
        if not self._run.deck:
            self.missing.append(f"Deck: {self._run.path} has no attribute deck")
            return ""
        rows = [(key, value) for key, value in self._run.deck.items() if value != "null"]
        return html.folded("The resolved deck", html.pairs(rows))

    def _environment(self):
        path = self._run.folder / "environment.txt"
        try:
            return html.preformatted(path.read_text(encoding="utf-8", errors="replace"))
        except OSError as error:
            self.missing.append(f"Environment: {path}: {error.strerror}")
            return ""


def summary(run):
    """[(quantity, value)] of a run, without what was not measured."""
    rows = [("version", _text(run, "version")), ("mesh", _text(run, "mesh")), *_model(run)]
    if len(run.starts.get("iteration", ())):
        rows.append(("starts", f"{len(run.starts['iteration'])}"))
    if len(run.train.get("iteration", ())):
        iteration, seconds, losses = run.need("train", "iteration", "step_seconds", "loss")
        rows.append(("iterations", f"{iteration[-1]:.0f}{_of_all(run)}"))
        if "tokens" in run.train:
            rows.append(("tokens", f"{run.train['tokens'][-1]:,}".replace(",", " ")))
        rows.append(("time in steps", duration_text(seconds.sum())))
        rows.append(("training loss, last", f"{losses[-1]:.4f}"))
        for label, name in (("tokens/s", "tokens_per_second"),
                            ("TFLOP/s per rank", "tflops_per_rank")):
            if name in run.train:
                rows.append((f"{label}, median", rate_text(median(run.latest(name)))))
    for group in ("valid", "test"):
        series = getattr(run, group)
        if len(series.get("loss", ())):
            at = series["iteration"][-1]
            rows.append((f"{group} loss", f"{series['loss'][-1]:.4f} at iteration {at}"))
    return rows


def _model(run):
    """The model's size, as far as the file says."""
    if "parameters" in run.attributes:
        yield "parameters", f"{int(run.attributes['parameters']):,}".replace(",", " ")
    names = {"num_layers": "layers", "hidden_size": "hidden", "num_attention_heads": "heads",
             "seq_length": "tokens a sample", "vocab_size": "vocabulary"}
    known = [f"{label} {run.deck[key]}" for key, label in names.items() if key in run.deck]
    if known:
        yield "model", ", ".join(known)


def _perplexity(loss):
    with np.errstate(over="ignore"):
        return np.exp(loss)


def _cell_text(value):
    return f"{value:.6g}" if isinstance(value, (float, np.floating)) else str(value)


def _of_all(run):
    whole = run.deck.get("train_iters")
    return f" of {whole}" if whole else ""


def _text(run, attribute):
    value = run.attributes.get(attribute, "unknown")
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
