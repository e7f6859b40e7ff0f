# SPDX-License-Identifier: Apache-2.0
"""Data of Megatron through the program: trained where they lie, converted, inspected, and
blended as GPT-NeoX does.

  foreign_data.py [ForeignData.test_NAME]...

"""
import json
import struct
import sys
import unittest
from pathlib import Path

import h5py
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402

END = 256
DECK = {
    "num_layers": 1,
    "hidden_size": 16,
    "num_attention_heads": 2,
    "seq_length": 32,
    "pos_emb": "rotary",
    "train_batch_size": 4,
    "train_iters": 4,
    "lr": 1e-3,
    "eval_interval": 2,
    "eval_iters": 1,
    "log_interval": 1,
    "split": "80, 20, 0",
}
CODES = {np.uint8: 1, np.int8: 2, np.int16: 3, np.int32: 4, np.int64: 5, np.uint16: 8}


def documents(count=60, seed=1):
    """Texts of 10 to 200 bytes, as tokens."""
    random = np.random.default_rng(seed)
    return [[*random.integers(97, 123, size=random.integers(10, 200)).tolist(), END]
            for _ in range(count)]


def write_indexed(prefix, texts, dtype=np.uint16):
    """What Megatron's preprocess_data.py leaves, by its documentation."""
    sizes = np.array([len(t) for t in texts], dtype=np.int32)
    width = np.dtype(dtype).itemsize
    offsets = np.concatenate(([0], np.cumsum(sizes, dtype=np.int64)[:-1])) * width
    Path(f"{prefix}.bin").write_bytes(
        b"".join(np.array(t, dtype=dtype).tobytes() for t in texts))
    Path(f"{prefix}.idx").write_bytes(
        b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, CODES[dtype], len(texts), len(texts) + 1)
        + sizes.tobytes() + offsets.astype(np.int64).tobytes()
        + np.arange(len(texts) + 1, dtype=np.int64).tobytes())
    return prefix


class ForeignData(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = program.work_folder("foreign_data")
        cls.texts = documents()
        cls.prefix = write_indexed(cls.folder / "corpus_text_document", cls.texts)

    def losses(self, name, ranks=1, **keys):
        deck = program.write_deck(self.folder / f"{name}.yml", {**DECK, **keys})
        out = program.run_well(ranks, "train", deck)
        return [line.split("loss ")[1].split()[0] for line in out.splitlines()
                if "loss " in line], out

    def convert(self, *words):
        return program.run_well(1, "convert", "data", *words)

    def test_trains_on_data_where_they_lie_as_on_a_token_file(self):
        indexed, _ = self.losses("indexed", data_path=str(self.prefix), vocab_size=257)
        self.assertGreater(len(indexed), 4)
        file = self.folder / "same.h5"
        self.convert(self.prefix, file, "--vocab-size", 257, "--end-of-document", END)
        converted, _ = self.losses("converted", data_path=str(file))
        self.assertEqual(indexed, converted)
        two, _ = self.losses("two", ranks=2, data_path=f"{self.prefix}.bin", vocab_size=257)
        self.assertEqual(len(two), len(indexed))

    def test_a_run_over_several_files_is_resumed(self):
        paths = [str(write_indexed(self.folder / f"part{i}", documents(60, seed=i + 2)))
                 for i in range(3)]
        keys = {"train_data_paths": paths, "vocab_size": 257, "train_data_weights": [1, 2, 3],
                "eval_iters": 0, "split": None}
        whole, _ = self.losses("several", **keys)
        save = {"save": str(self.folder / "several"), "load": str(self.folder / "several")}
        deck = program.write_deck(self.folder / "begun.yml",
                                  {**DECK, **keys, **save, "exit_interval": 2})
        self.assertEqual(program.run(1, "train", deck).returncode, 75)
        second, out = self.losses("resumed", ranks=2, **keys, **save)
        self.assertIn("resume ", out)
        self.assertEqual([x[:6] for x in whole[-2:]], [x[:6] for x in second[-2:]])

    def test_vocabulary_must_be_known(self):
        deck = program.write_deck(self.folder / "unknown.yml",
                                  {**DECK, "data_path": str(self.prefix)})
        done = program.run(1, "train", deck)
        self.assertEqual(done.returncode, 1)
        self.assertIn("set vocab_size in the deck", done.stderr)
        deck = program.write_deck(self.folder / "reset.yml",
                                  {**DECK, "data_path": str(self.prefix), "vocab_size": 257,
                                   "reset_attention_mask": True})
        self.assertIn("set end_of_document", program.run(1, "train", deck).stderr)

    def test_the_decks_tokenizer_says_what_the_data_lack(self):
        text = "ab ab" * 8
        ids = [3, 4, 3, 4] * 8  # "ab", " ab"
        prefix = write_indexed(self.folder / "gpt2", [[*ids, 5] for _ in range(60)])
        vocabulary = self.folder / "v.json"
        vocabulary.write_text(json.dumps(
            {"a": 0, "b": 1, "Ġ": 2, "ab": 3, "Ġab": 4, "<|endoftext|>": 5}))
        merges = self.folder / "m.txt"
        merges.write_text("#version: 0.2\na b\nĠ ab\n", encoding="utf-8")
        run = self.folder / "gpt2_run"
        keys = {"data_path": str(prefix), "tokenizer_type": "GPT2BPETokenizer",
                "vocab-file": str(vocabulary), "merge-file": str(merges)}
        losses, out = self.losses("gpt2", ranks=2, save=str(run), eod_mask_loss=True, **keys)
        self.assertGreater(len(losses), 4)
        self.assertIn(f"vocabulary of 6 ids, and id 5 ends documents, by vocab_file: "
                      f"{vocabulary}", out)
        with h5py.File(run / "metrics.h5", "r") as file:
            valid = file["valid/loss"][0], file["valid/bits_per_byte"][0]
        with h5py.File(run / "global_step4" / "checkpoint.h5", "r") as file:
            kept = file["storage/tokenizer"]
            self.assertIn('"merges"', bytes(kept[:]).decode())
            self.assertEqual(kept.attrs["kind"], "hugging-face")
        self.assertTrue(np.isfinite(valid[1]), valid)
        self.assertLess(valid[1], valid[0] / np.log(2))  # a token has two to three bytes
        shown = program.run_well(1, "inspect", run, "--step", 1, "--sample", 0)
        self.assertIn(text[:9], shown.split("text ")[1])
        same, _ = self.losses("numbers", ranks=2, data_path=str(prefix), vocab_size=6,
                              end_of_document=5, eod_mask_loss=True)
        self.assertEqual([x.rstrip(",") for x in losses],
                         [x.rstrip(",") for x in same])
        plan = program.write_deck(self.folder / "plan.yml",
                                  {**DECK, **keys, "data_path": str(self.folder / "later.h5")})
        sized = program.run_well(1, "plan", plan, "--ranks", 1, "--set", "vocab_size=6")
        self.assertEqual(program.run_well(1, "plan", plan, "--ranks", 1), sized)
        vocabulary.rename(self.folder / "elsewhere.json")
        _, out = self.losses("gone", **keys, vocab_size=6)
        self.assertIn(f"vocab_file: {vocabulary}: there is no such file or folder", out)
        self.assertIn("goes on without this tokenizer", out)

    def test_conversion_and_back_is_exact(self):
        file = self.folder / "corpus.h5"
        out = self.convert(self.prefix, file, "--vocab-size", 257, "--end-of-document", END)
        self.assertIn(f"{len(self.texts)} documents from Megatron's", out)
        for dtype, name in ((np.uint16, None), (np.int32, "int32"), (np.int64, "int64")):
            expected = write_indexed(self.folder / "expected", self.texts, dtype)
            back = self.folder / "back"
            self.convert(file, back, "--overwrite", *(["--type", name] if name else []))
            for ending in (".bin", ".idx"):
                self.assertEqual(Path(f"{back}{ending}").read_bytes(),
                                 Path(f"{expected}{ending}").read_bytes(), ending)
        done = program.run(1, "convert", "data", file, self.prefix)
        self.assertIn("--overwrite", done.stderr)
        write_indexed(self.folder / "endless", [[1, 2, 3]])
        done = program.run(1, "convert", "data", self.folder / "endless", self.folder / "no.h5",
                           "--vocab-size", 257, "--end-of-document", END)
        self.assertIn("--append-eod", done.stderr)
        self.assertFalse((self.folder / "no.h5").exists())

    def test_inspect_shows_documents_and_steps(self):
        out = program.run_well(1, "inspect", self.prefix)
        self.assertIn("documents   60", out)
        out = program.run_well(1, "inspect", self.prefix, "--document", 7)
        self.assertIn(" ".join(map(str, self.texts[7])), out)
        file = self.folder / "shown.h5"
        self.convert(self.prefix, file, "--vocab-size", 257, "--end-of-document", END)
        run = self.folder / "run"
        self.losses("shown", data_path=str(file), save=str(run), ranks=2)
        out = program.run_well(1, "inspect", run, "--step", 3)
        self.assertIn("step 3: samples 8 to 11 of 32 tokens", out)
        one = program.run_well(1, "inspect", run, "--step", 3, "--sample", 1)
        ids = [int(word) for word in one.split("ids ")[1].splitlines()[0].split()]
        self.assertEqual(len(ids), 33)
        joined = [token for text in self.texts for token in text]
        begin = int(one.split(", tokens ")[1].split()[0])
        self.assertEqual(ids, joined[begin:begin + 33])
        for words, text in (((run, "--step", 5), "steps 1 to 4"),
                            ((run, "--step", 3, "--sample", 4), "samples 0 to 3"),
                            ((self.folder, "--step", 1), "no deck.yml")):
            self.assertIn(text, program.run(1, "inspect", *words).stderr)

    def test_several_paths_have_equal_shares(self):
        small = write_indexed(self.folder / "small", documents(10, 2))
        paths = {"train_data_paths": [str(self.prefix), str(small)], "split": None,
                 "vocab_size": 257, "eval_iters": 0, "data_path": None}
        _, out = self.losses("equal", **paths)
        self.assertIn(f"shares of samples: {self.prefix} 50%, {small} 50%", out)
        _, out = self.losses("by_documents", weight_by_num_documents=True, **paths)
        self.assertIn("50%", out)  # two files: p(1 − p) is equal
        _, out = self.losses("alpha", weight_by_num_documents=True, weighted_sampler_alpha=0,
                             **paths)
        self.assertIn(f"{self.prefix} 14.3%, {small} 85.7%", out)

    def test_labels_and_ends_leave_targets_out(self):
        labels = [[-100 if i < 5 else token for i, token in enumerate(text)]
                  for text in self.texts]
        write_indexed(self.folder / "labels", labels, np.int32)
        keys = {"train_data_paths": [str(self.prefix)], "split": None, "vocab_size": 257,
                "eval_iters": 0, "end_of_document": END}
        plain, _ = self.losses("plain", **keys)
        masked, _ = self.losses("labels", **keys,
                                train_label_data_paths=[str(self.folder / "labels")])
        ends, _ = self.losses("ends", **keys, eod_mask_loss=True)
        self.assertEqual(len({plain[0], masked[0], ends[0]}), 3)
        for name, more in (("unpacked", {"pack_impl": "unpacked"}),
                           ("overflow", {"pack_impl": "pack_until_overflow",
                                         "allow_chopped": False, "seq_length": 128}),
                           ("documents", {"reset_attention_mask": True,
                                          "reset_position_ids": True}),
                           ("middle", {"fim_rate": 0.5, "fim_tokens": [1, 2, 3]})):
            losses, _ = self.losses(name, **keys, **more)
            self.assertEqual(len(losses), len(plain), name)

    def test_a_part_without_a_document_is_not_evaluated(self):
        _, out = self.losses("no_part", data_path=str(self.prefix), vocab_size=257,
                             split="969, 30, 1")
        self.assertIn("gives the test part no document, so that it is not evaluated", out)


if __name__ == "__main__":
    unittest.main()
