#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Signals to one process and to mpirun, at times at which much could be lost.

  signals.py [CLASS | CLASS.test_NAME]...

"""
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402
from stops import ENDLESS, SECONDS, STOPPED, Runs  # noqa: E402


class Signals(Runs):
    """Signals to one process, and to mpirun, at times at which much could be lost."""

    # A step of a second or more.
    LONG = {"num_layers": 8, "hidden_size": 64, "seq_length": 64, "train_batch_size": 128,
            "gradient_accumulation_steps": 128, "log_interval": 1}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        longer = cls.folder / "longer"
        longer.mkdir()
        cls.tokens = program.make_tokens(longer, 400_000)

    def start(self, name, ranks=0, variables=None, **keys):
        """Starts the program, without mpirun for 0 ranks; output goes to NAME.out."""
        deck = self.deck(name, **keys)
        command = program.command(max(ranks, 1), "train", deck)
        if ranks == 0:
            command = command[len(program.MPIRUN) + 2:]
        out = self.folder / f"{name}.out"
        with out.open("w", encoding="utf-8") as file:
            process = subprocess.Popen(
                command, env=program.environment(**(variables or {})),
                stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True)
        self.addCleanup(program.stop, process)
        return process, out

    def wait_for(self, process, file, words):
        end = time.monotonic() + SECONDS
        while not file.exists() or words not in file.read_text(encoding="utf-8"):
            if process.poll() is not None or time.monotonic() > end:
                self.fail(f"no '{words}': {file.read_text(encoding='utf-8')[-2000:]}")
            time.sleep(0.02)

    def last_line(self, name):
        return (self.folder / name / "log.txt").read_text(encoding="utf-8").splitlines()[-1]

    def test_one_process_saves(self):
        """What Ctrl-C, a lost terminal and a limit of processor time send."""
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGXCPU):
            with self.subTest(number.name):
                name = f"one_{number.name}"
                process, out = self.start(name, train_iters=ENDLESS, log_interval=1)
                self.wait_for(process, out, f" 5/{ENDLESS}")
                process.send_signal(number)
                self.assertEqual(process.wait(SECONDS), STOPPED)
                said = out.read_text(encoding="utf-8")
                self.assertIn(f"trireme: {number.name}: saving after this step; a second "
                              "Ctrl-C ends now\n", said)
                at = self.steps(self.folder / name)[-1]
                self.assertIn(f"stopped  after {at} of", said)
                self.assertIn("stopped  after", self.last_line(name))

    def test_two_interrupts_end_at_once(self):
        process, out = self.start("twice", train_iters=2, **self.LONG)
        self.wait_for(process, out, "start    ")
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        self.wait_for(process, out, "SIGINT: saving")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(5), -signal.SIGINT)
        self.assertEqual(self.last_line("twice"), "trireme: second SIGINT: ended at once; the "
                         "last checkpoint is as it was")

    def test_step_under_way_is_given_up(self):
        """The step would outlast the grace: the state before the step is saved, and the
        resumed run equals an undisturbed one."""
        keys = {"pipe_parallel_size": 2, **self.LONG, "stop_grace": 0.01}
        whole, _ = self.train("given_up_whole", 2, train_iters=2, **keys)
        # mpirun's own two seconds are too short for a save on a busy machine.
        waits = {"OMPI_MCA_odls_base_sigkill_timeout": "8"}
        process, out = self.start("given_up", 2, waits, train_iters=2, **keys)
        self.wait_for(process, out, "iteration 1/2")
        process.send_signal(signal.SIGTERM)
        process.wait(SECONDS)
        said = out.read_text(encoding="utf-8")
        self.assertIn("the launcher was asked to end or lost a rank: saving", said)
        self.assertIn("iteration 2 is given up", said)
        self.assertEqual(self.steps(self.folder / "given_up"), [1])
        self.assertIn("stopped  after 1 of 2", self.last_line("given_up"))
        run, out = self.train("given_up", 2, train_iters=2, **keys)
        self.assertIn("at iteration 1\n", out)
        self.assert_same_run(run, whole)

    @unittest.skipUnless(program.PROGRAM.name == "trireme_emulated", "needs the emulated GPU")
    def test_step_on_a_gpu_is_given_up(self):
        """A GPU's host queues passes ahead, but at most two of a step so long."""
        keys = {**self.LONG, "train_batch_size": 160, "gradient_accumulation_steps": 160,
                "seq_length": 16, "hidden_size": 32, "device": "cuda", "stop_grace": 0.01}
        process, out = self.start("gpu", train_iters=3, **keys)
        self.wait_for(process, out, "iteration 1/3")
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        self.assertEqual(process.wait(SECONDS), STOPPED)
        print(f"ended after {time.monotonic() - began:.1f} s")
        said = out.read_text(encoding="utf-8")
        self.assertIn("iteration 2 is given up", said)
        self.assertEqual(self.steps(self.folder / "gpu"), [1])

    def test_closed_pipe(self):
        deck = self.deck("pipe", train_iters=ENDLESS, log_interval=1)
        command = program.command(1, "train", deck)[len(program.MPIRUN) + 2:]
        with subprocess.Popen(command, env=program.environment(), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True) as process:
            self.addCleanup(program.stop, process)
            for line in process.stdout:
                if f" 5/{ENDLESS}" in line:
                    break
            process.stdout.close()
            self.assertEqual(process.wait(SECONDS), STOPPED)
        log = (self.folder / "pipe" / "log.txt").read_text(encoding="utf-8")
        self.assertIn("a closed pipe", log)
        self.assertIn("stopped  after", log.splitlines()[-1])
        self.steps(self.folder / "pipe")

    def test_evaluation_is_cut_off_and_made_up_for(self):
        keys = {"eval_interval": 2, "eval_iters": 100_000, "train_iters": 4, "log_interval": 1,
                "split": "8,1,1"}
        process, out = self.start("evaluation", **keys)
        self.wait_for(process, out, "iteration 1/4")
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(SECONDS), STOPPED)
        run = self.folder / "evaluation"
        self.assertEqual(self.steps(run), [2])
        self.assertEqual(len(program.read_metrics(run)["valid/iteration"]), 0)
        _, said = self.train("evaluation", **{**keys, "eval_iters": 2})
        rows = program.read_metrics(run)
        np.testing.assert_array_equal(rows["valid/iteration"], [2, 4])
        np.testing.assert_array_equal(rows["test/iteration"], [4])
        self.assertIn("eval_iters 100000 → 2", said)

    def test_final_evaluation_is_made_up_for(self):
        keys = {"eval_iters": 100_000, "train_iters": 2, "log_interval": 1, "split": "8,1,1"}
        process, out = self.start("final", **keys)
        self.wait_for(process, out, "saved    ")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(SECONDS), STOPPED)
        run = self.folder / "final"
        self.assertEqual(len(program.read_metrics(run)["test/iteration"]), 0)
        keys["eval_iters"] = 2
        _, said = self.train("final", **keys)
        self.assertIn("no work left: 2 of 2 iterations are done", said)
        self.assertRegex(said, "test +2/2")
        _, said = self.train("final", **keys)
        self.assertNotIn("test  ", said)
        np.testing.assert_array_equal(program.read_metrics(run)["test/iteration"], [2])

    def test_without_iterations_a_run_evaluates(self):
        run, said = self.train("no_steps", train_iters=0, eval_iters=2, split="8,1,1")
        self.assertRegex(said, "valid +0/0")
        rows = program.read_metrics(run)
        self.assertEqual(len(rows["valid/loss"]), 1)
        self.assertEqual(len(rows["test/loss"]), 1)

    def test_long_first_step_shows_its_progress(self):
        # More than the five seconds until the first line.
        process, out = self.start("progress", train_iters=1, **{
            **self.LONG, "train_batch_size": 4096, "gradient_accumulation_steps": 4096})
        self.wait_for(process, out, "iteration 1: micro-batch ")
        self.assertRegex(out.read_text(encoding="utf-8"),
                         r"iteration 1: micro-batch \d+/4096\n")
        process.kill()
        process.wait()

if __name__ == "__main__":
    unittest.main()
