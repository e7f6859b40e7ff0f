#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ranks that stop answering: the others end the run in time and say who did not come.

  hangs.py [CLASS | CLASS.test_NAME]...

"""
import os
import re
import signal
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402
from stops import DECK, ENDLESS, SECONDS  # noqa: E402

TIMEOUT = 2.0
HUNG = 76


class Hangs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = program.work_folder("hangs")
        cls.tokens = program.make_tokens(cls.folder)

    def start(self, name, ranks, **keys):
        deck = {**DECK, "data_path": str(self.tokens), "train_iters": ENDLESS,
                "log_interval": 1, "comm_timeout": TIMEOUT, **keys}
        deck = program.write_deck(self.folder / f"{name}.yml", deck)
        process = program.start(ranks, "train", deck)
        self.addCleanup(program.stop, process)
        return process, deck

    def wait_for_step(self, process, number):
        for line in process.stdout:
            if re.match(rf"iteration +{number}/", line):
                return
        self.fail(process.stderr.read())

    def stop_rank(self, name, ranks, rank, **keys):
        """Suspends a rank of a running job; returns what the others say."""
        process, deck = self.start(name, ranks, **keys)
        self.wait_for_step(process, 5)
        stopped = program.ranks_of(deck)[rank]
        os.kill(stopped, signal.SIGSTOP)
        began = time.monotonic()
        _, said = process.communicate(timeout=SECONDS)
        self.assertEqual(process.returncode, HUNG, said)
        self.assertGreater(time.monotonic() - began, TIMEOUT)
        self.assertEqual(program.ranks_of(deck), {})
        self.assertIn(f"(comm_timeout {TIMEOUT:.0f})", said)
        return said

    def test_data_parallel(self):
        run = self.folder / "dp"
        said = self.stop_rank("dp", 2, 1, save=str(run))
        self.assertRegex(said, r"no progress for [2-9] s .*: rank 0 on \S+ waits in \w+")
        self.assertRegex(said, r"rank 0 waits; rank 1 did not come")
        cause = "rank 1 gave no sign: it is stopped, lost, or cannot write files"
        self.assertIn(cause, said)
        self.assertIn(cause, (run / "log.txt").read_text(encoding="utf-8"))
        # A rank that is killed as it wakes up may leave its note. The next start removes it.
        (run / ".waits-0123").mkdir(exist_ok=True)
        (run / ".waits-0123" / "rank-1").write_text("half")
        done = program.run(2, "train", self.folder / "dp.yml", "--set", f"load={run}",
                           "--set", "train_iters=1")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(list(run.glob(".waits*")), [])

    def test_first_rank_of_a_pipeline(self):
        """Rank 0, which usually speaks for all, is the one that is gone."""
        said = self.stop_rank("pp", 2, 0, pipe_parallel_size=2, save=str(self.folder / "pp"))
        self.assertIn("rank 1 waits; rank 0 did not come", said)
        self.assertIn("rank 0 gave no sign", said)

    def test_without_a_folder(self):
        """Each rank says what it waits for itself."""
        said = self.stop_rank("tp", 2, 1, model_parallel_size=2)
        self.assertRegex(said, r"rank 0 on \S+ waits in \w+")

    def test_slow_ranks_are_no_hang(self):
        """A rank that is away for less than the limit costs nothing."""
        process, deck = self.start("slow", 2, save=str(self.folder / "slow"))
        self.wait_for_step(process, 5)
        rank = program.ranks_of(deck)[1]
        os.kill(rank, signal.SIGSTOP)
        time.sleep(TIMEOUT * 0.6)
        os.kill(rank, signal.SIGCONT)
        self.wait_for_step(process, 10)
        self.assertIsNone(process.poll())


if __name__ == "__main__":
    unittest.main(verbosity=2)
