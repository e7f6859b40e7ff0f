#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What stands behind `make gpu-bench`, as far as it needs no GPU: figures, the search for the
largest micro-batch, reports, failures. Programs are played by small scripts.
"""
import contextlib
import io
import json
import os
import re
import shutil
import stat
import sys
import tempfile
import time
import types
import unittest
from pathlib import Path
from unittest import mock

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
sys.dont_write_bytecode = True
import gpu  # noqa: E402
import gpu_cases  # noqa: E402
import gpu_driver  # noqa: E402

GIB = 1 << 30
MACHINE = {
    "driver": "580.65.06",
    "cuda": "13.0",
    "gpus": [{"name": "NVIDIA H100 80GB HBM3", "capability": "9.0", "bytes": 80 * GIB}],
}

# `mpirun -np 1 trireme bench DECK --json FILE --set train_micro_batch_size_per_gpu=N …`
TRIREME = """
import json, sys
words = sys.argv[1:]
if words == ["--version"]:
    print("trireme 0\\nCUDA 13.0")
    sys.exit(0)
n = next(int(w.split("=")[1]) for w in words if w.startswith("train_micro_batch_size_per_gpu="))
assert "device=cuda" in words
peak = (2 << 30) + n * (1 << 30)
if n > 41:
    print("trireme: error: out of memory on cuda:0: 5 MiB more were asked for", file=sys.stderr)
    sys.exit(1)
if "160m" in " ".join(words):
    print("trireme: error: something else", file=sys.stderr)
    sys.exit(1)
report = {"tokens_per_second": 1000.0 * n, "step_seconds": 0.5, "device_peak_bytes": [peak],
          "device_reserved_bytes": [peak], "gemm_gflops": 7e5, "phases": {},
          "device": "cuda:0 NVIDIA H100 80GB HBM3"}
if "--kernels" in words:
    report = {"case": "a case", "operations_per_second": 7e14, "bytes_per_second": 3e12,
              "groups": [{"group": "norms", "seconds": 0.05, "floor_seconds": 0.04}],
              "kernels": [{"name": "norm", "calls": 25, "seconds": 2e-3,
                           "floor_seconds": 1.6e-3, "of_floor": 0.8}]}
with open(words[words.index("--json") + 1], "w") as file:
    json.dump(report, file)
"""
PEER = """
import json, sys
if sys.argv[1] == "-c":
    sys.exit(0)
words = sys.argv[2:]
print(json.dumps({"torch": "2.5.1", "cuda": "12.4", "device": "H100", "matrix_rate": 7e14}))
one = "--micro-batch" in words
for weights in ["masters"] if one else ["autocast", "masters"]:
    n = int(words[words.index("--micro-batch") + 1]) if one else 16
    print(json.dumps({"model": words[words.index("--model") + 1], "weights": weights,
                      "micro_batch": n, "step_seconds": 1.0, "peak_bytes": 60 << 30,
                      "tokens_per_second": 2000.0 * n if weights == "masters" else 10.0,
                      "reserved_bytes": 61 << 30}))
print("words that are no JSON")
"""


def executable(path, text):
    path.write_text(f"#!{sys.executable}\n{text}", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def quietly(f, *arguments):
    """Its result, and what it printed."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        result = f(*arguments)
    return result, out.getvalue() + err.getvalue()


class Folder(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="trireme-"))
        self.addCleanup(shutil.rmtree, self.folder)


class Figures(unittest.TestCase):
    def test_parameters_are_those_that_trireme_counts(self):
        counted = {"gpt2-124m": 124475904, "pythia-160m": 162322944, "pythia-1.4b": 1414647808}
        for name, model in gpu_cases.MODELS.items():
            self.assertEqual(gpu_cases.parameters(model), counted[name], name)

    def test_decks_say_what_the_peer_computes(self):
        for name, model in gpu_cases.MODELS.items():
            text = (gpu.SOURCE / model["deck"]).read_text(encoding="utf-8")
            deck = dict(re.findall(r"^(\w+): ([^\s#]+)", text, re.M))
            self.assertEqual(int(deck["num_layers"]), model["layers"], name)
            self.assertEqual(int(deck["hidden_size"]), model["hidden"], name)
            self.assertEqual(int(deck["num_attention_heads"]), model["heads"], name)
            self.assertEqual(int(deck["seq_length"]), model["sequence"], name)
            self.assertEqual(int(deck["vocab_size"]), gpu_cases.VOCABULARY, name)
            self.assertEqual("gpt_j_residual" in deck, model["parallel"], name)
            self.assertEqual(deck["precision"], "bfloat16", name)

    def test_mfu(self):
        model = gpu_cases.MODELS["gpt2-124m"]
        # 6 · (124475904 − 1024 · 768) + 12 · 12 · 768 · 1024
        self.assertEqual(gpu_cases.flops_per_token(model), 855383040)
        self.assertAlmostEqual(gpu_cases.mfu(model, 1e6, 989.4e12), 0.8645472, 6)

    def test_peaks_by_name(self):
        for name, tera in (
            ("NVIDIA H100 80GB HBM3", 989.4),
            ("cuda:0 NVIDIA H100 PCIe", 756),
            ("NVIDIA H200", 989.4),
            ("NVIDIA A100-SXM4-80GB", 312),
        ):
            self.assertEqual(gpu_cases.peak_rate(name), tera * 1e12, name)
        for name in ("NVIDIA H20", "NVIDIA L4", "NVIDIA A100-SXM4-40GB MIG 1g.5gb"):
            self.assertIsNone(gpu_cases.peak_rate(name), name)


class LargestFitting(unittest.TestCase):
    def find(self, limit, start=8, fixed=3.0, slope=0.7, room=None, most=4096):
        tried = []

        def peak_of(n):
            self.assertNotIn(n, tried, "twice the same")
            tried.append(n)
            return fixed + slope * n if n <= limit else None

        room = fixed + slope * limit if room is None else room
        found = gpu_cases.largest_fitting(peak_of, room, start, most)
        return found, tried

    def test_all_limits_from_all_starts(self):
        for limit in [*range(0, 70), 127, 128, 129, 500, 1000, 4095, 4096]:
            for start in (1, 8, 64):
                for off in (0.5, 0.95, 1.0, 1.05, 2.0):  # what memory foretells may be wrong
                    room = 3.0 + 0.7 * limit * off
                    found, tried = self.find(limit, start, room=room)
                    case = f"limit {limit}, start {start}, room × {off}: {found} by {tried}"
                    self.assertLessEqual(found, limit, case)
                    self.assertGreaterEqual(found, limit - max(1, limit // 32) + 1, case)
                    self.assertLessEqual(len(tried), 24, case)

    def test_right_foresight_needs_few_trials(self):
        for limit in (20, 41, 97, 400):
            found, tried = self.find(limit)
            self.assertLessEqual(len(tried), 6, tried)
            self.assertGreaterEqual(found, limit - max(1, limit // 32) + 1)

    def test_ends_at_the_most(self):
        self.assertEqual(self.find(10000, room=1e9, most=64)[0], 64)


class Bench(Folder):
    def options(self, *more):
        mpirun = executable(
            self.folder / "mpirun", "import os, sys\nos.execv(sys.argv[3], sys.argv[3:])\n"
        )
        program = executable(self.folder / "trireme", TRIREME)
        peer = executable(self.folder / "python", PEER)
        words = ["--build", self.folder, "--program", program, "--mpirun", mpirun]
        words += ["--peer-python", peer, *more]
        return list(map(str, words))

    def main(self, *more, machine=MACHINE):
        with mock.patch.object(sys, "argv", ["gpu.py", *self.options(*more)]):
            with mock.patch.object(gpu_driver, "find", return_value=machine):
                return quietly(gpu.main)

    def report(self):
        text = (self.folder / "gpu-bench.json").read_text(encoding="utf-8")
        return json.loads(text), (self.folder / "gpu-bench.md").read_text(encoding="utf-8")

    def test_one_model(self):
        code, told = self.main("--models", "gpt2-124m")
        self.assertEqual(code, 0, told)
        report, text = self.report()
        (model,) = report["models"]
        self.assertEqual([t["micro_batch"] for t in model["trireme"]], [41, 41])
        self.assertEqual([t["micro_batch"] for t in model["peer"]], [16, 16])
        self.assertEqual({t["weights"] for t in model["peer"]}, {"masters"})
        self.assertAlmostEqual(model["ratio"], 41000 / 32000)
        self.assertFalse(model["peak_is_measured"])
        self.assertIn("| gpt2-124m | 41 | 41000 | 3.5 % | 43.00 (43.00) | 16 | 32000 |", text)
        self.assertIn("| 1.281 |", text)
        self.assertIn("| norms | 50.00 | 40.00 | 80.0 % | 10.0 % |", text)
        self.assertIn("| norm | 25 | 2000.0 | 1600.0 | 80.0 % |", text)
        self.assertIn("PyTorch, autocast, micro-batch 16: 10 tokens/s", text)

    def test_a_failure_is_told_and_the_rest_goes_on(self):
        code, told = self.main("--models", "pythia-160m,pythia-1.4b")
        self.assertEqual(code, 1)
        report, text = self.report()
        self.assertIn("trireme: error: something else", report["models"][0]["errors"][0])
        self.assertIn("pythia-160m: FAILED: Trireme: exit code 1", text)
        self.assertEqual(report["models"][1]["errors"], [])
        self.assertEqual(len(report["models"][1]["trireme"]), 2)
        self.assertIn("make gpu-bench: Trireme: exit code 1", told)

    def test_without_torch_trireme_is_measured_and_the_code_says_so(self):
        code, told = self.main("--models", "gpt2-124m", "--peer-python", "/nowhere/python")
        self.assertEqual(code, 1)
        self.assertIn("no torch that sees a GPU", told)
        report, text = self.report()
        self.assertIsNone(report["models"][0]["ratio"])
        self.assertIn("PyTorch was not found", text)

    def test_an_unknown_gpu_is_held_against_its_measured_rate(self):
        result = {"model": "gpt2-124m", "peer": [], "errors": []}
        turn = {"tokens_per_second": 1e5, "device": "cuda:0 Some GPU", "matrix_rate": 4e14}
        gpu.summarize({**result, "trireme": [turn]})
        summary = gpu.summarize({**result, "trireme": [turn]})
        self.assertTrue(summary["peak_is_measured"])
        self.assertAlmostEqual(summary["trireme_mfu"], 1e5 * 855383040 / 4e14)

    def test_without_a_gpu(self):
        with mock.patch.object(sys, "argv", ["gpu.py", *self.options()]):
            with mock.patch.object(gpu_driver, "find", side_effect=gpu_driver.NoGpu("none")):
                code, told = quietly(gpu.main)
        self.assertEqual((code, told), (1, "make gpu-bench: it needs a GPU: none\n"))

    def test_wrong_words(self):
        for words in (["--models", "gpt5"], ["--turns", "0"]):
            with self.assertRaises(SystemExit), contextlib.redirect_stderr(io.StringIO()):
                gpu.parse(words)

    def test_a_run_that_hangs_is_ended(self):
        with self.assertRaisesRegex(gpu.BenchError, "not done within 1 s"):
            quietly(gpu.run, [sys.executable, "-c", "import time; time.sleep(60)"], 1)


class Peer(unittest.TestCase):
    """The peer's search, with torch played by a module of a few names."""

    @classmethod
    def setUpClass(cls):
        torch = types.ModuleType("torch")
        torch.nn = types.ModuleType("torch.nn")
        torch.nn.Module = object
        torch.nn.functional = types.ModuleType("torch.nn.functional")
        torch.cuda = types.SimpleNamespace(mem_get_info=lambda: (0, 80 * GIB))
        modules = {"torch": torch, "torch.nn": torch.nn}
        modules["torch.nn.functional"] = torch.nn.functional
        with mock.patch.dict(sys.modules, modules), mock.patch.dict(os.environ):
            import peer_pytorch_gpu

            cls.peer = peer_pytorch_gpu

    def search(self, limit):
        def attempt(_, __, weights, n):
            if n > limit:
                return None
            return {"micro_batch": n, "tokens_per_second": 1.0, "reserved_bytes": n * GIB}

        options = self.peer.parse(["--model", "gpt2-124m"])
        with mock.patch.object(self.peer, "attempt", attempt):
            _, told = quietly(self.peer.search, {}, options, "masters")
        return [json.loads(x) for x in told.splitlines() if x.startswith("{")]

    def test_largest_and_power_of_two(self):
        found = self.search(37)
        sizes = [(r["micro_batch"], r["largest"]) for r in found]
        self.assertEqual(sizes, [(32, False), (37, True)])
        self.assertEqual([r["micro_batch"] for r in self.search(32)], [32])

    def test_none_fits(self):
        (told,) = self.search(0)
        self.assertTrue(told["out_of_memory"])

    def test_wrong_words(self):
        for words in ([], ["--model", "x"], ["--model", "gpt2-124m", "--steps", "5"]):
            with self.assertRaises(SystemExit), contextlib.redirect_stderr(io.StringIO()):
                self.peer.parse(words)


class Driver(Folder):
    def test_no_library(self):
        with self.assertRaisesRegex(gpu_driver.NoGpu, "no NVIDIA driver"):
            gpu_driver.find("libnone-of-this-name.so.1")

    def test_version(self):
        file = self.folder / "version"
        file.write_text(
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun Jul 27\n"
            "GCC version:  gcc version 12.2.0\n",
            encoding="utf-8",
        )
        self.assertEqual(gpu_driver.driver_version(file), "580.65.06")
        self.assertEqual(gpu_driver.driver_version(self.folder / "none"), "")


if __name__ == "__main__":
    unittest.main()
