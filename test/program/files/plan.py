# SPDX-License-Identifier: Apache-2.0
"""`trireme plan` against runs: what a device took in some steps of `trireme bench`, and what a
save wrote. Many more plans stand against steps in test/bench/mpi.
"""
import json
import re
import sys
import unittest
from pathlib import Path

import h5py

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402

BASE = {
    "num_layers": 4,
    "hidden_size": 64,
    "num_attention_heads": 4,
    "seq_length": 64,
    "vocab_size": 1003,  # parts of it differ
    "train_micro_batch_size_per_gpu": 2,
    "train_iters": 3,
    "lr": 1e-3,
}
NEOX = {"pos_emb": "rotary", "gpt_j_residual": True, "no_weight_tying": True}
LLAMA = {
    "pos_emb": "rotary",
    "norm": "rmsnorm",
    "activation": "swiglu",
    "expansion_factor": 6,
    "num_kv_heads": 2,
    "use_bias_in_mlp": False,
    "no_weight_tying": True,
}
TIED = {"pos_emb": "learned", "no_weight_tying": False, "hidden_dropout": 0.1}
ZERO = {"zero_optimization": {"stage": 3, "reduce_bucket_size": 10_000,
                              "stage3_param_persistence_threshold": 100}}
ENCODER = {"pos_emb": "learned", "bidirectional_attention": True, "type_vocab_size": 2,
           "norm_placement": "after_sum", "embedding_norm": True}
CASES = {  # name: (ranks, deck)
    "encoder": (2, {**ENCODER, "task": "masked_language_model", "output_transform": True,
                    "use_bias_in_output": True, "model_parallel_size": 2}),
    "classifier": (2, {**ENCODER, **ZERO, "task": "sequence_classification", "num_labels": 5,
                       "classifier_pooler": True, "classifier_dropout": 0.1}),
    "vision": (2, {"seq_length": None, "image_size": [24, 32], "patch_size": 4,
                   "num_channels": 3, "vocab_size": 10, "model_parallel_size": 2,
                   "sequence_parallel": True, "classifier_pooling": "mean",
                   "precision": "bf16"}),
    "bf16": (1, {**NEOX, "precision": "bf16"}),
    "one_bit": (2, {**NEOX, "gradient_accumulation_steps": 2,
                    "optimizer": {"type": "OneBitAdam", "params": {"freeze_step": 1}}}),
    "zero_one": (2, {**NEOX, "precision": "bf16", "optimizer": {
        "type": "ZeroOneAdam", "params": {"var_freeze_step": 1}}}),
    "local_step": (2, {**NEOX, "train_iters": 9, "vocab_size": 40000, "seq_length": 16,
                       "train_micro_batch_size_per_gpu": 1,
                       "optimizer": {"type": "ZeroOneAdam", "params": {
                           "var_freeze_step": 3, "var_update_scaler": 1}}}),
    "stage3": (2, {**NEOX, **ZERO, "gradient_accumulation_steps": 2}),
    "quantized": (2, {**NEOX, "zero_optimization": {
        **ZERO["zero_optimization"], "zero_quantized_weights": True}}),
    "tp2_pp2_interleaved": (4, {**LLAMA, "model_parallel_size": 2, "pipe_parallel_size": 2,
                                "virtual_pipeline_chunks": 2,
                                "gradient_accumulation_steps": 4}),
}
TOLERANCE = 0.005  # for pipelines; a free block can be larger than the request


def planned(folder, ranks, deck, *arguments):
    """The forecast that one process makes of a run on `ranks` ranks."""
    figures = folder / "plan.json"
    program.run_well(1, "plan", deck, "--ranks", ranks, "--json", figures, *arguments)
    return json.loads(figures.read_text())


def array_bytes(path):
    """Bytes of all arrays of a shard."""
    sizes = []
    with h5py.File(path, "r") as file:
        file.visititems(lambda _, item: sizes.append(getattr(item, "nbytes", 0)))
    return sum(sizes)


class Memory(unittest.TestCase):
    def check(self, name):
        ranks, settings = CASES[name]
        folder = program.work_folder(f"plan_{name}")
        deck = program.write_deck(folder / "deck.yml", {**BASE, **settings})
        plan = planned(folder, ranks, deck)
        figures = folder / "bench.json"
        program.run_well(ranks, "bench", deck, "--steps", 3, "--json", figures)
        measured = json.loads(figures.read_text())
        of_a_stage = ranks // len(plan["stages"])
        for what in ("device_peak_bytes", "device_reserved_bytes"):
            for i, stage in enumerate(plan["stages"]):
                most = max(measured[what][i * of_a_stage : (i + 1) * of_a_stage])
                text = f"{name} stage {i}: {what} planned {stage[what]}, measured {most}"
                if len(plan["stages"]) == 1:
                    self.assertEqual(stage[what], most, text)
                    continue
                # Timing decides how long messages wait to be sent.
                self.assertLessEqual(most, stage[what] * (1 + TOLERANCE), text)
                least = stage[what] - stage["unsent_bytes"]
                self.assertGreaterEqual(most, least * (1 - TOLERANCE), text)


for case in CASES:
    setattr(Memory, f"test_{case}", lambda self, case=case: self.check(case))


class Save(unittest.TestCase):
    def check(self, name, ranks, settings):
        folder = program.work_folder(f"plan_save_{name}")
        tokens = program.make_tokens(folder)
        data = {"data_path": str(tokens), "eval_iters": 0, "save": str(folder / "run")}
        deck = {**BASE, **settings, **data}
        del deck["vocab_size"]  # both read it from the data
        deck = program.write_deck(folder / "deck.yml", deck)
        nodes = ("--ranks-per-node", ranks)
        plan = planned(folder, ranks, deck, *nodes)
        checkpoint = plan["checkpoint"]
        self.assertFalse((folder / "run").exists(), "plan leaves nothing behind")
        told = program.run_well(ranks, "train", deck)
        copy = max(stage["copy_bytes"] for stage in plan["stages"])
        self.assertIn(f"a copy of at most {copy * 1e-6:.1f} MB a rank", told)
        signs = plan["stages"][0]["compressed_data_bytes"]
        if signs > 0:
            self.assertIn(f"from iteration 2 on: {signs} bytes of signs and scales", told)
        self.assertEqual(signs > 0, "bytes of signs" in told)
        shards = [
            array_bytes(path)
            for path in sorted((folder / "run" / "global_step3").glob("shard-*.h5"))
        ]
        self.assertEqual(len(shards), checkpoint["writers"])
        self.assertEqual(sum(shards), checkpoint["bytes"])
        self.assertEqual(min(shards), checkpoint["least_bytes"])
        self.assertEqual(max(shards), checkpoint["most_bytes"])

    def test_every_rank_writes(self):
        self.check("all", 4, {**TIED, "model_parallel_size": 2, "pipe_parallel_size": 2})

    def test_replicas(self):
        self.check("replicas", 4, {**NEOX, "model_parallel_size": 2})

    def test_errors_of_signs(self):
        optimizer = {"type": "OneBitAdam", "params": {"freeze_step": 1}}
        self.check("signs", 4, {**TIED, "pipe_parallel_size": 2, "optimizer": optimizer})

    def test_rows_of_local_steps(self):
        optimizer = {"type": "ZeroOneAdam", "params": {"var_freeze_step": 1}}
        self.check("local", 2, {**TIED, "optimizer": optimizer})

    def test_one_writer_of_three_ranks(self):
        self.check("node", 3, {**LLAMA, "checkpoint": {"writers_per_node": 2}})


class Bytes(unittest.TestCase):
    """What a plan counts over dp, beside what a run's first lines say."""

    def check(self, name, ranks, zero, of_run):
        folder = program.work_folder(f"plan_bytes_{name}")
        data = {"data_path": str(program.make_tokens(folder)), "eval_iters": 0}
        zero = {**ZERO["zero_optimization"], "stage3_prefetch_bucket_size": 0, **zero}
        deck = {**BASE, **NEOX, **data, "zero_optimization": zero, "train_iters": 2,
                "gradient_accumulation_steps": 2}
        del deck["vocab_size"]
        deck = program.write_deck(folder / "deck.yml", deck)
        stage = planned(folder, ranks, deck)["stages"][0]
        told = program.run_well(ranks, "train", deck)
        found = re.search(r"(\d+) elements reduced, (\d+) gathered", told)
        self.assertEqual(sum(map(int, found.groups())), stage["reduced_elements"])
        for pattern, key in of_run.items():
            found = re.search(pattern, told)
            self.assertIsNotNone(found, told)
            self.assertEqual(int(found.group(1)), stage[key])
            self.assertGreater(stage[key], 0)
        return stage

    def test_neighbours(self):
        stage = self.check("neighbours", 4, {"zero_hpz_partition_size": 2},
                           {r"(\d+) more gathered from 2 neighbours": "nearby_elements"})
        self.assertEqual(stage["nearby_bytes"], 4 * stage["nearby_elements"])
        self.assertEqual(stage["data_bytes"], 4 * stage["reduced_elements"])

    def test_quantized(self):
        stage = self.check("quantized", 2, {"zero_quantized_weights": True},
                           {r"(\d+) bytes of quantized values gathered": "quantized_bytes"})
        rest = stage["data_bytes"] - stage["quantized_bytes"]
        self.assertEqual(rest, 4 * stage["reduced_elements"])


class Errors(unittest.TestCase):
    def check(self, settings, arguments, *parts):
        folder = program.work_folder("plan_errors")
        deck = program.write_deck(folder / "deck.yml", {**BASE, **settings})
        done = program.run(1, "plan", deck, *arguments)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertEqual(done.stderr.count("trireme: error:"), 1, done.stderr)
        for part in parts:
            self.assertIn(part, done.stderr)

    def test_no_ranks(self):
        self.check({}, [], "--ranks", "trireme plan --help")

    def test_mesh_does_not_fit(self):
        self.check({"pipe_parallel_size": 2}, ["--ranks", 3], "3 ranks", "multiple of 2")

    def test_no_vocabulary(self):
        self.check({"vocab_size": None}, ["--ranks", 2], "data_path", "vocab_size")

    def test_no_file_of_data(self):
        self.check({"vocab_size": None, "data_path": "nowhere.h5"}, ["--ranks", 2],
                   "nowhere.h5", "set vocab_size")

    def test_json_that_cannot_be_written(self):
        self.check({}, ["--ranks", 2, "--json", "nowhere/plan.json"],
                   "cannot write nowhere/plan.json")

    def test_no_deck(self):
        done = program.run(1, "plan", "--ranks", 2)
        self.assertEqual(done.returncode, 1)
        self.assertIn("plan needs a deck", done.stderr)


if __name__ == "__main__":
    unittest.main()
