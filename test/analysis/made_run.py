# SPDX-License-Identifier: Apache-2.0
"""Made-up runs and checkpoints, as Trireme writes them, and what tests of plots share."""
import contextlib
import io
import struct
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "analysis"))

import h5py
import numpy as np
from trireme_analysis import style
from trireme_analysis.command import main, parse, plot_options
from trireme_analysis.plots import PLOTS
from trireme_analysis.run import PHASES, open_runs

STEPS = 60
ITERATION = np.arange(10, 10 * STEPS + 1, 10)
TOKENS_A_STEP = 4096
LOSS = 1.5 + 4 * np.exp(-ITERATION / 100)
STEP_SECONDS = 0.8
DECK = """# Model
num_layers: 4
vocab_size: 257
# Batch
train_batch_size: {batch}
seq_length: 256
optimizer:
  type: AdamW
  params:
    lr: 0.003
    betas: [0.9, 0.95]
train_iters: 600
save: "{save}"
"""
GIB = 1 << 30


def train_group(**extra):
    """/train of 600 iterations, of which every tenth is there; `extra` replaces columns."""
    group = {
        "iteration": ITERATION.astype("u8"),
        "tokens": ITERATION.astype("u8") * TOKENS_A_STEP,
        "loss": LOSS,
        "learning_rate": np.full(STEPS, 1e-3),
        "grad_norm": np.full(STEPS, 0.5),
        "step_seconds": np.full(STEPS, STEP_SECONDS),
        "tokens_per_second": np.full(STEPS, TOKENS_A_STEP / STEP_SECONDS),
        "tflops_per_rank": np.full(STEPS, 0.25),
        **{phase: np.full(STEPS, 0.1) for phase in PHASES},
    }
    return {**group, **extra}


def add_starts(folder, iterations):
    """Adds a history of starts to a run."""
    changes = ["lr 1 → 2" if i > 0 else "" for i in range(len(iterations))]
    with h5py.File(folder / "metrics.h5", "r+") as file:
        _write_starts(file, {"iteration": iterations, "changes": changes})


def _write_starts(file, columns):
    for number, row in enumerate(zip(*columns.values()), 1):
        start = file.create_group(f"starts/{number}")
        for name, value in zip(columns, row):
            start.attrs[name] = str(value) if isinstance(value, str) else value


def write_run(folder, batch=16, mesh=(2, 1, 1), **extra):
    """A metrics.h5 of the kind before /plan and /timeline; `extra` replaces whole groups, None
    leaves one out."""
    groups = {
        "train": train_group(),
        "valid": {"iteration": np.array([300, 600]), "loss": np.array([1.9, 1.6])},
        "test": {"iteration": np.array([600]), "loss": np.array([1.65])},
        "checkpoints": {
            "iteration": np.array([300, 600]),
            "bytes": np.array([10**9, 10**9]),
            "stall_seconds": np.array([0.01, 0.02]),
            "write_seconds": np.array([1.0, 2.0]),
            "total_seconds": np.array([1.5, 2.5]),
            "bytes_per_second": np.array([1e9, 5e8]),
        },
        **extra,
    }
    folder.mkdir(parents=True, exist_ok=True)
    with h5py.File(folder / "metrics.h5", "w") as file:
        file.attrs["version"] = "0.1.0"
        file.attrs["mesh"] = "dp {} × tp {} × pp {}".format(*mesh)
        file.attrs["deck"] = DECK.format(batch=batch, save=folder)
        _write_starts(file, groups.pop("starts", {}))
        for group, series in groups.items():
            for name, values in (series or {}).items():
                values = np.asarray(values)
                if values.dtype.kind == "U":
                    values = values.astype("S")
                file.create_dataset(f"{group}/{name}", data=values,
                                    maxshape=(None, *values.shape[1:]))
    return folder


def ranks_group(dp, tp, pp):
    """/ranks of a mesh; times and bytes tell ranks apart."""
    rank = np.arange(dp * tp * pp)
    phases = np.tile(np.array([0.01, 0.2, 0.3, 0.05, 0.04, 0.06, 0.0]), (len(rank), 1))
    phases[:, 1] += 0.001 * rank
    return {
        "host": np.array([f"node{r // 4}" for r in rank]),
        "device": np.array(["cpu"] * len(rank)),
        "peak_bytes": 12 * GIB + rank,
        "arrays_peak_bytes": 9 * GIB + rank * (GIB // 64),
        "arrays_reserved_bytes": 10 * GIB + rank,
        "tp": rank % tp,
        "dp": rank // tp % dp,
        "pp": rank // (tp * dp),
        "phases": phases,
        "step_seconds": phases.sum(axis=1) + 0.02,
    }


def plan_group(pp):
    stage = np.arange(pp)
    return {
        "parameters": np.full(pp, 10**9),
        "values": np.full(pp, 2 * GIB),
        "gradients": np.full(pp, 1 * GIB),
        "optimizer": np.full(pp, 3 * GIB),
        "activations": (pp - stage) * GIB // pp * 4,
        "unused": np.full(pp, GIB // 2),
        "copy": np.full(pp, GIB),
        "in_flight": pp - stage,
    }


def timeline_group(ranks, stages, micro_batches, iteration=10, unit=0.010):
    """Columns of a pipeline of `stages` by 1F1B: a forward takes `unit` seconds, a backward
    twice that; then the optimizer. Ranks of one stage do the same at the same time."""
    done, rows = {}, []
    for stage_rank in range(ranks):
        stage = stage_rank * stages // ranks
        done[stage_rank] = [("f", m) for m in range(min(stages - 1 - stage, micro_batches))]
        steady = micro_batches - len(done[stage_rank])
        warm = len(done[stage_rank])
        for i in range(steady):
            done[stage_rank] += [("f", warm + i), ("b", i)]
        done[stage_rank] += [("b", m) for m in range(steady, micro_batches)]
    ended, clock = {}, [0.0] * ranks
    at = [0] * ranks
    while any(at[r] < len(done[r]) for r in range(ranks)):
        for rank in range(ranks):
            stage = rank * stages // ranks
            while at[rank] < len(done[rank]):
                kind, m = done[rank][at[rank]]
                before = (kind, stage - 1, m) if kind == "f" else (kind, stage + 1, m)
                last = (kind == "b" and stage == stages - 1) or (kind == "f" and stage == 0)
                if not last and before not in ended:
                    break
                start = clock[rank] if last else max(clock[rank], ended[before])
                if start > clock[rank]:
                    rows.append((rank, 4, -1, -1, clock[rank], start - clock[rank]))
                seconds = unit if kind == "f" else 2 * unit
                rows.append((rank, 1 if kind == "f" else 2, m, 0, start, seconds))
                clock[rank] = start + seconds
                ended.setdefault((kind, stage, m), clock[rank])
                at[rank] += 1
    end = max(clock)
    rows += [(rank, 5, -1, -1, end, unit) for rank in range(ranks)]
    columns = list(zip(*rows))
    names = ("rank", "phase", "micro_batch", "chunk", "start", "seconds")
    group = {name: np.array(column) for name, column in zip(names, columns)}
    return {"iteration": np.full(len(rows), iteration), **group}


def write_full_run(folder, dp=1, tp=1, pp=2, micro_batches=4, **extra):
    """A run with all groups."""
    groups = {
        "ranks": ranks_group(dp, tp, pp),
        "plan": plan_group(pp),
        "timeline": timeline_group(dp * tp * pp, pp, micro_batches),
        **extra,
    }
    write_run(folder, mesh=(dp, tp, pp), **groups)
    with h5py.File(folder / "metrics.h5", "a") as file:
        for axis, size in (("dp", dp), ("tp", tp), ("pp", pp), ("ranks", dp * tp * pp)):
            file.attrs[axis] = np.int64(size)
        file.attrs["train_batch_size"] = np.int64(16)
        file.attrs["seq_length"] = np.int64(256)
        if "timeline" in file:
            file["timeline"].attrs["phases"] = ",".join(PHASES)
    return folder


def write_checkpoint(folder, tensors, shards=2, group="model"):
    """A checkpoint whose tensors lie by rows in the shards, under a virtual dataset each."""
    folder.mkdir(parents=True, exist_ok=True)
    layouts = {}
    for name, values in tensors.items():
        values = np.asarray(values)
        layouts[name] = h5py.VirtualLayout(values.shape, values.dtype)
        for i, rows in enumerate(np.array_split(np.arange(len(values)), shards)):
            if len(rows) == 0:
                continue
            shard, window = f"shard-{i:05}.h5", slice(rows[0], rows[-1] + 1)
            with h5py.File(folder / shard, "a") as file:
                file.create_dataset(f"{group}/{name}@{rows[0]}", data=values[window])
            source = h5py.VirtualSource(
                shard, f"{group}/{name}@{rows[0]}", values[window].shape, values.dtype
            )
            layouts[name][window] = source
    with h5py.File(folder / "checkpoint.h5", "a") as file:
        file.attrs["iteration"] = 600
        for name, layout in layouts.items():
            file.create_virtual_dataset(f"{group}/{name}", layout, fillvalue=np.nan)
        if group == "model" and "optimizer/master" not in file:
            file["optimizer/master"] = h5py.SoftLink("/model")
    return folder


def run_command(*arguments):
    """(exit code, stdout, stderr)"""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(a) for a in arguments])
    return code, out.getvalue(), err.getvalue()


def draw(*arguments):
    """The figure that a plot's command would write."""
    options = parse([str(a) for a in arguments])
    return PLOTS[options.plot].draw(open_runs(options.runs), **plot_options(options))


def legend_of(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def png_size(path):
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n", path
    return struct.unpack(">II", head[16:24])


class PlotTest(unittest.TestCase):
    """A temporary folder; pictures that were drawn are closed."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.addCleanup(style.pyplot.close, "all")
        self.folder = Path(folder.name)

    def refused(self, expected, *arguments):
        code, out, err = run_command(*arguments)
        self.assertEqual((code, out), (1, ""))
        self.assertIn(expected, err)
        self.assertEqual(err.count("\n"), 1, err)
