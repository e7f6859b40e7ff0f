#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Plots over ranks, of made-up metrics: memory, scaling, the timeline and its trace events.
import json
import unittest

import h5py
import numpy as np
from made_run import (
    GIB,
    PHASES,
    STEPS,
    PlotTest,
    draw,
    legend_of,
    plan_group,
    png_size,
    ranks_group,
    run_command,
    timeline_group,
    train_group,
    write_full_run,
    write_run,
)
from trireme_analysis import RunError, find_scalings, open_runs, traced_step
from trireme_analysis.run import Run
from trireme_analysis.spans import Step, joined


class Memory(PlotTest):
    def bars(self, axes):
        return {
            group.get_label(): [(bar.get_y(), bar.get_height()) for bar in group]
            for group in axes.containers
        }

    def test_plan_of_stages_under_what_was_measured(self):
        (axes,) = draw("memory", write_full_run(self.folder / "a", 1, 2, 2)).axes
        self.assertEqual(axes.get_xlabel(), "Pipeline stage")
        self.assertEqual(axes.get_ylabel(), "Memory (GiB)")
        bars = self.bars(axes)
        self.assertEqual(bars["values"], [(0, 2), (0, 2)])
        self.assertEqual(bars["activations"], [(6, 4), (6, 2)])
        self.assertEqual(bars["copy for a save (host)"], [(10.5, 1), (8.5, 1)])
        lines = {line.get_label(): line.get_ydata() for line in axes.get_lines()}
        np.testing.assert_allclose(lines["arrays, peak"], [9 + 1 / 64, 9 + 3 / 64])
        least = [path.vertices[0, 1] for path in axes.collections[0].get_paths()]
        np.testing.assert_allclose(least, [9, 9 + 2 / 64])
        self.assertEqual(list(axes.get_xticks()), [0, 1])
        self.assertEqual(legend_of(axes)[0], "values")

    def test_a_gpus_memory_is_not_stacked_on_the_hosts(self):
        ranks = {**ranks_group(1, 2, 2), "device": np.array(["cuda:0 NVIDIA H100"] * 4)}
        run = write_full_run(self.folder / "gpu", 1, 2, 2, ranks=ranks)
        (axes,) = draw("memory", run).axes
        bars = self.bars(axes)
        self.assertEqual(bars["copy for a save (host)"], [(0, 1), (0, 1)])
        self.assertEqual(bars["reserved, unused"], [(10, 0.5), (8, 0.5)])

    def test_by_rank(self):
        run = write_full_run(self.folder / "a", 1, 2, 2)
        (axes,) = draw("memory", run, "--by", "rank").axes
        self.assertEqual(axes.get_xlabel(), "Rank")
        heights = [height for _, height in self.bars(axes)["activations"]]
        self.assertEqual(heights, [4, 4, 2, 2])
        peaks = axes.get_lines()[0].get_ydata()
        np.testing.assert_allclose(peaks, 9 + np.arange(4) / 64)

    def test_small_memory_has_a_small_unit(self):
        small = {k: v // 1024 for k, v in plan_group(1).items()}
        ranks = ranks_group(1, 1, 1)
        for name in ("peak_bytes", "arrays_peak_bytes", "arrays_reserved_bytes"):
            ranks[name] = ranks[name] // 1024
        run = write_full_run(self.folder / "a", 1, 1, 1, plan=small, ranks=ranks)
        (axes,) = draw("memory", run).axes
        self.assertEqual(axes.get_ylabel(), "Memory (MiB)")

    def test_stages_that_disagree(self):
        run = write_full_run(self.folder / "a", 1, 1, 4, plan=plan_group(2))
        self.refused("/ranks/pp names stage 3, /plan has 2", "memory", run)


class Scaling(PlotTest):
    def run_of(self, name, ranks, batch, seconds, deck=None):
        # The first steps are slow: they aren't to count.
        steps = np.where(np.arange(STEPS) < 5, 50.0, seconds)
        folder = write_run(self.folder / name, batch=batch, mesh=(ranks, 1, 1),
                           train=train_group(step_seconds=steps))
        if deck is not None:
            with h5py.File(folder / "metrics.h5", "a") as file:
                file.attrs["deck"] = file.attrs["deck"].replace(*deck)
        return folder

    def test_strong(self):
        runs = [self.run_of(f"s{n}", n, 64, t) for n, t in ((4, 2.5), (1, 8.0), (2, 4.0))]
        (scaling,) = find_scalings(open_runs(runs))
        self.assertEqual((scaling.kind, scaling.label), ("strong", "strong, batch 64"))
        self.assertEqual([p.ranks for p in scaling.points], [1, 2, 4])
        np.testing.assert_allclose([scaling.speedup(p) for p in scaling.points], [1, 2, 3.2])
        np.testing.assert_allclose([scaling.efficiency(p) for p in scaling.points], [1, 1, 0.8])
        self.assertAlmostEqual(scaling.points[0].tokens_per_second, 64 * 256 / 8)

    def test_weak(self):
        runs = [self.run_of(f"w{n}", n, 8 * n, t) for n, t in ((2, 1.0), (8, 1.25))]
        (scaling,) = find_scalings(open_runs(runs))
        self.assertEqual((scaling.kind, scaling.label), ("weak", "weak, batch 8 a rank"))
        self.assertAlmostEqual(scaling.efficiency(scaling.points[1]), 0.8)

    def test_both_in_one_picture(self):
        three = (("1", 1, 8, 1.0), ("s", 2, 8, 0.5), ("w", 2, 16, 1.0))
        runs = [self.run_of(*one) for one in three]
        rate, efficiency = draw("scaling", *runs).axes
        self.assertEqual(rate.get_ylabel(), "Tokens/s")
        self.assertEqual(efficiency.get_xlabel(), "Ranks")
        self.assertEqual(
            legend_of(rate), ["strong, batch 8", "weak, batch 8 a rank", "ideal"]
        )
        line, points, ideal = rate.get_lines()[:3]
        for drawn in (line, points, ideal):
            np.testing.assert_allclose(drawn.get_xydata(), [[1, 2048], [2, 4096]])
        self.assertEqual(list(efficiency.get_xticks()), [1, 2])

    def test_table_and_file(self):
        runs = [self.run_of(f"s{n}", n, 64, 8.0 / n) for n in (1, 2)]
        picture = self.folder / "s.png"
        code, out, err = run_command("scaling", *runs, "--output", picture)
        self.assertEqual((code, err), (0, ""))
        last = out.splitlines()[-2].split()
        self.assertEqual(last[-5:], ["4", "4096", "2.00", "100.0%", "s2"])
        self.assertGreater(min(png_size(picture)), 500)

    def test_first_steps_by_hand(self):
        runs = [self.run_of(f"s{n}", n, 64, 8.0 / n) for n in (1, 2)]
        self.refused("no steps are left", "scaling", *runs, "--skip", "60")
        (scaling,) = find_scalings(open_runs(runs), skip=0)
        self.assertEqual(scaling.points[0].step_seconds, 8)

    def test_a_run_that_fits_no_set_is_named(self):
        runs = [self.run_of(*a) for a in (("a", 1, 8, 1.0), ("b", 2, 8, 0.5), ("c", 2, 9, 1.0))]
        code, out, err = run_command("scaling", *runs, "--output", self.folder / "s.png")
        self.assertEqual(code, 0)
        self.assertEqual(err.count("c is left out: no other run has its batch (9)"), 1)
        self.assertNotIn(" c\n", out)

    def test_sets_that_do_not_scale(self):
        one = self.run_of("a", 1, 8, 1.0)
        self.refused("two rank counts", "scaling", one)
        self.refused("two rank counts", "scaling", one, self.run_of("b", 1, 8, 1.0))
        other = self.run_of("c", 2, 8, 1.0, deck=("num_layers: 4", "num_layers: 8"))
        self.refused("c: num_layers is 8, in a it is 4", "scaling", one, other)


class Timeline(PlotTest):
    def setUp(self):
        super().setUp()
        self.run_folder = write_full_run(self.folder / "pp2", 1, 1, 2, micro_batches=4)

    def test_idle_share_is_that_of_the_schedule(self):
        # 4 micro-batches on 2 stages take 4 + 1 slots of a forward and a backward (30 ms), and
        # the optimizer 10 ms: 130 of 160 ms are work.
        step = traced_step(Run(self.run_folder))
        self.assertAlmostEqual(step.end, 0.16)
        self.assertAlmostEqual(step.idle_share(), 30 / 160)

    def test_time_of_no_rank_is_not_idle(self):
        spans = timeline_group(2, 2, 4)
        spans["start"][spans["phase"] == 5] += 1.0  # an evaluation lies before
        run = write_full_run(self.folder / "x", timeline=spans)
        self.assertAlmostEqual(traced_step(Run(run)).idle_share(), 30 / 160)

    def test_interrupted_work_is_one_box(self):
        spans = timeline_group(1, 1, 1)  # forward, backward, optimizer
        half = {name: np.repeat(column, 2) for name, column in spans.items()}
        half["seconds"] = half["seconds"] / 2
        half["start"][1::2] += half["seconds"][1::2] + 1e-6
        run = write_full_run(self.folder / "x", 1, 1, 1, timeline=half)
        step = traced_step(Run(run))
        self.assertEqual(len(step.rank), 6)
        one = joined(step, 2e-6)
        np.testing.assert_allclose(one.start, [0, 0.01, 0.03])
        np.testing.assert_allclose(one.seconds, np.array([0.01, 0.02, 0.01]) + 1e-6)
        self.assertEqual(len(joined(step, 1e-7).rank), 6)
        (axes,) = draw("timeline", run).axes
        self.assertEqual([len(c.get_paths()) for c in axes.collections], [1, 1, 1])
        self.assertEqual([text.get_text() for text in axes.texts], ["0", "0"])

    def test_boxes_numbers_and_legend(self):
        figure = draw("timeline", self.run_folder)
        (axes,) = figure.axes
        self.assertEqual(axes.get_xlabel(), "Time (ms)")
        self.assertEqual(axes.get_ylabel(), "Rank")
        self.assertEqual(figure._suptitle.get_text(), "Iteration 10 of pp2")
        boxes = {c.get_label(): c.get_paths() for c in axes.collections}
        self.assertEqual({k: len(v) for k, v in boxes.items()},
                         {"forward": 8, "backward": 8, "optimizer": 2})
        first = boxes["forward"][0].vertices
        np.testing.assert_allclose([first[:, 0].min(), first[:, 0].max()], [0, 10])
        self.assertEqual(sorted(text.get_text() for text in axes.texts), sorted("0123" * 4))
        self.assertEqual(
            legend_of(axes), ["forward", "backward", "optimizer", "idle 18.8%"]
        )
        self.assertEqual([label.get_text() for label in axes.get_yticklabels()], ["0", "1"])
        np.testing.assert_allclose(axes.get_xlim(), [0, 160])

    def test_rows_start_at_the_top(self):
        (axes,) = draw("timeline", self.run_folder).axes
        self.assertGreater(axes.get_ylim()[0], axes.get_ylim()[1])

    def test_some_ranks(self):
        run = write_full_run(self.folder / "big", 2, 2, 2)
        (axes,) = draw("timeline", run, "--ranks", "1-2,7").axes
        labels = [label.get_text() for label in axes.get_yticklabels()]
        self.assertEqual(labels, ["1", "2", "7"])
        self.refused("the trace has ranks 0 to 7", "timeline", run, "--ranks", "8")
        self.refused("'x' is no rank or range", "timeline", run, "--ranks", "1,x")

    def test_many_ranks_stay_on_a_page(self):
        figure = draw("timeline", write_full_run(self.folder / "big", 4, 4, 16))
        self.assertLess(figure.get_figheight(), 8)
        self.assertLess(len(figure.axes[0].get_yticks()), 60)

    def test_spans_of_no_phase_and_chunks(self):
        spans = timeline_group(1, 1, 2)
        spans["phase"][-1] = -1
        spans["chunk"][:] = [0, 0, 1, 1, -1]
        run = write_full_run(self.folder / "x", 1, 1, 1, timeline=spans)
        (axes,) = draw("timeline", run).axes
        self.assertIn("other", legend_of(axes))
        forward = next(c for c in axes.collections if c.get_label() == "forward")
        self.assertFalse(np.allclose(*forward.get_facecolors()))

    def test_iterations_that_were_not_traced(self):
        self.refused("iteration 3 wasn't traced; these were: 10", "timeline", self.run_folder,
                     "--iteration", "3")

    def test_a_phase_beyond_the_names(self):
        spans = timeline_group(2, 2, 2)
        spans["phase"][0] = 9
        run = write_full_run(self.folder / "x", timeline=spans)
        self.refused("counts beyond 7 phases", "timeline", run)

    def test_an_empty_step_is_not_idle(self):
        nothing = np.zeros(1)
        step = Step(1, PHASES, *(nothing.astype(int),) * 4, nothing, nothing)
        self.assertEqual(step.idle_share(), 0)
        with self.assertRaises(RunError):
            step.of_ranks([5])


class Chrome(PlotTest):
    def setUp(self):
        super().setUp()
        two = [timeline_group(2, 2, 4, iteration) for iteration in (10, 11)]
        both = {name: np.concatenate([one[name] for one in two]) for name in two[0]}
        self.run_folder = write_full_run(self.folder / "pp2", timeline=both)
        self.trace = self.folder / "trace.json"

    def read(self, *options):
        command = ("timeline", self.run_folder, "--chrome", self.trace)
        code, out, err = run_command(*command, *options)
        self.assertEqual((code, out.strip(), err), (0, str(self.trace), ""))
        return json.loads(self.trace.read_text(encoding="utf-8"))

    def test_fields(self):
        trace = self.read("--iteration", "10")
        self.assertEqual(trace["displayTimeUnit"], "ms")
        named = [e for e in trace["traceEvents"] if e["name"] == "process_name"]
        self.assertEqual([e["args"]["name"] for e in named],
                         ["rank 0 (dp 0, tp 0, pp 0)", "rank 1 (dp 0, tp 0, pp 1)"])
        spans = [e for e in trace["traceEvents"] if e["ph"] == "X"]
        self.assertEqual({e["ph"] for e in trace["traceEvents"]}, {"M", "X"})
        for event in spans:
            fields = {"name", "cat", "ts", "dur", "pid", "tid", "args"}
            self.assertLessEqual(fields, event.keys())
            self.assertIsInstance(event["pid"], int)
        second = next(e for e in spans if e["pid"] == 1 and e["name"] == "forward 0")
        self.assertEqual((second["ts"], second["dur"]), (10_000, 10_000))
        self.assertEqual(second["args"], {"iteration": 10, "micro_batch": 0, "chunk": 0})
        optimizer = next(e for e in spans if e["cat"] == "optimizer")
        self.assertEqual(optimizer["name"], "optimizer")
        self.assertEqual(optimizer["args"], {"iteration": 10})

    def test_all_steps_follow_each_other(self):
        spans = [e for e in self.read()["traceEvents"] if e["ph"] == "X" and e["pid"] == 0]
        one = len(spans) // 2
        end = max(e["ts"] + e["dur"] for e in spans[:one])
        self.assertEqual(end, 160_000)
        self.assertEqual(min(e["ts"] for e in spans[one:]), end)
        for before, after in zip(spans, spans[1:]):
            self.assertLessEqual(before["ts"] + before["dur"], after["ts"] + 1e-3)

    def test_no_picture_unless_asked(self):
        self.read()
        self.assertFalse((self.run_folder / "timeline.png").exists())
        picture = self.folder / "t.png"
        code, out, _ = run_command(
            "timeline", self.run_folder, "--chrome", self.trace, "--output", picture
        )
        self.assertEqual((code, out.split()), (0, [str(self.trace), str(picture)]))

    def test_no_folder(self):
        command = ("timeline", self.run_folder, "--chrome", "/nowhere/t.json")
        self.refused("no such folder", *command)


if __name__ == "__main__":
    unittest.main()
