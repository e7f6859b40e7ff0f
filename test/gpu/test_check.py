#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What stands behind `make gpu-check`, as far as it needs no GPU: its steps and its report.
Programs are played by small scripts.
"""
import os
import sys
import time
import unittest
from pathlib import Path
from unittest import mock

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "bench")]
sys.dont_write_bytecode = True
import check  # noqa: E402
import gpu_driver  # noqa: E402
import test_gpu  # noqa: E402


class Check(test_gpu.Folder):
    def run_steps(self, steps):
        options = check.parse(["--build", str(self.folder)])
        with mock.patch.object(check, "all_steps", return_value=steps):
            code, told = test_gpu.quietly(check.run_all, options, test_gpu.MACHINE)
        return code, told, (self.folder / "gpu-report.md").read_text(encoding="utf-8")

    def step(self, name, code, **more):
        return check.Step(name, [sys.executable, "-c", code], **more)

    def test_all_verdicts(self):
        begin = time.monotonic()
        code, _, report = self.run_steps(
            [
                self.step("one", "print('fine')"),
                self.step("two", "print('it broke'); raise SystemExit(3)"),
                self.step("three", "raise SystemExit(77)"),
                self.step("four", "import time; time.sleep(60)", seconds=1),
                self.step("five", "", missing=lambda: "no tool"),
                check.Step("six", ["/nowhere/program"]),
                self.step("seven", "import os; assert os.environ['A'] == 'b c'", A="b c"),
            ]
        )
        self.assertLess(time.monotonic() - begin, 30)
        self.assertEqual(code, 1)
        self.assertIn("GPU 0: NVIDIA H100 80GB HBM3, capability 9.0, 80.0 GiB", report)
        self.assertIn("driver 580.65.06, which has CUDA 13.0", report)
        self.assertIn("**2 passed, 3 failed, 2 skipped**", report)
        for row in (
            r"\| one \| pass \|",
            r"\| two \| fail \| \d+ \| exit code 3 \|",
            r"\| three \| skip \| \d+ \| exit code 77",
            r"\| four \| fail \| \d+ \| not done within 1 s \|",
            r"\| five \| skip \| 0 \| no tool \|",
            r"\| six \| fail \| \d+ \| .*No such file",
            r"\| seven \| pass \|",
        ):
            self.assertRegex(report, row)
        self.assertRegex(report, r"### two\n\n```\n\$ .*\nit broke\n```")
        self.assertIn("- seven: `A='b c' ", report)

    def test_tests_that_find_no_gpu_have_failed(self):
        say = "print('1/1 Test #1: cuda ...***Skipped'); print('1 - cuda (Skipped)')"
        code, _, report = self.run_steps([self.step("native", say, needs_gpu=True)])
        self.assertEqual(code, 1)
        self.assertIn("found no GPU that they can use", report)

    def test_all_well(self):
        steps = [self.step("one", "")]
        write = f"open({str(self.folder / 'gpu-bench.md')!r}, 'w').write('## Speed')"
        code, _, report = self.run_steps([*steps, self.step("bench", write)])
        self.assertEqual(code, 0)
        self.assertTrue(report.endswith("## Speed\n"))

    def test_an_old_bench_is_no_result(self):
        (self.folder / "gpu-bench.md").write_text("## Old", encoding="utf-8")
        os.utime(self.folder / "gpu-bench.md", (0, 0))
        self.assertNotIn("Old", self.run_steps([self.step("one", "")])[2])

    def test_prebuilt_programs_need_no_compiler(self):
        test_gpu.executable(self.folder / "trireme", "")
        (self.folder / "test").mkdir()
        for name in ("test_cuda", "test_cuda_mpi", "test_cuda_golden", "test_cuda_emulated"):
            test_gpu.executable(self.folder / "test" / name, "")
        words = ["--programs", self.folder, "--mpirun", "mpirun --oversubscribe"]
        steps = check.all_steps(check.parse([*map(str, words), "--skip", "bench"]))
        names = [s.name for s in steps]
        self.assertNotIn("build", names)
        for name in ("test_cuda_mpi", "test_cuda_golden"):
            self.assertIn(f"native tests, {name}, np 4", names)
        self.assertFalse([n for n in names if "emulated" in n])
        for s in steps:
            self.assertFalse({"cmake", "ctest"} & set(s.command), s.name)
        self.assertIn(str(self.folder / "test" / "test_cuda"), steps[0].command)
        self.assertEqual(steps[0].command[:2], ["mpirun", "--oversubscribe"])

    def test_steps_of_a_build(self):
        words = ["--build", str(self.folder), "--cmake-args=-DA=B -DC=D"]
        words += ["--bench-args=--peer-python 'python -s'"]
        steps = check.all_steps(check.parse(words))
        self.assertEqual(steps[0].command[7:9], ["-DA=B", "-DC=D"])
        self.assertEqual(steps[-1].command[-2:], ["--peer-python", "python -s"])
        names = [s.name for s in steps]
        self.assertEqual(len(names), len(set(names)))
        self.assertEqual(names[:3], ["configure", "build", "native tests"])
        self.assertEqual(names[-1], "bench")
        for kind in check.SANITIZERS:
            self.assertIn(f"sanitizer, {kind}", names)
        scripts = {x for s in steps for x in s.command if x.endswith(".py")}
        for script in scripts:
            self.assertTrue(Path(script).is_file(), script)
        for script, cases in check.SCRIPTS.items():
            text = (check.SOURCE / "test/program" / script).read_text(encoding="utf-8")
            for case in cases:
                self.assertRegex(text, rf"(?m)^class {case}\(")
        parity = (check.SOURCE / "test/program/CMakeLists.txt").read_text(encoding="utf-8")
        for mesh in [m for m, _ in check.PARITY] + check.ZERO:
            self.assertRegex(parity, rf"\b{mesh}\b")

    def test_without_a_gpu(self):
        with mock.patch.object(sys, "argv", ["check.py", "--build", str(self.folder)]):
            with mock.patch.object(gpu_driver, "find", side_effect=gpu_driver.NoGpu("none")):
                code, told = test_gpu.quietly(check.main)
        self.assertEqual(code, 1)
        self.assertIn("make gpu-check: it needs a GPU: none. Nothing was run", told)
        self.assertFalse((self.folder / "gpu-report.md").exists())


if __name__ == "__main__":
    unittest.main()
