# SPDX-License-Identifier: Apache-2.0
"""The first hour of a new user: a text of 50 documents, looked at, trained on, planned and
inspected. Every text that the user reads is the one that helps.

"""
import json
import os
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402

DECK = {
    "num_layers": 2,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "seq_length": 32,
    "pos_emb": "rotary",
    "train_micro_batch_size_per_gpu": 2,
    "train_iters": 4,
    "log_interval": 2,
    "eval_interval": 2,
    "eval_iters": 1,
    "lr": 1e-3,
}


def alone(*arguments):
    """The program without a launcher."""
    return subprocess.run([str(program.PROGRAM), *map(str, arguments)], timeout=60, text=True,
                          env=program.environment(), stdin=subprocess.DEVNULL,
                          capture_output=True, check=False)


class FirstHour(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = program.work_folder("first_hour")
        text = "\n\n".join(program.make_text(400, seed=i).replace("\n\n", "\n")
                           for i in range(50))
        (cls.folder / "book.txt").write_text(text, encoding="utf-8")
        cls.tokens = cls.folder / "book.h5"
        told = program.run_well(1, "prepare", "--input", cls.folder / "book.txt", "--output",
                                cls.tokens, "--document-separator", r"\n\n")
        assert " in 50 documents" in told, told

    def deck(self, name, **more):
        keys = {**DECK, "data_path": str(self.tokens), "split": None, **more}
        return program.write_deck(self.folder / f"{name}.yml", keys)

    def good(self, *arguments, code=0):
        done = alone(*arguments)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def test_a_small_corpus_trains_and_its_deck_says_the_split(self):
        run = self.folder / "small"
        done = self.good("train", self.deck("small", save=str(run)))
        self.assertIn('the default split "969, 30, 1" has less than a batch of test data',
                      done.stderr)
        self.assertIn("50 documents × 1/1000 = 0; use split: ", done.stderr)
        self.assertIn("valid     2/4", done.stdout)
        self.assertNotIn("test      ", done.stdout)
        resolved = (run / "deck.yml").read_text(encoding="utf-8")
        self.assertIn('split: "969, 31, 0"', resolved)
        again = self.good("train", run / "deck.yml", "--set", f"load={run}")
        self.assertEqual(again.stderr, "")
        self.assertIn("no work left: 4 of 4 iterations are done; to go on, set train_iters",
                      again.stdout)

    def test_a_named_part_without_documents_is_left_out(self):
        deck = self.deck("named", split="969, 30, 1")
        done = self.good("train", deck)
        self.assertNotIn("test      ", done.stdout)
        self.assertIn("50 documents × 1/1000 = 0; use split: \"", done.stderr)
        self.assertIn("or 0 for no test part", done.stderr)
        better = done.stderr.split('use split: "')[1].split('"')[0]
        self.good("train", deck, "--set", f'split="{better}"')

    def test_check_prints_deck_and_tensors_and_writes_nothing(self):
        run = self.folder / "checked"
        done = self.good("train", self.deck("checked", save=str(run)), "--check")
        self.assertFalse(run.exists())
        for text in ("train_iters: 4", "vocab_size: 257", 'split: "969, 31, 0"', "tensors  ",
                     "2 layers: ", "layers.N.attention", "embedding: 8,224 parameters"):
            self.assertIn(text, done.stdout)
        told = program.run_well(2, "train", self.deck("checked2"), "--check")
        self.assertIn("the resolved deck for 2 ranks, dp 2", told)
        self.assertEqual(told.count("train_iters: 4"), 1)

    def test_quiet_and_json(self):
        run = self.folder / "quiet"
        deck = self.deck("quiet", save=str(run), log_format="json", split="90, 5, 5")
        done = self.good("train", deck, "-q")
        self.assertEqual((done.stdout, done.stderr), ("", ""))
        lines = [json.loads(line) for line in
                 (run / "log.txt").read_text(encoding="utf-8").splitlines()]
        steps = [line["iteration"] for line in lines if line.get("event") == "step"]
        self.assertEqual(steps, [1, 2, 4])
        data = [line["data"] for line in lines if line.get("event") == "evaluation"]
        self.assertEqual(data, ["valid", "valid", "test"])
        self.assertTrue(all(line["rank"] == 0 and line["level"] in ("info", "note")
                            for line in lines))
        loud = self.good("train", self.deck("loud"), "-v")
        self.assertIn(f"{self.tokens}: ", loud.stdout)
        self.good("train", deck, "-q", "-v", code=1)

    def test_a_model_of_bytes_is_published_with_its_tokenizer(self):
        run = self.folder / "bytes"
        self.good("train", self.deck("bytes", save=str(run), split="100, 0, 0"))
        model = self.folder / "published"
        self.good("convert", run, model)
        answer = self.good("generate", model, "--prompt", "the", "--max-tokens", "4",
                           "--temperature", "0")
        self.assertTrue(answer.stdout.startswith("the") or answer.stdout)
        refused = self.good("generate", model, "--prompt", "the", "--temperature", "-1", code=1)
        self.assertIn("--temperature: -1 is not 0 or more (trireme generate --help)",
                      refused.stderr)
        task = program.SOURCE / "inputs/tasks/lambada.yml"
        refused = self.good("eval", model, "--tasks", task, code=1)
        self.assertIn("does not exist; --task-data, ", refused.stderr)

    def test_help_answers_words(self):
        self.assertIn("first-run", self.good("help").stdout)
        self.assertIn("prepare --input", self.good("help", "first-run").stdout)
        self.assertIn("--device-memory", self.good("help", "plan").stdout)
        keys = self.good("help", "lr").stdout
        self.assertIn("optimizer.params.lr: ", keys)
        self.assertNotIn("num_layers", keys)
        self.assertEqual(self.good("train", "--help-keys", "lr").stdout, keys)
        self.assertIn("num_layers", self.good("train", "--help-keys").stdout)
        self.assertIn("did you mean 'memory'?", self.good("help", "memry", code=1).stderr)

    def test_what_is_no_deck(self):
        deck = self.deck("hints")
        for arguments, words in (
            ((deck, "lr=1e-3"), "--set 'lr=1e-3'"),
            ((self.folder / "book.txt",), "trireme prepare --input"),
            ((self.tokens,), f"--set data_path={self.tokens}"),
            ((deck, "--set", "batch_train=3"), "did you mean 'train_batch_size'"),
            ((deck, "--set", "learning_rate=3"), "'optimizer.params.lr'"),
        ):
            done = self.good("train", *arguments, code=1)
            self.assertIn(words, done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertIn("did you mean 'train'?", self.good("trian", code=1).stderr)

    def test_a_broken_line_is_shown(self):
        broken = self.folder / "broken.yml"
        broken.write_text("num_layers: 2\nbetas: [0.9, 0.95\nlr: 1\n", encoding="utf-8")
        done = self.good("train", broken, code=1)
        self.assertEqual(done.stderr.splitlines(), [
            f"trireme: error: {broken}:2:8: YAML error: this [ is never closed",
            "  betas: [0.9, 0.95",
            "         ^"])

    def test_plan_says_whether_a_device_suffices(self):
        deck = self.deck("plan", save="x", device="cuda")
        plan = ("plan", deck, "--ranks", 8, "--device-memory")
        fits = self.good(*plan, "80GiB").stdout
        self.assertRegex(fits,
                         r"(?m)^fits     a rank of stage 0 needs .* of 80.0 GiB on its GPU")
        self.assertRegex(fits, r"(?m)^besides  .* on each GPU: 600.0 MiB for CUDA")
        self.assertIn("GPU |", fits)
        tight = self.good(*plan, "500MiB", code=1).stdout
        self.assertRegex(tight, r"(?m)^too much a rank of stage 0 needs .*besides ")
        self.assertIn("such as 80GiB", self.good(*plan, "80 giga", code=1).stderr)

    def test_plots_of_the_first_run(self):
        run = self.folder / "plotted"
        self.good("train", self.deck("plotted", save=str(run)))
        script = program.SOURCE / "analysis" / "trireme-plot"
        for plot in ("loss", "optimizer", "throughput", "phases", "memory"):
            subprocess.run([sys.executable, str(script), plot, str(run)], check=True,
                           stdout=subprocess.DEVNULL, timeout=120)
            self.assertGreater(os.path.getsize(run / f"{plot}.png"), 1000)
        told = self.good("inspect", run).stdout.splitlines()
        self.assertTrue(told[-1].startswith("optimizer "), told[-1])


if __name__ == "__main__":
    unittest.main()
