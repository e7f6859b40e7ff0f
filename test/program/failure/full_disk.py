#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Saves that find no space, or a folder that may not be written any more. The disk is a small
file system in memory. Mounting it needs a right; without the right all tests are skipped,
with the reason.

  full_disk.py [CLASS | CLASS.test_NAME]...

"""
import contextlib
import itertools
import os
import re
import shutil
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
    "hidden_size": 64,
    "num_attention_heads": 2,
    "seq_length": 16,
    "pos_emb": "rotary",
    "train_batch_size": 4,
    "gradient_accumulation_steps": 1,
    "checkpoint_factor": 500,
    "extra_save_iters": [100],  # from there to 500 is enough time to fill the disk
    "lr": 1e-3,
    "lr_decay_iters": 1000,
    "log_interval": 100,
    "eval_iters": 0,
}
RANKS = 2
FIRST, LAST = 100, 1000  # the checkpoint that must stay; the end of some runs
ROOM = 16 << 20  # bytes: several checkpoints
SECONDS = 60
ENDLESS = 1_000_000  # iterations


class SmallDisk(unittest.TestCase):
    """A small file system, with a run on it that has saved once."""

    inodes = 4096

    @classmethod
    def setUpClass(cls):
        cls.folder = program.work_folder(f"full_disk_{cls.__name__}")
        cls.tokens = program.make_tokens(cls.folder)

    def setUp(self):
        self.disk = self.folder / self._testMethodName
        self.disk.mkdir()
        options = f"size={ROOM},nr_inodes={self.inodes}"
        mount = ["mount", "-t", "tmpfs", "-o", options, "trireme-test", str(self.disk)]
        try:
            subprocess.run(mount, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as e:
            reason = getattr(e, "stderr", "") or str(e)
            self.skipTest(f"no small file system can be mounted: {reason.strip()}")
        self.addCleanup(subprocess.run, ["umount", "-l", str(self.disk)], check=True)
        self.ballast = self.disk / "ballast"

    def start(self, name, **keys):
        """A run that has just saved FIRST: its folder, process and log."""
        save = self.disk / name
        deck = self.deck(save, **keys)
        log = self.folder / f"{name}.log"
        with log.open("w") as file:
            process = subprocess.Popen(
                program.command(RANKS, "train", deck), env=program.environment(),
                stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True)
        self.addCleanup(program.stop, process)
        self.watch(process, f"saved    {save}/global_step{FIRST} ", log)
        while FIRST not in program.read_metrics(save)["checkpoints/iteration"]:
            time.sleep(0.01)  # the metrics' copy takes room for a moment
        return save, process, log

    def deck(self, save, **keys):
        deck = {**DECK, "data_path": str(self.tokens), "save": str(save), "load": str(save),
                "train_iters": ENDLESS, **keys}
        return program.write_deck(self.folder / f"{save.name}.yml", deck)

    def watch(self, process, words, log):
        """Waits until the run has printed these words; returns all output."""
        end = time.monotonic() + SECONDS
        while words not in (text := log.read_text()):
            if process.poll() is not None or time.monotonic() > end:
                program.stop(process)
                self.fail(f"{words} awaited, exit code {process.returncode}:\n{text[-3000:]}")
            time.sleep(0.01)
        return text

    def fill(self, room):
        """Fills the disk until so many bytes are free."""
        with self.ballast.open("wb") as file:
            free = os.statvfs(self.disk)
            os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - room)

    def assert_loads(self, save, iteration=None):
        """The checkpoint that `latest` names is complete, and can be resumed from elsewhere."""
        latest = int((save / "latest").read_text().removeprefix("global_step"))
        self.assertEqual(latest, iteration or latest)
        self.assertGreaterEqual(latest, FIRST)
        iteration = latest
        away = self.folder / f"{save.name}_away"
        shutil.rmtree(away, ignore_errors=True)  # otherwise that run goes on
        deck = self.deck(away, load=str(save), train_iters=iteration + 1)
        done = subprocess.run([program.PROGRAM, "train", deck], env=program.environment(),
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"global_step{iteration} at iteration {iteration}\n", done.stdout)
        self.assertNotIn("instead", done.stderr)

    def end(self, save, process, log):
        """Stops the run, which saves a checkpoint; afterwards all must be in order."""
        (save / "stop").touch()
        self.assertEqual(process.wait(SECONDS), 75, log.read_text()[-3000:])
        last = int((save / "latest").read_text().removeprefix("global_step"))
        self.assertEqual([p.name for p in save.glob("*.tmp")], [])
        rows = program.read_metrics(save)["train/iteration"]
        np.testing.assert_array_equal(rows, np.arange(1, last + 1))
        self.assert_loads(save, last)

    def goes_on(self, name, fill, free, **keys):
        """A run that meets a full disk; free() makes room, and the run recovers. Returns the
        messages about the failed save."""
        save, process, log = self.start(name, **keys)
        try:
            return self.meets(save, process, log, fill, free)
        finally:
            program.stop(process)
            self.ballast.unlink(missing_ok=True)

    def meets(self, save, process, log, fill, free):
        fill()
        text = self.watch(process, "was not saved, the run goes on", log)
        self.assert_loads(save)
        self.assertIn("No space left", text)
        self.assertNotIn("HDF5-DIAG", text)
        failed = re.search(r"global_step(\d+) was not saved.*", text)
        self.assertEqual(text.count(f"global_step{failed[1]} was not saved"), 1, "told once")
        free()
        count = text.count("saved    ")
        end = time.monotonic() + SECONDS
        while log.read_text().count("saved    ") == count:
            self.assertIsNone(process.poll(), log.read_text()[-3000:])
            self.assertLess(time.monotonic(), end, "no save after there is room")
            time.sleep(0.02)
        self.end(save, process, log)
        return failed[0]


class Space(SmallDisk):
    def test_at_each_stage(self):
        """No room at all; room for half the shards; room for all shards, unless metrics come
        first."""
        size = 1_500_000
        for name, room, place in [("none", 0, "shard-"), ("some", size // 2, "shard-"),
                                  ("index", None, r"shard-|checkpoint\.h5")]:
            with self.subTest(name):
                def fill(name=name, room=room):
                    if room is None:
                        made = (self.disk / name / f"global_step{FIRST}").glob("shard-*")
                        room = sum(p.stat().st_blocks * 512 for p in made) + 4096
                    self.fill(room)

                said = self.goes_on(name, fill, self.ballast.unlink)
                self.assertRegex(said, place)
                shutil.rmtree(self.disk / name)

    def test_without_a_copy(self):
        """All ranks wait for the writer; one rank gathers."""
        self.goes_on("waits", lambda: self.fill(500_000), self.ballast.unlink,
                     checkpoint={"async": False, "writers_per_node": 1})

    def test_stop_when_full(self):
        save, process, log = self.start("stops", checkpoint={"stop_when_full": True})
        self.fill(500_000)
        self.assertEqual(process.wait(SECONDS), 1)
        self.assertRegex(log.read_text(), "error: global_step.* was not saved: .*No space left")
        self.assert_loads(save)

    def test_last_save(self):
        """No save follows this one: the run must not end as if it had succeeded."""
        for name, mode in (("last", {}), ("last_waits", {"async": False})):
            save, process, log = self.start(name, train_iters=LAST, checkpoint=mode,
                                            checkpoint_factor=None)
            self.fill(500_000)
            self.assertEqual(process.wait(SECONDS), 1)
            self.assertRegex(log.read_text(), "error: .*not saved: .*No space left")
            self.assert_loads(save)
            self.ballast.unlink()
            program.run_well(RANKS, "train", self.deck(save, train_iters=LAST))
            self.assert_loads(save, LAST)
            shutil.rmtree(save)


class Names(SmallDisk):
    """Room for bytes, but not for names of files: each file in turn fails."""

    inodes = 64

    def test_each_file(self):
        files = self.disk / "files"
        places = ["folder", "shard-", "shard-", r"checkpoint\.h5", "latest"]
        for room in range(len(places)):
            def fill(room=room):
                """Takes names until no more get free: the metrics' copy uses one briefly."""
                files.mkdir()
                numbers, full = itertools.count(), time.monotonic()
                while time.monotonic() < full + 0.2:
                    if os.statvfs(self.disk).f_favail <= room:
                        continue
                    full = time.monotonic()
                    with contextlib.suppress(OSError):  # the metrics came first
                        (files / str(next(numbers))).touch()

            with self.subTest(room):
                name = f"room{room}"
                # A slow start of this must not let checkpoints take all bytes first.
                said = self.goes_on(name, fill, lambda: shutil.rmtree(files),
                                    keep_last_n_checkpoints=3)
                # The metrics may use one of the names for a moment.
                self.assertRegex(said, "|".join(places[: room + 1]))
            shutil.rmtree(files, ignore_errors=True)
            shutil.rmtree(self.disk / name, ignore_errors=True)


class ReadOnly(SmallDisk):
    def test_during_the_run(self):
        """The disk is not full, so the error would not pass: the run ends."""
        save, process, log = self.start("read_only")
        end = time.monotonic() + SECONDS
        while subprocess.run(["mount", "-o", "remount,ro", str(self.disk)], check=False,
                             capture_output=True).returncode:
            self.assertLess(time.monotonic(), end, "always busy")
        self.assertEqual(process.wait(SECONDS), 1, log.read_text()[-3000:])
        self.assertRegex(log.read_text(),
                         "trireme: error: global_step.* was not saved.*Read-only file system")
        self.assert_loads(save)
        subprocess.run(["mount", "-o", "remount,rw", str(self.disk)], check=True)
        last = LAST
        program.run_well(RANKS, "train", self.deck(save, train_iters=last))
        self.assert_loads(save, last)


if __name__ == "__main__":
    unittest.main()
