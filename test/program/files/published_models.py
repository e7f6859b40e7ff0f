# SPDX-License-Identifier: Apache-2.0
"""Published models through the program: decks for them, training from them on meshes, converted
both ways, and the errors of each.

  published_models.py [PublishedModels.test_NAME]...

"""
import json
import shutil
import struct
import sys
import unittest
from pathlib import Path

import h5py
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402
from foreign_data import write_indexed  # noqa: E402

MODELS = program.SOURCE / "test/support/golden/huggingface"
VOCABULARY = 37


def read_safetensors(folder):
    """{name: (type, shape, bytes)} of all files of a folder."""
    tensors = {}
    for path in sorted(Path(folder).glob("*.safetensors")):
        data = path.read_bytes()
        size = struct.unpack("<Q", data[:8])[0]
        for name, entry in json.loads(data[8:8 + size]).items():
            if name != "__metadata__":
                begin, end = (8 + size + at for at in entry["data_offsets"])
                tensors[name] = (entry["dtype"], entry["shape"], data[begin:end])
    return tensors


class PublishedModels(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = program.work_folder("published_models")
        random = np.random.default_rng(3)
        texts = [[*random.integers(1, VOCABULARY - 2, size=40).tolist(), 0] for _ in range(60)]
        cls.data = write_indexed(cls.folder / "corpus", texts)

    def deck(self, model, name):
        path = self.folder / f"{name}.yml"
        path.write_text(program.run_well(1, "deck", model), encoding="utf-8")
        return path

    def train(self, deck, *settings, ranks=1, done=True):
        words = [f"data_path={self.data}", "end_of_document=0", "train_iters=2", "device=cpu",
                 "log_interval=1", "split=90, 10, 0", "eval_iters=0", "warmup=0",
                 "gradient_accumulation_steps=null", "train_batch_size=4",
                 "train_micro_batch_size_per_gpu=null", *settings]
        run = program.run_well if done else program.run
        return run(ranks, "train", deck, *(w for s in words for w in ("--set", s)))

    def losses(self, *words, **more):
        return [float(line.split(" loss ")[1].split()[0])
                for line in self.train(*words, **more).splitlines() if " loss " in line]

    def test_decks_train_on_any_mesh(self):
        deck = self.deck(MODELS / "gpt_neox", "meshes")
        one = self.losses(deck)
        self.assertEqual(len(one), 2)
        for ranks, *settings in ((2, "pipe_parallel_size=2"),
                                 (3, "model_parallel_size=3"),
                                 (2, "zero_optimization.stage=3")):
            for a, b in zip(one, self.losses(deck, *settings, ranks=ranks)):
                self.assertAlmostEqual(a, b, delta=2e-4)

    def test_a_run_goes_on_from_its_own_checkpoints(self):
        deck = self.deck(MODELS / "llama", "goes_on")
        save = f"save={self.folder / 'goes_on'}"
        self.train(deck, save)
        out = self.train(deck, save, "train_iters=3")
        self.assertIn("resume", out)
        self.assertIn("at iteration 2", out)

    def test_there_and_back(self):
        first = self.folder / "first"
        out = program.run_well(1, "convert", MODELS / "gptj", first)
        self.assertIn("load: ", out)
        with h5py.File(first / "global_step0/checkpoint.h5") as file:
            self.assertEqual(file["model/embed_in.weight"].shape, (VOCABULARY, 24))
        program.run_well(1, "inspect", first, "--verify")
        second = self.folder / "second"
        program.run_well(1, "convert", first, second, "--max-shard-size", "20KB")
        self.assertEqual(read_safetensors(MODELS / "gptj"), read_safetensors(second))
        self.assertTrue((second / "model.safetensors.index.json").is_file())
        self.assertIn("num_layers: 2", (second / "README.md").read_text(encoding="utf-8"))
        deck = self.deck(second, "second")
        self.assertEqual(self.losses(deck), self.losses(deck, f"load={first}"))

    def test_the_kept_tokenizer_is_written(self):
        model, run = self.folder / "spoken", self.folder / "spoken_run"
        shutil.copytree(MODELS / "llama", model)
        vocabulary = {"a": 0, "b": 1, "ab": 2, "<|endoftext|>": 3}
        (model / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
        (model / "merges.txt").write_text("#version: 0.2\na b\n", encoding="utf-8")
        program.run_well(1, "convert", model, f"{run}/")
        (model / "tokenizer.json").write_text("{}", encoding="utf-8")  # another one, later
        out = self.folder / "spoken_out"
        said = program.run_well(1, "convert", run, f"{out}//")
        self.assertNotIn("no tokenizer", said)
        written = json.loads((out / "tokenizer.json").read_text(encoding="utf-8"))
        self.assertEqual(written["model"]["vocab"], vocabulary)
        self.assertEqual(written["added_tokens"][0]["single_word"], False)
        self.assertFalse((out / "vocab.json").exists())
        self.assertEqual(list(self.folder.glob("spoken*/*.tmp")), [])

    def test_trained_halves_are_written_from_masters(self):
        deck = self.deck(MODELS / "qwen2", "halves")
        run = self.folder / "halves"
        self.train(deck, f"save={run}", "precision=bfloat16")
        for name, word in (("half", "BF16"), ("whole", "F32")):
            more = ["--dtype", "float32"] if word == "F32" else []
            program.run_well(1, "convert", run, self.folder / name, *more)
            tensors = read_safetensors(self.folder / name)
            self.assertEqual({t[0] for t in tensors.values()}, {word})
        masters = program.read_whole(run / "global_step2")
        embedding = masters["optimizer/master/embed_in.weight"]
        self.assertEqual(tensors["model.embed_tokens.weight"][2], embedding.tobytes())

    def test_errors(self):
        deck = self.deck(MODELS / "llama", "errors")
        for settings, part in (
                (["finetune=false"], "set finetune: true"),
                (["norm=layernorm", "rotary_emb_base=500"], "norm (\"layernorm\" and"),
                (["norm=layernorm", "rotary_emb_base=500"], "rotary_emb_base (500"),
                (["vocab_size=36"], "vocab_size (36 and 37)")):
            done = self.train(deck, *settings, done=False)
            self.assertEqual(done.returncode, 1, settings)
            self.assertIn(part, done.stderr)
            self.assertEqual(done.stderr.count("trireme: error"), 1, done.stderr)
        for words, part in (
                (("convert", MODELS / "llama", self.folder), "something already"),
                (("convert", self.folder / "none", self.folder / "x"), "not a folder"),
                (("convert", self.data, self.folder / "x"), "convert data"),
                (("convert", self.folder, self.folder / "x"), "neither a checkpoint"),
                (("convert", MODELS / "llama", ""), "TO is empty"),
                (("deck", self.folder), "no config.json")):
            done = program.run(1, *words)
            self.assertEqual(done.returncode, 1, words)
            self.assertIn(part, done.stderr)
            self.assertFalse((self.folder / "x").exists())


if __name__ == "__main__":
    unittest.main(verbosity=2)
