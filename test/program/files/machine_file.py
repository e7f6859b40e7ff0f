# SPDX-License-Identifier: Apache-2.0
"""`trireme bench --machine` writes a machine file that `trireme plan` reads.

"""
import json
import re
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402


DECK = {
    "num_layers": 2,
    "hidden_size": 64,
    "num_attention_heads": 4,
    "seq_length": 32,
    "vocab_size": 97,
    "pos_emb": "rotary",
    "train_micro_batch_size_per_gpu": 2,
    "train_iters": 10,
    "lr": 1e-3,
    "eval_iters": 0,
    "device": "cpu",
}


class MachineFile(unittest.TestCase):
    def setUp(self):
        self.folder = program.work_folder("machine_file")
        self.deck = program.write_deck(self.folder / "deck.yml", DECK)
        self.file = self.folder / "machine.yml"

    def bench(self, ranks, *words):
        return program.run(ranks, "bench", self.deck, *words)

    def test_a_file_that_plan_reads(self):
        said = program.run_well(2, "bench", self.deck, "--machine", self.file)
        text = self.file.read_text(encoding="utf-8")
        for line in (r"fp32: [\d.e-]+, bf16: [\d.e-]+", r"overlap: [01]\.\d\d\n",
                     r"node: \{bandwidth: [\d.]+, latency: [\d.]+\}\n", r"ranks_per_node: 2\n",
                     r"device_memory: \d+MiB\n", r"# .*: 2 ranks on 1 node, all at work"):
            self.assertRegex(text, line)
        self.assertIn("repeats link.node", text)
        self.assertIn("no network was measured", said)
        self.assertRegex(said, r"disk +[\d.]+ MB/s")
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()),
                         ["deck.yml", "machine.yml"])
        # Twice the rate of GEMMs in the file is half their time in the plan.
        first = self.planned(text)
        rates = re.search(r"fp32: ([\d.e-]+)", text)[1]
        faster = text.replace(f"fp32: {rates}", f"fp32: {2 * float(rates)}")
        self.assertLess(self.planned(faster), first)

    def planned(self, text):
        self.file.write_text(text, encoding="utf-8")
        figures = self.folder / "plan.json"
        program.run_well(1, "plan", self.deck, "--ranks", "4", "--machine", self.file, "--json",
                         figures)
        return json.loads(figures.read_text(encoding="utf-8"))["time"]["step_seconds"]

    def test_refused(self):
        for ranks, words, expected in (
            (1, ["--machine", self.file], "needs two or more"),
            (2, ["--machine", self.folder / "no" / "m.yml"], "no/trireme-bench-0"),
            (1, ["--machine", self.file, "--json", "f.json"], "--json excludes --machine"),
            (2, ["--machine", self.file, "--kernels"], "--kernels excludes --machine"),
        ):
            with self.subTest(expected):
                done = self.bench(ranks, *words)
                self.assertEqual(done.returncode, 1, done.stdout)
                self.assertEqual(done.stderr.count(expected), 1, done.stderr)
                self.assertFalse(self.file.exists())


if __name__ == "__main__":
    unittest.main(verbosity=2)
