#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a run resumes from, what a deck may change when it resumes, and what is refused.

  loading.py [Loading.test_NAME]...

"""
import os
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

import h5py
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402
from stops import SECONDS, STOPPED, TP2, Runs  # noqa: E402


class Loading(Runs):
    """Resumes a checkpoint of 4 iterations on 2 ranks, on one rank."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        deck = cls.deck(cls, "base", train_iters=4, **TP2)
        program.run_well(2, "train", deck)
        cls.base = cls.folder / "base"
        # The undisturbed continuation, on one rank.
        program.run_well(1, "train", cls.deck(cls, "on", load=str(cls.base)))
        cls.on = program.read_metrics(cls.folder / "on")

    def go_on(self, name, code=0, **keys):
        keys = {"load": str(self.base), **keys}
        run, out = self.train(name, 1, code, **keys)
        return (program.read_metrics(run) if code == 0 else None), out

    def test_finetune(self):
        got, out = self.go_on("finetune", finetune=True, train_iters=2)
        self.assertIn("finetune the weights of", out)
        np.testing.assert_array_equal(got["train/iteration"], [1, 2])
        np.testing.assert_array_equal(got["train/samples"], [8, 16])
        fresh, _ = self.go_on("fresh", load=None, train_iters=2)
        self.assertNotEqual(got["train/loss"][0], fresh["train/loss"][0])
        # Finetuning may change data, seed and sequence length.
        self.go_on("finetune_other", finetune=True, train_iters=2, seed=8, seq_length=8)
        # lr 0: the weights stay as they were loaded.
        self.go_on("finetune_still", finetune=True, train_iters=1, lr=0, min_lr=0)
        a = program.read_checkpoint(self.base / "global_step4")
        b = program.read_checkpoint(self.folder / "finetune_still" / "global_step1")
        for name in (n for n in a if n.startswith("model/")):
            self.assertTrue(program.equal(a[name], b[name]), name)

    def test_the_same_command_again(self):
        """A run that began with `load` elsewhere resumes from its own checkpoints."""
        for name, first, keys in [("again", 5, {}), ("again_finetune", 1, {"finetune": True}),
                                  ("again_afresh", 5, {"no_load_optim": True}),
                                  ("again_seed", 5, {"no_load_rng": True, "seed": 8})]:
            with self.subTest(name):
                keys = {**keys, "train_iters": first + 3}
                _, out = self.go_on(name, STOPPED, exit_interval=first + 1, **keys)
                self.assertNotIn("this run began", out)
                self.assertIn("start this command again", out)
                run = self.folder / name
                _, out = self.go_on(name, exit_interval=first + 1, **keys)
                self.assertIn(f"resume   {run}/global_step{first + 1} at iteration "
                              f"{first + 1} (this run began with load: {self.base})\n", out)
                self.go_on(f"{name}_whole", **keys)
                self.assert_same_run(run, self.folder / f"{name}_whole")

    def test_a_resume_keeps_the_beginning(self):
        """A run that was once resumed with `load: save` still goes on by its first command."""
        run = self.folder / "kept"
        self.go_on("kept", train_iters=5)
        self.go_on("kept", load=str(run), train_iters=6)
        _, out = self.go_on("kept", train_iters=7)
        self.assertIn(f"at iteration 6 (this run began with load: {self.base})\n", out)
        _, out = self.go_on("kept", 1, load=str(self.folder / "fresh"), train_iters=8)
        self.assertIn(f"a run that began with load: {self.base}, but", out)

    def test_a_run_of_another_beginning(self):
        """Its checkpoints are not overwritten."""
        self.go_on("other", train_iters=5)
        other = self.folder / "other"
        whole = self.base / "global_step4"
        before = {p: p.read_bytes() for p in other.rglob("*") if p.is_file()}
        for words, keys in [("Name another save", {"finetune": True}),
                            ("Name another save", {"load": str(whole)}),
                            ("discard this run's", {"load": f"{other}/", "finetune": True}),
                            ("discard this run's", {"load": f"{other}/./global_step5",
                                                    "finetune": True})]:
            with self.subTest(**keys):
                _, out = self.go_on("other", 1, train_iters=9, **keys)
                self.assertIn(words, out)
                self.assertIn(str(other), out)
        self.assertEqual(before, {p: p.read_bytes() for p in other.rglob("*") if p.is_file()})
        _, out = self.go_on("other", load=f"{other}/", train_iters=6)
        self.assertIn("at iteration 5\n", out)
        _, out = self.go_on("other", STOPPED, load=str(other / "global_step5"), train_iters=8,
                            exit_interval=7)
        self.assertIn("at iteration 5\n", out)
        self.assertIn(f"start again with load: {other}", out)

    def test_no_load_optim(self):
        got, out = self.go_on("no_load_optim", no_load_optim=True)
        self.assertIn("with a new optimizer state", out)
        np.testing.assert_array_equal(got["train/iteration"], [5, 6])
        # The first forward comes before any step of the optimizer.
        self.assertEqual(got["train/loss"][0], self.on["train/loss"][0])
        self.assertNotEqual(got["train/loss"][1], self.on["train/loss"][1])

    def test_no_save_optim(self):
        _, _ = self.train("weights", 2, train_iters=4, no_save_optim=True, **TP2)
        arrays = program.read_checkpoint(self.folder / "weights" / "global_step4")
        self.assertFalse([n for n in arrays if n.startswith("optimizer")])
        weights = str(self.folder / "weights")
        _, out = self.go_on("weights_refused", 1, load=weights)
        self.assertIn("no optimizer state", out)
        self.assertIn("no_load_optim", out)
        got, _ = self.go_on("weights_on", load=weights, no_load_optim=True)
        self.assertEqual(got["train/loss"][0], self.on["train/loss"][0])
        got, _ = self.go_on("weights_sgd", load=weights, lr=0.05,
                            optimizer={"type": "SGD", "params": {}}, no_load_optim=True)
        self.assertEqual(got["train/loss"][0], self.on["train/loss"][0])

    def test_no_load_rng(self):
        _, out = self.go_on("other_seed", 1, seed=8)
        self.assertRegex(out, "seed 7.* 8")
        got, _ = self.go_on("no_load_rng", seed=8, no_load_rng=True)
        self.assertNotEqual(got["train/loss"][0], self.on["train/loss"][0])
        np.testing.assert_array_equal(got["train/samples"], self.on["train/samples"])

    def test_schedules(self):
        rates = self.on["train/learning_rate"]
        other = {"lr": 4e-3}
        got, out = self.go_on("schedule_warned", **other)
        self.assertIn("warning: the schedule was", out)
        np.testing.assert_allclose(got["train/learning_rate"], 2 * rates)
        got, out = self.go_on("schedule_override", **other, override_lr_scheduler=True)
        self.assertNotIn("warning", out)
        np.testing.assert_allclose(got["train/learning_rate"], 2 * rates)
        got, out = self.go_on("schedule_kept", **other, use_checkpoint_lr_scheduler=True)
        self.assertNotIn("warning", out)
        np.testing.assert_array_equal(got["train/learning_rate"], rates)
        np.testing.assert_array_equal(got["train/loss"], self.on["train/loss"])
        _, out = self.go_on("schedule_both", 1, override_lr_scheduler=True,
                            use_checkpoint_lr_scheduler=True)
        self.assertIn("override_lr_scheduler", out)

    def test_contradictions(self):
        for key, then, now, more in [
            ("hidden_size", 16, 32, {}),
            ("num_layers", 2, 3, {}),
            ("num_attention_heads", 2, 4, {}),
            ("pos_emb", "rotary", "learned", {}),
            ("norm", "layernorm", "rmsnorm", {}),
            ("activation", "gelu", "relu", {}),
            ("no_weight_tying", "false", "true", {"no_weight_tying": True}),
            ("gpt_j_residual", "false", "true", {"gpt_j_residual": True}),
            ("rotary_pct", "1", "0.5", {"rotary_pct": 0.5}),
            ("seq_length", 16, 8, {}),
            ("split", "\"969, 31, 0\"", "\"1,1,1\"", {"split": "1,1,1"}),
            ("seed", 7, 9, {}),
        ]:
            with self.subTest(key):
                _, out = self.go_on("contradiction", 1, **{key: now, **more})
                line = [w for w in out.splitlines() if "trireme: error: " in w]
                self.assertEqual(len(line), 1, out)
                for word in (f"with {key} {then}", f"is {now}", "base/global_step4"):
                    self.assertIn(word, line[0])

    def test_another_optimizer(self):
        sgd = {"type": "SGD", "params": {"momentum": 0.9}}
        _, out = self.go_on("sgd_refused", 1, optimizer=sgd)
        self.assertIn("optimizer.type", out)
        got, _ = self.go_on("sgd", optimizer=sgd, no_load_optim=True)
        self.assertEqual(got["train/loss"][0], self.on["train/loss"][0])

    def test_nothing_to_load(self):
        empty = self.folder / "empty"
        empty.mkdir()
        _, out = self.go_on("nothing", 1, load=str(empty))
        self.assertIn(str(empty), out)
        self.assertIn("no checkpoint", out)
        _, out = self.go_on("nowhere", 1, load=str(self.base / "global_step77"))
        self.assertIn("global_step77", out)
        _, out = self.go_on("itself", 1, load=str(self.folder / "itself"), finetune=True)
        self.assertIn("no checkpoint", out)
        for load in (f"{self.folder}/itself", f"{self.folder}/.//itself_too/"):
            name = Path(load).name
            got, out = self.go_on(name, load=load, train_iters=1)
            self.assertIn("no checkpoint in", out)
            np.testing.assert_array_equal(got["train/iteration"], [1])

    def damaged(self, name, **keys):
        """Checkpoints of 4 iterations, damaged so that only reading them shows it, and of 2
        iterations, from a run with other keys."""
        copy = self.folder / f"{name}_load"
        shutil.copytree(self.base, copy)
        shard = copy / "global_step4" / "shard-00000.h5"
        data = bytearray(shard.read_bytes())
        data[len(data) // 2] ^= 1
        shard.write_bytes(data)
        older, _ = self.train(f"{name}_older", 2, train_iters=2, **TP2, **keys)
        shutil.copytree(older / "global_step2", copy / "global_step2")
        return copy

    def test_what_is_taken_instead_is_checked_too(self):
        copy = self.damaged("instead")
        _, out = self.go_on("instead", load=str(copy))
        self.assertIn("instead_load/global_step2 at iteration 2\n", out)
        copy = self.damaged("instead_seed", seed=8)
        _, out = self.go_on("instead_seed", 1, load=str(copy))
        self.assertIn("global_step2 was made with seed 8, but the deck's is 7", out)
        copy = self.damaged("instead_lr", lr=1e-3)
        keys = {"load": str(copy), "use_checkpoint_lr_scheduler": True}
        _, out = self.go_on("instead_lr", 1, **keys)
        self.assertIn(f"Remove {copy}/global_step4 and start again", out)
        shutil.rmtree(copy / "global_step4")
        got, _ = self.go_on("instead_lr", **keys)
        older = program.read_metrics(self.folder / "instead_lr_older")["train/learning_rate"]
        self.assertLess(got["train/learning_rate"][-1], 1.01 * older[0])

    def test_what_the_system_denies_is_no_damage(self):
        copy = self.folder / "denied_load"
        shutil.copytree(self.base, copy)
        shutil.copytree(copy / "global_step4", copy / "global_step3")
        # Root may read every file unless it drops this capability.
        prefix = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
        for file in ("checkpoint.h5", "shard-00001.h5"):
            with self.subTest(file):
                path = copy / "global_step4" / file
                path.chmod(0)
                done = subprocess.run(
                    [*(prefix if os.geteuid() == 0 else []), program.PROGRAM, "train",
                     self.deck("denied", load=str(copy))], env=program.environment(),
                    capture_output=True, text=True, timeout=SECONDS, check=False)
                path.chmod(0o644)
                self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
                for words in (str(path), "Permission denied; that is no damage"):
                    self.assertIn(words, done.stderr)
                self.assertNotIn("instead", done.stderr)

    def test_decks_of_other_versions(self):
        """A setting that the checkpoint's deck lacks has its default."""
        for name, code, old, new in [("lacks", 0, "lr_decay_style: ", "# "),
                                     ("foreign", 1, "num_layers: ", "number_of_layers: ")]:
            copy = self.folder / f"{name}_load"
            shutil.copytree(self.base, copy)
            file = copy / "global_step4" / "checkpoint.h5"
            with h5py.File(file, "r+") as state:
                deck = state.attrs["deck"]
                self.assertIn(old, deck)
                state.attrs["deck"] = deck.replace(old, new)
            program.seal(copy / "global_step4")
            _, out = self.go_on(name, code, load=str(copy), lr=4e-3)
            words = "warning: the schedule was" if code == 0 else "was made by version"
            self.assertIn(words, out)
            self.assertIn(str(copy / "global_step4"), out)

    def test_moved_folder(self):
        moved = self.folder / "moved" / "deep"
        moved.mkdir(parents=True)
        self.base.rename(moved / "base")
        try:
            got, _ = self.go_on("after_move", load=str(moved / "base"))
            whole = program.read_whole(moved / "base" / "global_step4")
            pieces = program.read_checkpoint(moved / "base" / "global_step4")
        finally:
            (moved / "base").rename(self.base)
        np.testing.assert_array_equal(got["train/loss"], self.on["train/loss"])
        self.assertTrue(all(program.equal(pieces[n], whole[n]) for n in pieces))


if __name__ == "__main__":
    unittest.main()
