# SPDX-License-Identifier: Apache-2.0
"""muP through the program: a base model's widths, a run of a wider model that restarts, and the
coordinate check.

  mup.py [Mup.test_NAME]...

"""
import csv
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402

DECK = {
    "num_layers": 1,
    "hidden_size": 16,
    "num_attention_heads": 2,
    "seq_length": 16,
    "train_batch_size": 4,
    "train_iters": 2,
    "lr": 1e-2,
    "eval_iters": 0,
    "use_mup": True,
}


class Mup(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = program.work_folder("mup")
        cls.tokens = program.make_tokens(cls.folder)
        cls.widths = cls.folder / "base" / "widths.yml"
        deck = {**DECK, "base_shapes_file": str(cls.widths), "data_path": str(cls.tokens)}
        base = program.write_deck(cls.folder / "base.yml", {**deck, "save_base_shapes": True})
        cls.written = program.run_well(2, "train", base)
        cls.deck = {**deck, "hidden_size": 32, "model_parallel_size": 2}

    def test_a_wider_model_trains_and_restarts(self):
        self.assertIn("written  the widths of this model", self.written)
        self.assertIn("hidden_size: 16", self.widths.read_text(encoding="utf-8"))
        run = self.folder / "run"
        deck = program.write_deck(self.folder / "wide.yml",
                                  {**self.deck, "save": str(run), "load": str(run)})
        program.run_well(2, "train", deck)
        self.assertIn("  hidden_size: 16\n", (run / "deck.yml").read_text(encoding="utf-8"))
        self.assertIn("resume   ", program.run_well(2, "train", deck, "--set", "train_iters=3"))

    def test_coordinates(self):
        run = self.folder / "check"
        deck = program.write_deck(self.folder / "check.yml", {**self.deck, "run_dir": str(run)})
        out = program.run_well(2, "train", deck, "--set", "coord_check=true")
        self.assertIn("verdict  muP: ", out)
        self.assertEqual({f.name for f in run.iterdir()}, {"coord_check.csv"})
        with (run / "coord_check.csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual({row["hidden_size"] for row in rows}, {"16", "32", "64", "128"})
        self.assertEqual({row["unit"] for row in rows},
                         {"embed_in", "layers.0", "final_layer_norm", "logits"})
        self.assertEqual(len(rows), 2 * 4 * 5 * 4)


if __name__ == "__main__":
    unittest.main(verbosity=2)
