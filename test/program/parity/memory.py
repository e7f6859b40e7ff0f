#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A limit on memory that only stage 3 of ZeRO keeps to.

  memory.py [Limit.test_NAME]...
"""
import resource
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402


DECK = {  # many like layers; small activations
    "num_layers": 48,
    "hidden_size": 256,
    "num_attention_heads": 4,
    "seq_length": 16,
    "pos_emb": "rotary",
    "no_weight_tying": False,
    "train_micro_batch_size_per_gpu": 1,
    "gradient_accumulation_steps": 1,
    "train_iters": 3,
    "eval_iters": 0,
    "precision": "bf16",
    "lr": 1e-4,
}
# Of so small a model all would be gathered ahead, and most of it stay whole.
SMALL_BUCKETS = {"stage3_param_persistence_threshold": 1000, "stage3_prefetch_bucket_size": 0}


class Limit(unittest.TestCase):
    """38 million parameters: at stage 0 684 MB of state a rank, at stage 3 on 4 ranks 171 MB.
    MPI and the libraries take some 300 MB of address space beside it."""

    LIMIT = 850 << 20  # a process's private memory, `ulimit -d`

    @classmethod
    def setUpClass(cls):
        cls.folder = program.work_folder("memory")
        cls.tokens = program.make_tokens(cls.folder)

    def train(self, stage):
        deck = {**DECK, "data_path": str(self.tokens),
                "zero_optimization": {"stage": stage, **SMALL_BUCKETS}}
        path = program.write_deck(self.folder / "deck.yml", deck)
        limit = (resource.RLIMIT_DATA, (self.LIMIT, self.LIMIT))
        return program.run(4, "train", path,
                           preexec_fn=lambda: resource.setrlimit(*limit))

    def test_stage_0_does_not_fit(self):
        done = self.train(0)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        lines = [x for x in done.stderr.splitlines() if "trireme: error: " in x]
        self.assertGreaterEqual(len(lines), 1, done.stderr)
        for line in lines:
            self.assertIn("out of host memory", line)
            self.assertIn("zero_optimization.stage", line)
        self.assertNotIn("iteration", done.stdout)

    def test_stage_3_trains(self):
        done = self.train(3)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("iteration 3/3", done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
