# SPDX-License-Identifier: Apache-2.0
"""`cuda_graphs`: equal bits to runs without, few calls, the memory of the forecast, named
errors.

  gpu_graphs.py [CLASS | CLASS.test_NAME]...     as gpu.py

"""
import itertools
import json
import sys
import unittest
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402
import errors  # noqa: E402
import gpu  # noqa: E402
import parity  # noqa: E402
import restart  # noqa: E402
import text_tasks  # noqa: E402
import zero  # noqa: E402


ON = {**gpu.GPU, "cuda_graphs": True}
SMALL = {"num_attention_heads": 2, "num_kv_heads": 2, "seq_length": 8}
EVERY = {"checkpoint_factor": 2}  # saved while training goes on; gpu.TINY evaluates as often


class Graphs(gpu.Runs):
    """Graphs against the steps they were captured from, with evaluations and checkpoints
    between."""

    def check(self, model, ranks, *decks, variables=None):
        decks = [SMALL, *decks, EVERY, {"train_iters": 6}]
        eager, told = self.train(model, ranks, gpu.GPU, *decks, variables=variables)
        self.assertNotIn("are CUDA graphs", told)
        graphs, told = self.train(model, ranks, ON, *decks, variables=variables)
        self.assertIn("micro-batches are CUDA graphs from here on", told)
        self.assert_equal(graphs, eager)

    STAGE_1 = {"precision": "bf16", "zero_optimization": {"stage": 1}}
    PAIRS = [  # model, micro-batches, other levers: each with each kind of capture's work
        ("neox", 1, {}),
        ("neox", 4, {**STAGE_1, **zero.RECOMPUTE[1]}),
        ("llama", 2, {**STAGE_1, **zero.RECOMPUTE[3]}),
        ("plain", 4, zero.RECOMPUTE[2]),
    ]

    def test_pairs(self):
        for model, accumulation, levers in self.PAIRS:
            with self.subTest(model, accumulation=accumulation, **levers):
                self.check(model, 1, levers, {"gradient_accumulation_steps": accumulation})

    @unittest.skipUnless(gpu.EMULATED, "a timed search may end otherwise in another run")
    def test_autotune(self):
        self.check("gptj", 1, {"gemm_autotune": True, "precision": "bf16"})

    @unittest.skipIf(gpu.EMULATED, "the emulator has no cuDNN")
    def test_cudnn(self):
        self.check("neox", 1, {"attention_kernel": "cudnn", "precision": "bf16",
                               "gradient_accumulation_steps": 2})

    ONCE = [(0, 1), (1, 2)]  # stage, GPUs

    def test_ranks_that_reduce_once(self):
        for stage, count in self.ONCE:
            keys = {"stage": stage, "reduce_once_per_step": True, **zero.LAYOUTS[1]}
            count = min(count, gpu.gpus())
            with self.subTest(stage=stage, gpus=count):
                self.check("llama", 2, {"zero_optimization": keys, "precision": "bf16",
                                        "train_batch_size": 8,
                                        "gradient_accumulation_steps": 4},
                           variables=gpu.on_gpus(count, 1 + stage))


class GraphsProduct(Graphs):
    """Every model, number of micro-batches and way to recompute; slow where the GPU is
    emulated."""

    PAIRS = [(model, accumulation, levers) for model, accumulation, levers in
             itertools.product(parity.MODELS, (1, 4), [{}, Graphs.STAGE_1])
             ] + [("llama", 2, levers) for levers in zero.RECOMPUTE[1:]]
    ONCE = [(0, 1), (1, 1), (1, 2)]
    test_autotune = test_cudnn = None


class GraphsRestart(restart.Runs):
    SMALL = {**ON, "num_layers": 2, "num_attention_heads": 2, "seq_length": 8,
             "train_batch_size": 4, "gradient_accumulation_steps": 2, "hidden_dropout": 0,
             "attention_dropout": 0}

    def test_one_rank(self):
        graphs = self.check("graphs", 1, self.SMALL, EVERY)
        eager, _ = self.train("eager", 1, self.SMALL, {"cuda_graphs": False})
        self.assert_same_run(graphs, eager)


class GraphsTexts(text_tasks.TextTask):
    """Texts of unequal length: each micro-batch averages other rows."""

    KEYS = {**ON, "task": "sequence_classification", "classifier_pooling": "mean",
            "gradient_accumulation_steps": 4, "train_iters": 4, "eval_interval": 2,
            "seq_length": 16, "num_attention_heads": 2}

    def test_means(self):
        graphs, told = self.train("graphs")
        self.assertIn("micro-batches are CUDA graphs from here on", told)
        eager, _ = self.train("eager", cuda_graphs=False)
        for column in ("train/loss", "train/grad_norm", "valid/loss"):
            np.testing.assert_array_equal(graphs[column], eager[column], column)


class GraphsNotFinite(gpu.Runs):
    """A run that breaks reports equal errors."""

    def test_loss(self):
        told = []
        for deck in (gpu.GPU, ON):
            folder = program.work_folder(self.folder / str(next(self.numbers)))
            deck = {**parity.BASE, **gpu.TINY, **parity.MODELS["neox"], **deck, "lr": 1e30,
                    "data_path": str(self.tokens), "train_iters": 8, "warmup": 0,
                    "gradient_accumulation_steps": 2, "save": str(folder)}
            path = program.write_deck(folder / "deck.yml", deck)
            done = program.run(1, "train", path, timeout=gpu.SECONDS, variables=gpu.on_gpus())
            self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
            told += [x for x in done.stderr.splitlines() if errors.PREFIX in x]
        self.assertEqual(len(told), 2, told)
        self.assertIn("not finite", told[0])
        self.assertEqual(*(x.split("; what was saved")[0] for x in told))


@unittest.skipUnless(gpu.EMULATED, "bytes are the machine's own elsewhere")
class GraphsMemory(unittest.TestCase):
    """`trireme plan` knows the memory that graphs keep."""

    MODEL = {"num_layers": 4, "hidden_size": 64, "num_attention_heads": 2, "seq_length": 64,
             "vocab_size": 1003, "train_micro_batch_size_per_gpu": 2, "train_iters": 6,
             "lr": 1e-3, "pos_emb": "rotary", "no_weight_tying": True, "precision": "bf16"}

    def check(self, *decks):
        folder = program.work_folder("gpu_graphs_plan")
        deck = {**self.MODEL, **ON}
        for more in decks:
            deck.update(more)
        path = program.write_deck(folder / "deck.yml", deck)
        figures = {}
        for name, words in (("plan", ["--ranks", 1]), ("bench", ["--steps", 6])):
            file = folder / f"{name}.json"
            program.run_well(1, name, path, *words, "--json", file, variables=gpu.on_gpus())
            figures[name] = json.loads(file.read_text())
        (stage,) = figures["plan"]["stages"]
        for what in ("device_peak_bytes", "device_reserved_bytes"):
            self.assertEqual(figures["bench"][what], [stage[what]], what)

    def test_accumulation(self):
        self.check({"gradient_accumulation_steps": 4})

    def test_one_micro_batch(self):
        self.check()

    def test_recomputation(self):
        self.check({"checkpoint_activations": True, "gradient_accumulation_steps": 2})


class GraphsCalls(gpu.Calls):
    """Counts steps after the capture, which is in the third step at the latest."""

    test_allocations_staged = test_allocations_nccl_and_stage_3 = None
    test_steps_drain_nothing = None  # inputs in host memory don't go with graphs

    def check_one_rank(self, lines, *decks, **more):
        super().check_one_rank(lines, ON, *decks, first=4, **more)

    def test_evaluations_allocate_nothing(self):
        counts = self.count(1, ON, {"eval_interval": 5, "eval_iters": 1}, first=6)
        for name in ("device allocations", "pinned allocations", "releases"):
            self.assertEqual(counts[name], 0, name)

    def test_few_works(self):
        """A micro-batch is two launches and two copies; marks of phases are on either side."""
        eager = self.count(1, gpu.GPU, first=4)["works"] / self.STEPS
        graphs = self.count(1, ON, first=4)["works"] / self.STEPS
        one = self.count(1, ON, {"gradient_accumulation_steps": 1}, first=4)["works"]
        print(f"{eager} works a step, with graphs {graphs}", flush=True)
        self.assertLess(graphs, eager / 2)
        self.assertLessEqual(graphs - one / self.STEPS, 16)


class GraphsErrors(gpu.Errors):
    """The error names each key that prevents graphs."""

    def refuse(self, words, keys, ranks=(0,)):
        self.check(["cuda_graphs: true does not work with", *words,
                    "or set cuda_graphs: false"],
                   ranks, {"cuda_graphs": True, **keys})

    def test_dropout(self):
        self.refuse(["hidden_dropout: 0.1", "attention_dropout: 0.2"],
                    {"hidden_dropout": 0.1, "attention_dropout": 0.2})

    def test_fp16(self):
        self.refuse(["precision: fp16"], {"precision": "fp16"})

    def test_gradients_in_halves(self):
        self.refuse(["data_types.grad_accum_dtype: bf16"],
                    {"precision": "bf16", "data_types": {"grad_accum_dtype": "bf16"}})

    def test_host_memory(self):
        self.refuse(["checkpoint_in_cpu: true"],
                    {"checkpoint_activations": True, "checkpoint_in_cpu": True})

    def test_schedule(self):
        self.refuse(["pipeline_schedule: gpipe"], {"pipeline_schedule": "gpipe"})

    def test_meshes(self):
        for key in ("model_parallel_size", "pipe_parallel_size"):
            self.refuse([f"{key}: 2"], {key: 2}, (2,))
        self.refuse(["2 data-parallel ranks", "without zero_optimization.reduce_once_per_step"],
                    {}, (2,))
        once = {"zero_optimization": {"stage": 1, "reduce_once_per_step": True}}
        self.refuse(["gradient_accumulation_steps: 2 on 2 data-parallel ranks (at least 3)"],
                    {**once, "gradient_accumulation_steps": 2}, (2,))

    def test_on_cpus_it_is_named_in_a_warning(self):
        keys = {"device": "cpu", "cuda_graphs": True, "hidden_dropout": 0.1}
        deck = program.write_deck(self.folder / "deck.yml", errors.deck_of(self.folder, keys))
        told = program.run_well(1, "train", deck)
        self.assertIn("this run is on CPUs; these keys are for GPUs and have no effect: "
                      "cuda_graphs", told)


for name in [n for n in dir(gpu.Errors) if n.startswith("test_")]:
    setattr(GraphsErrors, name, None)  # gpu.py has these tests


if __name__ == "__main__":
    unittest.main()
