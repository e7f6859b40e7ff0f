# SPDX-License-Identifier: Apache-2.0
# Run: the metrics of one training run, as its metrics.h5 holds them.
import os
from pathlib import Path

# A run that still goes on holds the file open; reading it beside the writer is the point.
os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")

import h5py
import numpy as np

FILE = "metrics.h5"
# The seconds of a step by phase, datasets of /train, in the order of a step.
PHASES = ("data", "forward", "backward", "reduce", "pipeline_wait", "optimizer", "checkpoint")


class RunError(Exception):
    """Something about a run that its owner can mend; the text is one line."""


class Run:
    """Series of equal length, a dict of arrays each: `train` (iteration, samples, tokens, loss,
    learning_rate, grad_norm, step_seconds, tokens_per_second, ... and PHASES), `valid` and
    `test` (iteration, loss, perplexity; empty where nothing was evaluated). `attributes` holds
    the file's own: the resolved deck, version and mesh."""

    def __init__(self, place):
        """`place`: the run's folder or its metrics.h5. Raises RunError."""
        self.path = Path(place)
        if self.path.is_dir():
            self.path /= FILE
        if not self.path.is_file():
            raise RunError(f"{self.path}: no such file; has the run started?")
        try:
            with h5py.File(self.path, "r") as file:
                self.attributes = dict(file.attrs)
                self.train = self._series(file, "train")
                self.valid = self._series(file, "valid")
                self.test = self._series(file, "test")
        except OSError as error:
            raise RunError(f"{self.path}: not a readable HDF5 file ({error})") from None

    @property
    def name(self):
        folder = self.path.resolve().parent.name
        return folder if self.path.name == FILE else f"{folder}/{self.path.stem}"

    def _series(self, file, group):
        if group not in file or not isinstance(file[group], h5py.Group):
            return {}
        series = {name: data[...] for name, data in file[group].items() if np.ndim(data) == 1}
        if len(series) == 0:
            return {}
        # The writer appends to one dataset after another: a row counts once all have it.
        rows = min(len(values) for values in series.values())
        return {name: values[:rows] for name, values in series.items()}

    def need(self, group, *names):
        """The named series of `train`, `valid` or `test`, as float arrays. Raises RunError
        where one is missing or empty."""
        series = getattr(self, group)
        missing = [name for name in names if name not in series]
        if missing:
            raise RunError(f"{self.path}: no dataset /{group}/{missing[0]}")
        if len(series[names[0]]) == 0:
            raise RunError(f"{self.path}: /{group} is empty; nothing has been logged yet")
        return [np.asarray(series[name], dtype=float) for name in names]

    def tokens_at(self, iterations):
        """Tokens trained on by the end of each iteration, between logged ones by a line."""
        at, tokens = self.need("train", "iteration", "tokens")
        return np.interp(iterations, [0, *at], [0, *tokens])


def open_runs(places):
    """One Run a place, under names that tell them apart. Raises RunError."""
    runs = [Run(place) for place in places]
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        names = [str(place) for place in places]
    return dict(zip(names, runs))
