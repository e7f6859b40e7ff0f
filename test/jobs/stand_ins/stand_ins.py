#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the job scripts of PBS, LSF, Flux and mpirun do at the end of a turn: requeue, stop,
chain. The systems' commands are stand-ins (cluster_site.py).

  stand_ins.py [CLASS | CLASS.test_NAME]...

"""
import re
import shutil
import signal
import tempfile
import time
import unittest
from pathlib import Path

from cluster_site import SOURCE, Site


class Scripts(unittest.TestCase):
    def setUp(self):
        folder = Path(tempfile.mkdtemp(prefix="jobs-"))
        self.addCleanup(shutil.rmtree, folder)
        self.site = Site(folder / "site")

    def assert_end(self, end, expected, words):
        code, said = end
        self.assertEqual(code, expected, said)
        self.assertIn(words, said)


class Turns:
    """Tests for every system. `requeued`: what a job's end has asked the system for."""

    def job(self, **more):
        return self.site.run(self.script, **more)

    def requeues(self):
        return len(self.requeued())

    def test_goes_on_until_done(self):
        self.site.turns("75 10", "75 20", "0 30")
        for n in (1, 2):
            end = self.job()
            words = f"stopped at iteration {n}0; to be started again"
            self.assert_end(end, self.stopped, words)
            self.assertTrue(self.again(end[0], n))
        self.assert_end(self.job(), 0, "the run is done, at iteration 30")
        self.assertEqual(self.requeues(), self.asks * 2)
        words, environment = self.site.calls("trireme")[2]
        run = self.site.run_folder
        settings = "--set lr=1e-3 --set seed=8".split()
        self.assertEqual(words, ["train", str(self.site.folder / "deck.yml"), *settings,
                                 "--set", f"save={run}", "--set", f"run_dir={run}",
                                 "--set", f"load={run}"])
        self.assertEqual(environment["OMP_NUM_THREADS"], "8")

    def test_values_arrive_whole(self):
        self.site.turns("0 30")
        self.site.let("*", "a file whose name a careless * would become")
        whole = ["split=97, 2, 1", "betas=[0.9, 0.95]", "word=it's \"so\"", "name=*", "x="]
        text = """'split=97, 2, 1' "betas=[0.9, 0.95]" "word=it's "'"so"' name=* x="""
        self.assert_end(self.job(TRIREME_SET=text), 0, "the run is done")
        words, _ = self.site.calls("trireme")[-1]
        self.assertEqual([words[i + 1] for i, w in enumerate(words) if w == "--set"][:5], whole)
        self.assert_end(self.job(TRIREME_SET="split=97, 2, 1"), 1,
                        "the setting '2,' is not key=value; quote a value with blanks")
        self.assert_end(self.job(TRIREME_SET="name='half"), 1, "a quote has no end")

    def test_help_and_dry_run(self):
        code, said = self.site.run(self.script, "--help")
        self.assertEqual(code, 0, said)
        self.assertIn("# Trains a deck under", said)
        self.assertIn("--help prints", said)
        self.assertNotIn("deck=", said)
        code, said = self.job(TRIREME_DRY_RUN="1", TRIREME_SET="'split=97, 2, 1'")
        self.assertEqual(code, 0, said)
        self.assertIn(r"--set split=97\,\ 2\,\ 1 --set save=", said)
        self.assertIn(f"{self.starts} ", said)
        self.assertEqual(self.site.calls("trireme"), [])
        self.assertFalse(self.site.run_folder.exists())

    def test_outside_of_a_job(self):
        end = self.site.run_without(self.script)
        self.assert_end(end, 1, "not in a job of ")
        self.assertIn(f"submit it with {' '.join(self.submit)}", end[1])

    def test_failed_modules(self):
        module = self.site.folder / "modules.sh"
        module.write_text("module() { echo 'no such module' >&2; return 1; }\n"
                          "export -f module\n")
        self.site.turns("0 30")
        end = self.job(TRIREME_MODULES="gcc/99", BASH_ENV=str(module))
        self.assert_end(end, 1, "module load gcc/99 failed, see above; the job ends")
        self.assertEqual(self.site.calls("trireme"), [])

    def test_done(self):
        self.site.turns("0 30")
        self.assert_end(self.job(), 0, "the run is done")
        self.assertEqual(self.requeues(), 0)

    def test_error(self):
        self.site.turns("1 0")
        self.assert_end(self.job(), 1, "ended with an error, see above; not started again")
        self.assertEqual(self.requeues(), 0)

    def test_killed(self):
        self.site.turns("137 10")
        self.site.run_folder.mkdir()
        log = self.site.run_folder / "log.txt"
        log.write_text("iteration 10\n", encoding="utf-8")
        self.assert_end(self.job(), 1, "exit code 137, which is not the program's")
        lines = log.read_text(encoding="utf-8").splitlines()
        self.assertEqual(lines[0], "iteration 10")
        self.assertRegex(lines[-1], "^job .*: the launcher ended with exit code 137")
        self.assertEqual(self.requeues(), 0)

    def test_no_progress(self):
        self.site.turns("75 10", "75 10", "75 10", "0 20")
        for _ in range(2):  # the first made progress, the second is forgiven
            self.assertEqual(self.job()[0], self.stopped)
        self.assert_end(self.job(), 1, "stopped 2 times at iteration 10 without a step between")
        self.assertEqual(self.requeues(), self.asks * 2)

    def test_signal_too_early(self):
        """SIGUSR1 kills a program that does not handle signals yet: a turn without progress."""
        self.site.turns("138 0", "138 0")
        self.assertEqual(self.job()[0], self.stopped)
        self.assert_end(self.job(), 1, "stopped 2 times at iteration 0")

    def test_signals(self):
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM):
            with self.subTest(number.name):
                self.site.turns(f"wait {int(number)}")
                process = self.site.start(self.script)
                self.site.wait_until_ready()
                process.send_signal(number)
                said, _ = process.communicate(timeout=30)
                self.assertEqual(process.returncode, self.stopped, said)

    def test_starts_without_end(self):
        """Killed jobs record no end; after several such jobs the chain is given up."""
        run = self.site.run_folder
        run.mkdir()
        job = self.job_id
        (run / "turns.txt").write_text(f"now {job} start 0\n" * 9 + "now other start 0\n")
        self.site.turns("75 0")
        self.assertEqual(self.job()[0], self.stopped)
        self.assert_end(self.job(), 1, "10 turns have begun at iteration 0 and none got")

    def test_what_is_missing(self):
        self.assert_end(self.job(TRIREME_HOME="/none"), 1, "/none is no source tree")
        self.assert_end(self.job(TRIREME_PROGRAM="none/x"), 1, "no program 'none/x'")
        self.assert_end(self.job(TRIREME_DECK="none.yml"), 1, "no deck 'none.yml'")
        self.assert_end(self.job(TRIREME_RUN="/proc/run"), 1, "cannot make the run folder")

    def chain(self, *words, **more):
        folder = Path(self.script).parent
        return self.site.run(folder / "chain.sh", *words, TRIREME_SUBMIT="-q long", **more)

    def test_chain(self):
        deck, run = self.site.folder / "deck.yml", self.site.folder / "run"
        code, said = self.chain("3", deck, run, "lr=2e-3", "split=97, 2, 1")
        self.assertEqual(code, 0, said)
        ids = re.findall(r"job \d of 3 is (\S+)", said)
        self.assertEqual(len(ids), 3, said)
        calls = self.site.calls(self.submit[0], *self.submit[1:])
        self.assertEqual([c[1]["TRIREME_CHAIN_LEFT"] for c in calls], ["2", "1", "0"])
        self.assertEqual(calls[0][1]["TRIREME_SET"], 'lr=2e-3 "split=97, 2, 1"')
        self.assertNotIn("after", " ".join(calls[0][0]))
        for (words, _), previous in zip(calls[1:], ids):
            self.assertIn(self.after.format(previous), " ".join(words))
            self.assertIn("-q long", " ".join(words))
        chain = [c[1] for c in calls]
        self.site.turns("75 10", "0 20", "0 0")
        self.assert_end(self.job(**chain[0]), 0, "the next job of the chain goes on (2 left)")
        self.assert_end(self.job(**chain[1]), 0, "the run is done")
        self.assert_end(self.job(**chain[2]), 0, "an earlier job of this chain has finished")
        self.assertEqual(self.requeues(), 0)

    def test_chain_ends(self):
        for code, words in (("1", "ended with an error"), ("75", "the chain is at its end")):
            chain = {"TRIREME_CHAIN": f"chain-{code}", "TRIREME_CHAIN_LEFT": "0"}
            self.site.turns(f"{code} 10", "0 20")
            self.assert_end(self.job(**chain), 1, words)
        failed = {"TRIREME_CHAIN": "chain-1", "TRIREME_CHAIN_LEFT": "0"}
        words = "an earlier job of this chain ended with an error"
        self.assert_end(self.job(**failed), 1, words)
        self.assertEqual(len(self.site.calls("trireme")), 2)

    def test_chain_words(self):
        self.assert_end(self.chain("none", "deck.yml"), 1, "N is a number of jobs, got 'none'")
        self.assert_end(self.chain("2"), 1, "no deck; usage: ")
        self.assert_end(self.chain("2", "none.yml"), 1, "no deck 'none.yml'")


class Pbs(Turns, Scripts):
    script, job_id, starts = "contrib/pbs/train.pbs", "42.server", "mpirun -np"
    submit, after = ["qsub"], "afterany:{}"
    stopped, asks = 75, 1

    def requeued(self):
        return self.site.calls("qrerun", "42.server")

    def again(self, code, n):
        return self.requeues() == n

    def test_hosts_and_limit(self):
        self.site.turns("0 1")
        self.job(LD_LIBRARY_PATH="/opt/none")
        words, environment = self.site.calls("mpirun", "-np")[0]
        line = " ".join(words)
        self.assertIn(f"-np 4 --hostfile {self.site.folder / 'nodes'} --map-by", line)
        self.assertIn("--map-by ppr:2:node:PE=8 --bind-to core", line)
        for name in ("OMP_NUM_THREADS", "TMPDIR", "PBS_WALLTIME", "LD_LIBRARY_PATH"):
            self.assertIn(f"-x {name} ", line)
        self.assertEqual(environment["PBS_WALLTIME"], "01:30:00")

    def test_other_launchers(self):
        self.site.let("mpirun-version", "HYDRA build details: 4.0.2")
        self.site.turns("0 1")
        self.job()
        words, _ = self.site.calls("mpirun", "-n")[0]
        self.assertIn("-n 4 -ppn 2 --hostfile", " ".join(words))
        self.assertIn("-bind-to core:8", " ".join(words))

    def test_qrerun_is_for_operators(self):
        self.site.let("no-qrerun")
        self.site.turns("75 0", "75 0")
        self.assert_end(self.job(), 0, "goes on as job 43.server")
        words, environment = self.site.calls("qsub")[0]
        self.assertEqual(words[-1], str(SOURCE / "jobs/contrib/pbs/train.pbs"))
        told = set(words[1].split(","))
        self.assertLessEqual({"TRIREME_RUN", "TRIREME_SET", "TRIREME_JOB"}, told)
        # The next job has another number, but counts as the same job.
        end = self.job(PBS_JOBID="43.server", TRIREME_JOB=environment["TRIREME_JOB"])
        self.assert_end(end, 1, "stopped 2 times at iteration 0")
        self.assertEqual(len(self.site.calls("qsub")), 1)

    def test_next_is_as_large_and_long(self):
        self.site.let("no-qrerun")
        for more, expected in [
            ({}, "-l select=4:ncpus=32:mpiprocs=4:ompthreads=8 -l place=scatter "
                 "-l walltime=01:30:00 -A physics -q routed"),
            ({"PBS_O_QUEUE": "day", "TRIREME_SUBMIT": "-l walltime=2:00:00 -A other"},
             "-l select=4:ncpus=32:mpiprocs=4:ompthreads=8 -l place=scatter -q day "
             "-l walltime=2:00:00 -A other"),
        ]:
            self.site.turns("75 10")
            self.assert_end(self.job(PBS_JOBID=f"42-{len(more)}", **more), 0, "goes on as job")
            words, _ = self.site.calls("qsub")[-1]
            self.assertEqual(" ".join(words[2:-1]), expected)

    def test_nobody_takes_it(self):
        self.site.let("no-qrerun")
        self.site.let("no-qsub")
        self.site.turns("75 10")
        self.assert_end(self.job(), 75, "neither qrerun nor qsub accepts this job")


class Lsf(Turns, Scripts):
    """LSF itself requeues a job by its exit code, as `-Q` says."""

    script, job_id, starts = "contrib/lsf/train.lsf", "42", "mpirun -np"
    submit, after = ["bsub"], "-w ended({})"
    stopped, asks = 75, 0

    def requeued(self):
        return []

    def again(self, code, n):
        text = (SOURCE / "jobs" / self.script).read_text()
        codes = re.search(r'^#BSUB -Q "([\d ]+)"$', text, re.M).group(1).split()
        self.assertEqual(codes, ["75"])
        return str(code) in codes


class Flux(Turns, Scripts):
    script, job_id, starts = "contrib/flux/train.flux", "f42", "flux submit"
    submit, after = ["flux", "batch"], "afterany:{}"
    stopped, asks = 0, 1  # the job has done its part: the next one is submitted

    def requeued(self):
        return self.site.calls("flux", "--parent", "batch")

    def again(self, code, n):
        # The next job counts as the same job.
        return self.requeued()[n - 1][1]["TRIREME_JOB"] == "f42"

    def test_hosts_and_limit(self):
        self.site.turns("0 1")
        before = time.time()
        self.job()
        words, _ = self.site.calls("flux", "submit")[0]
        self.assertIn("--nodes=2 --ntasks=8 --cores-per-task=8", " ".join(words))
        end = float(self.site.calls("trireme")[0][1]["TRIREME_END_TIME"])
        self.assertAlmostEqual(end - before, 3600, delta=30)

    def test_next_is_as_large_and_long(self):
        for duration, expected in (("5400.0", "--nodes=2 --time-limit=5400s"),
                                   ("0.0", "--nodes=2")):
            self.site.let("duration", duration)
            self.site.turns("75 10")
            more = {"TRIREME_JOB": f"job{duration}", "TRIREME_SUBMIT": "-q day"}
            self.assert_end(self.job(**more), 0, "goes on as job")
            words, _ = self.requeued()[-1]
            self.assertIn(f"--parent batch {expected} -q day {SOURCE}", " ".join(words))

    def test_whole_nodes(self):
        """`flux batch -N4` would spread slots over four nodes, and share these nodes with other
        jobs."""
        text = (SOURCE / "jobs" / self.script).read_text()
        asked = re.findall(r"^# flux: --(\S+?)=", text, re.M)
        self.assertEqual(asked, ["job-name", "nodes", "time-limit", "output"])

    def test_unbound(self):
        self.site.turns("0 1")
        self.job(TRIREME_BIND="none")
        words, _ = self.site.calls("flux", "submit")[0]
        self.assertIn("-o cpu-affinity=off", " ".join(words))

    def test_no_limit(self):
        self.site.let("timeleft", "4294967295")
        self.site.turns("0 1")
        self.job()
        self.assertNotIn("TRIREME_END_TIME", self.site.calls("trireme")[0][1])

    def test_nobody_takes_it(self):
        self.site.let("no-batch")
        self.site.turns("75 10")
        self.assert_end(self.job(), 75, "flux batch refuses the next job")


class Local(Scripts):
    def test_deck_that_loads(self):
        """`load` set to the run folder would hide what the deck begins with."""
        deck = self.site.folder / "deck.yml"
        for text, settings, expected in [
            ("lr: 1e-3\n# load: runs/other\n", "", ["load=RUN"]),
            ("lr: 1e-3\nload: runs/other\n", "", []),
            ('{"lr": 1e-3, "load": "runs/other"}\n', "", []),
            ("lr: 1e-3\n", "seed=2 load=runs/other", ["load=runs/other"]),
            # A deck that loads what it saves begins with no other checkpoint.
            ("save: runs/my  # mine\nload: runs/my/\n", "", ["load=RUN"]),
            ("{'save': runs/my, load: \"runs/my\"}\n", "", ["load=RUN"]),
            ('{"save":"runs/my","load":"runs/other"}\n', "", []),
            ("load: runs/my\n", "save=runs/my", ["load=RUN"]),
            ("save: runs/my\nload: runs/my\n", "load=runs/other", ["load=runs/other"]),
            ("save: runs/my\nload: null\n", "", ["load=RUN"]),
        ]:
            with self.subTest(text=text, settings=settings):
                deck.write_text(text)
                self.site.turns("0 1")
                self.site.run("local/run.sh", TRIREME_SET=settings)
                words, _ = self.site.calls("trireme")[-1]
                words = [w.replace(str(self.site.run_folder), "RUN") for w in words]
                self.assertEqual([w for w in words if w.startswith("load=")], expected)
                self.assertIn("save=RUN", words)

    def test_hosts(self):
        self.site.turns("75 10", "0 20")
        more = {"TRIREME_HOSTS": "n1,n2,n3", "TRIREME_THREADS": "4"}
        end = self.site.run("local/run.sh", **more)
        self.assert_end(end, 75, "to go on: ")
        words, _ = self.site.calls("mpirun", "-np")[0]
        self.assertIn("-np 6 --hostfile", " ".join(words))
        self.assertIn("ppr:2:node:PE=4", " ".join(words))
        self.assertFalse(list(self.site.run_folder.glob("hosts.*")))
        self.assert_end(self.site.run("local/run.sh", **more), 0, "the run is done")

    def test_ctrl_c_and_closed_terminals(self):
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            with self.subTest(number.name):
                self.site.turns(f"wait {int(number)}")
                process = self.site.start("local/run.sh")
                self.site.wait_until_ready()
                process.send_signal(number)
                said, _ = process.communicate(timeout=30)
                self.assertEqual(process.returncode, 75, said)

    def test_unbound(self):
        self.site.turns("0 20")
        more = {"TRIREME_BIND": "none", "TRIREME_MPIRUN_OPTIONS": "--tag-output"}
        self.site.run("local/run.sh", **more)
        line = " ".join(self.site.calls("mpirun", "-np")[0][0])
        self.assertIn("-np 2 --map-by ppr:2:node --bind-to none", line)
        self.assertIn("--tag-output", line)
        # Places would be equal for all ranks.
        _, environment = self.site.calls("trireme")[0]
        self.assertEqual(environment["OMP_PROC_BIND"], "false")
        self.assertNotIn("OMP_PLACES", environment)

    def test_decks(self):
        """The last of several values counts, as in the program."""
        first, second = self.site.folder / "deck.yml", self.site.folder / "second.yml"
        first.write_text("load: runs/weights\nsave: runs/my\n")
        second.write_text("load: runs/my")
        for decks, expected in ((f"{first} {second}", 1), (f"{second} {first}", 0)):
            self.site.turns("0 1")
            self.site.run("local/run.sh", TRIREME_DECK=decks, TRIREME_SET="")
            words, _ = self.site.calls("trireme")[-1]
            self.assertEqual(words.count(f"load={self.site.run_folder}"), expected)

    def test_which_program(self):
        """The program: a name on PATH, the source tree's, or the one installed with the
        scripts."""
        self.site.turns("0 1", "0 1", "0 1")
        own = str(self.site.folder / "bin" / "trireme")
        code, said = self.site.run("local/run.sh", TRIREME_PROGRAM="trireme")
        self.assertEqual(code, 0, said)
        self.assertIn(own, self.site.calls("mpirun", "-np")[-1][0])
        end = self.site.run("local/run.sh", TRIREME_PROGRAM="nothing-of-this-name")
        self.assert_end(end, 1, "no program 'nothing-of-this-name'")
        tree = self.site.folder / "prefix" / "share" / "trireme"
        tree.mkdir(parents=True)
        (tree / "jobs").symlink_to(SOURCE / "jobs")
        more = {"TRIREME_HOME": str(tree), "TRIREME_PROGRAM": ""}
        self.assert_end(self.site.run("local/run.sh", **more), 1, "build/trireme': build it")
        for folder in (self.site.folder / "prefix" / "bin", tree / "build"):
            folder.mkdir()
            (folder / "trireme").symlink_to(own)
            code, said = self.site.run("local/run.sh", **more)
            self.assertEqual(code, 0, said)
            self.assertIn(str(folder / "trireme"), self.site.calls("mpirun", "-np")[-1][0])

    def test_values_arrive_whole(self):
        self.site.turns("75 10", "0 20")
        deck = self.site.folder / "my [1] deck.yml"
        deck.write_text("{}\n")
        words = [deck, self.site.run_folder, "split=97, 2, 1", "betas=[0.9, 0.95]"]
        end = self.site.run("local/run.sh", *words)
        self.assert_end(end, 75, r"split=97\,\ 2\,\ 1")
        said = re.search("to go on: (.*)", end[1]).group(1)
        again = self.site.folder / "again.sh"
        again.write_text(said)
        self.assert_end(self.site.run(again), 0, "the run is done")
        for called, _ in self.site.calls("trireme"):
            self.assertEqual(called[:6], ["train", str(deck), "--set", "split=97, 2, 1",
                                          "--set", "betas=[0.9, 0.95]"])

    def test_help_and_dry_run(self):
        code, said = self.site.run("local/run.sh", "--help")
        self.assertEqual(code, 0, said)
        self.assertIn("# Trains a deck by mpirun", said)
        more = {"TRIREME_HOSTS": "n1,n2"}
        code, said = self.site.run("local/run.sh", "--dry-run", **more)
        self.assertEqual(code, 0, said)
        self.assertIn("mpirun -np 4 --hostfile", said)
        self.assertIn("--set lr=1e-3", said)
        self.assertEqual(self.site.calls("trireme"), [])
        self.assertFalse(self.site.run_folder.exists())

    def test_no_mpirun(self):
        end = self.site.run("local/run.sh", TRIREME_MPIRUN="none/mpirun")
        self.assert_end(end, 1, "'none/mpirun' doesn't run")


class SlurmMpi(Scripts):
    """Which of srun's ways starts the program's MPI."""

    OPEN_MPI = "\tlibmpi.so.40 => /usr/lib/libmpi.so.40 (0x7f)"
    MPICH = "\tlibmpi.so.12 => /opt/mpich/lib/libmpi.so.12 (0x7f)"
    CRAY = "\tlibmpi_cray.so.12 => /opt/cray/lib/libmpi_cray.so.12 (0x7f)"

    def way(self, offered, library, has=""):
        self.site.let("srun-offers", "MPI plugin types are...\n\t" + "\n\t".join(offered))
        self.site.let("ldd-shows", "\tlibc.so.6 => /lib/libc.so.6 (0x7f)\n" + library)
        self.site.let("ompi-has", has)
        script = self.site.folder / "way.sh"
        jobs = SOURCE / "jobs"
        script.write_text(f"SLURM_JOB_ID=42\n. {jobs}/turn.sh\n. {jobs}/slurm/launch.sh\n"
                          "program=$TRIREME_PROGRAM\nslurm_mpi\n")
        code, said = self.site.run(script)
        return said.strip() if code == 0 else said

    def test_ways(self):
        both = ["none", "pmi2", "pmix"]
        self.assertEqual(self.way(both, self.OPEN_MPI), "pmix")
        pmi2 = self.way(["none", "pmi2"], self.OPEN_MPI, "mca:pmix:s2:version")
        self.assertEqual(pmi2, "pmi2")
        self.assertEqual(self.way(both, self.MPICH), "pmi2")
        self.assertEqual(self.way(["none", "pmix"], self.MPICH), "pmix")
        self.assertEqual(self.way(["cray_shasta", *both], self.CRAY), "cray_shasta")
        self.assertEqual(self.way(["cray_shasta", *both], self.MPICH), "pmi2")
        self.assertEqual(self.way(["none", "pmix"], ""), "pmix")

    def test_binding(self):
        script = self.site.folder / "launcher.sh"
        jobs = SOURCE / "jobs"
        script.write_text("SLURM_JOB_ID=42 threads=2 mpi=pmix srun_options=\n"
                          f". {jobs}/turn.sh\n. {jobs}/slurm/launch.sh\n"
                          "slurm_launcher\necho ${launcher[*]}\n")
        for bind, expected in (("", "cores"), ("none", "none")):
            _, said = self.site.run(script, TRIREME_BIND=bind)
            self.assertIn(f" --cpu-bind={expected} ", said)

    def test_outside_of_a_job(self):
        for script in ("slurm/train.sbatch", "slurm/sweep.sbatch"):
            self.assert_end(self.site.run(script), 1, "not in a job of Slurm: submit it with")
            code, said = self.site.run(script, "--help")
            self.assertEqual(code, 0, said)
            self.assertIn("#   sbatch --", said)

    def test_dry_run(self):
        self.site.let("srun-offers", "MPI plugin types are...\n\tnone\n\tpmix")
        self.site.let("ldd-shows", self.OPEN_MPI)
        code, said = self.site.run("slurm/train.sbatch", "--dry-run", SLURM_JOB_ID="42")
        self.assertEqual(code, 0, said)
        self.assertRegex(said, r"srun --mpi=pmix .* train .*deck.yml --set lr=1e-3 --set seed")
        self.assertFalse(self.site.run_folder.exists())

    def test_none(self):
        said = self.way(["none", "pmi2"], self.OPEN_MPI)
        self.assertIn("of which the program's MPI (libmpi.so.40) knows none", said)
        self.assertIn("TRIREME_LAUNCHER=mpirun", said)


if __name__ == "__main__":
    unittest.main()
