# SPDX-License-Identifier: Apache-2.0
"""Stopping and resuming: bit for bit on one mesh, within rounding on another.

  restart.py [CLASS | CLASS.test_NAME]...

"""
import shutil
import subprocess
import sys
import time
import unittest
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402

DECK = {
    "num_layers": 4,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "seq_length": 32,
    "pos_emb": "rotary",
    "no_weight_tying": False,  # one tensor on both ends of a pipeline
    "hidden_dropout": 0.1,
    "attention_dropout": 0.1,
    "train_batch_size": 16,
    "gradient_accumulation_steps": 4,
    "train_iters": 12,
    "lr_decay_iters": 12,  # unchanged if the first run ends earlier
    "lr": 2e-3,
    "lr_decay_style": "cosine",
    "warmup": 0.75,  # iteration 6 is in the middle of it
    "weight_decay": 0.1,
    "gradient_clipping": 1.0,
    "seed": 7,
    "log_interval": 4,
    "eval_interval": 3,
    "eval_iters": 1,
    "split": "80,10,10",
}
COSINE = {"warmup": 0.25}  # iteration 6 is on the way down
WHOLE, HALF = 12, 6
# Columns that do not depend on time.
EXACT = ["iteration", "samples", "tokens", "loss", "learning_rate", "grad_norm"]

TP2_SP = {"model_parallel_size": 2, "sequence_parallel": True}
PP2 = {"pipe_parallel_size": 2}
INTERLEAVED = {**PP2, "virtual_pipeline_chunks": 2}
ALL = {"model_parallel_size": 2, "pipe_parallel_size": 2}


def columns(folder):
    """What must be equal in two runs."""
    metrics = program.read_metrics(folder)
    train = {f"train/{c}": metrics[f"train/{c}"] for c in EXACT}
    other = {k: v for k, v in metrics.items() if k.startswith("valid/")}
    return train | other


class Runs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = program.work_folder(f"restart_{cls.__name__}")
        cls.tokens = program.make_tokens(cls.folder)

    def train(self, name, ranks, *decks, threads=1):
        """A run in the folder `name`, which resumes if the folder holds a checkpoint."""
        folder = self.folder / name
        deck = {**DECK, "data_path": str(self.tokens), "save": str(folder), "load": str(folder)}
        for more in decks:
            deck.update(more)
        path = program.write_deck(folder / "deck.yml", deck)
        return folder, program.run_well(ranks, "train", path, threads=threads)

    def assert_same_arrays(self, a, b):
        a, b = program.read_checkpoint(a), program.read_checkpoint(b)
        self.assertEqual(a.keys(), b.keys())
        self.assertTrue(any(k.startswith("optimizer/") for k in a))
        for name, array in a.items():
            self.assertTrue(program.equal(array, b[name]), name)

    def assert_same_run(self, a, b, iteration=WHOLE):
        expected, got = columns(a), columns(b)
        self.assertEqual(list(expected["train/iteration"]), list(range(1, iteration + 1)))
        self.assertEqual(expected.keys(), got.keys())
        for name, values in expected.items():
            np.testing.assert_array_equal(got[name], values, name)
        self.assert_same_arrays(a / f"global_step{iteration}", b / f"global_step{iteration}")

    def check(self, name, ranks, *decks):
        whole, _ = self.train(f"{name}_whole", ranks, *decks)
        halves, _ = self.train(f"{name}_halves", ranks, *decks, {"train_iters": HALF})
        self.assertEqual((halves / "latest").read_text().strip(), f"global_step{HALF}")
        _, out = self.train(f"{name}_halves", ranks, *decks)
        self.assertIn(f"at iteration {HALF}", out)
        self.assert_same_run(whole, halves)
        return whole

    def check_twice(self, name, ranks, *decks, threads=1):
        a, out = self.train(f"{name}_a", ranks, *decks, threads=threads)
        b, _ = self.train(f"{name}_b", ranks, *decks, threads=threads)
        self.assertIn(f"{threads} thread{'s' if threads > 1 else ''} a rank", out)
        self.assert_same_run(a, b)


class OneRank(Runs):
    def test_without_accumulation(self):
        self.check("one", 1, {"gradient_accumulation_steps": 1}, COSINE)

    def test_sgd(self):
        sgd = {"optimizer": {"type": "SGD", "params": {"momentum": 0.9}}}
        self.check("sgd", 1, sgd, {"lr": 0.05})

    def test_twice_with_two_threads(self):
        self.check_twice("twice", 1, threads=2)

    def test_killed_between_two_lines_of_the_log(self):
        """A checkpoint has no steps that the metrics lack."""
        folder = self.folder / "killed"
        deck = {**DECK, "data_path": str(self.tokens), "save": str(folder),
                "train_iters": 100_000, "checkpoint_factor": 40, "log_interval": 1000,
                "eval_interval": 0}
        path = program.write_deck(folder / "deck.yml", deck)
        process = subprocess.Popen([program.PROGRAM, "train", path],
                                   env=program.environment(), stdout=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 60
            while not (folder / "latest").exists():
                self.assertLess(time.monotonic(), deadline, "no checkpoint in a minute")
                self.assertIsNone(process.poll(), "it ended by itself")
                time.sleep(0.02)
            time.sleep(0.1)  # into the next 40 steps
        finally:
            process.kill()
            process.wait()
        end = 3 + int((folder / "latest").read_text().strip().removeprefix("global_step"))
        self.train("killed", 1, {"train_iters": end, "eval_iters": 0})
        metrics = program.read_metrics(folder)
        self.assertEqual(list(metrics["train/iteration"]), list(range(1, end + 1)))

    def test_damaged_metrics_are_set_aside(self):
        folder = self.folder / "damaged"
        deck = {**DECK, "train_iters": 4}
        self.train("damaged", 1, deck)
        metrics = folder / "metrics.h5"
        half = metrics.read_bytes()[: metrics.stat().st_size // 2]
        metrics.write_bytes(half)
        self.train("damaged", 1, {**deck, "train_iters": 6})
        self.assertEqual((folder / "metrics.h5.damaged").read_bytes(), half)
        self.assertEqual(list(program.read_metrics(folder)["train/iteration"]), [5, 6])


class TwoRanks(Runs):
    def test_dp2(self):
        self.check("dp2", 2)

    def test_tp2_sequence_parallel(self):
        self.check("tp2_sp", 2, TP2_SP, COSINE)

    def test_pp2(self):
        self.check("pp2", 2, PP2)

    def test_pp2_interleaved(self):
        self.check("interleaved", 2, INTERLEAVED, COSINE)

    def test_twice(self):
        self.check_twice("twice_dp2", 2)
        self.check_twice("twice_tp2", 2, TP2_SP)

    def test_goes_back_to_an_earlier_checkpoint(self):
        """The abandoned steps' metrics disappear, and are written again."""
        folder, _ = self.train("back", 2, {"checkpoint_factor": 5})
        expected = self.folder / "back_expected"
        shutil.copytree(folder, expected)
        shutil.rmtree(folder / "global_step12")
        (folder / "latest").write_text("global_step5\n", encoding="utf-8")
        _, out = self.train("back", 2, {"checkpoint_factor": 5})
        self.assertIn("at iteration 5", out)
        self.assert_same_run(expected, folder)
        self.assertEqual(list(program.read_metrics(folder)["test/iteration"]), [12])

    def test_finished_run_does_nothing(self):
        folder, _ = self.train("finished", 2, {"train_iters": 3})

        def times():
            return {p: p.stat().st_mtime_ns for p in folder.glob("global_step3/*")}

        before = times()
        metrics = program.read_metrics(folder)
        _, out = self.train("finished", 2, {"train_iters": 3})
        self.assertIn("no work left: 3 of 3 iterations are done", out)
        self.assertEqual(times(), before)
        again = program.read_metrics(folder)
        self.assertEqual(metrics.keys(), again.keys())
        for name, values in metrics.items():
            np.testing.assert_array_equal(again[name], values, name)


class EightRanks(Runs):
    def test_dp2_tp2_pp2(self):
        self.check("all", 8, ALL, {"gradient_accumulation_steps": 2})

    def test_another_mesh(self):
        """From one rank's checkpoint to several meshes, and from one of these back."""
        one = {"gradient_accumulation_steps": 1, "checkpoint_factor": HALF}
        whole, _ = self.train("mesh_whole", 1, one)
        expected = columns(whole)
        sp = {**ALL, "sequence_parallel": True, "gradient_accumulation_steps": 2}
        half, _ = self.train("mesh_half", 1, one, {"train_iters": HALF})
        self.train("mesh_one", 8, sp, {"train_iters": HALF})
        for name, after in [
            ("mesh_dp2", (2, {})),
            ("mesh_tp2", (2, TP2_SP)),
            ("mesh_pp2", (2, INTERLEAVED)),
            ("mesh_all", (8, sp)),
            ("mesh_one", (1, one)),
        ]:
            with self.subTest(name):
                if name != "mesh_one":
                    shutil.copytree(half, self.folder / name)
                folder, out = self.train(name, *after)
                self.assertIn(f"at iteration {HALF}", out)
                got = columns(folder)
                for column in expected:
                    np.testing.assert_allclose(got[column], expected[column], 1e-6, 0, column)


if __name__ == "__main__":
    unittest.main()
