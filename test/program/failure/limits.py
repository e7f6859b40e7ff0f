#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Limits of the shell: a limit of file sizes is a full disk, and a limit of address space that
is too small is named before any library starts.

  limits.py [CLASS | CLASS.test_NAME]...

"""
import resource
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402

DECK = {
    "num_layers": 2,
    "hidden_size": 256,
    "num_attention_heads": 2,
    "seq_length": 16,
    "pos_emb": "rotary",
    "train_batch_size": 1,
    "train_iters": 4,
    "checkpoint_factor": 2,
    "lr": 1e-3,
    "log_interval": 2,
    "eval_iters": 0,
}
MIB = 1 << 20
FILE = 8 * MIB  # MPI itself makes files of some MiB


def run(limit, size, *arguments):
    def set_limit():
        resource.setrlimit(limit, (size, size))

    return subprocess.run(
        [program.PROGRAM, *map(str, arguments)], env=program.environment(),
        preexec_fn=set_limit, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=60, check=False)


class Limits(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = program.work_folder("limits")
        cls.tokens = program.make_tokens(cls.folder)

    def test_file_size_while_a_token_file_is_written(self):
        out = self.folder / "out.h5"
        text = self.folder / "long.txt"
        text.write_text("some words and more\n" * (FILE // 20))  # two bytes a token
        done = run(resource.RLIMIT_FSIZE, FILE, "prepare", "--input", text, "--output", out)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("out.h5", done.stderr)
        self.assertIn("File too large", done.stderr)
        self.assertEqual([p.name for p in self.folder.glob("out.h5*")], [])

    def test_file_size_while_checkpoints_are_written(self):
        save = self.folder / "save"
        deck = {**DECK, "data_path": str(self.tokens), "save": str(save)}
        deck = program.write_deck(self.folder / "deck.yml", deck)
        done = run(resource.RLIMIT_FSIZE, FILE, "train", deck)
        # The run goes on without the checkpoints, and ends with the error of the last.
        self.assertIn("global_step2 was not saved, the run goes on", done.stderr)
        self.assertIn("the last checkpoint was not saved", done.stderr)
        self.assertIn("File too large", done.stderr)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(list(save.glob("global_step*")), [])

    def test_address_space(self):
        for size in (100, 200, 300):
            done = run(resource.RLIMIT_AS, size * MIB, "--version")
            if "error while loading shared libraries" in done.stderr:
                continue  # the loader itself lacks room
            self.assertEqual(done.returncode, 1)
            self.assertIn("trireme: error: the limit of address space (ulimit -v) is "
                          f"{size} MiB", done.stderr)


if __name__ == "__main__":
    unittest.main()
