#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Memory with ZeRO's stages, half precision and activation checkpointing. Forecasts of a large
model and runs of a small one are compared with the formulas. Only stage 3 stays within a
memory limit.

The formulas are (w+g+s)Ψ, (w+g)Ψ + sΨ/N, wΨ + (g+s)Ψ/N and (w+g+s)Ψ/N at stages 0 to 3, for Ψ
parameters on N ranks. A value has w bytes and a gradient g. Optimizer state has s: master
weights and moments.

  memory.py [CLASS | CLASS.test_NAME]...      MeasuredOnEight is for a larger machine

"""
import itertools
import json
import resource
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402


LARGE = {  # 1.3 billion parameters
    "num_layers": 24,
    "hidden_size": 2048,
    "num_attention_heads": 16,
    "seq_length": 2048,
    "vocab_size": 50257,
    "pos_emb": "rotary",
    "no_weight_tying": False,
    "train_micro_batch_size_per_gpu": 1,
    "gradient_accumulation_steps": 2,
    "train_iters": 1,
    "lr": 1e-4,
}
DEEP = {  # 9.5 million parameters in many equal layers; small activations
    **LARGE,
    "num_layers": 48,
    "hidden_size": 128,
    "num_attention_heads": 4,
    "seq_length": 16,
    "vocab_size": 128,
}
# In so small a model all would be gathered ahead, and most parameters would stay whole.
SMALL_BUCKETS = {"stage3_param_persistence_threshold": 1000, "stage3_prefetch_bucket_size": 0}
TYPES = {  # w, g, s and the keys
    "bf16": (2, 4, 12, {"precision": "bf16"}),
    "bf16_gradients": (2, 2, 12, {"precision": "bf16",
                                  "data_types": {"grad_accum_dtype": "bf16"}}),
    "fp16": (2, 4, 12, {"precision": "fp16"}),
    "fp32": (4, 4, 8, {}),
    "fp32_bf16_gradients": (4, 2, 8, {"data_types": {"grad_accum_dtype": "bf16"}}),
}
TOLERANCE = 0.05


def formula(types, stage, ranks):
    """Bytes a parameter."""
    w, g, s, _ = types
    return [w + g + s, w + g + s / ranks, w + (g + s) / ranks, (w + g + s) / ranks][stage]


class Memory(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = program.work_folder(f"memory_{cls.__name__}")

    def plan(self, ranks, deck):
        path = program.write_deck(self.folder / "deck.yml", deck)
        figures = self.folder / "plan.json"
        program.run_well(1, "plan", path, "--ranks", ranks, "--json", figures)
        plan = json.loads(figures.read_text())
        self.assertEqual(len(plan["stages"]), 1)
        return plan["parameters"], plan["stages"][0]

    def measure(self, ranks, deck):
        """The device's peak on the rank with the largest peak."""
        path = program.write_deck(self.folder / "deck.yml", deck)
        figures = self.folder / "bench.json"
        program.run_well(ranks, "bench", path, "--steps", 2, "--json", figures)
        return max(json.loads(figures.read_text())["device_peak_bytes"])


def state(stage):
    return stage["values_bytes"] + stage["gradients_bytes"] + stage["optimizer_bytes"]


class Plans(Memory):
    def check(self, name, ranks, stage, least_stage, **zero):
        """The state follows the formula; for stage 1 it may be as small as in stage 2."""
        keys = {**TYPES[name][3], "zero_optimization": {"stage": stage, **zero}}
        parameters, planned = self.plan(ranks, {**LARGE, **keys})
        self.assertGreater(parameters, 1.2e9)
        each = state(planned) / parameters
        text = f"{name}, stage {stage}, {ranks} ranks: {each:.3f} bytes a parameter"
        self.assertLessEqual(each, formula(TYPES[name], stage, ranks) * (1 + TOLERANCE), text)
        least = formula(TYPES[name], least_stage, ranks)
        self.assertGreaterEqual(each, least * (1 - TOLERANCE), text)

    def test_stages(self):
        for name, ranks, stage in itertools.product(TYPES, (1, 2, 4, 8, 64), range(4)):
            self.check(name, ranks, stage, 2 if stage == 1 else stage)

    def test_reduced_once(self):
        """Gradients stay whole until the step's end, as in stage 1's formula."""
        for name, ranks, stage in itertools.product(TYPES, (1, 2, 4, 8), (0, 1)):
            self.check(name, ranks, stage, stage, reduce_once_per_step=True)

    def test_recomputation(self):
        """Layers keep only their inputs; with `selective`, all but the activations of
        attention."""
        full = {"checkpoint_activations": True}
        attention = {**full, "recompute_granularity": "selective"}
        for precision in ("fp32", "bf16"):
            deck = {**LARGE, "precision": precision, "attention_dropout": 0.1}
            none, some, most = (self.plan(2, {**deck, **keys})[1]["activations_bytes"]
                                for keys in ({}, attention, full))
            self.assertLess(some, 0.9 * none)
            self.assertLess(most, 0.75 * some)


class Measured(Memory):
    RANKS = (1, 2, 4)

    def check(self, name, stage, ranks, **zero):
        """Memory beside the state: tapes, and what few layers need, whatever Ψ and N."""
        zero = {"stage": stage, **SMALL_BUCKETS, **zero}
        deck = {**DEEP, **TYPES[name][3], "zero_optimization": zero}
        parameters, planned = self.plan(ranks, deck)
        peak = self.measure(ranks, deck)
        text = f"{name}, stage {stage}, {ranks} ranks: {peak} bytes"
        print(f"{text}, {peak / parameters:.3f} a parameter", flush=True)
        self.assertEqual(peak, planned["device_peak_bytes"], text)
        layers = 5 * 4 * parameters / DEEP["num_layers"]  # gradients, values and messages
        most = formula(TYPES[name], stage, ranks) * parameters
        self.assertLess(peak, (1 + TOLERANCE) * most + planned["tapes_bytes"] + layers, text)

    def test_bf16(self):
        for ranks, stage in itertools.product(self.RANKS, range(4)):
            self.check("bf16", stage, ranks)

    def test_bf16_gradients(self):
        for ranks, stage in itertools.product(self.RANKS, range(4)):
            self.check("bf16_gradients", stage, ranks)

    def test_fp32(self):
        for ranks, stage in itertools.product(self.RANKS, range(4)):
            self.check("fp32", stage, ranks)

    def test_reduced_once(self):
        for ranks, stage in itertools.product(self.RANKS, (0, 1)):
            self.check("bf16", stage, ranks, reduce_once_per_step=True)

    def test_recomputation(self):
        full = {"checkpoint_activations": True}
        attention = {**full, "recompute_granularity": "selective"}
        deck = {**DEEP, "seq_length": 128, "attention_dropout": 0.1}
        none, some, most = (self.measure(1, {**deck, **keys}) for keys in ({}, attention, full))
        print(f"peaks {none}, attention recomputed {some}, layers recomputed {most}")
        self.assertLess(some, none)
        self.assertLess(most, some)


class MeasuredOnEight(Measured):
    RANKS = (8,)


class Limit(Memory):
    """38 million parameters: 684 MB of state a rank at stage 0, 171 MB at stage 3 on 4 ranks.
    MPI and the libraries take some 300 MB of address space besides."""

    LIMIT = 850 << 20  # a process's private memory, `ulimit -d`
    KEYS = {"hidden_size": 256, "train_iters": 3, "eval_iters": 0, "precision": "bf16",
            "lr": 1e-4, "gradient_accumulation_steps": 1, "vocab_size": None}

    def train(self, stage):
        deck = {**DEEP, **self.KEYS, "data_path": str(program.make_tokens(self.folder)),
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
