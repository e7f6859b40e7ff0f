#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Saves that find no space, or a folder that may not be written any more: a small file system in
memory, which needs the right to mount it (elsewhere all is skipped, with the reason).

  full_disk.py [CLASS | CLASS.test_NAME]...
"""
import re
import subprocess
import time
import unittest

import numpy as np
import program

DECK = {
    "num_layers": 2,
    "hidden_size": 64,
    "num_attention_heads": 2,
    "seq_length": 16,
    "pos_emb": "rotary",
    "train_batch_size": 4,
    "gradient_accumulation_steps": 1,
    "checkpoint_factor": 1,
    "lr": 1e-3,
    "log_interval": 1,
    "eval_iters": 0,
}
RANKS = 2
FIRST = 2  # the checkpoint that must stay
ROOM = 16 << 20  # bytes, of several checkpoints
SECONDS = 60
ENDLESS = 1_000_000  # iterations


class SmallDisk(unittest.TestCase):
    """With one checkpoint on it, and nearly full."""

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
        self.save = self.disk / "run"
        self.ballast = self.disk / "ballast"
        program.run_well(RANKS, "train", self.deck(train_iters=FIRST))
        self.first = program.read_checkpoint(self.save / f"global_step{FIRST}")

    def deck(self, **keys):
        deck = {**DECK, "data_path": str(self.tokens), "save": str(self.save),
                "load": str(self.save), **keys}
        return program.write_deck(self.folder / f"{self._testMethodName}.yml", deck)

    def free(self):
        done = subprocess.run(["stat", "-f", "-c", "%a %S", str(self.disk)], check=True,
                              capture_output=True, text=True)
        blocks, size = map(int, done.stdout.split())
        return blocks * size

    def leave(self, room):
        """Fills the disk but for so many bytes."""
        with self.ballast.open("wb") as file:
            file.write(bytes(self.free() - room))

    def checkpoint_bytes(self):
        return sum(p.stat().st_size for p in (self.save / f"global_step{FIRST}").iterdir())

    def watch(self, process, words, path):
        """Until it has printed all the words."""
        end = time.monotonic() + SECONDS
        while not all(w in path.read_text() for w in words):
            if process.poll() is not None or time.monotonic() > end:
                program.stop(process)
                self.fail(f"{words} awaited, exit code {process.returncode}:\n"
                          f"{path.read_text()[-3000:]}")
            time.sleep(0.02)

    def start(self, **keys):
        log = self.folder / f"{self._testMethodName}.log"
        with log.open("w") as file:
            process = subprocess.Popen(
                program.command(RANKS, "train", self.deck(**keys)),
                env=program.environment(), stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                start_new_session=True)
        return process, log

    def assert_first_stands(self):
        self.assertEqual((self.save / "latest").read_text(), f"global_step{FIRST}\n")
        again = program.read_checkpoint(self.save / f"global_step{FIRST}")
        for name, array in self.first.items():
            self.assertTrue(program.equal(array, again[name]), name)

    def end(self, process, log):
        """Asks it to end, which it does with a checkpoint: the iteration."""
        (self.save / "stop").touch()
        self.assertEqual(process.wait(SECONDS), 75, log.read_text()[-3000:])
        last = int((self.save / "latest").read_text().removeprefix("global_step"))
        self.assertEqual(
            sorted(p.name for p in self.save.glob("*.tmp")), [], log.read_text()[-3000:])
        rows = program.read_metrics(self.save)["train/iteration"]
        np.testing.assert_array_equal(rows, np.arange(1, last + 1))
        return last

    def goes_on(self, free, **keys):
        """A run that meets a full disk; free() makes room, and all is well again."""
        process, log = self.start(train_iters=ENDLESS, **keys)
        self.watch(process, ["was not saved, the run goes on"], log)
        self.assert_first_stands()
        free()
        self.watch(process, ["saved    "], log)
        text = log.read_text()
        last = self.end(process, log)
        self.assertGreater(last, FIRST)
        out = program.run_well(RANKS, "train", self.deck(train_iters=last + 2))
        self.assertIn(f"at iteration {last}\n", out)
        return re.search("was not saved.*", text)[0]


class Space(SmallDisk):
    def goes_on_with(self, room):
        self.leave(room)
        return self.goes_on(self.ballast.unlink)

    def test_shards(self):
        self.assertIn("shard-", self.goes_on_with(self.checkpoint_bytes() // 2))

    def test_first_bytes(self):
        self.goes_on_with(0)

    def test_index(self):
        """Room for the shards but not for checkpoint.h5."""
        shards = (self.save / f"global_step{FIRST}").glob("shard-*.h5")
        metrics = (self.save / "metrics.h5").stat().st_size
        room = sum(4096 * (p.stat().st_size // 4096 + 1) for p in shards) + metrics + 8192
        self.goes_on_with(room)

    def test_many_rooms(self):
        """No room at all up to enough: the run never ends by it."""
        whole = self.checkpoint_bytes()
        said = set()
        for part in range(1, 12):
            self.leave(whole * part // 8)
            process, log = self.start(train_iters=FIRST + 200)
            self.watch(process, ["saved "], log)
            self.ballast.unlink()
            last = self.end(process, log)
            for words in re.findall("was not saved.*", log.read_text()):
                said.update(re.findall(r"shard-|checkpoint\.h5|latest|folder", words))
            # back to where it was
            subprocess.run(["sh", "-c", f"cd {self.save} && rm -r global_step{last}"],
                           check=True)
        print(sorted(said))

    def test_stop_when_full(self):
        self.leave(self.checkpoint_bytes() // 2)
        deck = self.deck(train_iters=ENDLESS, checkpoint={"stop_when_full": True})
        done = program.run(RANKS, "train", deck)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertRegex(done.stderr, "error: global_step3 was not saved: .*No space left")
        self.assert_first_stands()

    def test_last_save(self):
        """Nothing comes after it: the run must not end as if all were well."""
        self.leave(self.checkpoint_bytes() // 2)
        for mode in ({}, {"async": False}):
            deck = self.deck(train_iters=FIRST + 2, checkpoint_factor=None, checkpoint=mode)
            done = program.run(RANKS, "train", deck)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertRegex(done.stderr, "error: the last checkpoint was not saved: .*No space")
            self.assert_first_stands()
        self.ballast.unlink()
        out = program.run_well(RANKS, "train", deck)
        self.assertIn(f"at iteration {FIRST}\n", out)


class Names(SmallDisk):
    """Room for bytes, but not for files: fails at each file in turn."""

    inodes = 64

    def test_each_file(self):
        said = []
        for room in range(6):
            with self.subTest(room):
                fill = self.disk / "fill"
                fill.mkdir()
                count = 0
                while self.free_inodes() > room:
                    (fill / str(count)).touch()
                    count += 1
                process, log = self.start(train_iters=ENDLESS)
                self.watch(process, ["training waited", ] if room > 5 else ["not saved"], log)
                self.assert_first_stands()
                subprocess.run(["rm", "-r", str(fill)], check=True)
                self.watch(process, ["saved    "], log)
                self.end(process, log)
                said.append(re.search("was not saved.*", log.read_text())[0])
                subprocess.run(f"cd {self.save} && rm -r global_step[!{FIRST}]* && "
                               f"echo global_step{FIRST} > latest", shell=True, check=True)
        print("\n".join(said))

    def free_inodes(self):
        done = subprocess.run(["stat", "-f", "-c", "%d", str(self.disk)], check=True,
                              capture_output=True, text=True)
        return int(done.stdout)


class ReadOnly(SmallDisk):
    def test_during_the_run(self):
        process, log = self.start(train_iters=ENDLESS, keep_last_n_checkpoints=3)
        self.watch(process, ["saved    "], log)
        end = time.monotonic() + SECONDS
        while subprocess.run(["mount", "-o", "remount,ro", str(self.disk)], check=False,
                             capture_output=True).returncode:
            self.assertLess(time.monotonic(), end, "always busy")
        self.assertEqual(process.wait(SECONDS), 1, log.read_text()[-3000:])
        self.assertRegex(log.read_text(), "trireme: error: .*Read-only file system")
        subprocess.run(["mount", "-o", "remount,rw", str(self.disk)], check=True)
        last = int((self.save / "latest").read_text().removeprefix("global_step"))
        out = program.run_well(RANKS, "train", self.deck(train_iters=last + 2))
        self.assertIn(f"at iteration {last}\n", out)


if __name__ == "__main__":
    unittest.main()
