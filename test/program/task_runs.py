# SPDX-License-Identifier: Apache-2.0
"""What the tests of tasks share: a run of a class's deck, and a start that is refused."""
import unittest

import program


class TaskRuns(unittest.TestCase):
    """A subclass has a `folder`, and deck(name, **keys), which returns the path of a deck."""

    def train(self, name, ranks=1, **keys):
        run = self.folder / name
        said = program.run_well(ranks, "train", self.deck(name, save=str(run), **keys))
        return program.read_metrics(run), said

    def assert_refused(self, words, *arguments):
        done = program.run(1, *arguments)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn(words, " ".join(done.stderr.split()))
