# SPDX-License-Identifier: Apache-2.0
"""A trained model in use on a GPU: `generate` and `eval` give what they give on the CPU.

  gpu_text.py [CLASS.test_NAME]...

The emulated GPU will do: TRIREME=build/test/trireme_emulated.

"""
import json
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import program  # noqa: E402

DATA = program.SOURCE / "test/tasks/golden"
TASKS = program.SOURCE / "inputs/tasks"
PROMPTS = ("Ada paints the", "Béla has a green boat. Eve", "Chloé mends")
ONE_GPU = {"TRIREME_EMULATED_DEVICES": "1", "TRIREME_EMULATED_SEED": "1"}


def lines_of(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


class Text(unittest.TestCase):
    """The model of test/tasks/golden."""

    @classmethod
    def setUpClass(cls):
        cls.folder = program.work_folder("gpu_text")

    def run_on(self, device, command, *arguments):
        out = program.run_well(1, command, DATA / "model", "--set", f"device={device}",
                               *arguments, timeout=600, variables=ONE_GPU)
        return out

    def answers(self, device, *arguments):
        file = self.folder / f"answers_{device}.jsonl"
        words = (word for text in PROMPTS for word in ("--prompt", text))
        self.run_on(device, "generate", *words, "--output", file, "--max-tokens", "8",
                    "--logprobs", *arguments)
        return lines_of(file)

    def test_generate(self):
        for arguments in (("--batch", "2"),
                          ("--temperature", "0.8", "--top-k", "20", "--num-samples", "2")):
            with self.subTest(arguments=arguments):
                cpu, gpu = (self.answers(device, *arguments) for device in ("cpu", "cuda"))
                self.assertEqual([a["tokens"] for a in gpu], [a["tokens"] for a in cpu])
                for a, b in zip(gpu, cpu, strict=True):
                    for x, y in zip(a["token_logprobs"], b["token_logprobs"], strict=True):
                        self.assertAlmostEqual(x, y, delta=1e-4)

    def test_generate_in_half_precision(self):
        half = ("--set", "precision=bfloat16")
        cpu, gpu = (self.answers(device, *half) for device in ("cpu", "cuda"))
        for a, b in zip(gpu, cpu, strict=True):
            self.assertAlmostEqual(a["token_logprobs"][0], b["token_logprobs"][0], delta=0.05)

    def test_eval(self):
        found = {}
        for device in ("cpu", "cuda"):
            result, samples = (self.folder / f"{n}_{device}" for n in ("result", "samples"))
            self.run_on(device, "eval", "--data", DATA / "text.jsonl", "--tasks",
                        TASKS / "lambada.yml", "--task-data", DATA, "--limit", "3", "--json",
                        result, "--samples", samples)
            found[device] = (json.loads(result.read_text(encoding="utf-8")), lines_of(samples))
        (cpu, cpu_samples), (gpu, gpu_samples) = found["cpu"], found["cuda"]
        self.assertEqual(gpu["data"][0]["tokens"], cpu["data"][0]["tokens"])
        self.assertAlmostEqual(gpu["data"][0]["loss"], cpu["data"][0]["loss"], delta=1e-5)
        for a, b in zip(gpu_samples, cpu_samples, strict=True):
            self.assertAlmostEqual(a["log_likelihood"], b["log_likelihood"], delta=1e-4)
            self.assertEqual(a["acc"], b["acc"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
