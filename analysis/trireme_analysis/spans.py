# SPDX-License-Identifier: Apache-2.0
# Traced steps: what each rank did when, also as Chrome's trace events.
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .run import RunError

WAITING = "pipeline_wait"
OTHER = "other"  # name of spans without a phase
COLUMNS = ("iteration", "rank", "phase", "micro_batch", "chunk", "start", "seconds")


@dataclass
class Step:
    """The spans of one traced iteration: arrays of equal length. `phase` is an index into
    `names`, or -1. `micro_batch` and `chunk` are -1 for spans without one. `start` is in
    seconds from an origin that all ranks share."""

    iteration: int
    names: tuple
    rank: np.ndarray
    phase: np.ndarray
    micro_batch: np.ndarray
    chunk: np.ndarray
    start: np.ndarray
    seconds: np.ndarray

    @property
    def ranks(self):
        return np.unique(self.rank)

    @property
    def end(self):
        """Seconds until the last rank was done."""
        return float((self.start + self.seconds).max())

    def name_of(self, phase):
        return self.names[phase] if phase >= 0 else OTHER

    def is_work(self):
        """For each span, whether its rank did something other than wait for another stage."""
        if WAITING not in self.names:
            return np.ones(len(self.phase), dtype=bool)
        return self.phase != self.names.index(WAITING)

    def idle_share(self):
        """The share of all ranks' time in which they did no work. Time in which no rank has a
        span does not belong to the step, such as an evaluation."""
        order = np.argsort(self.start)
        ends = np.maximum.accumulate((self.start + self.seconds)[order])
        since = np.maximum(self.start[order], np.concatenate([[0.0], ends[:-1]]))
        whole = len(self.ranks) * np.maximum(ends - since, 0).sum()
        return 1 - self.seconds[self.is_work()].sum() / whole if whole > 0 else 0.0

    def of_ranks(self, wanted):
        """The spans of these ranks alone. Raises RunError if there is none."""
        keep = np.isin(self.rank, wanted)
        if not keep.any():
            raise RunError(f"--ranks: the trace has ranks {self.ranks[0]} to {self.ranks[-1]}")
        arrays = (getattr(self, name)[keep] for name in COLUMNS[1:])
        return Step(self.iteration, self.names, *arrays)


def joined(step, gap):
    """The Step with spans of one work (rank, phase, micro-batch, chunk) merged if they are at
    most `gap` seconds apart. A picture can show such spans, even of work that is often
    interrupted."""
    order = np.lexsort((step.start, step.chunk, step.micro_batch, step.phase, step.rank))
    columns = {name: getattr(step, name)[order] for name in COLUMNS[1:]}
    start, end = columns["start"], columns["start"] + columns["seconds"]
    begins = np.ones(len(order), dtype=bool)
    begins[1:] = start[1:] - end[:-1] > gap
    for name in ("rank", "phase", "micro_batch", "chunk"):
        begins[1:] |= columns[name][1:] != columns[name][:-1]
    first = np.flatnonzero(begins)
    kept = {name: column[first] for name, column in columns.items()}
    kept["seconds"] = np.maximum.reduceat(end, first) - kept["start"]
    return Step(step.iteration, step.names, **kept)


def traced_iterations(run):
    return [int(i) for i in np.unique(run.need("timeline", "iteration")[0])]


def traced_step(run, iteration=None):
    """The Step of an iteration; by default the first that was traced. Raises RunError."""
    there = traced_iterations(run)
    iteration = there[0] if iteration is None else iteration
    if iteration not in there:
        known = ", ".join(map(str, there))
        raise RunError(f"{run.path}: iteration {iteration} wasn't traced; these were: {known}")
    columns = run.need("timeline", *COLUMNS)
    here = columns[0] == iteration
    integers = [column[here].astype(int) for column in columns[1:5]]
    step = Step(iteration, run.timeline_phases, *integers, *(c[here] for c in columns[5:]))
    if step.phase.max() >= len(step.names):
        raise RunError(f"{run.path}: /timeline/phase counts beyond {len(step.names)} phases")
    return step


def chrome_trace(run, steps):
    """A dictionary in the Trace Event Format, for chrome://tracing and Perfetto. Each rank is a
    process; times are in µs. Steps follow each other without a gap."""
    events, offset = [], 0.0
    for rank in np.unique(np.concatenate([step.ranks for step in steps])):
        rank = int(rank)
        name = {"name": "process_name", "ph": "M", "pid": rank, "tid": 0}
        events.append({**name, "args": {"name": _rank_name(run, rank)}})
        events.append({**name, "name": "process_sort_index", "args": {"sort_index": rank}})
    for step in steps:
        events += [_event(step, i, offset) for i in range(len(step.rank))]
        offset += step.end
    other = {"run": run.name, "iterations": [step.iteration for step in steps]}
    return {"traceEvents": events, "displayTimeUnit": "ms", "otherData": other}


def _event(step, i, offset):
    arguments = {"iteration": step.iteration}
    for name in ("micro_batch", "chunk"):
        value = int(getattr(step, name)[i])
        if value >= 0:
            arguments[name] = value
    phase = step.name_of(step.phase[i])
    return {
        "name": f"{phase} {arguments['micro_batch']}" if "micro_batch" in arguments else phase,
        "cat": phase,
        "ph": "X",
        "ts": round(1e6 * (offset + float(step.start[i])), 3),
        "dur": round(1e6 * float(step.seconds[i]), 3),
        "pid": int(step.rank[i]),
        "tid": 0,
        "args": arguments,
    }


def _rank_name(run, rank):
    place = [
        f"{axis} {run.ranks[axis][rank]}"
        for axis in ("dp", "tp", "pp")
        if rank < len(run.ranks.get(axis, ()))
    ]
    return f"rank {rank} ({', '.join(place)})" if place else f"rank {rank}"


def write_chrome_trace(run, steps, path):
    """Writes the file completely or not at all."""
    path = Path(path)
    if not path.parent.is_dir():
        raise RunError(f"{path}: no such folder; make it, or choose another by --chrome")
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_text(json.dumps(chrome_trace(run, steps)) + "\n", encoding="utf-8")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
