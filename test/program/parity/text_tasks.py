#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Models that classify texts, and masked language models: equal on every mesh, restarts, scores
against scikit-learn's definitions, and what is refused.

  text_tasks.py [CLASS | CLASS.test_NAME]...

"""
import json
import sys
import unittest
from pathlib import Path

import h5py
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402
from task_runs import TaskRuns  # noqa: E402

MODEL = {"num_layers": 2, "hidden_size": 32, "num_attention_heads": 4, "seq_length": 24,
         "pos_emb": "rotary", "no_weight_tying": True, "train_batch_size": 8, "train_iters": 6,
         "log_interval": 1, "eval_interval": 3, "eval_iters": 2, "split": "60, 40, 0",
         "optimizer": {"type": "Adam", "params": {"lr": 3e-3}}, "data_path": None,
         "load": None}
MESHES = {  # ranks, keys
    "dp2": (2, {}),
    "tp2": (2, {"model_parallel_size": 2}),
    "sp2": (2, {"model_parallel_size": 2, "sequence_parallel": True}),
    "pp2": (2, {"pipe_parallel_size": 2, "gradient_accumulation_steps": 2}),
    "zero3": (2, {"zero_optimization": {"stage": 3}}),
    "recompute": (1, {"checkpoint_activations": True}),
}
COLOURS = ["red", "green", "blue", "white", "black", "grey"]


def make_texts(path, count=160):
    """Texts of words of which one names the class."""
    random = np.random.default_rng(1)
    words = ["the", "sea", "ship", "oar", "wind", "sail", "of", "and"]
    with open(path, "w") as out:
        for _ in range(count):
            kind = random.integers(len(COLOURS))
            text = list(random.choice(words, random.integers(1, 6)))
            text.insert(random.integers(len(text) + 1), COLOURS[kind])
            out.write(json.dumps({"text": " ".join(text), "label": COLOURS[kind]}) + "\n")
    return path


def make_tokenizer(path, letters="abcdefghijklmnopqrstuvwxyz"):
    """WordPiece of letters, and of letters that continue a word."""
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters,
              *("##" + x for x in letters)]
    special = [{"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False,
                "normalized": False, "special": True} for i, t in enumerate(tokens[:5])]
    path.write_text(json.dumps({
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": special,
        "normalizer": None, "pre_tokenizer": {"type": "Whitespace"}, "post_processor": None,
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100,
                  "vocab": {t: i for i, t in enumerate(tokens)}}}))
    return path


class TextTask(TaskRuns):
    KEYS = {}
    LETTERS = "abcdefghijklmnopqrstuvwxyz"

    @classmethod
    def setUpClass(cls):
        cls.folder = program.work_folder(f"text_tasks_{cls.__name__}")
        texts = make_texts(cls.folder / "texts.jsonl")
        tokenizer = make_tokenizer(cls.folder / "tokenizer.json", cls.LETTERS)
        cls.data = cls.folder / "data.h5"
        program.run_well(1, "prepare", "--input", texts, "--label-key", "label", "--tokenizer",
                         tokenizer, "--end-of-document", "[SEP]", "--output", cls.data)

    def deck(self, name, **keys):
        deck = {**MODEL, **self.KEYS, "data_path": str(self.data), **keys}
        return program.write_deck(self.folder / f"{name}.yml", deck)

    def check_meshes(self, *columns):
        one, _ = self.train("one")
        for name, (ranks, keys) in MESHES.items():
            with self.subTest(name):
                metrics, _ = self.train(name, ranks, **keys)
                for column in ("train/loss", "train/grad_norm", "valid/loss", *columns):
                    np.testing.assert_allclose(metrics[column], one[column], rtol=2e-5,
                                               err_msg=column)


class Classification(TextTask):
    KEYS = {"task": "sequence_classification", "classifier_pooler": True,
            "classifier_dropout": 0.1}

    def test_meshes(self):
        self.check_meshes("valid/accuracy", "valid/macro_f1", "valid/top5_accuracy")

    def test_halves_and_restart(self):
        for precision in ("bfloat16", "fp16"):
            metrics, _ = self.train(precision, precision=precision)
            self.assertTrue(np.isfinite(metrics["train/loss"]).all())
        whole, _ = self.train("whole")
        self.train("parts", 2, train_iters=3, lr_decay_iters=6, zero_optimization={"stage": 1})
        both, _ = self.train("parts", 2, load=str(self.folder / "parts"),
                             model_parallel_size=2)
        np.testing.assert_allclose(both["train/loss"], whole["train/loss"], rtol=2e-5)
        np.testing.assert_array_equal(both["valid/accuracy"], whole["valid/accuracy"])

    def test_scores(self):
        metrics, said = self.train("scores", train_iters=300, eval_interval=300, eval_iters=8,
                                    log_interval=50)
        with h5py.File(self.folder / "scores" / "metrics.h5") as file:
            matrix = file["confusion/valid/300"][:]
            names = [x.decode().rstrip("\0") for x in file["confusion/classes"][:]]
        self.assertEqual(sorted(names), sorted(COLOURS))
        self.assertEqual(matrix.sum(), 64)
        right = np.diag(matrix)
        self.assertEqual(metrics["valid/accuracy"][-1], right.sum() / 64)
        either = matrix.sum(0) + matrix.sum(1)
        self.assertAlmostEqual(metrics["valid/macro_f1"][-1],
                               np.mean(2 * right[either > 0] / either[either > 0]), 12)
        self.assertGreater(metrics["valid/accuracy"][-1], 0.9, said)
        self.assertGreaterEqual(metrics["valid/top5_accuracy"][-1],
                                metrics["valid/accuracy"][-1])
        self.assertRegex(said, r"accuracy \d+\.\d\d % \| top 5 \d+\.\d\d % \| macro F1 0\.\d+")

    def test_what_a_step_saw(self):
        run = self.folder / "looked"
        self.train("looked", train_iters=1)
        said = program.run_well(1, "inspect", run, "--step", 1, "--sample", 2)
        self.assertRegex(said, r"targets +1 of 1 count")
        name = said[said.index("label  "):].split("\n")[0].split(", ")[1]
        self.assertIn(name, said[said.index("text  "):].replace(" ", ""))

    def test_from_a_language_model(self):
        self.train("pretrained", task="language_model", train_iters=2, classifier_pooler=False,
                   classifier_dropout=0)
        metrics, said = self.train("tuned", load=str(self.folder / "pretrained"), finetune=True)
        self.assertIn("score.weight", said)
        self.assertTrue(np.isfinite(metrics["train/loss"]).all())
        self.assert_refused("set task to language_model to resume", "train", self.deck(
            "other", load=str(self.folder / "pretrained")))

    def test_refused(self):
        self.train("seen", train_iters=1)
        self.assert_refused("this model classifies texts", "generate", self.folder / "seen",
                            "--prompt", "x")
        self.assert_refused("num_labels is 3 in the deck", "train",
                            self.deck("few", num_labels=3))
        self.assert_refused("fim_rate is for task: language_model", "train",
                            self.deck("fim", fim_rate=0.5, fim_tokens=[1, 2, 3]))
        plain = self.folder / "plain.txt"
        plain.write_text("A text without a label. " * 99)
        program.run_well(1, "prepare", "--input", plain, "--output", self.folder / "plain.h5")
        self.assert_refused("its documents have no labels", "train",
                            self.deck("plain", data_path=str(self.folder / "plain.h5")))

    def test_plan_and_check(self):
        deck = self.deck("planned")
        self.assertIn("parameters", program.run_well(1, "plan", deck, "--ranks", 2))
        checked = program.run_well(1, "train", deck, "--check")
        self.assertIn("score.weight", checked)
        self.assertIn("pooler.dense.weight", checked)
        self.assertIn("num_labels: 6", checked)
        self.assertIn("within the bounds", program.run_well(2, "verify", deck, "--set",
                                                "model_parallel_size=2"))


class FromHuggingFace(TextTask):
    """Fine-tuning of the golden BERT, whose 37 tokens are those of 16 letters."""
    BERT = program.SOURCE / "test/support/golden/huggingface/bert"
    KEYS = {"hidden_size": 24, "intermediate_size": 44, "seq_length": 12, "pos_emb": "learned",
            "max_position_embeddings": 16, "type_vocab_size": 2, "layernorm_epsilon": 1e-12,
            "norm_placement": "after_sum", "embedding_norm": True,
            "bidirectional_attention": True, "no_weight_tying": False, "train_iters": 1,
            "load": str(BERT), "finetune": True, "eval_iters": 0,
            "optimizer": {"type": "SGD", "params": {"lr": 0}}}
    LETTERS = "abdeghiklnorstuw"

    def values(self, folder=BERT):
        """The folder's tensors by name."""
        data = (folder / "model.safetensors").read_bytes()
        size = int.from_bytes(data[:8], "little")
        tensors = {}
        for name, facts in json.loads(data[8:8 + size]).items():
            if name != "__metadata__":
                begin, end = (8 + size + x for x in facts["data_offsets"])
                tensors[name] = np.frombuffer(data[begin:end], "<f4").reshape(facts["shape"])
        return tensors

    def check(self, name, **keys):
        _, said = self.train(name, 2, **keys)
        self.assertIn(f"finetune the bert model in {self.BERT}", said)
        theirs = self.values()
        with h5py.File(self.folder / name / "global_step1" / "checkpoint.h5") as file:
            for ours, other in (
                    ("embed_in.weight", "bert.embeddings.word_embeddings.weight"),
                    ("layers.1.mlp.dense_h_to_4h.weight",
                     "bert.encoder.layer.1.intermediate.dense.weight"),
                    ("layers.1.post_mlp_output_norm.bias",
                     "bert.encoder.layer.1.output.LayerNorm.bias")):
                np.testing.assert_array_equal(file[f"model/{ours}"][()], theirs[other], ours)
        return said

    def test_a_classifier_has_a_new_head(self):
        said = self.check("classes", task="sequence_classification", classifier_pooler=True)
        self.assertIn("pooler.dense.weight, pooler.dense.bias, score.weight, score.bias are "
                      "not in these weights and begin anew", said)
        folder = self.folder / "bert_classes"
        program.run_well(1, "convert", self.folder / "classes", folder)
        self.assertEqual(self.values(folder)["classifier.weight"].shape, (6, 24))
        again, said = self.train("again", 2, task="sequence_classification",
                                 classifier_pooler=True, load=str(folder))
        self.assertNotIn("begin anew", said)
        first = program.read_metrics(self.folder / "classes")
        np.testing.assert_allclose(again["train/loss"], first["train/loss"], rtol=1e-6)

    def test_a_masked_model_goes_on(self):
        self.check("masks", task="masked_language_model", output_transform=True,
                   use_bias_in_output=True)
        program.run_well(1, "convert", self.folder / "masks", self.folder / "bert")
        written = self.values(self.folder / "bert")
        self.assertEqual(written.keys(), self.values().keys())
        for name, value in self.values().items():
            np.testing.assert_array_equal(written[name], value, name)

    def test_another_model_is_refused(self):
        self.assert_refused("the deck's model is another one", "train", self.deck(
            "other", task="sequence_classification", intermediate_size=48))


class Masked(TextTask):
    KEYS = {"task": "masked_language_model", "bidirectional_attention": True}

    def test_meshes(self):
        self.check_meshes("valid/perplexity")

    def test_whole_words(self):
        metrics, _ = self.train("words", whole_word_mask=True)
        self.assertTrue(np.isfinite(metrics["train/loss"]).all())
        program.run_well(1, "prepare", "--input", self.folder / "texts.jsonl", "--output",
                         self.folder / "bytes.h5")
        self.assert_refused("needs a token that hides others", "train",
                            self.deck("bytes", data_path=str(self.folder / "bytes.h5")))
        self.assert_refused("WordPiece", "train",
                            self.deck("no_words", data_path=str(self.folder / "bytes.h5"),
                                      mask_token_id=256, whole_word_mask=True))


if __name__ == "__main__":
    unittest.main()
