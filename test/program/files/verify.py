# SPDX-License-Identifier: Apache-2.0
"""`trireme verify` through the program: a layout with and without a checkpoint, two
checkpoints, and the files that it must not write.

  verify.py [Verify.test_NAME]...

"""
import json
import re
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402

DECK = {
    "num_layers": 2,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "seq_length": 32,
    "pos_emb": "rotary",
    "train_batch_size": 8,
    "train_iters": 4,
    "checkpoint_factor": 2,
    "lr": 1e-3,
    "eval_iters": 0,
    "hidden_dropout": 0.1,
}
LAYOUT = {"model_parallel_size": 2, "sequence_parallel": True,
          "zero_optimization": {"stage": 3}, "gradient_accumulation_steps": 2}
ALONE = {"model_parallel_size": 1, "sequence_parallel": False}


class Verify(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = program.work_folder("verify")
        cls.tokens = program.make_tokens(cls.folder)
        cls.trained = cls.folder / "run"
        deck = {**DECK, "data_path": str(cls.tokens), "save": str(cls.trained)}
        program.run_well(2, "train", program.write_deck(cls.folder / "train.yml", deck))

    def deck(self, name, **more):
        return program.write_deck(self.folder / f"{name}.yml", {**DECK, **LAYOUT, **more})

    def test_from_a_checkpoint(self):
        result = self.folder / "result.json"
        deck = self.deck("resumed", data_path=str(self.tokens), load=str(self.trained),
                         save=str(self.folder / "new"))
        out = program.run_well(4, "verify", deck, "--json", result)
        self.assertEqual(out.count("global_step4 at iteration 4"), 2, out)  # both runs
        self.assertIn("verdict  dp 2 × tp 2 × pp 1 computes what one rank computes", out)
        for line in ("reference  step 2 of 2: loss", "layout     step 2 of 2: loss",
                     "… and "):
            self.assertIn(line, out)
        self.assertFalse((self.folder / "new").exists(), "verify writes no run")
        got = json.loads(result.read_text(encoding="utf-8"))
        self.assertTrue(got["agrees"])
        self.assertEqual(got["mesh"], {"dp": 2, "tp": 2, "pp": 1})
        kinds = {row["kind"] for row in got["rows"]}
        self.assertEqual(kinds, {"output", "loss", "gradient", "value"})
        tensors = {row["tensor"] for row in got["rows"] if row["kind"] == "gradient"}
        self.assertIn("layers.1.attention.query_key_value.weight", tensors)
        self.assertEqual({row["step"] for row in got["rows"]}, {1, 2})
        for row in got["rows"]:
            self.assertLessEqual(row["difference"], row["bound"])

    def test_synthetic_tokens_and_every_tensor(self):
        deck = self.deck("synthetic", vocab_size=97, precision="bfloat16")
        out = program.run_well(2, "verify", deck, "--all", "--steps", 1)
        self.assertIn("data     synthetic tokens", out)
        line = r"^(\w+) +1  (\S+) +\S+ +\S+  (?:rank \d|all ranks)"
        rows = re.findall(line, out, re.MULTILINE)
        self.assertIn(("master", "embed_in.weight"), rows)
        self.assertIn(("output", "layers.0"), rows)
        self.assertEqual(out.count("verdict"), 1, out)

    def test_two_checkpoints(self):
        a, b = self.trained / "global_step2", self.trained / "global_step4"
        other = program.run(1, "verify", "--checkpoint", a, b)
        same_as = program.run(1, "inspect", a, "--diff", b)
        self.assertEqual(other.stdout, same_as.stdout)
        self.assertEqual((other.returncode, same_as.returncode), (1, 1))
        self.assertEqual(program.run(1, "verify", "--checkpoint", a, a).returncode, 0)

    def test_errors(self):
        for words, arguments in (
                ("verify needs a deck", []),
                ("missing key: data_path, train_data_paths, or (without data) vocab_size",
                 [self.deck("bare")]),
                ("--steps excludes --checkpoint", ["--checkpoint", "a", "b", "--steps", 1]),
                ("not those of Lamb: name one of the three",
                 [self.deck("lamb", vocab_size=97, optimizer={"type": "Lamb"}, **ALONE)]),
                ("cannot hold", [self.deck("odd", vocab_size=97, model_parallel_size=4)])):
            done = program.run(1, "verify", *arguments)
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertIn(words, done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
