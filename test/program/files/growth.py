#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What changes while a run trains, from the command line: a growing batch, growing sequences,
the gradient noise scale, and the moving average of the weights.

  growth.py [CLASS | CLASS.test_NAME]...

"""
import json
import sys
import unittest
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402
from stops import STOPPED, Runs  # noqa: E402

RAMP = {"train_batch_size": 8, "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": None, "rampup_batch_size": [2, 2, 12]}
CURRICULUM = {"curriculum_learning": {
    "enabled": True, "curriculum_type": "seqlen", "min_difficulty": 4, "max_difficulty": 16,
    "schedule_type": "fixed_linear",
    "schedule_config": {"total_curriculum_step": 5, "difficulty_step": 4}}}


class Growth(Runs):
    def test_batch_and_sequences(self):
        keys = {**RAMP, **CURRICULUM, "lr_decay_iters": None, "log_interval": 1}
        run, said = self.train("stopped", 2, STOPPED, exit_interval=3, **keys)
        self.assertIn("grows from 2 by 2 until 12 samples are consumed", said)
        self.assertIn("batch    4 of 8 samples from iteration 3 on", said)
        self.assertIn("| batch 2 | length 8 |", said)
        self.train("stopped", 2, exit_interval=3, **keys)
        whole, _ = self.train("whole", 2, **keys)
        self.assert_same_run(run, whole)
        metrics = program.read_metrics(run)
        batch, length = metrics["train/batch"], metrics["train/sequence_length"]
        np.testing.assert_array_equal(batch, [2, 2, 4, 6, 8, 8])
        np.testing.assert_array_equal(length, [4, 8, 8, 12, 16, 16])
        np.testing.assert_array_equal(metrics["train/samples"], np.cumsum(batch))
        np.testing.assert_array_equal(metrics["train/tokens"], np.cumsum(batch * length))
        for column, planned in (("batch", batch), ("sequence_length", length),
                                ("learning_rate", metrics["train/learning_rate"])):
            np.testing.assert_array_equal(metrics[f"schedule/{column}"], planned, column)

    def test_noise_scale(self):
        keys = {"log_gradient_noise_scale": True, "gradient_noise_scale_n_batches": 2}
        run, said = self.train("noise", 2, **keys)
        scale = program.read_metrics(run)["train/noise_scale"]
        np.testing.assert_array_equal(np.isfinite(scale), [False, True] * 3)
        self.assertIn("| noise scale ", said)
        plain, _ = self.train("plain", 2)
        self.assert_same_checkpoint(run / "global_step6", plain / "global_step6")
        self.assertNotIn("train/noise_scale", program.read_metrics(plain))

    def test_moving_average(self):
        run, _ = self.train("average", ema={"enable": True, "decay": 0.5}, precision="bfloat16")
        saved = program.read_checkpoint(run / "global_step6")
        averaged, imported = (self.folder / n for n in ("averaged", "imported"))
        said = program.run_well(1, "convert", run, averaged, "--ema", "--dtype", "float32")
        self.assertIn("the moving average of its weights", said)
        program.run_well(1, "convert", averaged, imported)
        names = 0
        for name, array in program.read_checkpoint(imported / "global_step0").items():
            if not name.startswith("model/"):
                continue
            names += 1
            average = saved["optimizer/ema/" + name.removeprefix("model/")]
            self.assertTrue(np.array_equal(array, average), name)
            self.assertFalse(np.array_equal(array, saved[name]), name)
        self.assertGreater(names, 10)
        found = self.folder / "found.json"
        losses = []
        for words in ((run, "--ema"), (imported, "--set", "precision=bfloat16"), (run,)):
            program.run_well(1, "eval", *words, "--data", self.tokens, "--json", found)
            losses.append(json.loads(found.read_text())["data"][0]["loss"])
        self.assertEqual(losses[0], losses[1])
        self.assertNotEqual(losses[0], losses[2])
        plain, _ = self.train("no_average")
        done = program.run(1, "convert", plain, self.folder / "x", "--ema")
        self.assertEqual(done.returncode, 1)
        self.assertIn("holds no moving average of the weights", done.stderr)


if __name__ == "__main__":
    unittest.main()
