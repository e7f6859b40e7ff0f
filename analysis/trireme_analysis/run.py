# SPDX-License-Identifier: Apache-2.0
# Run: the metrics of one training run, read from its metrics.h5.
import re
from functools import cached_property
from pathlib import Path

from . import closed  # sets HDF5's environment before h5py is loaded
import h5py
import numpy as np

from .deck import flat_deck

FILE = "metrics.h5"
# The seconds of a step by phase, datasets of /train, in the order of a step.
PHASES = ("data", "forward", "backward", "reduce", "pipeline_wait", "optimizer", "checkpoint")
SERIES = ("train", "valid", "test", "checkpoints")  # groups that grow along the run
TABLES = ("plan", "schedule", "ranks", "timeline")

# How to get the data that a run lacks.
_NEWER = "builds of Trireme older than this folder don't write it: train with a present one"
_WHENCE = {
    "valid": "set eval_interval in the deck",
    "test": "it's evaluated at the end of a run, where split leaves documents for it",
    "checkpoints": "set save in the deck; the first row comes with the first save",
    "plan": f"it's written at the start; {_NEWER}",
    "ranks": f"it's written at each save, at a stop and at the end; {_NEWER}",
    "timeline": "set timeline_iters: [N] in the deck to trace iteration N",
}


class RunError(Exception):
    """A problem with a run that its owner can mend; the text is one line."""


class RunWarning(UserWarning):
    """A warning that the owner of a run should see beside a result."""


class Run:
    """The arrays of one metrics.h5, read once. Open a new Run for later rows.

    Dictionaries hold 1-D arrays of equal length, or none where the run has no data. They are:
    `train` (iteration, samples, tokens, loss, learning_rate, grad_norm, loss_scale, skipped,
    step_seconds, tokens_per_second, tflops_per_rank and PHASES, in seconds), `valid` and `test`
    (iteration, loss, perplexity), `checkpoints` (iteration, bytes and seconds), `starts` (the
    iteration where each start began, and what the file says of it), `plan` (by pipeline stage:
    parameters, and bytes), `schedule` (iteration, learning_rate, batch and sequence_length of
    the whole run, as the deck plans them), `ranks` (by rank: host, device, mesh indices, bytes,
    seconds; its `phases` is [ranks, 7]) and `timeline` (spans of traced steps: iteration, rank,
    phase, micro_batch, chunk, start and seconds). `timeline_phases` holds the names that the
    column `phase` counts. `attributes` holds the file's own attributes.
    """

    def __init__(self, place):
        """`place`: the run's folder or its metrics.h5. Raises RunError."""
        self.path = Path(place)
        if self.path.is_dir():
            self.path /= FILE
        if not self.path.is_file():
            raise RunError(f"{self.path}: no such file; has the run started?")
        try:
            with h5py.File(self.path, "r") as file:
                self._read(file)
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            raise RunError(f"{self.path}: not a readable HDF5 file ({error})") from None

    def _read(self, file):
        self.attributes = dict(file.attrs)
        for group in SERIES:
            setattr(self, group, _series(file, group))
        for group in TABLES:
            setattr(self, group, _columns(file, group))
        self.starts = _starts(file)
        self._confusions = {group: _confusion(file, group) for group in ("valid", "test")}
        self.timeline_phases = PHASES
        if closed.has(file, "timeline"):
            names = closed.member(file, "timeline").attrs.get("phases", ",".join(PHASES))
            self.timeline_phases = tuple(_text(names).split(","))

    def confusion(self, group):
        """(iteration, counts, names) of a group's last confusion matrix. counts[i, j]: samples
        of class i to which the model gives class j. Raises RunError if there is none."""
        found = self._confusions[group]
        if found is None:
            raise RunError(f"{self.path}: no /confusion/{group}: the model classifies nothing, "
                           f"or {_WHENCE[group]}")
        return found

    @property
    def folder(self):
        return self.path.parent

    @property
    def name(self):
        folder = self.path.resolve().parent.name
        return folder if self.path.name == FILE else f"{folder}/{self.path.stem}"

    @cached_property
    def deck(self):
        """The resolved deck by dotted key, values as text: {"optimizer.params.lr": "0.003"}."""
        return flat_deck(_text(self.attributes.get("deck", "")))

    @cached_property
    def mesh(self):
        """{"dp": d, "tp": t, "pp": p}; raises RunError if the file doesn't say."""
        if all(axis in self.attributes for axis in ("dp", "tp", "pp")):
            return {axis: int(self.attributes[axis]) for axis in ("dp", "tp", "pp")}
        found = re.findall(r"(dp|tp|pp) (\d+)", _text(self.attributes.get("mesh", "")))
        if len(found) != 3:
            raise RunError(f"{self.path}: no attributes dp, tp and pp; {_NEWER}")
        return {axis: int(size) for axis, size in found}

    def resumed_at(self):
        """Iterations after which a later start of the run went on; empty if the file has no
        history of starts."""
        at = np.asarray(self.starts.get("iteration", ()), dtype=float)[1:]
        return np.unique(at[np.isfinite(at) & (at > 0)])

    def speed_breaks(self):
        """Indices of /train at which a start, or another number of ranks, begins. Speeds on
        both sides have nothing in common."""
        iteration = np.asarray(self.train.get("iteration", ()), dtype=float)
        breaks = set(np.searchsorted(iteration, self.resumed_at(), side="right").tolist())
        rates = [self.train.get(name) for name in ("tokens_per_second", "tflops_per_rank")]
        if all(rate is not None for rate in rates):
            with np.errstate(divide="ignore", invalid="ignore"):
                ranks = rates[0] / np.asarray(rates[1], dtype=float)  # in proportion to them
                change = np.abs(np.diff(ranks)) > 1e-3 * np.abs(ranks[:-1])
            breaks |= set((np.flatnonzero(change) + 1).tolist())
        return sorted(b for b in breaks if 0 < b < len(iteration))

    def latest(self, name):
        """A column of /train since the last of speed_breaks(): that of the present mesh."""
        breaks = self.speed_breaks()
        return np.asarray(self.train[name], dtype=float)[breaks[-1] if breaks else 0 :]

    @property
    def rank_count(self):
        return int(np.prod(list(self.mesh.values())))

    def setting(self, key):
        """A number from the run's attributes or deck. Raises RunError."""
        value = self.attributes.get(key, self.deck.get(key))
        try:
            return int(value)
        except (TypeError, ValueError):
            raise RunError(f"{self.path}: neither attribute nor deck gives {key}") from None

    def need(self, group, *names):
        """The named arrays of a group, as floats. Raises RunError where one is missing or
        empty, and says how to get the data."""
        series = getattr(self, group)
        whence = f"; {_WHENCE[group]}" if group in _WHENCE else ""
        if len(series) == 0 and group in _WHENCE:
            raise RunError(f"{self.path}: no /{group}{whence}")
        missing = [name for name in names if name not in series]
        if missing:
            raise RunError(f"{self.path}: no dataset /{group}/{missing[0]}{whence}")
        if len(series[names[0]]) == 0:
            why = whence or "; nothing has been logged yet"
            raise RunError(f"{self.path}: /{group} is empty{why}")
        return [np.asarray(series[name], dtype=float) for name in names]

    def tokens_at(self, iterations):
        """Tokens trained on by the end of each iteration, interpolated between logged
        iterations."""
        at, tokens = self.need("train", "iteration", "tokens")
        return np.interp(iterations, [0, *at], [0, *tokens])

    def seconds_at(self, iterations):
        """Seconds of training by the end of each iteration. Counts steps only, without
        evaluations and the time between two starts."""
        at, seconds = self.need("train", "iteration", "step_seconds")
        return np.interp(iterations, [0, *at], [0, *np.cumsum(seconds)])


def _text(value):
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _starts(file):
    """The groups /starts/N as columns by name, in order; {} if the file has none."""
    if not closed.has(file, "starts"):
        return {}
    group = closed.member(file, "starts")
    numbers = sorted(int(name) for name in group if name.isdecimal())
    rows = [dict(closed.member(group, str(number)).attrs) for number in numbers]
    names = dict.fromkeys(name for row in rows for name in row)
    return {
        name: np.array([_plain(row.get(name, "")) for row in rows])
        for name in names
    }


def _plain(value):
    return _text(value) if isinstance(value, (bytes, str)) else value


def _columns(file, group):
    if not closed.has(file, group):
        return {}
    table = closed.member(file, group)
    if not isinstance(table, h5py.Group):
        return {}
    columns = {name: closed.array(table, name)[...] for name in closed.members(table)}
    columns = {name: values for name, values in columns.items() if np.ndim(values) >= 1}
    for name, values in columns.items():
        if values.dtype.kind in "SO":
            columns[name] = np.array([_text(value) for value in values], dtype=str)
    return columns


def _confusion(file, group):
    try:
        table = closed.member(file, f"confusion/{group}")
    except KeyError:
        return None
    numbers = [int(name) for name in closed.members(table) if name.isdecimal()]
    if not numbers:
        return None
    counts = np.asarray(closed.array(table, str(max(numbers)))[...], dtype=int)
    names = [str(i) for i in range(len(counts))]
    if closed.has(closed.member(file, "confusion"), "classes"):
        found = [_text(name) for name in closed.array(file, "confusion/classes")[...]]
        names = found + names[len(found) :]
    return max(numbers), counts, names[: len(counts)]


def _series(file, group):
    series = {name: a for name, a in _columns(file, group).items() if a.ndim == 1}
    # The writer appends to one dataset after another. A row counts once all datasets have it.
    rows = min(map(len, series.values()), default=0)
    return {name: values[:rows] for name, values in series.items()}


def open_runs(places):
    """{name: Run} of the places, with names that distinguish them. Raises RunError."""
    runs = [Run(place) for place in places]
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        names = [str(place) for place in places]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise RunError(f"{twice}: given twice; name each run once")
    return dict(zip(names, runs))


def the_one(runs, command):
    """(name, Run) of a dictionary of one run. Raises RunError."""
    if len(runs) != 1:
        raise RunError(f"{command} shows one run, not {len(runs)}; name one")
    return next(iter(runs.items()))
