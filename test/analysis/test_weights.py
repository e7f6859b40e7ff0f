#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Tensors of made-up checkpoints: norms, histograms, spectra, differences, shards that are gone.
import tracemalloc
import unittest
import warnings
from unittest import mock

import h5py
import numpy as np
from made_run import PlotTest, legend_of, png_size, run_command, write_checkpoint
from trireme_analysis import checkpoint as checkpoint_module
from trireme_analysis import tensors
from trireme_analysis.checkpoint import Checkpoint, Difference
from trireme_analysis.run import RunError, RunWarning
from trireme_analysis.weights import draw

LAYERS = 3
DRAW = np.random.default_rng(3)
VALUES = (5.0, 2.0, 0.5, 0.01)  # singular values of each dense matrix


def matrix_of(rows, columns, values):
    """A matrix with these singular values."""
    left = np.linalg.qr(DRAW.normal(size=(rows, len(values))))[0]
    right = np.linalg.qr(DRAW.normal(size=(columns, len(values))))[0]
    return (left * values) @ right.T


def model(scale=1.0):
    named = {"embed_in.weight": np.arange(12.0).reshape(6, 2), "final.bias": np.zeros(4)}
    for layer in range(LAYERS):
        named[f"layers.{layer}.dense.weight"] = scale * (layer + 1) * np.ones((3, 4))
        named[f"layers.{layer}.norm.weight"] = np.ones(5)
    return named


class Tensors(PlotTest):
    def open(self, named, **options):
        folder = write_checkpoint(self.folder / "runs" / "global_step600", named, **options)
        checkpoint = Checkpoint(folder)
        self.addCleanup(checkpoint.close)
        return checkpoint

    def test_names_by_layer_and_glob(self):
        checkpoint = self.open({f"layers.{i}.w": np.ones(2) for i in (10, 2)} | {"a.b": [1.0]})
        self.assertEqual(checkpoint.names(), ["a.b", "layers.2.w", "layers.10.w"])
        self.assertEqual(checkpoint.names("*.w"), ["layers.2.w", "layers.10.w"])
        with self.assertRaisesRegex(RunError, "no tensor matches 'x\\*'; there are a.b"):
            checkpoint.names("x*")

    def test_nothing_leads_to_other_files(self):
        place = self.folder / "runs" / "global_step600"
        write_checkpoint(place, {"a": np.ones(4)}, shards=1)
        with h5py.File(self.folder / "secret.h5", "w") as file:
            file["a"] = np.zeros(4)

        def spoil(file_name, name, item):
            with h5py.File(place / file_name, "a") as file:
                del file[name]
                if isinstance(item, h5py.VirtualLayout):
                    file.create_virtual_dataset(name, item)
                else:
                    file[name] = item

        def read():
            with Checkpoint(place) as checkpoint:
                return list(checkpoint.pieces("a"))

        self.assertEqual(read()[0][0], 1)
        outside = h5py.ExternalLink("../../secret.h5", "a")
        spoil("shard-00000.h5", "model/a@0", outside)
        with self.assertRaisesRegex(RunError, "is a link"):
            read()
        layout = h5py.VirtualLayout((4,), "f8")
        layout[:] = h5py.VirtualSource("../../secret.h5", "a", (4,), "f8")
        spoil("checkpoint.h5", "model/a", layout)
        with self.assertRaisesRegex(RunError, "no shard's name"):
            read()
        spoil("checkpoint.h5", "model/a", outside)
        with self.assertRaisesRegex(RunError, "is a link"):
            read()
        with h5py.File(place / "checkpoint.h5", "a") as file:
            del file["optimizer/master"]
            file["optimizer/master"] = outside
        with self.assertRaisesRegex(RunError, "not to /model"):
            Checkpoint(place, "master")

    def test_kinds(self):
        names = ["embed_in.weight", "layers.0.a.b", "model.layers.1.a.b"]
        self.assertEqual(
            tensors.by_kind(names),
            {"embed_in.weight": {None: names[0]}, "a.b": {0: names[1], 1: names[2]}},
        )

    def test_pieces_make_the_whole_at_any_cut(self):
        values = DRAW.normal(size=(7, 5)).astype("f4")
        checkpoint = self.open({"w": values})
        for piece in (1, 5, 11, 1000):
            with mock.patch.object(checkpoint_module, "PIECE", piece):
                for axis in (0, 1):
                    parts = list(checkpoint.pieces("w", axis))
                    np.testing.assert_array_equal(np.concatenate(parts, axis), values)
                    self.assertTrue(all(p.size <= piece or p.shape[axis] == 1 for p in parts))

    def test_norms_by_pieces(self):
        values = DRAW.normal(size=(50, 8))
        checkpoint = self.open({"w": values})
        with mock.patch.object(checkpoint_module, "PIECE", 24):
            found = tensors.norms(checkpoint, "w")
        self.assertAlmostEqual(found.norm, np.linalg.norm(values))
        self.assertAlmostEqual(found.rms, np.sqrt(np.mean(values**2)))
        self.assertAlmostEqual(found.largest, np.abs(values).max())
        self.assertEqual((found.size, found.not_finite), (400, 0))

    def test_singular_values_of_tall_and_wide(self):
        shapes = ((40, 6), (6, 40), (6, 6))
        checkpoint = self.open({f"w{shape}": matrix_of(*shape, VALUES) for shape in shapes})
        for shape in shapes:
            with self.subTest(shape), mock.patch.object(checkpoint_module, "PIECE", 30):
                found = tensors.singular_values(checkpoint, f"w{shape}")
                np.testing.assert_allclose(found[:4], VALUES, rtol=1e-6)
                self.assertEqual(len(found), 6)
                self.assertTrue(np.isnan(found[4:]).all())  # rank 4: the others are zero

    def test_histogram(self):
        checkpoint = self.open({"w": [0.0, 0.0, 1.0, np.nan], "c": [2.0, 2.0]})
        edges, density = tensors.histogram(checkpoint, "w", bins=4)
        np.testing.assert_allclose(edges, [0, 0.25, 0.5, 0.75, 1])
        np.testing.assert_allclose(density * 0.25, [2 / 3, 0, 0, 1 / 3])
        edges, density = tensors.histogram(checkpoint, "c", bins=2)
        self.assertAlmostEqual(float((density * np.diff(edges)).sum()), 1)

    def test_halves(self):
        """Two bytes of fp32 each, which NumPy has no type for."""
        folder = self.folder / "runs" / "global_step1"
        folder.mkdir(parents=True)
        values = np.array([[1.5, -2.0], [0.25, 3.0]], dtype="f4")
        with h5py.File(folder / "checkpoint.h5", "w") as file:
            kind = h5py.h5t.IEEE_F32LE.copy()
            kind.set_fields(15, 7, 8, 0, 7)
            kind.set_size(2)
            kind.set_ebias(127)
            space = h5py.h5s.create_simple(values.shape)
            group = file.create_group("model")
            data = h5py.h5d.create(group.id, b"w", kind, space)
            data.write(h5py.h5s.ALL, h5py.h5s.ALL, values)
        with Checkpoint(folder) as checkpoint:
            np.testing.assert_array_equal(next(checkpoint.pieces("w")), values)

    def test_memory_stays_that_of_a_piece(self):
        checkpoint = self.open({"w": np.ones((4000, 500), "f4")})  # 16 MB as float64
        with mock.patch.object(checkpoint_module, "PIECE", 50_000):
            tracemalloc.start()
            self.addCleanup(tracemalloc.stop)
            tensors.norms(checkpoint, "w")
            tensors.histogram(checkpoint, "w")
            self.assertLess(tracemalloc.get_traced_memory()[1], 6e6)


class Pictures(PlotTest):
    def setUp(self):
        super().setUp()
        self.place = write_checkpoint(self.folder / "runs" / "global_step600", model())
        self.checkpoint = Checkpoint(self.place)
        self.addCleanup(self.checkpoint.close)

    def test_norms_by_layer(self):
        figure, table = draw(self.checkpoint)
        (axes,) = figure.axes
        self.assertEqual((axes.get_xlabel(), axes.get_ylabel()), ("Layer", "Norm (Frobenius)"))
        lines = {line.get_label(): line.get_xydata() for line in axes.get_lines()}
        dense = [[layer, (layer + 1) * np.sqrt(12)] for layer in range(LAYERS)]
        np.testing.assert_allclose(lines["dense"], dense)
        np.testing.assert_allclose(lines["embed_in"], [[-1, np.sqrt(506)]])
        self.assertEqual(legend_of(axes), ["embed_in", "dense", "norm"])
        self.assertIn("layers.2.dense.weight", table)
        self.assertNotIn("bias", table)

    def test_difference_is_relative(self):
        other = write_checkpoint(self.folder / "other" / "global_step1", model(scale=1.5))
        with Checkpoint(other) as second:
            figure, table = draw(Difference(self.checkpoint, second), "norms", "*dense*")
        (axes,) = figure.axes
        self.assertEqual(axes.get_ylabel(), "‖second − first‖ / ‖first‖")
        np.testing.assert_allclose(axes.get_lines()[0].get_ydata(), 0.5)
        self.assertEqual(table.splitlines()[1].split()[-1], "0.5")

    def test_histograms(self):
        figure, _ = draw(self.checkpoint, "histograms")
        panels = [axes for axes in figure.axes if axes.get_title()]
        counts = {axes.get_title(): len(axes.get_lines()) for axes in panels}
        self.assertEqual(counts, {"dense": LAYERS, "norm": LAYERS, "embed_in": 1})
        self.assertEqual(figure._supxlabel.get_text(), "Value")
        self.assertEqual(figure.axes[-1].get_ylabel(), "Layer")

    def test_spectra(self):
        named = {f"layers.{i}.w.weight": matrix_of(20, 8, VALUES) for i in range(2)}
        place = write_checkpoint(self.folder / "s" / "global_step1", named)
        with Checkpoint(place) as checkpoint:
            figure, _ = draw(checkpoint, "spectra")
        self.assertEqual(figure._supylabel.get_text(), "Singular value")
        first, second = figure.axes[0].get_lines()
        np.testing.assert_allclose(first.get_ydata()[:4], VALUES, rtol=1e-6)
        np.testing.assert_array_equal(second.get_xdata(), np.arange(1, 9))

    def test_files(self):
        for show in ("norms", "histograms", "spectra"):
            code, out, err = run_command("weights", self.place, "--show", show)
            picture = self.place.parent / f"weights-{show}-global_step600.png"
            self.assertEqual((code, out.splitlines()[-1], err), (0, str(picture), ""))
            self.assertGreater(min(png_size(picture)), 400)

    def test_a_run_means_its_latest(self):
        (self.place.parent / "latest").write_text("global_step600\n")
        output = ("--output", self.folder / "x.png")
        code, _, err = run_command("weights", self.place.parent, "--of", "master", *output)
        self.assertEqual((code, err), (0, ""))
        (self.place.parent / "latest").write_text("global_step700\n")
        self.refused("latest names it", "weights", self.place.parent, *output)


class Troubles(PlotTest):
    def setUp(self):
        super().setUp()
        self.place = write_checkpoint(self.folder / "runs" / "global_step600", model())
        self.output = ("--output", self.folder / "x.png")

    def test_missing_shards_are_warned_of(self):
        (self.place / "shard-00001.h5").unlink()
        code, out, err = run_command("weights", self.place, *self.output)
        self.assertEqual(code, 0)
        self.assertIn("missing shards, whose parts read as NaN: shard-00001.h5", err)
        self.assertIn("values of 7 tensors are not finite, first in embed_in.weight", err)
        row = next(line for line in out.splitlines() if line.startswith("embed_in.weight"))
        self.assertEqual(row.split()[-1], "6")  # half of it

    def test_spectra_of_what_is_not_finite(self):
        (self.place / "shard-00001.h5").unlink()
        with Checkpoint(self.place) as checkpoint, warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", RunWarning)
            figure, _ = draw(checkpoint, "spectra")
        self.assertTrue(any("has no spectrum" in str(w.message) for w in said))
        self.assertEqual(sum(len(axes.get_lines()) for axes in figure.axes), 0)

    def test_tensors_of_one_checkpoint_alone(self):
        named = model()
        del named["layers.1.dense.weight"]
        named["layers.2.dense.weight"] = np.ones((2, 2))
        other = write_checkpoint(self.folder / "other" / "global_step1", named)
        code, out, err = run_command("weights", self.place, "--diff", other, *self.output)
        self.assertEqual((code, err.count("is left out")), (0, 2))
        self.assertIn("layers.1.dense.weight is left out", err)
        self.assertNotIn("layers.2.dense", out)

    def test_nothing_in_common(self):
        other = write_checkpoint(self.folder / "other" / "global_step1", {"x.weight": [1.0]})
        code, _, err = run_command("weights", self.place, "--diff", other, *self.output)
        self.assertEqual(code, 1)
        self.assertIn("share no tensor that matches '*weight'", err)

    def test_places_that_are_none(self):
        self.refused("neither checkpoint.h5, nor a folder", "weights", self.folder)
        (self.place / "checkpoint.h5").write_text("no")
        self.refused("not a readable HDF5 file", "weights", self.place)

    def test_groups_that_were_not_saved(self):
        self.refused("no /optimizer/exp_avg; it was saved without", "weights", self.place,
                     "--of", "exp_avg")

    def test_choices_that_fit_no_picture(self):
        place = self.folder / "many" / "global_step1"
        write_checkpoint(place, {f"k{i}.weight": np.ones((2, 2)) for i in range(30)})
        for show, hint in (("norms", "too many to draw"), ("spectra", "too many panels")):
            self.refused(hint, "weights", place, "--show", show, *self.output)
        self.refused("no matrix is among", "weights", self.place, "--show", "spectra",
                     "--names", "*norm*", *self.output)


if __name__ == "__main__":
    unittest.main()
