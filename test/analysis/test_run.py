#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# What is read of a run's files, arithmetic on it, and what is said when it cannot be.
import unittest

import h5py
import made_run
import numpy as np
from made_run import PlotTest, write_full_run, write_run
from trireme_analysis import series, style
from trireme_analysis.deck import differences, flat_deck
from trireme_analysis.run import Run, RunError, open_runs


class Reading(PlotTest):
    def setUp(self):
        super().setUp()
        self.run_folder = write_run(self.folder / "gcide")

    def test_folder_and_file_are_the_same_run(self):
        for place in (self.run_folder, self.run_folder / "metrics.h5"):
            run = Run(place)
            self.assertEqual(run.name, "gcide")
            self.assertEqual(run.attributes["version"], "0.1.0")
            self.assertEqual(len(run.train["loss"]), made_run.STEPS)

    def test_a_row_half_written_is_left_out(self):
        with h5py.File(self.run_folder / "metrics.h5", "a") as file:
            file["train/iteration"].resize((made_run.STEPS + 1,))
        self.assertEqual(len(Run(self.run_folder).train["iteration"]), made_run.STEPS)

    def test_nothing_leads_to_other_files(self):
        path = self.run_folder / "metrics.h5"
        with h5py.File(self.folder / "secret.h5", "w") as file:
            file["loss"] = np.ones(made_run.STEPS)
        (self.folder / "secret.bin").write_bytes(bytes(8 * made_run.STEPS))
        with h5py.File(path, "a") as file:
            del file["train/loss"]

        def from_storage(file):
            stored = [(str(self.folder / "secret.bin"), 0, 8 * made_run.STEPS)]
            file.create_dataset("train/loss", (made_run.STEPS,), "f8", external=stored)

        def from_view(file):
            layout = h5py.VirtualLayout((made_run.STEPS,), "f8")
            layout[:] = h5py.VirtualSource("../secret.h5", "loss", (made_run.STEPS,), "f8")
            file.create_virtual_dataset("train/loss", layout)

        def from_link(file):
            file["train/loss"] = h5py.ExternalLink("../secret.h5", "loss")

        def from_name(file):
            file["train/loss"] = h5py.SoftLink("/train/grad_norm")

        for lead, words in ((from_storage, "another file"), (from_view, "other files"),
                            (from_link, "is a link"), (from_name, "is a link")):
            with h5py.File(path, "a") as file:
                lead(file)
            with self.assertRaisesRegex(RunError, words):
                Run(self.run_folder)
            with h5py.File(path, "a") as file:
                del file["train/loss"]

    def test_runs_of_one_name_go_by_their_places(self):
        other = write_run(self.folder / "other" / "gcide")
        self.assertEqual(
            list(open_runs([self.run_folder, other])), [str(self.run_folder), str(other)]
        )

    def test_a_run_given_twice(self):
        with self.assertRaisesRegex(RunError, "given twice"):
            open_runs([self.run_folder, self.run_folder])

    def test_tokens_and_seconds_between_logged_iterations(self):
        run, at = Run(self.run_folder), [0, 5, 10, 15]
        tokens = np.array(at) * made_run.TOKENS_A_STEP
        np.testing.assert_allclose(run.tokens_at(at), tokens)
        np.testing.assert_allclose(run.seconds_at(at), np.array(at) / 10 * 0.8)

    def test_tables_of_ranks_stages_and_spans(self):
        run = Run(write_full_run(self.folder / "full", dp=2, tp=1, pp=2))
        self.assertEqual(list(run.ranks["host"]), ["node0"] * 4)
        self.assertEqual(run.ranks["phases"].shape, (4, 7))
        self.assertEqual(list(run.plan["in_flight"]), [2, 1])
        self.assertEqual(run.timeline_phases, made_run.PHASES)
        self.assertEqual(set(run.timeline["rank"]), {0, 1, 2, 3})

    def test_mesh_by_attributes_or_by_text(self):
        full = Run(write_full_run(self.folder / "full", dp=2, tp=3, pp=2))
        for run, mesh in ((full, (2, 3, 2)), (Run(self.run_folder), (2, 1, 1))):
            self.assertEqual(tuple(run.mesh.values()), mesh)
            self.assertEqual(run.rank_count, np.prod(mesh))
            self.assertEqual(run.setting("train_batch_size"), 16)

    def test_mesh_and_settings_that_nobody_gives(self):
        with h5py.File(self.run_folder / "metrics.h5", "a") as file:
            del file.attrs["mesh"], file.attrs["deck"]
        with self.assertRaisesRegex(RunError, "no attributes dp, tp and pp"):
            Run(self.run_folder).mesh["dp"]
        with self.assertRaisesRegex(RunError, "gives train_batch_size"):
            Run(self.run_folder).setting("train_batch_size")

    def test_starts_and_other_meshes_break_the_speed(self):
        self.assertEqual(len(Run(self.run_folder).resumed_at()), 0)
        starts = {"iteration": np.array([0, 300, 300, 450]), "ranks": np.array([2, 4, 4, 4])}
        flops = np.where(made_run.ITERATION > 450, 0.5, 0.25)  # half the ranks since 460
        run = Run(write_run(self.folder / "twice", starts=starts,
                            train=made_run.train_group(tflops_per_rank=flops)))
        self.assertEqual(list(run.resumed_at()), [300, 450])
        self.assertEqual(run.speed_breaks(), [30, 45])
        self.assertEqual(len(run.latest("loss")), made_run.STEPS - 45)
        other = Run(write_run(self.folder / "other",
                              train=made_run.train_group(tflops_per_rank=flops)))
        self.assertEqual(other.speed_breaks(), [45])  # of a file without starts

    def test_need_says_what_gives_the_data(self):
        run = Run(self.run_folder)
        for group, name, hint in (
            ("valid", "perplexity", "no dataset /valid/perplexity; set eval_interval"),
            ("timeline", "rank", r"no /timeline; set timeline_iters: \[N\]"),
            ("plan", "values", "no /plan; it's written at the start"),
            ("ranks", "phases", "no /ranks; it's written at each save"),
        ):
            with self.assertRaisesRegex(RunError, hint):
                run.need(group, name)


class Decks(unittest.TestCase):
    TEXT = made_run.DECK.format(batch=16, save="runs/a")

    def test_nested_keys_are_joined(self):
        deck = flat_deck(self.TEXT + 'path: "a: b"\n')
        self.assertEqual(deck["optimizer.params.lr"], "0.003")
        self.assertEqual(deck["optimizer.params.betas"], "[0.9, 0.95]")
        self.assertEqual(deck["train_iters"], "600")
        self.assertEqual(deck["save"], "runs/a")
        self.assertEqual(deck["path"], "a: b")
        self.assertNotIn("optimizer", deck)

    def test_differences(self):
        a = flat_deck(self.TEXT)
        b = flat_deck(self.TEXT.replace("0.003", "0.001") + "seed: 1\n")
        self.assertEqual(
            differences(a, b), [("optimizer.params.lr", "0.003", "0.001"), ("seed", "–", "1")]
        )
        self.assertEqual(differences(a, a), [])


class Arithmetic(unittest.TestCase):
    def test_smoothing_keeps_a_constant_and_skips_what_is_not_finite(self):
        np.testing.assert_allclose(series.smooth(np.full(500, 2.5)), 2.5)
        values = np.full(500, 2.5)
        values[[0, 250]] = np.nan, np.inf
        means = series.smooth(values)
        self.assertTrue(np.isnan(means[0]))
        np.testing.assert_allclose(means[1:], 2.5)
        noisy = np.tile([1.0, 3.0], 500)
        self.assertLess(np.abs(series.smooth(noisy)[10:-10] - 2).max(), 0.1)

    def test_smoothing_lags_nowhere(self):
        line = np.linspace(5, 1, 400)
        np.testing.assert_allclose(series.smooth(line), line)

    def test_a_window_is_heeded(self):
        np.testing.assert_allclose(series.smooth([0, 3, 0, 3, 0], 3), [0, 1, 2, 1, 1.2])

    def test_the_end_is_no_single_value(self):
        values = np.ones(400)
        values[-1] = 5
        self.assertLess(series.smooth(values)[-1], 2.5)
        noise = np.random.default_rng(1).normal(size=(200, 400))
        ends = [series.smooth(row)[-1] for row in noise]
        self.assertLess(np.std(ends), 0.6 * np.std(noise[:, -1]))

    def test_no_window_crosses_a_break(self):
        values = np.r_[np.full(50, 1.0), np.full(50, 9.0)]
        np.testing.assert_allclose(series.smooth(values, 21, [50]), values)
        self.assertGreater(series.smooth(values, 21)[49], 2)

    def test_rates_have_no_exponent(self):
        self.assertEqual(series.rate_text(33921.7), "33,920")
        self.assertEqual(series.rate_text(0.0271828), "0.02718")

    def test_bins_and_medians(self):
        np.testing.assert_allclose(series.in_bins(np.arange(6.0), 3), [0.5, 2.5, 4.5])
        np.testing.assert_allclose(series.in_bins([1.0, 2.0], 3), [1, 2])
        self.assertEqual(series.median([100, 100, 100, 100, 100, 1, np.nan, 3]), 3)
        self.assertEqual(series.median([9] * 5 + [1, np.nan, 3, 1, 1, 1]), 1)
        self.assertEqual(series.median([9, 9, 1, 1], skip=2), 1)
        self.assertTrue(np.isnan(series.median([], skip=2)))

    def test_units(self):
        self.assertEqual(series.time_unit(2.0)[1], "s")
        self.assertEqual(series.time_unit(8000)[1], "minutes")
        self.assertEqual(series.time_unit(0.02)[1], "ms")
        self.assertEqual(series.bytes_text(3 << 29), "1.5 GiB")
        self.assertEqual(series.duration_text(3723), "1:02:03")
        self.assertEqual(series.duration_text(59.6), "1:00")


class Names(unittest.TestCase):
    def test_long_names_stay_apart_and_short(self):
        names = [f"sweep/{'x' * 60}-lr={i}-{'y' * 60}" for i in range(12)]
        shown = style.short_names(names)
        self.assertEqual(len(set(shown)), 12)
        self.assertLessEqual(max(map(len, shown)), style.NAME_LENGTH)
        self.assertIn("lr=7", " ".join(shown))

    def test_names_alike_in_what_is_shown_are_numbered(self):
        middle = ["a" * 30 + x + "b" * 30 for x in ("1", "2")]
        self.assertEqual(len(set(style.short_names(["q", *middle]))), 3)

    def test_short_names_stay(self):
        self.assertEqual(style.short_names(["a", "b"]), ["a", "b"])


class Errors(PlotTest):
    def setUp(self):
        super().setUp()
        self.run_folder = write_run(self.folder / "gcide")

    def test_no_run(self):
        self.refused("nowhere: no such file", "loss", self.folder / "nowhere")

    def test_not_hdf5(self):
        (self.run_folder / "metrics.h5").write_text("no")
        self.refused("not a readable HDF5 file", "loss", self.run_folder)

    def test_missing_dataset(self):
        write_run(self.run_folder, train={"iteration": made_run.ITERATION})
        self.refused("no dataset /train/loss", "loss", self.run_folder)

    def test_nothing_logged(self):
        write_run(self.run_folder, train={"iteration": [], "loss": []})
        self.refused("/train is empty; nothing has been logged yet", "loss", self.run_folder)

    def test_old_files(self):
        for command, hint in (
            (("memory",), "no /plan"),
            (("phases", "--by", "rank"), "no /ranks"),
            (("timeline",), "timeline_iters"),
        ):
            self.refused(hint, *command, self.run_folder)

    def test_commands_of_one_run(self):
        other = write_run(self.folder / "other")
        for command in ("phases", "memory", "timeline"):
            self.refused(f"{command} shows one run, not 2", command, self.run_folder, other)

    def test_places_and_kinds_of_pictures(self):
        output = ("loss", self.run_folder, "--output")
        self.refused("no such folder", *output, "/nowhere/x.png")
        self.refused("'.unknown' names no kind of picture", *output, self.folder / "x.unknown")
        self.refused("'' names no kind of picture", *output, self.folder / "x")
        self.assertEqual(list(self.folder.glob("*x*")), [])


if __name__ == "__main__":
    unittest.main()
