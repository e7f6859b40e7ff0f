# SPDX-License-Identifier: Apache-2.0
"""ReFrame checks of an installed Trireme: training, resuming, and speed against references.

    reframe -C jobs/reframe/settings.py -c jobs/reframe -r             all checks
    … -t smoke -n '%ranks=2'                                           some checks
    … -S program=/opt/trireme/bin/trireme -S 'settings=device=cuda precision=bfloat16'
    … --performance-report -t bench                                    tokens/s, GFLOP/s

TriremeBench explains how to enter a site's own figures.
"""
import json
import os
from pathlib import Path

import reframe as rfm
import reframe.utility.sanity as sn
from reframe.core.builtins import (
    deferrable, parameter, performance_function, run_after, run_before, sanity_function,
    variable,
)

INPUTS = Path(__file__).resolve().parents[2] / "inputs"  # in the source tree and installed


class TriremeTest(rfm.RunOnlyRegressionTest):
    """The base of all checks: a program, its ranks and their threads."""

    #: The program: a path, or a name that a module puts on PATH.
    program = variable(str, value=os.environ.get("TRIREME", "trireme"))
    #: Settings for --set on every command line, separated by spaces.
    settings = variable(str, value="")
    #: CPU cores of each rank.
    threads = variable(int, value=1)
    #: Ranks on each node; 0: left to the scheduler.
    ranks_per_node = variable(int, value=0)

    valid_systems = ["*"]
    valid_prog_environs = ["*"]
    sourcesdir = "src"
    time_limit = "10m"

    @run_after("setup")
    def set_ranks(self):
        self.executable = self.program
        self.num_tasks = self.ranks
        if self.ranks_per_node:
            self.num_tasks_per_node = min(self.ranks, self.ranks_per_node)
        self.num_cpus_per_task = self.threads
        self.env_vars["OMP_NUM_THREADS"] = self.threads

    def sets(self, *more):
        """The --set options, one for each word."""
        return [f"--set {word}" for word in [*more, *self.settings.split()]]


@rfm.simple_test
class TriremeSmoke(TriremeTest):
    """40 steps of a tiny model end at the known loss on every mesh. Stopping after 20 steps and
    resuming gives an equal checkpoint, to the last bit.
    """

    ranks = parameter([1, 2, 4])
    #: Meshes in which ranks share the batch, each matrix, or the layers; or both of the first
    #: two.
    mesh = parameter(["dp", "tp", "pp", "dp_tp"])
    #: How much a loss may differ from the reference. In half precision: 0.02.
    tolerance = variable(float, value=2e-4)
    tags = {"smoke", "production", "maintenance"}

    LOSSES = {1: 5.5928, 10: 4.1940, 20: 2.4916, 30: 1.6524, 40: 1.3860}
    VALID_LOSS = 1.3734
    #: The exit code of a run that saved and is to be started again.
    STOPPED = 75

    @run_after("init")
    def only_meshes_that_differ(self):
        self.skip_if(self.ranks == 1 and self.mesh != "dp", "one rank has one mesh")
        self.skip_if(self.ranks == 4 and self.mesh == "pp", "the model has two layers")
        self.skip_if(self.ranks < 4 and self.mesh == "dp_tp", "dp_tp is of four ranks")

    def mesh_settings(self):
        return {
            "dp": [],
            "tp": [f"model_parallel_size={self.ranks}"],
            "pp": [f"pipe_parallel_size={self.ranks}"],
            "dp_tp": ["model_parallel_size=2"],
        }[self.mesh]

    @run_before("run")
    def write_commands(self):
        words = self.mesh_settings()
        train = ["train", "smoke.yml"]
        self.prerun_cmds = [
            "seq -f 'trireme %g' 1 4000 > text.txt",
            f"{self.program} prepare --input text.txt --output tokens.h5"
            r" --document-separator '\n'",
        ]
        self.executable_opts = [*train, *self.sets(*words, "save=whole")]
        self.job.num_tasks = self.num_tasks  # set now: later is too late for the launcher's -np
        launch = self.job.launcher.run_command(self.job)
        stop, go_on = (
            " ".join([launch, self.program, *train, *self.sets(*words, "save=halves", *more)])
            for more in (["load=halves", "exit_interval=20"], ["load=halves"])
        )
        self.postrun_cmds = [
            f"{stop}; echo first half: $?",
            f"{go_on}; echo second half: $?",
            f"{self.program} inspect whole --diff halves; echo difference: $?",
        ]

    @sanity_function
    def trained_and_resumed(self):
        def loss_at(iteration):
            line = rf"^iteration\s+{iteration}/40\s.*?\bloss\s+(\S+)"
            return sn.extractsingle(line, self.stdout, 1, float, item=0)

        def close(loss, reference, what):
            bound = self.tolerance
            message = f"{what}: {{0}}, not {{1}}"
            return sn.assert_reference(loss, reference, -bound, bound, message)

        valid = sn.extractsingle(r"^valid\s.*?\bloss\s+(\S+)", self.stdout, 1, float, item=-1)
        return sn.all([
            *(close(loss_at(i), loss, f"loss of step {i}") for i, loss in self.LOSSES.items()),
            close(valid, self.VALID_LOSS, "validation loss"),
            sn.assert_found(rf"^first half: {self.STOPPED}$", self.stdout),
            sn.assert_found(r"^second half: 0$", self.stdout),
            sn.assert_found(r"^difference: 0$", self.stdout, "the resumed run differs"),
        ])


@rfm.simple_test
class TriremeBench(TriremeTest):
    """`trireme bench` on Pythia-70M's shape. `ratio` relates the speed to the GEMM rate in the
    same minutes. The ratio hardly depends on the machine and is checked everywhere. Other
    figures are recorded. tokens/s is checked where a site enters a value in REFERENCES, by
    system and partition of the settings, and by ranks.
    """

    ranks = parameter([1, 2])
    deck = variable(str, value=str(INPUTS / "pythia-70m.yml"))
    steps = variable(int, value=3)
    tags = {"bench", "performance"}

    #: {"system:partition": {ranks: tokens/s}}, each with -10 % as the bound.
    REFERENCES = {}

    @run_after("init")
    def set_reference(self):
        ratio = {"ratio": (0.75, -0.35, None, "of sgemm")}
        self.reference = {"*": ratio}
        for place, rates in self.REFERENCES.items():
            if self.ranks in rates:
                rate = (rates[self.ranks], -0.1, None, "tokens/s")
                self.reference[place] = {**ratio, "tokens_per_second": rate}

    @run_before("run")
    def write_command(self):
        sizes = ["seq_length=512", "max_position_embeddings=512"]
        sizes += ["train_micro_batch_size_per_gpu=4", "gradient_accumulation_steps=1"]
        words = ["bench", self.deck, f"--steps {self.steps}", "--json bench.json"]
        self.executable_opts = [*words, *self.sets(*sizes)]

    @deferrable
    def figure(self, name):
        with open(Path(self.stagedir) / "bench.json", encoding="utf-8") as file:
            return json.load(file)[name]

    @sanity_function
    def measured(self):
        return sn.all([
            sn.assert_eq(self.figure("ranks"), self.ranks, "the launcher started {0} ranks"),
            sn.assert_gt(self.figure("tokens_per_second"), 0),
        ])

    @performance_function("tokens/s")
    def tokens_per_second(self):
        return self.figure("tokens_per_second")

    @performance_function("GFLOP/s")
    def gflops(self):
        return self.figure("gflops")

    @performance_function("of sgemm")
    def ratio(self):
        return self.figure("ratio")

    @performance_function("MiB")
    def peak_memory(self):
        return self.figure("peak_bytes") / 2**20
