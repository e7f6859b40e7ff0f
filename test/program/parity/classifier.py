#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Perceptrons that classify images: PyTorch's steps, every mesh, restarts, accuracy, and what
is refused.

  classifier.py [CLASS | CLASS.test_NAME]...

"""
import json
import subprocess
import sys
import unittest
from pathlib import Path

import h5py
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402
from task_runs import TaskRuns  # noqa: E402

GOLDEN = json.loads((program.SOURCE / "test/support/golden/perceptron.json").read_text())
DECK = {"mlp_sizes": [16, 8, 5, 3], "activation": "relu", "train_batch_size": 8,
        "train_iters": 6, "log_interval": 1, "eval_interval": 3, "eval_iters": 2,
        "optimizer": {"type": "Adam", "params": {"lr": 1e-2}}, "weight_decay": 0,
        "split": "60, 40, 0", "data_path": None, "load": None}
MESHES = {  # ranks, keys
    "dp2": (2, {}),
    "tp2": (2, {"model_parallel_size": 2}),
    "pp3": (3, {"pipe_parallel_size": 3, "gradient_accumulation_steps": 4}),
    "dp2_tp2_pp2": (8, {"model_parallel_size": 2, "pipe_parallel_size": 2}),
    "uniform": (2, {"pipe_parallel_size": 2, "pipe_partition_method": "uniform"}),
    "zero1": (2, {"zero_optimization": {"stage": 1}}),
    "zero3": (2, {"zero_optimization": {"stage": 3}}),
    "recompute": (1, {"checkpoint_activations": True}),
}


def make_images(path, count=80, classes=3, side=4, labels=None):
    """Images whose class is the block of bright rows, with noise."""
    random = np.random.default_rng(1)
    kind = random.integers(0, classes, count)
    images = random.integers(0, 60, (count, side, side))
    for image, k in zip(images, kind):
        image[k] += 150
    with h5py.File(path, "w") as file:
        file["images"] = images.astype("u1")
        file["labels"] = kind.astype("i8") if labels is None else labels
    return path


class Classifier(TaskRuns):
    @classmethod
    def setUpClass(cls):
        cls.folder = program.work_folder(f"classifier_{cls.__name__}")
        cls.images = make_images(cls.folder / "images.h5")

    def deck(self, name, **keys):
        deck = {**DECK, "data_path": str(self.images), **keys}
        return program.write_deck(self.folder / f"{name}.yml", deck)


class Golden(Classifier):
    def assert_golden(self, **keys):
        images = self.folder / "golden.h5"
        with h5py.File(images, "w") as file:
            file["images"] = np.array(GOLDEN["images"], "u1")
            file["labels"] = np.array(GOLDEN["labels"], "i4")
        metrics, _ = self.train("golden", data_path=str(images), **GOLDEN["deck"], **keys)
        np.testing.assert_allclose(metrics["train/loss"], GOLDEN["losses"], atol=1e-6)
        for step, expected in (("global_step0", "first"), ("global_step10", "last")):
            with h5py.File(self.folder / "golden" / step / "checkpoint.h5") as file:
                for name, value in GOLDEN[expected].items():
                    np.testing.assert_allclose(file[f"model/{name}"][()], value, atol=1e-6,
                                               err_msg=name)


class Gpu(Golden):
    def test_a_gpu_trains_as_pytorch_and_shards_as_one_rank(self):
        self.assert_golden(device="cuda")
        one, _ = self.train("one", device="cuda")
        for name in ("tp2", "pp3"):
            ranks, keys = MESHES[name]
            metrics, _ = self.train(name, ranks, device="cuda", **keys)
            np.testing.assert_allclose(metrics["train/loss"], one["train/loss"], atol=2e-6)
            np.testing.assert_array_equal(metrics["valid/accuracy"], one["valid/accuracy"])


class Runs(Golden):
    def test_ten_steps_are_those_of_pytorch(self):
        self.assert_golden()

    def test_every_mesh_trains_alike(self):
        one, said = self.train("one")
        self.assertIn("model    perceptron of widths 16, 8, 5, 3: 199 parameters", said)
        self.assertIn("images/s", said)
        for name, (ranks, keys) in MESHES.items():
            with self.subTest(name):
                metrics, _ = self.train(name, ranks, **keys)
                for column in ("train/loss", "train/grad_norm", "valid/loss"):
                    np.testing.assert_allclose(metrics[column], one[column], atol=2e-6,
                                               err_msg=column)
                np.testing.assert_array_equal(metrics["valid/accuracy"], one["valid/accuracy"])

    def test_a_linear_model_and_half_precision(self):
        wide = {"mlp_sizes": [16, 32, 16, 3]}
        for name, keys in (("linear", {"mlp_sizes": [16, 3]}),
                           ("half", {**wide, "precision": "bf16"}),
                           ("dropped", {**wide, "hidden_dropout": 0.2})):
            metrics, said = self.train(name, 2, train_iters=120, eval_interval=60, **keys)
            self.assertGreater(metrics["valid/accuracy"][-1], 0.95, name)
            self.assertRegex(said, r"valid +120/120 \| loss \S+ \| accuracy \d+\.\d\d %")

    def test_a_restart_on_another_mesh(self):
        whole, _ = self.train("whole")
        self.train("parts", 2, train_iters=3, lr_decay_iters=6,
                   zero_optimization={"stage": 1})
        both, _ = self.train("parts", 2, load=str(self.folder / "parts"),
                             model_parallel_size=2)
        np.testing.assert_allclose(both["train/loss"], whole["train/loss"], atol=2e-6)

    def test_the_page_says_how_to_write_images(self):
        page = (program.SOURCE / "inputs/README.md").read_text(encoding="utf-8")
        start = page.index("    import h5py\n")
        lines = page[start:page.index("\nPixels are divided")].split("\n")
        code = "\n".join(line[4:] for line in lines)
        subprocess.run([sys.executable, "-c", code], cwd=self.folder, check=True)
        metrics, _ = self.train("page", 2, mlp_sizes=[784, 10], train_iters=40,
                                eval_interval=40, data_path=str(self.folder / "rows.h5"))
        self.assertGreater(metrics["valid/accuracy"][-1], 0.95)

    def test_plan_inspect_and_check(self):
        deck = self.deck("planned")
        self.assertIn("perceptron of widths", program.run_well(1, "plan", deck, "--ranks", 2))
        checked = program.run_well(1, "train", deck, "--check")
        self.assertIn("layers.2.weight", checked)
        self.assertIn("mlp_sizes: [16, 8, 5, 3]", checked)
        self.train("seen")
        inspected = program.run_well(1, "inspect", self.folder / "seen" / "global_step6")
        self.assertIn("layers.0.weight", inspected)


class Refused(Classifier):
    def test_keys(self):
        for words, keys in (
                ("num_layers has no meaning with mlp_sizes", {"num_layers": 2}),
                ("mlp_sizes expects two widths or more", {"mlp_sizes": [16]}),
                ("a perceptron's layers have no gates", {"activation": "swiglu"}),
                ("sequence_parallel is for transformers",
                 {"sequence_parallel": True}),
                ("an image has 16 bytes, but mlp_sizes begins with 9", {"mlp_sizes": [9, 3]}),
                ("vocab_size is 2 in the deck and 3 in the data", {"mlp_sizes": [16, 2]})):
            with self.subTest(words):
                self.assert_refused(words, "train", self.deck("keys", **keys))

    def test_data(self):
        tokens = program.make_tokens(self.folder)
        self.assert_refused("but mlp_sizes or patch_size makes a model for images",
                            "train", self.deck("tokens", data_path=str(tokens)))
        text = program.write_deck(self.folder / "text.yml", {
            "num_layers": 1, "hidden_size": 8, "num_attention_heads": 1, "seq_length": 8,
            "train_micro_batch_size_per_gpu": 1, "train_iters": 1, "lr": 1e-3,
            "data_path": str(self.images)})
        self.assert_refused("these are images with classes, but the model reads tokens",
                            "train", text)
        bad = self.folder / "bad.h5"
        for words, labels in (("a class for each is expected", np.zeros(3, "i4")),
                              ("class -1 of image 0", np.full(80, -1))):
            make_images(bad, labels=labels)
            self.assert_refused(words, "train", self.deck("bad", data_path=str(bad)))
        with h5py.File(bad, "w") as file:
            file["images"] = np.zeros((8, 4, 4), "f4")
        self.assert_refused("bytes (uint8) of shape [images, …] are expected",
                            "train", self.deck("bad", data_path=str(bad)))
        with h5py.File(bad, "w") as file:
            file["images"] = np.zeros((8, 4, 4), "u1")
        self.assert_refused("there is no array /labels", "train",
                            self.deck("bad", data_path=str(bad)))

    def test_commands(self):
        run = self.folder / "run"
        self.train("run")
        self.assert_refused("this model classifies images", "generate", run, "--prompt", "x")
        self.assert_refused("a classifier of images is not written as a model of Hugging Face",
                            "convert", run, self.folder / "out")


if __name__ == "__main__":
    unittest.main()
