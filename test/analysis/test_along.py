#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Plots along a run, of made-up metrics: loss, throughput, phases, two runs compared.
import unittest

import numpy as np
from made_run import (
    GIB,
    ITERATION,
    LOSS,
    PHASES,
    STEPS,
    PlotTest,
    add_starts,
    draw,
    legend_of,
    open_runs,
    png_size,
    run_command,
    train_group,
    write_full_run,
    write_run,
)
from trireme_analysis import style
from trireme_analysis.series import smooth


class Loss(PlotTest):
    def setUp(self):
        super().setUp()
        self.run_folder = write_run(self.folder / "gcide")

    def test_axes_and_series(self):
        figure = draw("loss", self.run_folder)
        (axes,) = figure.axes
        self.assertEqual(figure._suptitle.get_text(), "Loss of gcide")
        self.assertEqual(axes.get_xlabel(), "Iteration")
        self.assertEqual(axes.get_ylabel(), "Loss (nats per token)")
        raw, smoothed, valid, test = axes.get_lines()
        np.testing.assert_array_equal(raw.get_xdata(), ITERATION)
        np.testing.assert_allclose(raw.get_ydata(), LOSS)
        np.testing.assert_allclose(smoothed.get_ydata(), smooth(raw.get_ydata()))
        np.testing.assert_array_equal(valid.get_xydata(), [[300, 1.9], [600, 1.6]])
        np.testing.assert_array_equal(test.get_xydata(), [[600, 1.65]])
        self.assertEqual(legend_of(axes), ["train", "valid (1.600)", "test (1.650)"])

    def test_starts_are_marked(self):
        add_starts(self.run_folder, (0, 300))
        (axes,) = draw("loss", self.run_folder, "--by", "tokens").axes
        mark = axes.get_lines()[-1]
        self.assertEqual(list(mark.get_xdata()), [300 * 4096] * 2)
        self.assertEqual(legend_of(axes)[-1], "resumed")
        for axes in draw("throughput", self.run_folder).axes:
            self.assertEqual(list(axes.get_lines()[-1].get_xdata()), [300] * 2)
        (run,) = open_runs([self.run_folder]).values()
        self.assertEqual(list(run.starts["iteration"]), [0, 300])
        self.assertEqual(run.starts["changes"][1], "lr 1 → 2")

    def test_by_tokens(self):
        (axes,) = draw("loss", self.run_folder, "--by", "tokens").axes
        self.assertEqual(axes.get_xlabel(), "Tokens")
        raw, _, valid, _ = axes.get_lines()
        np.testing.assert_array_equal(raw.get_xdata(), ITERATION * 4096)
        np.testing.assert_array_equal(valid.get_xdata(), [300 * 4096, 600 * 4096])

    def test_by_time(self):
        (axes,) = draw("loss", self.run_folder, "--by", "time").axes
        self.assertEqual(axes.get_xlabel(), "Time in steps (s)")
        raw, _, valid, _ = axes.get_lines()
        np.testing.assert_allclose(raw.get_xdata(), 0.8 * np.arange(1, STEPS + 1))
        np.testing.assert_allclose(valid.get_xdata(), [24, 48])

    def test_long_runs_have_long_units(self):
        train = train_group(step_seconds=np.full(STEPS, 600))
        slow = write_run(self.folder / "slow", train=train)
        (axes,) = draw("loss", slow, "--by", "time").axes
        self.assertEqual(axes.get_xlabel(), "Time in steps (hours)")
        self.assertAlmostEqual(axes.get_lines()[0].get_xdata()[-1], 10)

    def test_smoothing_by_hand(self):
        (axes,) = draw("loss", self.run_folder, "--smooth", "9").axes
        np.testing.assert_allclose(axes.get_lines()[1].get_ydata(), smooth(LOSS, 9))
        (axes,) = draw("loss", self.run_folder, "--smooth", "0").axes
        np.testing.assert_allclose(axes.get_lines()[0].get_ydata(), LOSS)
        self.assertEqual(len(axes.get_lines()), 3)

    def test_losses_that_are_not_finite_are_marked(self):
        loss = LOSS.copy()
        loss[[3, 20]] = np.nan, np.inf
        bad = write_run(self.folder / "bad", train=train_group(loss=loss))
        (axes,) = draw("loss", bad).axes
        crosses = axes.get_lines()[2]
        np.testing.assert_array_equal(crosses.get_xdata(), [40, 210])
        self.assertIn("not finite (2)", legend_of(axes))
        self.assertTrue(np.isnan(axes.get_lines()[0].get_ydata()[20]))

    def test_one_step_is_a_point(self):
        train = {name: values[:1] for name, values in train_group().items()}
        (axes,) = draw("loss", write_run(self.folder / "one", train=train)).axes
        self.assertEqual(axes.get_lines()[1].get_marker(), ".")

    def test_ten_runs_are_told_apart(self):
        names = [f"{'long' * 15}-{i}-{'name' * 15}" for i in range(10)]
        runs = [write_run(self.folder / name, valid={}, test={}) for name in names]
        figure = draw("loss", *runs)
        (axes,) = figure.axes
        lines = axes.get_lines()[1::2]
        looks = {(line.get_color(), line.get_linestyle()) for line in lines}
        self.assertEqual(len(looks), 10)
        self.assertEqual(len(set(legend_of(axes))), 10)
        self.assertEqual(figure._suptitle.get_text(), "Loss of 10 runs")
        figure.canvas.draw()
        legend, data = axes.get_legend().get_window_extent(), axes.get_window_extent()
        self.assertGreaterEqual(legend.y0, data.y1 - 1)  # above the data
        self.assertLessEqual(legend.x1, figure.bbox.x1)

    def test_several_runs_share_the_markers_entries(self):
        other = write_run(self.folder / "other", test={})
        (axes,) = draw("loss", self.run_folder, other).axes
        self.assertEqual(
            legend_of(axes), ["gcide (1.600)", "other (1.600)", "valid (its last)", "test"]
        )

    def test_file(self):
        code, out, err = run_command("loss", self.run_folder)
        picture = self.run_folder / "loss.png"
        self.assertEqual((code, out.strip(), err), (0, str(picture), ""))
        width, height = png_size(picture)
        self.assertEqual(width, round(style.WIDTH * style.DPI))
        self.assertGreaterEqual(height, style.HEIGHT * style.DPI)

    def test_dots_per_inch(self):
        picture = self.folder / "x.png"
        code, _, err = run_command("loss", self.run_folder, "--dpi", 100, "--output", picture)
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(png_size(picture)[0], round(style.WIDTH * 100))
        self.refused("--dpi is 0", "loss", self.run_folder, "--dpi", "0")

    def test_other_kinds_of_files(self):
        for suffix, head in (("pdf", b"%PDF"), ("svg", b"<?xml")):
            picture = self.folder / f"x.{suffix}"
            self.assertEqual(run_command("loss", self.run_folder, "--output", picture)[0], 0)
            self.assertTrue(picture.read_bytes().startswith(head))


class Throughput(PlotTest):
    def setUp(self):
        super().setUp()
        self.run_folder = write_run(self.folder / "gcide")

    def test_tokens_and_flops(self):
        tokens, flops = draw("throughput", self.run_folder).axes
        self.assertEqual(tokens.get_ylabel(), "Tokens/s")
        self.assertEqual(flops.get_ylabel(), "TFLOP/s per rank")
        np.testing.assert_allclose(tokens.get_lines()[0].get_ydata(), 5120)
        np.testing.assert_allclose(flops.get_lines()[0].get_ydata(), 0.25)
        self.assertEqual(legend_of(tokens), ["median: 5120 tokens/s, 0.25 TFLOP/s"])
        self.assertEqual(tokens.get_ylim()[0], 0)

    def test_mfu(self):
        figure = draw("throughput", self.run_folder, "--peak", "2", "--by", "tokens")
        tokens, flops = figure.axes
        self.assertIn("MFU 12.5%", legend_of(tokens)[0])
        (percent,) = flops.child_axes
        figure.canvas.draw()
        self.assertEqual(percent.get_ylabel(), "MFU (% of 2)")
        np.testing.assert_allclose(percent.get_ylim(), np.array(flops.get_ylim()) * 50)

    def test_meshes_are_not_averaged(self):
        rates = np.where(ITERATION > 300, 20480.0, 5120.0)
        flops = np.where(ITERATION > 300, 0.5, 0.25)  # twice the ranks at four times the rate
        train = train_group(tokens_per_second=rates, tflops_per_rank=flops)
        run = write_run(self.folder / "two", train=train,
                        starts={"iteration": np.array([0, 300])})
        tokens, _ = draw("throughput", run).axes
        smoothed = tokens.get_lines()[1].get_ydata()
        self.assertEqual(set(smoothed[np.isfinite(smoothed)].round(6)), {5120, 20480})
        self.assertEqual(np.isnan(smoothed).sum(), 1)  # a gap between them
        self.assertIn("median since 310: 20,480 tokens/s", legend_of(tokens)[0])
        self.assertIn("resumed", legend_of(tokens))

    def test_long_labels_stay_within_the_figure(self):
        train = train_group(tokens_per_second=np.full(STEPS, 12345678.0))
        run = write_run(self.folder / "fast", train=train)
        figure = draw("throughput", run, "--peak", "0.001")
        figure.canvas.draw()
        legend = figure.axes[0].get_legend().get_window_extent()
        self.assertLessEqual(legend.x1, figure.bbox.x1)
        self.assertGreaterEqual(legend.y0, figure.axes[0].get_window_extent().y1 - 1)

    def test_peak_must_be_positive(self):
        self.refused("above 0", "throughput", self.run_folder, "--peak", "0")


class Optimizer(PlotTest):
    def test_norm_and_rate(self):
        run = write_run(self.folder / "gcide")
        norms, rates = draw("optimizer", run).axes
        self.assertEqual(norms.get_ylabel(), "Gradient norm")
        self.assertEqual(rates.get_ylabel(), "Learning rate")
        np.testing.assert_allclose(norms.get_lines()[0].get_ydata(), 0.5)
        np.testing.assert_allclose(rates.get_lines()[0].get_ydata(), 1e-3)
        self.assertEqual(norms.get_ylim()[0], 0)
        code, out, err = run_command("optimizer", run)
        self.assertEqual((code, out.strip(), err), (0, str(run / "optimizer.png"), ""))

    def test_planned_rate(self):
        planned = {
            "iteration": np.array([1, 500, 1000]),
            "learning_rate": np.array([1e-4, 2e-3, 0.0]),
        }
        run = write_run(self.folder / "gcide", schedule=planned)
        _, rates = draw("optimizer", run).axes
        line = next(a for a in rates.get_lines() if a.get_label() == "_plan")
        np.testing.assert_array_equal(line.get_xdata(), planned["iteration"])
        np.testing.assert_array_equal(line.get_ydata(), planned["learning_rate"])
        _, rates = draw("optimizer", run, "--by", "tokens").axes
        self.assertNotIn("_plan", [a.get_label() for a in rates.get_lines()])

    def test_wide_ranges_and_skipped_steps(self):
        norm = np.geomspace(100, 0.1, STEPS)
        norm[5] = np.nan
        train = train_group(grad_norm=norm, skipped=np.arange(STEPS) == 5)
        norms, _ = draw("optimizer", write_run(self.folder / "gcide", train=train)).axes
        self.assertEqual(norms.get_yscale(), "log")
        self.assertIn("skipped (1)", legend_of(norms))
        crosses = norms.get_lines()[2]
        np.testing.assert_array_equal(crosses.get_xdata(), [60])

    def test_several_runs(self):
        runs = [write_run(self.folder / name) for name in ("a", "b")]
        norms, _ = draw("optimizer", *runs, "--by", "tokens").axes
        self.assertEqual(legend_of(norms), ["a", "b"])


class Phases(PlotTest):
    def test_stack_reaches_the_step(self):
        (axes,) = draw("phases", write_run(self.folder / "gcide")).axes
        self.assertEqual(axes.get_ylabel(), "Seconds per step")
        layers = axes.collections
        self.assertEqual(len(layers), len(PHASES) + 1)
        top = max(layer.get_paths()[0].vertices[:, 1].max() for layer in layers)
        self.assertAlmostEqual(top, 0.8)
        second = layers[1].get_paths()[0].vertices[:, 1]
        self.assertAlmostEqual(second.min(), 0.1)
        self.assertAlmostEqual(second.max(), 0.2)
        self.assertIn("pipeline wait", legend_of(axes))

    def test_bars_by_rank(self):
        run = write_full_run(self.folder / "a", 2, 1, 2)
        (axes,) = draw("phases", run, "--by", "rank").axes
        self.assertEqual(axes.get_xlabel(), "Rank")
        bars = dict(zip(legend_of(axes), axes.containers))
        self.assertEqual(list(bars), [*(p.replace("_", " ") for p in PHASES), "other"])
        forward = [bar.get_height() for bar in bars["forward"]]
        np.testing.assert_allclose(forward, 0.2 + 0.001 * np.arange(4))
        tops = [bar.get_y() + bar.get_height() for bar in bars["other"]]
        np.testing.assert_allclose(tops, 0.68 + 0.001 * np.arange(4))
        np.testing.assert_allclose(
            [bar.get_x() + bar.get_width() / 2 for bar in bars["data"]], np.arange(4)
        )

    def test_more_ranks_than_points_are_binned(self):
        (axes,) = draw("phases", write_full_run(self.folder / "a", 400), "--by", "rank").axes
        self.assertEqual(axes.get_xlabel(), "Rank (a bar: the mean of 4)")
        self.assertEqual(len(axes.containers[0]), 200)

    def test_one_step_fills_the_axes(self):
        train = {name: values[:1] for name, values in train_group().items()}
        (axes,) = draw("phases", write_run(self.folder / "one", train=train)).axes
        self.assertEqual(axes.get_xlim(), (9.5, 10.5))

    def test_each_choice_has_its_file(self):
        run = write_full_run(self.folder / "a")
        for arguments, name in (((), "phases"), (("--by", "rank"), "phases-by-rank")):
            _, out, _ = run_command("phases", run, *arguments)
            self.assertEqual(out.strip(), str(run / f"{name}.png"))
        _, out, _ = run_command("memory", run, "--by", "rank")
        self.assertEqual(out.strip(), str(run / "memory-by-rank.png"))

    def test_file(self):
        picture = self.folder / "p.png"
        run = write_run(self.folder / "gcide")
        code, _, err = run_command("phases", run, "--output", picture)
        self.assertEqual((code, err), (0, ""))
        self.assertGreater(min(png_size(picture)), 500)


class Compare(PlotTest):
    def setUp(self):
        super().setUp()
        self.a = write_full_run(self.folder / "first")
        self.b = write_full_run(self.folder / "second", train=train_group(loss=LOSS + 0.25))

    def test_difference_at_common_iterations(self):
        both, difference = draw("compare", self.a, self.b).axes
        self.assertEqual(legend_of(both), ["first", "second"])
        self.assertEqual(difference.get_ylabel(), "Second − first")
        np.testing.assert_array_equal(difference.get_lines()[0].get_xdata(), ITERATION)
        np.testing.assert_allclose(difference.get_lines()[0].get_ydata(), 0.25)

    def test_only_shared_iterations_count(self):
        odd = train_group(iteration=ITERATION + 5 * (ITERATION < 300))
        odd = write_run(self.folder / "odd", train=odd)
        _, difference = draw("compare", self.a, odd).axes
        np.testing.assert_array_equal(
            difference.get_lines()[0].get_xdata(), ITERATION[ITERATION >= 300]
        )

    def test_tables(self):
        output = ("--output", self.folder / "c.png")
        code, out, err = run_command("compare", self.a, self.b, *output)
        self.assertEqual((code, err), (0, ""))
        lines = [line.split() for line in out.splitlines()]
        self.assertIn("loss at iteration first second second − first".split(), lines)
        self.assertIn(["600", f"{LOSS[-1]:.6f}", f"{LOSS[-1] + 0.25:.6f}", "+2.500e-01"], lines)
        self.assertIn(["valid,", "600", "1.600000", "1.600000", "+0.000e+00"], lines)
        self.assertIn(["tokens/s", "5120", "5120", "1.000"], lines)
        peak = f"{(9 * GIB + GIB // 64) / GIB:.4g}"
        self.assertIn(["memory", "of", "arrays", peak, "GiB", peak, "GiB", "1.000"], lines)
        self.assertTrue(any(line[:1] == ["save"] for line in lines))

    def test_what_cannot_be_compared(self):
        self.refused("compare takes two runs, not 1", "compare", self.a)
        far = write_run(self.folder / "far", train=train_group(iteration=ITERATION + 1000))
        self.refused("no iteration is in both runs", "compare", self.a, far)


if __name__ == "__main__":
    unittest.main()
