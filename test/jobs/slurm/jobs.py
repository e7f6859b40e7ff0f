#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The job scripts of jobs/slurm under a real Slurm: time limit, signals, pre-emption, chain and
sweep. Each is compared with an undisturbed run, bit for bit. Skipped where Slurm can't be
started.

  jobs.py [CLASS | CLASS.test_NAME]...

"""
import contextlib
import os
import re
import shutil
import signal
import sys
import tempfile
import unittest
from pathlib import Path

import cluster
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "program"))
if __name__ == "__main__":
    cluster.need()
    cluster.hosts.isolate(as_root=True)
import program
import stops

wait_for = cluster.hosts.wait_for
ITERATIONS = 100
DECK = {**stops.DECK, **stops.MIXED, "log_interval": 1, "train_iters": ITERATIONS}
SLURM = program.SOURCE / "jobs" / "slurm"
FOUR = ["--nodes=2", "--ntasks-per-node=2", "--cpus-per-task=1", "--time=10"]
DONE = ("COMPLETED", 0)


def has_signal(process):
    """A process was sent a signal: SIGTERM waits, or Slurm's SIGCONT has let it go on."""
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    except OSError:
        return True  # it has ended
    waiting = int(re.search(r"^ShdPnd:\s*(\w+)", status, re.M)[1], 16)
    return bool(waiting >> (signal.SIGTERM - 1) & 1) or "\nState:\tT" not in status


class Jobs(stops.Runs):
    """Runs of four ranks on two nodes; `reference` is the undisturbed run."""

    binds = False

    @classmethod
    def setUpClass(cls):
        # Sockets need short names, but the build folder may be deep.
        cls.short = Path(tempfile.mkdtemp(prefix="slurm-"))
        cls.addClassCleanup(shutil.rmtree, cls.short, ignore_errors=True)
        super().setUpClass()
        cls.slurm = cluster.Cluster(cls.short, cls.binds)
        cls.addClassCleanup(cls.slurm.stop)
        cls.slurm.environment.update(
            program.LAUNCH,
            TRIREME_PROGRAM=str(program.PROGRAM),
            TRIREME_HOME=str(program.SOURCE),
            # Slurm was told of more cores than there are: ranks that wait must yield.
            OMPI_MCA_mpi_yield_when_idle="1",
        )
        job = cls.submit("reference")
        if (end := cls.slurm.ended(job, 60))[:2] != DONE:
            raise AssertionError(f"{end}\n{cls.log('reference', job)}\n{cls.slurm.logs()}")
        # Count steps only: a run takes longer because of its start.
        cls.seconds = program.read_metrics(cls.folder / "reference")["train/step_seconds"].sum()

    @classmethod
    def write(cls, name, **keys):
        deck = {**DECK, "data_path": str(cls.tokens), **keys}
        return program.write_deck(cls.folder / f"{name}.yml", deck)

    @classmethod
    def submit(cls, name, *options, **keys):
        """Submits a job that trains in the run folder `name`."""
        deck = cls.write(name, **keys)
        log = f"--output={cls.folder / name}-%j.log"
        return cls.slurm.submit(*FOUR, log, *options, SLURM / "train.sbatch", deck,
                                cls.folder / name)

    @classmethod
    def log(cls, name, job):
        path = cls.folder / f"{name}-{job}.log"
        return path.read_text() if path.exists() else ""

    def reached(self, name, job, iteration):
        """Waits for a line of the log."""
        text = f" {iteration}/{ITERATIONS}"
        wait_for(lambda: text in self.log(name, job), 60, f"{name}: iteration{text}")

    @contextlib.contextmanager
    def held(self, name, job, iteration):
        """Stops the ranks at an iteration: a signal must reach them before they are done."""
        self.reached(name, job, iteration)
        ranks = self.ranks(self.folder / f"{name}.yml").values()
        for rank in ranks:
            os.kill(rank, signal.SIGSTOP)
        yield ranks
        for rank in ranks:
            with contextlib.suppress(ProcessLookupError):
                os.kill(rank, signal.SIGCONT)

    def ranks(self, deck):
        """Process ids of the ranks that train this deck."""
        ranks = program.ranks_of(deck)
        self.assertEqual(len(ranks), 4)
        return ranks

    def assert_end(self, name, job, end):
        """(state, exit code) of the job, and its number of requeues."""
        got = self.slurm.ended(job, 60)
        self.assertEqual(got[:2], end, f"{self.log(name, job)}\n{self.slurm.logs()}")
        return got[2]

    def assert_as_reference(self, name):
        """Losses and the last checkpoint equal the reference's, bit for bit."""
        self.assert_same_run(self.folder / name, self.folder / "reference")
        last = f"global_step{ITERATIONS}"
        program.run_well(1, "inspect", self.folder / name / last, "--diff",
                         self.folder / "reference" / last)

    def steps(self, run):
        """Iterations at which the run's turns began."""
        lines = (run / "turns.txt").read_text().splitlines()
        return [int(line.split()[3]) for line in lines if line.split()[2] == "start"]


class Requeue(Jobs):
    def test_time_limit(self):
        # Slurm's shortest limit is a minute. The first turn gets a share of the time that the
        # run takes; the next turn has enough.
        margin = 60 - (1 + self.seconds / 3)
        keys = {"checkpoint": {"time_limit_margin": margin}}
        job = self.submit("limit", "--time=1", "--signal=USR1@5", **keys)
        wait_for(lambda: self.slurm.job(job)["Restarts"] == "1", 60, "limit: requeue")
        self.slurm.ask("scontrol", "update", f"job={job}", "TimeLimit=10")
        self.assertEqual(self.assert_end("limit", job, DONE), 1)
        self.assertIn("the batch job's time limit", self.log("limit", job))
        self.assert_as_reference("limit")

    def test_signal(self):
        job = self.submit("signal")
        with self.held("signal", job, 5):
            self.slurm.ask("scancel", "--signal=USR1", job)
        self.assertEqual(self.assert_end("signal", job, DONE), 1)
        self.assertIn("SIGUSR1", self.log("signal", job))
        self.assert_as_reference("signal")

    def test_preemption(self):
        job = self.submit("preempted")
        with self.held("preempted", job, 5) as ranks:
            other = self.slurm.submit("--partition=high", "--nodes=2", "--exclusive",
                                      "--output=/dev/null", "--wrap=sleep 1")
            wait_for(lambda: all(has_signal(rank) for rank in ranks), 60, "SIGTERM")
        self.assertEqual(self.slurm.ended(other, 60)[:2], DONE)
        self.assertEqual(self.assert_end("preempted", job, DONE), 1)
        self.assertIn("SIGTERM", self.log("preempted", job))
        self.assertGreaterEqual(self.steps(self.folder / "preempted")[1], 5)
        self.assert_as_reference("preempted")


class Ends(Jobs):
    # Both nodes' ranks share two cores of this machine: slower than unbound.
    binds = {0, 1} <= os.sched_getaffinity(0)

    def test_error(self):
        job = self.submit("error", hiden_size=16)
        self.assertEqual(self.assert_end("error", job, ("FAILED", 1)), 0)
        self.assertIn("hidden_size", log := self.log("error", job))
        self.assertIn("not started again", log)

    def test_no_deck(self):
        log = self.folder / "none.log"
        job = self.slurm.submit(*FOUR, f"--output={log}", SLURM / "train.sbatch", "none.yml")
        self.assertEqual(self.slurm.ended(job, 30), ("FAILED", 1, 0))
        self.assertIn("no deck 'none.yml'", log.read_text())

    def test_killed_rank(self):
        job = self.submit("killed", train_iters=stops.ENDLESS)
        wait_for(lambda: " 5/" in self.log("killed", job), 60, "killed: iteration 5")
        ranks = self.ranks(self.folder / "killed.yml")
        if self.binds:
            cores = [os.sched_getaffinity(ranks[rank]) for rank in range(4)]
            self.assertEqual([len(core) for core in cores], [1, 1, 1, 1])
            self.assertNotEqual(cores[0], cores[1])
            self.assertNotEqual(cores[2], cores[3])
        os.kill(ranks[0], signal.SIGKILL)
        state, code, restarts = self.slurm.ended(job, 30)
        self.assertEqual((state, code, restarts), ("FAILED", 1, 0))
        self.assertIn("exit code 137, which is not the program's", self.log("killed", job))

    def test_cancelled(self):
        """The ranks save, as Slurm only sends SIGTERM; the job is not requeued."""
        job = self.submit("cancelled", train_iters=stops.ENDLESS)
        wait_for(lambda: " 5/" in self.log("cancelled", job), 60, "cancelled: iteration 5")
        self.slurm.ask("scancel", job)
        wait_for(self.slurm.idle, 30, "nodes after scancel")
        known = self.slurm.job(job)
        self.assertEqual(known["JobState"], "CANCELLED", self.log("cancelled", job))
        self.assertEqual(known["Restarts"], "0")

    def test_mpirun(self):
        """srun and the program's MPI have no common way to connect."""
        way = "--export=ALL,TRIREME_LAUNCHER=mpirun,TRIREME_BIND=none"
        job = self.submit("mpirun", way, train_iters=3)
        self.assert_end("mpirun", job, DONE)
        ranks = program.read_metrics(self.folder / "mpirun")["ranks/host"]
        self.assertEqual([rank.decode() for rank in ranks], ["node1"] * 2 + ["node2"] * 2)

    def test_chain(self):
        self.write("chain")
        options = [*FOUR, f"--output={self.folder}/chain-%j.log"]
        environment = {"TRIREME_SUBMIT": " ".join(options)}
        said = self.slurm.ask(SLURM / "chain.sh", "3", self.folder / "chain.yml",
                              self.folder / "chain", more=environment)
        jobs = [line.split()[-1] for line in said.splitlines()]
        self.assertEqual(len(jobs), 3, said)
        with self.held("chain", jobs[0], 5):
            self.slurm.ask("scancel", "--batch", "--signal=USR1", jobs[0])  # the script alone
        for job in jobs:
            self.assertEqual(self.assert_end("chain", job, DONE), 0)
        self.assertIn("the next job of the chain goes on (2 left)", self.log("chain", jobs[0]))
        self.assertIn("the run is done", self.log("chain", jobs[1]))
        self.assertIn("no work left", self.log("chain", jobs[2]))
        self.assertEqual(len(self.steps(self.folder / "chain")), 2)
        self.assert_as_reference("chain")

    def test_sweep(self):
        table = self.folder / "table.txt"
        table.write_text("# three rates\nlr=1e-3\n\nlr=2e-3 seed=8\nlr=3e-3 exit_interval=2\n")
        deck = self.write("sweep", train_iters=3, model_parallel_size=1, pipe_parallel_size=1)
        job = self.slurm.submit(
            "--array=1-3", "--nodes=1", "--ntasks-per-node=1", "--cpus-per-task=1", "--time=10",
            f"--output={self.folder}/sweep-%a.log", SLURM / "sweep.sbatch", table, deck,
            self.folder / "sweep")
        tasks = [f"{job}_{task}" for task in (1, 2, 3)]
        for number, task in enumerate(tasks, 1):
            log = self.folder / f"sweep-{number}.log"
            end = self.slurm.ended(task, 60)
            # The third task is stopped once; the other tasks are not touched.
            self.assertEqual(end, (*DONE, int(number == 3)), log.read_text())
        rates = [program.read_metrics(self.folder / "sweep" / str(i))["train/learning_rate"][0]
                 for i in (1, 2, 3)]
        np.testing.assert_allclose(np.array(rates) / rates[0], [1, 2, 3], rtol=1e-6)


if __name__ == "__main__":
    unittest.main()
