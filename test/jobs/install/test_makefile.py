#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""When the Makefile runs CMake to configure the build, with a stand-in for CMake."""
import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[3]
STAND_IN = """#!/bin/sh
case $1 in -S) shift 4; echo "$@" >> "$CALLS" ;; esac
test ! -e "$CALLS.fails"
"""


class Configure(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="makefile-"))
        self.addCleanup(shutil.rmtree, self.folder)
        (self.folder / "cmake").write_text(STAND_IN)
        (self.folder / "cmake").chmod(0o755)
        self.calls = self.folder / "calls"

    def configured(self, *words):
        """Runs make once more, and returns the arguments of all calls of CMake so far."""
        given = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "CMAKE_ARGS", "BUILD")
        kept = {k: v for k, v in os.environ.items() if k not in given}
        path = f"{self.folder}:{kept['PATH']}"
        self.done = subprocess.run(
            ["make", "-C", SOURCE, f"BUILD={self.folder / 'build'}", "GENERATOR=G", "PYTHON=P",
             *words], capture_output=True, text=True, check=False,
            env={**kept, "PATH": path, "CALLS": str(self.calls)})
        return [line.removeprefix("-G G -DPython3_EXECUTABLE=P").strip()
                for line in self.calls.read_text().splitlines()]

    def test_other_arguments(self):
        self.assertEqual(self.configured(), [""])
        self.assertEqual(self.configured(), [""])
        first = "CMAKE_ARGS=-DA=1 -DB='x y'"
        expected = ["", "-DA=1 -DB=x y"]
        self.assertEqual(self.configured(first), expected)
        self.assertEqual(self.configured(first), expected)
        self.assertEqual(self.configured(), expected)  # CMake's cache keeps these arguments
        self.assertEqual(self.configured(first), expected)
        self.assertEqual(self.configured("CMAKE_ARGS=-DA=2"), [*expected, "-DA=2"])

    def test_failed(self):
        """A build counts as configured only after CMake succeeded."""
        fails = self.folder / "calls.fails"
        self.configured()
        fails.touch()
        self.configured("CMAKE_ARGS=-DA=1")
        self.assertNotEqual(self.done.returncode, 0)
        fails.unlink()
        self.assertEqual(self.configured("CMAKE_ARGS=-DA=1"), ["", "-DA=1", "-DA=1"])
        self.assertEqual(self.done.returncode, 0, self.done.stderr)
        self.configured("CMAKE_ARGS=-DA=1")
        self.assertEqual(len(self.calls.read_text().splitlines()), 3)


if __name__ == "__main__":
    unittest.main()
