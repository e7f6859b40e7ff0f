#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Vision transformers: every mesh, restarts, half precision, pooling, augmentation, what plan
says of memory, and what is refused.

  vision.py [CLASS | CLASS.test_NAME]...

"""
import sys
import unittest
from pathlib import Path

import h5py
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402
from task_runs import TaskRuns  # noqa: E402

DECK = {"image_size": [6, 9], "num_channels": 3, "patch_size": 3, "num_layers": 2,
        "hidden_size": 16, "num_attention_heads": 4, "hidden_dropout": 0.1,
        "train_batch_size": 8, "train_iters": 6, "log_interval": 1, "eval_interval": 3,
        "eval_iters": 2, "optimizer": {"type": "Adam", "params": {"lr": 1e-2}},
        "augmentation": {"shift": 1, "flip": True}, "label_smoothing": 0.1,
        "split": "60, 40, 0", "data_path": None, "load": None}
MESHES = {  # ranks, keys
    "dp2": (2, {}),
    "tp2": (2, {"model_parallel_size": 2}),
    "sp2": (2, {"model_parallel_size": 2, "sequence_parallel": True,
                "gradient_accumulation_steps": 2}),
    "pp2": (2, {"pipe_parallel_size": 2, "gradient_accumulation_steps": 4}),
    "zero2": (2, {"zero_optimization": {"stage": 2}}),
    "zero3": (2, {"zero_optimization": {"stage": 3}}),
    "recompute": (1, {"checkpoint_activations": True}),
    "dp2_tp2_pp2": (8, {"model_parallel_size": 2, "pipe_parallel_size": 2}),
}


def make_images(path, count=160, classes=3):
    """Images whose class is the colour of a bright row."""
    random = np.random.default_rng(1)
    kind = random.integers(0, classes, count)
    images = random.integers(0, 60, (count, 6, 9, 3))
    for image, k in zip(images, kind):
        image[random.integers(1, 5), :, k] += 150
    with h5py.File(path, "w") as file:
        file["images"] = images.astype("u1")
        file["labels"] = kind
    return path


class Vision(TaskRuns):
    @classmethod
    def setUpClass(cls):
        cls.folder = program.work_folder(f"vision_{cls.__name__}")
        cls.images = make_images(cls.folder / "images.h5")

    def deck(self, name, **keys):
        deck = {**DECK, "data_path": str(self.images), **keys}
        deck = {key: value for key, value in deck.items() if value != "left out"}
        return program.write_deck(self.folder / f"{name}.yml", deck)


class Runs(Vision):
    def check_meshes(self, kind, names, **keys):
        one, said = self.train(f"one_{kind}", **keys)
        self.assertIn("6 × 9 pixels in patches of 3", said)
        for name in names:
            with self.subTest(name):
                ranks, mesh = MESHES[name]
                metrics, _ = self.train(f"{name}_{kind}", ranks, **{**keys, **mesh})
                for column in ("train/loss", "train/grad_norm", "valid/loss"):
                    np.testing.assert_allclose(metrics[column], one[column], rtol=2e-5,
                                               err_msg=column)
                np.testing.assert_array_equal(metrics["valid/accuracy"], one["valid/accuracy"])

    def test_every_mesh_trains_alike(self):
        self.check_meshes("first", MESHES)

    def test_every_mesh_pools_alike(self):
        self.check_meshes("mean", ("dp2", "sp2", "pp2", "recompute"), classifier_pooling="mean",
                          classifier_pooler=True, num_layers=3)

    def test_it_learns_in_every_precision(self):
        for name, keys in (("whole", {}), ("half", {"precision": "bfloat16"}),
                           ("fp16", {"precision": "fp16"}),
                           ("means", {"classifier_pooling": "mean"}),
                           ("dropped", {"progressive_layer_drop":
                                        {"enabled": True, "theta": 0.8, "gamma": 1}})):
            metrics, _ = self.train(name, 2, train_iters=100, eval_interval=100,
                                    eval_iters=8, **keys)
            self.assertGreater(metrics["valid/accuracy"][-1], 0.9, name)

    def test_a_restart_on_another_mesh(self):
        whole, _ = self.train("all")
        self.train("parts", 2, train_iters=3, lr_decay_iters=6,
                   zero_optimization={"stage": 1})
        both, _ = self.train("parts", 2, load=str(self.folder / "parts"),
                             model_parallel_size=2)
        np.testing.assert_allclose(both["train/loss"], whole["train/loss"], rtol=2e-5)
        self.assert_refused("patch_size", "train", self.deck(
            "other", load=str(self.folder / "parts"), patch_size=1))

    def test_augmentation_is_of_training_alone(self):
        plain, _ = self.train("plain", train_iters=1, eval_interval=1, augmentation={},
                              optimizer={"type": "SGD", "params": {"lr": 0}})
        moved, _ = self.train("moved", train_iters=1, eval_interval=1,
                              optimizer={"type": "SGD", "params": {"lr": 0}})
        self.assertNotEqual(plain["train/loss"][0], moved["train/loss"][0])
        self.assertEqual(plain["valid/loss"][0], moved["valid/loss"][0])

    def test_plan_check_and_verify(self):
        deck = self.deck("planned")
        self.assertIn("parameters", program.run_well(1, "plan", deck, "--ranks", 4))
        without = self.deck("without", data_path="left out", num_labels=3)
        self.assertIn("parameters", program.run_well(1, "plan", without, "--ranks", 2))
        checked = program.run_well(1, "train", deck, "--check")
        for words in ("embed_patches.weight", "embed_class.weight", "score.weight",
                      "image_size: [6, 9]"):
            self.assertIn(words, checked)
        self.assertIn("within the bounds", program.run_well(2, "verify", deck, "--set",
                                                "model_parallel_size=2"))


class Refused(Vision):
    def test_keys(self):
        for words, keys in (
                ("needs mlp_sizes, which makes a perceptron, or patch_size",
                 {"patch_size": "left out", "task": "image_classification", "seq_length": 7}),
                ("image_size is of vision transformers, which need patch_size",
                 {"patch_size": "left out", "seq_length": 7, "augmentation": "left out"}),
                ("patch_size 3 needs image_size", {"image_size": "left out"}),
                ("is not divisible by patch_size 4", {"patch_size": 4}),
                ("seq_length is 9, but the image makes 7", {"seq_length": 9}),
                ("pos_emb other than learned and none is for texts", {"pos_emb": "rotary"}),
                ("patches attend to each other in both directions",
                 {"bidirectional_attention": False}),
                ("classifier_pooling: last is for texts", {"classifier_pooling": "last"}),
                ("an image has the shape [6, 9, 3], but image_size and num_channels make "
                 "[9, 6, 3]", {"image_size": [9, 6]}),
                ("num_labels is 2 in the deck and 3 in the data", {"num_labels": 2}),
                ("use_mup: true has no rule for classifiers",
                 {"use_mup": True, "mup_base": {"hidden_size": 8}})):
            with self.subTest(words):
                self.assert_refused(words, "train", self.deck("keys", **keys))

    def test_augmentation_of_texts(self):
        deck = program.write_deck(self.folder / "text.yml", {
            "num_layers": 1, "hidden_size": 8, "num_attention_heads": 1, "seq_length": 8,
            "train_micro_batch_size_per_gpu": 1, "train_iters": 1, "lr": 1e-3,
            "vocab_size": 9, "augmentation": {"shift": 1}})
        self.assert_refused("augmentation changes images, but the model reads texts", "train",
                            deck)

    def test_commands(self):
        run = self.folder / "run"
        self.train("run")
        self.assert_refused("this model classifies images", "generate", run, "--prompt", "x")
        self.assert_refused("a classifier of images is not written as a model of Hugging Face",
                            "convert", run, self.folder / "out")


if __name__ == "__main__":
    unittest.main()
