#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The script for a short visit to a GPU: its steps, its limits and its report. Without
arguments programs are played by small scripts; `Rehearsal` runs on the emulated GPU, whose
build folder TRIREME_BUILD names.
"""
import json
import os
import re
import shutil
import sys
import time
import unittest
from pathlib import Path
from unittest import mock

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "bench")]
sys.dont_write_bytecode = True
import check  # noqa: E402
import lease  # noqa: E402
import test_gpu  # noqa: E402


class Visit(test_gpu.Folder):
    def step(self, name, code, row="", seconds=20):
        made = check.Step(name, [sys.executable, "-c", code], seconds)
        made.row = row
        return made

    def run_groups(self, groups, *arguments):
        out = str(self.folder / "out")
        options = lease.parse(["--programs", str(self.folder), "--report", out, *arguments])
        with mock.patch.object(lease.Lease, "steps", return_value=groups):
            code, told = test_gpu.quietly(lease.run_all, options)
        report = json.loads((self.folder / "out/lease.json").read_text(encoding="utf-8"))
        return code, told, report

    def test_a_failure_and_a_hang_cost_nothing_else(self):
        begin = time.monotonic()
        steps = [self.step("one", "raise SystemExit(3)"),
                 self.step("two", "import time; time.sleep(60)", seconds=1),
                 self.step("three", "print('fine')")]
        code, told, report = self.run_groups([("all", 1, steps)])
        self.assertLess(time.monotonic() - begin, 20)
        self.assertEqual(code, 1)
        self.assertEqual([s["verdict"] for s in report["steps"]], ["fail", "fail", "pass"])
        self.assertIn("3 steps, 2 failed: one, two", told)
        text = (self.folder / "out/lease.md").read_text(encoding="utf-8")
        self.assertIn("| two | fail | 1.0 | not done within 1 s |", text)
        self.assertIn("## three\n\n```\n$ ", text)
        self.assertIn("\nfine\n```", text)

    def test_the_whole_has_a_limit(self):
        steps = [self.step("one", "import time; time.sleep(3)"), self.step("two", "")]
        code, _, report = self.run_groups([("all", 1, steps)], "--seconds", "6")
        self.assertEqual(code, 0)
        self.assertEqual(report["steps"][1]["why"], "no time was left")

    def test_suites_run_beside_each_other(self):
        steps = [self.step(str(i), "import time; time.sleep(2)") for i in range(4)]
        begin = time.monotonic()
        code, _, report = self.run_groups([("suites", 4, steps)])
        self.assertEqual((code, len(report["steps"])), (0, 4))
        self.assertLess(time.monotonic() - begin, 6)

    def test_all_steps_are_named_once_and_fit_the_table(self):
        options = lease.parse(["--programs", str(self.folder)])
        steps = [s for _, _, group in lease.Lease(options).steps() for s in group]
        self.assertEqual(len({s.name for s in steps}), len(steps))
        table = lease.TABLE.read_text(encoding="utf-8")
        rows = re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)
        for step in steps:
            self.assertTrue(not step.row or any(r.startswith(step.row) for r in rows), step.row)

    def test_the_table_is_filled_from_the_report(self):
        table = self.folder / "table.md"
        table.write_text("| what | on a GPU | emulated |\n| GEMMs by X | never | yes |\n"
                         "| speed | never | – |\n| other | never | – |\n", encoding="utf-8")
        report = self.folder / "lease.json"
        steps = [{"row": "GEMMs by", "verdict": "pass", "step": "a"},
                 {"row": "GEMMs by", "verdict": "skip", "step": "b"},
                 {"row": "speed", "verdict": "fail", "step": "c"}]
        content = {"about": ["- GPU: NVIDIA H200, 580, 143771 MiB"], "date": "2026-11-30"}
        report.write_text(json.dumps({**content, "steps": steps}), encoding="utf-8")
        with mock.patch.object(lease, "TABLE", table):
            lease.fill(report)
        where = "NVIDIA H200, 2026-11-30, `test/gpu/lease.py`"
        self.assertEqual(table.read_text(encoding="utf-8").splitlines()[1:], [
            f"| GEMMs by X | {where}: 1 step passed | yes |",
            f"| speed | {where}: failed: c | – |",
            "| other | never | – |"])
        content["about"] = ["- a rehearsal on the emulated GPU"]
        report.write_text(json.dumps({**content, "steps": steps}), encoding="utf-8")
        with self.assertRaises(SystemExit):
            lease.fill(report)

    def test_losses_are_compared(self):
        for name, loss in (("a", 2.5), ("b", 2.6)):
            (self.folder / name).mkdir()
            text = f"iteration 9/10 | loss 9.0 | x\niteration 10/10 | loss {loss} | x\n"
            (self.folder / name / "log.txt").write_text(text, encoding="utf-8")
        runs = [self.folder / "a", self.folder / "b"]
        self.assertEqual(test_gpu.quietly(lease.compare_losses, *runs, 0.2)[0], 0)
        self.assertEqual(test_gpu.quietly(lease.compare_losses, *runs, 0.05)[0], 1)


@unittest.skipUnless(os.environ.get("TRIREME_BUILD"), "needs a build with the emulated GPU")
class Rehearsal(test_gpu.Folder):
    def test_the_first_minutes(self):
        """In an environment as bare as the machine's, from another folder."""
        build = os.environ["TRIREME_BUILD"]
        kept = {"PATH": os.environ["PATH"], "HOME": str(self.folder)}
        words = ["--rehearse", build, "--report", str(self.folder / "out")]
        for group in ("look", "smoke", "training"):
            words += ["--only", group]
        with mock.patch.dict(os.environ, {**kept, **lease.check.ENVIRONMENT}, clear=True):
            code, told = test_gpu.quietly(lease.run_all, lease.parse(words))
        shutil.rmtree(self.folder / "out/logs/fp32", ignore_errors=True)
        self.assertEqual(code, 0, told)
        self.assertNotIn("skip smoke", told)


if __name__ == "__main__":
    unittest.main()
