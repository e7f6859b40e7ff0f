# SPDX-License-Identifier: Apache-2.0
"""What a GPU run keeps in host memory: copies of state to be saved, and inputs of layers.
Neither changes a bit, and forecasts include both.

  gpu_copies.py [CLASS | CLASS.test_NAME]...

"""
import json
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402
import gpu  # noqa: E402


FEW_HEADS = {"num_attention_heads": 2, "num_kv_heads": 2}
RECOMPUTED = {**gpu.GPU, **FEW_HEADS, "checkpoint_activations": True, "num_layers": 4,
              "gradient_accumulation_steps": 2}
IN_CPU = {"checkpoint_in_cpu": True}


class Inputs(gpu.Runs):
    """Inputs of layers in host memory."""

    def check(self, model, ranks, deck, seeds=(1,)):
        here, _ = self.train(model, ranks, RECOMPUTED, deck)
        for seed in seeds:
            there, _ = self.train(model, ranks, RECOMPUTED, deck, IN_CPU,
                                  variables=gpu.on_gpus(1, seed))
            self.assert_equal(there, here)

    def test_one_rank(self):
        """Copies run on a stream of their own, in several orders beside the computation."""
        self.check("neox", 1, {"precision": "bf16"}, seeds=(1, 2))

    def test_pipeline(self):
        """Several micro-batches are in flight at once."""
        self.check("llama", 2, {"pipe_parallel_size": 2, "checkpoint_num_layers": 2})

    def test_shares(self):
        self.check("gptj", 2, {"model_parallel_size": 2, "partition_activations": True})


class Plans(gpu.Runs):
    def figures(self, deck):
        """The forecast for a rank, and the GPU memory that the rank uses."""
        folder = program.work_folder(self.folder / str(next(self.numbers)))
        path = program.write_deck(folder / "deck.yml", {
            **gpu.parity.BASE, **gpu.TINY, **gpu.parity.MODELS["neox"], **RECOMPUTED,
            "vocab_size": 257, "seq_length": 64, "eval_iters": 0, **deck})
        json_file = folder / "figures.json"
        words = [path, "--json", json_file]
        program.run_well(1, "plan", *words, "--ranks", 1)
        stage = json.loads(json_file.read_text(encoding="utf-8"))["stages"][0]
        program.run_well(1, "bench", *words, "--steps", 2, variables=gpu.on_gpus())
        measured = json.loads(json_file.read_text(encoding="utf-8"))
        return stage, measured["device_peak_bytes"][0]

    def test_inputs_are_not_the_gpus(self):
        here, peak_here = self.figures({})
        there, peak_there = self.figures(IN_CPU)
        print("planned", here["device_peak_bytes"], there["device_peak_bytes"], "measured",
              peak_here, peak_there, flush=True)
        self.assertEqual(here["device_peak_bytes"] - there["device_peak_bytes"],
                         peak_here - peak_there)
        self.assertLess(peak_there, peak_here)
        self.assertEqual(here["kept_on_host_bytes"], 0)
        self.assertGreaterEqual(there["kept_on_host_bytes"], peak_here - peak_there)


class Saves(gpu.Runs):
    """Whichever way the state's copy reaches the ranks that write it."""

    def test_writers_share_memory(self):
        runs = [self.train("llama", 2, gpu.GPU, FEW_HEADS, {"checkpoint": keys})[0]
                for keys in ({}, {"writers_per_node": 1}, {"async": False})]
        for run in runs[1:]:
            self.assert_equal(run, runs[0])


if __name__ == "__main__":
    unittest.main()
