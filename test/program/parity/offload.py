#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The optimizer's state in files: memory falls, bits stay, and no end leaves a file.

  offload.py [Offload.test_NAME]...
"""
import re
import resource
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402

RANKS = 2
DECK = {  # 38 million parameters; small activations
    "num_layers": 48,
    "hidden_size": 256,
    "num_attention_heads": 4,
    "seq_length": 16,
    "pos_emb": "rotary",
    "no_weight_tying": False,
    "train_micro_batch_size_per_gpu": 1,
    "gradient_accumulation_steps": 1,
    "train_iters": 4,
    "lr_decay_iters": 8,
    "eval_iters": 0,
    "log_interval": 1,
    "precision": "bf16",
    "lr": 1e-4,
    "checkpoint": {"async": False},
}
MEGA = 1 << 20


class Offload(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = program.work_folder("offload")
        cls.tokens = program.make_tokens(cls.folder)
        cls.disk = cls.folder / "disk"
        cls.disk.mkdir()
        cls.plain = cls.folder / "plain"
        cls.plain_log = cls.train(cls.plain, False).stdout

    @classmethod
    def deck(cls, save, offloads, **more):
        zero = {"stage": 1}
        if offloads:
            zero["offload_optimizer"] = {"device": "nvme", "nvme_path": str(cls.disk)}
        deck = {**DECK, "data_path": str(cls.tokens), "zero_optimization": zero,
                "save": str(save), "load": str(save), **more}
        return program.write_deck(save / "my.yml", deck)

    @classmethod
    def train(cls, save, offloads, limit=None, **more):
        path = cls.deck(save, offloads, **more)
        limits = [(resource.RLIMIT_DATA, (limit, limit))] if limit else []
        done = program.run(
            RANKS, "train", path,
            preexec_fn=lambda: [resource.setrlimit(*each) for each in limits])
        if done.returncode != 0 and not limit:
            raise AssertionError(done.stdout + done.stderr)
        return done

    def assert_equal_checkpoints(self, a, b):
        shards = sorted(path.name for path in a.glob("shard-*.h5"))
        self.assertEqual(len(shards), RANKS)
        for name in shards:
            self.assertEqual((a / name).read_bytes(), (b / name).read_bytes(), name)

    def test_memory_falls_and_bits_stay(self):
        save = self.folder / "files"
        log = self.train(save, True).stdout
        self.assertRegex(log, r"offload  the optimizer's state in files of .*: 22[0-9]\.. MB a "
                              r"rank, (io_uring|threads), ")
        moved = re.search(r"offloading, each step: ([\d.]+) MB read, ([\d.]+) MB written",
                          log)
        for number in moved.groups():
            self.assertAlmostEqual(float(number), 228, delta=12)
        self.assert_equal_checkpoints(self.plain / "global_step4", save / "global_step4")
        before, after = (program.read_metrics(f) for f in (self.plain, save))
        self.assertEqual(list(before["train/loss"]), list(after["train/loss"]))
        # 228 MB of state go, and a pool of at most 32 MB comes.
        for column, least in (("ranks/peak_bytes", 150), ("ranks/arrays_peak_bytes", 180)):
            fall = (before[column] - after[column]) / MEGA
            self.assertTrue((fall > least).all(), (column, fall))
        planned = after["plan/optimizer"][0]
        self.assertLess(planned, 40 * MEGA)
        self.assertEqual(before["plan/optimizer"][0] - planned,
                         before["ranks/arrays_peak_bytes"][0]
                         - after["ranks/arrays_peak_bytes"][0])
        self.assertEqual(list(self.disk.iterdir()), [])

    def test_a_limit_that_files_alone_keep(self):
        limit = 570 * MEGA
        self.assertIn("out of host memory", self.train(
            self.folder / "limited_plain", False, limit).stderr)
        done = self.train(self.folder / "limited", True, limit)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assert_equal_checkpoints(self.plain / "global_step4",
                                      self.folder / "limited" / "global_step4")

    def test_a_kill_leaves_no_file_and_the_run_goes_on(self):
        save = self.folder / "killed"
        path = self.deck(save, True, train_iters=10000, checkpoint_factor=2)
        run = program.start(RANKS, "train", path)
        try:
            ends = time.monotonic() + 60
            while not (save / "latest").exists() and time.monotonic() < ends:
                time.sleep(0.05)
            for process in program.ranks_of(path).values():
                program.os.kill(process, program.signal.SIGKILL)
            run.communicate(timeout=60)
        finally:
            program.stop(run)
        self.assertEqual(list(self.disk.iterdir()), [])
        self.assertTrue((save / "latest").exists())
        (save / "latest").write_text("global_step2\n", encoding="utf-8")
        self.train(save, True, train_iters=4)
        self.assert_equal_checkpoints(self.plain / "global_step4", save / "global_step4")

    def test_a_folder_that_is_missing(self):
        done = program.run(RANKS, "train", self.deck(
            self.folder / "nowhere", True, zero_optimization={
                "stage": 1, "offload_optimizer": {"device": "nvme", "nvme_path": "/no/disk"}}))
        self.assertEqual(done.returncode, 1)
        self.assertIn("offload_optimizer.nvme_path: /no/disk cannot be reached", done.stderr)
        self.assertIn("No such file or directory", done.stderr)

    def test_host_memory_is_where_the_state_is(self):
        log = self.train(self.folder / "host", False, train_iters=1, zero_optimization={
            "stage": 1, "offload_optimizer": {"device": "cpu"}}).stdout
        self.assertEqual(log.count("offload_optimizer.device cpu changes nothing"), 1)


if __name__ == "__main__":
    unittest.main()
