#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# The program in other locales and encodings, on terminals that only print, and with names that
# a terminal must not see raw.
import io
import os
import subprocess
import sys
import unittest
from pathlib import Path
from unittest import mock

from made_run import PlotTest, write_run
from trireme_analysis import terminal
from trireme_analysis.live import CLEAR, watch

PROGRAM = Path(__file__).resolve().parents[2] / "analysis" / "trireme-plot"
PLACES = (  # variables of the environment, and the encoding of what is printed
    ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, "ascii"),
    ({"LC_ALL": "POSIX"}, "utf-8"),
    ({"LC_ALL": "no_SUCH.locale"}, "utf-8"),
    ({"PYTHONIOENCODING": "ascii"}, "ascii"),
    ({"PYTHONIOENCODING": "latin-1"}, "latin-1"),
    ({"PYTHONIOENCODING": "cp437"}, "cp437"),
    ({"PYTHONIOENCODING": "utf-8", "TERM": "dumb", "COLUMNS": "1"}, "utf-8"),
)


def run_program(*arguments, **variables):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "PYTHON"))}
    return subprocess.run(
        [sys.executable, PROGRAM, *arguments], env={**kept, **variables}, check=False,
        stdin=subprocess.DEVNULL, capture_output=True, timeout=120)


class Locales(PlotTest):
    def test_watch_and_compare(self):
        a = write_run(self.folder / "läuft−x")
        b = write_run(self.folder / "b")
        for variables, encoding in PLACES:
            with self.subTest(**variables):
                done = run_program("watch", a, "--once", **variables)
                self.assertEqual((done.returncode, done.stderr), (0, b""))
                self.assertIn("iteration 600/600", done.stdout.decode(encoding))
        variables, encoding = PLACES[0]
        done = run_program("compare", a, b, "--output", self.folder / "x.png", **variables)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertIn("loss at iteration", done.stdout.decode(encoding))
        done = run_program("watch", self.folder / "fehlt−ü", "--once", **variables)
        self.assertEqual(done.returncode, 1)
        self.assertIn("no such file", done.stderr.decode(encoding))
        self.assertNotIn(b"Traceback", done.stderr)

    def test_readers_that_leave(self):
        a, b = write_run(self.folder / "a"), write_run(self.folder / "b")
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run([sys.executable, PROGRAM, "compare", a, b], stdout=writer,
                              stderr=subprocess.PIPE, timeout=120, check=False)
        os.close(writer)
        self.assertEqual((done.returncode, done.stderr), (141, b""))


class Names(PlotTest):
    def test_controls_are_escaped(self):
        folder = write_run(self.folder / "a\x1b[31m\nb")
        name = os.fsdecode(os.path.join(os.fsencode(self.folder), b"c\xff"))
        other = write_run(self.folder / "c").rename(name)
        done = run_program("compare", folder, other, "--output", self.folder / "x.png")
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertNotIn(b"\x1b", done.stdout)
        self.assertIn(r"a\x1b[31m\x0ab", done.stdout.decode())
        self.assertIn(r"c\xff", done.stdout.decode())
        done = run_program("watch", folder / "none", "--once")
        self.assertNotIn(b"\x1b", done.stderr)

    def test_printable(self):
        self.assertEqual(terminal.printable("é 日本\t\u202e"), "é 日本\\x09\\u202e")


class Screens(PlotTest):
    def test_only_terminals_that_can_are_redrawn(self):
        class Terminal(io.StringIO):
            def isatty(self):
                return True

        folder = write_run(self.folder / "a")
        for kind, redrawn in (("xterm", True), ("dumb", False), ("", False)):
            with mock.patch.dict(os.environ, {"TERM": kind, "COLUMNS": "10"}):
                out = Terminal()
                watch(folder, once=True, out=out)
            self.assertEqual(CLEAR in out.getvalue(), redrawn)
            if redrawn:
                shown = out.getvalue().replace(CLEAR, "").splitlines()
                self.assertLessEqual(max(map(len, shown)), 10)


if __name__ == "__main__":
    unittest.main()
