#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a resume says and keeps, and what never replaces a good checkpoint.

  resumes.py [CLASS | CLASS.test_NAME]...

"""
import sys
import unittest
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402
from stops import Runs  # noqa: E402


class BadValues(Runs):
    def test_a_blow_up_leaves_the_good_checkpoints(self):
        keys = {"precision": "fp16", "checkpoint_factor": 5, "keep_last_n_checkpoints": 2,
                "fp16": {"initial_scale_power": 8}, "log_interval": 1, "warmup": 0,
                "lr_decay_style": "constant", "override_lr_scheduler": True}
        run, _ = self.train("blow_up", 2, train_iters=20, **keys)
        self.assertEqual(self.steps(run), [15, 20])
        _, said = self.train("blow_up", 2, code=1, train_iters=40, **{**keys, "lr": 1e30})
        self.assertEqual(self.steps(run), [15, 20])
        self.assertIn("the loss is not finite at iteration 22", said)
        self.assertIn(f"the last good checkpoint is {run}/global_step20", said)
        _, said = self.train("blow_up", 2, train_iters=25, **keys)
        self.assertIn("at iteration 20\n", said)
        self.assertEqual(self.steps(run), [20, 25])

    def test_a_bad_state_is_not_saved(self):
        keys = {"precision": "fp16", "checkpoint_factor": 1, "keep_last_n_checkpoints": 1,
                "fp16": {"initial_scale_power": 8}, "override_lr_scheduler": True}
        run, _ = self.train("bad_state", train_iters=2, **keys)
        _, said = self.train("bad_state", code=1, train_iters=4, **{**keys, "lr": 1e30})
        self.assertIn("the state after iteration 3 is not finite, and is not saved: model/",
                      said)
        self.assertIn(f"the last good checkpoint is {run}/global_step2", said)
        self.assertEqual(self.steps(run), [2])

    def test_a_scale_that_skips_every_step_is_an_error(self):
        _, said = self.train("skips", code=1, precision="fp16", fp16={"loss_scale": 1e38})
        self.assertIn("gradients overflowed in every step", said)
        self.assertFalse((self.folder / "skips" / "latest").exists())


class Changes(Runs):
    def test_a_resume_names_what_changed(self):
        run, _ = self.train("changes", 2, train_iters=2, weight_decay=0.1)
        _, said = self.train("changes", 1, train_iters=3, weight_decay=0.2)
        self.assertIn("since global_step2: ", said)
        self.assertIn("weight_decay 0.1 → 0.2, ", said)
        self.assertIn("2 → 1 ranks", said)
        _, said = self.train("changes", 1, train_iters=3, weight_decay=0.2)
        self.assertNotIn("since ", said)

    def test_the_batch_stays_on_other_ranks(self):
        keys = {"train_batch_size": None, "gradient_accumulation_steps": None,
                "train_micro_batch_size_per_gpu": 2, "log_interval": 1}
        run, _ = self.train("batch", 2, train_iters=3, **keys)
        _, said = self.train("batch", 1, train_iters=6, **keys)
        self.assertIn("gradient_accumulation_steps 1 → 2", said)
        whole, _ = self.train("batch_whole", 2, train_iters=6, **keys)
        got, expected = program.read_metrics(run), program.read_metrics(whole)
        for name in ("samples", "learning_rate"):
            np.testing.assert_array_equal(got[f"train/{name}"], expected[f"train/{name}"])
        np.testing.assert_allclose(got["train/loss"], expected["train/loss"], 1e-5)
        _, said = self.train("batch", 3, code=1, train_iters=9, **keys)
        self.assertIn("Set train_batch_size: 4 to keep the run's", said)
        self.assertIn("or train_batch_size: 6 to change it", said)

    def test_compression_begins_and_ends(self):
        signs = {"optimizer": {"type": "OneBitAdam", "params": {"freeze_step": 2}}}
        plain = {"optimizer": {"type": "AdamW"}}
        _, said = self.train("signs", 2, train_iters=4, **signs)
        self.assertIn("each step from iteration 3 on: ", said)
        _, said = self.train("signs", 4, train_iters=6, **signs)
        self.assertIn("each step from iteration 5 on: ", said)
        _, said = self.train("signs", 2, train_iters=8, **plain)
        self.assertNotIn("bytes of signs", said)
        _, said = self.train("signs", 2, train_iters=9, **signs)
        self.assertIn("each step from iteration 9 on: ", said)
        _, said = self.train("signs", 2, code=1, train_iters=10,
                             optimizer={"type": "Lamb"})
        self.assertIn("was made with another optimizer.type", said)

    def test_local_steps_begin_and_end(self):
        local = {"optimizer": {"type": "ZeroOneAdam",
                               "params": {"var_freeze_step": 2, "local_step_scaler": 1,
                                          "local_step_clipper": 2}}}
        _, said = self.train("local", 2, train_iters=4, **local)
        self.assertIn("each step that averages signs from iteration 3 on: ", said)
        _, said = self.train("local", 4, train_iters=6, **local)
        self.assertIn("that averages signs from iteration 6 on: ", said)
        _, said = self.train("local", 2, train_iters=8, optimizer={"type": "AdamW"})
        self.assertNotIn("averages signs", said)
        _, said = self.train("local", 2, code=1, train_iters=9, **local)
        self.assertIn("was made with another optimizer.type", said)


if __name__ == "__main__":
    unittest.main()
