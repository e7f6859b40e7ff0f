#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Watching made-up runs: what is shown, and a run that begins, grows, is replaced and ends.
import io
import os
import threading
import time
import unittest

import numpy as np
from made_run import (
    STEPS,
    PlotTest,
    png_size,
    run_command,
    train_group,
    write_full_run,
    write_run,
)
from trireme_analysis.live import CLEAR, is_done, screen, sparkline, watch
from trireme_analysis.run import Run

INTERVAL = 0.05  # seconds
PATIENCE = 60  # seconds that a busy machine may take


class Terminal(io.StringIO):
    def isatty(self):
        return True


def first_rows(count, **extra):
    return {name: values[:count] for name, values in train_group(**extra).items()}


class Screen(PlotTest):
    def test_what_is_shown(self):
        run = Run(write_full_run(self.folder / "gcide", train=first_rows(30)))
        lines = screen(run, width=80).splitlines()
        # 300 iterations are left, and a logged one takes 0.8 s.
        self.assertEqual(lines[0], "gcide  iteration 300/600 (50%), 4:00 left")
        shown = {line.split()[0]: line for line in lines[1:]}
        self.assertIn(f"{1.5 + 4 * np.exp(-3):.4f}", shown["loss"])
        self.assertIn("5120", shown["tokens/s"])
        self.assertEqual(shown["TFLOP/s"], "TFLOP/s    0.25 per rank")
        self.assertEqual(shown["valid"], "valid      1.6000 at iteration 600")
        self.assertEqual(shown["saved"], "saved      at iteration 600")
        self.assertIn("forward 12%", shown["phases"])
        self.assertLessEqual(max(map(len, lines)), 80)

    def test_of_a_done_run(self):
        run = Run(write_run(self.folder / "gcide"))
        self.assertTrue(is_done(run))
        self.assertIn("iteration 600/600, done in 0:48", screen(run))

    def test_without_a_deck_there_is_no_end(self):
        folder = write_run(self.folder / "gcide")
        run = Run(folder)
        run.attributes["deck"] = ""
        self.assertFalse(is_done(run))
        self.assertIn("gcide  iteration 600\n", screen(run))

    def test_nothing_logged_yet(self):
        run = Run(write_run(self.folder / "gcide", train=first_rows(0)))
        self.assertEqual(screen(run), "gcide: nothing logged yet")
        self.assertFalse(is_done(run))

    def test_quiet_runs(self):
        run = Run(write_run(self.folder / "gcide", train=first_rows(9)))
        self.assertIn("nothing new for 1:35", screen(run, quiet=95))
        self.assertNotIn("nothing new", screen(run))

    def test_narrow_terminals(self):
        run = Run(write_run(self.folder / "gcide"))
        self.assertLessEqual(max(map(len, screen(run, width=40).splitlines())), 40)

    def test_sparklines(self):
        self.assertEqual(sparkline([0, 7, 3.5], 10), "▁█▅")
        self.assertEqual(sparkline([2, 2], 10), "▁▁")
        self.assertEqual(sparkline([0, np.nan, np.inf, 1], 10), "▁  █")
        self.assertEqual(sparkline([np.nan], 10), " ")
        self.assertEqual(len(sparkline(np.arange(1000.0), 50)), 50)


class Watching(PlotTest):
    def setUp(self):
        super().setUp()
        self.run_folder = self.folder / "gcide"

    def watch_in_thread(self, out, **options):
        arguments = (self.run_folder, INTERVAL)
        thread = threading.Thread(
            target=watch, args=arguments, kwargs={"out": out, **options}, daemon=True
        )
        thread.start()
        return thread

    def wait_for(self, out, text):
        end = time.monotonic() + PATIENCE
        while text not in out.getvalue():
            self.assertLess(time.monotonic(), end, f"no '{text}' in {out.getvalue()[-500:]}")
            time.sleep(INTERVAL)

    def replace(self, rows):
        """As the writer does: a whole new file takes the name."""
        part = write_run(self.folder / "part", train=first_rows(rows), valid=None, test=None)
        os.replace(part / "metrics.h5", self.run_folder / "metrics.h5")

    def test_from_before_the_beginning_to_the_end(self):
        out = Terminal()
        picture = self.folder / "live.png"
        thread = self.watch_in_thread(out, png=picture)
        self.wait_for(out, "waiting for it")
        self.run_folder.mkdir()
        (self.run_folder / "metrics.h5").write_bytes(b"")  # just being made
        self.wait_for(out, "not a readable HDF5 file")
        for rows in (10, 20):
            self.replace(rows)
            self.wait_for(out, f"iteration {10 * rows}/600")
            self.assertTrue(thread.is_alive())
        self.replace(STEPS)
        thread.join(PATIENCE)
        self.assertFalse(thread.is_alive())
        self.assertIn("iteration 600/600, done", out.getvalue().split(CLEAR)[-1])
        self.assertGreater(min(png_size(picture)), 500)
        self.assertEqual([p.name for p in self.folder.glob(".live*")], [])

    def test_rows_appended_in_place_are_seen(self):
        write_run(self.run_folder, train=first_rows(10))
        out = io.StringIO()
        thread = self.watch_in_thread(out)
        self.wait_for(out, "iteration 100/600")
        write_run(self.run_folder)
        thread.join(PATIENCE)
        self.assertFalse(thread.is_alive())
        self.assertNotIn(CLEAR, out.getvalue())  # no terminal

    def test_a_last_loss_that_is_no_number_ends_too(self):
        loss = train_group()["loss"]
        loss[-1] = np.nan
        write_run(self.run_folder, train=train_group(loss=loss))
        watch(self.run_folder, INTERVAL, out=io.StringIO())

    def test_once(self):
        write_run(self.run_folder, train=first_rows(10))
        picture = self.folder / "now.png"
        code, out, err = run_command("watch", self.run_folder, "--once", "--png", picture)
        self.assertEqual((code, err), (0, ""))
        self.assertIn("iteration 100/600", out)
        self.assertGreater(min(png_size(picture)), 500)

    def test_what_is_refused(self):
        self.refused("no such file", "watch", self.run_folder, "--once")
        self.refused("above 0", "watch", self.run_folder, "--interval", "0")


if __name__ == "__main__":
    unittest.main()
