#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A folder has one owner: no start overwrites another run's files, and no two write at once.

  owners.py [CLASS | CLASS.test_NAME]...

"""
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
import unittest
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402
from stops import DECK, ENDLESS, SECONDS, STOPPED  # noqa: E402


def content(folder):
    """{path: bytes} of all files below a folder."""
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


class Folders(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = program.work_folder(f"owners_{cls.__name__}")
        cls.tokens = program.make_tokens(cls.folder)

    def deck(self, name, **keys):
        deck = {**DECK, "data_path": str(self.tokens), "save": str(self.folder / name), **keys}
        deck = {key: value for key, value in deck.items() if value is not None}
        return program.write_deck(self.folder / f"{name}.yml", deck)

    def train(self, deck, *settings, code=0, ranks=0, variables=None):
        """The program alone, or under mpirun; its whole output."""
        words = ["train", str(deck), *(w for s in settings for w in ("--set", s))]
        line = program.command(ranks, *words) if ranks else [str(program.PROGRAM), *words]
        done = subprocess.run(line, env=program.environment(**(variables or {})),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=SECONDS, check=False)
        said = done.stdout + done.stderr
        self.assertEqual(done.returncode, code, said)
        return said

    def begin(self, deck, words, ranks=2, variables=None):
        """A run that has printed these words, and its log."""
        log = deck.with_suffix(".out")
        with log.open("w") as file:
            process = subprocess.Popen(
                program.command(ranks, "train", deck), stdin=subprocess.DEVNULL, stdout=file,
                stderr=file, env=program.environment(**(variables or {})),
                start_new_session=True)
        self.addCleanup(program.stop, process)
        self.wait(process, log, words)
        return process, log

    def wait(self, process, log, words):
        end = time.monotonic() + SECONDS
        while words not in (text := log.read_text()):
            if process.poll() is not None or time.monotonic() > end:
                self.fail(f"{words} awaited, exit code {process.poll()}:\n{text[-3000:]}")
            time.sleep(0.02)

    def stop(self, process, deck, log):
        """Asks the run to save and end."""
        os.kill(program.ranks_of(deck)[0], signal.SIGUSR1)
        self.assertEqual(process.wait(SECONDS), STOPPED, log.read_text()[-3000:])


class Starts(Folders):
    def test_a_start_without_load_changes_nothing(self):
        deck = self.deck("again")
        self.train(deck, ranks=2)
        run = self.folder / "again"
        before = content(run)
        for settings in ([], ["seed=8", "train_iters=3"], ["num_layers=3"],
                         [f"save={run}/../again"]):
            with self.subTest(settings):
                said = self.train(deck, *settings, code=1)
                for words in ("holds files of another run: latest, global_step6",
                              "Set load: ", "Name another save", "overwrite: true"):
                    self.assertIn(words, said)
                self.assertEqual(content(run), before)
        said = self.train(deck, "overwrite=true", "seed=8", ranks=2)
        self.assertIn("moved    latest, global_step6, ", said)
        aside, = run.glob("before-*")
        moved = {aside / p.relative_to(run): data for p, data in before.items()}
        self.assertEqual(content(aside), moved)
        self.assertIn("\nseed: 8\n", (run / "deck.yml").read_text())
        # Both runs go on.
        self.assertIn("at iteration 6\n", self.train(deck, f"load={run}", "seed=8",
                                                     "train_iters=7"))
        away = [f"load={aside}", f"save={self.folder}/again_away", "train_iters=7"]
        self.assertIn("at iteration 6\n", self.train(deck, *away))

    def test_run_dir_and_tensorboard_alone(self):
        for key in ("run_dir", "tensorboard_dir"):
            folder = self.folder / f"alone_{key}"
            deck = self.deck(f"alone_{key}", save=None, **{key: str(folder)})
            self.train(deck)
            before = content(folder)
            said = self.train(deck, code=1)
            self.assertIn(f"{key}: {folder} holds files of another run", said)
            self.assertEqual(content(folder), before)
            self.train(deck, "overwrite=true")
            aside, = folder.glob("before-*")
            self.assertEqual(sorted(content(aside).values()), sorted(before.values()))

    def test_paths_as_the_file_system_sees_them(self):
        deck = self.deck("seen", train_iters=2)
        self.train(deck)
        run, home = self.folder / "seen", {"HOME": str(self.folder), "R": "seen"}
        (self.folder / "link").symlink_to(run)
        (self.folder / "best").symlink_to(run / "global_step2")
        for load in (f"{self.folder}/link", "~/seen/.", "$HOME/${R}"):
            said = self.train(deck, f"load={load}", "train_iters=2", variables=home)
            self.assertIn("no work left", said)
        said = self.train(deck, f"load={self.folder}/best", f"save={self.folder}/on",
                          "train_iters=3")
        self.assertIn("best at iteration 2\n", said)
        said = self.train(deck, "save=$NONE/a", code=1)
        self.assertIn("save: $NONE/a: the variable NONE is not set", said)
        said = self.train(deck, 'save="a\\0b"', code=1)
        self.assertIn("NUL", said)

    def test_odd_names_and_links(self):
        run = self.folder / "global_step5"
        deck = self.deck("global_step5", train_iters=2, load=str(run))
        self.train(deck)
        said = self.train(deck, "train_iters=4")
        self.assertIn(f"{run}/global_step2 at iteration 2\n", said)
        # A circle of links as the newest checkpoint: named, and the older one is taken.
        (run / "global_step6").symlink_to("global_step6")
        (run / "latest").write_text("global_step6\n")
        said = self.train(deck, "train_iters=6")
        self.assertIn("global_step4 at iteration 4\n", said)
        self.assertTrue((run / "global_step6" / "checkpoint.h5").is_file())
        # A link to a whole checkpoint is one.
        (run / "global_step6").rename(self.folder / "whole")
        (run / "global_step6").symlink_to(self.folder / "whole")
        said = self.train(deck, "train_iters=7")
        self.assertIn("global_step6 at iteration 6\n", said)
        done = subprocess.run([program.PROGRAM, "inspect", run], capture_output=True, text=True,
                              env=program.environment(), check=False)
        self.assertIn("iteration   7", done.stdout, done.stderr)

    def test_data_are_what_they_hold(self):
        data = self.folder / "data"
        data.mkdir()
        for name, seed in (("a", 1), ("b", 2)):
            (data / name).mkdir()
            program.make_tokens(data / name, seed=seed)
        run = self.folder / "held"
        deck = self.deck("held", load=str(run), data_path=str(data / "a" / "tokens.h5"),
                         train_iters=2, split="8, 1, 1")
        self.train(deck)
        shutil.copy(data / "a" / "tokens.h5", data / "same.h5")
        said = self.train(deck, f"data_path={data}/same.h5", "train_iters=3",
                          "split='80,10,10'")
        self.assertNotIn("warning", said)
        shutil.copy(data / "b" / "tokens.h5", data / "a" / "tokens.h5")
        said = self.train(deck, "train_iters=4")
        held = r"all: 1 file of \d+ tokens in \d+ documents, content \w{16}"
        self.assertRegex(said, f"warning: the data was {held} when the checkpoint .* and is "
                               f"{held} now")


class Jobs(Folders):
    def test_two_in_one_folder(self):
        deck = self.deck("both", train_iters=ENDLESS, checkpoint_factor=20,
                         keep_last_n_checkpoints=2, load=str(self.folder / "both"))
        run = self.folder / "both"
        process, log = self.begin(deck, "saved  ")
        owner = program.ranks_of(deck)[0]
        for ranks, keys in ((2, []), (0, []), (0, ["load=null"]),
                            (0, ["save=null", "load=null", f"run_dir={run}"])):
            said = self.train(deck, *keys, code=1, ranks=ranks)
            self.assertIn(f"{run} is in use by process {owner} on ", said)
        self.assertIsNone(process.poll())
        self.stop(process, deck, log)
        last = int((run / "latest").read_text().removeprefix("global_step"))
        rows = program.read_metrics(run)["train/iteration"]
        np.testing.assert_array_equal(rows, np.arange(1, last + 1))
        self.assertFalse(list(run.glob("trireme.lock*")))
        self.assertFalse(list(run.glob("*.tmp")))

    def test_a_job_queued_again_waits_for_its_earlier_start(self):
        job = {"SLURM_JOB_ID": "4711"}
        deck = self.deck("queued", train_iters=ENDLESS, load=str(self.folder / "queued"))
        process, log = self.begin(deck, "iteration ", variables=job)
        later = self.deck("later", save=str(self.folder / "queued"), exit_interval=1,
                          load=str(self.folder / "queued"), train_iters=ENDLESS)
        second = program.start(1, "train", later, variables=job)
        self.addCleanup(program.stop, second)
        time.sleep(4)  # longer than a process gets to die
        self.assertIsNone(second.poll())
        self.stop(process, deck, log)
        out, err = second.communicate(timeout=SECONDS)
        self.assertEqual(second.returncode, STOPPED, err)
        self.assertIn("of this job's earlier start", out)
        resumed = re.search(r"resume .* at iteration (\d+)", out)
        self.assertIsNotNone(resumed, out)
        last = int((self.folder / "queued" / "latest").read_text()
                   .removeprefix("global_step"))
        self.assertEqual(last, int(resumed[1]) + 1)  # exit_interval: 1

    def test_a_killed_owner_is_followed_at_once(self):
        deck = self.deck("killed", train_iters=ENDLESS, checkpoint_factor=5,
                         keep_last_n_checkpoints=2, load=str(self.folder / "killed"))
        process, log = self.begin(deck, "saved  ")
        for pid in program.ranks_of(deck).values():
            os.kill(pid, signal.SIGKILL)
        process.wait(SECONDS)
        self.assertTrue(list((self.folder / "killed").glob("trireme.lock.*")))
        said = self.train(deck, "exit_interval=5", code=STOPPED, ranks=2)
        self.assertIn("taken over from process", said)
        self.assertFalse(list((self.folder / "killed").glob("trireme.lock.*")))
        self.assertFalse(list((self.folder / "killed").glob("*.tmp")))

    def test_a_folder_that_goes_is_written_again(self):
        for name, away in (("moved", True), ("removed", False)):
            with self.subTest(name):
                run = self.folder / name
                deck = self.deck(name, train_iters=ENDLESS, checkpoint_factor=50,
                                 keep_last_n_checkpoints=2, load=str(run), log_interval=10,
                                 tensorboard_dir=str(run / "tb"))
                process, log = self.begin(deck, "saved  ")
                if away:
                    run.rename(self.folder / f"{name}_away")
                else:
                    for _ in range(100):  # while the run writes into it
                        shutil.rmtree(run, ignore_errors=True)
                        if not run.exists():
                            break
                end = time.monotonic() + SECONDS
                while not (run / "latest").exists():
                    self.assertIsNone(process.poll(), log.read_text()[-3000:])
                    self.assertLess(time.monotonic(), end, log.read_text()[-3000:])
                    time.sleep(0.05)
                self.stop(process, deck, log)
                last = int((run / "latest").read_text().removeprefix("global_step"))
                rows = program.read_metrics(run)["train/iteration"]
                np.testing.assert_array_equal(rows, np.arange(1, last + 1))
                self.assertIn("stopped  after", (run / "log.txt").read_text())
                self.assertTrue(list((run / "tb").iterdir()))
                self.train(deck, f"train_iters={last + 2}")


class Places(Folders):
    """Pipes, devices, folders and links in the place of files."""

    def test_links_are_not_followed(self):
        run = self.folder / "links"
        run.mkdir()
        victim = self.folder / "victim"
        victim.write_text("mine")
        for name in (".writable", "latest.tmp", "metrics.h5.tmp", "deck.yml.tmp"):
            (run / name).symlink_to(victim)
        self.train(self.deck("links", load=str(run), checkpoint_factor=2))
        self.assertEqual(victim.read_text(), "mine")
        (self.folder / "out.h5.tmp").symlink_to(victim)
        self.prepare(self.folder / "out.h5")
        self.assertEqual(victim.read_text(), "mine")

    def test_pipes_are_named_and_never_waited_for(self):
        run = self.folder / "pipes"
        deck = self.deck("pipes", load=str(run), train_iters=2)
        self.train(deck)
        pipe = self.folder / "pipe"
        os.mkfifo(pipe)
        self.assertIn(f"{pipe}: cannot open: it is a named pipe",
                      self.train(deck, f"data_path={pipe}", code=1))
        self.assertIn(f"{pipe}: cannot open: it is a named pipe", self.train(pipe, code=1))
        step = run / "global_step2"
        for place, code, words in (
                (run / "log.txt", 1, "log.txt: cannot write: it is a named pipe"),
                (run / "metrics.h5", 1, "metrics.h5: cannot write: it is a named pipe"),
                (run / "deck.yml", 1, "deck.yml: cannot write: it is a named pipe"),
                (step / "checkpoint.h5", 1, "checkpoint.h5: cannot open: it is a named pipe"),
                (step / "shard-00000.h5", 1, "00000.h5: cannot open: it is a named pipe"),
                (run / "latest", 0, "latest: not a file that can be read")):
            with self.subTest(place.name):
                kept = place.with_name("kept")
                place.rename(kept)
                os.mkfifo(place)
                self.assertIn(words, self.train(deck, code=code))
                place.unlink()
                kept.rename(place)
        self.train(deck, "train_iters=3")

    def prepare(self, output, *more, code=0):
        line = [program.PROGRAM, "prepare", "--input", self.folder / "text.txt", "--output",
                output, *more]
        done = subprocess.run(line, env=program.environment(), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=SECONDS, check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def test_prepare_replaces_nothing(self):
        out = self.folder / "new" / "deep" / "out.h5"
        self.prepare(out)
        before = out.read_bytes()
        said = self.prepare(out, code=1)
        self.assertIn(f"{out}: this file exists", said)
        self.assertIn("--overwrite", said)
        self.assertIn(f"{out}: the file that had this name is {out}.before-",
                      self.prepare(out, "--overwrite", "--document-separator", "a"))
        aside, = out.parent.glob("*before*")
        self.assertEqual(aside.read_bytes(), before)
        self.assertNotEqual(out.read_bytes(), before)
        self.assertEqual(len(list(out.parent.iterdir())), 2)
        pipe = self.folder / "out.pipe"
        os.mkfifo(pipe)
        places = [(pipe, "a named pipe"), (self.folder / "new", "a folder")]
        device = self.folder / "device"
        try:
            os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
            places.append((device, "a device"))
        except OSError:
            places.append((Path("/dev/null"), "a device"))
        for place, kind in places:
            for more in ([], ["--overwrite"]):
                said = self.prepare(place, *more, code=1)
                self.assertIn(f"{place}: cannot write: it is {kind}", said)
                self.assertFalse(place.is_file())

    def test_two_prepare_one_output(self):
        text = self.folder / "long.txt"
        text.write_text(program.make_text(2_000_000))
        out = self.folder / "one.h5"
        line = ["prepare", "--input", text, "--output", out]
        both = [program.start(2, *line), program.start(1, *line)]
        said = [p.communicate(timeout=SECONDS)[1] for p in both]
        codes = [p.returncode for p in both]
        self.assertEqual(sorted(codes), [0, 1], said)
        self.assertRegex(said[codes.index(1)], "one.h5 is in use by process|this file exists")
        self.assertEqual([p.name for p in self.folder.glob("one.h5*")], ["one.h5"])


if __name__ == "__main__":
    unittest.main()
