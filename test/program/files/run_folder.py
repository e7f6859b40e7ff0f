#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a run leaves in its folder and shows while it runs: log, deck, environment, the start
screen, the bar.

  run_folder.py [CLASS | CLASS.test_NAME]...

"""
import fcntl
import os
import pty
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402


DECK = {
    "num_layers": 2,
    "hidden_size": 16,
    "num_attention_heads": 2,
    "seq_length": 16,
    "pos_emb": "rotary",
    "train_batch_size": 8,
    "gradient_accumulation_steps": 2,
    "train_iters": 6,
    "lr": 2e-3,
    "lr_decay_iters": 20,
    "lr_decay_style": "cosine",
    "min_lr": 1e-4,
    "warmup": 0.1,
    "log_interval": 2,
    "eval_interval": 3,
    "eval_iters": 1,
    "split": "8, 1, 1",
}
MARK = r"---- start \d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}(, .*)? on \S+ ----"
SECONDS = 60


class Runs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = program.work_folder(f"run_folder_{cls.__name__}")
        cls.tokens = program.make_tokens(cls.folder)

    def deck(self, name, **keys):
        deck = {**DECK, "data_path": str(self.tokens), **keys}
        deck = {key: value for key, value in deck.items() if value is not None}
        return program.write_deck(self.folder / f"{name}.yml", deck)

    def train(self, name, ranks=1, code=0, variables=None, settings=(), **keys):
        """A run that saves to the folder `name` unless the keys say otherwise."""
        folder = self.folder / name
        keys = {"save": str(folder), "load": str(folder), **keys}
        done = program.run(ranks, "train", self.deck(name, **keys), *settings,
                           variables=variables)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return folder, done


def names(folder):
    return {path.name for path in folder.iterdir()}


def lines_of(path):
    return path.read_text().splitlines()


class Files(Runs):
    def test_each_is_there_and_says_what_it_should(self):
        variables = {"SLURM_JOB_ID": "4711", "SLURM_JWT": "do-not-tell", "NCCL_DEBUG": "WARN",
                     "TRIREME_API_KEY": "do-not-tell", "LOADEDMODULES": "gcc/12:openmpi/4",
                     "AWS_REGION": "do-not-tell", "OMP_PROC_BIND": "a\nb"}
        run, done = self.train("all", 2, variables=variables, launcher="slurm",
                               settings=("--set", "lr=1e-3"))
        self.assertEqual(names(run), program.RUN_FILES | {"latest", "global_step6"})
        deck = (run / "deck.yml").read_text()
        self.assertIn("The resolved deck", deck.splitlines()[0])
        for words in ("optimizer:", "lr: 0.001\n", "train_micro_batch_size_per_gpu: 2\n"):
            self.assertIn(words, deck)
        log = lines_of(run / "log.txt")
        self.assertRegex(log[0], MARK)
        self.assertIn(", Slurm job 4711", log[0])
        self.assertRegex(log[1], "^warning: .*launcher")
        self.assertEqual([x for x in log[1:] if not x.startswith("warning: ")],
                         done.stdout.splitlines())
        self.assert_environment((run / "environment.txt").read_text(), run)

    def assert_environment(self, text, run):
        for words in ("start      ", "version    0.1.0 (git ", "build      GNU", "-O",
                      "HDF5 1.", "OpenBLAS 0", "MPI", "CUDA", "GPU driver ",
                      f"command    {program.PROGRAM} train ", "--set lr=1e-3",
                      f"folder     {os.getcwd()}\n", "user       ",
                      "job        Slurm job 4711\n",
                      "modules    gcc/12:openmpi/4\n", "  SLURM_JOB_ID=4711\n",
                      "  NCCL_DEBUG=WARN\n", "  OMP_NUM_THREADS=1\n", "  OMP_PROC_BIND=a b\n",
                      f"  {socket.gethostname()}: ranks 0–1; ", "NUMA", "GiB", "; cpu\n"):
            self.assertIn(words, text)
        for words in ("do-not-tell", "  PATH=", "  HOME="):
            self.assertNotIn(words, text)
        self.assertEqual(text.count("start  "), 1, run)

    def test_a_second_start_adds_to_log_and_environment(self):
        self.train("again", train_iters=3)
        run, done = self.train("again", train_iters=6)
        log = lines_of(run / "log.txt")
        marks = [i for i, line in enumerate(log) if re.fullmatch(MARK, line)]
        self.assertEqual(len(marks), 2)
        self.assertEqual(log[marks[1] + 1:], done.stdout.splitlines())
        self.assertIn("train_iters: 6\n", (run / "deck.yml").read_text())
        self.assertEqual((run / "environment.txt").read_text().count("start  "), 2)
        # The resolved deck starts the run too, and the best loss is known from before.
        done = program.run(1, "train", run / "deck.yml", "--set", "train_iters=7")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("at iteration 6\n", done.stdout)
        self.assertRegex(done.stdout, r"done     1 iterations, 128 tokens in .*; \d+ tokens/s "
                                      r"in steps; best validation loss \d\.\d+, of iteration "
                                      r"[36]\n")

    def test_run_dir_beside_save(self):
        elsewhere = self.folder / "elsewhere" / "deep"
        save, _ = self.train("apart", run_dir=str(elsewhere))
        self.assertEqual(names(elsewhere), program.RUN_FILES)
        self.assertEqual(names(save), {"latest", "global_step6"})

    def test_run_dir_alone(self):
        run, done = self.train("alone", save=None, load=None,
                               run_dir=str(self.folder / "alone"))
        self.assertEqual(names(run), program.RUN_FILES)
        self.assertIn("save     no checkpoints are kept: the deck sets no `save`", done.stdout)
        self.assertEqual(list(program.read_metrics(run)["train/iteration"]), list(range(1, 7)))
        _, done = self.train("nothing", save=None, load=None)
        self.assertIn("save     no file is kept", done.stdout)
        self.assertFalse((self.folder / "nothing").exists())

    def test_a_deck_that_is_not_ours_stays(self):
        run = self.folder / "theirs"
        run.mkdir()
        deck = self.deck("theirs", save=str(run))
        shutil.copy(deck, run / "deck.yml")
        for _ in range(2):
            done = program.run(1, "train", run / "deck.yml", "--set", "train_iters=1",
                               "--set", f"load={run}")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("deck.resolved.yml", done.stderr)
            self.assertEqual((run / "deck.yml").read_text(), deck.read_text())
            self.assertIn("train_iters: 1\n", (run / "deck.resolved.yml").read_text())

    def test_folders_that_cannot_be_written(self):
        file = self.folder / "file"
        file.touch()
        for key, path in (("run_dir", file / "run"), ("run_dir", file), ("save", file)):
            with self.subTest(path):
                _, done = self.train("bad", code=1, **{"load": None, key: str(path)})
                self.assertIn(f"error: cannot write to the folder {path} (key {key})",
                              done.stderr)

    def test_an_error_is_the_logs_last_line(self):
        keys = {"lr": 1e30, "warmup": 0, "gradient_clipping": 0, "log_interval": 1}
        for name, ranks, cut in (("blows", 1, {}), ("blows_pp", 2, {"pipe_parallel_size": 2})):
            with self.subTest(name):
                run, done = self.train(name, ranks, code=1, **keys, **cut)
                error = re.search("trireme: error: .*not finite.*", done.stderr)[0]
                self.assertEqual(lines_of(run / "log.txt")[-1], error)

    def test_a_signal_is_in_the_log(self):
        run = self.folder / "signalled"
        deck = self.deck("signalled", save=str(run), load=str(run), train_iters=10**6,
                         log_interval=1)
        process = program.start(2, "train", deck)
        self.addCleanup(process.communicate)
        self.addCleanup(program.stop, process)
        log = run / "log.txt"
        end = time.monotonic() + SECONDS
        while not log.exists() or " 5/1000000" not in log.read_text():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.02)
        os.kill(program.ranks_of(deck)[1], signal.SIGUSR1)
        process.communicate(timeout=SECONDS)
        self.assertEqual(process.returncode, 75)
        told = log.read_text()
        for words in ("stopping at iteration", "SIGUSR1", "done     ", "stopped  after"):
            self.assertIn(words, told)


class Screen(Runs):
    def test_eight_ranks(self):
        keys = {"model_parallel_size": 2, "pipe_parallel_size": 2, "num_layers": 4}
        _, done = self.train("eight", 8, variables={"PBS_JOBID": "12.server"}, **keys)
        lines = done.stdout.splitlines()
        end = next(i for i, line in enumerate(lines) if line.startswith("start "))
        screen = lines[: end + 1]
        self.assertLessEqual(len(screen), 24)
        for line in screen[1:-1]:  # folders aside; the last names each phase that took time
            self.assertLessEqual(len(line.replace(str(self.folder), "")), 110, line)
        # All eleven phases, each below 100 seconds.
        self.assertLessEqual(len(screen[-1]), 110, screen[-1])
        self.assertRegex(screen[0], r"^Trireme 0.1.0 \(git \w+(\+changes)?\) on Open MPI "
                                    r".*, 8 ranks \| 20\d\d-.* \| PBS job 12.server$")
        text = "\n".join(screen)
        for words in (
            r"mesh     dp 2 × tp 2 × pp 2",
            r"         hosts +ranks +devices +dp +tp +pp",
            r"         \S+ +0–7 +8 × cpu, 1 thread +0–1 +0–1 +0–1\n",
            r"model    4 layers", r"batch    8 samples", r"compute  cpu",
            r"data     \d+ tokens", r"memory   MiB of a rank",
            r"\n +0 +[\d,]+( +\d+\.\d\d){7}\n +1 +[\d,]+( +\d+\.\d\d){7}\n",
            r"planned of the memory of \S+: [0-9.]+ MiB of [0-9.]+ [MG]iB for 8 ranks",
            r"schedule 1f1b: 2 micro-batches through 2 stages, which wait \d+\.\d %",
            r"rate     0.002 after 2 iterations of warmup, cosine to 0.0001 by iteration 20",
            r"run      .*/eight: metrics.h5", r"save     .*/eight: ",
        ):
            self.assertRegex(text, words)
        phases = dict(re.findall(r"(\w+) (\d+\.\d\d)(?=,|$)", screen[-1].split(": ")[1]))
        order = ["MPI", "deck", "device", "mesh", "hosts", "plan", "model", "rate", "data",
                 "load", "files"]
        self.assertEqual(list(phases), [name for name in order if name in phases])
        self.assertLessEqual({"MPI", "rate"}, set(phases))
        total = float(re.search(r"start +(\d+\.\d\d) s", screen[-1])[1])
        self.assertLessEqual(sum(map(float, phases.values())), total + 0.1)

    def test_what_does_not_fit_is_refused(self):
        """The message has both figures, and comes before memory is taken."""
        keys = {"hidden_size": 32768, "num_layers": 64, "num_attention_heads": 64}
        words = (r"this run is forecast to need [0-9.]+ GiB of the memory of \S+, but [0-9.]+ "
                 r"[MG]iB are available \(1 rank\)")
        deck = self.deck("huge", **keys)
        done = program.run(1, "train", deck, preexec_fn=lambda: limit_memory(2 << 30))
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, f"trireme: error: {words}.* add --force")
        self.assertNotIn("out of host memory", done.stderr)
        done = program.run(1, "train", deck, "--force",
                           preexec_fn=lambda: limit_memory(2 << 30))
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, f"warning: {words}")
        self.assertIn("out of host memory", done.stderr)


def limit_memory(limit):
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


class Bar(Runs):
    """A run in a terminal of so many columns, alone and under mpirun."""

    def in_terminal(self, command, columns, out=None, **variables):
        """Everything that such a terminal received."""
        leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        env = program.environment(**{"TERM": "xterm", **variables})
        with open(out or os.devnull, "w") as file:
            process = subprocess.Popen(command, env=env, stdin=follower,
                                       stdout=file if out else follower, stderr=follower,
                                       start_new_session=True)
        self.addCleanup(program.stop, process)
        os.close(follower)
        data, end = b"", time.monotonic() + SECONDS
        while time.monotonic() < end:
            if not select.select([leader], [], [], 0.1)[0]:
                continue
            try:
                piece = os.read(leader, 65536)
            except OSError:  # no process holds the other side any more
                break
            if not piece:
                break
            data += piece
        os.close(leader)
        self.assertEqual(process.wait(SECONDS), 0, data)
        return data.decode()

    @staticmethod
    def shown(text):
        """The text on the screen in the end, on a screen wide enough."""
        lines = [""]
        for piece in re.findall(r"\r\n|\r\x1b\[K|\r|\n|[^\r\n]+", text):
            if piece in ("\r\n", "\n"):
                lines.append("")
            elif piece.startswith("\r\x1b"):
                lines[-1] = ""
            elif piece != "\r":
                lines[-1] += piece
        return lines

    def deck_of(self, name):
        return self.deck(name, train_iters=400, log_interval=100, eval_interval=0,
                         hidden_size=64, num_layers=4, run_dir=str(self.folder / name))

    def check(self, name, ranks, columns):
        deck = self.deck_of(name)
        line = program.command(ranks, "train", deck) if ranks else \
            [str(program.PROGRAM), "train", str(deck)]
        text = self.in_terminal(line, columns)
        bars = [b for b in re.findall(r"\x1b\[K([^\r\n]+)", text)
                if re.match(r"(\[[#.]+\] )?iteration \d+ of 400", b)]
        self.assertGreater(len(bars), 2, text)
        for bar in bars:
            self.assertLess(len(bar), columns)
        self.assertRegex(bars[-1], r"iteration \d+ of 400 \| loss \d+\.\d+")
        if columns == 100:
            self.assertRegex(bars[-1], r"^\[#+\.*\] .* \| \d+ tokens/s \| .* left$")
        screen = self.shown(text)
        log = lines_of(self.folder / name / "log.txt")
        self.assertEqual([x for x in log[1:]],
                         [x for x in screen if x and not x.startswith("[hwloc/")])
        self.assertEqual(sum("iteration 300/400" in x for x in log), 1)

    def test_100_columns(self):
        self.check("wide", 0, 100)

    def test_40_columns(self):
        self.check("narrow", 0, 40)

    def test_under_mpirun(self):
        self.check("launched", 2, 100)

    def test_under_mpirun_in_40_columns(self):
        self.check("launched_narrow", 2, 40)

    def test_not_on_a_dumb_terminal(self):
        line = program.command(2, "train", self.deck_of("dumb"))
        text = self.in_terminal(line, 100, TERM="dumb")
        self.assertNotIn("\x1b", text)
        self.assertNotIn(" of 400 |", text)

    def test_not_in_a_file(self):
        """mpirun's ranks have a terminal as stdout in any case."""
        file = self.folder / "out.txt"
        line = program.command(2, "train", self.deck_of("filed"))
        text = self.in_terminal(line, 100, out=file)
        self.assertNotIn("\x1b", file.read_text())
        self.assertIn("iteration 300/400", file.read_text())
        self.assertRegex(text, r"iteration \d+ of 400")  # on stderr, which is the terminal
        done = program.run(2, "train", self.deck_of("piped"), variables={"TERM": "xterm"})
        self.assertNotIn("\x1b", done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
