#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# The report of made-up runs: valid HTML, nothing from outside, all that there is data for.
import base64
import tempfile
import unittest
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from unittest import mock

import h5py
import numpy as np
from made_run import (
    DECK,
    PlotTest,
    run_command,
    timeline_group,
    train_group,
    write_checkpoint,
    write_full_run,
    write_run,
)
from trireme_analysis import html, style

VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """What stands in a page; complains of tags that don't match."""

    def __init__(self, text):
        super().__init__()
        self.open, self.headings, self.captions, self.sources = [], [], [], []
        self.cells, self.items, self.links, self.text = [], [], [], []
        self.tags = set()
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        attributes = dict(attributes)
        self.links += [attributes[k] for k in ("href", "src") if k in attributes]
        if tag == "img":
            self.sources.append(attributes["src"])
            assert attributes["alt"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> within {self.open}"
        self.open.pop()

    def handle_data(self, data):
        place = {"h2": self.headings, "figcaption": self.captions, "td": self.cells,
                 "li": self.items}.get(self.open[-1] if self.open else "", self.text)
        place.append(data)


def write_all(folder):
    """A run folder that a report has all for."""
    starts = {"iteration": np.array([0, 300]), "host": np.array(["node0", "node<7>"]),
              "seconds": np.array([0.0, 12.5])}
    write_full_run(folder, 1, 2, 2, starts=starts)
    with h5py.File(folder / "metrics.h5", "a") as file:
        file.attrs["parameters"] = np.int64(3_294_976)
    place = folder / "global_step600"
    write_checkpoint(place, {f"layers.{i}.w.weight": np.ones((2, 2)) for i in range(3)})
    (folder / "latest").write_text("global_step600\n")
    (folder / "environment.txt").write_text("host <node0> & others\n")
    return folder


def read_page(*arguments):
    code, out, err = run_command("report", *arguments)
    assert (code, err) == (0, ""), err
    with open(out.strip(), encoding="utf-8") as file:
        text = file.read()
    assert text.startswith("<!DOCTYPE html>")
    return Page(text)


@cache
def full_page():
    with tempfile.TemporaryDirectory() as folder:
        return read_page(write_all(Path(folder) / "gcide"))


# Where a test looks at words alone, nothing is drawn into a file.
undrawn = mock.patch.object(html, "_bytes", lambda *_, **__: b"<svg/>")


class Report(PlotTest):
    def test_all_of_a_full_run(self):
        page = full_page()
        self.assertEqual(page.headings, [
            "Summary", "Starts", "Loss", "Evaluations", "Speed", "Timeline", "Memory",
            "Checkpoints", "Weights", "Ranks", "Deck", "Environment",
        ])
        self.assertEqual(len(page.captions), len(page.sources))
        self.assertIn("Who did what when in iteration 10", page.captions)
        self.assertIn("Memory by rank", page.captions)
        self.assertIn("Gradient norm and learning rate", page.captions)
        for cell in ("600 of 600", "5120", "optimizer.params.betas", "node0", "9.031 GiB",
                     "3 294 976", "layers 4, tokens a sample 256, vocabulary 257",
                     "node<7>", "12.5", "2", f"{np.exp(1.65):.5g}"):
            self.assertIn(cell, page.cells)

    def test_nothing_from_outside(self):
        page = full_page()
        self.assertFalse({"script", "link", "iframe"} & page.tags)
        for link in page.links:
            self.assertRegex(link, "^data:image/(svg\\+xml|png);base64,")
        picture = base64.b64decode(page.sources[0].split(",")[1])
        self.assertIn(b"<svg", picture)

    @undrawn
    def test_what_is_missing_is_said(self):
        page = read_page(write_run(self.folder / "old", valid=None, checkpoints=None))
        missing = "\n".join(page.items)
        self.assertEqual(page.headings[-1], "What is missing, and why")
        for text in (
            "Timeline: ",
            "timeline_iters",
            "Memory by stage: ",
            "Time of a step by rank: ",
            "Checkpoints: the run has saved none",
            "Starts: ",
            "Norms of weights by layer: ",
            "Environment: ",
            "No such file",
        ):
            self.assertIn(text, missing)
        self.assertNotIn("Timeline", page.headings)

    def test_a_run_of_nothing_has_a_page(self):
        read_page(write_run(self.folder / "new", train=None, valid=None, test=None))

    @undrawn
    def test_text_is_escaped(self):
        evil = "</td><script>alert('&')</script>"
        folder = write_run(self.folder / "a<b>&", train=train_group())
        with h5py.File(folder / "metrics.h5", "a") as file:
            file.attrs["deck"] = DECK.format(batch=8, save="x") + f'data_path: "{evil}"\n'
            file["ranks/host"] = np.array([b"<i>"])
            file["ranks/device"] = np.array([b"a & b"])
        page = read_page(folder)
        self.assertFalse({"script", "i", "b"} & page.tags)
        self.assertIn(evil, page.cells)
        self.assertIn("<i>", page.cells)
        self.assertIn("host <node0> & others\n", full_page().text)

    @undrawn
    def test_runs_beside_the_first(self):
        other = write_run(self.folder / "other", train=train_group(loss=np.full(60, 2.0)))
        page = read_page(write_all(self.folder / "gcide"), other)
        self.assertEqual(page.headings[1], "Beside other runs")
        self.assertIn("other against gcide", page.captions)
        self.assertIn("Scaling", page.captions)  # 4 and 2 ranks, one batch
        self.assertIn("second − first", page.text)

    @undrawn
    def test_only_some_traced_steps(self):
        five = [timeline_group(4, 2, 2, iteration) for iteration in range(5)]
        spans = {name: np.concatenate([one[name] for one in five]) for name in five[0]}
        page = read_page(write_full_run(self.folder / "t", 1, 2, 2, timeline=spans))
        self.assertEqual(sum("Who did what" in caption for caption in page.captions), 4)
        self.assertIn("Timeline: only 4 of 5 traced iterations are shown", page.items)

    @undrawn
    def test_large_checkpoints_are_read_on_demand(self):
        run = write_run(self.folder / "a")
        place = run / "global_step600"
        write_checkpoint(place, {"w.weight": np.ones(3)})
        (run / "latest").write_text("global_step600\n")
        with h5py.File(place / "checkpoint.h5", "a") as file:
            # Takes no room: it's never written.
            file.create_dataset("model/large", (1 << 16, 1 << 15), "f4", chunks=(1, 1 << 15))
        self.assertTrue(any("--weights reads them" in item for item in read_page(run).items))

    @undrawn
    def test_mfu_and_place(self):
        place = self.folder / "r.html"
        run = write_run(self.folder / "a", train=train_group())
        read_page(run, "--peak", "1", "--output", place)
        self.assertTrue(place.exists())
        self.refused("no such folder", "report", run, "--output", "/nowhere/r.html")
        self.refused("no such file", "report", self.folder / "nowhere")


class Parts(unittest.TestCase):
    def test_large_pictures_are_png(self):
        for largest, kind in ((1000, "png"), (1_000_000, "svg+xml")):
            figure = style.new_figure("t", "x", "y")[0]
            with mock.patch.object(html, "LARGEST_SVG", largest):
                source = html.picture(figure, "c").split("base64")[0]
            self.assertIn(f"data:image/{kind};", source)

    def test_numbers_stand_to_the_right(self):
        page = html.table(("a",), [("-3",), ("word",)])
        self.assertIn('<td class="number">-3</td>', page)
        self.assertIn("<td>word</td>", page)


if __name__ == "__main__":
    unittest.main()
