#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ranks on two hosts that share no memory. mpirun reaches the second host through a stand-in
for ssh, and messages go over TCP. Results equal those on one host, bit for bit. When a host
is lost, all ranks end. Skipped where namespaces are not possible.

  multi_host.py [CLASS | CLASS.test_NAME]...

"""
import json
import os
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

import hosts

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "program"))
if __name__ == "__main__":
    hosts.isolate()
import program
import stops

ITERATIONS = 400  # takes some seconds: time to stop a run
NAMES = ("alpha", "beta")
RUN = program.SOURCE / "jobs" / "local" / "run.sh"
LIMIT = 30  # seconds from the loss of a host to the end of all ranks


class TwoHosts(stops.Runs):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.hosts = hosts.two_hosts(cls.folder / "hosts", NAMES)
        for host in cls.hosts:
            cls.addClassCleanup(host.stop)
        cls.environment = program.environment(
            TRIREME_TEST_HOSTS=str(cls.folder / "hosts"),
            OMPI_MCA_plm_rsh_agent=str(Path(__file__).with_name("enter.sh")),
            OMPI_MCA_btl="tcp,self,vader",
            OMPI_MCA_pml="ob1",
            OMPI_MCA_btl_tcp_if_include="cable",
            OMPI_MCA_oob_tcp_if_include="cable",
            OMPI_MCA_mpi_yield_when_idle="1",
        )
        cls.environment.pop("TRIREME_MPIRUN", None)  # the tests' own launcher and options

    def keys(self, **keys):
        return {**stops.MIXED, "train_iters": ITERATIONS, "log_interval": 1, **keys}

    def start(self, name, *words, **keys):
        """A Popen on the first host; its output goes to NAME.log."""
        deck = self.deck(name, **self.keys(**keys))
        with (self.folder / f"{name}.log").open("a") as log:
            self.process = subprocess.Popen(
                self.hosts[0].command(*words, deck), env=self.environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return deck, self.process

    def launcher(self):
        return [*program.MPIRUN, "--host", ",".join(f"{name}:2" for name in NAMES), "-np", "4",
                program.PROGRAM, "train"]

    def use_job_script(self, name):
        self.environment.update(
            TRIREME_HOSTS=",".join(NAMES), TRIREME_PROGRAM=str(program.PROGRAM),
            TRIREME_RUN=str(self.folder / name), TRIREME_BIND="none",
            LD_LIBRARY_PATH=f"{self.folder}:{os.environ.get('LD_LIBRARY_PATH', '')}")

    @staticmethod
    def variable(pid, name):
        """A variable of the environment that a process was started with."""
        given = Path(f"/proc/{pid}/environ").read_text().split("\0")
        return dict(word.partition("=")[::2] for word in given).get(name, "")

    def log(self, name):
        return (self.folder / f"{name}.log").read_text()

    def reached(self, name, iteration):
        text = f" {iteration}/"
        ended = lambda: self.process.poll() is not None
        hosts.wait_for(lambda: text in self.log(name) or ended(), 60, name)
        self.assertIn(text, self.log(name))

    def sent(self):
        """Bytes sent over the cable from the first host."""
        words = ("ip", "-s", "-json", "link", "show", "cable")
        shown = self.hosts[0].run(*words, capture_output=True, check=True).stdout
        return json.loads(shown)[0]["stats64"]["tx"]["bytes"]

    def assert_as_on_one(self, name):
        """Losses and the last checkpoint equal those on one host."""
        run, _ = self.train(f"{name}_one", 4, **self.keys())
        self.assert_same_run(self.folder / name, run)
        ranks = program.read_metrics(self.folder / name)["ranks/host"]
        self.assertEqual([r.decode() for r in ranks], [n for n in NAMES for _ in range(2)])


class Agreement(TwoHosts):
    def test_mpirun(self):
        before = self.sent()
        _, process = self.start("two", *self.launcher())
        self.assertEqual(process.wait(120), 0, self.log("two"))
        # At least activations and their gradients: samples × tokens × hidden × 4 bytes.
        least = 2 * ITERATIONS * 8 * 16 * 16 * 4
        self.assertGreater(self.sent() - before, least)
        self.assert_as_on_one("two")

    def test_job_script(self):
        """jobs/local/run.sh over a list of hosts: stops and resumes."""
        self.use_job_script("script")
        deck, process = self.start("script", RUN)
        self.reached("script", 3)
        # Modules set paths of libraries; processes on both hosts must see them.
        paths = [self.variable(pid, "LD_LIBRARY_PATH")
                 for pid in program.ranks_of(deck).values()]
        self.assertEqual([str(self.folder) in path.split(":") for path in paths], [True] * 4)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(60), stops.STOPPED, self.log("script"))
        self.assertIn("to go on: ", self.log("script"))
        _, process = self.start("script", RUN)
        self.assertEqual(process.wait(120), 0, self.log("script"))
        self.assert_as_on_one("script")


class Loss(TwoHosts):
    """Each test ends a host, so each starts its own hosts."""

    def lost(self, name, words, loss):
        """The output, once all ranks of the other host have ended."""
        deck, process = self.start(name, *words, train_iters=stops.ENDLESS)
        self.reached(name, 5)
        self.assertEqual(len(program.ranks_of(deck)), 4)
        begin = time.monotonic()
        loss()
        code = process.wait(LIMIT)
        mine = set(self.hosts[0].processes())
        hosts.wait_for(lambda: not mine & set(program.ranks_of(deck).values()), LIMIT, "ranks")
        print(f"{name}: all ended after {time.monotonic() - begin:.1f} s, exit code {code}")
        self.assertNotIn(code, (0, stops.STOPPED))
        said = self.log(name).split(" 5/")[-1]
        self.assertIn("daemon", said)  # mpirun's word for its process on a host
        return said


class PowerCut(Loss):
    def test_ends_all(self):
        self.lost("power", self.launcher(), self.hosts[1].stop)


class CablePulled(Loss):
    def test_ends_all(self):
        """A silent host sends no message: the job script makes Open MPI poll the hosts."""
        self.use_job_script("cable")
        said = self.lost("cable", [RUN], self.hosts[1].unplug)
        self.assertIn("a node lost", said)


if __name__ == "__main__":
    unittest.main()
