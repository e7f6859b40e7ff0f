#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Plots of models that classify: scores by iteration, and the confusion matrix.
import unittest

import h5py
import numpy as np
from made_run import PlotTest, draw, legend_of, open_runs, write_run
from trireme_analysis.plots.confusion import shares
from trireme_analysis.run import RunError

COUNTS = np.array([[5, 1, 0], [2, 6, 0], [0, 0, 0]])


class Classes(PlotTest):
    def setUp(self):
        super().setUp()
        self.run_folder = write_run(self.folder / "digits")
        with h5py.File(self.run_folder / "metrics.h5", "a") as file:
            file["valid/accuracy"] = np.array([0.5, 0.75])
            file["valid/macro_f1"] = np.array([0.4, 0.7])
            file["confusion/valid/300"] = np.zeros((3, 3), "i8")
            file["confusion/valid/600"] = COUNTS
            file["confusion/classes"] = np.array([b"cat", b"dog", b"oar"])

    def test_curves(self):
        (axes,) = draw("classes", self.run_folder).axes
        self.assertEqual(legend_of(axes), ["accuracy (0.750)", "macro F1 (0.700)"])
        np.testing.assert_array_equal(axes.get_lines()[0].get_xydata(),
                                      [[300, 0.5], [600, 0.75]])

    def test_the_last_matrix(self):
        figure = draw("confusion", self.run_folder)
        (axes,) = figure.axes
        self.assertIn("iteration 600", figure._suptitle.get_text())
        np.testing.assert_allclose(axes.get_images()[0].get_array(), shares(COUNTS))
        self.assertEqual([t.get_text() for t in axes.get_yticklabels()], ["cat", "dog", "oar"])
        self.assertEqual(sorted(t.get_text() for t in axes.texts), ["1", "2", "5", "6"])

    def test_a_run_without_classes(self):
        (run,) = open_runs([write_run(self.folder / "text")]).values()
        with self.assertRaisesRegex(RunError, "no /confusion/valid"):
            run.confusion("valid")
        with self.assertRaisesRegex(RunError, "no dataset /valid/accuracy"):
            draw("classes", self.folder / "text")


if __name__ == "__main__":
    unittest.main()
