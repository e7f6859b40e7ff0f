#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A checkpoint of any stage of ZeRO, precision and mesh, loaded at any other. Master weights
and moments are loaded exactly, and further bits are equal at all stages. Restarts at one
stage have dropout, accumulation and a loss scale that moves.

  reshard.py [CLASS | CLASS.test_NAME]...    # TRIREME_ALL=1: at every stage, not at two

"""
import os
import sys
import unittest
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402
import zero  # noqa: E402

STAGES = range(4)
SAVED, MORE = 4, 3
POWER = 8  # power of the first loss scale, which doubles every two steps
DECK = {
    **zero.BASE,
    **zero.MODELS["neox"],
    "num_layers": 3,
    "no_weight_tying": False,  # one tensor on both ends of a pipeline
    "lr_decay_iters": 20,
    "eval_iters": 0,
    "fp16": {"initial_scale_power": POWER, "loss_scale_window": 2},
}
PRECISIONS = ["fp32", "bfloat16", "fp16"]
TP2, PP2 = {"model_parallel_size": 2}, {"pipe_parallel_size": 2}
MESHES = {
    "one": (1, {}),
    "dp2": (2, {}),
    "dp2_tp2_sp": (4, {**TP2, "sequence_parallel": True}),
    "dp4": (4, {}),
    "dp2_pp2": (4, PP2),
    "tp2_pp2": (4, {**TP2, **PP2}),
    "dp2_tp2": (4, TP2),
}
EXACT = ["train/iteration", "train/samples", "train/loss", "train/learning_rate",
         "train/grad_norm", "train/loss_scale", "train/skipped"]
# A step that changes no master weight, and moments only by their decay.
STILL = {"lr": 0, "min_lr": 0, "override_lr_scheduler": True, "gradient_clipping": 1e-300,
         "train_iters": SAVED + 1}


def mesh_of(turn):
    return list(MESHES.values())[turn % len(MESHES)]


def rounded(array, precision):
    """Converts fp32 to another type and back; to the nearest, ties to even."""
    if precision == "fp16":
        return array.astype(np.float16).astype(np.float32)
    if precision == "bfloat16":
        bits = array.view(np.uint32)
        bits = bits + 0x7FFF + ((bits >> 16) & 1)
        return (bits & 0xFFFF0000).astype(np.uint32).view(np.float32)
    return array


def masters_of(arrays):
    """Arrays by name; values of full precision are their own master weights."""
    kind = "optimizer/master/"
    if not any(name.startswith(kind) for name in arrays):
        kind = "model/"
    return {n.removeprefix(kind): a for n, a in arrays.items() if n.startswith(kind)}


class Runs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = program.work_folder(f"reshard_{cls.__name__}")
        cls.tokens = program.make_tokens(cls.folder)

    def train(self, name, mesh, stage, precision, **keys):
        ranks, axes = mesh
        folder = self.folder / name
        layout = zero.LAYOUTS[stage]  # another layout for each stage: files don't depend on it
        deck = {**DECK, **axes, "data_path": str(self.tokens), "save": str(folder),
                "precision": precision, "gradient_accumulation_steps": 2,
                "zero_optimization": {**layout, "stage": stage}, **keys}
        program.run_well(ranks, "train", program.write_deck(folder / "deck.yml", deck))
        return folder


class Loads(Runs):
    written = ""
    read = PRECISIONS

    def goes_on(self, writer, saved, precision):
        """Bits are equal at two stages of one mesh, or at all stages."""
        mesh = mesh_of(writer + 2 * PRECISIONS.index(precision) + 1)
        expected = None
        first = (writer + PRECISIONS.index(precision)) % 4
        for i in STAGES if os.environ.get("TRIREME_ALL") else (0, 1 + writer % 3):
            stage = (first + i) % 4
            run = self.train(f"{precision}_{writer}_{stage}", mesh, stage, precision,
                             load=str(saved), train_iters=SAVED + MORE,
                             zero_optimization={"stage": stage, **zero.LAYOUTS[writer]})
            state = zero.state_of(run, EXACT)
            self.assertEqual(state["train/iteration"][0], SAVED + 1)
            expected = expected or state
            self.assertEqual(zero.differences(state, expected), [], f"{run}")
        return expected

    def check_state(self, writer, saved, precision):
        """What was loaded, read from a step that keeps it."""
        stage = (writer + 2 + PRECISIONS.index(precision)) % 4
        run = self.train(f"{precision}_{writer}_still", mesh_of(writer + stage + 3), stage,
                         precision, load=str(saved), **STILL)
        before = program.read_checkpoint(saved / f"global_step{SAVED}")
        after = program.read_checkpoint(run / f"global_step{SAVED + 1}")
        expected, got = masters_of(before), masters_of(after)
        self.assertEqual(expected.keys(), got.keys())
        for name, master in expected.items():
            self.assertEqual(master.dtype, np.float32)
            self.assertTrue(program.equal(got[name], master), f"{run}: {name}")
            np.testing.assert_array_equal(after[f"model/{name}"], rounded(master, precision))
            for kind, beta in (("exp_avg", 0.9), ("exp_avg_sq", 0.999)):
                moment = before[f"optimizer/{kind}/{name}"]
                self.assertTrue(moment.any(), name)
                np.testing.assert_allclose(after[f"optimizer/{kind}/{name}"], beta * moment,
                                           1e-6, 1e-37, f"{run}: {kind} {name}")

    def check_writer(self, writer):
        mesh = mesh_of(writer + PRECISIONS.index(self.written))
        saved = self.train(f"saved_{writer}", mesh, writer, self.written, train_iters=SAVED)
        whole = self.train(f"whole_{writer}", mesh, writer, self.written,
                           train_iters=SAVED + MORE)
        losses = program.read_metrics(whole)["train/loss"][SAVED:]
        for precision in self.read:
            with self.subTest(f"{self.written}, stage {writer} → {precision}"):
                state = self.goes_on(writer, saved, precision)
                exact = self.written == precision == "fp32"
                np.testing.assert_allclose(state["train/loss"], losses, 1e-5 if exact else 5e-3)
                if precision == "fp16":
                    moved = 2 if self.written == "fp16" else 0
                    self.assertEqual(state["train/loss_scale"][0], 2.0 ** (POWER + moved))
                self.check_state(writer, saved, precision)

    def test_loads(self):
        for writer in STAGES if self.written else ():
            self.check_writer(writer)


class FromFp32(Loads):
    written = "fp32"


class FromBf16(Loads):
    written = "bfloat16"


class FromFp16(Loads):
    written = "fp16"


class Few(Loads):
    """One writer and one reader: test_train has all of them, without mpirun."""

    written = "bfloat16"
    read = ["fp16"]

    def test_loads(self):
        self.check_writer(3)


class Restart(Runs):
    """The repeated command, bit for bit."""

    def check(self, stage, precision, **keys):
        turn = stage + 3 * (precision == "fp16") + 1
        keys = {**keys, "gradient_accumulation_steps": 4}
        whole, parts = (f"{name}_{precision}_{stage}" for name in ("whole", "parts"))
        whole = self.train(whole, mesh_of(turn), stage, precision, train_iters=10, **keys)
        for until in (5, 10):
            load = str(self.folder / parts)
            run = self.train(parts, mesh_of(turn), stage, precision, train_iters=until,
                             load=load, **keys)
        got, expected = (zero.state_of(r, EXACT) for r in (run, whole))
        self.assertEqual(zero.differences(got, expected), [], f"{run}")
        return got

    def test_bf16(self):
        for stage in STAGES:
            with self.subTest(stage):
                self.check(stage, "bfloat16")

    def test_fp16(self):
        """The scale goes down, up, and down again; a restart must continue this."""
        for stage in STAGES:
            with self.subTest(stage):
                scale = {"initial_scale_power": 26, "loss_scale_window": 2,
                         "hysteresis": 1 + stage % 2}
                state = self.check(stage, "fp16", fp16=scale)
                skipped = state["train/skipped"]
                self.assertTrue(skipped[:5].any(), skipped)
                self.assertFalse(skipped.all(), skipped)
                self.assertGreater(len(set(state["train/loss_scale"])), 2)


if __name__ == "__main__":
    unittest.main()
