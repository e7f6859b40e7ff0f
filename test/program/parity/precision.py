#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Half precision from outside: overflows and the loss scale, its minimum, types that are kept
and sent, and numbers that are not finite.

  precision.py [CLASS | CLASS.test_NAME]...

"""
import re
import shutil
import sys
import time
import unittest
from pathlib import Path

import h5py
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402

DECK = {
    "num_layers": 2,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "seq_length": 32,
    "pos_emb": "rotary",
    "no_weight_tying": True,
    "train_micro_batch_size_per_gpu": 1,
    "lr": 1e-3,
    "lr_decay_style": "constant",
    "warmup": 0,
    "weight_decay": 0,
    "eval_iters": 0,
    "log_interval": 100,
    "checkpoint": {"async": False},
}
CUT = {"stage3_param_persistence_threshold": 0, "reduce_bucket_size": 3000}
SECONDS = 30  # for a run that ends with an error


class Runs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = program.work_folder(f"precision_{cls.__name__}")
        cls.tokens = program.make_tokens(cls.folder)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def deck(self, name, keys):
        folder = self.folder / name
        deck = {**DECK, "data_path": str(self.tokens), "save": str(folder), **keys}
        return folder, program.write_deck(self.folder / f"{name}.yml", deck)

    def train(self, name, ranks, **keys):
        """Runs to the end: metrics, and output. A run that only skipped steps ends with 1."""
        folder, deck = self.deck(name, keys)
        done = program.run(ranks, "train", deck)
        told = done.stdout + done.stderr
        self.assertEqual(done.returncode, "gradients overflowed in every step" in told, told)
        return program.read_metrics(folder), told

    def fail_to_train(self, name, ranks, **keys):
        """A run that soon ends with an error on all ranks; returns the error line."""
        _, deck = self.deck(name, keys)
        begin = time.monotonic()
        done = program.run(ranks, "train", deck)
        self.assertLess(time.monotonic() - begin, SECONDS)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        lines = [x for x in done.stderr.splitlines() if "trireme: error: " in x]
        self.assertEqual(len(lines), 1, done.stderr)
        return lines[0]

    def assert_same_arrays(self, a, b, text):
        a, b = program.read_checkpoint(a), program.read_checkpoint(b)
        self.assertEqual(a.keys(), b.keys(), text)
        for name in a:
            self.assertTrue(program.equal(a[name], b[name]), f"{text}: {name}")


def skipped_lines(told):
    """{iteration: (tensor, micro-batch)} from the log; 0 if only a sum overflowed."""
    found = re.findall(
        r"iteration (\d+): gradients overflowed at loss scale \S+ \(first: the gradient of "
        r"(\S+), (?:micro-batch (\d+)|element .*)\); the step is skipped",
        told,
    )
    return {int(i): (name, int(m or 0)) for i, name, m in found}


class Overflow(Runs):
    """One rank finds out which samples overflow, one a step, at lr 0."""

    STILL = {"precision": "fp16", "fp32_allreduce": True, "lr": 0, "min_lr": 0}
    SAMPLES = 24

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for eighths in range(8, 17):  # from 2¹⁹, which is just too small, to 2²⁰
            cls.scale = 2.0**16 * eighths
            cls.overflows, told = cls.train_one()
            cls.lines = skipped_lines(told)
            if 4 < cls.overflows.sum() < cls.SAMPLES - 4:
                return
        raise AssertionError("no scale at which some samples overflow")

    @classmethod
    def train_one(cls):
        self = cls()
        name = f"probe{int(cls.scale)}"
        metrics, told = self.train(name, 1, **cls.STILL, train_iters=cls.SAMPLES,
                                   fp16={"loss_scale": cls.scale})
        return metrics["train/skipped"] != 0, told

    def check(self, ranks, dp, accumulation, **keys):
        """Sample m·dp + r of a step is micro-batch m of rank r."""
        batch = dp * accumulation
        metrics, told = self.train(
            "mesh", ranks, **self.STILL, train_iters=self.SAMPLES // batch,
            train_batch_size=batch, fp16={"loss_scale": self.scale * batch}, **keys
        )
        by_step = self.overflows.reshape(-1, accumulation, dp)
        np.testing.assert_array_equal(metrics["train/skipped"] != 0, by_step.any(axis=(1, 2)))
        np.testing.assert_array_equal(metrics["train/loss_scale"], self.scale * batch)
        told = skipped_lines(told)
        self.assertEqual(len(told), metrics["train/skipped"].sum())
        alone = 0
        for i, (tensor, micro_batch) in told.items():
            step = by_step[i - 1]
            self.assertEqual(micro_batch, 1 + np.flatnonzero(step.any(axis=1))[0])
            alone += step.any(axis=0).sum() == 1
            first = np.flatnonzero(step[micro_batch - 1])
            samples = (i - 1) * batch + (micro_batch - 1) * dp + first
            self.assertIn(tensor, [self.lines[s + 1][0] for s in samples])
        if dp > 1:
            self.assertGreater(alone, 0, "no step in which one rank's samples alone overflow")

    def test_one_of_two_ranks(self):
        for stage in range(4):
            with self.subTest(stage=stage):
                self.check(2, 2, 1, zero_optimization={"stage": stage, **CUT})
                shutil.rmtree(self.folder / "mesh")

    def test_micro_batches(self):
        self.check(2, 2, 3)
        shutil.rmtree(self.folder / "mesh")

    def test_one_of_four_ranks(self):
        self.check(4, 4, 1, zero_optimization={"stage": 2})
        shutil.rmtree(self.folder / "mesh")

    def test_pipeline(self):
        self.check(4, 2, 3, pipe_parallel_size=2)
        shutil.rmtree(self.folder / "mesh")

    def test_sum_that_overflows_on_its_way(self):
        """In fp16 no rank's addend overflows, but their sum does."""
        lines = []
        for power in (17, 18, 19):  # in a batch of 2: less than what overflows in backward
            _, told = self.train("sum", 2, **{**self.STILL, "fp32_allreduce": False},
                                 train_iters=4, fp16={"loss_scale": 2.0**power})
            lines += [x for x in told.splitlines() if "gradients overflowed" in x]
            shutil.rmtree(self.folder / "sum")
        self.assertGreater(len(lines), 0)
        for line in lines:
            self.assertRegex(line, r"the gradient of \S+, element \d+, summed .* in fp16")


def scales(skipped, first, window, hysteresis, consecutive=False, least=1.0):
    """DeepSpeed's DynamicLossScaler: the scale of each step."""
    scale, left, last_overflow, used = first, hysteresis, -1, []
    for i, overflow in enumerate(skipped):
        used.append(scale)
        if overflow:
            if hysteresis == 1 or left == 1:
                scale = max(scale / 2, least)
            else:
                left -= 1
            last_overflow = i
            continue
        if consecutive:
            left = hysteresis
        if (i - last_overflow) % window == 0:
            if not consecutive:
                left = hysteresis
            scale *= 2
    return used


class LossScale(Runs):
    def check(self, ranks, hysteresis, consecutive=False, **keys):
        fp16 = {"initial_scale_power": 24, "loss_scale_window": 3, "hysteresis": hysteresis,
                "consecutive_hysteresis": consecutive}
        name = f"scale_{ranks}_{hysteresis}_{consecutive}"
        metrics, told = self.train(name, ranks, precision="fp16", fp16=fp16, train_iters=40,
                                   extra_save_iters=[1, 2, 10, 20], **keys)
        skipped = metrics["train/skipped"]
        expected = scales(skipped, 2.0**24, 3, hysteresis, consecutive)
        np.testing.assert_array_equal(metrics["train/loss_scale"], expected)
        self.assertTrue(skipped[0] and skipped[1], "the first scale is too small to overflow")
        rises = sum(b > a for a, b in zip(expected, expected[1:]))
        self.assertGreaterEqual(rises, 3)
        self.assertEqual(sorted(skipped_lines(told)), list(np.flatnonzero(skipped) + 1))
        used = skipped == 0
        self.assertTrue(np.isfinite(metrics["train/loss"]).all())
        self.assertTrue(np.isfinite(metrics["train/grad_norm"][used]).all())
        self.assertLess(metrics["train/loss"][-1], metrics["train/loss"][0] - 0.2)
        for i in (1, 2, 10, 20, 40):
            with h5py.File(self.folder / name / f"global_step{i}" / "checkpoint.h5") as file:
                self.assertEqual(file.attrs["optimizer_steps"], used[:i].sum())
                now = [*expected, *scales([*skipped, 0], 2.0**24, 3, hysteresis,
                                          consecutive)[-1:]][i]
                self.assertEqual(file.attrs["loss_scale"], now)
        self.assert_same_arrays(self.folder / name / "global_step1",
                                self.folder / name / "global_step2", "a skipped step")

    def test_hysteresis_1(self):
        self.check(2, 1)

    def test_hysteresis_2(self):
        self.check(2, 2, zero_optimization={"stage": 3, **CUT})

    def test_consecutive_hysteresis(self):
        self.check(2, 2, consecutive=True, zero_optimization={"stage": 1})

    def test_pipeline_and_tensors(self):
        self.check(4, 1, pipe_parallel_size=2, model_parallel_size=2,
                   gradient_accumulation_steps=2)

    def test_bias_correction_does_not_count_skipped_steps(self):
        """AdamW's first update is ±lr wherever the gradient is well above epsilon. If the step
        had counted as about the ninth, the update would be about lr · 9 / 4."""
        fp16 = {"initial_scale_power": 24, "hysteresis": 2}
        keys = {"precision": "fp16", "fp16": fp16, "gradient_clipping": 0, "train_iters": 12,
                "extra_save_iters": list(range(1, 12)), "optimizer": {
                    "type": "AdamW", "params": {"lr": 1e-3, "eps": 1e-12}}}
        metrics, _ = self.train("bias", 2, **keys)
        first = int(np.flatnonzero(metrics["train/skipped"] == 0)[0]) + 1
        self.assertGreaterEqual(first, 4)
        name = "optimizer/master/layers.0.attention.dense.weight"
        before, after = (program.read_whole(self.folder / "bias" / f"global_step{i}")[name]
                         for i in (first - 1, first))
        np.testing.assert_allclose(np.median(np.abs(after - before)), 1e-3, rtol=1e-3)

    def test_resumed(self):
        """The scale, its clean steps and its hysteresis continue unchanged."""
        fp16 = {"initial_scale_power": 22, "loss_scale_window": 3, "hysteresis": 2}
        keys = {"precision": "fp16", "fp16": fp16, "train_iters": 20}
        whole, _ = self.train("whole", 2, **keys)
        for at in (3, 4, 9, 11):
            name = f"parts{at}"
            folder, deck = self.deck(name, {**keys, "exit_interval": at})
            self.assertEqual(program.run(2, "train", deck).returncode, 75)
            parts, _ = self.train(name, 2, **keys, load=str(folder))
            for column in ("train/loss_scale", "train/skipped", "train/loss"):
                np.testing.assert_array_equal(parts[column], whole[column], f"{column} {at}")


class MinimumScale(Runs):
    FP16 = {"initial_scale_power": 25, "min_loss_scale": 2.0**24, "hysteresis": 1}

    def check(self, ranks, **keys):
        line = self.fail_to_train(f"least_{ranks}", ranks, precision="fp16", fp16=self.FP16,
                                  train_iters=9, **keys)
        for words in ("iteration 2:", "loss scale 16777216", "fp16.min_loss_scale is 16777216",
                      "cannot be lowered", "lower lr", "(first: the gradient of ",
                      "micro-batch 1)"):
            self.assertIn(words, line)
        rows = program.read_metrics(self.folder / f"least_{ranks}")
        self.assertEqual(list(rows["train/skipped"]), [1])
        shutil.rmtree(self.folder / f"least_{ranks}")

    def test_data_parallel(self):
        for stage in (0, 3):
            self.check(2, zero_optimization={"stage": stage})

    def test_four_ranks(self):
        self.check(4, zero_optimization={"stage": 2})

    def test_pipeline(self):
        self.check(2, pipe_parallel_size=2, gradient_accumulation_steps=2)
        self.check(4, pipe_parallel_size=2, gradient_accumulation_steps=3,
                   zero_optimization={"stage": 3, **CUT})

    def test_tensors(self):
        self.check(4, model_parallel_size=2, sequence_parallel=True)

    def test_fixed_scale_skips_for_ever(self):
        line = self.fail_to_train("fixed", 2, precision="fp16", train_iters=6,
                                  fp16={"loss_scale": 2.0**24})
        self.assertIn("gradients overflowed in every step", line)
        metrics, _ = self.train("fixed_fits", 2, precision="fp16", train_iters=30,
                                fp16={"loss_scale": 1000})
        self.assertEqual(metrics["train/skipped"].sum(), 0)
        self.assertEqual(set(metrics["train/loss_scale"]), {1000.0})
        self.assertLess(metrics["train/loss"][-1], metrics["train/loss"][0] - 0.3)


MASTERS = "bf16_master_weights_and_grads"
TYPES = {  # deck; bytes of values, masters, moments; largest difference of a loss from fp32's
    "bf16": ({"precision": "bf16"}, (2, 4, 4), 0.01),
    "fp16": ({"precision": "fp16"}, (2, 4, 4), 0.01),
    "fp32_bf16_gradients": ({"data_types": {"grad_accum_dtype": "bf16"}}, (4, 0, 4), 0.01),
    "bf16_gradients": ({"precision": "bf16", "data_types": {"grad_accum_dtype": "bf16"}},
                       (2, 4, 4), 0.01),
    "sent_in_bf16": ({"communication_data_type": "bf16"}, (4, 0, 4), 0.01),
    "sent_in_fp16": ({"precision": "bf16", "communication_data_type": "fp16"}, (2, 4, 4), 0.01),
    "fp16_sent_in_fp32": ({"precision": "fp16", "communication_data_type": "fp32"}, (2, 4, 4),
                          0.01),
    "bf16_all": ({"precision": "bf16", "bf16": {MASTERS: True, "bf16_optimizer_states": True}},
                 (2, 0, 2), 0.05),
    "bf16_masters": ({"precision": "bf16", "bf16": {MASTERS: True}}, (2, 0, 4), 0.05),
    "fp16_masters": ({"precision": "fp16", "fp16": {"fp16_master_weights_and_grads": True}},
                     (2, 0, 4), 0.05),
}


def width(file, name):
    """Bytes of an element as stored; 0 where a name is a link to another tensor's values."""
    if name not in file:
        return None
    return file[name].id.get_type().get_size()


class Types(Runs):
    """Types are stored as asked, the loss falls, and no stage changes a bit."""

    KEYS = {"train_iters": 30, "gradient_accumulation_steps": 2, "weight_decay": 0.1}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.reference, _ = cls().train("fp32", 2, **cls.KEYS)

    def check(self, name):
        keys, (values, masters, moments), allowed = TYPES[name]
        for stage in range(4):
            got, _ = self.train(f"{name}{stage}", 2, **self.KEYS, **keys,
                                zero_optimization={"stage": stage, **CUT})
            folder = self.folder / f"{name}{stage}" / "global_step30"
            if stage == 0:
                first, at = got, folder
            for column in ("train/loss", "train/grad_norm", "train/loss_scale"):
                np.testing.assert_array_equal(got[column], first[column],
                                              f"{name}, stage {stage}: {column}")
            self.assert_same_arrays(at, folder, f"{name}, stage {stage}")
            with h5py.File(folder / "checkpoint.h5") as file:
                tensor = "layers.1.attention.dense.weight"
                self.assertEqual(width(file, f"model/{tensor}"), values)
                self.assertEqual(width(file, f"optimizer/master/{tensor}"), masters or values)
                for moment in ("exp_avg", "exp_avg_sq"):
                    self.assertEqual(width(file, f"optimizer/{moment}/{tensor}"), moments)
        loss, expected = first["train/loss"], self.reference["train/loss"]
        self.assertLess(loss[-1], loss[0] - 0.3)
        self.assertFalse(np.array_equal(loss, expected), "the types make no difference")
        np.testing.assert_allclose(loss, expected, rtol=allowed)


for case in TYPES:
    setattr(Types, f"test_{case}", lambda self, case=case: self.check(case))


class NotFinite(Runs):
    """Without a loss scale, the run ends and names the first tensor, at each stage equally."""

    def check(self, ranks, stages=range(4), **keys):
        for precision in ("fp32", "bf16"):
            lines = set()
            for stage in stages:
                zero = {"stage": stage, **CUT}
                lines.add(self.fail_to_train("huge", ranks, precision=precision, lr=1e30,
                                             train_iters=9, zero_optimization=zero, **keys))
                rows = program.read_metrics(self.folder / "huge")
                self.assertEqual(list(rows["train/iteration"]), [1])
                shutil.rmtree(self.folder / "huge")
            self.assertEqual(len(lines), 1, lines)
            line = lines.pop()
            self.assertIn("not finite at iteration 2; the first tensor with inf or NaN is",
                          line)
            self.assertIn("layers.0", line)

    def test_data_parallel(self):
        self.check(2)

    def test_pipeline(self):
        self.check(4, (0, 2, 3), pipe_parallel_size=2, gradient_accumulation_steps=2)

    def test_tensors(self):
        self.check(4, (1, 3), model_parallel_size=2)

    def test_recomputed(self):
        self.check(2, (0, 3), checkpoint_activations=True)


if __name__ == "__main__":
    unittest.main()
