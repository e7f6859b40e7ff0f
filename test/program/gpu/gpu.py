# SPDX-License-Identifier: Apache-2.0
"""Training on a GPU: against the CPU, on meshes, from run to run, and what steps may not do.

  gpu.py [CLASS | CLASS.test_NAME]...      by default all tests, also those that CTest omits

Ranks share a GPU, or have one each if there are enough. Tests that configure the GPU, or count
calls, need the emulated GPU: TRIREME=build/test/trireme_emulated.

"""
import functools
import itertools
import os
import re
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402
import errors  # noqa: E402
import parity  # noqa: E402
import restart  # noqa: E402
import zero  # noqa: E402

EMULATED = program.PROGRAM.name == "trireme_emulated"
TINY = {"num_layers": 2, "seq_length": 12, "train_batch_size": 4, "train_iters": 4,
        "log_interval": 2, "eval_interval": 2, "eval_iters": 1}
GPU = {"device": "cuda"}
HALF_TOLERANCE = 2e-2  # for losses in half precision
LONG_TOLERANCE = 1e-4  # for fp32 losses over 50 steps
ORDER_OF_SUMS = 1e-15  # for norms: MPI and NCCL add up ranks' fp64 squares in different orders
SECONDS = 600  # for one run


@functools.cache
def gpus():
    """The number of GPUs; any number where GPUs are emulated."""
    if EMULATED:
        return 8
    done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return done.stdout.count("GPU ")


def on_gpus(count=1, seed=1):
    """Environment variables of a machine with so many GPUs."""
    return {"TRIREME_EMULATED_DEVICES": str(count), "TRIREME_EMULATED_SEED": str(seed)}


class Runs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # Cases of a class may run at the same time.
        cls.folder = program.work_folder(f"gpu_{cls.__name__}_{os.getpid()}")
        cls.tokens = program.make_tokens(cls.folder)
        cls.numbers = itertools.count()

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def train(self, model, ranks, *decks, variables=None):
        """The folder of a run, and its output."""
        folder = program.work_folder(self.folder / str(next(self.numbers)))
        deck = {**parity.BASE, **TINY, **parity.MODELS[model], "data_path": str(self.tokens),
                "save": str(folder)}
        for more in decks:
            deck.update(more)
        path = program.write_deck(folder / "deck.yml", deck)
        told = program.run_well(ranks, "train", path, timeout=SECONDS,
                                variables=variables or on_gpus())
        self.assertIn("cuda:" if deck["device"] == "cuda" else "thread a rank", told)
        return folder, told

    def assert_near(self, got, expected, tolerance=None):
        """Compares runs in folders, with parity.py's tolerances, or losses only with this
        tolerance."""
        got, expected = program.read_metrics(got), program.read_metrics(expected)
        rows = parity.compare(got, expected)
        print(self.id(), *(f"{what} {by:.1e}" for what, by, _ in rows[1:5]), flush=True)
        for what, by, allowed in rows:
            if tolerance is not None:
                if what == "train/grad_norm":
                    continue
                allowed = tolerance if allowed > 0 else 0.0
            self.assertLessEqual(by, allowed, what)

    def assert_equal(self, got, expected, norms=0.0):
        """Compares runs in folders: losses, evaluations, last checkpoint; norms within a
        tolerance."""
        got, expected = zero.state_of(got), zero.state_of(expected)
        if norms > 0:
            name = "train/grad_norm"
            np.testing.assert_allclose(got.pop(name), expected.pop(name), norms, 0, name)
        self.assertEqual(zero.differences(got, expected), [])


class Agreement(Runs):
    """One rank on the GPU against one rank on the CPU."""

    def check(self, model, tolerance, *decks):
        cpu, _ = self.train(model, 1, {"device": "cpu"}, *decks)
        gpu, _ = self.train(model, 1, GPU, *decks)
        self.assert_near(gpu, cpu, tolerance)
        return program.read_metrics(gpu), program.read_metrics(cpu)

    FP32 = {  # each model once; the other levers turn
        "neox": {"gradient_accumulation_steps": 2},
        "gptj": zero.RECOMPUTE[3],
        "llama": {**zero.RECOMPUTE[1], **parity.DROPOUT},
        "plain": {**zero.RECOMPUTE[2], **parity.DROPOUT, "gradient_accumulation_steps": 2},
    }

    def test_fp32(self):
        for model, levers in self.FP32.items():
            with self.subTest(model):
                self.check(model, None, levers)

    def test_tuning_is_shown(self):
        variables = {**on_gpus(), "TRIREME_CUDA_TUNING": "column_parts=8"}
        _, told = self.train("neox", 1, GPU, {"train_iters": 1}, variables=variables)
        self.assertIn("tuning   column_parts 8 instead of 264", told)

    def test_bf16(self):
        self.check("llama", HALF_TOLERANCE, {"precision": "bf16"}, parity.DROPOUT)

    def test_fp16(self):
        fp16 = {"initial_scale_power": 24, "hysteresis": 1, "loss_scale_window": 2}
        gpu, cpu = self.check("gptj", HALF_TOLERANCE,
                              {"precision": "fp16", "fp16": fp16, "train_iters": 12})
        for column in ("train/skipped", "train/loss_scale"):
            np.testing.assert_array_equal(gpu[column], cpu[column], column)
        self.assertTrue(0 < gpu["train/skipped"].sum() < 10, gpu["train/skipped"])


class FiftySteps(Agreement):
    """The comparison over many steps; slow where the GPU is emulated."""

    STEPS = {"train_iters": 50, "eval_interval": 25}
    test_fp16 = None

    def test_fp32(self):
        for model in parity.MODELS:
            with self.subTest(model):
                self.check(model, LONG_TOLERANCE, self.STEPS)

    def test_bf16(self):
        for model in parity.MODELS:
            with self.subTest(model):
                self.check(model, HALF_TOLERANCE, self.STEPS, {"precision": "bf16"})


class Meshes(Runs):
    """Staged through the host against one rank on the CPU; by NCCL, and with the streams' work
    in other orders, the same bit for bit (but norms)."""

    SEEDS = (1,)  # of the orders, with staged communication
    NCCL_SEEDS = (2,)
    NAMES = ["dp2", "tp2", "tp2_sp", "pp2", "pp2_interleaved", "dp2_tp2", "dp2_pp2",
             "dp2_tp2_pp2"]

    def check(self, name):
        mesh = parity.MESHES[name]
        model = list(parity.MODELS)[self.NAMES.index(name) % len(parity.MODELS)]
        ranks = mesh["ranks"]
        deck = {**GPU, "num_layers": 4 if "pp" in name else 2, **parity.DROPOUT}
        one, _ = self.train(model, 1, deck, {"device": "cpu"})
        deck.update(mesh["deck"], gradient_accumulation_steps=2)
        staged = None
        for seed in self.SEEDS:
            run, told = self.train(model, ranks, deck, {"communication": "staged"},
                                   variables=on_gpus(1, seed))
            self.assertIn("staged", told)
            if staged is None:
                staged = run
                self.assert_near(staged, one)
            else:
                self.assert_equal(run, staged)
        if gpus() < ranks:
            return
        for seed in self.NCCL_SEEDS:
            run, told = self.train(model, ranks, deck, {"communication": "nccl"},
                                   variables=on_gpus(ranks, seed))
            self.assertIn("communication NCCL", told)
            self.assert_equal(run, staged, ORDER_OF_SUMS)


for mesh_name in Meshes.NAMES:
    setattr(Meshes, f"test_{mesh_name}", functools.partialmethod(Meshes.check, mesh_name))


@unittest.skipUnless(EMULATED, "orders of execution can't be chosen")
class ManySeeds(Meshes):
    """Some orders of streams reveal races that others hide."""

    SEEDS = range(1, 7)
    NCCL_SEEDS = range(2, 7)


class Stages(Runs):
    """ZeRO changes no bit."""

    def test_bf16(self):
        deck = {**GPU, "precision": "bf16", "gradient_accumulation_steps": 2,
                "num_attention_heads": 2, "num_kv_heads": 1}
        first = None
        for stage in range(4):
            keys = {"zero_optimization": {"stage": stage, **zero.LAYOUTS[1]}}
            for count in [1, 2] if stage == 3 and gpus() > 1 else [1]:
                with self.subTest(stage=stage, gpus=count):
                    run, _ = self.train("llama", 2, deck, keys,
                                        variables=on_gpus(count, 1 + stage))
                    first = first or run
                    self.assert_equal(run, first)


class Restart(restart.Runs):
    SMALL = {**GPU, "num_layers": 2, "num_attention_heads": 2, "seq_length": 8,
             "train_batch_size": 4, "gradient_accumulation_steps": 2}

    def test_two_ranks(self):
        """Saved while training goes on."""
        self.check("two", 2, self.SMALL, {"precision": "bf16", "checkpoint_factor": 2,
                                          "zero_optimization": {"stage": 3, **zero.LAYOUTS[1]}})

    def test_from_the_cpu_and_back(self):
        whole, _ = self.train("whole", 1, self.SMALL, {"device": "cpu"})
        for i, device in enumerate(["cpu", "cuda", "cpu"]):
            folder, _ = self.train("parts", 1, self.SMALL,
                                   {"device": device, "train_iters": 4 * (i + 1)})
        got, expected = restart.columns(folder), restart.columns(whole)
        for name in restart.EXACT:
            np.testing.assert_allclose(got[f"train/{name}"], expected[f"train/{name}"],
                                       parity.NORM_TOLERANCE, 0, name)


class RestartOneRank(Restart):
    """In fp32, where no other rank waits."""

    test_two_ranks = test_from_the_cpu_and_back = None

    def test_one_rank(self):
        self.check("one", 1, self.SMALL, {"checkpoint_factor": 2})


@unittest.skipUnless(EMULATED, "a machine's GPUs are what they are")
class Errors(unittest.TestCase):
    """Each line says what is wrong, where, and what to do: alone, or of two ranks once."""

    @classmethod
    def setUpClass(cls):
        cls.folder = program.work_folder(f"gpu_{cls.__name__}")
        program.make_tokens(cls.folder)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def check(self, words, ranks=(0,), keys=None, warns="", more=(), env=None, **emulated):
        env = {**(env or {}), **{f"TRIREME_EMULATED_{name.upper()}": value
                                 for name, value in emulated.items()}}
        case = errors.Case(self.id(), words, {**GPU, **(keys or {})}, env=env,
                           arguments=["train", "{}/deck.yml", *more],
                           keeps=program.RUN_FILES, warns=warns)
        for n in ranks:
            wrong, line = errors.problems_of(case, n, self.folder)
            print(line, flush=True)
            self.assertEqual(wrong, [])

    def test_no_driver(self):
        self.check(["device: cuda, but on ", "no NVIDIA driver was found"], (0, 2), driver="0")

    def test_old_driver(self):
        self.check(["device: cuda, but on ", "too old", "CUDA 11.8", "update the driver"],
                   driver="11080")

    def test_no_device(self):
        self.check(["device: cuda, but on ", "no GPU is visible"], devices="0")

    def test_capability(self):
        self.check(["compute capability 7.5", "8.0 (A100) or higher", "device: cpu"],
                   capability="7.5")

    def test_memory(self):
        self.check(["out of memory on cuda:0", "MiB more were asked for", "MiB are in use",
                    "of the GPU's 80 MiB are free", "zero_optimization.stage"], (0, 2),
                   keys={"hidden_size": 512}, warns="this run is forecast to need ",
                   more=["--force"], memory=str(80 << 20))

    def test_attention_without_cudnn(self):
        """The emulated GPU has no cuDNN."""
        self.check(["attention_kernel: cudnn", "built without cuDNN", "cudnn.h of 9.8",
                    "attention_kernel: auto"], keys={"attention_kernel": "cudnn"})

    def test_tuning(self):
        self.check(["TRIREME_CUDA_TUNING: there is no constant 'gelu'", "gelu_epilogue, "],
                   (0, 2), env={"TRIREME_CUDA_TUNING": "gelu=0"})

    def test_nccl_with_shared_gpus(self):
        self.check(["communication: nccl", "ranks share GPUs", "communication: staged"],
                   ranks=(2,), keys={"communication": "nccl"})

    def start_apart(self, device):
        """Two ranks, of which the first sees no GPU."""
        deck = program.write_deck(self.folder / "deck.yml", errors.deck_of(
            self.folder, {"device": device}))
        words = program.command(1, "train", deck)
        at = words.index(str(program.PROGRAM))
        blind = [*words[:at], "env", "TRIREME_EMULATED_DEVICES=0", *words[at:]]
        return subprocess.run([*blind, ":", "-np", "1", *words[at:]],
                              env=program.environment(), capture_output=True, text=True,
                              timeout=errors.LIMIT, check=False)

    def test_one_rank_sees_none(self):
        for device, word in (("auto", "1 of 2 ranks see a GPU"), ("cuda", "device: cuda, but")):
            done = self.start_apart(device)
            lines = [x for x in done.stderr.splitlines() if errors.PREFIX in x]
            self.assertEqual((done.returncode, len(lines)), (1, 1), done.stderr)
            for words in (word, "no GPU is visible"):
                self.assertIn(words, lines[0])

    def test_auto_without_a_driver(self):
        deck = program.write_deck(self.folder / "deck.yml",
                                  errors.deck_of(self.folder, {"device": "auto"}))
        told = program.run_well(1, "train", deck, variables={"TRIREME_EMULATED_DRIVER": "0"})
        self.assertIn("thread a rank", told)


@unittest.skipUnless(EMULATED, "calls are counted by the emulator")
class Calls(Runs):
    """What steps cost beside their work; counts from step `first` on."""

    COUNTS = ["device allocations", "pinned allocations", "releases", "drains", "event waits",
              "pageable copies", "works", "connections"]
    STEPS = 10

    def count(self, ranks, *decks, first=2, gpus_used=1):
        """{name: calls of all ranks}"""
        deck = {
            **GPU,
            "num_attention_heads": 2,
            "train_iters": self.STEPS + first,
            "log_interval": 1000,
            "eval_interval": 0,
            "gradient_accumulation_steps": 2,
            "profile": True,
            "profile_step_start": first,
            "profile_step_stop": self.STEPS + first,
        }
        variables = {**on_gpus(gpus_used), "TRIREME_EMULATED_COUNTS": "1"}
        _, told = self.train("neox", ranks, deck, *decks, variables=variables)
        line = "emulated CUDA: " + ", ".join(rf"(\d+) {name}" for name in self.COUNTS)
        rows = re.findall(line, told)
        self.assertEqual(len(rows), ranks, told)
        counts = dict(zip(self.COUNTS, np.array(rows, int).sum(axis=0).tolist()))
        print(self.id(), counts, flush=True)
        return counts

    def check_allocations(self, *decks, **keys):
        counts = self.count(2, *decks, **keys)
        for name in ("device allocations", "pinned allocations", "releases"):
            self.assertEqual(counts[name], 0, name)

    RECOMPUTED = {"checkpoint_activations": True, "checkpoint_in_cpu": True}

    def test_allocations_staged(self):
        """The host's memory for inputs of layers too."""
        self.check_allocations(self.RECOMPUTED, {"pipe_parallel_size": 2})

    def test_allocations_nccl_and_stage_3(self):
        """The second step is the first that begins with parameters on their way."""
        self.check_allocations({"precision": "bf16", "zero_optimization":
                                {"stage": 3, **zero.LAYOUTS[1]}}, first=3, gpus_used=2)

    def test_connections_are_made_before_the_first_step(self):
        """A host that waits for one in a step may wait for a kernel that waits for the host."""
        sharded = {"pipe_parallel_size": 2, "zero_optimization": {"stage": 2}}
        counts = self.count(4, sharded, first=1, gpus_used=4)
        self.assertEqual(counts["connections"], 0)

    def check_one_rank(self, lines, *decks, first=2, drains=0, waits=0):
        """A step waits for the upload of the tokens of the fourth step before it. A line of the
        log waits for the results, and for the mark at the end of its steps. The profiler's
        end drains once. With NCCL the host polls instead, which isn't counted."""
        counts = self.count(1, {"communication": "staged"}, *decks, first=first)
        self.assertGreater(counts.pop("works"), 0)
        self.assertEqual(counts.pop("drains"), 1 + lines + drains)
        self.assertEqual(counts.pop("event waits"), self.STEPS - (5 - first) + lines + waits)
        self.assertEqual(set(counts.values()), {0}, counts)

    def test_steps_drain_nothing(self):
        self.check_one_rank(0, self.RECOMPUTED)

    def test_a_line_of_the_log_drains_once(self):
        self.check_one_rank(2, {"log_interval": self.STEPS // 2, "precision": "bf16",
                                "zero_optimization": {"stage": 2}})

    SAVES = {"checkpoint_factor": STEPS // 2}

    def test_a_save_drains_once(self):
        """Each is preceded by what a line of the log is, and by a look at the state, which
        drains too."""
        self.check_one_rank(2, self.SAVES, drains=2 * 2)

    def test_a_save_in_shared_memory_waits_for_chunks(self):
        shared = {"checkpoint": {"writers_per_node": 1}}
        self.check_one_rank(2, self.SAVES, shared, drains=2, waits=2 * 4)


if __name__ == "__main__":
    unittest.main()
