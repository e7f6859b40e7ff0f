# SPDX-License-Identifier: Apache-2.0
"""`trireme eval` through the program: beside lm-evaluation-harness on a small model of Hugging
Face's, and on a run of its own.

  evaluate.py [Golden.test_NAME | Run.test_NAME]...

"""
import json
import math
import sys
import unittest
from pathlib import Path

import h5py

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402

DATA = program.SOURCE / "test/tasks/golden"
TASKS = program.SOURCE / "inputs/tasks"
TWO = {"tp": ["--set", "model_parallel_size=2"], "pp": ["--set", "pipe_parallel_size=2"],
       "dp": []}


def lines_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


class Golden(unittest.TestCase):
    """The model and the numbers of test/tasks/golden."""

    @classmethod
    def setUpClass(cls):
        cls.folder = program.work_folder("evaluate_golden")
        cls.golden = json.loads((DATA / "golden.json").read_text(encoding="utf-8"))

    def check_tasks(self, ranks, *settings):
        """All log-likelihoods within 1e-4 of lm-eval's, and equal judgements."""
        names = ("hellaswag", "arc_easy", "lambada", "piqa")
        samples, result = self.folder / "samples.jsonl", self.folder / "result.json"
        out = program.run_well(
            ranks, "eval", DATA / "model", "--tasks", *(TASKS / f"{n}.yml" for n in names),
            DATA / "sums.yml", "--task-data", DATA, "--samples", samples, "--json", result,
            *settings)
        requests = iter(self.golden["requests"])
        counts = dict.fromkeys((*names, "sums"), 0)
        for sample in lines_of(samples):
            task = sample["task"]
            golden = self.golden["tasks"][task]
            for scored in sample.get("choices", [sample] if task == "lambada" else []):
                expected = next(requests)
                self.assertAlmostEqual(scored["log_likelihood"], expected["log_likelihood"],
                                       delta=1e-4)
                self.assertEqual(scored.get("greedy", scored.get("acc")), expected["greedy"])
            for metric in ("acc", "acc_norm", "acc_bytes", "exact_match"):
                self.assertEqual(sample.get(metric), golden.get(metric, {counts[task]: None})[
                    counts[task]], (sample, metric))
            counts[task] += 1
        self.assertEqual(counts, {"hellaswag": 12, "arc_easy": 12, "lambada": 16, "piqa": 12,
                                  "sums": 8})
        for task in json.loads(result.read_text(encoding="utf-8"))["tasks"]:
            for metric, got in task["metrics"].items():
                golden = self.golden["tasks"][task["name"]]["results"]
                for key, value in (("value", golden[metric]),
                                   ("standard_error", golden[f"{metric}_stderr"])):
                    self.assertAlmostEqual(got[key], value, delta=1e-4 * max(1, value))
                self.assertRegex(out, rf"{metric} +{got['value']:.4f} ")

    def test_tasks(self):
        self.check_tasks(1)

    def test_tasks_on_two_ranks(self):
        self.check_tasks(2, *TWO["tp"])

    def test_shots(self):
        samples = self.folder / "mmlu.jsonl"
        program.run_well(2, "eval", DATA / "model", "--tasks", TASKS / "mmlu.yml",
                         "--task-data", DATA, "--samples", samples)
        scored = [[c["log_likelihood"] for c in s["choices"]] for s in lines_of(samples)]
        expected = [r["log_likelihood"] for r in self.golden["requests"][136:168]]
        for got, value in zip(sum(scored[::2] + scored[1::2], []), expected, strict=True):
            self.assertAlmostEqual(got, value, delta=1e-4)

    def test_losses(self):
        result, by = self.folder / "loss.json", self.folder / "by.jsonl"
        for stride, golden in self.golden["windows"].items():
            program.run_well(1, "eval", DATA / "model", "--data", DATA / "text.jsonl",
                             "--stride", stride, "--json", result)
            got = json.loads(result.read_text(encoding="utf-8"))["data"][0]
            self.assertEqual(got["tokens"], golden["tokens"])
            self.assertAlmostEqual(got["log_likelihood"], -golden["nats"], delta=1e-3)
        program.run_well(2, "eval", DATA / "model", "--data", DATA / "text.jsonl",
                         "--by-document", by, "--skip-ends")
        texts = [len(row["text"].encode()) for row in lines_of(DATA / "text.jsonl")]
        got = lines_of(by)
        self.assertEqual([line["bytes"] for line in got], texts)
        for line, value in zip(got, self.golden["rolling"], strict=True):
            self.assertAlmostEqual(line["log_likelihood"], value, delta=1e-3)


class Run(unittest.TestCase):
    """A run of bytes."""

    @classmethod
    def setUpClass(cls):
        cls.folder = program.work_folder("evaluate_run")
        cls.tokens = program.make_tokens(cls.folder, 20_000)
        cls.run_folder = cls.folder / "run"
        cls.deck = program.write_deck(cls.folder / "deck.yml", {
            "num_layers": 2, "hidden_size": 32, "num_attention_heads": 4, "seq_length": 32,
            "pos_emb": "rotary", "train_batch_size": 8, "train_iters": 4, "lr": 1e-3,
            "eval_iters": 0, "data_path": str(cls.tokens), "save": str(cls.run_folder)})
        program.run_well(2, "train", cls.deck)

    def evaluate(self, ranks, model, *arguments):
        result = self.folder / "result.json"
        program.run_well(ranks, "eval", model, "--json", result, *arguments)
        return json.loads(result.read_text(encoding="utf-8"))

    def test_data_on_meshes(self):
        limit = ("--limit", "20")
        one = self.evaluate(1, self.run_folder, "--data", self.tokens, *limit)["data"][0]
        self.assertTrue(4 < one["loss"] < 6, one)
        self.assertAlmostEqual(one["perplexity"], math.exp(one["loss"]), places=6)
        bits = one["loss"] * one["tokens"] / one["bytes"] / math.log(2)
        self.assertAlmostEqual(one["bits_per_byte"], bits, places=9)
        text = ("--data", self.folder / "text.txt", "--document-separator", r"\n\n", *limit)
        for ranks, model, data in (
                (1, self.run_folder, text), (1, self.deck, text),
                *((2, self.run_folder, ("--data", self.tokens, *limit, *TWO[axis]))
                  for axis in TWO)):
            with self.subTest(ranks=ranks, data=data):
                other = self.evaluate(ranks, model, *data)["data"][0]
                self.assertEqual(other["tokens"], one["tokens"])
                self.assertEqual(other["bytes"], one["bytes"])
                self.assertAlmostEqual(other["loss"], one["loss"], delta=1e-5)

    def test_documents_add_up(self):
        by = self.folder / "by.jsonl"
        one = self.evaluate(1, self.run_folder, "--data", self.tokens, "--limit", "9",
                            "--by-document", by, "--length", "20", "--stride", "7")["data"][0]
        documents = lines_of(by)
        self.assertEqual([d["document"] for d in documents], list(range(9)))
        for key in ("tokens", "bytes", "log_likelihood"):
            self.assertAlmostEqual(sum(d[key] for d in documents), one[key], places=6)

    def write_tasks(self):
        """Two tasks about bytes: which letter follows, and what the model writes."""
        lines = [{"before": b * 3, "choices": ["a", "lo mi", b]} for b in "abcdefghijkl"]
        (self.folder / "letters.jsonl").write_text(
            "".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        letters, words = self.folder / "letters.yml", self.folder / "words.yml"
        letters.write_text(
            "kind: multiple_choice\ndata: letters.jsonl\ncontext: '{before}'\n"
            "choices: '{choices[]}'\ntarget: 0\ndelimiter: ''\n", encoding="utf-8")
        words.write_text("kind: generate\ndata: letters.jsonl\ncontext: '{before}'\n"
                         "target: '{before}'\nuntil: [' ']\nmax_tokens: 6\n",
                         encoding="utf-8")
        return letters, words

    def test_tasks_in_training(self):
        """Log and metrics have what `eval` finds of the saved weights, on every mesh."""
        tasks = self.write_tasks()
        expected = self.evaluate(1, self.run_folder, "--tasks", *tasks, "--limit", "9")
        for axis, setting in (("tp", "model_parallel_size=2"), ("pp", "pipe_parallel_size=2"),
                              ("dp", "zero_optimization.stage=2")):
            with self.subTest(axis=axis):
                run = self.folder / f"tasks_{axis}"
                events = run / "events"
                out = program.run_well(
                    2, "train", self.deck, "--set", f"save={run}", "--set", setting, "--set",
                    f"eval_tasks=[{tasks[0]},{tasks[1]}]", "--set", "eval_tasks_iters=2",
                    "--set", "eval_tasks_limit=9", "--set", f"tensorboard_dir={events}")
                self.check_tasks_of_run(run, out, expected["tasks"])
                written = b"".join(f.read_bytes() for f in events.iterdir())
                self.assertIn(b"tasks/letters/acc_standard_error", written)

    def test_missing_tasks_are_made_up_for(self):
        """As after a stop that came while tasks were due: the last iteration has no rows."""
        run = self.folder / "missing"
        words = ("train", self.deck, "--set", f"save={run}", "--set", f"load={run}")
        program.run_well(1, *words)
        letters, _ = self.write_tasks()
        for times in (1, 0):
            out = program.run_well(1, *words, "--set", f"eval_tasks=[{letters}]", "--set",
                                   "eval_tasks_iters=2")
            self.assertEqual(out.count("| letters |"), times, out)
            with h5py.File(run / "metrics.h5") as file:
                self.assertEqual(list(file["tasks/letters/iteration"]), [4])

    def check_tasks_of_run(self, run, out, expected):
        with h5py.File(run / "metrics.h5") as file:
            for task in expected:
                group = file["tasks"][task["name"]]
                self.assertEqual(list(group["iteration"]), [2, 4])
                self.assertEqual(list(group["questions"]), [9, 9])
                for metric, found in task["metrics"].items():
                    self.assertAlmostEqual(group[metric][1], found["value"], delta=1e-9)
                    self.assertAlmostEqual(group[f"{metric}_standard_error"][1],
                                           found["standard_error"], delta=1e-9)
                    self.assertEqual(group[metric].attrs["unit"], "1")
                    self.assertRegex(
                        out, rf"task +4/4 \| {task['name']} \|.*{metric} {found['value']:.4f}")

    def test_faults_of_tasks_end_a_run_at_its_start(self):
        letters, _ = self.write_tasks()
        empty = self.folder / "empty.yml"
        empty.write_text("kind: multiple_choice\ndata: letters.jsonl\ncontext: '{nothing}'\n"
                         "choices: '{choices[]}'\ntarget: 0\n", encoding="utf-8")
        for settings, said in (
                ((f"eval_tasks=[{empty}]",), "letters.jsonl, line 1"),
                ((f"eval_tasks=[{self.folder / 'none.yml'}]",), "none.yml"),
                ((f"eval_tasks=[{letters},{letters}]",), "describes a task letters too"),
                ((f"eval_tasks=[{letters}]", "zero_optimization.stage=3"),
                 "eval_tasks_iters does not work with zero_optimization.stage 3"),
                ((), "eval_tasks_iters 2 needs eval_tasks")):
            with self.subTest(said=said):
                done = program.run(
                    1, "train", self.deck, "--set", f"save={self.folder / 'not'}", "--set",
                    "eval_tasks_iters=2", *(w for s in settings for w in ("--set", s)))
                self.assertNotEqual(done.returncode, 0, done.stdout)
                self.assertIn(said, done.stderr)

    def test_errors(self):
        tokens = ("--data", self.tokens)
        task = ("--tasks", TASKS / "lambada.yml")
        for arguments, said in (
                ((self.run_folder,), "--data or --tasks"),
                ((), "eval needs a model"),
                ((self.folder / "none", *tokens), "none"),
                ((self.run_folder, "--data", self.folder / "none.txt"), "none.txt"),
                ((self.run_folder, "--data", self.folder / "none.h5"), "none.h5"),
                ((self.run_folder, *tokens, "--length", "33"), "reads at most 32"),
                ((self.run_folder, *task), "lambada_test.jsonl"),
                ((self.run_folder, *tokens, "--by-document", "/nowhere/x"), "/nowhere/x"),
                ((self.run_folder, *tokens, "--shots", "3"), "--tasks"),
                ((self.run_folder, "--tasks", self.deck), "the key 'kind' is missing")):
            with self.subTest(said=said):
                done = program.run(1, "eval", *arguments)
                self.assertEqual(done.returncode, 1, done.stdout)
                self.assertIn(said, done.stderr)
                self.assertEqual(done.stderr.count("error"), 1, done.stderr)
        done = program.run(2, "eval", self.run_folder, *task)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("lambada_test.jsonl", done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
