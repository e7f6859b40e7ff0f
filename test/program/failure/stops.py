#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""When a run saves, ends early and resumes.

  stops.py [CLASS | CLASS.test_NAME]...

"""
import contextlib
import os
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402

DECK = {
    "num_layers": 2,
    "hidden_size": 16,
    "num_attention_heads": 2,
    "seq_length": 16,
    "pos_emb": "rotary",
    "hidden_dropout": 0.1,
    "attention_dropout": 0.1,
    "train_batch_size": 8,
    "gradient_accumulation_steps": 2,
    "train_iters": 6,
    "lr": 2e-3,
    "lr_decay_iters": 20,
    "seed": 7,
    "log_interval": 3,
    "eval_iters": 0,
}
TP2 = {"model_parallel_size": 2}
MIXED = {**TP2, "pipe_parallel_size": 2}
STOPPED = 75
SECONDS = 60
ENDLESS = 1_000_000
EXACT = ["iteration", "samples", "tokens", "loss", "learning_rate", "grad_norm"]


class Runs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = program.work_folder(f"stops_{cls.__name__}")
        cls.tokens = program.make_tokens(cls.folder)

    def deck(self, name, **keys):
        """A run in the folder `name`, which resumes if the folder holds a checkpoint."""
        save = str(self.folder / name)
        deck = {**DECK, "data_path": str(self.tokens), "save": save, "load": save, **keys}
        return program.write_deck(self.folder / f"{name}.yml", deck)

    def train(self, name, ranks=1, code=0, **keys):
        done = program.run(ranks, "train", self.deck(name, **keys))
        said = done.stdout + done.stderr
        self.assertEqual(done.returncode, code, said)
        return self.folder / name, said

    def steps(self, run):
        """Iterations of the checkpoints in the folder; other files may not remain."""
        names = {p.name for p in run.iterdir()} - {"latest", *program.RUN_FILES}
        steps = sorted(int(n.removeprefix("global_step")) for n in names)
        self.assertEqual((run / "latest").read_text(), f"global_step{steps[-1]}\n")
        return steps

    def assert_same_checkpoint(self, a, b):
        a, b = program.read_checkpoint(a), program.read_checkpoint(b)
        self.assertEqual(a.keys(), b.keys())
        for name, array in a.items():
            self.assertTrue(program.equal(array, b[name]), name)

    def assert_same_run(self, got, expected):
        """Compares the whole run, bit for bit."""
        a, b = program.read_metrics(got), program.read_metrics(expected)
        for name in EXACT:
            np.testing.assert_array_equal(a[f"train/{name}"], b[f"train/{name}"], name)
        last = (expected / "latest").read_text().strip()
        self.assert_same_checkpoint(got / last, expected / last)


class Requests(Runs):
    def stopped(self, name, request, **keys):
        """A run on four ranks that is asked to end, and resumes."""
        keys = {**MIXED, "log_interval": 1, **keys}
        deck = self.deck(name, train_iters=ENDLESS, **keys)
        log = self.folder / f"{name}.log"
        with log.open("w") as file:
            process = subprocess.Popen(
                program.command(4, "train", deck), env=program.environment(),
                stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True)
        end = time.monotonic() + SECONDS
        while f" 5/{ENDLESS}" not in log.read_text():
            if process.poll() is not None or time.monotonic() > end:
                program.stop(process)
                self.fail(log.read_text()[-2000:])
            time.sleep(0.02)
        request(program.ranks_of(deck))
        try:
            code = process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            program.stop(process)
            self.fail(f"not stopped: {log.read_text()[-1000:]}")
        said = log.read_text()
        self.assertEqual(code, STOPPED, said[-3000:])
        self.assertFalse(program.ranks_of(deck))
        run = self.folder / name
        at = self.steps(run)[-1]
        self.assertIn(f"stopped  after {at} of", said)
        self.assertIn("start this command again", said)
        rows = program.read_metrics(run)["train/iteration"]
        np.testing.assert_array_equal(rows, np.arange(1, at + 1))
        _, out = self.train(name, 4, train_iters=at + 3, **keys)
        self.assertIn(f"at iteration {at}\n", out)
        whole, _ = self.train(f"{name}_whole", 4, train_iters=at + 3, **keys)
        self.assert_same_run(run, whole)
        return said

    def test_signals_to_one_rank(self):
        for rank, number in enumerate((signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM)):
            with self.subTest(number.name):
                said = self.stopped(number.name, lambda ranks, r=rank + 1, n=number: os.kill(
                    ranks[r], n))
                self.assertIn(number.name, said)

    def test_signal_while_a_save_is_under_way(self):
        """Several signals at once, to several ranks."""
        def all_at_once(ranks):
            for pid in ranks.values():
                for number in (signal.SIGUSR1, signal.SIGTERM):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, number)

        self.stopped("storm", all_at_once, checkpoint_factor=1, keep_last_n_checkpoints=2)

    def test_signal_to_the_launcher(self):
        """SIGUSR1, which batch systems send before the time limit, is passed on."""
        def to_parent(ranks):
            status = Path(f"/proc/{ranks[0]}/stat").read_text(encoding="utf-8")
            os.kill(int(status.rsplit(")", 1)[1].split()[1]), signal.SIGUSR1)

        self.stopped("launcher", to_parent)

    def test_file(self):
        said = self.stopped("file", lambda _: (self.folder / "file" / "stop").touch())
        self.assertIn("the file", said)
        self.assertFalse((self.folder / "file" / "stop").exists())

    def test_time_limit(self):
        deck = self.deck("limit", train_iters=ENDLESS, checkpoint={"time_limit_margin": 4})
        ends = time.time() + 8
        done = subprocess.run(
            program.command(2, "train", deck), capture_output=True, text=True, check=False,
            env=program.environment(TRIREME_END_TIME=str(int(ends))), timeout=SECONDS)
        took_until = time.time()
        self.assertEqual(done.returncode, STOPPED, done.stderr)
        self.assertIn("time limit", done.stdout)
        self.assertLess(took_until, ends)
        self.assertGreater(took_until, ends - 6)
        self.assertEqual(len(self.steps(self.folder / "limit")), 1)

    def test_time_limit_that_is_none(self):
        done = subprocess.run(
            [program.PROGRAM, "train", self.deck("odd")], capture_output=True, text=True,
            env=program.environment(TRIREME_END_TIME="soon"), check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("TRIREME_END_TIME", done.stderr)


class Schedule(Runs):
    def test_exit_interval(self):
        keys = {**TP2, "exit_interval": 4, "train_iters": 10}
        run, out = self.train("exit", 2, STOPPED, **keys)
        self.assertIn("stopped  after 4 of 10", out)
        self.assertEqual(self.steps(run), [4])
        run, out = self.train("exit", 2, STOPPED, **keys)
        self.assertIn("stopped  after 8 of 10", out)
        run, out = self.train("exit", 2, **keys)
        self.assertEqual(self.steps(run), [4, 8, 10])
        whole, _ = self.train("exit_whole", 2, **{**keys, "exit_interval": None})
        self.assert_same_run(run, whole)

    def test_which_are_there(self):
        for name, expected, keys in [
            ("linear", [3, 6, 7], {"checkpoint_factor": 3, "train_iters": 7}),
            ("log", [1, 2, 4, 8, 10], {"checkpoint_factor": 2, "checkpoint_scale": "log",
                                    "train_iters": 10}),
            ("extra", [0, 1, 4, 5, 6], {"extra_save_iters": [0, 1, 5], "checkpoint_factor": 4}),
            ("end", [6], {}),
            ("keep", [4, 5, 6], {"checkpoint_factor": 1, "keep_last_n_checkpoints": 3}),
            ("keep_one", [6], {"checkpoint_factor": 1, "keep_last_n_checkpoints": 1}),
            ("keep_sync", [5, 6], {"checkpoint_factor": 1, "keep_last_n_checkpoints": 2,
                                   "checkpoint": {"async": False}}),
        ]:
            with self.subTest(name):
                run, _ = self.train(name, **keys)
                self.assertEqual(self.steps(run), expected)

    def test_async_changes_nothing(self):
        keys = {**MIXED, "checkpoint_factor": 2}
        behind, out = self.train("behind", 4, **keys)
        self.assertIn("written behind training", out)
        for name, checkpoint, words in [
            ("waits", {"async": False}, "while training waits"),
            ("gathered", {"writers_per_node": 1}, "in 1 shard, written behind"),
            ("gathered_waits", {"async": False, "writers_per_node": 2}, "in 2 shards"),
        ]:
            with self.subTest(name):
                run, out = self.train(name, 4, **keys, checkpoint=checkpoint)
                self.assertIn(words, out)
                self.assert_same_run(run, behind)
                for step in (2, 4):
                    self.assert_same_checkpoint(run / f"global_step{step}",
                                                behind / f"global_step{step}")

    def test_one_writer_loads_anywhere(self):
        keys = {"checkpoint": {"writers_per_node": 1}}
        run, _ = self.train("one_writer", 4, train_iters=3, **MIXED, **keys)
        shards = sorted(p.name for p in (run / "global_step3").glob("shard-*"))
        self.assertEqual(len(shards), 1)
        whole, _ = self.train("one_writer_whole", 4, **MIXED)
        expected = program.read_metrics(whole)["train/loss"][3:]
        for name, ranks, mesh in [("alone", 1, {}), ("dp2_tp2", 4, TP2), ("mixed", 4, MIXED)]:
            with self.subTest(name):
                after, out = self.train(name, ranks, load=str(run), **mesh, **keys)
                self.assertIn("at iteration 3\n", out)
                got = program.read_metrics(after)["train/loss"]
                np.testing.assert_allclose(got, expected, 0 if name == "mixed" else 1e-5)

    def test_metrics(self):
        for name, asynchronous in (("metrics", True), ("metrics_waits", False)):
            run, out = self.train(name, 2, checkpoint_factor=2, **TP2,
                                  checkpoint={"async": asynchronous})
            columns = program.read_metrics(run)
            saves = {k.removeprefix("checkpoints/"): v for k, v in columns.items()
                     if k.startswith("checkpoints/")}
            self.assertEqual(set(saves), {"iteration", "bytes", "stall_seconds",
                                          "write_seconds", "total_seconds",
                                          "bytes_per_second"})
            np.testing.assert_array_equal(saves["iteration"], [2, 4, 6])
            arrays = program.read_checkpoint(run / "global_step6").values()
            np.testing.assert_array_equal(saves["bytes"], [sum(a.nbytes for a in arrays)] * 3)
            self.assertTrue((saves["stall_seconds"] >= 0).all())
            self.assertTrue((saves["write_seconds"] > 0).all())
            self.assertTrue((saves["total_seconds"] >= saves["write_seconds"]).all())
            np.testing.assert_allclose(saves["bytes_per_second"],
                                       saves["bytes"] / saves["write_seconds"])
            if not asynchronous:
                np.testing.assert_allclose(saves["stall_seconds"],
                                           saves["total_seconds"], 0, 0.01)
            self.assertEqual(out.count("saved    "), 3)
            self.assertIn("GB/s", out)


if __name__ == "__main__":
    unittest.main()
