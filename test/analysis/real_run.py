#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every command of trireme-plot on the files of a real run on two ranks, and what is drawn."""
import json
import subprocess
import sys
import unittest
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "program"))

import h5py
import numpy as np
import program
from made_run import PHASES, draw, legend_of, png_size, run_command
from trireme_analysis import Checkpoint, Run, draw_weights, norms, style, traced_step

ITERATIONS = 12
MICRO_BATCHES = 4
TRACED = 6
DECK = {
    "num_layers": 2,
    "hidden_size": 32,
    "num_attention_heads": 2,
    "seq_length": 32,
    "vocab_size": 257,
    "pos_emb": "rotary",
    "train_micro_batch_size_per_gpu": 2,
    "gradient_accumulation_steps": MICRO_BATCHES,
    "pipe_parallel_size": 2,
    "train_iters": ITERATIONS,
    "lr": 3e-3,
    "log_interval": 4,
    "eval_interval": 5,
    "eval_iters": 1,
    "checkpoint_factor": 8,
    "split": "80, 10, 10",
    "timeline_iters": [TRACED],
}


@cache
def work_folder():
    return program.work_folder("analysis_real_run")


@cache
def run_folder(ranks=2):
    """The folder of a run on `ranks` ranks that has ended."""
    folder = work_folder() / f"ranks{ranks}"
    tokens = work_folder() / "tokens.h5"
    if not tokens.exists():
        program.make_tokens(work_folder())
    more = {} if ranks == 2 else {"pipe_parallel_size": 1, "timeline_iters": None}
    deck = {**DECK, **more, "data_path": str(tokens), "save": str(folder)}
    deck = {key: value for key, value in deck.items() if value is not None}
    path = program.write_deck(work_folder() / f"ranks{ranks}.yml", deck)
    program.run_well(ranks, "train", path)
    return folder


class RealRun(unittest.TestCase):
    def setUp(self):
        self.addCleanup(style.pyplot.close, "all")
        self.folder = run_folder()
        with h5py.File(self.folder / "metrics.h5", "r") as file:
            self.train = {name: data[()] for name, data in file["train"].items()}

    def plot(self, *arguments, output="x.png"):
        """The command must write the picture without a word. What it printed."""
        path = work_folder() / output
        code, printed, complaints = run_command(*arguments, "--output", path)
        self.assertEqual((code, complaints), (0, ""))
        if path.suffix == ".png":
            self.assertGreater(min(png_size(path)), 300)
        return printed

    def test_loss(self):
        (axes,) = draw("loss", self.folder).axes
        raw, _, valid, test = axes.get_lines()
        np.testing.assert_array_equal(raw.get_xdata(), np.arange(1, ITERATIONS + 1))
        np.testing.assert_array_equal(raw.get_ydata(), self.train["loss"])
        self.assertEqual(list(valid.get_xdata()), [5, 10])
        self.assertEqual(list(test.get_xdata()), [12])
        (axes,) = draw("loss", self.folder, "--by", "time").axes
        last = axes.get_lines()[0].get_xdata()[-1]
        unit = {"s": 1, "ms": 1e-3}[axes.get_xlabel().split("(")[1][:-1]]
        self.assertAlmostEqual(last * unit, self.train["step_seconds"].sum())
        self.plot("loss", self.folder)

    def test_throughput(self):
        tokens, flops = draw("throughput", self.folder, "--peak", "0.1").axes
        rate = tokens.get_lines()[0].get_ydata()
        np.testing.assert_allclose(rate * self.train["step_seconds"], 2 * MICRO_BATCHES * 32)
        np.testing.assert_array_equal(
            flops.get_lines()[0].get_ydata(), self.train["tflops_per_rank"]
        )

    def test_phases(self):
        (axes,) = draw("phases", self.folder).axes
        top = max(layer.get_paths()[0].vertices[:, 1].max() for layer in axes.collections)
        claimed = sum(self.train[phase] for phase in PHASES)
        highest = np.maximum(claimed, self.train["step_seconds"]).max()
        self.assertAlmostEqual(top, highest)
        (axes,) = draw("phases", self.folder, "--by", "rank").axes
        bars = dict(zip(legend_of(axes), axes.containers))
        self.assertEqual([len(bar) for bar in bars.values()], [2] * 8)
        for phase in ("forward", "backward", "pipeline wait"):
            self.assertTrue(all(bar.get_height() > 0 for bar in bars[phase]), phase)
        seconds = Run(self.folder).ranks["step_seconds"]
        tops = [bar.get_y() + bar.get_height() for bar in bars["other"]]
        np.testing.assert_allclose(tops, seconds, rtol=1e-6)

    def test_memory(self):
        run = Run(self.folder)
        (axes,) = draw("memory", self.folder, "--by", "rank").axes
        unit = {"MiB": 2**20, "KiB": 2**10}[axes.get_ylabel().split("(")[1][:-1]]
        tops = {c.get_label(): [b.get_y() + b.get_height() for b in c] for c in axes.containers}
        planned = np.array(tops["activations"]) * unit
        peaks = axes.get_lines()[0].get_ydata() * unit
        np.testing.assert_allclose(peaks, run.ranks["arrays_peak_bytes"])
        # A pipeline's peak lies below what is planned, by messages that waited for nobody.
        self.assertTrue(np.all(peaks <= planned * 1.001), (peaks, planned))
        self.assertTrue(np.all(peaks >= planned * 0.7), (peaks, planned))

    def test_timeline(self):
        step = traced_step(Run(self.folder))
        self.assertEqual((step.iteration, list(step.ranks)), (TRACED, [0, 1]))
        for rank in (0, 1):
            for phase in ("forward", "backward"):
                here = (step.rank == rank) & (step.phase == step.names.index(phase))
                done = set(step.micro_batch[here]) - {-1}
                self.assertEqual(done, set(range(MICRO_BATCHES)), (rank, phase))
        self.assertTrue(0 < step.idle_share() < 1)
        figure = draw("timeline", self.folder)
        legend = legend_of(figure.axes[0])
        self.assertEqual(legend[-1], f"idle {step.idle_share():.1%}")
        self.assertLessEqual({"forward", "backward"}, set(legend))
        trace = work_folder() / "trace.json"
        self.plot("timeline", self.folder, "--chrome", trace)
        events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
        self.assertEqual(len([e for e in events if e["ph"] == "X"]), len(step.rank))

    def test_scaling_and_compare(self):
        one = run_folder(1)
        printed = self.plot("scaling", one, self.folder)
        rows = [line.split() for line in printed.splitlines() if line.startswith("strong")]
        self.assertEqual([row[3] for row in rows], ["1", "2"])
        self.assertEqual([row[-1] for row in rows], ["ranks1", "ranks2"])
        # Another mesh: the same losses.
        _, difference = draw("compare", one, self.folder).axes
        self.assertLess(np.abs(difference.get_lines()[0].get_ydata()).max(), 1e-4)
        printed = self.plot("compare", one, self.folder)
        self.assertRegex(printed, r"pipe_parallel_size +1 +2\n")

    def test_weights(self):
        with Checkpoint(self.folder) as checkpoint:
            iteration = checkpoint.attributes["iteration"]
            whole = h5py.File(checkpoint.path, "r")["model/embed_in.weight"][:]
            found = norms(checkpoint, "embed_in.weight")
            figure, table = draw_weights(checkpoint)
        self.assertEqual(iteration, ITERATIONS)
        self.assertAlmostEqual(found.norm, np.linalg.norm(whole.astype(float)))
        lines = {line.get_label(): line.get_xydata() for line in figure.axes[0].get_lines()}
        np.testing.assert_allclose(lines["embed_in"], [[-1, found.norm]])
        self.assertEqual(len(lines["attention.dense"]), 2)
        self.assertIn(f"{found.norm:.6g}", table)
        for show in ("histograms", "spectra"):
            self.plot("weights", self.folder, "--show", show)
        printed = self.plot("weights", self.folder / "global_step8", "--diff", self.folder)
        self.assertIn("relative", printed)

    def test_watch(self):
        command = program.SOURCE / "analysis" / "trireme-plot"  # as users start it
        words = [sys.executable, str(command), "watch", str(self.folder), "--interval", "0.1"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
        self.assertIn(f"iteration {ITERATIONS}/{ITERATIONS}, done", done.stdout)

    def test_report(self):
        page = work_folder() / "report.html"
        self.plot("report", self.folder, output="report.html")
        text = page.read_text(encoding="utf-8")
        for caption in ("Loss over time", "Time of a step by rank", "Memory by stage",
                        f"iteration {TRACED}", "Norms of weights"):
            self.assertRegex(text, f"<figcaption>[^<]*{caption}")


if __name__ == "__main__":
    unittest.main()
