#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fine-tuning from the command line: conversations, adapters, frozen parameters, what a deck
may change when it resumes, and adapters of published models.

  tuning.py [CLASS | CLASS.test_NAME]...

"""
import json
import sys
import unittest
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402
from foreign_data import write_indexed  # noqa: E402
from published_models import MODELS, VOCABULARY, read_safetensors  # noqa: E402
from stops import STOPPED, TP2, Runs  # noqa: E402

LORA = {"rank": 2, "alpha": 4, "dropout": 0.1}


class Tuning(Runs):
    """Fine-tunes a checkpoint of 4 iterations."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        program.run_well(1, "train", cls.deck(cls, "base", train_iters=4))
        cls.base = cls.folder / "base"
        cls.weights = program.read_checkpoint(cls.base / "global_step4")

    def tune(self, name, ranks=1, code=0, **keys):
        keys = {"load": str(self.base), "finetune": True, **keys}
        return self.train(name, ranks, code, **keys)

    def test_adapters(self):
        run, said = self.tune("adapters", 2, lora=LORA, **TP2)
        self.assertIn("finetune the weights of", said)
        self.assertIn("16 of 16 adapter matrices are not in these weights and begin anew", said)
        self.assertIn("parameters train (", said)
        tuned = program.read_checkpoint(run / "global_step6")
        for name, array in tuned.items():
            if "lora" in name:
                self.assertTrue(np.any(array), name)
            elif name.startswith("model/"):
                self.assertTrue(program.equal(array, self.weights[name]), name)
            else:
                self.assertIn("master", name)
        self.assertEqual(sum(".lora_" in n for n in tuned if n.startswith("model/")), 16)
        for words, keys in [
            ("made with lora.rank 2, but the deck's is 3", {"lora": {**LORA, "rank": 3}}),
            ("made with lora.alpha 4", {"lora": {**LORA, "alpha": 5}}),
            ("has adapters of rank 2, and this deck has none", {"lora": None}),
            ("has adapters of rank 2, and this deck has none",
             {"lora": None, "finetune": False}),
        ]:
            with self.subTest(words):
                _, said = self.tune("other", code=1, load=str(run), **{"lora": LORA, **keys})
                self.assertIn(words, said)
        _, said = self.tune("none", code=1, finetune=False, lora=LORA)
        self.assertIn("has no adapters, and this deck has some of rank 2", said)

    def test_a_restart_on_another_mesh(self):
        keys = {"lora": LORA, "lr_groups": [{"match": "lora_B", "lr_scale": 4}]}
        run, said = self.tune("stopped", 2, STOPPED, exit_interval=3, **keys)
        self.assertIn("parameters of 'lora_B': rate × 4", said)
        self.tune("stopped", 2, exit_interval=3, **keys)
        whole, _ = self.tune("whole", 2, **keys)
        self.assert_same_run(run, whole)

    def test_frozen_parameters(self):
        keys = {"train_only": ["^layers.1", "final"], "freeze": "bias"}
        run, said = self.tune("frozen", 2, pipe_parallel_size=2, **keys)
        tuned = program.read_checkpoint(run / "global_step6")
        for name, array in tuned.items():
            parameter = name.rpartition("/")[2]
            trains = parameter.startswith(("layers.1", "final")) and "bias" not in parameter
            if name.startswith("model/"):
                self.assertEqual(program.equal(array, self.weights[name]), not trains, name)
            elif "master" not in name:
                self.assertTrue(trains, name)
        resumed = {"load": str(run), "finetune": False, "train_iters": 8}
        _, said = self.tune("wider", code=1, **resumed, **{**keys, "freeze": None})
        self.assertIn("set no_load_optim: true to go on with a new one", said)
        self.assertIn('made with freeze ["bias"], but the deck\'s is null', said)
        _, said = self.tune("wider", no_load_optim=True, **resumed, **{**keys, "freeze": None})
        self.assertIn("at iteration 6, with a new optimizer state", said)

    def test_conversations(self):
        lines = self.folder / "chat.jsonl"
        with open(lines, "w", encoding="utf-8") as file:
            for i in range(300):
                answer = f"{i} is {'odd' if i % 2 else 'even'}"
                turns = [{"role": "user", "content": f"what is {i}?"},
                         {"role": "assistant", "content": answer}]
                file.write(json.dumps({"messages": turns}) + "\n")
        tokens = self.folder / "chat.h5"
        program.run_well(1, "prepare", "--input", lines, "--output", tokens,
                         "--chat-template", "chatml", "--train-on", "assistant")
        run, _ = self.tune("chat", 2, data_path=str(tokens), train_iters=40, lora=LORA, lr=2e-2,
                           lr_decay_iters=40, seq_length=32, log_interval=40,
                           train_only=["embed", "norm"])
        loss = program.read_metrics(run)["train/loss"]
        self.assertLess(np.mean(loss[-5:]), np.mean(loss[:5]) - 0.3)


def array_of(tensor):
    kind, shape, data = tensor
    assert kind == "F32", kind
    return np.frombuffer(data, "<f4").reshape(shape).astype(np.float64)


class Published(unittest.TestCase):
    """Adapters beside published models: alone, and merged."""

    @classmethod
    def setUpClass(cls):
        cls.folder = program.work_folder("tuning_published")
        random = np.random.default_rng(4)
        texts = [[*random.integers(1, VOCABULARY - 2, size=40).tolist(), 0] for _ in range(60)]
        cls.data = write_indexed(cls.folder / "corpus", texts)

    def tuned(self, model, name, *settings):
        deck = self.folder / f"{name}.yml"
        deck.write_text(program.run_well(1, "deck", MODELS / model), encoding="utf-8")
        words = [f"data_path={self.data}", "end_of_document=0", "train_iters=3", "device=cpu",
                 "split=90, 10, 0", "eval_iters=0", "warmup=0", "train_batch_size=4", "lr=0.01",
                 "gradient_accumulation_steps=null", "train_micro_batch_size_per_gpu=null",
                 f"save={self.folder / name}", "finetune=true", *settings]
        said = program.run_well(1, "train", deck, *(w for s in words for w in ("--set", s)))
        self.assertIn("begin anew", said)
        return self.folder / name

    def test_alone_and_merged(self):
        for model, transposed in (("llama", False), ("gptj", False),
                                  ("gpt2", True)):
            with self.subTest(model):
                run = self.tuned(model, model, "lora.rank=2", "lora.alpha=6")
                merged, alone = (self.folder / f"{model}-{n}" for n in ("merged", "alone"))
                said = program.run_well(1, "convert", run, merged, "--dtype", "float32")
                self.assertIn("with its adapters merged", said)
                said = program.run_well(1, "convert", run, alone, "--adapters")
                self.assertIn("as PEFT has them", said)
                self.assertEqual({p.name for p in alone.iterdir()},
                                 {"adapter_config.json", "adapter_model.safetensors"})
                settings = json.loads((alone / "adapter_config.json").read_text())
                self.assertEqual((settings["peft_type"], settings["r"], settings["lora_alpha"],
                                  settings["fan_in_fan_out"]), ("LORA", 2, 6, transposed))
                adapters = read_safetensors(alone)
                base, got = read_safetensors(MODELS / model), read_safetensors(merged)
                self.assertEqual(base.keys(), got.keys())
                adapted = 0
                for name, tensor in base.items():
                    stem = "base_model.model." + name.removesuffix(".weight")
                    if f"{stem}.lora_A.weight" not in adapters:
                        self.assertEqual(tensor, got[name], name)
                        continue
                    adapted += 1
                    self.assertTrue(any(name.removesuffix(".weight").endswith("." + t)
                                        for t in settings["target_modules"]), name)
                    a, b = (array_of(adapters[f"{stem}.lora_{x}.weight"]) for x in "AB")
                    delta = 3 * (b @ a)
                    self.assertGreater(np.abs(delta).max(), 1e-4)
                    expected = array_of(tensor) + (delta.T if transposed else delta)
                    np.testing.assert_allclose(array_of(got[name]), expected, atol=1e-6)
                self.assertEqual(2 * adapted, len(adapters))

    def test_errors(self):
        run = self.tuned("llama", "norms", "lora.rank=2", "train_only=norm",
                         "lora.targets=dense")
        for words, part in (
                ((run, "--adapters"), "train_only let other parameters train"),
                ((MODELS / "llama", "--adapters"), "no checkpoint of a run with adapters")):
            done = program.run(1, "convert", words[0], self.folder / "x", *words[1:])
            self.assertEqual(done.returncode, 1, words)
            self.assertIn(part, done.stderr)
            self.assertFalse((self.folder / "x").exists())


if __name__ == "__main__":
    unittest.main()
