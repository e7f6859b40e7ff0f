#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Plots of made-up metrics: what is read, what is drawn, what is said when it cannot be.
import contextlib
import io
import struct
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "analysis"))

import h5py
import numpy as np
from trireme_analysis import style
from trireme_analysis.command import main, parse
from trireme_analysis.plots import PLOTS
from trireme_analysis.plots.loss import smooth
from trireme_analysis.run import PHASES, Run, RunError, open_runs

STEPS = 60
ITERATION = np.arange(10, 10 * STEPS + 1, 10)
TOKENS_A_STEP = 4096


def write_run(folder, **extra):
    """A metrics.h5 as a run of 600 iterations writes it; `extra` replaces whole groups."""
    groups = {
        "train": {
            "iteration": ITERATION.astype("u8"),
            "tokens": ITERATION.astype("u8") * TOKENS_A_STEP,
            "loss": 1.5 + 4 * np.exp(-ITERATION / 100),
            "step_seconds": np.full(STEPS, 0.8),
            **{phase: np.full(STEPS, 0.1) for phase in PHASES},
        },
        "valid": {"iteration": np.array([300, 600]), "loss": np.array([1.9, 1.6])},
        "test": {"iteration": np.array([600]), "loss": np.array([1.65])},
        **extra,
    }
    folder.mkdir(parents=True, exist_ok=True)
    with h5py.File(folder / "metrics.h5", "w") as file:
        file.attrs["version"] = "0.1.0"
        for group, series in groups.items():
            for name, values in series.items():
                file.create_dataset(f"{group}/{name}", data=values, maxshape=(None,))
    return folder


def run_command(*arguments):
    """(exit code, stdout, stderr)"""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(a) for a in arguments])
    return code, out.getvalue(), err.getvalue()


def draw(*arguments):
    options = parse([str(a) for a in arguments])
    return PLOTS[options.plot].draw(open_runs(options.runs), options).axes[0]


def png_size(path):
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n", path
    return struct.unpack(">II", head[16:24])


class PlotTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.addCleanup(style.pyplot.close, "all")
        self.folder = Path(folder.name)
        self.run_folder = write_run(self.folder / "gcide")


class Reading(PlotTest):
    def test_folder_and_file_are_the_same_run(self):
        for place in (self.run_folder, self.run_folder / "metrics.h5"):
            run = Run(place)
            self.assertEqual(run.name, "gcide")
            self.assertEqual(run.attributes["version"], "0.1.0")
            self.assertEqual(len(run.train["loss"]), STEPS)

    def test_a_row_half_written_is_left_out(self):
        with h5py.File(self.run_folder / "metrics.h5", "a") as file:
            file["train/iteration"].resize((STEPS + 1,))
        self.assertEqual(len(Run(self.run_folder).train["iteration"]), STEPS)

    def test_runs_of_one_name_go_by_their_places(self):
        other = write_run(self.folder / "other" / "gcide")
        self.assertEqual(
            list(open_runs([self.run_folder, other])), [str(self.run_folder), str(other)]
        )

    def test_tokens_between_logged_iterations(self):
        tokens = Run(self.run_folder).tokens_at([0, 5, 10, 15])
        np.testing.assert_allclose(tokens, np.array([0, 5, 10, 15]) * TOKENS_A_STEP)


class Loss(PlotTest):
    def test_axes_and_series(self):
        axes = draw("loss", self.run_folder)
        self.assertEqual(axes.get_title(), "Loss of gcide")
        self.assertEqual(axes.get_xlabel(), "Iteration")
        self.assertEqual(axes.get_ylabel(), "Loss (nats per token)")
        raw, smoothed, valid, test = axes.get_lines()
        np.testing.assert_array_equal(raw.get_xdata(), ITERATION)
        np.testing.assert_allclose(raw.get_ydata(), 1.5 + 4 * np.exp(-ITERATION / 100))
        np.testing.assert_allclose(smoothed.get_ydata(), smooth(raw.get_ydata()))
        np.testing.assert_array_equal(valid.get_xydata(), [[300, 1.9], [600, 1.6]])
        np.testing.assert_array_equal(test.get_xydata(), [[600, 1.65]])
        self.assertEqual(
            [text.get_text() for text in axes.get_legend().get_texts()],
            ["train", "valid (1.600)", "test (1.650)"],
        )

    def test_by_tokens(self):
        axes = draw("loss", self.run_folder, "--by", "tokens")
        self.assertEqual(axes.get_xlabel(), "Tokens")
        raw, _, valid, _ = axes.get_lines()
        np.testing.assert_array_equal(raw.get_xdata(), ITERATION * TOKENS_A_STEP)
        np.testing.assert_array_equal(valid.get_xdata(), [300 * 4096, 600 * 4096])

    def test_two_runs_in_two_colours(self):
        other = write_run(self.folder / "other", valid={}, test={})
        axes = draw("loss", self.run_folder, other)
        lines = axes.get_lines()
        self.assertEqual(axes.get_title(), "Loss of 2 runs")
        self.assertEqual(len(lines), 6)
        self.assertNotEqual(lines[1].get_color(), lines[5].get_color())
        self.assertEqual(lines[5].get_label(), "other train")

    def test_smoothing_keeps_a_constant_and_skips_what_is_not_finite(self):
        np.testing.assert_allclose(smooth(np.full(500, 2.5)), 2.5)
        values = np.full(500, 2.5)
        values[[0, 250]] = np.nan, np.inf
        means = smooth(values)
        self.assertTrue(np.isnan(means[0]))
        np.testing.assert_allclose(means[1:], 2.5)
        noisy = np.tile([1.0, 3.0], 500)
        self.assertLess(np.abs(smooth(noisy)[10:-10] - 2).max(), 0.1)

    def test_smoothing_lags_nowhere(self):
        line = np.linspace(5, 1, 400)
        np.testing.assert_allclose(smooth(line), line)

    def test_file(self):
        code, out, err = run_command("loss", self.run_folder)
        picture = self.run_folder / "loss.png"
        self.assertEqual((code, out.strip(), err), (0, str(picture), ""))
        width, height = (round(inches * style.DPI) for inches in style.SIZE)
        self.assertEqual(png_size(picture), (width, height))


class Phases(PlotTest):
    def test_stack_reaches_the_step(self):
        axes = draw("phases", self.run_folder)
        self.assertEqual(axes.get_ylabel(), "Seconds per step")
        layers = axes.collections
        self.assertEqual(len(layers), len(PHASES) + 1)
        top = max(layer.get_paths()[0].vertices[:, 1].max() for layer in layers)
        self.assertAlmostEqual(top, 0.8)
        second = layers[1].get_paths()[0].vertices[:, 1]
        self.assertAlmostEqual(second.min(), 0.1)
        self.assertAlmostEqual(second.max(), 0.2)
        self.assertIn(
            "pipeline wait", [text.get_text() for text in axes.get_legend().get_texts()]
        )

    def test_file(self):
        picture = self.folder / "p.png"
        code, _, err = run_command("phases", self.run_folder, "--output", picture)
        self.assertEqual((code, err), (0, ""))
        self.assertGreater(min(png_size(picture)), 500)


class Errors(PlotTest):
    def refused(self, expected, *arguments):
        code, out, err = run_command(*arguments)
        self.assertEqual((code, out), (1, ""))
        self.assertIn(expected, err)
        self.assertEqual(err.count("\n"), 1, err)

    def test_no_run(self):
        self.refused("nowhere: no such file", "loss", self.folder / "nowhere")

    def test_not_hdf5(self):
        (self.run_folder / "metrics.h5").write_text("no")
        self.refused("not a readable HDF5 file", "loss", self.run_folder)

    def test_missing_dataset(self):
        write_run(self.run_folder, train={"iteration": ITERATION})
        self.refused("no dataset /train/loss", "loss", self.run_folder)

    def test_nothing_logged(self):
        write_run(self.run_folder, train={"iteration": [], "loss": []})
        self.refused("/train is empty", "loss", self.run_folder)

    def test_phases_of_two_runs(self):
        other = write_run(self.folder / "other")
        self.refused("phases draws one run", "phases", self.run_folder, other)

    def test_unwritable_and_unknown_kinds(self):
        self.refused("No such file", "loss", self.run_folder, "--output", "/nowhere/x.png")
        self.refused("not supported", "loss", self.run_folder, "--output", "x.unknown")

    def test_need_names_the_group(self):
        with self.assertRaisesRegex(RunError, "no dataset /valid/perplexity"):
            Run(self.run_folder).need("valid", "perplexity")


if __name__ == "__main__":
    unittest.main()
