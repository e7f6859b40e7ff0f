#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A checkpoint of any layout, loaded at any other: each pair sees the same data and has the
losses of a run on one rank that was never stopped. And a chain of odd counts. Pairs takes each
of the eight layouts twice as what was saved and twice as what goes on; AllPairs all 64 pairs.

  layouts.py [CLASS | CLASS.test_NAME]...

"""
import shutil
import sys
import unittest
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402

DECK = {
    "num_layers": 4,
    "hidden_size": 16,
    "num_attention_heads": 2,
    "seq_length": 16,
    "pos_emb": "rotary",
    "no_weight_tying": False,  # one tensor on both ends of a pipeline
    "hidden_dropout": 0.1,
    "attention_dropout": 0.1,
    "train_batch_size": 12,
    "gradient_accumulation_steps": 2,
    "lr": 2e-3,
    "lr_decay_iters": 20,
    "warmup": 0.3,
    "weight_decay": 0.1,
    "gradient_clipping": 1.0,
    "seed": 7,
    "log_interval": 1,
    "eval_iters": 0,
}
TP2 = {"model_parallel_size": 2}
PP2 = {"pipe_parallel_size": 2}
LAYOUTS = {  # ranks, keys
    "one": (1, {}),
    "dp2": (2, {}),
    "tp2": (2, TP2),
    "pp2": (2, PP2),
    "dp3": (3, {}),
    "dp2_tp2": (4, TP2),
    "tp2_pp2_sp": (4, {**TP2, **PP2, "sequence_parallel": True}),
    "dp2_tp2_pp2_interleaved": (8, {**TP2, **PP2, "virtual_pipeline_chunks": 2}),
}
SAVED, MORE = 4, 5
TOLERANCE = 1e-5


class Layouts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = program.work_folder(f"layouts_{cls.__name__}")
        cls.tokens = program.make_tokens(cls.folder)

    def train(self, name, layout, iterations, **keys):
        """A run that ends with a checkpoint: its folder, and its output."""
        ranks, mesh = layout
        folder = self.folder / name
        deck = {**DECK, "data_path": str(self.tokens), "save": str(folder),
                "train_iters": iterations, **mesh, **keys}
        path = program.write_deck(folder / "deck.yml", deck)
        return folder, program.run_well(ranks, "train", path)

    def assert_goes_on(self, got, expected, first):
        """Rows from `first` on equal those of `expected`."""
        got, expected = program.read_metrics(got), program.read_metrics(expected)
        count = len(got["train/iteration"])
        self.assertEqual(got["train/iteration"][0], first)
        rows = slice(first - 1, first - 1 + count)
        for name in ("iteration", "samples", "tokens", "learning_rate"):
            np.testing.assert_array_equal(got[f"train/{name}"],
                                          expected[f"train/{name}"][rows], name)
        np.testing.assert_allclose(got["train/loss"], expected["train/loss"][rows],
                                   TOLERANCE, 0)
        return count


class Pairs(Layouts):
    STEPS = (1, 3)  # from the layout that saves to those that go on, around LAYOUTS

    def test_pairs(self):
        whole, _ = self.train("whole", LAYOUTS["one"], SAVED + MORE)
        names = list(LAYOUTS)
        for number, before in enumerate(names):
            saved, _ = self.train(before, LAYOUTS[before], SAVED)
            pieces = program.read_checkpoint(saved / f"global_step{SAVED}")
            views = program.read_whole(saved / f"global_step{SAVED}")
            self.assertEqual(pieces.keys(), views.keys())
            for name, array in pieces.items():
                self.assertTrue(program.equal(array, views[name]), f"{before}: {name}")
            for after in (names[(number + step) % len(names)] for step in self.STEPS):
                with self.subTest(f"{before} → {after}"):
                    got, out = self.train(f"{before}_{after}", LAYOUTS[after], SAVED + MORE,
                                          load=str(saved))
                    self.assertIn(f"global_step{SAVED} at iteration {SAVED}\n", out)
                    self.assertEqual(self.assert_goes_on(got, whole, SAVED + 1), MORE)
                    shutil.rmtree(got)


class AllPairs(Pairs):
    STEPS = range(len(LAYOUTS))


class OddCounts(Layouts):
    def test_three_two_five(self):
        batch = {"train_batch_size": 30, "gradient_accumulation_steps": 1}
        whole, _ = self.train("whole", (1, {}), 12, **batch)
        self.train("chain", (3, {}), 3, **batch)
        steps = [(2, TP2, 3), (5, {}, 6), (3, {}, 8), (2, PP2, 10)]
        for (ranks, mesh, at), until in zip(steps, [6, 8, 10, 12]):
            chain, out = self.train("chain", (ranks, mesh), until, **batch,
                                    load=str(self.folder / "chain"))
            self.assertIn(f"at iteration {at}\n", out)
        self.assertEqual(self.assert_goes_on(chain, whole, 1), 12)


if __name__ == "__main__":
    unittest.main()
